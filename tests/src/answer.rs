//! HTTP/1 messages as a strict reader sees them: what is not exactly right is an error, never repaired.

use std::fmt;

/// The longest head that is believed.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Header fields in the order they came, names as they were spelled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of the first field of this name, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all fields of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let matches = move |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        self.0.iter().filter(matches).map(|(_, value)| value.as_str())
    }

    /// Whether a field of this name lists this word.
    #[must_use]
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|listed| listed.trim().eq_ignore_ascii_case(word))
    }
}

/// The first line and the fields of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// As it came, without its line end.
    pub first_line: String,
    /// The fields.
    pub fields: Fields,
    /// All of it as it came, the empty line included.
    pub raw: Vec<u8>,
}

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 0 or 1: the `x` of `HTTP/1.x`.
    pub minor: u8,
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The fields.
    pub fields: Fields,
    /// The head as it came.
    pub raw_head: Vec<u8>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Fields after a chunked body.
    pub trailers: Fields,
    /// Interim responses that came before.
    pub interim: Vec<Head>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the connection ends with this answer.
    #[must_use]
    pub fn closes(&self) -> bool {
        match self.minor {
            0 => !self.fields.lists("Connection", "keep-alive"),
            _ => self.fields.lists("Connection", "close"),
        }
    }
}

/// How long a message's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Bytes(u64),
    /// It comes in chunks.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// Why a message was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The connection was closed before the first byte.
    Closed,
    /// The connection was closed within the message.
    Cut,
    /// The connection was reset.
    Reset,
    /// Nothing came for too long.
    Silence,
    /// It is no correct message.
    Malformed(String),
    /// Anything else that the kernel reports.
    Other(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Malformed(why) => write!(out, "malformed: {why}"),
            Broken::Other(why) => out.write_str(why),
            plain => write!(out, "{plain:?}"),
        }
    }
}

/// Where a head ends, its empty line included.
///
/// # Errors
/// When it is longer than any honest head.
pub fn head_end(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    if end.is_none() && bytes.len() > HEAD_BYTES_MAX {
        return Err(Broken::Malformed("a head without end".into()));
    }
    Ok(end)
}

/// Reads a head, given whole.
///
/// # Errors
/// When a line is no header line.
pub fn read_head(raw: &[u8]) -> Result<Head, Broken> {
    let bad = |why: String| Broken::Malformed(why);
    let text = raw.strip_suffix(b"\r\n\r\n").ok_or_else(|| bad("a head without its end".into()))?;
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    if text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err(bad(format!("a line end that is not CRLF: {text:?}")));
    }
    let mut lines = text.split("\r\n");
    let first_line = lines.next().unwrap_or_default().to_owned();
    let fields = lines.map(field).collect::<Result<Vec<_>, Broken>>()?;
    Ok(Head { first_line, fields: Fields(fields), raw: raw.to_vec() })
}

fn field(line: &str) -> Result<(String, String), Broken> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match line.split_once(':') {
        Some((name, value)) if !name.is_empty() && name.bytes().all(is_token) => {
            Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        }
        _ => Err(Broken::Malformed(format!("no header line: {line:?}"))),
    }
}

/// Reads a status line: minor version, code and reason.
///
/// # Errors
/// When it is none.
pub fn status_line(line: &str) -> Result<(u8, u16, String), Broken> {
    let read = || {
        let rest = line.strip_prefix("HTTP/1.")?;
        let (minor, rest) = rest.split_at_checked(1)?;
        let (code, reason) = rest.strip_prefix(' ')?.split_at_checked(3)?;
        let reason = reason.strip_prefix(' ')?;
        let minor = minor.parse().ok().filter(|minor| *minor < 2)?;
        Some((minor, code.parse().ok()?, reason.to_owned()))
    };
    read().ok_or_else(|| Broken::Malformed(format!("no status line: {line:?}")))
}

/// The length of a body that its fields announce; `None` if they announce nothing.
///
/// # Errors
/// When they contradict themselves or each other (RFC 9112 6.3).
pub fn announced(fields: &Fields) -> Result<Option<Length>, Broken> {
    let lengths: Vec<&str> = fields.all("Content-Length").collect();
    let codings: Vec<&str> = fields.all("Transfer-Encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(None),
        ([], ["chunked"]) => Ok(Some(Length::Chunked)),
        ([digits], []) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = digits.parse().map_err(|_| Broken::Malformed(format!("a length of {digits}")))?;
            Ok(Some(Length::Bytes(length)))
        }
        _ => Err(Broken::Malformed(format!("lengths {lengths:?} and codings {codings:?}"))),
    }
}

/// The length of a response's body (RFC 9112 6.3).
///
/// # Errors
/// As [`announced`].
pub fn response_length(status: u16, to_head: bool, fields: &Fields) -> Result<Length, Broken> {
    let announced = announced(fields)?;
    if to_head || status == 204 || status == 304 || status < 200 {
        // RFC 9112 6.1: an interim or bodyless response must not announce a transfer coding.
        if announced == Some(Length::Chunked) && (status == 204 || status < 200) {
            return Err(Broken::Malformed(format!("Transfer-Encoding in a {status}")));
        }
        return Ok(Length::Bytes(0));
    }
    Ok(announced.unwrap_or(Length::UntilClose))
}

/// A chunk-size line without its line end: the size.
///
/// # Errors
/// When it is none, or has an extension: whoever forwards must have removed it.
pub fn chunk_size(line: &[u8]) -> Result<usize, Broken> {
    let text = std::str::from_utf8(line).unwrap_or("?");
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = if is_hex { usize::from_str_radix(text, 16).ok() } else { None };
    size.ok_or_else(|| Broken::Malformed(format!("no chunk size: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        read_head(format!("x\r\n{text}\r\n").as_bytes()).unwrap().fields
    }

    #[test]
    fn a_head_is_read_as_it_came() {
        let head = read_head(b"HTTP/1.1 200 OK\r\nA-b: c \r\na-B:\td\r\n\r\n").unwrap();
        assert_eq!(status_line(&head.first_line), Ok((1, 200, "OK".into())));
        assert_eq!(head.fields.all("a-b").collect::<Vec<_>>(), ["c", "d"]);
    }

    #[test]
    fn what_is_not_exactly_right_is_malformed() {
        for head in
            ["x\r\nA : b\r\n\r\n", "x\r\n folded\r\n\r\n", "x\nA: b\r\n\r\n", "x\r\nA\r\n\r\n", "x\r\n"]
        {
            assert!(read_head(head.as_bytes()).is_err(), "{head:?}");
        }
        for line in
            ["HTTP/1.1 200", "HTTP/2.0 200 OK", "HTTP/1.1 20 OK", "http/1.1 200 OK", "HTTP/1.1  200 OK"]
        {
            assert!(status_line(line).is_err(), "{line:?}");
        }
        for line in ["", "x", "1;a", " 1", "1 ", "-1", "+1", "fffffffffffffffff"] {
            assert!(chunk_size(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_malformed() {
        assert_eq!(announced(&fields("Content-Length: 5\r\n")), Ok(Some(Length::Bytes(5))));
        assert_eq!(announced(&fields("Transfer-Encoding: chunked\r\n")), Ok(Some(Length::Chunked)));
        assert!(announced(&fields("Content-Length: 5\r\nContent-Length: 5\r\n")).is_err());
        assert!(announced(&fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")).is_err());
        assert!(announced(&fields("Content-Length: +5\r\n")).is_err());
    }
}
