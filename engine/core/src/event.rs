//! What happened to a socket: the only way anything reaches the core.

use crate::fault::Fault;
use crate::secure::Secure;
use ounce_mem::Buf;

/// Time as an argument. The core never asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tick {
    /// Microseconds of a clock that never goes back; the same clock for all workers.
    pub mono_us: u64,
    /// Microseconds since the UNIX epoch.
    pub wall_us: u64,
}

impl Tick {
    /// The monotonic time in milliseconds, the unit of the shared segment.
    #[inline]
    #[must_use]
    pub fn mono_ms(self) -> u64 {
        self.mono_us / 1000
    }
}

/// Something that happened to one socket.
#[derive(Debug)]
pub enum Event {
    /// The connection to a backend stands.
    Connected,
    /// The TLS handshake of a client is over.
    Secured(Box<Secure>),
    /// Bytes came in.
    Received(Buf),
    /// The peer has sent its last byte.
    Eof,
    /// As `Eof`, but TLS does not say that it was the last byte (RFC 8446 6.1).
    Truncated,
    /// So many bytes of what was sent have been taken by the kernel.
    Sent(u32),
    /// The socket is broken; nothing more can be received or sent.
    Failed(Fault),
    /// An armed deadline has passed.
    Deadline,
    /// Receiving has stopped, as asked by [`crate::Effect::Pause`]; what came in before has been reported.
    Paused,
    /// Bytes were moved from this socket to its splice partner, or what holds the splice up has changed.
    Spliced {
        /// How many bytes, perhaps none.
        bytes: u64,
        /// The partner takes no more at present; otherwise this socket has no more to give.
        sink_full: bool,
    },
    /// The splice from this socket is over.
    SpliceEnded(SpliceEnd),
    /// A password of this client was looked at, as asked by [`crate::Effect::Verify`].
    Verified {
        /// Which of its questions.
        ticket: u64,
        /// What came of it.
        verdict: Verdict,
    },
    /// Everything in flight has ended and the descriptor is gone: the key is free.
    Closed,
}

/// What came of looking at a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one.
    Right,
    /// It is another.
    Wrong,
    /// It was not looked at: too many wait for that.
    Refused,
}

/// Why a splice is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceEnd {
    /// As many bytes as asked were moved.
    Complete,
    /// The source ended first; everything it sent was moved.
    SourceEnded,
    /// The source broke.
    SourceFailed(Fault),
    /// The sink broke.
    SinkFailed(Fault),
    /// There was no pipe for it, or its sink takes nothing any more but is still heard. The bytes have to be received and
    /// sent.
    NotBegun,
}
