//! A connection from a client: between requests it is this and nothing more.

use crate::Peer;
use crate::core::{Cause, Core, Receiving, Role};
use crate::effect::{Close, Effects};
use crate::event::Tick;
use crate::flow::exchange::Side;
use crate::secure::Secure;
use ounce_mem::Key;
use std::io::Write;
use std::net::SocketAddr;

/// A connection from a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) listener: u16,
    pub(crate) peer: Peer,
    /// Its address as header fields name it.
    pub(crate) peer_text: PeerText,
    pub(crate) local: Option<SocketAddr>,
    /// What is known of its TLS; `None` in plain HTTP.
    pub(crate) secure: Option<Box<Secure>>,
    /// The request being served.
    pub(crate) exchange: Option<Key>,
    /// How much of an incomplete head has been searched for its end.
    pub(crate) scanned: u32,
    /// When the first byte of the incomplete head came; 0 between requests.
    pub(crate) since_us: u64,
    /// A backend connection that carries this client's credentials and serves only it.
    pub(crate) pinned: Option<Key>,
}

/// The text of an address: made once for each connection, used in each request.
#[derive(Debug)]
pub(crate) struct PeerText {
    bytes: [u8; ADDRESS_BYTES],
    len: u8,
}

/// The longest text of an IPv6 address.
const ADDRESS_BYTES: usize = 45;

impl PeerText {
    fn new(peer: Peer) -> PeerText {
        let mut bytes = [0; ADDRESS_BYTES];
        let mut rest = &mut bytes[..];
        let written = match peer.ip() {
            Some(ip) => write!(rest, "{ip}"),
            None => write!(rest, "socket"),
        };
        debug_assert!(written.is_ok(), "an address is longer than addresses are");
        let len = (ADDRESS_BYTES - rest.len()) as u8;
        PeerText { bytes, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

/// How a client connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// After what is queued has been sent.
    Flush,
    /// The same, while what the client still sends is read and dropped.
    Linger,
    /// At once.
    Abort,
}

impl Client {
    pub(crate) fn new(listener: u16, peer: Peer, local: Option<SocketAddr>) -> Client {
        let peer_text = PeerText::new(peer);
        Client {
            listener,
            peer,
            peer_text,
            local,
            secure: None,
            exchange: None,
            scanned: 0,
            since_us: 0,
            pinned: None,
        }
    }

    /// Its certificate, PEM without line ends.
    pub(crate) fn certificate(&self) -> Option<&str> {
        Some(self.secure.as_ref()?.certificate.as_ref()?.pem.as_str())
    }
}

impl Core<'_> {
    pub(crate) fn client(&self, key: Key) -> Option<&Client> {
        match &self.sockets.get(key)?.role {
            Role::Client(client) => Some(client),
            _ => None,
        }
    }

    pub(crate) fn client_mut(&mut self, key: Key) -> Option<&mut Client> {
        match &mut self.sockets.get_mut(key)?.role {
            Role::Client(client) => Some(client),
            _ => None,
        }
    }

    pub(crate) fn on_client(&mut self, key: Key, cause: Cause, tick: Tick, fx: &mut Effects) {
        let Some(client) = self.client(key) else { return };
        if let Some(exchange) = client.exchange {
            return self.on_exchange(exchange, Side::Client, cause, tick, fx);
        }
        let limit = self.plan.listeners[client.listener as usize].client_ms * 1000;
        let partial = client.since_us != 0;
        match cause {
            Cause::Bytes | Cause::Eof => self.receive(key, tick, fx),
            Cause::Failed(_) => self.end_client(key, End::Abort, tick, fx),
            Cause::Expired => {
                let owed = self.sockets.get(key).map_or(0, |socket| socket.owed);
                let end = if owed > 0 { End::Abort } else { End::Flush };
                self.end_client(key, end, tick, fx);
            }
            Cause::Sent => {
                if !partial {
                    self.due(key, tick.mono_us + limit, fx);
                }
                // What it has sent may have waited for it to read.
                if self.sockets.get(key).is_some_and(|socket| socket.receiving != Receiving::On) {
                    self.receive(key, tick, fx);
                }
            }
            _ => {}
        }
    }

    /// The client connection ends; it must not be in an exchange.
    pub(crate) fn end_client(&mut self, key: Key, end: End, tick: Tick, fx: &mut Effects) {
        let Some(client) = self.client_mut(key) else { return };
        debug_assert!(client.exchange.is_none());
        let listener = client.listener as usize;
        if let Some(pinned) = client.pinned.take() {
            self.close_upstream(pinned, Close::Flush, fx);
        }
        self.client_left();
        let patience_us = self.plan.listeners[listener].client_ms * 1000;
        match end {
            End::Abort => self.close(key, Close::Abort, fx),
            End::Linger => self.linger(key, patience_us, tick, fx),
            End::Flush => self.close_flushed(key, patience_us, tick, fx),
        }
    }
}
