//! What the epoll ring knows of one descriptor.

use crate::ring::{Interest, Token};
use ounce_mem::Buf;

/// How a descriptor is registered with epoll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Watch {
    /// Not, as far as we know.
    #[default]
    None,
    /// A connection: both directions, edge-triggered, until closed.
    Edge,
    /// A listening socket: level-triggered, exclusive.
    Level,
    /// Polled only: armed for one event at a time.
    Once,
}

/// One descriptor: what is in flight on it and what is known to be worth trying.
pub(crate) struct File {
    pub(crate) watch: Watch,
    /// A receive may find something.
    pub(crate) readable: bool,
    /// A send may find room. True until the kernel says otherwise.
    pub(crate) writable: bool,
    /// The peer has ended or broken the stream: no further edge will come for reading.
    pub(crate) hung_up: bool,
    /// It is a stream of bytes, in which a short receive means that there is no more now. A socket of messages, such as
    /// the one that orders come by, must be read until it says so.
    pub(crate) stream: bool,
    /// It is in the ring's list of descriptors to try.
    pub(crate) queued: bool,
    pub(crate) accept: Option<Token>,
    pub(crate) connect: Option<Token>,
    /// With how many bytes more end it.
    pub(crate) receive: Option<(Token, usize)>,
    pub(crate) send: Option<(Token, Buf)>,
    pub(crate) poll_read: Option<Token>,
    pub(crate) poll_write: Option<Token>,
}

impl Default for File {
    fn default() -> File {
        File::fresh(false)
    }
}

impl File {
    /// A descriptor just opened or closed; its number may still be in the list of those to try.
    pub(crate) fn fresh(queued: bool) -> File {
        File {
            watch: Watch::None,
            readable: false,
            writable: true,
            hung_up: false,
            stream: false,
            queued,
            accept: None,
            connect: None,
            receive: None,
            send: None,
            poll_read: None,
            poll_write: None,
        }
    }

    /// As `fresh`, for a connection of ours.
    pub(crate) fn connection(queued: bool) -> File {
        File { stream: true, ..File::fresh(queued) }
    }

    /// Learns from an event of epoll.
    #[inline]
    pub(crate) fn note(&mut self, events: u32) {
        let has = |bits: i32| events & bits as u32 != 0;
        if has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) {
            self.hung_up = true;
        }
        if has(libc::EPOLLIN) || self.hung_up {
            self.readable = true;
        }
        if has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) {
            self.writable = true;
        }
    }

    /// Nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.accept.is_none()
            && self.connect.is_none()
            && self.receive.is_none()
            && self.send.is_none()
            && self.poll_read.is_none()
            && self.poll_write.is_none()
    }

    /// Begins a poll, of which the caller has seen that it is not ready.
    pub(crate) fn poll(&mut self, interest: Interest, token: Token) {
        let (place, known) = match interest {
            Interest::Read => (&mut self.poll_read, &mut self.readable),
            Interest::Write => (&mut self.poll_write, &mut self.writable),
        };
        assert!(place.is_none(), "two polls for {interest:?} on one descriptor");
        *place = Some(token);
        *known = false;
    }

    /// Ends a poll without a word.
    pub(crate) fn forget_poll(&mut self, token: Token) {
        for place in [&mut self.poll_read, &mut self.poll_write] {
            if *place == Some(token) {
                *place = None;
            }
        }
    }

    /// The events that polls wait for and that have not come.
    pub(crate) fn interests_left(&self) -> i32 {
        let read =
            if self.poll_read.is_some() && !self.readable { libc::EPOLLIN | libc::EPOLLRDHUP } else { 0 };
        let write = if self.poll_write.is_some() && !self.writable { libc::EPOLLOUT } else { 0 };
        read | write
    }
}
