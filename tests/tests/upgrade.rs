//! Upgraded connections: WebSocket as a library speaks it, and the bytes around the switch.

use ounce_tests::answer::Broken;
use ounce_tests::barrier::Gate;
use ounce_tests::link::Link;
use ounce_tests::origin::Origin;
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup};
use ounce_tests::script::{Act, play, say};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A WebSocket server that sends every message back, until the other side closes.
fn echo_server() -> Port {
    let port = Port::reserve();
    let listener = TcpListener::bind(port.address()).expect("a reserved port");
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let Ok(link) = Link::server(stream) else { return };
                let Ok(mut socket) = tungstenite::accept(link) else { return };
                while let Ok(message) = socket.read() {
                    if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn connect(proxy: &Proxy) -> WebSocket<Link> {
    let stream = TcpStream::connect(proxy.address()).expect("a proxy that listens");
    let link = Link::client(stream).expect("a socket");
    let (socket, answer) =
        tungstenite::client(format!("ws://{}/chat", proxy.address()), link).expect("an upgraded connection");
    assert_eq!(answer.status(), 101);
    socket
}

#[test]
fn messages_pass_both_ways_unchanged() {
    let server = echo_server();
    let proxy = Proxy::before(&[server.address()]);
    let mut socket = connect(&proxy);
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at: u32| at.wrapping_mul(31).to_le_bytes()[1]).collect();
        socket.send(Message::binary(bytes.clone())).expect("a message sent");
        assert_eq!(socket.read().expect("a message back"), Message::binary(bytes));
        socket.send(Message::text("x".repeat(size as usize))).expect("a message sent");
        assert_eq!(socket.read().expect("a message back").into_text().expect("text").len(), size as usize);
    }
    socket.send(Message::Ping("still there?".into())).expect("a ping sent");
    assert_eq!(socket.read().expect("a pong"), Message::Pong("still there?".into()));
}

#[test]
fn a_close_reaches_the_other_side_and_comes_back() {
    let server = echo_server();
    let proxy = Proxy::before(&[server.address()]);
    let mut socket = connect(&proxy);
    socket.close(None).expect("a close sent");
    loop {
        match socket.read() {
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => break,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn many_upgraded_connections_live_side_by_side() {
    let server = echo_server();
    let proxy = Proxy::before(&[server.address()]);
    let mut sockets: Vec<WebSocket<Link>> = (0..50).map(|_| connect(&proxy)).collect();
    for round in 0..5 {
        for (number, socket) in sockets.iter_mut().enumerate() {
            socket.send(Message::text(format!("{round} {number}"))).expect("a message sent");
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            assert_eq!(socket.read().expect("a message back"), Message::text(format!("{round} {number}")));
        }
    }
}

#[test]
fn bytes_that_come_with_the_switch_belong_to_the_new_protocol() {
    let origin = Origin::start(|exchange| {
        exchange.send(format!("{SWITCH}early from the origin").as_bytes())?;
        // What the client sent right behind its request.
        let early = exchange.link().read_exact(21).unwrap_or_default();
        exchange.send(&early)?;
        exchange.close();
        Ok(())
    });
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    client.send(format!("{UPGRADE}early from the client"));
    let head = client.link().read_head().expect("a switch");
    assert_eq!(head.first_line, "HTTP/1.1 101 Switching Protocols");
    assert!(head.fields.lists("Connection", "upgrade") && head.fields.lists("Upgrade", "websocket"));
    let rest = client.link().rest().expect("an end");
    assert_eq!(String::from_utf8_lossy(&rest), "early from the originearly from the client");
    let request = origin.received().wait_len("the request", 1).remove(0);
    assert!(request.fields.lists("Connection", "upgrade") && request.fields.lists("Upgrade", "websocket"));
}

/// Each direction ends by itself: who has said everything may still listen.
#[test]
fn a_half_closed_tunnel_carries_the_other_half() {
    let origin = Origin::start(|exchange| {
        exchange.send(SWITCH.as_bytes())?;
        let heard = exchange.link().rest().unwrap_or_default();
        exchange.send(format!("heard {} bytes", heard.len()).as_bytes())?;
        exchange.close();
        Ok(())
    });
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    client.send(UPGRADE);
    let _ = client.link().read_head().expect("a switch");
    client.send(vec![b'x'; 200_000]);
    client.end();
    assert_eq!(client.link().rest().expect("an end"), b"heard 200000 bytes");
}

#[test]
fn an_origin_that_does_not_upgrade_is_answered_as_ever() {
    let origin = Origin::start(play([say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")]));
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let answer = client.ask(UPGRADE);
        assert_eq!((answer.status, answer.text().as_str()), (200, "no"));
    }
    assert_eq!(client.get("/").text(), "no");
}

#[test]
fn a_switch_that_nobody_asked_for_is_answered_503() {
    let origin = Origin::start(play([say(SWITCH), say("surprise"), Act::Close]));
    let proxy = Proxy::before(&[origin.address()]);
    assert_eq!(proxy.client().get("/").status, 503);
}

#[test]
fn a_silent_tunnel_ends_when_its_time_is_over_and_not_before() {
    let gate = Gate::new();
    let origin = Origin::start(play([say(SWITCH), Act::Wait(gate.clone()), Act::Close]));
    // The limits of HTTP are no limits of the tunnel: they are shorter here.
    let proxy = Setup::new()
        .global("Client", "1")
        .global("TimeOut", "1")
        .global("WSTimeOut", "3")
        .backends(&[origin.address()])
        .start();
    let mut client = proxy.client();
    client.send(UPGRADE);
    let _ = client.link().read_head().expect("a switch");
    let before = Instant::now();
    let end = client.link().rest();
    assert!(matches!(end.as_deref(), Ok([]) | Err(Broken::Reset)), "{end:?}");
    let silent = before.elapsed();
    assert!((Duration::from_millis(2500)..Duration::from_secs(8)).contains(&silent), "{silent:?}");
    gate.open();
}

#[test]
fn a_tunnel_outlives_the_reload_of_its_proxy() {
    let server = echo_server();
    let proxy = Proxy::before(&[server.address()]);
    let mut socket = connect(&proxy);
    let old = proxy.workers();
    proxy.reload().expect("a reload");
    assert!(proxy.workers().iter().any(|worker| !old.contains(worker)), "a new generation serves");
    for _ in 0..10 {
        socket.send(Message::text("still here")).expect("a message sent");
        assert_eq!(socket.read().expect("a message back"), Message::text("still here"));
    }
}
