//! Problem lines: what went wrong with a request, for the operator (pound.md section 12).

use super::escape;
use crate::Peer;
use std::io::Write;

/// Something that went wrong.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Who says it: a worker's process id.
    pub id: u32,
    /// The status that the client got or would have got.
    pub code: u16,
    /// The client.
    pub peer: Peer,
    /// The backend's name, if one was chosen.
    pub backend: Option<&'a str>,
    /// The request line, empty if it is not known.
    pub request_line: &'a [u8],
    /// What happened.
    pub text: &'a str,
}

impl Problem<'_> {
    /// Appends `(id) eCODE: peer [=> backend]: "request line": text` and a line feed.
    pub fn render(&self, anonymise: bool, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        _ = write!(out, "({}) e{}: ", self.id, self.code);
        escape::peer(self.peer, anonymise, out);
        if let Some(backend) = self.backend {
            out.extend_from_slice(b" => ");
            escape::text(backend.as_bytes(), out);
        }
        out.extend_from_slice(b": \"");
        escape::text(self.request_line, out);
        out.extend_from_slice(b"\": ");
        escape::text(self.text.as_bytes(), out);
        out.push(b'\n');
    }
}

/// Appends `(id) text` and a line feed: news that belong to no request, such as a backend's death.
pub fn notice(id: u32, text: &str, out: &mut Vec<u8>) {
    _ = write!(out, "({id}) ");
    escape::text(text.as_bytes(), out);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(problem: &Problem<'_>, anonymise: bool) -> String {
        let mut out = Vec::new();
        problem.render(anonymise, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn problems_are_one_line_each() {
        let problem = Problem {
            id: 4711,
            code: 503,
            peer: Peer::Inet("192.0.2.7:999".parse().expect("an address")),
            backend: Some("10.0.0.1:80"),
            request_line: b"GET /a\"b\n HTTP/1.1",
            text: "connect: connection refused",
        };
        let line = "(4711) e503: 192.0.2.7 => 10.0.0.1:80: \"GET /a\\\"b\\x0a HTTP/1.1\": connect: connection refused\n";
        assert_eq!(shown(&problem, false), line);
        let early = Problem { backend: None, request_line: b"", peer: Peer::Unix, code: 400, ..problem };
        assert_eq!(shown(&early, false), "(4711) e400: socket: \"\": connect: connection refused\n");
        assert!(shown(&problem, true).starts_with("(4711) e503: 192.0.2.0 => "));
    }

    #[test]
    fn notices_carry_no_request() {
        let mut out = Vec::new();
        notice(7, "backend 10.0.0.1:80 is dead", &mut out);
        assert_eq!(out, b"(7) backend 10.0.0.1:80 is dead\n");
    }
}
