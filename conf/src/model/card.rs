//! Engines and providers: modules of OpenSSL that do its arithmetic elsewhere, or hold keys.

use std::path::PathBuf;
use std::time::Duration;

/// `SSLEngine` or `SSLProvider`. Each worker loads it for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The name by which OpenSSL knows it.
    pub name: String,
    /// What OpenSSL takes it for.
    pub kind: CardKind,
    /// `Path`: the module's file; the library knows where to look for others.
    pub path: Option<PathBuf>,
    /// `Mode`.
    pub mode: CardMode,
    /// `Jobs`: how many handshakes may wait for it at once in each worker.
    pub jobs: u32,
    /// `TimeOut`: how long it may take for one handshake.
    pub timeout: Duration,
}

/// The two kinds of modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardKind {
    /// Up to OpenSSL 3.
    Engine {
        /// `PreCommand`: control commands before it is initialised, and their values.
        before: Vec<(String, Option<String>)>,
        /// `PostCommand`: those after.
        after: Vec<(String, Option<String>)>,
        /// `Default`: what all keys use it for, in OpenSSL's words; `None` for only those that it loads itself.
        default: Option<String>,
    },
    /// Since OpenSSL 3.
    Provider {
        /// `Parameter`: names and values.
        parameters: Vec<(String, String)>,
    },
}

/// `Mode`: how handshakes wait for a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CardMode {
    /// As the card does: by jobs if it pauses them, else in threads.
    #[default]
    Auto,
    /// By asynchronous jobs.
    Async,
    /// In helper threads.
    Threads,
    /// The worker waits.
    Sync,
}

/// A key that is not in the file of its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A PEM file.
    File(PathBuf),
    /// A key that an engine loads.
    Engine {
        /// The engine's place among the cards.
        card: usize,
        /// What the engine knows it by.
        id: String,
    },
    /// A key by a URI that the stores of the providers know.
    Store(String),
}
