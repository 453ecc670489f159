//! A client that shakes hands again in the middle of a connection, which only OpenSSL's own still does.

use crate::papers::spawn_s_client;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;

/// Whether a client gets an answer after it has asked for another handshake.
///
/// # Panics
/// When OpenSSL's client is not installed, or its first handshake fails.
#[must_use]
pub fn renegotiates(address: SocketAddr) -> bool {
    let mut client = spawn_s_client(address, &["-tls1_2"]);
    let mut input = client.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(client.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut told = BufReader::new(client.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    // The handshake is over.
    assert!(lines.any(|line| line.contains("Verify return code")));
    input.write_all(b"R\n").expect("a client that reads");
    let asked = told.any(|line| line.contains("RENEGOTIATING"));
    let _ = input.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let answered = lines.any(|line| line.contains("HTTP/1.1 200"));
    drop(input);
    client.wait().expect("its end");
    asked && answered
}
