//! What a client costs who keeps a connection and asks nothing: memory that the serving process has for itself.

use crate::peers::Peer;
use ounce_tests::client::Client;
use ounce_tests::wire;

/// Connections before the count, for what a process allocates once and for all.
const FIRST: usize = 500;

/// Bytes for each of so many connections, each after one request, over TLS 1.3 or without.
///
/// # Errors
/// When they cannot be made.
pub fn bytes_per_connection(peer: &Peer, connections: usize, tls: bool) -> Result<f64, String> {
    let address = peer.addresses(tls)[0];
    let mut clients = Vec::with_capacity(FIRST + connections);
    let mut open = |count: usize| -> Result<(), String> {
        for _ in 0..count {
            let client =
                if tls { Client::tls(address, wire::newest()) } else { Client::try_connect(address) };
            let mut client = client.map_err(|error| format!("{}: {error}", peer.name))?;
            let answer = client.get("/");
            if answer.status != 200 || answer.closes() {
                return Err(format!("{} does not keep the connection", peer.name));
            }
            clients.push(client);
        }
        Ok(())
    };
    open(FIRST)?;
    let before = peer.own_bytes()?;
    open(connections)?;
    Ok(peer.own_bytes()?.saturating_sub(before) as f64 / connections as f64)
}
