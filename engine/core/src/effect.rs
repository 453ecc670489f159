//! What to do about it: the only way anything leaves the core.

use crate::route::auth::Question;
use ounce_mem::{Buf, Key};
use std::net::SocketAddr;

/// One thing the engine must do. Effects on one socket are carried out in order.
#[derive(Debug)]
pub enum Effect {
    /// Open a socket for this key, connect it to the server of this backend, and receive once it stands.
    Connect {
        /// The key that the new socket goes by.
        socket: Key,
        /// Index in [`crate::Plan::backends`]; always a server.
        backend: u32,
        /// Where it is now, if the plan does not say.
        address: Option<SocketAddr>,
    },
    /// Send all of these bytes, after those given before. Each part that the kernel took is reported.
    Send {
        /// To whom.
        socket: Key,
        /// What.
        buf: Buf,
    },
    /// Receive from now on.
    Receive {
        /// From whom.
        socket: Key,
    },
    /// Stop receiving and report [`crate::Event::Paused`] when nothing more will come.
    Pause {
        /// From whom.
        socket: Key,
    },
    /// When all is sent, say that no more will come.
    ShutdownWrite {
        /// To whom.
        socket: Key,
    },
    /// Close; report [`crate::Event::Closed`] when it is done. Receiving stops at once.
    Close {
        /// Which socket.
        socket: Key,
        /// What becomes of unsent bytes.
        how: Close,
    },
    /// Move up to `max` bytes from one socket to another inside the kernel. Given only while the source is paused,
    /// nothing of it is unread, and the sink owes nothing.
    Splice {
        /// The source.
        from: Key,
        /// The sink.
        to: Key,
        /// How many bytes at most.
        max: u64,
    },
    /// Find out whether a password is right and report [`crate::Event::Verified`].
    Verify {
        /// Whose it is.
        socket: Key,
        /// To be given back.
        ticket: u64,
        /// The question.
        question: Box<Question>,
    },
    /// Report [`crate::Event::Deadline`] at this time, unless armed for an earlier one.
    Arm {
        /// For whom.
        socket: Key,
        /// Monotonic microseconds.
        at_us: u64,
    },
}

/// How a socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// Send what is queued, then close.
    Flush,
    /// Drop what is queued and reset the connection.
    Abort,
}

/// The effects of one call, and the log lines it made. Reused between calls.
#[derive(Debug, Default)]
pub struct Effects {
    /// What to do, in order.
    pub list: Vec<Effect>,
    /// Request log lines, each with its line end.
    pub requests: Vec<u8>,
    /// Problem log lines, each with its line end.
    pub problems: Vec<u8>,
}

impl Effects {
    #[inline]
    pub(crate) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }
}
