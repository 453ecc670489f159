//! What the log line of one request needs, filled along the way.

use super::logfmt::Format;
use crate::Peer;
use crate::http::head::Version;
use crate::route::plan::{BackendIx, ServiceIx};
use crate::route::request::{Request, decode_user};
use std::fmt::Write;
use std::net::SocketAddr;

/// Steps in which time is spent: those of [`ounce_conf::model::LogStep`], in its order.
pub(crate) const STEPS: usize = 8;

/// Facts about one request. Kept per connection: [`Record::begin`] keeps its memory.
#[derive(Debug)]
pub struct Record {
    /// The peer.
    pub peer: Option<Peer>,
    /// When the request began: microseconds since 1970.
    pub began_us: u64,
    /// Local time minus UTC in seconds.
    pub utc_offset: i32,
    /// Status of the answer; 0 before there is one.
    pub status: u16,
    /// The service that was selected.
    pub service: Option<ServiceIx>,
    /// The backend that was chosen.
    pub backend: Option<BackendIx>,
    /// Body bytes sent to the client.
    pub body_bytes: u64,
    /// Body bytes taken from the client.
    pub request_bytes: u64,
    /// From the request's first byte to the answer's last, in microseconds.
    pub elapsed_us: u64,
    /// How often another attempt was made.
    pub retries: u16,
    /// Who ended it before its time.
    pub ended_by: EndedBy,
    /// The step in which it ended.
    pub ended_in: &'static str,
    /// Time in each step, in microseconds.
    pub(crate) spent_us: [u64; STEPS],
    /// Where the backend is, if it is a place of a name, and the same for people.
    place: Option<SocketAddr>,
    place_text: String,
    text: Vec<u8>,
    /// Where each part is in `text`.
    spans: [(u32, u32); PARTS],
}

/// Who ended an exchange before the end of a backend's response did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndedBy {
    /// Nobody: the response is complete.
    #[default]
    Nobody,
    /// The client went away, stood still, or sent a body that is none.
    Client,
    /// The backend failed, stood still, or sent what is no response.
    Backend,
    /// The answer was made here.
    Proxy,
}

impl EndedBy {
    /// Its name in logs; `None` for nobody.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            EndedBy::Nobody => None,
            EndedBy::Client => Some("client"),
            EndedBy::Backend => Some("backend"),
            EndedBy::Proxy => Some("proxy"),
        }
    }
}

/// The texts of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    RequestLine,
    StatusLine,
    User,
}

const PARTS: usize = 3;

/// ` HTTP/1.1`.
const VERSION_BYTES: usize = 9;

/// The place of a part that is missing: a range that no text has.
const NOWHERE: (u32, u32) = (1, 0);

impl Record {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Record {
        Record {
            peer: None,
            began_us: 0,
            utc_offset: 0,
            status: 0,
            service: None,
            backend: None,
            body_bytes: 0,
            request_bytes: 0,
            elapsed_us: 0,
            retries: 0,
            ended_by: EndedBy::Nobody,
            ended_in: "",
            spent_us: [0; STEPS],
            place: None,
            place_text: String::new(),
            text: Vec::new(),
            spans: [NOWHERE; PARTS],
        }
    }

    /// Starts the record of a request that began so many microseconds after 1970.
    pub fn begin(&mut self, peer: Peer, began_us: u64, utc_offset: i32) {
        self.text.clear();
        self.peer = Some(peer);
        (self.began_us, self.utc_offset) = (began_us, utc_offset);
        (self.service, self.backend) = (None, None);
        (self.body_bytes, self.request_bytes, self.elapsed_us) = (0, 0, 0);
        (self.status, self.retries) = (0, 0);
        (self.ended_by, self.ended_in) = (EndedBy::Nobody, "");
        self.spent_us = [0; STEPS];
        self.place = None;
        self.spans = [NOWHERE; PARTS];
    }

    /// The request line of a request that was refused before its head was complete.
    pub fn request_line(&mut self, line: &[u8]) {
        self.put(Part::RequestLine, line);
    }

    /// Keeps what a line of `format` needs of a request besides its head, which must live until the line is written.
    pub fn request(&mut self, request: &Request<'_>, format: &Format) {
        if format.is_silent() {
            return;
        }
        let from = &request.bytes[request.head.method_span.start as usize..];
        // Behind the target stands a blank and the version, as a rule; the line's end need not be searched for.
        let usual = (request.head.target.end - request.head.method_span.start) as usize + VERSION_BYTES;
        let line_end = match from.get(usual) {
            Some(b'\r' | b'\n') => usual,
            _ => memchr::memchr2(b'\r', b'\n', from).unwrap_or(from.len()),
        };
        self.put(Part::RequestLine, &from[..line_end]);
        if format.wants_user()
            && let Some(credentials) = request.basic_credentials()
        {
            let start = self.text.len();
            // The password is never written anywhere.
            if decode_user(credentials, &mut self.text, None) {
                self.spans[Part::User as usize] = (start as u32, self.text.len() as u32);
            } else {
                self.text.truncate(start);
            }
        }
    }

    /// Where the backend is, if it is a place of a name.
    pub(crate) fn set_place(&mut self, place: Option<SocketAddr>) {
        self.place = place;
        if let Some(address) = place {
            self.place_text.clear();
            // Writing to a String cannot fail.
            let _ = write!(self.place_text, "{address}");
        }
    }

    /// Where the backend is, for people, if it is a place of a name.
    pub(crate) fn place(&self) -> Option<&str> {
        self.place.map(|_| self.place_text.as_str())
    }

    /// Where the backend is, if it is a place of a name.
    pub(crate) fn place_address(&self) -> Option<SocketAddr> {
        self.place
    }

    /// The answer of a backend.
    pub fn answered(&mut self, version: Version, status: u16, reason: &[u8]) {
        self.status_line(version.text(), status, reason);
    }

    /// An answer of our own: an error or a redirect.
    pub fn answered_here(&mut self, status: u16, reason: &[u8]) {
        self.status_line("", status, reason);
    }

    fn status_line(&mut self, version: &str, status: u16, reason: &[u8]) {
        self.status = status;
        let start = self.text.len();
        if !version.is_empty() {
            self.text.extend_from_slice(version.as_bytes());
            self.text.push(b' ');
        }
        self.text.extend_from_slice(&self::status(status));
        if !reason.is_empty() {
            self.text.push(b' ');
            self.text.extend_from_slice(reason);
        }
        self.spans[Part::StatusLine as usize] = (start as u32, self.text.len() as u32);
    }

    /// Time has passed in this step.
    pub(crate) fn spend(&mut self, step: usize, us: u64) {
        if let Some(spent) = self.spent_us.get_mut(step) {
            *spent += us;
        }
    }

    fn put(&mut self, part: Part, value: &[u8]) {
        // Bounded by the largest head, so 32 bits hold the offsets.
        let start = self.text.len();
        self.text.extend_from_slice(value);
        self.spans[part as usize] = (start as u32, self.text.len() as u32);
    }

    pub(crate) fn part(&self, part: Part) -> Option<&[u8]> {
        let (start, end) = self.spans[part as usize];
        self.text.get(start as usize..end as usize)
    }
}

impl Default for Record {
    fn default() -> Record {
        Record::new()
    }
}

/// The three digits of a status; 000 before there is one.
pub(crate) fn status(status: u16) -> [u8; 3] {
    [status / 100 % 10, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_decoded_and_passwords_dropped() {
        for (credentials, expected) in [
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("YTpi", Some("a")),
            ("YTo", Some("a")),
            ("OnB3", None),
            ("bm9jb2xvbg==", None),
            ("not base64", None),
            ("", None),
        ] {
            let mut decoded = Vec::new();
            let found = decode_user(credentials.as_bytes(), &mut decoded, None);
            assert_eq!(found.then_some(decoded.as_slice()), expected.map(str::as_bytes), "{credentials}");
        }
    }
}
