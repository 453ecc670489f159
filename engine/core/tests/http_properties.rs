//! What holds for all inputs: of the chunk decoder, the search for a head's end, and the way from bytes to a
//! head and back to bytes.

use ounce_core::http::h1::chunked::Decoder;
use ounce_core::http::h1::parse;
use ounce_core::http::h1::write::{self, RequestPlan, ResponsePlan};
use ounce_core::http::rules::{ResponseRules, Rules};
use ounce_core::http::{Framing, Known, RequestHead, ResponseHead, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const RULES: Rules = Rules { line_max: 4096, methods: 4, max_uri: None };

/// A body that ended: payload, trailers, and how many bytes it was.
type Body = (Vec<u8>, Vec<u8>, usize);

/// The chunked coding as one would write it down if all bytes were there and time were no matter.
fn naive(bytes: &[u8]) -> Option<Body> {
    // A line as text, one character a byte, and where the next one begins.
    let line_at = |at: usize| {
        let rest = bytes.get(at..)?;
        let len = memchr::memmem::find(rest, b"\r\n")?;
        Some((rest[..len].iter().map(|&byte| byte as char).collect::<String>(), at + len + 2))
    };
    let mut payload = Vec::new();
    let mut at = 0;
    loop {
        let (line, next) = line_at(at)?;
        let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        if !(1..=15).contains(&digits) || !naive_extensions(&line[digits..]) {
            return None;
        }
        let size = usize::from_str_radix(&line[..digits], 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        payload.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    let trailers = at;
    loop {
        let (line, next) = line_at(at)?;
        if line.is_empty() {
            return Some((payload, bytes[trailers..at].to_vec(), next));
        }
        at = next;
        let (name, value) = line.split_once(':')?;
        let forbidden = ["host", "content-length", "te"].contains(&name.to_ascii_lowercase().as_str());
        let bad = |c: char| (c.is_ascii_control() && c != '\t') || c == '\n';
        if name.is_empty() || forbidden || !name.chars().all(naive_token) || value.chars().any(bad) {
            return None;
        }
    }
}

fn naive_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`
fn naive_extensions(mut text: &str) -> bool {
    let blanks = [' ', '\t'];
    while !text.is_empty() {
        let Some(rest) = text.trim_start_matches(blanks).strip_prefix(';') else { return false };
        let rest = rest.trim_start_matches(blanks);
        let after = rest.trim_start_matches(naive_token);
        if after.len() == rest.len() {
            return false;
        }
        let Some(value) = after.trim_start_matches(blanks).strip_prefix('=') else {
            text = after;
            continue;
        };
        let value = value.trim_start_matches(blanks);
        text = if let Some(quoted) = value.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next() {
                    None => return false,
                    Some((at, '"')) => break at,
                    Some((_, '\\')) => match chars.next() {
                        Some((_, c)) if !c.is_ascii_control() || c == '\t' => {}
                        _ => return false,
                    },
                    Some((_, c)) if c.is_ascii_control() && c != '\t' => return false,
                    Some(_) => {}
                }
            };
            &quoted[end + 1..]
        } else {
            let after = value.trim_start_matches(naive_token);
            if after.len() == value.len() {
                return false;
            }
            after
        };
    }
    true
}

/// The decoder, given the bytes in these pieces.
fn in_pieces(bytes: &[u8], cuts: &[usize]) -> Option<Body> {
    let mut decoder = Decoder::new();
    let (mut payload, mut consumed, mut done) = (Vec::new(), 0, false);
    let mut from = 0;
    for &to in cuts.iter().chain([&bytes.len()]) {
        let mut piece = bytes[from..to].to_vec();
        let decoded = decoder.decode(&mut piece).ok()?;
        assert!(decoded.payload.end <= decoded.consumed, "payload outside of what was consumed");
        assert!(decoded.done || decoded.consumed == piece.len(), "bytes left over within the body");
        assert!(!done || decoded.consumed == 0, "bytes taken behind the end");
        payload.extend_from_slice(&piece[decoded.payload]);
        consumed += decoded.consumed;
        done = decoded.done;
        from = to;
    }
    done.then(|| (payload, decoder.trailers().to_vec(), consumed))
}

/// A chunked body, mostly well-formed, with something behind it, and perhaps a byte changed.
fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let extension = prop_oneof![
        8 => Just(String::new()),
        1 => "[ \t]{0,2};[ ]{0,1}[a-z]{1,3}",
        1 => ";[a-z]{1,3}[ ]{0,1}=[ \t]{0,1}[a-z0-9]{1,3}",
        1 => ";a=\"([a-z ;\t]|\\\\[\"\\\\a]){0,4}\"",
        1 => "[;=\" a\t\\\\]{0,6}",
    ];
    let chunk = (vec(any::<u8>(), 1..20), extension.clone(), 0..3usize, any::<bool>());
    let trailer = prop_oneof!["[A-Za-z-]{1,8}:[ a-z\t]{0,5}", Just("Host: x".to_owned()), "[ -~]{0,8}"];
    let change = proptest::option::weighted(0.4, (any::<Index>(), any::<u8>(), any::<bool>()));
    (vec(chunk, 0..4), extension, vec(trailer, 0..3), vec(any::<u8>(), 0..6), change).prop_map(
        |(chunks, last, trailers, behind, change)| {
            let mut body = Vec::new();
            for (payload, extension, zeros, upper) in chunks {
                let size =
                    if upper { format!("{:X}", payload.len()) } else { format!("{:x}", payload.len()) };
                body.extend_from_slice(format!("{}{size}{extension}\r\n", "0".repeat(zeros)).as_bytes());
                body.extend_from_slice(&payload);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(format!("0{last}\r\n").as_bytes());
            for trailer in trailers {
                body.extend_from_slice(format!("{trailer}\r\n").as_bytes());
            }
            body.extend_from_slice(b"\r\n");
            body.extend_from_slice(&behind);
            match change {
                Some((at, byte, true)) => body.insert(at.index(body.len()), byte),
                Some((at, byte, false)) => {
                    let at = at.index(body.len());
                    body[at] = byte;
                }
                None => {}
            }
            body
        },
    )
}

/// A line of a request head that is meant to pass: not framing, not ours to remove.
fn field_line() -> impl Strategy<Value = (String, String, String)> {
    let blank = "[ \t]{0,2}";
    (
        "X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,10}|Accept|Cookie|user-agent",
        blank,
        "([!-~]([ -~\t]{0,20}[!-~])?)?",
        blank,
    )
        .prop_filter("names that are removed", |(name, ..)| {
            let name = name.to_ascii_lowercase().replace('_', "-");
            !name.starts_with("x-ssl-") && !name.starts_with("x-forwarded-")
        })
        .prop_map(|(name, before, value, after)| {
            (name.clone(), value.clone(), format!("{name}:{before}{value}{after}"))
        })
}

fn awkward_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(b',')]
}

/// Where, which byte, and whether it replaces, comes in between, or one goes.
fn changes() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    vec((any::<Index>(), awkward_byte(), 0..3u8), 0..4)
}

fn changed(text: &str, changes: Vec<(Index, u8, u8)>) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, byte, what) in changes {
        let at = at.index(bytes.len());
        match what {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("\r\n"), 1 => Just("\n")]
}

fn written(bytes: &[u8], head: &RequestHead) -> Vec<u8> {
    let plan = RequestPlan {
        target: head.target.of(bytes),
        version: Version::H11,
        forwarded: None,
        ssl: &[],
        close: false,
    };
    let mut out = Vec::new();
    assert!(write::request(&mut out, bytes, head, &plan, &mut write::keep, |lines| {
        // As a client of HTTP/1.0 may do without.
        if head.host.is_none() {
            lines.field(b"Host", b"a.example");
        }
    }));
    out
}

fn pairs<'b>(fields: &ounce_core::http::Fields, bytes: &'b [u8]) -> Vec<(&'b [u8], &'b [u8])> {
    fields
        .iter()
        .filter(|field| !field.hop)
        .map(|field| (field.name.of(bytes), field.value.of(bytes)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever the bytes are cut, the decoder says what the naive one says of the whole.
    #[test]
    fn chunks_are_decoded_the_same_however_they_are_cut(
        body in chunked_body(),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let expected = naive(&body);
        prop_assert_eq!(in_pieces(&body, &[]), expected.clone(), "in one piece");
        for cut in 0..=body.len() {
            prop_assert_eq!(in_pieces(&body, &[cut]), expected.clone(), "cut at {}", cut);
        }
        let every: Vec<usize> = (1..body.len()).collect();
        prop_assert_eq!(in_pieces(&body, &every), expected.clone(), "byte by byte");
        let mut some: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        some.sort_unstable();
        prop_assert_eq!(in_pieces(&body, &some), expected, "cut at {:?}", some);
    }

    /// A search that goes on where it stopped finds what a search of the whole finds.
    #[test]
    fn the_end_of_a_head_is_found_in_pieces(text in "[a:\r\n]{0,24}", cuts in vec(any::<Index>(), 0..6)) {
        let bytes = text.as_bytes();
        let expected = parse::head_end(bytes, 0);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut seen = 0;
        let mut found = None;
        for have in cuts {
            found = parse::head_end(&bytes[..have], seen);
            if found.is_some() {
                break;
            }
            seen = have;
        }
        prop_assert_eq!(found, expected);
        let naive = ["\n\n", "\n\r\n"].iter().filter_map(|end| text.find(end).map(|at| at + end.len())).min();
        prop_assert_eq!(expected, naive);
    }

    /// What is written says what was read: same fields in the same order, same framing, and only CRLF.
    #[test]
    fn a_written_request_reads_as_the_one_that_came(
        lines in vec((field_line(), line_end()), 0..12),
        framing in prop_oneof![Just(""), Just("Content-Length: 007\r\n"), Just("TRANSFER-ENCODING:chunked \n")],
        hop in prop_oneof![
            Just(""),
            Just("Connection: keep-alive\r\nKeep-Alive: 5\r\n"),
            Just("TE: trailers\n"),
        ],
        at in any::<Index>(),
        end in line_end(),
    ) {
        let mut text = format!("POST  /a?b HTTP/1.1{end}Host: a.example{end}");
        let at = at.index(lines.len() + 1);
        for (place, ((_, _, line), end)) in lines.iter().enumerate() {
            if place == at {
                text.push_str(hop);
                text.push_str(framing);
            }
            text.push_str(line);
            text.push_str(end);
        }
        if at == lines.len() {
            text.push_str(framing);
            text.push_str(hop);
        }
        text.push_str(end);
        let bytes = text.as_bytes();
        let mut head = RequestHead::default();
        prop_assert_eq!(parse::request(bytes, &RULES, &mut head), Ok(()), "{}", text);
        let out = written(bytes, &head);
        let mut again = RequestHead::default();
        prop_assert_eq!(parse::request(&out, &RULES, &mut again), Ok(()), "{}", String::from_utf8_lossy(&out));
        prop_assert_eq!(again.framing, head.framing);
        let sent = |(name, _): &(&[u8], &[u8])| {
            !matches!(Known::of(name), Known::ContentLength | Known::TransferEncoding)
        };
        let mut expected: Vec<(&[u8], &[u8])> = vec![(b"Host", b"a.example")];
        expected.extend(lines.iter().map(|((name, value, _), _)| (name.as_bytes(), value.as_bytes())));
        let got: Vec<_> = pairs(&again.fields, &out).into_iter().filter(sent).collect();
        prop_assert_eq!(got, expected);
        prop_assert!(out.starts_with(b"POST /a?b HTTP/1.1\r\n"));
        let line_ends = memchr::memmem::find_iter(&out, b"\r\n").count();
        prop_assert_eq!(memchr::memchr_iter(b'\n', &out).count(), line_ends);
    }

    /// Whatever bytes come, nothing panics; and what is accepted is accepted again when it has been written,
    /// as the same request: no backend reads something else.
    #[test]
    fn what_is_accepted_stays_what_it_is(
        changes in changes(),
        base in prop_oneof![
            Just("GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nConnection: close, x\r\nX: y\r\n\r\n"),
            Just("POST http://a.example/a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 12\r\nExpect: x\r\n\r\n"),
            Just("PUT / HTTP/1.0\r\nContent-Length: 3\r\nX-Forwarded-For: 1\r\n\r\n"),
            Just("POST / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n"),
        ],
    ) {
        let bytes = changed(base, changes);
        let _ = parse::partial_fault(&bytes, 64);
        let bytes = &bytes[parse::skip_empty_lines(&bytes)..];
        let Some(len) = parse::head_end(bytes, 0) else { return Ok(()) };
        let bytes = &bytes[..len];
        let mut head = RequestHead::default();
        if parse::request(bytes, &RULES, &mut head).is_err() {
            return Ok(());
        }
        let out = written(bytes, &head);
        let mut again = RequestHead::default();
        prop_assert_eq!(parse::request(&out, &RULES, &mut again), Ok(()), "{}", String::from_utf8_lossy(&out));
        prop_assert_eq!(again.framing, head.framing);
        prop_assert_eq!(again.method, head.method);
        prop_assert_eq!(again.target.of(&out), head.target.of(bytes));
        if let Some(host) = head.host {
            prop_assert_eq!(again.host.map(|span| span.of(&out)), Some(host.of(bytes)));
        }
    }

    /// The same for responses: no client reads something else.
    #[test]
    fn what_is_accepted_of_a_backend_stays_what_it_is(
        changes in changes(),
        base in prop_oneof![
            Just("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nServer : x\r\nConnection: close, x\r\nX: y\r\n\r\n"),
            Just("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n"),
            Just("HTTP/1.0 304 \r\nContent-Length: 3\r\n\r\n"),
            Just("HTTP/1.1 204 No Content\nContent-Length: 0, 0\n\n"),
        ],
    ) {
        let bytes = changed(base, changes);
        let Some(len) = parse::head_end(&bytes, 0) else { return Ok(()) };
        let bytes = &bytes[..len];
        let mut head = ResponseHead::default();
        let Ok(framing) = parse::response(bytes, &ResponseRules::default(), &mut head) else { return Ok(()) };
        let mut out = Vec::new();
        let plan = ResponsePlan { framing, close: false };
        let whole = write::response(&mut out, bytes, &head, &plan, &mut write::keep, |_| {});
        prop_assert!(whole);
        let mut again = ResponseHead::default();
        let read = parse::response(&out, &ResponseRules::default(), &mut again);
        prop_assert_eq!(read, Ok(framing), "{}", String::from_utf8_lossy(&out));
        prop_assert_eq!((again.status, again.length), (head.status, head.length));
        prop_assert_eq!(again.reason.of(&out), head.reason.of(bytes));
    }

    /// As a whole, towards a client.
    #[test]
    fn a_written_response_reads_as_the_one_that_came(
        lines in vec((field_line(), line_end()), 0..12),
        length in 0u64..1000,
        reason in "([!-~][ -~]{0,10})?",
        space in "[ ]{0,2}",
    ) {
        let mut text = format!("HTTP/1.0 200 {reason}\nServer{space}: x\r\n");
        text.push_str(&format!("Content-Length: {length}, {length}\r\n"));
        for ((_, _, line), end) in &lines {
            text.push_str(line);
            text.push_str(end);
        }
        text.push_str("\r\n");
        let bytes = text.as_bytes();
        let mut head = ResponseHead::default();
        let framing = parse::response(bytes, &ResponseRules::default(), &mut head);
        prop_assert_eq!(framing, Ok(Framing::Length(length)), "{}", text);
        let mut out = Vec::new();
        let plan = ResponsePlan { framing: Framing::Length(length), close: true };
        let whole = write::response(&mut out, bytes, &head, &plan, &mut write::keep, |_| {});
        prop_assert!(whole);
        let status_line = format!("HTTP/1.1 200 {reason}\r\n");
        prop_assert!(out.starts_with(status_line.as_bytes()), "{}", String::from_utf8_lossy(&out));
        let mut again = ResponseHead::default();
        let framing = parse::response(&out, &ResponseRules::default(), &mut again);
        prop_assert_eq!(framing, Ok(Framing::Length(length)));
        let length = length.to_string();
        let mut expected: Vec<(&[u8], &[u8])> = vec![(b"Server", b"x"), (b"Content-Length", length.as_bytes())];
        expected.extend(lines.iter().map(|((name, value, _), _)| (name.as_bytes(), value.as_bytes())));
        prop_assert_eq!(pairs(&again.fields, &out), expected);
        prop_assert!(again.hop.close);
    }
}
