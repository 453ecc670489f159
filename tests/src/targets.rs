//! What the fuzzers try, and what must hold whatever the bytes are. The harnesses of `tests/fuzz` and the replay of
//! their corpora (`tests/tests/corpus.rs`) call these.

use ounce_conf::{Diagnostic, Level, Options, load_text, upgrade_text};
use ounce_core::http::h1::chunked::Decoder;
use ounce_core::http::h1::parse;
use ounce_core::http::h1::write::{self, RequestPlan, ResponsePlan};
use ounce_core::http::rules::{ResponseRules, Rules};
use ounce_core::http::{RequestHead, ResponseHead, Version};

/// A target of fuzzing.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const ALL: [(&str, Target); 5] = [
    ("h1_request", request),
    ("h1_response", response),
    ("chunked", chunked),
    ("conf", conf),
    ("tls", crate::sealed::tls),
];

const RULES: Rules = Rules { line_max: 4096, methods: 4, max_uri: None };
/// For reading back what was written, where a bare LF has become CRLF and made its line longer.
const WIDE: Rules = Rules { line_max: 65536, ..RULES };

/// A request head: nothing panics, its end is found however it comes in, and what is accepted is accepted again as the
/// same request when it has been written for a backend.
///
/// # Panics
/// When something does not hold.
pub fn request(bytes: &[u8]) {
    let skipped = parse::skip_empty_lines(bytes);
    let bytes = &bytes[skipped..];
    let _ = parse::partial_fault(bytes, RULES.line_max);
    let Some(length) = head_end(bytes) else { return };
    let bytes = &bytes[..length];
    let mut head = RequestHead::default();
    if parse::request(bytes, &RULES, &mut head).is_err() {
        return;
    }
    assert_eq!(head.len as usize, length);
    let target = head.target.of(bytes);
    let plan = RequestPlan { target, version: Version::H11, forwarded: None, ssl: &[], close: false };
    let mut out = Vec::new();
    let whole = write::request(&mut out, bytes, &head, &plan, &mut write::keep, |lines| {
        if head.host.is_none() {
            lines.field(b"Host", b"a.example");
        }
    });
    assert!(whole);
    assert_strict(&out);
    let mut again = RequestHead::default();
    if let Err(refusal) = parse::request(&out, &WIDE, &mut again) {
        // A head that just fitted may have grown: by a Host, and by line ends.
        let grown = refusal.status == 413 && out.len() > bytes.len();
        assert!(grown, "{}: {:?}", refusal.why, String::from_utf8_lossy(&out));
        return;
    }
    assert_eq!((again.framing, &again.method), (head.framing, &head.method));
    assert_eq!(again.target.of(&out), target);
    if let Some(host) = head.host {
        assert_eq!(again.host.map(|span| span.of(&out)), Some(host.of(bytes)));
    }
}

/// A response head: the same towards clients.
///
/// # Panics
/// When something does not hold.
pub fn response(bytes: &[u8]) {
    let Some(length) = head_end(bytes) else { return };
    let bytes = &bytes[..length];
    for request_is_head in [false, true] {
        let rules = ResponseRules { request_is_head, ..ResponseRules::default() };
        let mut head = ResponseHead::default();
        let Ok(framing) = parse::response(bytes, &rules, &mut head) else { continue };
        let mut out = Vec::new();
        let plan = ResponsePlan { framing, close: false };
        assert!(write::response(&mut out, bytes, &head, &plan, &mut write::keep, |_| {}));
        assert_strict(&out);
        let mut again = ResponseHead::default();
        let read = parse::response(&out, &rules, &mut again);
        assert_eq!(read, Ok(framing), "{:?}", String::from_utf8_lossy(&out));
        assert_eq!((again.status, again.length), (head.status, head.length));
        assert_eq!(again.reason.of(&out), head.reason.of(bytes));
    }
}

/// A chunked body: the decoder says the same however the bytes are cut, and takes nothing behind the end.
///
/// # Panics
/// When something does not hold.
pub fn chunked(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len().max(1));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(decode(bytes, size), whole, "in pieces of {size}");
    }
    if let Some((payload, trailers, consumed)) = whole {
        assert!(payload.len() <= consumed && consumed <= bytes.len());
        assert!(trailers.is_empty() || trailers.ends_with(b"\r\n"));
    }
}

/// A configuration: loading it ends with a model or with errors, each of which can be printed.
///
/// # Panics
/// When something does not hold.
pub fn conf(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lower = text.to_ascii_lowercase();
    // What a fuzzer makes up must not open files of the machine it runs on.
    if ["include", "file", "err", "socketfrom"].iter().any(|word| lower.contains(word)) {
        return;
    }
    let options = Options { resolve_dns: false, ..Options::default() };
    let (found, failed) = match load_text("fuzz.cfg", text, &options) {
        Ok(loaded) => {
            let new = upgrade_text("fuzz.cfg", text, &options).expect("what loads is understood").text;
            let again = load_text("fuzz.cfg", &new, &options).expect("today's words load");
            assert_eq!(format!("{:?}", again.config), format!("{:?}", loaded.config));
            (loaded.warnings, false)
        }
        Err(found) => (found, true),
    };
    assert_eq!(found.iter().any(|found| found.level == Level::Error), failed);
    found.iter().for_each(assert_sound);
}

fn assert_sound(diagnostic: &Diagnostic) {
    let line = diagnostic.line("ounce");
    assert_eq!(line.lines().count(), 1 + diagnostic.notes.len(), "{line}");
    assert!(!diagnostic.snippet("ounce").is_empty());
}

/// Where the head ends: found at once and byte by byte.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let at_once = parse::head_end(bytes, 0);
    let found = (1..=bytes.len()).find_map(|have| parse::head_end(&bytes[..have], have - 1));
    assert_eq!(found, at_once);
    at_once
}

/// What we write has no line ends but CRLF and no control bytes but tabs.
fn assert_strict(head: &[u8]) {
    for (at, byte) in head.iter().enumerate() {
        let good = match byte {
            b'\r' => head.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && head[at - 1] == b'\r',
            b'\t' => true,
            byte => !byte.is_ascii_control(),
        };
        assert!(good, "byte {at} of {:?}", String::from_utf8_lossy(head));
    }
}

/// Payload, trailers and bytes taken; `None` if it is no chunked body or does not end.
fn decode(bytes: &[u8], size: usize) -> Option<(Vec<u8>, Vec<u8>, usize)> {
    let mut decoder = Decoder::new();
    let (mut payload, mut consumed) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let decoded = decoder.decode(&mut piece).ok()?;
        assert!(decoded.consumed <= piece.len() && decoded.payload.end <= decoded.consumed);
        assert!(decoded.done || decoded.consumed == piece.len());
        payload.extend_from_slice(&piece[decoded.payload]);
        consumed += decoded.consumed;
        if decoded.done {
            return Some((payload, decoder.trailers().to_vec(), consumed));
        }
    }
    None
}
