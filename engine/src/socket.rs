//! What the worker keeps about one socket: the kernel's side of it. The core keeps the rest, under the same key.

use crate::queue::Queue;
use crate::tls::Session;
use ounce_core::Close;
use ounce_mem::{Buf, Key};
use ounce_sys::errno::Errno;
use ounce_sys::ring::{Fd, Token};

/// The operations that a token can name.
pub(crate) mod op {
    pub(crate) const ACCEPT: u8 = 1;
    pub(crate) const CONNECT: u8 = 2;
    pub(crate) const RECEIVE: u8 = 3;
    pub(crate) const SEND: u8 = 4;
    /// Wait until a splice source has bytes.
    pub(crate) const SOURCE: u8 = 5;
    /// Wait until a splice sink has room.
    pub(crate) const SINK: u8 = 6;
    /// Wait for an order of the supervisor.
    pub(crate) const ORDERS: u8 = 7;
    /// Wait for an answer of helper threads; the slot says of which ones.
    pub(crate) const CREW: u8 = 8;
    /// Wait for a card; the slot says for which handshake.
    pub(crate) const CARD: u8 = 9;
}

/// After so many receives that left room in their page, a socket is one of small messages.
const CALM: u8 = 4;

/// Whether the ring receives for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receive {
    Off,
    On,
    /// Cancelled; its end is still to come.
    Stopping,
    /// It ended for want of buffers and starts again when there are some.
    Starved,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) key: Key,
    pub(crate) fd: Fd,
    /// Operations whose last completion is still to come.
    pub(crate) in_flight: u8,
    pub(crate) connecting: bool,
    /// The backend that it leads to, by its place in the plan.
    pub(crate) backend: Option<u32>,
    pub(crate) receive: Receive,
    /// The core wants to hear from it.
    pub(crate) wanted: bool,
    /// How many receives in a row left room in their page, up to [`CALM`].
    calm: u8,
    pub(crate) sending: bool,
    /// Waits behind the buffer that is being sent.
    pub(crate) queue: Queue,
    /// Say that no more will come once the queue is empty.
    pub(crate) shutdown: bool,
    /// A send failed; what else is given for sending is dropped, and what is still to be received decides.
    pub(crate) broken: bool,
    /// That send was told of a reset. The kernel tells once: what looks like the peer's end from then on is none.
    pub(crate) torn: bool,
    pub(crate) closing: Option<Close>,
    /// The bytes on the wire are TLS.
    pub(crate) tls: Option<Box<Session>>,
    /// The listener that it came by.
    pub(crate) listener: Option<usize>,
    /// Plaintext bytes whose ciphertext is being sent.
    pub(crate) sealed: u32,
    /// The peer has been told by TLS that nothing more will be sent.
    pub(crate) finished: bool,
    /// A step of its handshake is to be taken.
    pub(crate) in_line: bool,
    /// Its place among the handshakes that a card has paused.
    pub(crate) pause: Option<Key>,
    /// Its handshake is to show whether the card can be trusted again.
    pub(crate) tries_card: bool,
    /// Until when its handshake may wait; 0 if it does not.
    pub(crate) card_until_us: u64,
    /// The splice that reads from this socket.
    pub(crate) source_of: Option<u32>,
    /// The splice that writes to it.
    pub(crate) sink_of: Option<u32>,
}

impl Socket {
    pub(crate) fn new(key: Key, fd: Fd) -> Socket {
        Socket {
            key,
            fd,
            in_flight: 0,
            connecting: false,
            backend: None,
            receive: Receive::Off,
            wanted: false,
            calm: 0,
            sending: false,
            queue: Queue::default(),
            shutdown: false,
            broken: false,
            torn: false,
            closing: None,
            tls: None,
            listener: None,
            sealed: 0,
            finished: false,
            in_line: false,
            pause: None,
            tries_card: false,
            card_until_us: 0,
            source_of: None,
            sink_of: None,
        }
    }

    /// Notes a page that came in.
    pub(crate) fn note(&mut self, page: &Buf) {
        self.calm = if page.room() > 0 { (self.calm + 1).min(CALM) } else { 0 };
    }

    /// Nothing says that its next receive brings little.
    pub(crate) fn may_flood(&self) -> bool {
        self.calm < CALM
    }

    /// What is to be sent next, and how many plaintext bytes have gone out whole meanwhile.
    pub(crate) fn next(&mut self, now_us: u64) -> (Option<Buf>, u32) {
        let Some(tls) = &mut self.tls else { return (self.queue.pop_front(), 0) };
        let mut sealed = 0;
        loop {
            if self.closing == Some(Close::Abort) || self.broken {
                return (None, sealed);
            }
            if let Some(buf) = tls.output() {
                return (Some(buf), sealed);
            }
            sealed += std::mem::take(&mut self.sealed);
            if !tls.is_established() {
                if self.closing.is_some() {
                    self.queue.clear();
                }
                return (None, sealed);
            }
            if !self.queue.is_empty() && tls.has_room() {
                tls.announce(self.queue.bytes(), now_us);
            }
            // What lies ready goes out together, and the last word with it.
            while tls.has_room()
                && let Some(plain) = self.queue.pop_front()
            {
                self.sealed += plain.len() as u32;
                if !tls.push(&plain) {
                    // A session that seals nothing any more has nothing left to say either.
                    self.broken = true;
                    return (None, sealed);
                }
            }
            let ends = self.queue.is_empty() && (self.shutdown || self.closing.is_some());
            if ends && !self.finished {
                self.finished = true;
                tls.finish();
            } else if self.sealed == 0 {
                return (None, sealed);
            }
        }
    }

    /// Nothing can be sent any more.
    pub(crate) fn break_off(&mut self, errno: Errno) {
        /// What a send gets behind an end that was received: what comes is the peer's true end.
        const EPIPE: Errno = Errno(32);
        self.broken = true;
        self.torn |= errno != EPIPE;
    }

    /// Something is under way that ends by itself when the connection is broken.
    pub(crate) fn is_heard(&self) -> bool {
        matches!(self.receive, Receive::On | Receive::Starved) || self.source_of.is_some()
    }

    pub(crate) fn token(&self, op: u8) -> Token {
        token(op, self.key)
    }
}

pub(crate) fn token(op: u8, key: Key) -> Token {
    Token { op, generation: key.generation, slot: key.index }
}
