//! What becomes of answers (pound.md section 9): which heads are believed, which have a body, when a connection to a
//! backend is used again, which locations are rewritten, and what a redirect looks like. `faults`, `http1`, `route` and
//! `upgrade` hold the rest of that section.

use ounce_tests::answer::Answer;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup, backend};
use ounce_tests::script::{Act, play, play_in_turn, say};
use ounce_tests::wire;

/// No backend is asked twice for it.
const POST: &str = "POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1\r\n\r\nx";

fn answer_to(text: &str) -> Answer {
    let origin = Origin::start(play([Act::Body, say(text), Act::Close]));
    Proxy::before(&[origin.address()]).client().ask(POST)
}

/// Pound drops header lines that are none, and answers what is too long as if the client had sent it.
#[test]
fn a_head_that_is_not_exactly_right_is_503() {
    let long = "x".repeat(5000);
    for line in [
        "A: b\r\n c",
        "no colon",
        ": b",
        "A: b\rc",
        "A\u{7f}: b",
        &format!("A: {long}"),
        &format!("A{long}: b"),
    ] {
        let answer = answer_to(&format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 2\r\n\r\nok"));
        assert_eq!(answer.status, 503, "{line:.20}");
        assert!(answer.closes(), "{line:.20}");
    }
    for first in
        ["HTTP/1.1 099 Low", "HTTP/1.1 600 High", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "http/1.1 200 OK"]
    {
        assert_eq!(answer_to(&format!("{first}\r\nContent-Length: 2\r\n\r\nok")).status, 503, "{first}");
    }
    let long = answer_to(&format!("HTTP/1.1 200 {long}\r\nContent-Length: 2\r\n\r\nok"));
    assert_eq!(long.status, 503);
    // RFC 9112 5.1: of answers this one mistake is to be mended on the way.
    let mended = answer_to("HTTP/1.1 200 OK\r\nA \t: b\r\nContent-Length: 2\r\n\r\nok");
    assert!(String::from_utf8_lossy(&mended.raw_head).contains("\r\nA: b\r\n"), "{mended:?}");
    for first in ["HTTP/1.1 200 ", "HTTP/1.0 200 OK", "HTTP/1.1 599 \u{e9}"] {
        let answer = answer_to(&format!("{first}\r\nContent-Length: 2\r\n\r\nok"));
        assert_eq!(answer.text(), "ok", "{first}");
    }
}

/// Of two lengths Pound believes the last; there is no telling what a client would.
#[test]
fn an_answer_has_one_length_or_it_is_503() {
    for fields in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 3",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Content-Length: +2",
        "Content-Length: -2",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(answer_to(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok")).status, 503, "{fields}");
    }
}

/// Pound passes no body with 305 and 306; RFC 9110 6.4.1 names no such exception, so what is sent is the body.
#[test]
fn the_answers_of_old_that_have_a_body_keep_it() {
    for status in [305, 306] {
        let answer = answer_to(&format!("HTTP/1.1 {status} Use Proxy\r\nContent-Length: 2\r\n\r\nok"));
        assert_eq!((answer.status, answer.text().as_str()), (status, "ok"));
    }
}

/// An answer without a length ends with its connection, and so says who passes it on to a client that keeps its own.
#[test]
fn an_answer_without_a_length_is_as_long_as_its_connection() {
    let origin = Origin::start(play([say("HTTP/1.1 200 OK\r\n\r\nall of it"), Act::Close]));
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.text().as_str(), answer.closes()), ("all of it", false));
    }
    let answer = proxy.client().ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.text().as_str(), answer.closes()), ("all of it", true));
}

/// Whoever said the end, whatever came after the end: a connection that may hold more is not used again.
#[test]
fn a_connection_to_a_backend_is_used_again_only_when_nothing_speaks_against_it() {
    for (head, again) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokand more", false),
    ] {
        let origin = Origin::start(play([say(head)]));
        let proxy = Setup::new().global("Workers", "1").backends(&[origin.address()]).start();
        let mut client = proxy.client();
        for _ in 0..4 {
            let answer = client.get("/");
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{head}");
        }
        assert_eq!(origin.connections(), if again { 1 } else { 4 }, "{head}");
    }
}

/// A client that ends its connection says nothing about the one behind it, which serves the next client.
#[test]
fn the_end_of_a_client_is_not_the_end_of_its_backend_connection() {
    let origin = Origin::named("a");
    let proxy = Setup::new().global("Workers", "1").backends(&[origin.address()]).start();
    for _ in 0..4 {
        let mut client = proxy.client();
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").text(), "a");
        client.expect_end();
    }
    assert_eq!(origin.connections(), 1);
}

/// 100 is not the answer to somebody who asked for it either: exactly one reaches the client, and then the answer.
#[test]
fn a_100_from_the_backend_is_never_doubled() {
    let origin = Origin::start(play_in_turn([vec![
        say("HTTP/1.1 100 Continue\r\n\r\n"),
        Act::Body,
        say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ]]));
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    let interim = client.link().read_head().expect("leave to go on");
    assert!(interim.first_line.starts_with("HTTP/1.1 100 "), "{interim:?}");
    client.send("x");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

/// The switch has to be asked for by GET, in both fields, and granted in both.
#[test]
fn a_switch_is_passed_only_when_it_was_asked_for_and_granted_in_full() {
    let offer = |first: &str, fields: &str| format!("{first} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let both = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    let asks = [
        offer("GET", "Connection: upgrade\r\n"),
        offer("GET", "Upgrade: websocket\r\n"),
        offer("GET", "Connection: upgrade\r\nUpgrade: h2c\r\n"),
        offer("POST", &format!("{both}Content-Length: 0\r\n")),
        format!("GET / HTTP/1.0\r\n{both}\r\n"),
    ];
    for ask in asks {
        let origin = Origin::named("plain");
        let proxy = Proxy::before(&[origin.address()]);
        assert_eq!(proxy.client().ask(&ask).text(), "plain", "{ask}");
        let sent = origin.received().wait_len("a request", 1).remove(0);
        assert_eq!(sent.fields.get("Upgrade"), None, "{ask}");
    }
    for grant in
        ["Connection: upgrade\r\n", "Upgrade: websocket\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n"]
    {
        let origin =
            Origin::start(play([say(&format!("HTTP/1.1 101 Switching\r\n{grant}\r\n")), Act::Close]));
        let proxy = Proxy::before(&[origin.address()]);
        assert_eq!(proxy.client().ask(offer("GET", both)).status, 503, "{grant}");
    }
}

/// An origin that answers with the fields that the request's `X-Fields` names, `|` between them.
fn told() -> Origin {
    Origin::start(|exchange| {
        let fields = exchange.request.fields.get("X-Fields").unwrap_or_default().replace('|', "\r\n");
        exchange.send(format!("HTTP/1.1 302 Found\r\n{fields}\r\nContent-Length: 0\r\n\r\n").as_bytes())
    })
}

/// Location and Content-Location are rewritten, each line of them; a query and a fragment stay.
#[test]
fn both_fields_are_rewritten_and_what_follows_the_authority_stays() {
    let origin = told();
    let own = format!("{}://{}", wire::scheme(), origin.address());
    let us = format!("{}://example.org:81", wire::scheme());
    let proxy = Proxy::before(&[origin.address()]);
    let answer = proxy.client().ask(format!(
        "GET / HTTP/1.1\r\nHost: example.org:81\r\nX-Fields: Location: {own}/a/../b?c=%2f#d|Content-Location: {own}\r\n\r\n"
    ));
    assert_eq!(answer.fields.get("Location"), Some(format!("{us}/a/../b?c=%2f#d").as_str()));
    assert_eq!(answer.fields.get("Content-Location"), Some(format!("{us}/").as_str()));
    // Without a Host there is nothing to name us by.
    let location = format!("{own}/x");
    let answer = proxy.client().ask(format!("GET / HTTP/1.0\r\nX-Fields: Location: {location}\r\n\r\n"));
    assert_eq!(answer.fields.get("Location"), Some(location.as_str()));
}

/// Nobody is resolved and nobody is believed: a name that leads to this machine is foreign, as is a host that only looks
/// like ours; another port of the backend's machine is another server.
#[test]
fn a_host_that_is_not_the_request_s_is_foreign() {
    let origin = told();
    let (own, scheme) = (origin.address(), wire::scheme());
    let proxy = Proxy::before(&[own]);
    for location in [
        format!("{scheme}://localhost:{}/", own.port()),
        format!("{scheme}://{}:{}/", own.ip(), own.port() ^ 1),
        format!("{scheme}://example.org.evil.test/"),
        format!("{scheme}://example.org@evil.test/"),
        format!("//{own}/"),
        format!("ftp://{own}/"),
        format!("{scheme}:/{own}/"),
        "?next".into(),
    ] {
        let answer = proxy
            .client()
            .ask(format!("GET / HTTP/1.1\r\nHost: example.org\r\nX-Fields: Location: {location}\r\n\r\n"));
        // `own.ip()` is the listener's address too, and another port of it is ours by the letter of value 1.
        let wanted = if location.contains(&format!("{}:{}", own.ip(), own.port() ^ 1)) {
            format!("{scheme}://example.org/")
        } else {
            location.clone()
        };
        assert_eq!(answer.fields.get("Location"), Some(wanted.as_str()), "{location}");
    }
}

/// A redirect has a page that says where to, ends the connection, and may be kept by caches.
#[test]
fn a_redirect_has_a_page_and_no_word_about_caches() {
    let proxy = Setup::new().listener("Service\nRedirect 301 \"http://new.test\"\nEnd\n").start();
    let mut client = proxy.client();
    let answer = client.ask("GET /a?b='c'&d HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 301);
    assert_eq!(answer.fields.get("Location"), Some("http://new.test/a?b='c'&d"));
    assert_eq!(answer.fields.get("Content-Type"), Some("text/html"));
    assert!(answer.closes());
    for field in ["Cache-Control", "Expires", "Pragma"] {
        assert_eq!(answer.fields.get(field), None);
    }
    // What the client wrote is text on the page, never markup.
    let page = answer.text();
    assert!(page.contains("&amp;d") && !page.contains('\'') && !page.contains("&d"), "{page}");
    client.expect_end();
    let head = proxy.client().ask("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (301, 0));
}

/// A backend on a UNIX socket has no address that a location could name.
#[test]
fn locations_are_left_alone_behind_unix_sockets() {
    let setup = Setup::new();
    let path = setup.folder().join("origin.socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let serve = std::thread::spawn(move || -> std::io::Result<()> {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept()?;
        let (mut head, mut bytes) = (Vec::new(), [0; 1024]);
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut bytes)?;
            head.extend_from_slice(&bytes[..count]);
        }
        stream
            .write_all(b"HTTP/1.1 302 Found\r\nLocation: https://example.org/x\r\nContent-Length: 0\r\n\r\n")
    });
    // The file language has no TLS over UNIX sockets for this origin, so it is spoken to plainly on every wire.
    let proxy =
        setup.listener(&format!("Service\nBackEnd\nAddress \"{}\"\nEnd\nEnd\n", path.display())).start();
    let answer = proxy.client().get("/");
    assert_eq!(answer.fields.get("Location"), Some("https://example.org/x"));
    serve.join().expect("a thread").expect("a request");
}

/// A listener's own address with another port is ours by value 1 and foreign by 2.
#[test]
fn value_2_rewrites_what_names_the_backend_alone() {
    let origin = told();
    let scheme = wire::scheme();
    let location = format!("{scheme}://example.org:8/");
    for (mode, wanted) in [(1, format!("{scheme}://example.org/")), (2, location.clone())] {
        let inside = format!("RewriteLocation {mode}\nService\n{}End\n", backend(origin.address(), ""));
        let proxy = Setup::new().listener(&inside).start();
        let answer = proxy
            .client()
            .ask(format!("GET / HTTP/1.1\r\nHost: example.org\r\nX-Fields: Location: {location}\r\n\r\n"));
        assert_eq!(answer.fields.get("Location"), Some(wanted.as_str()), "{mode}");
    }
}
