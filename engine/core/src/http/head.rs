//! What a head says, once it is known to be well-formed.

use super::fields::{Fields, Span};
use super::method::Method;
use super::target::Form;

/// The protocol versions that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// HTTP/1.0.
    H10,
    /// HTTP/1.1.
    #[default]
    H11,
}

impl Version {
    /// As it is written in a start line.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Version::H10 => "HTTP/1.0",
            Version::H11 => "HTTP/1.1",
        }
    }
}

/// How the end of a body is found (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes; may be 0.
    Length(u64),
    /// Chunks (RFC 9112 7.1).
    Chunked,
    /// All until the connection closes. Responses only.
    UntilClose,
}

/// What a head says about its own connection, which ends at us.
#[derive(Debug, Clone, Default)]
pub struct Hop {
    /// The sender closes after this message (RFC 9112 9.3). Requests in HTTP/1.0 always do, whatever they
    /// say.
    pub close: bool,
    /// The Connection field says `keep-alive`.
    pub keep_alive: bool,
    /// The message offers (request) or accepts (101 response) a switch to a protocol that we pass on: see
    /// [`super::upgrade`].
    pub upgrade: bool,
    /// TE says `trailers`: the client takes a trailer section.
    pub te_trailers: bool,
    /// Names of fields that the Connection field declares to end here. Such fields are marked
    /// ([`super::Field::hop`]).
    pub named: Vec<Span>,
}

impl Hop {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        let Hop { close, keep_alive, upgrade, te_trailers, named } = self;
        (*close, *keep_alive, *upgrade, *te_trailers) = (false, false, false, false);
        named.clear();
    }
}

/// A request head that passed every check. [`super::h1::parse::request`] fills it; spans refer to the bytes
/// given there.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The method as sent: lower case is passed on.
    pub method_span: Span,
    /// The form of the target as sent.
    pub form: Form,
    /// The target as sent.
    pub target_sent: Span,
    /// The target to route by and to pass on: that of the origin server. Of a target in absolute form it is
    /// the part from the path on, so that `GET http://host/admin` meets the same conditions as `GET /admin`.
    pub target: Span,
    /// The client's version.
    pub version: Version,
    /// The header fields.
    pub fields: Fields,
    /// How the body ends. Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// What concerns the connection to the client only.
    pub hop: Hop,
    /// The Host value, or the authority of the target if there is no Host (HTTP/1.0); port included.
    pub host: Option<Span>,
    /// The client waits for an interim 100 response before it sends the body (RFC 9110 10.1.1). The field is
    /// marked as ending here.
    pub expect_continue: bool,
    /// Bytes of the head.
    pub len: u32,
}

impl RequestHead {
    /// Forgets everything, keeps the memory of the vectors.
    pub fn clear(&mut self) {
        // Field by field: nothing is moved, and a field that is forgotten here does not compile.
        let RequestHead {
            method,
            method_span,
            form,
            target_sent,
            target,
            version,
            fields,
            framing,
            hop,
            host,
            expect_continue,
            len,
        } = self;
        (*method, *form, *version) = (Method::default(), Form::default(), Version::default());
        (*method_span, *target_sent, *target) = (Span::default(), Span::default(), Span::default());
        (*framing, *host, *expect_continue, *len) = (Framing::None, None, false, 0);
        fields.clear();
        hop.clear();
    }

    /// Whether the connection to the client ends after the answer.
    #[must_use]
    pub fn must_close(&self) -> bool {
        self.hop.close
    }
}

/// A response head that passed every check. [`super::h1::parse::response`] fills it.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// The status, 100 to 599.
    pub status: u16,
    /// The text behind the status; may be empty.
    pub reason: Span,
    /// The backend's version.
    pub version: Version,
    /// The header fields.
    pub fields: Fields,
    /// What concerns the connection to the backend only.
    pub hop: Hop,
    /// What Content-Length says. In a response that has no body by rule (HEAD, 304) it is the length that the
    /// body would have.
    pub length: Option<u64>,
    /// Bytes of the head.
    pub len: u32,
}

impl ResponseHead {
    /// Forgets everything, keeps the memory of the vectors.
    pub fn clear(&mut self) {
        let ResponseHead { status, reason, version, fields, hop, length, len } = self;
        (*status, *reason, *version) = (0, Span::default(), Version::default());
        (*length, *len) = (None, 0);
        fields.clear();
        hop.clear();
    }

    /// An interim response: another one follows (RFC 9110 15.2). 101 is final.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Whether the backend closes after this response.
    #[must_use]
    pub fn must_close(&self) -> bool {
        self.hop.close
    }
}

/// A request that is not accepted. The connection closes after the answer: where the next request would begin
/// is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with.
    pub status: u16,
    /// Which check failed, for the log.
    pub why: &'static str,
}

impl Refusal {
    /// Malformed: 400.
    pub(crate) const fn bad(why: &'static str) -> Refusal {
        Refusal { status: 400, why }
    }

    pub(crate) const fn new(status: u16, why: &'static str) -> Refusal {
        Refusal { status, why }
    }
}

/// A response that is not accepted; the client gets 503, the backend connection serves nobody any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseFault {
    /// Which check failed, for the log.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::{Field, Known};

    #[test]
    fn clearing_keeps_the_memory() {
        let mut head = RequestHead::default();
        let span = Span::default();
        for _ in 0..20 {
            head.fields
                .extend([Field { name: span, value: span, known: Known::Host, hop: false }].into_iter());
            head.hop.named.push(span);
        }
        head.hop.close = true;
        let capacity = head.hop.named.capacity();
        head.clear();
        assert!(head.fields.is_empty() && head.hop.named.is_empty() && !head.hop.close);
        assert_eq!(head.hop.named.capacity(), capacity);
    }
}
