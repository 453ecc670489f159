//! The chunked coding, taken apart (RFC 9112 7.1), strictly.
//!
//! Line ends are CRLF and nothing else: a decoder that takes a bare LF, and one that does not, see two
//! different bodies in the same bytes. Sizes are hexadecimal digits and nothing else. Extensions are checked
//! and dropped. Trailers are checked as header fields are, and kept.

use crate::http::fields::Known;
use crate::http::limits::{CHUNK_DIGITS_MAX, EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::http::octets::{self, HEX, NOT_VALUE, OCTETS, TOKEN};
use std::ops::Range;

/// A chunked body that is none. A request with one is refused with 400; a response is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkFault {
    /// What is wrong, for the log.
    pub why: &'static str,
}

/// What a call of [`Decoder::decode`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes that belonged to the body, framing included. Fewer than were given only if the body has ended.
    pub consumed: usize,
    /// Where the payload is now. The first run stays where it was and later ones are moved up to it, so that
    /// a buffer that holds one chunk is not copied: drop what is before and behind.
    pub payload: Range<usize>,
    /// The body has ended; the trailers are there.
    pub done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the size; so many digits so far.
    Size(u8),
    /// In an extension.
    Extension(Extension),
    /// Behind the CR of a size line.
    SizeLf,
    /// In the payload of a chunk.
    Data,
    /// Behind the payload.
    DataCr,
    /// Behind the CR after the payload.
    DataLf,
    /// In the trailer section.
    Trailer,
    /// Behind the end.
    Done,
}

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    /// In blanks that a semicolon must follow.
    Before,
    /// Behind a semicolon.
    NameStart,
    Name,
    /// In blanks behind a name: `=` or a semicolon must follow.
    AfterName,
    /// Behind `=`.
    ValueStart,
    Token,
    Quoted,
    /// Behind a backslash in a quoted string.
    Escaped,
    /// Behind a closing quote.
    AfterQuoted,
}

/// Takes a chunked body apart, however it is cut into buffers.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    /// Bytes of the current chunk that have not come yet.
    left: u64,
    /// Bytes of extensions that no payload has paid for.
    debt: u32,
    /// Start of the trailer line that is coming in.
    line: usize,
    trailers: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder at the start of a body. Allocates nothing unless there are trailers.
    #[must_use]
    pub const fn new() -> Decoder {
        Decoder { state: State::Size(0), left: 0, debt: 0, line: 0, trailers: Vec::new() }
    }

    /// Takes all of `bytes` that belongs to the body. What lies outside [`Decoded::payload`] is of no use
    /// afterwards, but for what follows the body.
    ///
    /// # Errors
    /// A byte that must not be where it is. The decoder is of no use after that.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, ChunkFault> {
        let mut at = 0;
        let mut payload = 0..0;
        while at < bytes.len() {
            match self.state {
                State::Data => {
                    let run = at..at + self.take(bytes.len() - at);
                    at = run.end;
                    append(bytes, &mut payload, run);
                }
                State::Trailer => at += self.trailer(&bytes[at..])?,
                State::Done => break,
                _ => {
                    self.state = self.frame(bytes[at])?;
                    at += 1;
                }
            }
        }
        Ok(Decoded { consumed: at, payload, done: self.state == State::Done })
    }

    /// The trailer section: its lines with CRLF, without the empty line. Complete when the body has ended.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        &self.trailers[..self.line]
    }

    /// Payload bytes of the current chunk that have not come yet.
    #[must_use]
    pub fn left_in_chunk(&self) -> u64 {
        self.left
    }

    /// Books up to `available` bytes of payload, and says how many.
    fn take(&mut self, available: usize) -> usize {
        let taken = self.left.min(available as u64);
        self.left -= taken;
        self.debt = self.debt.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        if self.left == 0 {
            self.state = State::DataCr;
        }
        taken as usize
    }

    /// One byte of the framing around the payload.
    #[inline]
    fn frame(&mut self, byte: u8) -> Result<State, ChunkFault> {
        let fault = |why| Err(ChunkFault { why });
        match self.state {
            State::Size(digits) => match byte {
                _ if OCTETS[byte as usize] & HEX != 0 => {
                    if digits == CHUNK_DIGITS_MAX {
                        return fault("chunk size too long");
                    }
                    self.left = self.left << 4 | u64::from(hex(byte));
                    Ok(State::Size(digits + 1))
                }
                _ if digits == 0 => fault("chunk size without a digit"),
                b'\r' => Ok(State::SizeLf),
                b';' => Ok(State::Extension(Extension::NameStart)),
                b' ' | b'\t' => Ok(State::Extension(Extension::Before)),
                _ => fault("illegal byte in a chunk size"),
            },
            State::Extension(place) => {
                self.debt += 1;
                if self.debt > EXTENSION_BYTES_MAX {
                    return fault("too many chunk extensions");
                }
                place.next(byte).ok_or(ChunkFault { why: "malformed chunk extension" })
            }
            State::SizeLf if byte == b'\n' => Ok(if self.left == 0 { State::Trailer } else { State::Data }),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::Size(0)),
            State::SizeLf => fault("chunk size line does not end in CRLF"),
            State::DataCr | State::DataLf => fault("chunk is longer than its size"),
            // These have no framing bytes of their own.
            State::Data | State::Trailer | State::Done => Ok(self.state),
        }
    }

    /// Takes up to the end of a trailer line; says how many bytes that were.
    fn trailer(&mut self, bytes: &[u8]) -> Result<usize, ChunkFault> {
        let fault = |why| Err(ChunkFault { why });
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.map_or(bytes.len(), |end| end + 1)];
        if self.trailers.len() + part.len() > TRAILER_BYTES_MAX {
            return fault("trailer section too large");
        }
        self.trailers.extend_from_slice(part);
        if end.is_none() {
            return Ok(part.len());
        }
        match &self.trailers[self.line..] {
            b"\r\n" => {
                self.trailers.truncate(self.line);
                self.state = State::Done;
            }
            [line @ .., b'\r', b'\n'] => {
                check_trailer(line)?;
                self.line = self.trailers.len();
            }
            _ => return fault("trailer line does not end in CRLF"),
        }
        Ok(part.len())
    }
}

impl Extension {
    /// Where the next byte leads; `None` if it must not be here.
    fn next(self, byte: u8) -> Option<State> {
        use Extension as E;
        let token = OCTETS[byte as usize] & TOKEN != 0;
        let blank = matches!(byte, b' ' | b'\t');
        let next = match (self, byte) {
            (E::Name | E::Token | E::AfterQuoted, b'\r') => return Some(State::SizeLf),
            (E::Before | E::Name | E::AfterName | E::Token | E::AfterQuoted, b';') => E::NameStart,
            (E::Name | E::AfterName, b'=') => E::ValueStart,
            (E::ValueStart, b'"') => E::Quoted,
            (E::Quoted, b'"') => E::AfterQuoted,
            (E::Quoted, b'\\') => E::Escaped,
            (E::Quoted | E::Escaped, _) if OCTETS[byte as usize] & NOT_VALUE == 0 => E::Quoted,
            (E::NameStart | E::Name, _) if token => E::Name,
            (E::ValueStart | E::Token, _) if token => E::Token,
            (E::Before | E::NameStart | E::AfterName | E::ValueStart, _) if blank => self,
            (E::Name, _) if blank => E::AfterName,
            (E::Token | E::AfterQuoted, _) if blank => E::Before,
            _ => return None,
        };
        Some(State::Extension(next))
    }
}

/// Appends a run of payload to what is there: by naming it if it is the first, else by moving it up.
#[inline]
fn append(bytes: &mut [u8], payload: &mut Range<usize>, run: Range<usize>) {
    if payload.start == payload.end {
        *payload = run;
    } else {
        let len = run.len();
        bytes.copy_within(run, payload.end);
        payload.end += len;
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Fields that must not come behind a body (RFC 9110 6.5.1): those that say where a message ends, where it
/// goes, who sent it, or how its body is read. A backend that merges trailers into its fields would believe
/// them.
const NOT_BEHIND: u64 = Known::Host.bit()
    | Known::ContentLength.bit()
    | Known::TransferEncoding.bit()
    | Known::Disguised.bit()
    | Known::Connection.bit()
    | Known::KeepAlive.bit()
    | Known::ProxyConnection.bit()
    | Known::Te.bit()
    | Known::Trailer.bit()
    | Known::Upgrade.bit()
    | Known::Expect.bit()
    | Known::MaxForwards.bit()
    | Known::Cookie.bit()
    | Known::SetCookie.bit()
    | Known::Authorization.bit()
    | Known::ProxyAuthenticate.bit()
    | Known::ProxyAuthorization.bit()
    | Known::WwwAuthenticate.bit()
    | Known::XForwardedFor.bit()
    | Known::XForwardedProto.bit()
    | Known::XForwardedPort.bit()
    | Known::XSsl.bit()
    | Known::ContentType.bit()
    | Known::ContentEncoding.bit()
    | Known::ContentRange.bit()
    | Known::CacheControl.bit()
    | Known::Location.bit();

/// A trailer line is `token ":" value` (RFC 9112 7.1.2), as strictly as in a head.
fn check_trailer(line: &[u8]) -> Result<(), ChunkFault> {
    let fault = |why| Err(ChunkFault { why });
    let Some(colon) = memchr::memchr(b':', line) else { return fault("trailer line without colon") };
    let (name, value) = line.split_at(colon);
    if !octets::is_token(name) {
        return fault("malformed trailer name");
    }
    if octets::union(value) & NOT_VALUE != 0 {
        return fault("illegal byte in a trailer value");
    }
    if Known::of(name).bit() & NOT_BEHIND != 0 {
        return fault("field that must not be a trailer");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything at once: payload, trailers, and what follows the body.
    fn decode(text: &str) -> Result<(String, String, String), &'static str> {
        let mut bytes = text.as_bytes().to_vec();
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(&mut bytes).map_err(|fault| fault.why)?;
        if !decoded.done {
            assert_eq!(decoded.consumed, text.len());
            return Err("not done");
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&bytes[decoded.payload]), text(decoder.trailers()), text(&bytes[decoded.consumed..])))
    }

    fn is(text: &str, payload: &str, trailers: &str, rest: &str) {
        assert_eq!(decode(text), Ok((payload.into(), trailers.into(), rest.into())), "{text:?}");
    }

    #[test]
    fn well_formed_bodies() {
        is("0\r\n\r\n", "", "", "");
        is("5\r\nhello\r\n0\r\n\r\nGET", "hello", "", "GET");
        is("1\r\na\r\n0A\r\n0123456789\r\n002\r\nbc\r\n000\r\n\r\n", "a0123456789bc", "", "");
        is("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", "");
        is("0\r\nA: b\r\nC:\r\n\r\nx", "", "A: b\r\nC:\r\n", "x");
    }

    #[test]
    fn extensions_are_removed() {
        for extension in [
            ";a",
            ";a=b",
            ";a;b=c",
            " ;a",
            "\t; a = b ;c",
            ";a=\"q\"",
            ";a=\"\\\"\\\\ ;\r\"",
            ";a=\"\" ;b",
            ";a = \"x\";b",
            "; a",
        ] {
            if extension.contains('\r') {
                continue;
            }
            is(&format!("3{extension}\r\nabc\r\n0{extension}\r\n\r\n"), "abc", "", "");
        }
    }

    #[test]
    fn malformed_framing() {
        for text in [
            "\r\n",
            ";a\r\n",
            " 1\r\na\r\n",
            "1 \r\na\r\n",
            "1\t\r\n",
            "+1\r\na\r\n",
            "-1\r\n",
            "0x1\r\na\r\n",
            "g\r\n",
            "1\na\r\n",
            "1\r\na\n",
            "1\r\nab\r\n",
            "1\r\n\r\n\r\n",
            "1\ra",
            "1\r\na\ra",
            "1_0\r\n",
            "1.\r\n",
            "1\0\r\n",
            "0\r\n\n",
            "0\r\n\r\r\n",
            "0\n\r\n",
            "0\r\n \r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhell\r\n0\r\n\r\n",
            "0000000000000000\r\n",
            "ffffffffffffffff\r\n",
            "10000000000000000\r\n",
        ] {
            assert!(decode(text).is_err_and(|why| why != "not done"), "{text:?}");
        }
    }

    #[test]
    fn malformed_extensions() {
        for extension in [
            ";",
            ";;a",
            ";a=",
            ";a==b",
            ";=b",
            ";a=b c",
            ";a b",
            ";a\"b\"",
            ";a=\"b",
            ";a=\"b\"c",
            ";a=\"\u{1}\"",
            ";a\n",
            ";a=\"\n\"",
            ";a ",
            "; ",
            " a",
            ";a=b,",
            ";\u{e9}",
            ";a=\"\\\n\"",
            ";a=\"\\\r\n\"",
        ] {
            let why = decode(&format!("1{extension}\r\na\r\n0\r\n\r\n"));
            assert_eq!(why, Err("malformed chunk extension"), "{extension:?}");
        }
    }

    #[test]
    fn extensions_need_payload() {
        let mut decoder = Decoder::new();
        let mut chunk = format!("1;{}\r\na\r\n", "x".repeat(99)).into_bytes();
        let outcome = (0..60).try_for_each(|_| decoder.decode(&mut chunk.clone()).map(|_| ()));
        assert_eq!(outcome, Err(ChunkFault { why: "too many chunk extensions" }));
        let mut decoder = Decoder::new();
        chunk = format!("80;{}\r\n{}\r\n", "x".repeat(99), "a".repeat(128)).into_bytes();
        assert!((0..6000).all(|_| decoder.decode(&mut chunk.clone()).is_ok()));
    }

    #[test]
    fn trailers_are_checked_as_headers_are() {
        for line in [
            "A : b",
            " A: b",
            "\tfolded",
            "A",
            ": b",
            "A\u{1}: b",
            "A: b\u{1}",
            "A: b\u{7f}",
            "A: b\rc",
            "A b: c",
            "\u{e9}: b",
            "Content-Length: 1",
            "Transfer-Encoding: chunked",
            "Host: h",
            "X-SSL-Subject: x",
            "x_ssl_subject: x",
            "Cookie: a=b",
            "Connection: close",
            "X-Forwarded-For: 1",
            "Trailer: a",
            "Content_Length: 1",
        ] {
            assert!(decode(&format!("0\r\n{line}\r\n\r\n")).is_err_and(|why| why != "not done"), "{line:?}");
        }
        assert!(decode("0\r\nA: b\n\r\n").is_err_and(|why| why != "not done"));
        let long = format!("0\r\nA: {}\r\n\r\n", "b".repeat(TRAILER_BYTES_MAX));
        assert_eq!(decode(&long), Err("trailer section too large"));
    }

    #[test]
    fn a_single_chunk_is_not_moved() {
        let mut bytes = b"5\r\nhello".to_vec();
        let mut decoder = Decoder::new();
        assert_eq!(decoder.decode(&mut bytes), Ok(Decoded { consumed: 8, payload: 3..8, done: false }));
        assert_eq!(decoder.left_in_chunk(), 0);
        let mut bytes = b"\r\n1000\r\nab".to_vec();
        assert_eq!(decoder.decode(&mut bytes), Ok(Decoded { consumed: 10, payload: 8..10, done: false }));
        assert_eq!(decoder.left_in_chunk(), 4094);
    }
}
