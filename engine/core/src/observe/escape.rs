//! Text of peers in lines of ours.

use crate::Peer;
use crate::http::h1::write::decimal;
use std::io::Write;
use std::net::IpAddr;

/// Appends `text` so that it can neither end a line nor a quoted part of it, nor drive a terminal: quotes
/// and backslashes get a backslash, control bytes and bytes above 7E become `\xHH`.
pub fn text(text: &[u8], out: &mut Vec<u8>) {
    // Nearly all text is plain. Without a way out of the loop the compiler looks at many bytes at once.
    if text.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
        out.extend_from_slice(text);
    } else {
        each(text, out);
    }
}

fn is_plain(byte: u8) -> bool {
    (byte.wrapping_sub(b' ') <= b'~' - b' ') & (byte != b'"') & (byte != b'\\')
}

fn each(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text {
        if is_plain(byte) {
            out.push(byte);
        } else if matches!(byte, b'"' | b'\\') {
            out.extend_from_slice(&[b'\\', byte]);
        } else {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'x', high, low]);
        }
    }
}

/// Appends `text` as the inside of a JSON string (RFC 8259 7). What is not UTF-8 becomes U+FFFD; control characters,
/// those of the second set too, are escaped.
pub fn json(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
        return out.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
                // Line ends to some readers of lines.
                '\u{2028}' | '\u{2029}' => unicode(char, out),
                _ if char.is_control() => unicode(char, out),
                _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends `\uHHHH`; the character is below U+10000.
fn unicode(char: char, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u32| HEX[(char as usize >> shift) & 15];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// Appends a number in decimal.
pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(decimal(number, &mut [0; 20]));
}

/// Appends a peer's address without its port: IPv6 in brackets, `socket` for a UNIX peer. Anonymised, the
/// last octet or group is 0.
pub fn peer(peer: Peer, anonymise: bool, out: &mut Vec<u8>) {
    let start = out.len();
    match peer.ip() {
        None => return out.extend_from_slice(b"socket"),
        Some(IpAddr::V4(address)) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(u64::from(octet), out);
            }
        }
        // Writing to a Vec cannot fail.
        Some(IpAddr::V6(address)) => _ = write!(out, "[{address}]"),
    }
    if anonymise {
        let closing = out.last() == Some(&b']');
        if let Some(mark) = out[start..].iter().rposition(|byte| matches!(byte, b'.' | b':')) {
            out.truncate(start + mark + 1);
            out.extend_from_slice(if closing { b"0]" } else { b"0" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(address: &str, anonymise: bool) -> String {
        let mut out = b"1.2:".to_vec();
        peer(Peer::Inet(address.parse().expect("an address")), anonymise, &mut out);
        String::from_utf8(out).expect("text").split_off(4)
    }

    #[test]
    fn a_peer_is_its_address_without_port() {
        assert_eq!(shown("192.0.2.7:80", false), "192.0.2.7");
        assert_eq!(shown("[2001:db8::1]:80", false), "[2001:db8::1]");
        assert_eq!(shown("[::ffff:192.0.2.7]:80", false), "192.0.2.7");
        let mut out = Vec::new();
        peer(Peer::Unix, true, &mut out);
        assert_eq!(out, b"socket");
    }

    #[test]
    fn anonymised_the_last_octet_or_group_is_zero() {
        assert_eq!(shown("192.0.2.177:80", true), "192.0.2.0");
        assert_eq!(shown("[2001:db8:1:2:3:4:5:6]:80", true), "[2001:db8:1:2:3:4:5:0]");
        assert_eq!(shown("[2001:db8::1]:80", true), "[2001:db8::0]");
        assert_eq!(shown("[2001:db8::]:80", true), "[2001:db8::0]");
    }

    #[test]
    fn json_strings_hold_any_bytes() {
        let mut out = Vec::new();
        json(b"plain", &mut out);
        json("|a\"b\\c\r\n\x1b\u{85}\u{2028}\u{e9}\u{1f600}".as_bytes(), &mut out);
        json(b"|\xff\xc3|", &mut out);
        let shown = String::from_utf8(out).expect("UTF-8");
        assert_eq!(
            shown,
            "plain|a\\\"b\\\\c\\u000d\\u000a\\u001b\\u0085\\u2028\u{e9}\u{1f600}|\u{fffd}\u{fffd}|"
        );
    }

    /// Nothing that a peer sends can end a line, close a quote or reach a terminal as a command.
    #[test]
    fn every_byte_becomes_printable_ascii() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        text(&all, &mut out);
        assert!(out.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let mut out = Vec::new();
        text("a\"b\\c\r\n\x1b[31m\x7f\u{e9}".as_bytes(), &mut out);
        assert_eq!(out, br#"a\"b\\c\x0d\x0a\x1b[31m\x7f\xc3\xa9"#);
    }
}
