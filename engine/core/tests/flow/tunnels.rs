//! Connections that change their protocol.

use crate::world::{SECOND, World};
use ounce_core::{Close, Fault};
use ounce_mem::Key;

const OFFER: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn tunnel(w: &mut World) -> (Key, Key) {
    let client = w.client();
    w.say(client, OFFER);
    let upstream = w.connected();
    assert!(w.heard(upstream).contains("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    w.say(upstream, ACCEPT);
    assert_eq!(w.heard(client), ACCEPT);
    (client, upstream)
}

/// After 101 bytes go both ways as they are.
#[test]
fn an_accepted_upgrade_is_a_tunnel() {
    let mut w = World::plain(1);
    let (client, upstream) = tunnel(&mut w);
    w.say(client, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(w.heard(upstream), "GET / HTTP/1.1\r\n\r\n");
    w.say(upstream, b"\x01\x02ok");
    assert_eq!(w.heard(client), "\u{1}\u{2}ok");
}

/// What either side sends right behind its head belongs to the tunnel.
#[test]
fn bytes_behind_the_heads() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, format!("{OFFER}early"));
    let upstream = w.connected();
    assert!(!w.heard(upstream).contains("early"), "nothing was accepted yet");
    w.say(upstream, format!("{ACCEPT}hello"));
    assert_eq!(w.heard(upstream), "early");
    assert!(w.heard(client).ends_with("\r\n\r\nhello"));
}

/// A refused upgrade is a response like others, and what was sent ahead is a request like others.
#[test]
fn a_refused_upgrade() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, format!("{OFFER}GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"));
    let upstream = w.connected();
    w.heard(upstream);
    w.say(upstream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert!(w.heard(client).starts_with("HTTP/1.1 403 "));
    assert!(w.heard(upstream).starts_with("GET /2 "));
}

/// A switch that nobody asked for is a fault of the backend.
#[test]
fn a_switch_out_of_the_blue() {
    let mut w = World::plain(1);
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, ACCEPT);
    assert!(w.heard(client).starts_with("HTTP/1.1 503 "));
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
}

/// One side may end while the other still sends; both have ended: the tunnel is over.
#[test]
fn a_tunnel_ends_side_by_side() {
    let mut w = World::plain(1);
    let (client, upstream) = tunnel(&mut w);
    w.eof(client);
    assert!(w.wire(upstream).shut && w.wire(client).closed.is_none());
    w.say(upstream, "last words");
    assert_eq!(w.heard(client), "last words");
    w.eof(upstream);
    assert_eq!(w.wire(client).closed, Some(Close::Flush));
    assert!(w.core.is_empty());
}

/// A tunnel has a limit of its own, and any byte renews it.
#[test]
fn an_idle_tunnel() {
    let mut w = World::plain(1);
    let (client, upstream) = tunnel(&mut w);
    w.wait(50 * SECOND);
    w.say(upstream, "ping");
    w.wait(50 * SECOND);
    assert!(w.wire(client).closed.is_none());
    w.wait(15 * SECOND);
    assert!(w.wire(client).closed.is_some() && w.wire(upstream).closed.is_some());
}

/// RFC 9110 9.3.6: an accepted CONNECT has no framing; the bytes behind it are nobody's chunks.
#[test]
fn connect_is_a_tunnel_without_framing() {
    let mut w = World::plain(1);
    let client = w.client();
    w.say(client, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    let upstream = w.connected();
    w.say(upstream, "HTTP/1.1 200 OK\r\n\r\nhello");
    assert_eq!(w.heard(client), "HTTP/1.1 200 OK\r\n\r\nhello");
    w.heard(upstream);
    w.say(client, "abc");
    assert_eq!(w.heard(upstream), "abc");
}

/// A tunnel that breaks must not look as if its other end had finished.
#[test]
fn a_broken_tunnel_is_reset() {
    let mut w = World::plain(1);
    let (client, upstream) = tunnel(&mut w);
    w.say(upstream, "half a mess");
    w.fail(upstream, Fault::Reset);
    assert_eq!(w.wire(client).closed, Some(Close::Abort));
    assert!(w.core.is_empty());
}
