//! Which bytes may stand where: one table, one bit per place.

/// May stand in a token (RFC 9110 5.6.2): field names, methods, options.
pub(crate) const TOKEN: u8 = 1;
/// May not stand in a path or query (RFC 3986 3.3 and 3.4; RFC 9112 3.2).
pub(crate) const NOT_TARGET: u8 = 2;
/// May not stand in a host name or port (RFC 3986 3.2.2).
pub(crate) const NOT_HOST: u8 = 4;
/// Opens a percent-encoded byte, so that the two bytes behind it must be looked at.
pub(crate) const PERCENT: u8 = 8;
/// A square bracket: see [`super::target`].
pub(crate) const BRACKET: u8 = 16;
/// May not stand in a field value (RFC 9110 5.5): controls but TAB, and DEL.
pub(crate) const NOT_VALUE: u8 = 32;
/// A hexadecimal digit.
pub(crate) const HEX: u8 = 64;

/// What each byte may be.
pub(crate) static OCTETS: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = classes(at as u8);
        at += 1;
    }
    table
}

const fn classes(byte: u8) -> u8 {
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let sub_delims =
        matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
    let bracket = matches!(byte, b'[' | b']');
    let mut class = 0;
    if byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
    {
        class |= TOKEN;
    }
    if !(unreserved || sub_delims || bracket || matches!(byte, b':' | b'@' | b'/' | b'?' | b'%')) {
        class |= NOT_TARGET;
    }
    if !(unreserved || sub_delims || byte == b'%') {
        class |= NOT_HOST;
    }
    if byte == b'%' {
        class |= PERCENT;
    }
    if bracket {
        class |= BRACKET;
    }
    if (byte < b' ' && byte != b'\t') || byte == 0x7f {
        class |= NOT_VALUE;
    }
    if byte.is_ascii_hexdigit() {
        class |= HEX;
    }
    class
}

/// The union of the classes of some bytes. No branch per byte: legal input is the normal case and is read to
/// its end anyway.
#[inline]
pub(crate) fn union(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |seen, &byte| seen | OCTETS[byte as usize])
}

/// Whether it is one token.
#[inline]
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| OCTETS[byte as usize] & TOKEN != 0)
}

/// Whether two hexadecimal digits follow each percent sign.
pub(crate) fn percent_is_whole(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'%', bytes)
        .all(|at| bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)))
}

/// Without spaces and tabs around it.
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list (RFC 9110 5.6.1), trimmed, empty ones included.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}
