//! What the log line of one request needs, filled along the way.

use crate::Peer;
use crate::http::fields::Known;
use crate::http::head::Version;
use crate::observe::time::LocalTime;
use crate::route::plan::{BackendIx, ServiceIx};
use crate::route::request::Request;
use ounce_conf::model::LogLevel;

/// Facts about one request. Kept per connection: [`Record::begin`] keeps its memory.
#[derive(Debug, Default)]
pub struct Record {
    /// The peer.
    pub peer: Option<Peer>,
    /// When the request began.
    pub began: LocalTime,
    /// Status of the answer; 0 before there is one.
    pub status: u16,
    /// The service that was selected.
    pub service: Option<ServiceIx>,
    /// The backend that was chosen.
    pub backend: Option<BackendIx>,
    /// Body bytes sent to the client.
    pub body_bytes: u64,
    /// From the request's first byte to the answer's last, in microseconds.
    pub elapsed_us: u64,
    text: Vec<u8>,
    spans: [Option<(u32, u32)>; PARTS],
}

/// The texts of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    RequestLine,
    StatusLine,
    Host,
    Credentials,
    Referer,
    UserAgent,
}

const PARTS: usize = 6;

impl Record {
    /// Nothing known yet.
    pub fn new() -> Record {
        Record::default()
    }

    /// Starts the record of a request.
    pub fn begin(&mut self, peer: Peer, began: LocalTime) {
        self.text.clear();
        let text = std::mem::take(&mut self.text);
        *self = Record { peer: Some(peer), began, text, ..Record::default() };
    }

    /// The request line of a request that was refused before its head was complete.
    pub fn request_line(&mut self, line: &[u8]) {
        self.put(Part::RequestLine, line);
    }

    /// Keeps what a line of `level` needs of a request.
    pub fn request(&mut self, request: &Request<'_>, level: LogLevel) {
        if level == LogLevel::Null {
            return;
        }
        let from = &request.bytes[request.head.method_span.start as usize..];
        let line_end = memchr::memchr2(b'\r', b'\n', from).unwrap_or(from.len());
        self.put(Part::RequestLine, &from[..line_end]);
        if level == LogLevel::Regular {
            return;
        }
        let known = |known| request.known(known);
        let kept = [
            (Part::Host, request.host()),
            (Part::Credentials, request.basic_credentials()),
            (Part::Referer, known(Known::Referer)),
            (Part::UserAgent, known(Known::UserAgent)),
        ];
        for (part, value) in kept {
            if let Some(value) = value {
                self.put(part, value);
            }
        }
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
        self.spans[Part::StatusLine as usize] = Some((start as u32, self.text.len() as u32));
    }

    fn put(&mut self, part: Part, value: &[u8]) {
        // Bounded by the largest head, so 32 bits hold the offsets.
        let start = self.text.len();
        self.text.extend_from_slice(value);
        self.spans[part as usize] = Some((start as u32, self.text.len() as u32));
    }

    pub(crate) fn part(&self, part: Part) -> Option<&[u8]> {
        self.spans[part as usize].map(|(start, end)| &self.text[start as usize..end as usize])
    }
}

/// The three digits of a status; 000 before there is one.
pub(crate) fn status(status: u16) -> [u8; 3] {
    [status / 100 % 10, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8)
}
