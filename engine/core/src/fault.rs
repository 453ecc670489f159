//! What can go wrong with a socket, and what follows from it.

use std::borrow::Cow;

/// How a socket failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The other side reset the connection, or it is no longer connected.
    Reset,
    /// The network has no way there.
    Unreachable,
    /// TLS could not be agreed on, or a record was not authentic.
    Handshake,
    /// The certificate of a backend is not to be trusted, for this reason.
    Untrusted(&'static str),
    /// TLS was cut off: nothing says that what came is all that was to come (RFC 9112 9.8).
    Truncated,
    /// This machine is out of descriptors, ports or memory: nobody else's fault.
    Resource,
    /// An error number with no name here; counted.
    Unexpected(i32),
}

impl Fault {
    /// Words for a log line.
    #[must_use]
    pub fn text(self) -> Cow<'static, str> {
        let text = match self {
            Fault::Refused => "connection refused",
            Fault::TimedOut => "timed out",
            Fault::Reset => "connection reset",
            Fault::Unreachable => "unreachable",
            Fault::Handshake => "TLS failed",
            Fault::Resource => "out of local resources",
            Fault::Untrusted(why) => return format!("its certificate is not trusted: {why}").into(),
            Fault::Truncated => "TLS was cut off",
            Fault::Unexpected(_) => "unexpected error",
        };
        text.into()
    }

    /// A failed connect with this fault says something about the backend, not about us.
    #[must_use]
    pub fn blames_backend(self) -> bool {
        // Pound takes a backend whose TLS fails for alive: the port answers. One with the wrong certificate is not the
        // backend at all.
        !matches!(self, Fault::Resource | Fault::Handshake)
    }
}

/// The facts that decide whether a request may be tried again after its backend failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// The request reached the socket of a backend (a connect that failed has sent nothing).
    pub(crate) sent: bool,
    /// Body bytes were taken from the client; they are gone.
    pub(crate) body_taken: bool,
    /// A byte of the final response went to the client.
    pub(crate) answered: bool,
    /// The method is idempotent (RFC 9110 9.2.2).
    pub(crate) idempotent: bool,
}

impl Attempt {
    /// RFC 9110 9.2.2: a proxy must not retry a request that is not idempotent on its own, unless it knows that the
    /// first was never applied.
    pub(crate) fn may_retry(self) -> bool {
        !self.answered && !self.body_taken && (!self.sent || self.idempotent)
    }
}
