//! What we answer ourselves: error pages and redirects.
//!
//! An answer is made in full before it is needed, so that refusing costs a copy and nothing else.

use super::fields::Known;
use super::h1::write::{Lines, put_status};
use super::method::Method;

/// The reason phrase of a status that we may answer with.
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// The sentence on the built-in page.
const fn text(status: u16) -> &'static str {
    match status {
        400 => "Your browser (or a program on the way) sent a request that could not be understood.",
        401 => "You are not authorized to see this page.",
        403 => "You are not allowed to see this page.",
        404 => "What you asked for is not here.",
        405 => "This method is not allowed here.",
        412 => "What you asked for is not what you take it for.",
        413 => "The request is larger than it may be.",
        414 => "The address you asked for is longer than it may be.",
        416 => "What you asked for has no such part.",
        429 => "Too many requests. Please try again later.",
        500 => "An internal error occurred. Please try again later.",
        501 => "This kind of request is not supported.",
        503 => "The service is not available. Please try again later.",
        _ => "The request could not be answered.",
    }
}

/// The field that `HSTS` sets (RFC 6797 6.1).
pub(crate) const STRICT_TRANSPORT_SECURITY: &[u8] = b"Strict-Transport-Security";

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    bytes: Vec<u8>,
    head: usize,
}

impl Reply {
    /// The same answer with one field more, in place of any that has its name.
    #[must_use]
    pub(crate) fn with_field(self, name: &[u8], value: &[u8]) -> Reply {
        let Reply { status, bytes, head } = self;
        let mut changed = Vec::with_capacity(bytes.len() + name.len() + value.len() + 4);
        let named = |line: &[u8]| {
            line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                && line.get(name.len()) == Some(&b':')
        };
        // The head ends with an empty line.
        for line in bytes[..head - 2].split_inclusive(|byte| *byte == b'\n').filter(|line| !named(line)) {
            changed.extend_from_slice(line);
        }
        let mut lines = Lines::new(&mut changed);
        lines.line(name, value);
        lines.close();
        let end = changed.len();
        changed.extend_from_slice(&bytes[head..]);
        Reply { status, bytes: changed, head: end }
    }

    /// The head with its empty line; all that is sent after HEAD (RFC 9110 9.3.2), its Content-Length being that of the page.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.head]
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// The status line without its end, for the log.
    #[must_use]
    pub fn status_line(&self) -> &[u8] {
        super::h1::parse::first_line(&self.bytes)
    }
}

/// The built-in error page. `methods` is the `xHTTP` level, for the Allow field that RFC 9110 15.5.6 demands
/// of 405.
#[must_use]
pub fn error(status: u16, methods: u8) -> Reply {
    page::<&str>(status, methods, &[], built_in(status).as_bytes())
}

/// An error page of the operator's: its header lines (`Name: value` each) come first and win over ours,
/// except over what frames the answer.
#[must_use]
pub fn page<L: AsRef<str>>(status: u16, methods: u8, header_lines: &[L], body: &[u8]) -> Reply {
    let mut bytes = Vec::with_capacity(256 + body.len());
    let mut lines = begin(&mut bytes, status);
    let theirs = || header_lines.iter().filter_map(|line| line.as_ref().split_once(':'));
    for (name, value) in theirs().filter(|(name, _)| !frames(name)) {
        lines.line(name.trim().as_bytes(), value.trim().as_bytes());
    }
    lines.number(b"Content-Length", body.len() as u64);
    lines.line(b"Connection", b"close");
    let allowed = allow(methods);
    let ours = [
        ("Content-Type", "text/html"),
        ("Expires", "now"),
        ("Pragma", "no-cache"),
        ("Cache-control", "no-cache,no-store"),
        ("Allow", allowed.as_str()),
    ];
    for (name, value) in &ours[..if status == 405 { 5 } else { 4 }] {
        if !theirs().any(|(their, _)| their.trim().eq_ignore_ascii_case(name)) {
            lines.line(name.as_bytes(), value.as_bytes());
        }
    }
    finish(lines, status, body)
}

/// 200 without a body; the connection closes after it.
#[must_use]
pub fn success() -> Reply {
    let mut bytes = Vec::with_capacity(128);
    let mut lines = begin(&mut bytes, 200);
    lines.number(b"Content-Length", 0);
    lines.line(b"Connection", b"close");
    finish(lines, 200, b"")
}

/// A redirect. `close` says whether the connection closes after it. A control byte in `location`, which may
/// hold parts of the request, becomes a space.
#[must_use]
pub fn redirect(status: u16, location: &[u8], close: bool) -> Reply {
    let mut body = Vec::with_capacity(256 + 2 * location.len());
    body.extend_from_slice(
        b"<html><head><title>Redirect</title></head><body><h1>Redirect</h1><p>You should go to <a href=\"",
    );
    escape(location, &mut body);
    body.extend_from_slice(b"\">");
    escape(location, &mut body);
    body.extend_from_slice(b"</a></p></body></html>\n");
    let mut bytes = Vec::with_capacity(256 + location.len() + body.len());
    let mut lines = begin(&mut bytes, status);
    lines.line(b"Location", location);
    lines.line(b"Content-Type", b"text/html");
    lines.number(b"Content-Length", body.len() as u64);
    if close {
        lines.line(b"Connection", b"close");
    }
    finish(lines, status, &body)
}

/// The methods of an `xHTTP` level, as Allow lists them.
#[must_use]
pub fn allow(methods: u8) -> String {
    let allowed: Vec<&str> = Method::ALL.iter().filter(|m| m.level() <= methods).map(|m| m.name()).collect();
    allowed.join(", ")
}

/// The body of the built-in page for an error.
#[must_use]
pub fn built_in(status: u16) -> String {
    let (reason, text) = (reason(status), text(status));
    format!(
        "<html><head><title>{status} {reason}</title></head><body><h1>{reason}</h1><p>{text}</p></body></html>\n"
    )
}

fn begin(bytes: &mut Vec<u8>, status: u16) -> Lines<'_, Vec<u8>> {
    let mut lines = Lines::new(bytes);
    put_status(&mut lines, status);
    lines.put(reason(status).as_bytes());
    lines.put(b"\r\n");
    lines
}

fn finish(lines: Lines<'_, Vec<u8>>, status: u16, body: &[u8]) -> Reply {
    let bytes = lines.close();
    let mut bytes = std::mem::take(bytes);
    let head = bytes.len();
    bytes.extend_from_slice(body);
    Reply { status, bytes, head }
}

/// Lines that say where an answer ends are ours.
fn frames(name: &str) -> bool {
    let known = Known::of(name.trim().as_bytes());
    matches!(known, Known::ContentLength | Known::TransferEncoding | Known::Connection)
}

/// For text and quoted attributes of HTML.
fn escape(text: &[u8], into: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'&' => into.extend_from_slice(b"&amp;"),
            b'<' => into.extend_from_slice(b"&lt;"),
            b'>' => into.extend_from_slice(b"&gt;"),
            b'"' => into.extend_from_slice(b"&quot;"),
            b'\'' => into.extend_from_slice(b"&#39;"),
            _ => into.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::head::{Framing, ResponseHead};
    use crate::http::rules::ResponseRules;

    /// The reply as a client parses it: head, body.
    fn read(reply: &Reply) -> (ResponseHead, String) {
        let bytes = &reply.bytes[..];
        let len = parse::head_end(bytes, 0).expect("a whole head");
        let mut head = ResponseHead::default();
        let framing = parse::response(&bytes[..len], &ResponseRules::default(), &mut head);
        assert_eq!(framing, Ok(Framing::Length(reply.body().len() as u64)));
        assert!(head.hop.close || reply.status < 400);
        (head, String::from_utf8_lossy(bytes).into_owned())
    }

    #[test]
    fn built_in_pages_are_what_pound_sends() {
        let reply = error(503, 0);
        let (head, text) = read(&reply);
        assert_eq!(head.status, 503);
        assert_eq!(reply.status_line(), b"HTTP/1.1 503 Service Unavailable");
        for line in [
            "Connection: close",
            "Content-Type: text/html",
            "Expires: now",
            "Pragma: no-cache",
            "Cache-control: no-cache,no-store",
            "<title>503 Service Unavailable</title>",
            "<h1>Service Unavailable</h1>",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn head_gets_no_body() {
        let reply = error(404, 0);
        let head = reply.head();
        assert!(head.ends_with(b"\r\n\r\n"));
        assert_eq!(head.len() + reply.body().len(), reply.bytes.len());
        assert!(!reply.body().is_empty());
    }

    #[test]
    fn the_operators_lines_win_but_for_framing() {
        let lines =
            ["Content-type: text/plain", "X-A: b", "Content-Length: 99", "connection: keep-alive", "broken"];
        let (_, text) = read(&page(500, 0, &lines, b"oops"));
        assert!(text.contains("Content-type: text/plain\r\nX-A: b\r\n") && text.ends_with("\r\n\r\noops"));
        assert!(!text.contains("text/html") && !text.contains("99") && !text.contains("keep-alive"));
    }

    #[test]
    fn a_refused_method_learns_which_are_allowed() {
        let (_, text) = read(&error(405, 0));
        assert!(text.contains("\r\nAllow: GET, POST, HEAD\r\n"));
    }

    #[test]
    fn a_field_that_is_added_is_the_only_one_of_its_name() {
        let page = page(500, 0, &["strict-transport-security: max-age=1", "X-A: b"], b"oops");
        let (_, text) = read(&page.with_field(STRICT_TRANSPORT_SECURITY, b"max-age=9"));
        assert!(text.contains("X-A: b\r\n") && text.ends_with("max-age=9\r\n\r\noops"), "{text}");
        assert!(!text.contains("max-age=1"), "{text}");
    }

    #[test]
    fn redirects_cannot_be_split_or_scripted() {
        let (head, text) = read(&redirect(302, b"http://h/a\r\nX: y<\"'&>", false));
        assert_eq!((head.status, head.fields.len()), (302, 3));
        assert!(text.contains("Location: http://h/a  X: y<\"'&>\r\n"));
        assert!(text.contains("<a href=\"http://h/a\r\nX: y&lt;&quot;&#39;&amp;&gt;\">"));
        assert!(!text.contains("Connection"));
    }
}
