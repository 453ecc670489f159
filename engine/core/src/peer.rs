//! The other end of a client's connection.

use std::net::{IpAddr, SocketAddr};

/// Who a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A client over TCP.
    Inet(SocketAddr),
    /// A client over a UNIX socket.
    Unix,
}

impl Peer {
    /// Its address. IPv4 clients of an IPv6 socket (`::ffff:192.0.2.1`) are IPv4 clients.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Peer::Inet(address) => Some(address.ip().to_canonical()),
            Peer::Unix => None,
        }
    }
}
