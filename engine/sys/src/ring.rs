//! What a worker asks of the kernel: [`Ring`].
//!
//! Operations are started by method calls, each under a [`Token`] that its owner chose, and end as
//! [`Completion`]s from [`Ring::wait`]. Buffers move: `send` takes its [`Buf`] and the completion gives it back, a
//! receive hands out a page of the ring's own. So nothing that the kernel holds can be freed or reused.
//!
//! Rules for callers, which the simulation ([`crate::sim`]) enforces:
//! 1. At most one receive and one send in flight per descriptor, and one poll for each interest.
//! 2. A descriptor is closed only when every operation on it has ended: its owner has seen the completion without
//!    `more`. To close is to cancel, to wait, then to close.
//! 3. An op number always stands for the same method of [`Ring`], since a completion of the kernel's does not say what
//!    it completes. A token in flight is not used again before its end.
//! 4. Slots are dense indices: rings keep tables by slot.
//! 5. [`Ring::shutdown_write`] and [`Ring::splice`] act at once, past what is queued: nothing else may be in flight in
//!    that direction.

use crate::errno::Errno;
use crate::socket::Address;
use ounce_mem::{Buf, Pool};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A socket or other descriptor as this ring knows it: a number of the kernel's, or of the simulation's.
///
/// It has no destructor: who opened or accepted it gives it back with [`Ring::close`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fd(pub i32);

/// Names one operation in flight: what it is and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// The kind of operation, chosen by the owner; travels unchanged. 0 to 250; one number, one method of [`Ring`].
    pub op: u8,
    /// Generation of the owner's slot, 24 bits.
    pub generation: u32,
    /// The owner's slot: a dense index, below 2^24.
    pub slot: u32,
}

/// The end of an operation, or one result of an operation that goes on.
#[derive(Debug)]
pub struct Completion {
    /// The token that the operation was started with.
    pub token: Token,
    /// What happened.
    pub outcome: Outcome,
    /// The operation is still in flight and more completions will come under this token.
    pub more: bool,
}

/// What happened to an operation.
#[derive(Debug)]
pub enum Outcome {
    /// A connection came in. The descriptor is non-blocking and closes on exec.
    Accepted(Fd),
    /// The connection to a backend stands.
    Connected,
    /// Bytes came in; never empty.
    Received(Buf),
    /// The peer has sent its last byte (a receive of 0 bytes).
    Eof,
    /// So many bytes of the buffer, at least one, were taken by the kernel; the buffer comes back whole.
    Sent(Buf, usize),
    /// A poll saw its readiness.
    Ready,
    /// No buffer was free for a receive; start it again when the pool has pages.
    NoBuffers,
    /// The operation ended because [`Ring::cancel`] was asked to end it; a send gives its buffer back.
    Cancelled(Option<Buf>),
    /// The operation failed; a send gives its buffer back.
    Failed(Errno, Option<Buf>),
}

/// What [`Ring::receive`] brings between two waits, at most, unless a ring says otherwise: beyond it, back-pressure comes
/// too late and others wait too long.
pub const BURST_BYTES: usize = 64 * 1024;

/// Which readiness a poll waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end of the stream.
    Read,
    /// Room to write.
    Write,
}

/// A kernel pipe for moving bytes between two sockets without copying them through user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pipe {
    /// The end that is read.
    pub read: Fd,
    /// The end that is written.
    pub write: Fd,
    /// How many bytes it can hold.
    pub capacity: usize,
}

/// What a call that does not wait achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The source has ended.
    End,
    /// Nothing could be moved now (source empty or sink full).
    Nothing,
}

/// Time as one worker sees it. The monotonic part never goes back; the wall part may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds of CLOCK_MONOTONIC (in a simulation: since its start).
    pub mono_us: u64,
    /// Microseconds since the UNIX epoch.
    pub wall_us: u64,
}

/// The kernel, or a stand-in for it.
pub trait Ring {
    /// The pool that receives take their pages from; callers take pages for sending from it too.
    fn pool(&self) -> &Pool;

    /// Accepts connections on a listening socket until cancelled: one [`Outcome::Accepted`] each. It may also end by
    /// itself, with an `Accepted` or `Failed` without `more` (no descriptors left, for one): start it again.
    fn accept(&mut self, listener: Fd, token: Token);

    /// Opens a non-blocking stream socket fit for `connect` to this address (TCP_NODELAY set where it applies).
    ///
    /// # Errors
    /// What socket(2) reports, EMFILE above all.
    fn socket(&mut self, to: &Address) -> io::Result<Fd>;

    /// Takes in a connected stream socket that was made elsewhere. It is non-blocking.
    fn adopt(&mut self, fd: OwnedFd) -> Fd;

    /// Connects. Ends as `Connected`, `Failed` or `Cancelled`.
    fn connect(&mut self, fd: Fd, to: &Address, token: Token);

    /// Receives until cancelled, ended or out of buffers: `Received` any number of times with `more`, then one of
    /// `Eof`, `NoBuffers`, `Cancelled`, `Failed` without it. A `Received` without `more` ends it too: start it again.
    ///
    /// `NoBuffers` may come although the pool has pages (a burst used up those that lay ready): when it has, start again
    /// at once. On a socket of messages each `Received` is one message.
    fn receive(&mut self, fd: Fd, token: Token);

    /// As [`Ring::receive`], and ends by itself, with a `Received` without `more`, once so many bytes came or earlier. It
    /// brings a page at least, so less than a page beyond `most`, before its owner is heard.
    fn receive_at_most(&mut self, fd: Fd, most: usize, token: Token);

    /// Sends the bytes of `buf`, perhaps not all of them. Ends as `Sent`, `Failed` or `Cancelled`. Never raises SIGPIPE.
    fn send(&mut self, fd: Fd, buf: Buf, token: Token);

    /// Lets the kernel take little more for sending on this connection than it can send now (TCP_NOTSENT_LOWAT). What is on
    /// its way does not count, so no fast peer is held up; but else each peer that reads nothing holds megabytes, and some
    /// hundreds of them all that the kernel has for TCP (`net.ipv4.tcp_mem`): nobody is served then. A splice is called
    /// more often with it, and costs a third more.
    fn keep_unsent_low(&mut self, fd: Fd);

    /// Waits for readiness once: `Ready`, `Cancelled` or `Failed`.
    fn poll(&mut self, fd: Fd, interest: Interest, token: Token);

    /// Asks that the operation under this token end soon. It still ends by its own completion, exactly once:
    /// `Cancelled`, or whatever happened first. Unknown tokens are ignored.
    fn cancel(&mut self, token: Token);

    /// Says that nothing more will be sent on this socket, after the last send on it has ended. Nothing is reported.
    fn shutdown_write(&mut self, fd: Fd);

    /// Gives a descriptor back. `abort` drops what is unsent and resets the connection (SO_LINGER 0).
    fn close(&mut self, fd: Fd, abort: bool);

    /// Who is at the other end; `None` if it has gone or cannot be told.
    fn peer(&self, fd: Fd) -> Option<Address>;

    /// The local end of a socket.
    fn local(&self, fd: Fd) -> Option<Address>;

    /// Makes a pipe for [`Ring::splice`].
    ///
    /// # Errors
    /// What pipe2(2) reports.
    fn pipe(&mut self) -> io::Result<Pipe>;

    /// Moves up to `max` bytes between a socket and a pipe end, at once and without waiting (splice(2)). `Nothing` does
    /// not say which side is to blame: the caller knows what the pipe holds.
    ///
    /// # Errors
    /// The error of the socket concerned.
    fn splice(&mut self, from: Fd, to: Fd, max: usize) -> Result<Moved, Errno>;

    /// Starts what was asked, waits until something ends or `timeout` has passed (`None`: as long as it takes), and
    /// appends what ended to `into`. May return with nothing.
    ///
    /// # Errors
    /// Only what makes the ring unusable; the worker ends itself.
    fn wait(&mut self, timeout: Option<Duration>, into: &mut Vec<Completion>) -> io::Result<()>;

    /// The time of the last `wait`'s return.
    fn now(&self) -> Now;
}
