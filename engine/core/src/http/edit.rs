//! Heads that are changed before they are written.
//!
//! New lines go behind the bytes of the head, and spans are pointed at them: what other spans refer to never moves.

use super::fields::{Field, Fields, Known, Span};
use super::octets::{self, NOT_VALUE, OCTETS};
use crate::limits::REWRITTEN_BYTES_MAX;

/// The head has become longer than any may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Adds bytes behind a head.
pub(crate) fn append(bytes: &mut Vec<u8>, parts: &[&[u8]]) -> Result<Span, TooLong> {
    let start = bytes.len();
    if start + parts.iter().map(|part| part.len()).sum::<usize>() > REWRITTEN_BYTES_MAX {
        return Err(TooLong);
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    // The cap keeps offsets far below 32 bits.
    Ok(Span { start: start as u32, end: bytes.len() as u32 })
}

/// A new field. Control bytes in its value become spaces (RFC 9110 5.5): it may hold parts of a request, and none of
/// them may begin a line.
pub(crate) fn field(bytes: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<Field, TooLong> {
    let name = append(bytes, &[name])?;
    append(bytes, &[b": "])?;
    let value = append(bytes, &[octets::trim(value)])?;
    for byte in &mut bytes[value.start as usize..] {
        if OCTETS[*byte as usize] & NOT_VALUE != 0 {
            *byte = b' ';
        }
    }
    append(bytes, &[b"\r\n"])?;
    let known = match Known::of(name.of(bytes)) {
        // What is left out of a request is the client's own field; this one is ours.
        Known::XSsl => Known::Other,
        known => known,
    };
    Ok(Field { name, value, known, hop: false })
}

/// Gives the first field of this name another value, or adds it. A field that ends at us is another matter.
pub(crate) fn set(
    bytes: &mut Vec<u8>,
    fields: &mut Fields,
    name: &[u8],
    value: &[u8],
) -> Result<Field, TooLong> {
    let place = fields.iter().position(|field| !field.hop && field.name.of(bytes).eq_ignore_ascii_case(name));
    let field = field(bytes, name, value)?;
    fields.put(place, field);
    Ok(field)
}

/// Leaves out each field whose whole line matches, but for those that frame the message or end at us.
pub(crate) fn delete(bytes: &[u8], fields: &mut Fields, mut matches: impl FnMut(&[u8]) -> bool) {
    let mut line = Vec::new();
    fields.retain(|field| {
        if field.hop || matches!(field.known, Known::ContentLength | Known::TransferEncoding) {
            return true;
        }
        line.clear();
        line.extend_from_slice(field.name.of(bytes));
        line.extend_from_slice(b": ");
        line.extend_from_slice(field.value.of(bytes));
        !matches(&line)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::head::RequestHead;
    use crate::http::rules::Rules;

    fn head(lines: &str) -> (Vec<u8>, RequestHead) {
        let bytes = format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes();
        let mut head = RequestHead::default();
        parse::request(&bytes, &Rules { line_max: 4096, methods: 3, max_uri: None }, &mut head)
            .expect("a request");
        (bytes, head)
    }

    fn shown(bytes: &[u8], fields: &Fields) -> Vec<String> {
        let text = |span: Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
        fields.iter().map(|field| format!("{}: {}", text(field.name), text(field.value))).collect()
    }

    #[test]
    fn the_first_field_of_a_name_is_replaced_in_its_place() {
        let (mut bytes, mut head) = head("Host: h\r\nX-A: 1\r\nx-a: 2\r\n");
        set(&mut bytes, &mut head.fields, b"X-a", b" new ").expect("room");
        set(&mut bytes, &mut head.fields, b"X-B", b"").expect("room");
        assert_eq!(shown(&bytes, &head.fields), ["Host: h", "X-a: new", "x-a: 2", "X-B: "]);
        assert!(head.fields.is_scattered());
        assert!(head.fields.iter().all(|field| field.is_plain(&bytes)));
    }

    #[test]
    fn no_value_begins_a_line() {
        let (mut bytes, mut head) = head("Host: h\r\n");
        set(&mut bytes, &mut head.fields, b"X-A", b"a\r\nX-B: c\x00\x7f").expect("room");
        assert_eq!(shown(&bytes, &head.fields), ["Host: h", "X-A: a  X-B: c  "]);
    }

    #[test]
    fn what_frames_a_message_is_not_deleted_and_what_ends_here_is_not_replaced() {
        let (mut bytes, mut head) =
            head("Host: h\r\nContent-Length: 5\r\nConnection: X-A\r\nX-A: 1\r\nX-B: 2\r\n");
        delete(&bytes, &mut head.fields, |_| true);
        assert_eq!(shown(&bytes, &head.fields), ["Content-Length: 5", "Connection: X-A", "X-A: 1"]);
        assert!(!head.fields.has(Known::Host));
        set(&mut bytes, &mut head.fields, b"X-A", b"2").expect("room");
        assert_eq!(head.fields.iter().filter(|field| !field.hop).count(), 2);
    }

    #[test]
    fn heads_do_not_grow_without_end() {
        let (mut bytes, mut head) = head("Host: h\r\n");
        let value = vec![b'a'; REWRITTEN_BYTES_MAX];
        assert_eq!(set(&mut bytes, &mut head.fields, b"X-A", &value), Err(TooLong));
    }
}
