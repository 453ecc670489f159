//! Requests and responses in every combination of versions and framings.

use crate::world::{World, config};
use ounce_core::Close;
use ounce_mem::Counter;

/// A connection serves one request after the other, and the backend's connection as well.
#[test]
fn keep_alive_on_both_sides() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.park(client);
    w.say(client, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    w.no_connect();
    assert!(w.heard(upstream).starts_with("GET /2 HTTP/1.1\r\nHost: h\r\n"));
    w.say(upstream, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(w.heard(client), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(w.counter(Counter::BackendReuses), 1);
    assert_eq!(w.counter(Counter::BackendIdle), 1);
}

/// Requests sent ahead are answered in their order, each only after the one before.
#[test]
fn pipelined_requests_wait_their_turn() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HT");
    let upstream = w.connected();
    let first = w.heard(upstream);
    assert!(first.starts_with("GET /1 ") && !first.contains("GET /2"), "{first}");
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    assert!(w.heard(upstream).starts_with("GET /2 "));
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
    assert_eq!(w.heard(upstream), "");
    w.say(client, "TP/1.1\r\nHost: h\r\n\r\n");
    assert!(w.heard(upstream).starts_with("GET /3 "));
    assert_eq!(w.heard(client).matches("200 OK").count(), 2);
}

/// The empty line that old clients send behind a body may come in two pieces (RFC 9112 2.2).
#[test]
fn an_empty_line_between_requests_may_be_split() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.park(client);
    w.say(client, "\r");
    w.say(client, "\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(w.heard(upstream).starts_with("GET /2 "));
    assert_eq!(w.heard(client), "");
}

/// A client of HTTP/1.0 gets a chunked body bare, and its connection ends with it.
#[test]
fn chunks_are_taken_off_for_an_old_client() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.0\r\n\r\n");
    let upstream = w.connected();
    let asked = w.heard(upstream);
    assert!(asked.starts_with("GET / HTTP/1.0\r\n") && asked.contains("Connection: close\r\n"), "{asked}");
    w.say(
        upstream,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n",
    );
    assert_eq!(w.heard(client), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde");
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
}

/// A backend of HTTP/1.0 that ends its body by closing does not cost a client of HTTP/1.1 its connection.
#[test]
fn a_body_until_close_becomes_chunks() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.0 200 OK\r\n\r\nabc");
    w.eof(upstream);
    assert_eq!(w.heard(client), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert!(w.wire(client).closed.is_none() && w.wire(client).receiving);
    assert_eq!(w.wire(upstream).closed, Some(Close::Flush));
}

/// Between HTTP/1.0 on both sides a body without length ends where the connection does.
#[test]
fn a_body_until_close_for_an_old_client() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.0\r\n\r\n");
    let upstream = w.connected();
    w.say(upstream, "HTTP/1.0 200 OK\r\n\r\nabc");
    w.eof(upstream);
    assert_eq!(w.heard(client), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
}

/// Chunks of a response are framed anew, with their trailers.
#[test]
fn chunks_and_trailers_for_a_new_client() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nab");
    w.say(upstream, "c\r\n0\r\nX-Sum: 1\r\n\r\n");
    let heard = w.heard(client);
    let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
    assert!(head.ends_with("Transfer-Encoding: chunked"), "{head}");
    assert_eq!(body, "2\r\nab\r\n1\r\nc\r\n0\r\nX-Sum: 1\r\n\r\n");
    assert!(w.wire(upstream).closed.is_none());
}

/// A request body in chunks reaches the backend in chunks, trailers included.
#[test]
fn chunks_and_trailers_of_a_request() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let upstream = w.connected();
    w.say(client, "0\r\nX-Sum: 1\r\n\r\n");
    let asked = w.heard(upstream);
    assert!(asked.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), "{asked}");
}

/// Answers that have no body by rule: the length is what it would have been, and nothing is waited for.
#[test]
fn answers_without_a_body() {
    for (request, response) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let mut w = World::plain(1);
        let client = w.client();
        w.say(client, format!("{request} / HTTP/1.1\r\nHost: h\r\n\r\n"));
        let upstream = w.connected();
        w.say(upstream, response);
        assert_eq!(w.heard(client), response);
        assert_eq!(w.counter(Counter::BackendIdle), 1, "{response}");
    }
}

/// A body behind an answer to HEAD must not be taken for the next answer: the connection ends.
#[test]
fn a_body_where_there_must_be_none() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    let upstream = w.connected();
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert!(w.wire(upstream).closed.is_some());
    assert!(!w.heard(client).contains("hello"));
}

/// Interim responses pass, but 100, whose expectation ends here.
#[test]
fn interim_responses() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(w.heard(client), "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(w.heard(client), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

/// Clients of HTTP/1.0 know no interim responses (RFC 9110 15.2).
#[test]
fn no_interim_responses_for_an_old_client() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.0\r\n\r\n");
    let upstream = w.connected();
    w.say(upstream, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 204 "));
}

/// A client that expects 100 gets it from us once there is a backend, and the backend sees no expectation.
#[test]
fn an_expectation_is_met_here() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(w.heard(client), "");
    let upstream = w.connected();
    assert_eq!(w.heard(client), "HTTP/1.1 100 Continue\r\n\r\n");
    w.say(client, "abc");
    let asked = w.heard(upstream);
    assert!(!asked.contains("Expect") && asked.ends_with("\r\n\r\nabc"), "{asked}");
}

/// Who sends its body without waiting needs no invitation (RFC 9110 10.1.1).
#[test]
fn no_invitation_for_a_body_that_is_here() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
    w.connected();
    assert_eq!(w.heard(client), "");
}

/// From the order to drain on, every response says that it is the last.
#[test]
fn draining_says_close() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.drain();
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(w.heard(client).contains("Connection: close\r\n"));
    assert!(w.wire(client).shut, "the client did not know that this was the last: it may be sending");
    assert!(w.wire(upstream).closed.is_some());
    w.eof(client);
    assert!(w.core.is_empty());
}

/// A client that says close gets its answer and a closed connection.
#[test]
fn a_last_request() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let upstream = w.connected();
    assert!(!w.heard(upstream).contains("close"), "the backend's connection has a life of its own");
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(w.heard(client).contains("Connection: close\r\n"));
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
    assert!(w.wire(upstream).closed.is_none());
}

/// A refused request is answered and its connection lingers: the reset of unread bytes must not overtake the answer
/// (RFC 9112 9.6).
#[test]
fn refusals_linger() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 400 "));
    assert!(w.wire(client).shut && w.wire(client).receiving && w.wire(client).closed.is_none());
    w.say(client, "more of it");
    w.eof(client);
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
    assert_eq!(w.counter(Counter::Refusals), 1);
}

/// An answer of our own ends a connection that its client meant to keep: it may be sending the next request now, whose
/// reset must not destroy the answer.
#[test]
fn answers_of_our_own_linger() {
    let text = config("", "Redirect 302 \"http://other/\"", 0);
    let mut w = World::new(&text);
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 302 "));
    assert!(w.wire(client).shut && w.wire(client).closed.is_none());
    let leaving = w.client();
    w.say(leaving, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(w.wire(leaving).closed, Some(Close::Flush));
}

/// Bytes go into the books of both sides, whether or not the kernel moves them.
#[test]
fn bytes_are_counted() {
    let mut w = World::plain(1);
    let client = w.client();
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    w.say(client, request);
    let upstream = w.connected();
    let asked = w.heard(upstream).len() as u64;
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    w.say(upstream, response);
    assert_eq!(w.counter(Counter::BytesClientIn), request.len() as u64);
    assert_eq!(w.counter(Counter::BytesBackendOut), asked);
    assert_eq!(w.counter(Counter::BytesBackendIn), response.len() as u64);
    assert_eq!(w.counter(Counter::BytesClientOut), response.len() as u64);
}

/// The header rules of a listener apply to a Destination that is rewritten as well.
#[test]
fn a_rewritten_destination_obeys_header_rules() {
    let listener = "xHTTP 2\nRewriteDestination 1\nHeadRemove \"Destination\"";
    let mut w = World::new(&config(listener, "", 1));
    let client = w.client();
    w.say(client, "MOVE /a HTTP/1.1\r\nHost: h\r\nDestination: http://h/b\r\n\r\n");
    let upstream = w.connected();
    let asked = w.heard(upstream);
    assert!(!asked.contains("Destination"), "{asked}");
}
