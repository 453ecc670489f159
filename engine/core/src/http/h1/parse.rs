//! From bytes to heads: where a head ends, and what it says.
//!
//! A head is searched for its end as it comes in, and parsed once, when it is whole: parsing each fragment
//! anew is quadratic in what a slow sender sends. The tokenising is httparse's; it stops at nothing that RFC
//! 9112 forbids in meaning rather than in bytes, so what it returns goes through [`crate::http::sanitize`]
//! before anybody sees it.

use crate::http::fields::{Field, Fields, Known, Span};
use crate::http::h1::framing;
use crate::http::head::{Framing, Refusal, RequestHead, ResponseFault, ResponseHead, Version};
use crate::http::hop;
use crate::http::limits::{FIELDS_MAX, HEAD_BYTES_MAX};
use crate::http::rules::{LONG_HEADER_LINE, LONG_REQUEST_LINE, Lines, ResponseRules, Rules};
use crate::http::sanitize::{self, Draft};
use crate::http::upgrade;
use httparse::{Error, Header, ParserConfig, Status};
use std::mem::MaybeUninit;

/// How many bytes of empty lines precede a request line (RFC 9112 2.2 has them ignored). A CR at the very end
/// is left: what it is depends on the next byte.
#[must_use]
pub fn skip_empty_lines(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match &bytes[at..] {
            [b'\n', ..] => at += 1,
            [b'\r', b'\n', ..] => at += 2,
            _ => return at,
        }
    }
}

/// The length of the head that `bytes` begin with, its empty line included, once that line is there.
///
/// Lines end in CRLF or LF. `from` is how many bytes an earlier search has seen, 0 at first; it steps back by
/// itself.
#[inline]
#[must_use]
pub fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    // The line end before the empty line may be among the last two bytes seen: LF, or LF CR.
    let from = from.min(bytes.len()).saturating_sub(2);
    for at in memchr::memchr_iter(b'\n', &bytes[from..]) {
        let behind = from + at + 1;
        match bytes[behind..] {
            [b'\n', ..] => return Some(behind + 1),
            [b'\r', b'\n', ..] => return Some(behind + 2),
            _ => {}
        }
    }
    None
}

/// The first line without its end, for the log: also of a head that was refused or is not complete.
#[must_use]
pub fn first_line(bytes: &[u8]) -> &[u8] {
    let line = &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())];
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What can be refused before a head is complete: a line or a head that is too long already. `bytes` begin
/// with the request line. Costs no more than reading the last `line_max` bytes.
#[must_use]
pub fn partial_fault(bytes: &[u8], line_max: u32) -> Option<Refusal> {
    // The shortest line end still has to come, and the line with it must stay below line_max.
    let open_max = (line_max as usize).saturating_sub(2);
    if bytes.len() > open_max && memchr::memchr(b'\n', &bytes[..=open_max]).is_none() {
        return Some(LONG_REQUEST_LINE);
    }
    if bytes.len() >= HEAD_BYTES_MAX {
        return Some(LARGE_HEAD);
    }
    let tail = &bytes[bytes.len().saturating_sub(open_max + 1)..];
    (tail.len() > open_max && memchr::memrchr(b'\n', tail).is_none()).then_some(LONG_HEADER_LINE)
}

const LARGE_HEAD: Refusal = Refusal::new(413, "head too large");
const MANY_FIELDS: Refusal = Refusal::new(413, "too many header fields");

/// Parses and checks a request head. `bytes` are exactly one head: what [`head_end`] measured, without empty
/// lines before it. On success `into` holds the head; on refusal it holds nothing but the method, as far as
/// that was read.
///
/// # Errors
/// A refusal names the status to answer with and the check that failed.
#[inline]
pub fn request(bytes: &[u8], rules: &Rules, into: &mut RequestHead) -> Result<(), Refusal> {
    into.clear();
    let outcome = read_request(bytes, rules, into);
    if outcome.is_err() {
        let method = into.method;
        into.clear();
        into.method = method;
    }
    outcome
}

fn read_request(bytes: &[u8], rules: &Rules, into: &mut RequestHead) -> Result<(), Refusal> {
    if bytes.len() > HEAD_BYTES_MAX {
        return Err(LARGE_HEAD);
    }
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Err(Refusal::bad("empty line before the request line"));
    }
    let mut lines = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let mut config = ParserConfig::default();
    // RFC 9112 3: the parts may be taken as separated by any white space. Pound takes several spaces; the
    // line is written anew with one.
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    match config.parse_request_with_uninit_headers(&mut parsed, bytes, &mut lines) {
        Ok(Status::Complete(len)) if len == bytes.len() => {}
        Ok(_) => return Err(Refusal::bad("head ends before its end")),
        Err(error) => return Err(diagnose(bytes, rules, error)),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Refusal::bad("request line is not complete"));
    };
    into.len = bytes.len() as u32;
    into.version = if version == 0 { Version::H10 } else { Version::H11 };
    into.method_span = Span::within(bytes, method.as_bytes());
    into.target_sent = Span::within(bytes, target.as_bytes());
    let lines = collect(bytes, parsed.headers, &mut into.fields);
    sanitize::request(&mut Draft { bytes, rules, lines, head: into, authority: None, named: None })
}

/// Parses and checks a response head, and says how its body ends. `bytes` are exactly one head. On a fault
/// `into` holds nothing.
///
/// # Errors Everything that section 4 to 6 of RFC 9112 does not allow, an unknown status, and a 101 that
/// nobody asked for.
pub fn response(
    bytes: &[u8],
    rules: &ResponseRules,
    into: &mut ResponseHead,
) -> Result<Framing, ResponseFault> {
    into.clear();
    let outcome = read_response(bytes, rules, into);
    if outcome.is_err() {
        into.clear();
    }
    outcome
}

fn read_response(
    bytes: &[u8],
    rules: &ResponseRules,
    into: &mut ResponseHead,
) -> Result<Framing, ResponseFault> {
    let fault = |why| Err(ResponseFault { why });
    if bytes.len() > HEAD_BYTES_MAX {
        return fault("head too large");
    }
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return fault("empty line before the status line");
    }
    let mut lines = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    // RFC 9112 5.1: in a response such space is removed before it is passed on (the writer does not copy such
    // lines).
    config.allow_spaces_after_header_name_in_responses(true);
    match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut lines) {
        Ok(Status::Complete(len)) if len == bytes.len() => {}
        Ok(_) => return fault("head ends before its end"),
        Err(error) => return fault(explain(error)),
    }
    let (Some(status @ 100..=599), Some(version)) = (parsed.code, parsed.version) else {
        return fault("status is not in 100 to 599");
    };
    into.len = bytes.len() as u32;
    into.status = status;
    into.version = if version == 0 { Version::H10 } else { Version::H11 };
    let longest = collect(bytes, parsed.headers, &mut into.fields);
    if longest.start_line.max(longest.longest) >= rules.line_max {
        return fault("line too long");
    }
    into.reason = reason(bytes);
    // A list that is no list says nothing; the backend's connection is then kept or closed by default.
    let _lenient = hop::mark(bytes, &mut into.fields, &mut into.hop, into.version);
    let answer = framing::response(bytes, &into.fields, into.version, status, rules)?;
    into.length = answer.length;
    into.hop.close |= answer.last;
    into.hop.upgrade = status == 101 && upgrade::is_accept(bytes, into);
    if status == 101 && !(rules.upgrade_offered && into.hop.upgrade) {
        return fault("switch of protocols that was not asked for");
    }
    Ok(answer.framing)
}

/// The text behind the status code. The tokeniser has seen to it that the line is `HTTP/1.x NNN[ text]`; it
/// does not return a text with bytes above 7F, which may stand there.
fn reason(bytes: &[u8]) -> Span {
    const BEFORE: usize = "HTTP/1.1 200 ".len();
    Span { start: BEFORE as u32, end: first_line(bytes).len().max(BEFORE) as u32 }
}

/// Fills the field table and measures the lines by where the next one begins.
#[inline]
fn collect(bytes: &[u8], headers: &[Header<'_>], fields: &mut Fields) -> Lines {
    let empty_line = if bytes.ends_with(b"\r\n") { 2 } else { 1 };
    let end = bytes.len() as u32 - empty_line;
    let start_line = headers.first().map_or(end, |header| Span::within(bytes, header.name.as_bytes()).start);
    let (mut longest, mut line) = (0, start_line);
    fields.extend(headers.iter().map(|header| {
        let name = Span::within(bytes, header.name.as_bytes());
        longest = longest.max(name.start - line);
        line = name.start;
        let known = Known::of(header.name.as_bytes());
        Field { name, value: Span::within(bytes, header.value), known, hop: false }
    }));
    Lines { start_line, longest: longest.max(end - line) }
}

/// What to answer to a head that the tokeniser did not take. Lines are read in their order, so what is wrong
/// with the request line goes first, and a length goes before what the bytes are.
#[cold]
fn diagnose(bytes: &[u8], rules: &Rules, error: Error) -> Refusal {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::len);
    let too_long = |len: usize| len >= rules.line_max as usize;
    if lines.next().is_some_and(too_long) {
        return LONG_REQUEST_LINE;
    }
    match error {
        Error::Token | Error::Version => Refusal::bad(explain(error)),
        _ if lines.any(too_long) => LONG_HEADER_LINE,
        Error::TooManyHeaders => MANY_FIELDS,
        _ => Refusal::bad(explain(error)),
    }
}

fn explain(error: Error) -> &'static str {
    match error {
        Error::HeaderName => "malformed field name",
        Error::HeaderValue => "illegal byte in a field value",
        Error::NewLine => "CR without LF",
        Error::Status => "malformed status line",
        Error::Token => "malformed request line",
        Error::TooManyHeaders => "too many header fields",
        Error::Version => "unknown protocol version",
    }
}
