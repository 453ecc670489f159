//! Everything that waits has a limit.

use crate::world::{SECOND, World};
use ounce_core::Close;

/// An idle client is let go after its limit, counted from its last answer.
#[test]
fn an_idle_client() {
    let mut w = World::plain(1);
    let client = w.client();
    w.wait(9 * SECOND);
    w.park(client);
    w.wait(9 * SECOND);
    assert!(w.wire(client).closed.is_none());
    w.wait(2 * SECOND);
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
}

/// A head has one limit from its first byte on, however often bytes drip in.
#[test]
fn a_head_that_drips() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n");
    for _ in 0..6 {
        w.wait(2 * SECOND);
        if w.wire(client).closed.is_none() {
            w.say(client, "X: y\r\n");
        }
    }
    assert!(w.wire(client).closed.is_some());
    assert!(w.core.is_empty());
}

/// A client that stops in its body is let go, and the backend with it.
#[test]
fn a_body_that_stalls() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    let upstream = w.connected();
    w.wait(21 * SECOND);
    assert!(w.wire(client).closed.is_some());
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
    assert!(w.alive(0));
}

/// A backend has its limit for the first byte of its answer, not before it has the whole request.
#[test]
fn an_answer_that_does_not_come() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabcde");
    w.connected();
    w.wait(9 * SECOND);
    w.say(client, "fghij");
    w.wait(14 * SECOND);
    assert_eq!(w.heard(client), "");
    w.wait(2 * SECOND);
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
}

/// Requests sent ahead do not keep a silent backend alive.
#[test]
fn a_pipelining_client_does_not_prolong_an_answer() {
    let mut w = World::plain(1);
    let client = w.client();
    w.get(client);
    for _ in 0..10 {
        w.wait(2 * SECOND);
        if w.wire(client).receiving {
            w.say(client, "x");
        }
    }
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
}

/// A response that stands still in its body is cut.
#[test]
fn a_response_that_stalls() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    w.wait(14 * SECOND);
    assert!(w.wire(client).closed.is_none());
    w.wait(17 * SECOND);
    assert!(w.wire(client).closed.is_some() && w.wire(upstream).closed.is_some());
}

/// A client that takes nothing of its response is let go at once when its limit is over.
#[test]
fn a_client_that_takes_nothing() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.stuck(client, true);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcdefghij");
    w.wait(21 * SECOND);
    assert_eq!(w.wire(client).closed, Some(Close::Abort));
    assert!(w.core.is_empty() || w.open(0) == 1);
}

/// A lingering connection is closed after two seconds at most.
#[test]
fn lingering_ends() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "nonsense\r\n\r\n");
    assert!(w.wire(client).shut);
    w.wait(3 * SECOND);
    assert!(w.wire(client).closed.is_some());
    assert!(w.core.is_empty());
}

/// Lingering begins when the client has taken its answer: one that reads slowly gets all of it.
#[test]
fn lingering_waits_for_a_slow_reader() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.drain();
    w.stuck(client, true);
    w.say(upstream, format!("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}", "a".repeat(20_000)));
    assert!(w.wire(client).shut);
    for _ in 0..5 {
        w.wait(3 * SECOND);
        assert!(w.wire(client).closed.is_none(), "it is still reading");
        w.takes(client, 2000);
    }
    w.stuck(client, false);
    assert!(w.wire(client).closed.is_none());
    w.wait(3 * SECOND);
    assert!(w.wire(client).closed.is_some());
}

/// The same for one that has ended its own half: there is nothing to linger for, but its answer is still under way.
#[test]
fn a_slow_reader_that_has_half_closed() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.drain();
    w.eof(client);
    w.stuck(client, true);
    w.say(upstream, format!("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}", "a".repeat(20_000)));
    for _ in 0..4 {
        w.wait(5 * SECOND);
        assert_eq!(w.wire(client).closed, Some(Close::Flush), "it is still reading");
        w.takes(client, 2000);
    }
    w.wait(11 * SECOND);
    assert_eq!(w.wire(client).closed, Some(Close::Abort));
}

/// A closed connection whose last bytes are not taken is given up.
#[test]
fn a_flush_that_does_not_end() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.0\r\n\r\n");
    let upstream = w.connected();
    w.stuck(client, true);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
    w.wait(11 * SECOND);
    assert_eq!(w.wire(client).closed, Some(Close::Abort));
}
