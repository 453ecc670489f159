//! Repeated fields become one (RFC 9110 5.3).

use super::edit;
use super::fields::{Field, Fields, Known};

/// Joins the repetitions of each field of these names at the place of the first; the bytes are copied only where there
/// is something to join, and are returned then.
pub(crate) fn combine(bytes: &[u8], fields: &mut Fields, names: &[Box<str>]) -> Option<Vec<u8>> {
    let mut copy: Option<Vec<u8>> = None;
    for name in names {
        let now = copy.as_deref().unwrap_or(bytes);
        let Some((place, field, value)) = joined(now, fields, name) else { continue };
        let copy = copy.get_or_insert_with(|| bytes.to_vec());
        let name_sent = field.name.of(bytes).to_vec();
        // What is joined is no longer than what it was joined from, and a copy of a head is far below the cap.
        let Ok(field) = edit::field(copy, &name_sent, &value) else { continue };
        let mut at = 0;
        fields.retain(|field| {
            at += 1;
            at - 1 <= place || !is_one(copy, field, name)
        });
        fields.put(Some(place), field);
    }
    copy
}

/// The first field of a name that stands more than once, where it stands, and the values of all.
fn joined(bytes: &[u8], fields: &Fields, name: &str) -> Option<(usize, Field, Vec<u8>)> {
    let mut same = fields.iter().enumerate().filter(|(_, field)| is_one(bytes, field, name));
    let (place, first) = same.next()?;
    let mut rest = same.map(|(_, field)| field).peekable();
    rest.peek()?;
    let mut value: Vec<u8> = Vec::new();
    for field in std::iter::once(first).chain(rest) {
        for element in elements(field.value.of(bytes)) {
            if !value.is_empty() {
                value.extend_from_slice(b", ");
            }
            value.extend_from_slice(element);
        }
    }
    Some((place, *first, value))
}

/// A field of this name that may be joined with others: not one that frames the message, ends at us, or is not the
/// client's to send.
fn is_one(bytes: &[u8], field: &Field, name: &str) -> bool {
    !field.hop
        && !matches!(field.known, Known::ContentLength | Known::TransferEncoding | Known::Host | Known::XSsl)
        && field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes())
}

/// The elements of a list, split at commas outside quotes; empty ones are left out.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(move |&byte| {
        let escape = std::mem::take(&mut escaped);
        match byte {
            _ if escape => false,
            b'\\' if quoted => {
                escaped = true;
                false
            }
            b'"' => {
                quoted = !quoted;
                false
            }
            byte => byte == b',' && !quoted,
        }
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::head::RequestHead;
    use crate::http::rules::Rules;

    fn combined(lines: &str, names: &[&str]) -> (bool, Vec<String>) {
        let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes();
        let mut head = RequestHead::default();
        parse::request(&bytes, &Rules { line_max: 4096, methods: 3, max_uri: None }, &mut head)
            .expect("a request");
        let names: Vec<Box<str>> = names.iter().map(|name| Box::from(*name)).collect();
        let copy = combine(&bytes, &mut head.fields, &names);
        let now = copy.as_deref().unwrap_or(&bytes);
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        let shown = |field: &Field| format!("{}: {}", text(field.name.of(now)), text(field.value.of(now)));
        (copy.is_some(), head.fields.iter().skip(1).map(shown).collect())
    }

    #[test]
    fn repeated_fields_are_joined_at_the_place_of_the_first() {
        let lines = "Accept: a,, b\r\nX: 1\r\naccept: \"c, \\\"d\", e\r\nAccept:\r\nY: 2\r\nx: 3\r\n";
        let (copied, shown) = combined(lines, &["ACCEPT", "Y"]);
        assert!(copied);
        assert_eq!(shown, ["Accept: a, b, \"c, \\\"d\", e", "X: 1", "Y: 2", "x: 3"]);
        let (_, shown) = combined(lines, &["x", "accept"]);
        assert_eq!(shown, ["Accept: a, b, \"c, \\\"d\", e", "X: 1, 3", "Y: 2"]);
    }

    #[test]
    fn what_stands_once_is_not_touched() {
        let (copied, shown) = combined("Accept: a,, b\r\n", &["Accept", "None"]);
        assert!(!copied);
        assert_eq!(shown, ["Accept: a,, b"]);
    }

    #[test]
    fn fields_that_end_here_and_forged_ones_stay_what_they_are() {
        let (copied, shown) =
            combined("X-SSL-A: 1\r\nX-SSL-A: 2\r\nConnection: B\r\nB: 1\r\nB: 2\r\n", &["X-SSL-A", "B"]);
        assert!(!copied, "{shown:?}");
    }
}
