//! What a configuration says that the engine does not serve yet.
//!
//! It is read and checked only on request ([`crate::load_text_ahead`]); other runs refuse it by name. A part moves into
//! the types that the engine reads when the engine serves it.

use super::Server;
use crate::model::Listen;
use ipnet::IpNet;
use std::collections::BTreeMap;

/// A service's place: its listener's position, or `None` for a global one, and its own position there.
pub type Seat = (Option<usize>, usize);

/// All that is read ahead of the engine.
#[derive(Debug, Clone, Default)]
pub struct Ahead {
    /// Of the whole process.
    pub global: AheadGlobal,
    /// By position in [`crate::model::Config::listeners`].
    pub listeners: BTreeMap<usize, AheadListener>,
    /// By place.
    pub services: BTreeMap<Seat, AheadService>,
    /// `Tunnel`s in file order.
    pub tunnels: Vec<Tunnel>,
}

/// Settings of the whole process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AheadGlobal {
    /// `SSLEngine`.
    pub ssl_engine: Option<String>,
    /// `CombineHeaders`: names of fields whose repetitions are joined.
    pub combine_headers: Vec<String>,
    /// How the client's address is found behind other proxies.
    pub originator: Originator,
}

/// Settings of a listener.
#[derive(Debug, Clone, Default)]
pub struct AheadListener {
    /// How the client's address is found behind other proxies.
    pub originator: Originator,
    /// `RewriteErrors`: bodies of backends' errors are replaced by the listener's pages.
    pub rewrite_errors: bool,
}

/// Settings of a service.
#[derive(Debug, Clone, Default)]
pub struct AheadService {
    /// How the client's address is found behind other proxies.
    pub originator: Originator,
    /// `RewriteErrors`, in place of the listener's.
    pub rewrite_errors: Option<bool>,
}

/// How the client's address is found behind other proxies; what is `None` is as further out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Originator {
    /// `ForwardedHeader`; `X-Forwarded-For` when given nowhere.
    pub header: Option<String>,
    /// `TrustedIP`: proxies whose word is taken.
    pub trusted: Option<Vec<IpNet>>,
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
