//! Connections to backends that wait for their next request.

use crate::world::{SECOND, World};
use ounce_core::Fault;
use ounce_mem::Counter;

/// Any client's idempotent request may go on a parked connection.
#[test]
fn a_parked_connection_serves_others() {
    let mut w = World::plain(1);
    let (one, two) = (w.client(), w.client());
    let upstream = w.park(one);
    w.say(two, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    w.no_connect();
    assert!(w.heard(upstream).starts_with("GET /2 "));
}

/// A POST of another client goes on a new connection: it could not be repeated if the parked one had just ended.
#[test]
fn a_post_of_another_client_dials() {
    let mut w = World::plain(1);
    let (one, two) = (w.client(), w.client());
    w.park(one);
    w.say(two, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    w.dialled();
}

/// A parked connection that turns out dead under a request costs nothing: the same backend is dialled anew.
#[test]
fn a_parked_connection_dies_under_a_request() {
    let mut w = World::plain(1);
    let client = w.client();
    let parked = w.park(client);
    w.say(client, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    w.fail(parked, Fault::Reset);
    let fresh = w.connected();
    w.say(fresh, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 204 "));
    assert!(w.alive(0));
}

/// Whatever a parked connection says, it is of no use any more.
#[test]
fn a_parked_connection_that_speaks() {
    let mut w = World::plain(1);
    let client = w.client();
    let parked = w.park(client);
    w.say(parked, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    assert!(w.wire(parked).closed.is_some());
    w.get(client);
    assert_eq!(w.heard(client), "");
}

/// Bytes behind a response make a connection unfit for another request.
#[test]
fn bytes_behind_a_response() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n");
    assert!(w.wire(upstream).closed.is_some());
    assert!(w.heard(client).ends_with("\r\n\r\nok"));
}

/// A parked connection is closed before servers usually close theirs.
#[test]
fn a_parked_connection_grows_old() {
    let mut w = World::plain(1);
    let client = w.client();
    let parked = w.park(client);
    assert_eq!((w.open(0), w.counter(Counter::BackendIdle)), (1, 1));
    w.wait(16 * SECOND);
    assert!(w.wire(parked).closed.is_some());
    assert_eq!((w.open(0), w.counter(Counter::BackendIdle)), (0, 0));
}

/// Draining gives parked connections up, and their counts with them.
#[test]
fn draining_gives_parked_connections_up() {
    let mut w = World::plain(1);
    let client = w.client();
    let parked = w.park(client);
    w.drain();
    assert!(w.wire(parked).closed.is_some());
    assert_eq!((w.open(0), w.counter(Counter::BackendIdle)), (0, 0));
}

/// More connections than may wait are closed.
#[test]
fn no_more_than_so_many_wait() {
    let mut w = World::plain(1);
    let clients: Vec<_> = (0..50).map(|_| w.client()).collect();
    let upstreams: Vec<_> = clients.iter().map(|&client| w.get(client)).collect();
    for &upstream in &upstreams {
        w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    assert_eq!(w.counter(Counter::BackendIdle), 32, "half as many as clients");
    assert_eq!(w.open(0), 32);
}

/// A connection that carries NTLM credentials serves nobody but their owner (RFC 4559 6), also when later requests on it
/// do not name them.
#[test]
fn credentials_stay_with_their_client() {
    let mut w = World::plain(1);
    let (owner, other) = (w.client(), w.client());
    w.say(owner, "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM TlRMTVNTUAAD\r\n\r\n");
    let upstream = w.connected();
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    w.heard(upstream);
    w.say(owner, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(w.heard(upstream).starts_with("GET /2 "), "the owner comes back to it");
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    w.say(other, "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(w.heard(upstream), "", "another client must not use it");
    w.dialled();
    w.eof(owner);
    assert!(w.wire(upstream).closed.is_some(), "it ends with its client");
}

/// A connection that broke behind its last answer is not parked, however slowly that answer is read.
#[test]
fn a_broken_connection_is_not_parked() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.stuck(client, true);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
    w.say(upstream, vec![b'a'; 300_000]);
    w.fail(upstream, Fault::Reset);
    w.stuck(client, false);
    assert!(w.heard(client).ends_with("aaa"));
    assert!(w.wire(client).receiving, "the client has its answer and may ask again");
    assert!(w.wire(upstream).closed.is_some());
    assert_eq!(w.counter(Counter::BackendIdle), 0);
}
