//! Text of peers in lines of ours.

use crate::Peer;
use std::io::Write;
use std::net::IpAddr;

/// Appends `text` so that it can neither end a line nor a quoted part of it, nor drive a terminal: quotes
/// and backslashes get a backslash, control bytes and bytes above 7E become `\xHH`.
pub fn text(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(&[
                b'\\',
                b'x',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
}

/// Appends a peer's address without its port: IPv6 in brackets, `socket` for a UNIX peer. Anonymised, the
/// last octet or group is 0.
pub fn peer(peer: Peer, anonymise: bool, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing to a Vec cannot fail.
    match peer.ip() {
        None => return out.extend_from_slice(b"socket"),
        Some(IpAddr::V4(address)) => _ = write!(out, "{address}"),
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
