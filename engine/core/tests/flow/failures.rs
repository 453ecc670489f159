//! Backends that refuse, stall, die, and what becomes of the request.

use crate::world::{SECOND, World, config};
use ounce_core::{Close, Fault};
use ounce_mem::Counter;

/// A refused connect marks the backend dead for everybody, and the request goes to another one.
#[test]
fn a_refused_connect_moves_on() {
    let mut w = World::plain(2);
    let client = w.client();
    w.say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    let first = w.dialled();
    let dead = w.backend_of(first);
    w.fail(first, Fault::Refused);
    assert!(!w.alive(dead as usize));
    let second = w.connected();
    assert_ne!(w.backend_of(second), dead);
    assert!(w.heard(second).ends_with("\r\n\r\nabc"));
    assert_eq!(w.counter(Counter::Retries), 1);
}

/// The first worker to see a backend die says so, once.
#[test]
fn a_death_is_reported_once() {
    let mut w = World::plain(2);
    let clients = [w.client(), w.client(), w.client()];
    for client in clients {
        w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    let all = [w.dialled(), w.dialled(), w.dialled()];
    let dead = w.backend_of(all[0]);
    for key in all {
        if w.backend_of(key) == dead {
            w.fail(key, Fault::Refused);
        }
    }
    let problems = w.problems();
    assert_eq!(problems.matches(" is dead").count(), 1, "{problems}");
}

/// Want of descriptors is our own trouble: no backend dies of it.
#[test]
fn our_own_want_kills_nobody() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let key = w.dialled();
    w.fail(key, Fault::Resource);
    assert!(w.alive(0));
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
}

/// A connect that takes too long is a failed one.
#[test]
fn a_connect_that_takes_too_long() {
    let mut w = World::plain(2);
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let first = w.dialled();
    let dead = w.backend_of(first) as usize;
    w.wait(5 * SECOND);
    assert!(!w.alive(dead));
    assert_eq!(w.wire(first).closed, Some(Close::Abort));
    w.connected();
}

/// Bytes of the client's do not make a backend's silence shorter.
#[test]
fn a_dripping_client_does_not_keep_a_connect_alive() {
    let mut w = World::plain(2);
    let client = w.client();
    w.say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
    let first = w.dialled();
    for _ in 0..6 {
        w.wait(SECOND);
        w.say(client, "x");
    }
    assert!(w.wire(first).closed.is_some());
}

/// Chunks that are wrong from the start come with a head that nobody has seen yet: the client is told.
#[test]
fn a_first_chunk_that_is_malformed() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n");
    let heard = w.heard(client);
    assert!(heard.starts_with("HTTP/1.1 503 ") && !heard.contains("abc"), "{heard}");
    assert!(w.requests().contains(" 503 "), "the log says what the client got");
}

/// Once the head is out, only the end of the connection can tell.
#[test]
fn a_later_chunk_that_is_malformed() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert!(w.heard(client).ends_with("3\r\nabc\r\n"));
    w.say(upstream, "xyz\r\n");
    assert!(!w.heard(client).contains("HTTP/1.1"));
    assert!(w.wire(client).closed.is_some());
}

/// All dead is 503, after each was tried once.
#[test]
fn all_dead() {
    let mut w = World::plain(3);
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..3 {
        let key = w.dialled();
        w.fail(key, Fault::Refused);
    }
    w.no_connect();
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
    let other = w.client();
    w.say(other, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    w.no_connect();
    assert!(w.heard(other).starts_with("HTTP/1.1 503 "));
}

/// An emergency backend is asked only when no other is left.
#[test]
fn the_emergency_backend() {
    let mut w = World::new(&config("", "Emergency\nAddress 10.9.0.1\nPort 1\nEnd", 1));
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let first = w.dialled();
    w.fail(first, Fault::Refused);
    let second = w.connected();
    w.say(second, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 200 "));
}

/// An idempotent request whose backend died unanswered goes to another.
#[test]
fn a_death_before_the_head() {
    let mut w = World::plain(2);
    let client = w.client();
    let first = w.get(client);
    w.eof(first);
    let second = w.connected();
    assert_ne!(w.backend_of(first), w.backend_of(second));
    assert!(w.alive(0) && w.alive(1), "only a failed connect kills");
    w.say(second, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 204 "));
}

/// One that is not idempotent might be applied twice: it is not repeated (RFC 9110 9.2.2).
#[test]
fn no_second_try_of_a_post() {
    let mut w = World::plain(2);
    let client = w.client();
    w.say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    let first = w.connected();
    w.fail(first, Fault::Reset);
    w.no_connect();
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
}

/// A body that was passed on is gone: no second try.
#[test]
fn no_second_try_without_the_body() {
    let mut w = World::plain(2);
    let client = w.client();
    w.say(client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    let first = w.connected();
    w.fail(first, Fault::Reset);
    w.no_connect();
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
}

/// A backend that dies in the middle of its head has answered nothing; what the next one says is read from its first
/// byte.
#[test]
fn a_death_inside_the_head() {
    let mut w = World::plain(2);
    let client = w.client();
    let first = w.get(client);
    w.say(first, format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n", "a".repeat(500)));
    w.eof(first);
    let second = w.connected();
    w.say(second, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 204 "));
}

/// After the head the client has seen an answer: it is cut short, by a close where a length shows it.
#[test]
fn a_death_after_the_head() {
    let mut w = World::plain(2);
    let client = w.client();
    let first = w.get(client);
    w.say(first, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    w.eof(first);
    w.no_connect();
    assert!(w.heard(client).ends_with("ab"));
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
}

/// Where the end of the connection is the end of the body, only a reset tells a cut from an end.
#[test]
fn a_cut_body_without_length_is_reset() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "GET / HTTP/1.0\r\n\r\n");
    let first = w.connected();
    w.say(first, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    w.eof(first);
    assert_eq!(w.wire(client).closed, Some(Close::Abort));
}

/// A chunked body that is cut has no last chunk.
#[test]
fn a_cut_chunked_body_has_no_end() {
    let mut w = World::plain(1);
    let client = w.client();
    let first = w.get(client);
    w.say(first, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    w.eof(first);
    assert!(!w.heard(client).contains("0\r\n\r\n"));
    assert!(w.wire(client).closed.is_some());
}

/// A backend that sent nothing in time is not tried elsewhere: the request may be what takes so long.
#[test]
fn no_second_try_after_a_timeout() {
    let mut w = World::plain(2);
    let client = w.client();
    w.get(client);
    w.wait(16 * SECOND);
    w.no_connect();
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
    assert!(w.alive(0) && w.alive(1));
}

/// Answers of our own are not the backend's: its statistics do not count them.
#[test]
fn errors_of_ours_are_no_answers_of_the_backend() {
    let mut w = World::plain(1);
    let client = w.client();
    w.get(client);
    w.wait(16 * SECOND);
    assert_eq!(w.segment.backends().stats(w.row(0)).count, 0);
}

/// A client that goes away takes its request with it.
#[test]
fn a_client_that_breaks_off() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.fail(client, Fault::Reset);
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
    assert!(w.core.is_empty());
    assert_eq!(w.open(0), 0);
}

/// Interim responses without end are a backend gone wrong.
#[test]
fn a_flood_of_interim_responses() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    for _ in 0..40 {
        if w.wire(upstream).closed.is_none() {
            w.say(upstream, "HTTP/1.1 103 Early Hints\r\n\r\n");
        }
    }
    assert!(w.heard(client).contains("HTTP/1.1 503 "));
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
}
