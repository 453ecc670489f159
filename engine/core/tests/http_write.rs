//! What heads look like when they have been written.

use ounce_core::http::h1::parse;
use ounce_core::http::h1::write::{self, Edit, Forwarded, Line, RequestPlan, ResponsePlan, Sink};
use ounce_core::http::rules::{ResponseRules, Rules};
use ounce_core::http::{Framing, Known, RequestHead, ResponseHead, Version};

const RULES: Rules = Rules { line_max: 4096, methods: 4, max_uri: None };
const FORWARDED: Forwarded<'_> = Forwarded { client: b"192.0.2.9", proto: b"https", port: Some(b"443") };
const PLAN: RequestPlan<'_> =
    RequestPlan { target: b"/", version: Version::H11, forwarded: None, ssl: &[], close: false };

fn head_of(text: &str) -> RequestHead {
    let mut head = RequestHead::default();
    assert_eq!(parse::request(text.as_bytes(), &RULES, &mut head), Ok(()), "{text}");
    head
}

/// `lines` as the fields of a request, written with `plan`: the lines behind Host.
fn request_lines(plan: &RequestPlan<'_>, lines: &str) -> String {
    let text = format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let mut out = Vec::new();
    assert!(write::request(&mut out, text.as_bytes(), &head_of(&text), plan, &mut write::keep, |_| {}));
    let out = String::from_utf8(out).expect("ASCII");
    let rest = out.strip_prefix("POST / HTTP/1.1\r\nHost: h\r\n").expect("line and Host").to_owned();
    rest.strip_suffix("\r\n").expect("an empty line").to_owned()
}

fn response_lines(
    rules: &ResponseRules,
    start: &str,
    lines: &str,
    framing: Option<Framing>,
    close: bool,
) -> String {
    let text = format!("{start}\r\n{lines}\r\n");
    let mut head = ResponseHead::default();
    let own = parse::response(text.as_bytes(), rules, &mut head).expect("a good response");
    let plan = ResponsePlan { framing: framing.unwrap_or(own), close };
    let mut out = Vec::new();
    assert!(write::response(&mut out, text.as_bytes(), &head, &plan, &mut write::keep, |_| {}));
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn spelling_and_order_are_kept() {
    let lines = "b: 1\r\nA:2\r\nB:  3\r\nc:\r\n";
    assert_eq!(request_lines(&PLAN, lines), lines);
}

#[test]
fn bare_line_feeds_and_blanks_behind_values_are_normalised() {
    assert_eq!(request_lines(&PLAN, "A: 1\nB: 2 \t\r\nC:\nD: 4\r\n"), "A: 1\r\nB: 2\r\nC: \r\nD: 4\r\n");
}

#[test]
fn what_ends_here_is_left_out() {
    let lines = "A: 1\r\nConnection: keep-alive, X-Private\r\nB: 2\r\nKeep-Alive: 5\r\nX-Private: 1\r\nUpgrade: h2c\r\n\
                 Proxy-Connection: x\r\nExpect: 100-continue\r\nTE: gzip\r\nC: 3\r\n";
    assert_eq!(request_lines(&PLAN, lines), "A: 1\r\nB: 2\r\nC: 3\r\n");
    assert_eq!(request_lines(&PLAN, "Expect: tea\r\n"), "Expect: tea\r\n");
}

#[test]
fn trailers_are_announced_again() {
    assert_eq!(request_lines(&PLAN, "TE: trailers, gzip\r\n"), "Connection: TE\r\nTE: trailers\r\n");
    let closing = RequestPlan { close: true, ..PLAN };
    assert_eq!(request_lines(&closing, "TE: trailers\r\n"), "Connection: close, TE\r\nTE: trailers\r\n");
    assert_eq!(request_lines(&closing, ""), "Connection: close\r\n");
}

#[test]
fn bodies_are_framed_as_they_were_read() {
    assert_eq!(request_lines(&PLAN, "Content-Length: 5\r\nA: 1\r\n"), "Content-Length: 5\r\nA: 1\r\n");
    assert_eq!(request_lines(&PLAN, "content-length: 0005 \r\nA: 1\r\n"), "content-length: 5\r\nA: 1\r\n");
    assert_eq!(
        request_lines(&PLAN, "Transfer-Encoding: Chunked\r\nA: 1\r\n"),
        "A: 1\r\nTransfer-Encoding: chunked\r\n"
    );
}

#[test]
fn an_offer_of_websocket_is_passed_on() {
    let text = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive, upgrade\r\nUpgrade: WebSocket\r\n\
                Sec-WebSocket-Key: k\r\n\r\n";
    let mut out = Vec::new();
    assert!(write::request(&mut out, text.as_bytes(), &head_of(text), &PLAN, &mut write::keep, |_| {}));
    let expected = "GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn forwarded_lines_append_and_replace() {
    let plan = RequestPlan { forwarded: Some(FORWARDED), ..PLAN };
    let canned = "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n";
    assert_eq!(request_lines(&plan, ""), format!("X-Forwarded-For: 192.0.2.9\r\n{canned}"));
    let lines = "X-Forwarded-For: 1.1.1.1\r\nx_forwarded_proto: gopher\r\nA: 1\r\nX-Forwarded-For:\r\n\
                 x-forwarded-for: 2.2.2.2, 3.3.3.3\r\nX-Forwarded-Port: 1\r\n";
    let list = "A: 1\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.9\r\n";
    assert_eq!(request_lines(&plan, lines), format!("{list}{canned}"));
    let many = "X-Forwarded-For: 10.200.30.40, 2001:db8:1:2:3:4:5:6\r\n".repeat(20);
    let list = "10.200.30.40, 2001:db8:1:2:3:4:5:6, ".repeat(20);
    assert_eq!(request_lines(&plan, &many), format!("X-Forwarded-For: {list}192.0.2.9\r\n{canned}"));
    let portless = RequestPlan { forwarded: Some(Forwarded { port: None, ..FORWARDED }), ..PLAN };
    assert!(!request_lines(&portless, lines).contains("Port"));
    assert_eq!(request_lines(&PLAN, "X-Forwarded-For: 1.1.1.1\r\n"), "X-Forwarded-For: 1.1.1.1\r\n");
}

#[test]
fn only_we_speak_of_certificates() {
    let plan = RequestPlan { ssl: &[(b"X-SSL-cipher", b"TLSv1.3/x")], ..PLAN };
    let forged = "X-SSL-Subject: CN=root\r\nA: 1\r\nx_ssl_issuer: CN=root\r\nX-SSL-cipher: none\r\n";
    assert_eq!(request_lines(&plan, forged), "A: 1\r\nX-SSL-cipher: TLSv1.3/x\r\n");
    assert_eq!(request_lines(&PLAN, forged), "A: 1\r\n");
}

#[test]
fn edits_see_every_line_but_framing() {
    let text = "POST /a HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nContent-Length: 5\r\nC: 3\r\n\r\n";
    let plan = RequestPlan { target: b"/b", forwarded: Some(FORWARDED), close: true, ..PLAN };
    let mut seen = Vec::new();
    let mut edit = |line: Line<'_>| {
        seen.push(String::from_utf8_lossy(line.name).into_owned());
        match line.name {
            b"A" => Edit::Value(b"one"),
            b"B" | b"X-Forwarded-Port" => Edit::Drop,
            _ if line.known == Known::XForwardedFor => Edit::Value(b"hidden"),
            _ => Edit::Keep,
        }
    };
    let mut out = Vec::new();
    assert!(write::request(&mut out, text.as_bytes(), &head_of(text), &plan, &mut edit, |lines| {
        lines.field(b"D", b"4\r\nE: 5");
        lines.field(b"Content-Length", b"0");
        lines.field(b"Transfer_Encoding", b"chunked");
    }));
    assert_eq!(
        String::from_utf8_lossy(&out),
        "POST /b HTTP/1.1\r\nHost: h\r\nA: one\r\nContent-Length: 5\r\nC: 3\r\nX-Forwarded-For: hidden\r\n\
         X-Forwarded-Proto: https\r\nConnection: close\r\nD: 4  E: 5\r\n\r\n"
    );
    assert_eq!(seen, ["Host", "A", "B", "C", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port"]);
}

#[test]
fn the_host_of_an_old_absolute_form_is_kept() {
    let text = "GET http://a.example:81/x?y HTTP/1.0\r\nA: 1\r\n\r\n";
    let head = head_of(text);
    let plan = RequestPlan { target: head.target.of(text.as_bytes()), version: Version::H10, ..PLAN };
    let mut out = Vec::new();
    assert!(write::request(&mut out, text.as_bytes(), &head, &plan, &mut write::keep, |_| {}));
    let expected = "GET /x?y HTTP/1.0\r\nA: 1\r\nHost: a.example:81\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn a_method_is_passed_as_sent_and_spaces_are_not() {
    let text = "get   /   HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut out = Vec::new();
    assert!(write::request(&mut out, text.as_bytes(), &head_of(text), &PLAN, &mut write::keep, |_| {}));
    assert!(out.starts_with(b"get / HTTP/1.1\r\n"));
}

/// A sink with a bottom.
struct Small(Vec<u8>, usize);

impl Sink for Small {
    fn put(&mut self, bytes: &[u8]) -> bool {
        let fits = self.0.len() + bytes.len() <= self.1;
        if fits {
            self.0.extend_from_slice(bytes);
        }
        fits
    }
}

/// Half a head must never look like a whole one.
#[test]
fn a_sink_without_room_never_ends_in_an_empty_line() {
    let text = "POST / HTTP/1.1\r\nHost: h\r\nA: 1\nB: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = head_of(text);
    let plan = RequestPlan { forwarded: Some(FORWARDED), close: true, ..PLAN };
    let mut whole = Vec::new();
    assert!(write::request(&mut whole, text.as_bytes(), &head, &plan, &mut write::keep, |_| {}));
    for room in 0..=whole.len() {
        let mut sink = Small(Vec::new(), room);
        let written = write::request(&mut sink, text.as_bytes(), &head, &plan, &mut write::keep, |_| {});
        assert_eq!(written, room == whole.len(), "room for {room}");
        assert!(written || !sink.0.ends_with(b"\r\n\r\n"));
        assert!(whole.starts_with(&sink.0));
    }
    let mut page = ounce_mem::Buf::heap(whole.len());
    assert!(write::request(&mut page, text.as_bytes(), &head, &plan, &mut write::keep, |_| {}));
    assert_eq!(page.as_slice(), whole);
}

#[test]
fn responses_speak_our_version_with_their_words() {
    let rules = ResponseRules::default();
    let lines =
        "Server: x\r\nContent-Length: 5\r\nConnection: close, X-Y\r\nX-Y: 1\r\nKeep-Alive: 5\r\nA: 1\r\n";
    assert_eq!(
        response_lines(&rules, "HTTP/1.0 404 Nowhere To Be Found", lines, None, false),
        "HTTP/1.1 404 Nowhere To Be Found\r\nServer: x\r\nContent-Length: 5\r\nA: 1\r\n\r\n"
    );
    assert_eq!(
        response_lines(&rules, "HTTP/1.1 200", "A : 1\n", None, true),
        "HTTP/1.1 200 \r\nA: 1\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn responses_are_framed_as_the_plan_says() {
    let rules = ResponseRules::default();
    let of = |lines, framing| response_lines(&rules, "HTTP/1.1 200 OK", lines, framing, false);
    let start = "HTTP/1.1 200 OK\r\n";
    assert_eq!(
        of("A: 1\r\n", Some(Framing::Chunked)),
        format!("{start}A: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
    );
    let chunked = "Transfer-Encoding: chunked\r\nTrailer: T\r\n";
    assert_eq!(of(chunked, None), format!("{start}Trailer: T\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(of(chunked, Some(Framing::UntilClose)), format!("{start}\r\n"));
    assert_eq!(
        of("Content-Length: 5\r\n", Some(Framing::Chunked)),
        format!("{start}Transfer-Encoding: chunked\r\n\r\n")
    );
    let twice = "Content-Length: 5, 5\r\nA: 1\r\nContent-Length: 5\r\n";
    assert_eq!(of(twice, None), format!("{start}Content-Length: 5\r\nA: 1\r\n\r\n"));
    assert_eq!(of("", Some(Framing::Length(7))), format!("{start}Content-Length: 7\r\n\r\n"));
}

#[test]
fn the_length_of_a_body_that_is_not_sent_is_passed_on() {
    let head = ResponseRules { request_is_head: true, ..ResponseRules::default() };
    let lines = "Content-Length: 5\r\n";
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(response_lines(&head, "HTTP/1.1 200 OK", lines, None, false), expected);
    let expected = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(
        response_lines(&ResponseRules::default(), "HTTP/1.1 204 No Content", lines, None, false),
        expected
    );
}

#[test]
fn an_accepted_upgrade_is_passed_on_and_an_offered_one_is_not() {
    let rules = ResponseRules { upgrade_offered: true, ..ResponseRules::default() };
    let lines = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n";
    assert_eq!(
        response_lines(&rules, "HTTP/1.1 101 Switching", lines, None, false),
        "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    let lines = "Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n";
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(response_lines(&ResponseRules::default(), "HTTP/1.1 200 OK", lines, None, false), expected);
}

#[test]
fn chunk_headers() {
    for (len, expected) in [
        (0, "0\r\n"),
        (9, "9\r\n"),
        (16, "10\r\n"),
        (16384, "4000\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        let (line, end) = write::chunk_header(len);
        assert_eq!(std::str::from_utf8(&line[..end]), Ok(expected));
    }
}
