//! [`Ring`] on io_uring.
//!
//! One ring per worker, made by the worker itself after the fork: with `SINGLE_ISSUER` it belongs to the task that made
//! it. Completions are worked out only inside io_uring_enter(2) (`DEFER_TASKRUN`), so that nothing interrupts the loop;
//! hence every turn submits and waits in one call, and a bare submit happens only when the queue is full.
//!
//! Measured and left out: to wait for more completions than the sends give at once, so that a turn does not end for
//! them alone (`min_wait_usec`), halves the calls of a single connection and saves nothing under load.
//!
//! A receive of many parts brings up to 32 pages of one socket before anybody can say that it is enough, and for each
//! connection whose other side stands still that is memory. So it is told to end by itself ([`BURST_BYTES`]), or, where
//! the kernel is older than 6.17 and cannot, a receive that must not bring much is one of a single page.
//!
//! Invariants:
//! 1. `in_flight` counts operations from their start to their completion without `more`.
//! 2. Whatever the kernel may touch is owned here: the buffer of each send in `sends`, the pages ready for receives in
//!    `buffers`, the addresses of connects in `addresses` until they are submitted.
//! 3. Dropping the ring first ends every operation; what the kernel does not give back in time is leaked, not freed.

use crate::buffers::{BufferRing, GROUP};
use crate::errno::Errno;
use crate::lanes::Lanes;
use crate::op::{self, Kind, Kinds};
use crate::ring::{BURST_BYTES, Completion, Fd, Interest, Moved, Now, Outcome, Pipe, Ring, Token};
use crate::socket::{self, Address, RawAddress};
use crate::{clock, pipe, signal};
use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{Builder, IoUring, cqueue};
use ounce_mem::{Buf, Pool};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Entries of the submission queue. It is emptied each turn and whenever it is full; a larger one would only drag more
/// memory through the cache.
const SUBMISSIONS: u32 = 256;

/// Entries of the completion queue: one turn's worth of completions for thousands of sockets. Beyond that the kernel
/// keeps a list, which costs but loses nothing.
const COMPLETIONS: u32 = 8192;

/// How long `drop` waits for the kernel to give back what it holds.
const DRAIN_US: u64 = 1_000_000;

/// IORING_ENTER_GETEVENTS: without it deferred work would not be done.
const ENTER_GETEVENTS: u32 = 1;

/// A [`Ring`] on io_uring.
pub struct UringRing {
    ring: ManuallyDrop<IoUring>,
    pool: Pool,
    buffers: ManuallyDrop<BufferRing>,
    /// The buffer of each send in flight.
    sends: Lanes<Buf>,
    kinds: Kinds,
    /// The kernel ends a receive of many parts after as many bytes as it is told.
    counts: bool,
    /// Addresses of connects that are not submitted yet; the boxes are used again.
    #[allow(clippy::vec_box, reason = "the kernel has pointers to them while the vector grows")]
    addresses: Vec<Box<RawAddress>>,
    addresses_used: usize,
    /// Entries that the kernel would not take; empty but for a machine out of memory.
    backlog: VecDeque<Entry>,
    /// Ends that are known without the kernel; told by the next wait.
    early: Vec<Completion>,
    in_flight: usize,
    now: Now,
}

impl UringRing {
    /// Makes a ring for the calling thread, which alone may use it, and takes up to a quarter of the pool's pages to lie
    /// ready for receives.
    ///
    /// # Errors
    /// What io_uring_setup(2) or io_uring_register(2) reports: EPERM and ENOSYS where io_uring is forbidden or unknown.
    pub fn new(pool: Pool) -> io::Result<UringRing> {
        signal::ignore_pipe()?;
        let mut ring = setup()?;
        let params = ring.params();
        if !(params.is_feature_nodrop() && params.is_feature_submit_stable() && params.is_feature_ext_arg()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut buffers = BufferRing::new(&ring, &pool)?;
        let counts = counts(&mut ring, &mut buffers)?;
        Ok(UringRing {
            ring: ManuallyDrop::new(ring),
            pool,
            buffers: ManuallyDrop::new(buffers),
            sends: Lanes::new(),
            kinds: Kinds::new(),
            counts,
            addresses: Vec::new(),
            addresses_used: 0,
            backlog: VecDeque::new(),
            early: Vec::new(),
            in_flight: 0,
            now: clock::now(),
        })
    }

    /// How many operations are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Does from now on without what kernels can since 6.17, as on an older one.
    #[must_use]
    pub fn as_before_6_17(mut self) -> UringRing {
        self.counts = false;
        self
    }

    #[inline]
    fn start(&mut self, entry: Entry, token: Token, kind: Kind) {
        self.kinds.begin(token, kind);
        self.in_flight += 1;
        self.push(entry.user_data(op::pack(token)));
    }

    #[inline]
    fn push(&mut self, entry: Entry) {
        // What waits in the backlog goes first: an operation must not overtake the close or cancel before it.
        if self.backlog.is_empty() && self.try_push(&entry) {
            return;
        }
        self.push_full(entry);
    }

    #[inline]
    fn try_push(&mut self, entry: &Entry) -> bool {
        // SAFETY: what the entry points to lives in `sends`, `buffers` or `addresses` until the kernel is done with it.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    #[cold]
    fn push_full(&mut self, entry: Entry) {
        self.backlog.push_back(entry);
        // The kernel takes all entries, or is so short of memory that the next wait must try again.
        if self.ring.submit().is_ok() {
            self.push_backlog();
        }
    }

    fn push_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.try_push(&entry) {
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    /// A place for an address until the next submit.
    fn keep(&mut self, address: RawAddress) -> &RawAddress {
        let at = self.addresses_used;
        self.addresses_used += 1;
        match self.addresses.get_mut(at) {
            Some(place) => **place = address,
            None => self.addresses.push(Box::new(address)),
        }
        &self.addresses[at]
    }

    /// Submits and waits in one call.
    fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let result = match timeout {
            None => self.ring.submit_and_wait(1),
            Some(Duration::ZERO) => {
                let queued = self.ring.submission().len() as u32;
                // SAFETY: no argument is passed; `queued` is what the submission queue holds.
                unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, 0, ENTER_GETEVENTS, None) }
            }
            Some(timeout) => {
                let time = Timespec::from(timeout);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        if self.addresses_used > 0 && self.backlog.is_empty() && self.ring.submission().is_empty() {
            self.addresses_used = 0;
        }
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Time is up; a signal came; completions must be reaped or memory found before more is taken.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// How long to wait at most, seeing what is still to do.
    #[inline]
    fn patience(&self, timeout: Option<Duration>) -> Option<Duration> {
        if !self.early.is_empty() {
            return Some(Duration::ZERO);
        }
        if !self.backlog.is_empty() {
            let soon = Duration::from_millis(1);
            return Some(timeout.map_or(soon, |timeout| timeout.min(soon)));
        }
        timeout
    }

    fn reap(&mut self, into: &mut Vec<Completion>) {
        for entry in self.ring.completion() {
            let data = entry.user_data();
            if data == op::SWALLOWED {
                continue;
            }
            let token = op::unpack(data);
            let more = cqueue::more(entry.flags());
            let result = entry.result();
            if !more {
                self.in_flight -= 1;
            }
            let outcome = match self.kinds.of(token.op) {
                Kind::Receive => received(&mut self.buffers, result, entry.flags()),
                Kind::Send => sent(&mut self.sends, token, result),
                Kind::Accept if result >= 0 => Outcome::Accepted(Fd(result)),
                Kind::Connect if result == 0 => Outcome::Connected,
                Kind::Poll if result >= 0 => Outcome::Ready,
                _ => failed(result, None),
            };
            into.push(Completion { token, outcome, more });
        }
    }
}

/// The newest kind of ring that this kernel makes; the last try is the least that all operations need.
fn setup() -> io::Result<IoUring> {
    let tries: [fn(&mut Builder); 3] = [
        |b| {
            b.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().setup_no_sqarray();
        },
        |b| {
            b.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
        },
        |b| {
            b.setup_coop_taskrun();
        },
    ];
    let mut last = None;
    for extra in tries {
        let mut builder = IoUring::builder();
        builder.setup_submit_all().setup_cqsize(COMPLETIONS);
        extra(&mut builder);
        match builder.build(SUBMISSIONS) {
            Ok(ring) => return Ok(ring),
            // EINVAL is what a kernel says to a flag it does not know; anything else no other flag will mend.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
}

/// Tries whether the kernel ends a receive of many parts after as many bytes as it is told: the first part is beyond that.
fn counts(ring: &mut IoUring, buffers: &mut BufferRing) -> io::Result<bool> {
    let (near, mut far) = UnixStream::pair()?;
    far.write_all(b"ab")?;
    // A kernel that took no notice of the number would go on to the end.
    drop(far);
    let entry = op::receive_at_most(Fd(near.as_raw_fd()), GROUP, 1).user_data(op::SWALLOWED);
    // SAFETY: the entry points to nothing, and the buffers that it takes live in `buffers`.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    let mut told = Vec::new();
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for entry in ring.completion() {
            if let Some(number) = cqueue::buffer_select(entry.flags()) {
                // Dropped, into the pool.
                let _ = buffers.take(number, 0);
            }
            told.push(entry.result());
            if !cqueue::more(entry.flags()) {
                return Ok(told.len() == 1 && told[0] > 0);
            }
        }
    }
}

#[inline]
fn received(buffers: &mut BufferRing, result: i32, flags: u32) -> Outcome {
    // The page comes back even where nothing was written into it; it is dropped then, into the pool.
    let page = cqueue::buffer_select(flags).and_then(|number| buffers.take(number, result.max(0) as usize));
    match (result, page) {
        (0, _) => Outcome::Eof,
        (1.., Some(page)) => Outcome::Received(page),
        _ if result == -libc::ENOBUFS => Outcome::NoBuffers,
        _ => failed(result, None),
    }
}

#[inline]
fn sent(sends: &mut Lanes<Buf>, token: Token, result: i32) -> Outcome {
    match sends.take(token) {
        Some(buf) if result > 0 => Outcome::Sent(buf, result as usize),
        buf => failed(result, buf),
    }
}

#[cold]
fn failed(result: i32, buf: Option<Buf>) -> Outcome {
    match -result {
        libc::ECANCELED => Outcome::Cancelled(buf),
        errno if errno > 0 => Outcome::Failed(Errno(errno), buf),
        // A success that makes no sense, such as bytes received without a page: the kernel broke its word.
        _ => Outcome::Failed(Errno(libc::EIO), buf),
    }
}

impl Ring for UringRing {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn accept(&mut self, listener: Fd, token: Token) {
        self.start(op::accept(listener), token, Kind::Accept);
    }

    fn socket(&mut self, to: &Address) -> io::Result<Fd> {
        Ok(Fd(socket::outgoing(to)?.into_raw_fd()))
    }

    fn adopt(&mut self, fd: OwnedFd) -> Fd {
        Fd(fd.into_raw_fd())
    }

    fn connect(&mut self, fd: Fd, to: &Address, token: Token) {
        match RawAddress::new(to) {
            Ok(address) => {
                let entry = op::connect(fd, self.keep(address));
                self.start(entry, token, Kind::Connect);
            }
            Err(_) => {
                let outcome = Outcome::Failed(Errno(libc::EINVAL), None);
                self.early.push(Completion { token, outcome, more: false });
            }
        }
    }

    #[inline]
    fn receive(&mut self, fd: Fd, token: Token) {
        if self.counts {
            return self.receive_at_most(fd, BURST_BYTES, token);
        }
        self.start(op::receive(fd, GROUP), token, Kind::Receive);
    }

    #[inline]
    fn receive_at_most(&mut self, fd: Fd, most: usize, token: Token) {
        let entry = match self.counts {
            true => op::receive_at_most(fd, GROUP, u32::try_from(most.max(1)).unwrap_or(u32::MAX)),
            false => op::receive_once(fd, GROUP),
        };
        self.start(entry, token, Kind::Receive);
    }

    #[inline]
    fn send(&mut self, fd: Fd, buf: Buf, token: Token) {
        assert!(!buf.is_empty(), "a send has bytes");
        let entry = op::send(fd, self.sends.put(token, buf));
        self.start(entry, token, Kind::Send);
    }

    fn keep_unsent_low(&mut self, fd: Fd) {
        socket::keep_unsent_low(fd.0);
    }

    fn poll(&mut self, fd: Fd, interest: Interest, token: Token) {
        self.start(op::poll(fd, interest), token, Kind::Poll);
    }

    fn cancel(&mut self, token: Token) {
        self.push(op::cancel(op::pack(token)));
    }

    fn shutdown_write(&mut self, fd: Fd) {
        pipe::shutdown_write(fd);
    }

    fn close(&mut self, fd: Fd, abort: bool) {
        if abort {
            socket::reset_on_close(fd.0);
        }
        self.push(op::close(fd));
    }

    fn peer(&self, fd: Fd) -> Option<Address> {
        socket::peer_address(fd.0).ok()
    }

    fn local(&self, fd: Fd) -> Option<Address> {
        socket::local_address(fd.0).ok()
    }

    fn pipe(&mut self) -> io::Result<Pipe> {
        pipe::open()
    }

    fn splice(&mut self, from: Fd, to: Fd, max: usize) -> Result<Moved, Errno> {
        pipe::splice(from, to, max)
    }

    fn wait(&mut self, timeout: Option<Duration>, into: &mut Vec<Completion>) -> io::Result<()> {
        self.push_backlog();
        // Now and not after the reap: what was received last turn has gone through by now, and its pages are back.
        self.buffers.refill(&self.pool);
        self.enter(self.patience(timeout))?;
        self.now = clock::now();
        into.append(&mut self.early);
        self.reap(into);
        Ok(())
    }

    fn now(&self) -> Now {
        self.now
    }
}

impl Drop for UringRing {
    /// Ends what is in flight and waits for it, since the kernel writes into pages and reads from buffers until then.
    fn drop(&mut self) {
        let until = clock::monotonic_us() + DRAIN_US;
        self.push(op::cancel_all());
        let mut ended = Vec::new();
        while clock::monotonic_us() < until {
            if self.wait(Some(Duration::from_millis(1)), &mut ended).is_err() {
                break;
            }
            for completion in ended.drain(..) {
                if let Outcome::Accepted(fd) = completion.outcome {
                    self.close(fd, false);
                }
            }
            if self.in_flight == 0 && self.backlog.is_empty() && self.ring.submission().is_empty() {
                break;
            }
        }
        let returned = self.in_flight == 0 && self.ring.submitter().unregister_buf_ring(GROUP).is_ok();
        // SAFETY: neither field is used again, here or by the compiler's own drop of the fields.
        let (ring, buffers) =
            unsafe { (ManuallyDrop::take(&mut self.ring), ManuallyDrop::take(&mut self.buffers)) };
        drop(ring);
        if returned {
            drop(buffers);
        } else {
            // The kernel ends the rest some time after the ring is closed, and does not say when.
            buffers.leak();
            self.sends.drain().for_each(std::mem::forget);
        }
    }
}
