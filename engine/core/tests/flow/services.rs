//! Services that do something else than send a request to a server, and what they do to headers and errors.

use crate::world::{World, config};
use ounce_core::Close;

const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf/tests/golden/files");

#[test]
fn success_is_200_without_a_body() {
    let text = config("", "Path \"^/ok\"\nSuccess\nEnd\nService", 1);
    for method in ["GET", "HEAD", "POST"] {
        let mut w = World::new(&text);
        let client = w.client();
        w.say(client, format!("{method} /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
        w.no_connect();
        assert_eq!(w.heard(client), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert!(w.wire(client).shut, "what the client still sends is read");
        assert!(w.requests().contains("200 OK"));
    }
}

/// Services that let requests fall through change them in their order, each with what it was selected by; the one that
/// takes the request changes it last, and its response first.
#[test]
fn changes_of_services_that_let_requests_fall_through() {
    let through = |name: &str, path: &str| {
        format!(
            "FallThrough\nPath \"{path}\"\nSetHeader \"X-Order: %[header X-Order]{name}$1\"\n\
             Rewrite response\nSetHeader \"X-Order: %[header X-Order]{name}$1\"\nEnd\nEnd\nService\n"
        )
    };
    let services = through("a", "^/(x)")
        + &through("b", "^/(none)")
        + &through("c", "(y)$")
        + "Path \"(z)?$\"\nSetHeader \"X-Order: %[header X-Order]d$1\"\n\
           Rewrite response\nSetHeader \"X-Order: %[header X-Order]d$1(1)\"\nEnd";
    let mut w = World::new(&config("", &services, 1));
    let client = w.client();
    w.say(client, "GET /xy HTTP/1.1\r\nHost: h\r\n\r\n");
    let upstream = w.connected();
    let heard = w.heard(upstream);
    assert!(heard.ends_with("X-Order: axcyd\r\n\r\n"), "{heard}");
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let answer = w.heard(client);
    assert!(answer.contains("\r\nX-Order: dycyax\r\n"), "{answer}");
    w.say(client, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
    let heard = w.heard(upstream);
    assert!(heard.ends_with("X-Order: bnoned\r\n\r\n"), "the next request starts anew: {heard}");
}

/// A service that lets requests fall through takes none.
#[test]
fn a_request_that_falls_through_everything_is_503() {
    let mut w = World::new(&config("", "FallThrough\nSetPath \"/x\"", 1));
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    w.no_connect();
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
}

/// Repeated fields are one for conditions, for the backend and for the client.
#[test]
fn combined_headers() {
    let global = "CombineHeaders\n\"Accept\"\n\"Via\"\nEnd\n";
    let service = "Header \"Accept\" -exact \"a, b, c\"\nHeader \"^Accept: a, b, c$\"";
    let mut w = World::new(&(global.to_owned() + &config("", service, 1)));
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nAccept: a\r\nHost: h\r\naccept: b,,c\r\nX: 1\r\nX: 2\r\n\r\n");
    let upstream = w.connected();
    let heard = w.heard(upstream);
    assert!(
        heard.starts_with("GET / HTTP/1.1\r\nAccept: a, b, c\r\nHost: h\r\nX: 1\r\nX: 2\r\nX-Forwarded-For:"),
        "{heard}"
    );
    w.say(upstream, "HTTP/1.1 200 OK\r\nVia: 1.1 a\r\nContent-Length: 0\r\nVia: 1.1 b\r\n\r\n");
    assert_eq!(w.heard(client), "HTTP/1.1 200 OK\r\nVia: 1.1 a, 1.1 b\r\nContent-Length: 0\r\n\r\n");
}

const ERROR: &str = "HTTP/1.1 503 Busy\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nX-Why: load\r\n\
                     Set-Cookie: a=b\r\nContent-Length: 4\r\n\r\nbusy";

fn answered(listener: &str, service: &str, method: &str, response: &str) -> (String, World) {
    let pages =
        format!("ErrorFile 503 \"{PAGES}/retry.html\"\nErrorFile 404 \"{PAGES}/sorry.html\"\n{listener}");
    let mut w = World::new(&config(&pages, service, 1));
    let client = w.client();
    w.say(client, format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"));
    let upstream = w.connected();
    w.say(upstream, response);
    let answer = w.heard(client);
    if answer.contains("Connection: close") {
        assert!(w.wire(client).shut && w.wire(upstream).closed == Some(Close::Abort));
    }
    (answer, w)
}

/// The page stands for the body of the backend's error, and for nothing else of it.
#[test]
fn errors_get_the_listeners_page() {
    let page = std::fs::read_to_string(format!("{PAGES}/retry.html")).expect("a page");
    let (lines, body) = page.split_once("\n\n").expect("header lines and a body");
    let (answer, mut w) = answered("RewriteErrors on", "", "GET", ERROR);
    let (head, sent) = answer.split_once("\r\n\r\n").expect("a head");
    assert_eq!(sent, body);
    assert!(
        head.starts_with("HTTP/1.1 503 Busy\r\n") && head.contains("\r\nX-Why: load\r\nSet-Cookie: a=b\r\n")
    );
    assert!(!head.contains("gzip") && !head.contains("text/plain"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    let framing = "Content-Length: 3";
    assert!(lines.lines().all(|line| head.contains(line) != (line == framing)), "{head}");
    assert!(w.requests().contains("503 Busy"));
    let (answer, _) = answered("RewriteErrors on", "", "HEAD", ERROR);
    assert!(answer.ends_with("\r\n\r\n") && answer.contains(&format!("Content-Length: {}\r\n", body.len())));
}

#[test]
fn rules_apply_to_errors_with_a_page() {
    let rules = "RewriteErrors on\nRewrite response\nDeleteHeader \"Set-Cookie\"\nSetHeader \"X-R: %[header X-Why]\"\nEnd";
    let (answer, _) = answered(rules, "", "GET", ERROR);
    assert!(answer.contains("\r\nX-R: load\r\n") && !answer.contains("Set-Cookie"), "{answer}");
}

/// Without the directive, without a page, or where the service says no, errors pass as they are.
#[test]
fn other_errors_pass() {
    let other = ERROR.replace("503 Busy", "500 Oops");
    let fine = ERROR.replace("503 Busy", "200 OK");
    for (listener, service, response) in [
        ("", "", ERROR),
        ("RewriteErrors on", "RewriteErrors off", ERROR),
        ("RewriteErrors on", "", &other),
        ("RewriteErrors on", "", &fine),
    ] {
        let (answer, _) = answered(listener, service, "GET", response);
        assert!(answer.ends_with("busy") && answer.contains("gzip"), "{answer}");
    }
    let (answer, _) = answered("", "RewriteErrors on", "GET", ERROR);
    assert!(!answer.ends_with("busy"));
}
