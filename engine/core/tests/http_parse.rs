//! Heads: where they end, what is refused before they do, what is made of those that are accepted, and which
//! responses are not.

use ounce_core::http::h1::parse;
use ounce_core::http::rules::{ResponseRules, Rules};
use ounce_core::http::sanitize::CHECKS;
use ounce_core::http::target::Form;
use ounce_core::http::{Framing, Known, Method, RequestHead, ResponseHead, Version};

fn request(text: &str, rules: &Rules) -> Result<RequestHead, u16> {
    let mut head = RequestHead::default();
    parse::request(text.as_bytes(), rules, &mut head).map_err(|refusal| refusal.status)?;
    Ok(head)
}

fn response(bytes: &[u8]) -> Result<(ResponseHead, Framing), &'static str> {
    let mut head = ResponseHead::default();
    let framing = parse::response(bytes, &ResponseRules::default(), &mut head).map_err(|fault| fault.why)?;
    Ok((head, framing))
}

#[test]
fn empty_lines_before_a_request_are_counted() {
    for (text, empty) in
        [("", 0), ("\r\n", 2), ("\n\r\n\nGET", 4), ("\r", 0), ("\r\n\r", 2), ("\r\rGET", 0), ("G\n", 0)]
    {
        assert_eq!(parse::skip_empty_lines(text.as_bytes()), empty, "{text:?}");
    }
}

#[test]
fn an_empty_line_ends_a_head_whatever_its_line_ends() {
    for (text, end) in [
        ("a\r\n\r\nb", Some(5)),
        ("a\n\nb", Some(3)),
        ("a\r\n\nb", Some(4)),
        ("a\n\r\nb", Some(4)),
        ("a\r\n\r", None),
        ("a\r\n", None),
        ("a\r\r\n", None),
        ("", None),
    ] {
        assert_eq!(parse::head_end(text.as_bytes(), 0), end, "{text:?}");
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_complete() {
    let status = |text: &str| parse::partial_fault(text.as_bytes(), 16).map(|refusal| refusal.status);
    assert_eq!(status(""), None);
    assert_eq!(status(&"G".repeat(14)), None);
    assert_eq!(status(&"G".repeat(15)), Some(414));
    assert_eq!(status(&format!("{}\r\nA", "G".repeat(20))), Some(414));
    assert_eq!(status(&format!("GET /\r\n{}", "A".repeat(14))), None);
    assert_eq!(status(&format!("GET /\r\n{}", "A".repeat(15))), Some(413));
    assert_eq!(status(&"GET /\r\n".repeat(3000)), Some(413));
    assert_eq!(parse::partial_fault(b"GET", 0).map(|refusal| refusal.status), Some(414));
}

#[test]
fn an_accepted_head_says_what_it_is() {
    let text = "POST http://a.example:8080/x?y HTTP/1.1\r\nhost:A.Example:8080 \nContent-Length: 5\r\n\
                Connection: close\r\nExpect: 100-Continue\r\n\r\n";
    let bytes = text.as_bytes();
    let head = request(text, &Rules::default()).expect("a good request");
    assert_eq!((head.method, head.version, head.form), (Method::Post, Version::H11, Form::Absolute));
    assert_eq!(head.method_span.of(bytes), b"POST");
    assert_eq!(head.target_sent.of(bytes), b"http://a.example:8080/x?y");
    assert_eq!(head.target.of(bytes), b"/x?y");
    assert_eq!(head.host.map(|host| host.of(bytes)), Some(&b"A.Example:8080"[..]));
    assert_eq!(head.framing, Framing::Length(5));
    assert_eq!(head.len as usize, text.len());
    assert!(head.must_close() && head.expect_continue);
    assert!(head.fields.has(Known::Expect) && !head.fields.has(Known::Cookie));
    assert_eq!(head.fields.find(bytes, "CONTENT-length").map(|field| field.value.of(bytes)), Some(&b"5"[..]));
    assert_eq!(parse::first_line(bytes), b"POST http://a.example:8080/x?y HTTP/1.1");
}

#[test]
fn clients_of_http10_get_one_answer() {
    let head = request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &Rules::default())
        .expect("a good request");
    assert!(head.must_close() && head.hop.keep_alive && head.host.is_none());
    let head = request(
        "PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
        &Rules { methods: 1, ..Rules::default() },
    );
    assert!(head.is_ok_and(|head| !head.expect_continue), "RFC 9110 10.1.1: it is ignored");
}

#[test]
fn methods_by_level() {
    for (level, method, expected) in [
        (0, "GET", Ok(())),
        (0, "PUT", Err(405)),
        (1, "PUT", Ok(())),
        (1, "OPTIONS", Err(405)),
        (2, "PROPFIND", Ok(())),
        (2, "SUBSCRIBE", Err(405)),
        (3, "RPC_IN_DATA", Err(405)),
        (4, "RPC_IN_DATA", Ok(())),
        (4, "BREW", Err(400)),
    ] {
        let rules = Rules { methods: level, ..Rules::default() };
        let text = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(request(&text, &rules).map(|_| ()), expected, "{method} at {level}");
    }
}

#[test]
fn a_refused_head_still_tells_its_method() {
    let mut head = RequestHead::default();
    assert!(parse::request(b"HEAD / HTTP/1.1\r\n\r\n", &Rules::default(), &mut head).is_err());
    assert_eq!(head.method, Method::Head);
    assert!(parse::request(b"\0 / HTTP/1.1\r\n\r\n", &Rules::default(), &mut head).is_err());
    assert_eq!(head.method, Method::Get);
}

#[test]
fn max_uri_counts_the_target_as_sent() {
    let rules = Rules { max_uri: Some(10), ..Rules::default() };
    let of = |target: &str| request(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"), &rules).map(|_| ());
    assert_eq!(of("/123456789"), Ok(()));
    assert_eq!(of("/1234567890"), Err(414));
    assert_eq!(of("http://h/12"), Err(414));
}

/// The door takes one head, and all of it.
#[test]
fn anything_but_exactly_one_head_is_refused() {
    for text in [
        "",
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nX",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        assert_eq!(request(text, &Rules::default()).map(|_| ()), Err(400), "{text:?}");
    }
}

#[test]
fn responses_that_are_accepted() {
    let (head, framing) =
        response(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer : x\r\n\r\n").expect("good");
    assert_eq!(
        (head.status, head.version, framing, head.length),
        (200, Version::H11, Framing::Length(5), Some(5))
    );
    assert!(!head.must_close() && !head.is_interim());
    let bytes = b"HTTP/1.0 599 Caf\xe9 \nConnection: keep-alive\n\n";
    let (head, framing) = response(bytes).expect("good");
    assert_eq!((head.reason.of(bytes), framing), (&b"Caf\xe9 "[..], Framing::UntilClose));
    assert!(head.must_close(), "the end of the connection is the end of the body");
    let (head, _) =
        response(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\n").expect("good");
    assert!(!head.must_close());
    let (head, _) = response(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").expect("good");
    assert!(head.must_close());
    let (head, _) = response(b"HTTP/1.1 103\r\nLink: x\r\n\r\n").expect("good");
    assert!(head.is_interim() && head.reason.is_empty());
}

#[test]
fn responses_that_are_not() {
    for text in [
        "HTTP/1.1 099 X\r\n\r\n",
        "HTTP/1.1 600 X\r\n\r\n",
        "HTTP/1.1 20 X\r\n\r\n",
        "HTTP/1.1 2000 X\r\n\r\n",
        "HTTP/1.1 2OO X\r\n\r\n",
        "HTTP/1.1  200 X\r\n\r\n",
        "HTTP/1.1\t200 X\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.2 200 X\r\n\r\n",
        "HTTP/2.0 200 X\r\n\r\n",
        "http/1.1 200 X\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 X\r\n\r\n",
        "garbage\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nX",
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        assert!(response(text.as_bytes()).is_err(), "{text:?}");
    }
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(4096));
    assert_eq!(response(long.as_bytes()).err(), Some("line too long"));
    let long = format!("HTTP/1.1 200 {}\r\n\r\n", "b".repeat(4096));
    assert_eq!(response(long.as_bytes()).err(), Some("line too long"));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(129));
    assert_eq!(response(many.as_bytes()).err(), Some("too many header fields"));
}

#[test]
fn a_faulty_response_leaves_nothing_behind() {
    let mut head = ResponseHead::default();
    let rules = ResponseRules::default();
    assert!(
        parse::response(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: b\r\n\r\n", &rules, &mut head).is_ok()
    );
    assert!(parse::response(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", &rules, &mut head).is_err());
    assert!(head.fields.is_empty() && head.status == 0 && head.length.is_none());
}

#[test]
fn every_check_says_what_demands_it() {
    assert!(CHECKS.len() >= 12);
    assert!(CHECKS.iter().all(|check| check.source.starts_with("RFC 9")), "{CHECKS:?}");
}
