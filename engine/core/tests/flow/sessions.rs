//! Sticky sessions as requests see them.

use crate::world::{World, config};
use ounce_core::Fault;
use ounce_mem::{Counter, Key};

const COOKIE: &str = "Session\nType COOKIE\nID \"sid\"\nTTL 60\nEnd";

fn ask(w: &mut World, cookie: &str) -> (Key, Key) {
    let client = w.client();
    w.say(client, format!("GET / HTTP/1.1\r\nHost: h\r\n{cookie}Connection: close\r\n\r\n"));
    let upstream = w.connected();
    (client, upstream)
}

fn answer(w: &mut World, upstream: Key, lines: &str) {
    w.say(upstream, format!("HTTP/1.1 200 OK\r\n{lines}Connection: close\r\nContent-Length: 0\r\n\r\n"));
}

/// Requests with one key go to one backend.
#[test]
fn a_key_sticks() {
    let mut w = World::new(&config("", COOKIE, 3));
    let (_, first) = ask(&mut w, "Cookie: sid=a\r\n");
    answer(&mut w, first, "");
    for _ in 0..4 {
        let (_, next) = ask(&mut w, "Cookie: sid=a\r\n");
        assert_eq!(w.backend_of(next), w.backend_of(first));
        answer(&mut w, next, "");
    }
    assert_eq!(w.counter(Counter::SessionsCreated), 1);
}

/// A key that a response sets is bound to the backend that sent it, and counted once.
#[test]
fn a_response_teaches_a_key() {
    let mut w = World::new(&config("", COOKIE, 3));
    let (_, first) = ask(&mut w, "");
    answer(&mut w, first, "Set-Cookie: sid=b; Path=/\r\n");
    assert_eq!(w.counter(Counter::SessionsCreated), 1);
    for _ in 0..4 {
        let (_, next) = ask(&mut w, "Cookie: sid=b\r\n");
        assert_eq!(w.backend_of(next), w.backend_of(first));
        answer(&mut w, next, "");
    }
}

/// The sessions of a dead backend are made anew elsewhere.
#[test]
fn a_dead_backend_loses_its_sessions() {
    let mut w = World::new(&config("", COOKIE, 2));
    let (_, first) = ask(&mut w, "Cookie: sid=c\r\n");
    answer(&mut w, first, "");
    let client = w.client();
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\nCookie: sid=c\r\n\r\n");
    let again = w.dialled();
    assert_eq!(w.backend_of(again), w.backend_of(first));
    w.fail(again, Fault::Refused);
    let other = w.connected();
    assert_ne!(w.backend_of(other), w.backend_of(first));
    let (_, next) = ask(&mut w, "Cookie: sid=c\r\n");
    assert_eq!(w.backend_of(next), w.backend_of(other));
}
