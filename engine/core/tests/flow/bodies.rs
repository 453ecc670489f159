//! Bodies under way: back-pressure, early answers, limits, and what the kernel moves.

use crate::world::{SECOND, World, config};
use ounce_core::{Close, Event, Fault, SpliceEnd};
use ounce_mem::Counter;

const PAGE: usize = ounce_mem::PAGE_BYTES;

fn upload(w: &mut World, length: usize) -> (ounce_mem::Key, ounce_mem::Key) {
    let client = w.client();
    w.say(client, format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"));
    let upstream = w.connected();
    (client, upstream)
}

/// A backend that takes nothing stops the client, with bounded bytes in between; when it takes, the client goes on.
#[test]
fn a_slow_backend_stops_the_client() {
    let mut w = World::plain(1);
    let (client, upstream) = upload(&mut w, 60_000);
    w.stuck(upstream, true);
    for _ in 0..3 {
        w.say(client, [b'a'; PAGE]);
    }
    let before = w.wire(upstream).owed;
    assert!(w.wire(client).receiving, "{before} bytes are no reason to stop");
    let (client, upstream) = upload(&mut w, 10_000_000);
    w.stuck(upstream, true);
    let mut sent = 0;
    while w.wire(client).receiving {
        w.say(client, [b'a'; PAGE]);
        sent += PAGE;
        assert!(sent < 300_000, "nothing stops it");
    }
    w.stuck(upstream, false);
    assert!(w.wire(client).receiving || !w.splices.is_empty());
}

/// A client that takes nothing stops the backend.
#[test]
fn a_slow_client_stops_the_backend() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    w.stuck(client, true);
    let mut sent = 0;
    while w.wire(upstream).receiving {
        w.say(upstream, format!("2000\r\n{}\r\n", "a".repeat(0x2000)));
        sent += 0x2000;
        assert!(sent < 300_000, "nothing stops it");
    }
    w.stuck(client, false);
    assert!(w.wire(upstream).receiving);
    w.say(upstream, "0\r\n\r\n");
    assert!(w.heard(client).ends_with("0\r\n\r\n"));
}

/// An answer that comes before the request is complete is passed on; both connections end.
#[test]
fn an_early_answer() {
    let mut w = World::plain(1);
    let (client, upstream) = upload(&mut w, 1000);
    w.say(client, "abc");
    w.say(upstream, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    let heard = w.heard(client);
    assert!(heard.contains("\r\nConnection: close\r\n"), "nothing more will be served: {heard}");
    assert!(heard.ends_with("\r\n\r\nno"));
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
    assert!(w.wire(client).shut && w.wire(client).receiving, "it is still sending: linger");
}

/// An early answer that is large is passed on whole although the backend has hung up on the request.
#[test]
fn an_early_answer_outlives_its_backend() {
    let mut w = World::plain(1);
    let (client, upstream) = upload(&mut w, 1_000_000);
    w.stuck(client, true);
    let length = 300_000;
    w.say(upstream, format!("HTTP/1.1 413 Content Too Large\r\nContent-Length: {length}\r\n\r\n"));
    w.say(upstream, vec![b'n'; length]);
    w.fail(upstream, Fault::Reset);
    w.stuck(client, false);
    let heard = w.heard(client);
    let body = heard.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    assert_eq!(body, length);
}

/// Without its end a response must not look whole, however much of it is here.
#[test]
fn a_reset_under_a_waiting_body_without_length_shows() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.0\r\n\r\n");
    let upstream = w.connected();
    w.stuck(client, true);
    w.say(upstream, "HTTP/1.0 200 OK\r\n\r\n");
    w.say(upstream, vec![b'n'; 300_000]);
    w.fail(upstream, Fault::Reset);
    w.stuck(client, false);
    assert_eq!(w.wire(client).closed, Some(Close::Abort));
}

/// A chunked body that grows past MaxRequest is refused, and the backend must not take it for complete.
#[test]
fn chunks_past_the_limit() {
    let mut w = World::new(&config("MaxRequest 10", "", 1));
    let client = w.client();
    w.say(client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n");
    let upstream = w.connected();
    w.say(client, "3\r\nijk\r\n0\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 413 "));
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
    assert!(!w.heard(upstream).contains("0\r\n\r\n"));
}

/// A malformed chunk is refused in the same way.
#[test]
fn chunks_that_are_none() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let upstream = w.connected();
    w.say(client, "x\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 400 "));
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
}

/// A client that ends in the middle of its body has sent no request.
#[test]
fn half_a_body() {
    let mut w = World::plain(1);
    let (client, upstream) = upload(&mut w, 10);
    w.say(client, "abc");
    w.eof(client);
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
    assert!(w.wire(client).closed.is_some());
}

/// A client may end its half once it has asked, and is answered all the same.
#[test]
fn a_half_closed_client_is_answered() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.eof(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(w.heard(client).ends_with("ok"));
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
    assert!(w.wire(upstream).closed.is_none());
}

/// What was sent ahead of the end is answered too, even to a client that reads slowly.
#[test]
fn pipelined_requests_of_a_half_closed_client() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    let upstream = w.connected();
    w.stuck(client, true);
    w.eof(client);
    w.say(upstream, format!("HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n{}", "a".repeat(40_000)));
    w.stuck(client, false);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(w.heard(client).ends_with("ok"));
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
}

/// A large body moves through the kernel once nothing of it is left with us, and its bytes are counted.
#[test]
fn a_large_body_is_spliced() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
    w.say(upstream, "abc");
    let (from, to, max) = w.splices.pop_front().expect("a splice");
    assert_eq!((from, to, max), (upstream, client, 199_997));
    w.on(upstream, Event::Spliced { bytes: 199_997, sink_full: false });
    w.on(upstream, Event::SpliceEnded(SpliceEnd::Complete));
    assert_eq!(w.counter(Counter::SplicedBytes), 199_997);
    assert_eq!(w.counter(Counter::BackendIdle), 1, "the response is complete");
    assert!(w.wire(client).receiving);
}

/// A source that ends in the middle of a splice leaves the response cut, and the client sees it.
#[test]
fn a_splice_that_ends_early() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nabc");
    w.splices.pop_front().expect("a splice");
    w.on(upstream, Event::Spliced { bytes: 5, sink_full: false });
    w.on(upstream, Event::SpliceEnded(SpliceEnd::SourceEnded));
    assert!(w.wire(client).closed.is_some());
    assert!(w.wire(upstream).closed.is_some());
}

/// Where the kernel has no pipe to give, bodies are copied: nobody's response is cut for that.
#[test]
fn without_a_pipe_bodies_are_copied() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nabc");
    w.splices.pop_front().expect("a splice");
    w.on(upstream, Event::SpliceEnded(SpliceEnd::NotBegun));
    assert!(w.wire(upstream).receiving);
    w.say(upstream, vec![b'x'; 199_997]);
    assert!(w.splices.is_empty(), "once is enough");
    assert!(w.heard(client).ends_with("xxx"));
    assert_eq!(w.counter(Counter::BackendIdle), 1);
}

/// A client that does not take what is spliced is given up after its limit, and not the backend.
#[test]
fn a_splice_that_stands_still() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nabc");
    w.splices.pop_front().expect("a splice");
    w.on(upstream, Event::Spliced { bytes: 5, sink_full: true });
    w.wait(21 * SECOND);
    assert_eq!(w.wire(client).closed, Some(Close::Abort));
    assert!(w.alive(0));
}
