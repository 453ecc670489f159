//! The six built-in request log formats (pound.md section 12).

use super::escape;
use super::record::{Part, Record};
use crate::route::expand::split_port;
use crate::route::plan::{ListenerPlan, Plan};
use ounce_conf::model::LogLevel;
use std::io::Write;

/// Appends the log line of a request that came in on `listener`, with its line feed; nothing at level
/// [`LogLevel::Null`].
pub fn render(level: LogLevel, record: &Record, plan: &Plan, listener: &ListenerPlan, out: &mut Vec<u8>) {
    let line = Line { record, plan, listener };
    match level {
        LogLevel::Null => return,
        LogLevel::Regular => line.regular(out),
        LogLevel::Extended => {
            line.regular(out);
            out.extend_from_slice(b" (");
            line.header(Part::Host, out);
            out.push(b'/');
            line.tail(out);
        }
        LogLevel::VhostCombined => line.vhost_combined(out),
        LogLevel::Combined => line.combined(out),
        LogLevel::Detailed => {
            line.vhost_combined(out);
            out.extend_from_slice(b" (");
            line.tail(out);
        }
    }
    out.push(b'\n');
}

struct Line<'a> {
    record: &'a Record,
    plan: &'a Plan,
    listener: &'a ListenerPlan,
}

impl Line<'_> {
    /// `%a %r - %>s`
    fn regular(&self, out: &mut Vec<u8>) {
        self.peer(out);
        out.push(b' ');
        self.header(Part::RequestLine, out);
        out.extend_from_slice(b" - ");
        self.header(Part::StatusLine, out);
    }

    /// `%{service}N -> %{backend}N) %{f}T sec`
    fn tail(&self, out: &mut Vec<u8>) {
        let service = self.record.service.map_or("", |ix| self.plan.service(ix).name.as_str());
        let backend = self.record.backend.map_or("", |ix| self.plan.backend(ix).name.as_str());
        name(service, out);
        out.extend_from_slice(b" -> ");
        name(backend, out);
        let millis = self.record.elapsed_us / 1000;
        // Writing to a Vec cannot fail.
        _ = write!(out, ") {}.{:03} sec", millis / 1000, millis % 1000);
    }

    /// `%v:%p `, then combined.
    fn vhost_combined(&self, out: &mut Vec<u8>) {
        match self.record.part(Part::Host) {
            Some(host) => escape::text(split_port(host).0, out),
            None => escape::text(self.listener.address_text.as_bytes(), out),
        }
        _ = write!(out, ":{} ", self.listener.port);
        self.combined(out);
    }

    /// `%a %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"`
    fn combined(&self, out: &mut Vec<u8>) {
        self.peer(out);
        out.extend_from_slice(b" - ");
        match self.record.part(Part::Credentials).and_then(user) {
            Some(user) => escape::text(&user, out),
            None => out.push(b'-'),
        }
        out.push(b' ');
        self.record.began.common_log(out);
        out.extend_from_slice(b" \"");
        self.header(Part::RequestLine, out);
        _ = write!(out, "\" {:03} ", self.record.status);
        match self.record.body_bytes {
            0 => out.push(b'-'),
            bytes => _ = write!(out, "{bytes}"),
        }
        out.extend_from_slice(b" \"");
        self.header(Part::Referer, out);
        out.extend_from_slice(b"\" \"");
        self.header(Part::UserAgent, out);
        out.push(b'"');
    }

    fn peer(&self, out: &mut Vec<u8>) {
        match self.record.peer {
            Some(peer) => escape::peer(peer, self.plan.anonymise, out),
            None => out.push(b'-'),
        }
    }

    /// A text of the record; nothing if it is missing.
    fn header(&self, part: Part, out: &mut Vec<u8>) {
        escape::text(self.record.part(part).unwrap_or_default(), out);
    }
}

fn name(name: &str, out: &mut Vec<u8>) {
    escape::text(if name.is_empty() { b"-" } else { name.as_bytes() }, out);
}

/// The user name in Basic credentials (RFC 7617 2): base64 of `user:password`.
fn user(credentials: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(credentials.len());
    let (mut bits, mut held) = (0_u32, 0);
    for &byte in credentials {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    // The password must not be kept longer than needed, let alone logged.
    let colon = memchr::memchr(b':', &decoded)?;
    decoded.truncate(colon);
    (!decoded.is_empty()).then_some(decoded)
}
