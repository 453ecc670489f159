//! One request over the control socket, and its answer.
//!
//! The peer is our own warden, which answers each connection once, with `Content-Length` and `Connection: close`
//! (RFC 9112 6.3). This reader knows that form and no other, within bounds: what does not fit is an error, never a
//! guess.

use crate::api::Request;
use crate::place::{Place, Trust};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest body of an answer, in bytes: room for a session table that is full of the longest keys, all escaped.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long the warden may be silent. It restarts within this when it was killed.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A control interface.
#[derive(Debug, Clone)]
pub struct Client {
    place: Place,
    trust: Trust,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Reason phrase, as sent.
    pub reason: String,
    /// Body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// The place could not be connected to.
    Connect(String, io::Error),
    /// The connection broke, or was silent for too long.
    Transfer(io::Error),
    /// What came is not an answer that this client understands; says which part.
    Malformed(&'static str),
}

impl Client {
    /// A client of the control socket at this path. Nothing is connected yet.
    #[must_use]
    pub fn new(socket: &Path) -> Client {
        Client::at(Place::Unix(socket.to_owned()), Trust::default())
    }

    /// A client of the control interface at this place. Nothing is connected yet.
    #[must_use]
    pub fn at(place: Place, trust: Trust) -> Client {
        Client { place, trust }
    }

    /// Asks, and waits for the answer. `indent` asks for a body indented by so many blanks.
    ///
    /// # Errors
    /// When no whole answer came. An answer that refuses the request is no error here: see [`Answer::status`].
    pub fn ask(&self, request: &Request, indent: Option<usize>) -> Result<Answer, ClientError> {
        let connected = self.place.connect(&self.trust, SILENCE_MAX);
        let mut stream = connected.map_err(|error| ClientError::Connect(self.place.to_string(), error))?;
        let head = self.place.head(request.method(), &request.target(indent));
        stream.write_all(head.as_bytes()).map_err(ClientError::Transfer)?;
        read_answer(&mut stream)
    }
}

impl Answer {
    /// Whether the request was granted.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Connect(place, error) => write!(out, "cannot connect to {place}: {error}"),
            ClientError::Transfer(error) => write!(out, "no answer: {error}"),
            ClientError::Malformed(part) => write!(out, "the answer cannot be understood: {part}"),
        }
    }
}

impl std::error::Error for ClientError {}

struct Head {
    status: u16,
    reason: String,
    body_bytes: Option<usize>,
}

fn read_answer(stream: &mut impl Read) -> Result<Answer, ClientError> {
    let mut received = Vec::new();
    let mut piece = [0_u8; 4096];
    let body_at = loop {
        if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if received.len() > HEAD_BYTES_MAX {
            return Err(ClientError::Malformed("its head is too long"));
        }
        match stream.read(&mut piece).map_err(ClientError::Transfer)? {
            0 => return Err(ClientError::Malformed("it ends in its head")),
            count => received.extend_from_slice(&piece[..count]),
        }
    };
    let mut body = received.split_off(body_at);
    let head = parse_head(&received)?;
    let wanted = head.body_bytes.unwrap_or(BODY_BYTES_MAX);
    if wanted > BODY_BYTES_MAX {
        return Err(ClientError::Malformed("its body is too long"));
    }
    let missing = wanted.saturating_sub(body.len());
    // One byte more than may come tells a body that is too long from one that fits exactly.
    let more = if head.body_bytes.is_some() { missing } else { missing + 1 };
    let limit = u64::try_from(more).map_err(|_| ClientError::Malformed("its body is too long"))?;
    stream.take(limit).read_to_end(&mut body).map_err(ClientError::Transfer)?;
    match head.body_bytes {
        Some(length) if body.len() < length => Err(ClientError::Malformed("it ends in its body")),
        None if body.len() > BODY_BYTES_MAX => Err(ClientError::Malformed("its body is too long")),
        length => {
            body.truncate(length.unwrap_or(body.len()));
            Ok(Answer { status: head.status, reason: head.reason, body })
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, ClientError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ClientError::Malformed("its head is not text"))?;
    let mut lines = text.split("\r\n");
    let (status, reason) =
        lines.next().and_then(status_line).ok_or(ClientError::Malformed("its status line"))?;
    let mut body_bytes = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(ClientError::Malformed("it has a transfer coding"));
        }
        if name.eq_ignore_ascii_case("content-length") {
            let value = value.trim();
            let length =
                if value.bytes().all(|byte| byte.is_ascii_digit()) { value.parse().ok() } else { None };
            body_bytes = Some(length.ok_or(ClientError::Malformed("its length"))?);
        }
    }
    Ok(Head { status, reason: reason.to_owned(), body_bytes })
}

fn status_line(line: &str) -> Option<(u16, &str)> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        Some((code.parse().ok()?, reason))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Answer, String> {
        read_answer(&mut text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_with_a_length_ends_there() {
        let answer = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntrue\n").unwrap();
        assert_eq!((answer.status, answer.reason.as_str(), answer.is_ok()), (200, "OK", true));
        assert_eq!(answer.body, b"true\n");
    }

    #[test]
    fn an_answer_without_length_ends_with_the_connection() {
        let answer = read("HTTP/1.0 404 Not Found\r\n\r\nno").unwrap();
        assert_eq!((answer.status, answer.reason.as_str(), answer.is_ok()), (404, "Not Found", false));
        assert_eq!(answer.body, b"no");
    }

    #[test]
    fn a_broken_answer_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_not_kept() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(4 * HEAD_BYTES_MAX));
        assert_eq!(read(&endless), Err("the answer cannot be understood: its head is too long".into()));
    }

    #[test]
    fn a_socket_that_is_not_there_is_named() {
        let error = Client::new(Path::new("/nonexistent/control")).ask(&Request::Core, None).unwrap_err();
        assert!(error.to_string().starts_with("cannot connect to /nonexistent/control: "), "{error}");
    }
}
