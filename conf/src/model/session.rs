//! Sticky sessions.

use std::time::Duration;

/// `Session` of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Where the key is found.
    pub kind: SessionKind,
    /// Idle life of a session; `None`: none is kept, and the key itself says which backend it belongs to.
    pub ttl: Option<Duration>,
}

/// Where the key of a session is found (pound.md section 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionKind {
    /// The peer's address.
    Ip,
    /// The credentials of `Authorization: Basic`.
    Basic,
    /// The raw value of this query parameter.
    Url(String),
    /// The text after the last `;` of the path.
    Parm,
    /// The value of this cookie; the name is compared without case.
    Cookie(String),
    /// The value of the first field of this name.
    Header(String),
}
