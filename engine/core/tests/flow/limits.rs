//! What one peer can make us keep.

use crate::world::{World, config};

/// A client that asks and does not read is not served on and on: what it is owed is bounded.
#[test]
fn a_client_that_asks_and_does_not_read() {
    let mut w = World::plain(1);
    let client = w.client();
    w.stuck(client, true);
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let response = format!("HTTP/1.1 204 No Content\r\nX-Long: {}\r\n\r\n", "a".repeat(3000));
    w.say(client, request);
    let upstream = w.connected();
    let mut answers = 0;
    while !w.heard(upstream).is_empty() {
        w.say(upstream, &response);
        answers += 1;
        assert!(answers < 200, "{} bytes are owed", w.wire(client).owed);
        if w.wire(client).receiving {
            w.say(client, request);
        }
    }
    w.stuck(client, false);
    assert!(w.wire(client).receiving, "it reads again and is served again");
}

/// Requests that are held back are served when the client reads, also when it has said that it sends no more.
#[test]
fn held_requests_outlive_the_end_of_input() {
    let mut w = World::plain(1);
    let client = w.client();
    w.stuck(client, true);
    let response = format!("HTTP/1.1 204 No Content\r\nX-Long: {}\r\n\r\n", "a".repeat(3500));
    let asked = 60;
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(asked));
    w.eof(client);
    let upstream = w.connected();
    let mut answered = 0;
    loop {
        if w.heard(upstream).is_empty() {
            if answered == asked {
                break;
            }
            w.stuck(client, false);
            w.stuck(client, true);
            assert!(!w.heard(upstream).is_empty(), "{answered} of {asked}");
        }
        w.say(upstream, &response);
        answered += 1;
    }
    w.stuck(client, false);
    assert_eq!(w.heard(client).matches("204 No Content").count(), asked);
    assert!(w.wire(client).closed.is_some());
}

/// Half a head does not keep a page of the pool.
#[test]
fn half_heads_keep_no_pages() {
    let mut w = World::plain(1);
    for _ in 0..20 {
        let client = w.client();
        w.say(client, "GET / HTTP/1.1\r\nHo");
    }
    assert_eq!(w.pool.free(), w.pool.capacity());
}

/// Small responses to a client that does not read leave most of the pool to others.
#[test]
fn small_responses_leave_the_pool_to_others() {
    let mut w = World::plain(1);
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for _ in 0..4 {
        let client = w.client();
        w.stuck(client, true);
        w.say(client, request);
        let upstream = w.connected();
        for _ in 0..30 {
            w.say(upstream, "HTTP/1.1 204 No Content\r\n\r\n");
            w.say(client, request);
        }
        w.stuck(upstream, true);
    }
    assert!(w.pool.low() >= w.pool.capacity() / 4);
}

/// Bytes sent ahead of time are bounded.
#[test]
fn a_client_that_sends_far_ahead() {
    let mut w = World::plain(1);
    let client = w.client();
    w.get(client);
    let mut ahead = 0;
    while w.wire(client).receiving {
        w.say(client, [b'x'; 4096]);
        ahead += 4096;
        assert!(ahead < 100_000, "nothing stops it");
    }
}

/// A line or head that is too long is refused before it is complete.
#[test]
fn too_long() {
    for (start, status) in [("GET /", 414), ("GET / HTTP/1.1\r\nHost: ", 413)] {
        let mut w = World::new(&config("", "", 1));
        let client = w.client();
        w.say(client, format!("{start}{}", "a".repeat(5000)));
        assert!(w.heard(client).starts_with(&format!("HTTP/1.1 {status} ")), "{start}");
        w.no_connect();
    }
}
