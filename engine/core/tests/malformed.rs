//! Every line of `tests/data/malformed.txt` through the parser: at once, and byte by byte.

use ounce_core::http::h1::chunked::Decoder;
use ounce_core::http::h1::parse;
use ounce_core::http::rules::Rules;
use ounce_core::http::{Framing, RequestHead};
use std::collections::HashSet;

/// What the file asks of the listener.
const RULES: Rules = Rules { line_max: 4096, methods: 3, max_uri: None };

struct Case {
    name: String,
    /// `None`: the request passes.
    status: Option<u16>,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/malformed.txt");
    let text = std::fs::read_to_string(path).expect("the list of requests");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.splitn(3, '\t');
            let (Some(name), Some(status), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
                panic!("not name, status, bytes: {line}");
            };
            let status = (status != "ok").then(|| status.parse().expect("a status"));
            Case { name: name.to_owned(), status, bytes: unescape(bytes.as_bytes()) }
        })
        .collect()
}

/// The escapes that the head of the file explains.
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = text {
        text = rest;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (escape, rest) = text.split_first().expect("an escape");
        text = rest;
        match escape {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'0' => bytes.push(0),
            b'\\' => bytes.push(b'\\'),
            b'x' => {
                let digits = std::str::from_utf8(&text[..2]).expect("two digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                text = &text[2..];
            }
            b'*' => {
                let open = text.iter().position(|&byte| byte == b'{').expect("an opening brace");
                let close = text.iter().position(|&byte| byte == b'}').expect("a closing brace");
                let count = std::str::from_utf8(&text[..open]).expect("a number").parse().expect("a number");
                bytes.extend(unescape(&text[open + 1..close]).repeat(count));
                text = &text[close + 1..];
            }
            other => panic!("unknown escape \\{}", *other as char),
        }
    }
    bytes
}

/// What a connection that got all of `bytes` at once answers: a status, or nothing wrong.
fn at_once(bytes: &[u8]) -> Result<(), (u16, &'static str)> {
    let bytes = &bytes[parse::skip_empty_lines(bytes)..];
    let Some(len) = parse::head_end(bytes, 0) else {
        let refusal =
            parse::partial_fault(bytes, RULES.line_max).expect("a head that never ends, and nothing wrong");
        return Err((refusal.status, refusal.why));
    };
    let mut head = RequestHead::default();
    parse::request(&bytes[..len], &RULES, &mut head).map_err(|refusal| (refusal.status, refusal.why))?;
    assert_eq!(head.len as usize, len);
    let mut body = bytes[len..].to_vec();
    match head.framing {
        Framing::None => assert_eq!(body, b""),
        Framing::Length(length) => assert_eq!(body.len() as u64, length),
        Framing::Chunked => {
            let decoded = Decoder::new().decode(&mut body).map_err(|fault| (400, fault.why))?;
            assert!(
                decoded.done && decoded.consumed == body.len(),
                "a body that never ends, and nothing wrong"
            );
        }
        Framing::UntilClose => panic!("a request has no such body"),
    }
    Ok(())
}

/// The same, one byte at a time, as a slow client sends it.
fn byte_by_byte(bytes: &[u8]) -> Result<(), u16> {
    let skipped = parse::skip_empty_lines(bytes);
    let bytes = &bytes[skipped..];
    let mut head = None;
    for have in 1..=bytes.len() {
        if let Some(len) = parse::head_end(&bytes[..have], have - 1) {
            head = Some(len);
            break;
        }
        if let Some(refusal) = parse::partial_fault(&bytes[..have], RULES.line_max) {
            return Err(refusal.status);
        }
    }
    let len = head.expect("a head that never ends, and nothing wrong");
    let mut head = RequestHead::default();
    parse::request(&bytes[..len], &RULES, &mut head).map_err(|refusal| refusal.status)?;
    if head.framing == Framing::Chunked {
        let mut decoder = Decoder::new();
        for &byte in &bytes[len..] {
            decoder.decode(&mut [byte]).map_err(|_| 400u16)?;
        }
    }
    Ok(())
}

#[test]
fn names_are_unique_and_the_list_is_long() {
    let cases = cases();
    let names: HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    assert!(cases.iter().filter(|case| case.status.is_some()).count() >= 250);
    assert!(cases.iter().filter(|case| case.status.is_none()).count() >= 40);
}

#[test]
fn each_request_is_answered_as_the_list_says() {
    let mut wrong = Vec::new();
    for Case { name, status, bytes } in cases() {
        let outcome = at_once(&bytes);
        if outcome.err().map(|(status, _)| status) != status {
            wrong.push(format!("{name}: expected {status:?}, got {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_request_is_answered_the_same_however_slowly_it_comes() {
    let mut wrong = Vec::new();
    for Case { name, status, bytes } in cases() {
        let outcome = byte_by_byte(&bytes);
        if outcome.err() != status {
            wrong.push(format!("{name}: expected {status:?}, got {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A refused head leaves nothing behind that could be taken for an accepted one.
#[test]
fn a_refused_head_is_empty() {
    let good = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nConnection: close, x\r\nExpect: 100-continue\r\n\r\n";
    let mut head = RequestHead::default();
    for Case { bytes, .. } in cases().into_iter().filter(|case| case.status.is_some()) {
        assert_eq!(parse::request(good, &RULES, &mut head), Ok(()));
        let bytes = &bytes[parse::skip_empty_lines(&bytes)..];
        let Some(len) = parse::head_end(bytes, 0) else { continue };
        if parse::request(&bytes[..len], &RULES, &mut head).is_err() {
            assert!(head.fields.is_empty() && head.hop.named.is_empty() && head.host.is_none());
            assert!(head.framing == Framing::None && head.len == 0 && head.target.is_empty());
            assert!(!head.hop.close && !head.expect_continue);
        }
    }
}
