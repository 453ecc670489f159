//! Error pages: files that are answered with, read when the configuration is loaded.

use super::Lowering;
use crate::model::ErrorPage;
use crate::source::{self, Span};
use std::path::Path;

/// Headers that answers get from the program; a page cannot set them.
const OWN: [&str; 5] = ["Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"];

impl Lowering<'_> {
    /// Reads a page. Header lines and an empty line may stand before its body.
    pub(super) fn error_page(&mut self, path: &Path, place: Span) -> Option<ErrorPage> {
        match source::read_regular(path) {
            Ok(bytes) => Some(self.split_page(bytes, path, place)),
            Err(error) => {
                let reason = source::reason(&error);
                self.error(place, format!("cannot read {}: {reason}", path.display()));
                None
            }
        }
    }

    fn split_page(&mut self, bytes: Vec<u8>, path: &Path, place: Span) -> ErrorPage {
        let Some((mut header_lines, at)) = header_lines(&bytes) else {
            return ErrorPage { header_lines: Vec::new(), body: bytes };
        };
        header_lines.retain(|line| {
            let name = line.split(':').next().unwrap_or("");
            let own = OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
            if own {
                self.warn(place, format!("{} cannot set {name}; the line is left out", path.display()));
            }
            !own
        });
        ErrorPage { header_lines, body: bytes[at..].to_vec() }
    }
}

/// The header lines a page starts with, and where its body starts. None when the page has no such lines or no
/// empty line after them: then all of it is the body.
fn header_lines(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut lines = Vec::new();
    let mut at = 0;
    loop {
        let length = bytes[at..].iter().position(|b| *b == b'\n')?;
        let line = bytes[at..at + length].trim_ascii_end();
        at += length + 1;
        if line.is_empty() {
            return if lines.is_empty() { None } else { Some((lines, at)) };
        }
        let line = std::str::from_utf8(line).ok()?;
        let (name, value) = line.split_once(':')?;
        if !super::header::is_token(name) || !super::header::is_value(value) {
            return None;
        }
        lines.push(format!("{name}: {}", value.trim_matches([' ', '\t'])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_start_with_headers() {
        let (lines, at) = header_lines(b"Retry-After:  5\r\nX: y\n\nbody").expect("headers");
        assert_eq!((lines, at), (vec!["Retry-After: 5".to_owned(), "X: y".to_owned()], 23));
    }

    /// Pages written for Pound before 4.17 are all body, whatever colons they hold.
    #[test]
    fn a_page_without_headers_is_all_body() {
        for page in
            ["", "\nbody", "<html>\n\nx: y\n", "Error: sorry", "Sorry, error: x\n\nbody", "a b: c\n\nx"]
        {
            assert_eq!(header_lines(page.as_bytes()), None, "{page:?}");
        }
    }
}
