//! What a configuration says that the engine does not serve yet.
//!
//! It is read and checked only on request ([`crate::load_text_ahead`]); other runs refuse it by name. A part moves into
//! the types that the engine reads when the engine serves it.

use super::Server;
use crate::model::Listen;

/// All that is read ahead of the engine.
#[derive(Debug, Clone, Default)]
pub struct Ahead {
    /// `Tunnel`s in file order.
    pub tunnels: Vec<Tunnel>,
}

/// `Tunnel`: bytes are passed both ways, whatever they are.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// The label in the file; unique over tunnels.
    pub label: Option<String>,
    /// Where it listens.
    pub listen: Listen,
    /// Where the bytes go; its `timeout` is the idle limit.
    pub server: Server,
    /// `Disabled` of its backend.
    pub disabled: bool,
    /// How many listeners stand before it in the file.
    pub position: usize,
}
