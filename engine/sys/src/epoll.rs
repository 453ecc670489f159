//! [`Ring`] on epoll, for kernels and containers that forbid io_uring.
//!
//! Each socket is registered once, edge-triggered, for both directions; from then on the ring knows from edges and
//! from EAGAIN what may be worth trying, and a request costs no epoll_ctl(2). Sends and connects are tried at once, and
//! what they achieve is told by the next [`Ring::wait`].
//!
//! Listening sockets are level-triggered and exclusive, so that a shared one wakes one worker. Descriptors of others
//! that are only polled (event descriptors, order sockets) are armed for one event each time, because their owner may
//! close them without telling.

use crate::errno::Errno;
use crate::file::{File, Watch};
use crate::lanes::Lanes;
use crate::op::Kind;
use crate::ring::{BURST_BYTES, Completion, Fd, Interest, Moved, Now, Outcome, Pipe, Ring, Token};
use crate::socket::{self, Address, RawAddress, check};
use crate::{clock, pipe, signal};
use ounce_mem::{Buf, PAGE_BYTES, Pool};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// Connections taken from one listener before others have their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Pages read from one socket before others have their turn.
const PAGES_PER_TURN: usize = BURST_BYTES / PAGE_BYTES;

/// Edges that matter for a connection.
const EDGES: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

/// A [`Ring`] on epoll.
pub struct EpollRing {
    epoll: OwnedFd,
    pool: Pool,
    /// By descriptor.
    files: Vec<File>,
    /// Where each operation in flight is, for cancel.
    flights: Lanes<(Fd, Kind)>,
    /// Descriptors on which something may be tried without waiting, each once (`File::queued`).
    ready: Vec<Fd>,
    /// The other half of a swap with `ready`.
    trying: Vec<Fd>,
    /// Ends that the next wait tells.
    done: Vec<Completion>,
    /// A page that a receive found no bytes for.
    spare: Option<Buf>,
    events: Box<[libc::epoll_event]>,
    /// The last wait asked the kernel for events.
    asked: bool,
    now: Now,
}

impl EpollRing {
    /// Makes a ring.
    ///
    /// # Errors
    /// What epoll_create1(2) reports.
    pub fn new(pool: Pool) -> io::Result<EpollRing> {
        signal::ignore_pipe()?;
        // SAFETY: no memory is passed.
        let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(EpollRing {
            // SAFETY: the kernel has just made this descriptor and nobody else has it.
            epoll: unsafe { OwnedFd::from_raw_fd(epoll) },
            pool,
            files: Vec::new(),
            flights: Lanes::new(),
            ready: Vec::new(),
            trying: Vec::new(),
            done: Vec::new(),
            spare: None,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS].into_boxed_slice(),
            asked: false,
            now: clock::now(),
        })
    }

    /// How many operations are in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.live()
    }

    #[inline]
    fn file(&mut self, fd: Fd) -> &mut File {
        assert!(fd.0 >= 0, "a descriptor is not negative");
        let at = fd.0 as usize;
        if at >= self.files.len() {
            self.files.resize_with((at + 1).next_power_of_two(), File::default);
        }
        &mut self.files[at]
    }

    #[inline]
    fn try_soon(&mut self, fd: Fd) {
        let file = self.file(fd);
        if !file.queued {
            file.queued = true;
            self.ready.push(fd);
        }
    }

    /// Ends an operation outside of `wait`.
    fn finish(&mut self, token: Token, outcome: Outcome) {
        self.done.push(Completion { token, outcome, more: false });
    }

    fn control(&self, what: i32, fd: Fd, events: i32) -> Result<(), Errno> {
        let mut event = libc::epoll_event { events: events as u32, u64: fd.0 as u64 };
        // SAFETY: the pointer is to an event that lives over the call.
        match check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, fd.0, &mut event) }) {
            Ok(_) => Ok(()),
            Err(error) => Err(Errno::of(&error)),
        }
    }

    /// Registers a descriptor, or changes how it is registered.
    fn watch(&mut self, fd: Fd, watch: Watch, events: i32) -> Result<(), Errno> {
        let known = self.file(fd).watch;
        let (first, other, missed) = if known == Watch::None {
            (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD, libc::EEXIST)
        } else {
            (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD, libc::ENOENT)
        };
        match self.control(first, fd, events) {
            Err(Errno(number)) if number == missed => self.control(other, fd, events)?,
            result => result?,
        }
        self.file(fd).watch = watch;
        Ok(())
    }

    fn watch_edges(&mut self, fd: Fd) -> Result<(), Errno> {
        if self.file(fd).watch == Watch::Edge { Ok(()) } else { self.watch(fd, Watch::Edge, EDGES) }
    }

    /// Tries everything on this descriptor that may be possible now.
    fn try_now(&mut self, fd: Fd, into: &mut Vec<Completion>) {
        if self.file(fd).accept.is_some() {
            self.try_accept(fd, into);
        }
        if self.file(fd).connect.is_some() {
            self.try_connect(fd, into);
        }
        self.try_receive(fd, into);
        self.try_send(fd, into);
        self.try_polls(fd, into);
    }

    /// Removes an operation that ends now and tells its end.
    fn end(&mut self, token: Token, outcome: Outcome, into: &mut Vec<Completion>) {
        let known = self.flights.take(token);
        debug_assert!(known.is_some(), "an operation in flight is known by its token");
        into.push(Completion { token, outcome, more: false });
    }

    fn try_accept(&mut self, fd: Fd, into: &mut Vec<Completion>) {
        let file = self.file(fd);
        let (Some(token), true) = (file.accept, file.readable) else { return };
        // Level-triggered: the kernel says it again if there are more.
        file.readable = false;
        for _ in 0..ACCEPTS_PER_TURN {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            // SAFETY: null pointers are allowed: the address is not asked for.
            match check(unsafe { libc::accept4(fd.0, ptr::null_mut(), ptr::null_mut(), flags) }) {
                Ok(accepted) => {
                    let accepted = Fd(accepted);
                    *self.file(accepted) = File::connection(self.file(accepted).queued);
                    into.push(Completion { token, outcome: Outcome::Accepted(accepted), more: true });
                }
                Err(error) => match Errno::of(&error) {
                    Errno(libc::EAGAIN) => return,
                    // The client left before we came, or a signal did: the next one may be there.
                    Errno(libc::ECONNABORTED | libc::EINTR) => {}
                    errno => {
                        self.stop_accepting(fd);
                        return self.end(token, Outcome::Failed(errno, None), into);
                    }
                },
            }
        }
    }

    fn stop_accepting(&mut self, fd: Fd) {
        // It fails only if the descriptor is no longer registered, which is what is wanted.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0);
        *self.file(fd) = File::fresh(self.file(fd).queued);
    }

    fn try_connect(&mut self, fd: Fd, into: &mut Vec<Completion>) {
        let file = self.file(fd);
        let (Some(token), true) = (file.connect, file.writable) else { return };
        let outcome = match socket::pending_error(fd.0) {
            Ok(()) => Outcome::Connected,
            Err(errno) => Outcome::Failed(errno, None),
        };
        self.file(fd).connect = None;
        self.end(token, outcome, into);
    }

    fn try_receive(&mut self, fd: Fd, into: &mut Vec<Completion>) {
        for _ in 0..PAGES_PER_TURN {
            let file = self.file(fd);
            let (Some((token, left)), true) = (file.receive, file.readable) else { return };
            let Some(mut page) = self.spare.take().or_else(|| self.pool.take()) else {
                self.file(fd).receive = None;
                return self.end(token, Outcome::NoBuffers, into);
            };
            let (at, room) = page.spare_ptr();
            // SAFETY: `room` bytes from `at` on are the page's own free bytes, and the page is ours.
            let count = unsafe { libc::recv(fd.0, at.cast(), room, 0) };
            if count > 0 {
                // SAFETY: the kernel has just written so many bytes there.
                unsafe { page.set_filled(count as usize) };
                let file = self.file(fd);
                // Less than was room for: the stream is empty, and what comes later makes an edge of its own. Not so
                // after a hang-up, whose edge has come already and which only a receive of 0 bytes tells.
                let drained = file.stream && (count as usize) < room && !file.hung_up;
                file.readable = !drained;
                let left = left.saturating_sub(count as usize);
                file.receive = (left > 0).then_some((token, left));
                let outcome = Outcome::Received(page);
                if left == 0 {
                    return self.end(token, outcome, into);
                }
                into.push(Completion { token, outcome, more: true });
                continue;
            }
            self.spare = Some(page);
            let outcome = match count {
                0 => Outcome::Eof,
                _ => match Errno::last() {
                    Errno(libc::EAGAIN) => {
                        self.file(fd).readable = false;
                        return;
                    }
                    Errno(libc::EINTR) => continue,
                    errno => Outcome::Failed(errno, None),
                },
            };
            self.file(fd).receive = None;
            return self.end(token, outcome, into);
        }
        if self.file(fd).readable {
            self.try_soon(fd);
        }
    }

    fn try_send(&mut self, fd: Fd, into: &mut Vec<Completion>) {
        let file = self.file(fd);
        if !file.writable {
            return;
        }
        let Some((token, buf)) = file.send.take() else { return };
        match send_now(fd, buf) {
            Ok(outcome) => self.end(token, outcome, into),
            Err(buf) => {
                let file = self.file(fd);
                file.writable = false;
                file.send = Some((token, buf));
            }
        }
    }

    fn try_polls(&mut self, fd: Fd, into: &mut Vec<Completion>) {
        let file = self.file(fd);
        let readable = if file.readable { file.poll_read.take() } else { None };
        let writable = if file.writable { file.poll_write.take() } else { None };
        for token in [readable, writable].into_iter().flatten() {
            self.end(token, Outcome::Ready, into);
        }
    }

    fn take_events(&mut self, timeout: Option<Duration>, into: &mut Vec<Completion>) -> io::Result<()> {
        let timeout = timeout.map_or(-1, whole_milliseconds);
        let (events, room) = (self.events.as_mut_ptr(), self.events.len() as libc::c_int);
        // SAFETY: the pointer and length are of a slice that lives over the call.
        let count = match check(unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events, room, timeout) }) {
            Ok(count) => count as usize,
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => 0,
            Err(error) => return Err(error),
        };
        for at in 0..count {
            let event = self.events[at];
            let fd = Fd(event.u64 as i32);
            self.file(fd).note(event.events);
            self.rearm(fd);
            self.try_now(fd, into);
        }
        Ok(())
    }

    /// An event armed once came for one of two polls: the other still waits.
    fn rearm(&mut self, fd: Fd) {
        let file = self.file(fd);
        if file.watch != Watch::Once {
            return;
        }
        let left = file.interests_left();
        if left != 0 {
            // Should it fail, the poll ends by its timeout; nothing better is known here.
            let _ = self.watch(fd, Watch::Once, left | libc::EPOLLONESHOT);
        }
    }
}

/// `Err` gives the buffer back: there is no room now.
fn send_now(fd: Fd, buf: Buf) -> Result<Outcome, Buf> {
    loop {
        // SAFETY: pointer and length are of the buffer's bytes, which are ours over the call.
        let count = unsafe { libc::send(fd.0, buf.as_ptr().cast(), buf.len(), libc::MSG_NOSIGNAL) };
        if count > 0 {
            return Ok(Outcome::Sent(buf, count as usize));
        }
        match Errno::last() {
            Errno(libc::EAGAIN) => return Err(buf),
            Errno(libc::EINTR) => {}
            errno => return Ok(Outcome::Failed(errno, Some(buf))),
        }
    }
}

/// Rounded up: to wake before the deadline would be to wake twice.
fn whole_milliseconds(time: Duration) -> libc::c_int {
    libc::c_int::try_from(time.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX)
}

impl Ring for EpollRing {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn accept(&mut self, listener: Fd, token: Token) {
        let file = self.file(listener);
        assert!(file.accept.is_none(), "two accepts on one listener");
        file.watch = Watch::None;
        file.accept = Some(token);
        if let Err(errno) = self.watch(listener, Watch::Level, libc::EPOLLIN | libc::EPOLLEXCLUSIVE) {
            self.file(listener).accept = None;
            return self.finish(token, Outcome::Failed(errno, None));
        }
        self.flights.put(token, (listener, Kind::Accept));
    }

    fn socket(&mut self, to: &Address) -> io::Result<Fd> {
        let fd = Fd(socket::outgoing(to)?.into_raw_fd());
        *self.file(fd) = File::connection(self.file(fd).queued);
        Ok(fd)
    }

    fn adopt(&mut self, fd: OwnedFd) -> Fd {
        let fd = Fd(fd.into_raw_fd());
        *self.file(fd) = File::connection(self.file(fd).queued);
        fd
    }

    fn connect(&mut self, fd: Fd, to: &Address, token: Token) {
        let result = match RawAddress::new(to) {
            // SAFETY: pointer and length are of an address that lives over the call.
            Ok(address) => check(unsafe { libc::connect(fd.0, address.as_ptr(), address.len()) }),
            Err(_) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        let outcome = match result.map_err(|error| Errno::of(&error)) {
            Ok(_) => Outcome::Connected,
            Err(Errno(libc::EINPROGRESS | libc::EINTR)) => match self.watch_edges(fd) {
                Ok(()) => {
                    let file = self.file(fd);
                    file.writable = false;
                    file.connect = Some(token);
                    self.flights.put(token, (fd, Kind::Connect));
                    return;
                }
                Err(errno) => Outcome::Failed(errno, None),
            },
            Err(errno) => Outcome::Failed(errno, None),
        };
        self.finish(token, outcome);
    }

    fn receive(&mut self, fd: Fd, token: Token) {
        // A turn brings a burst at most, whatever is asked for (`PAGES_PER_TURN`).
        self.receive_at_most(fd, usize::MAX, token);
    }

    fn receive_at_most(&mut self, fd: Fd, most: usize, token: Token) {
        assert!(self.file(fd).receive.is_none(), "two receives on one descriptor");
        if let Err(errno) = self.watch_edges(fd) {
            return self.finish(token, Outcome::Failed(errno, None));
        }
        let file = self.file(fd);
        file.receive = Some((token, most.max(1)));
        let readable = file.readable;
        self.flights.put(token, (fd, Kind::Receive));
        if readable {
            self.try_soon(fd);
        }
    }

    fn send(&mut self, fd: Fd, buf: Buf, token: Token) {
        assert!(!buf.is_empty(), "a send has bytes");
        let file = self.file(fd);
        assert!(file.send.is_none(), "two sends on one descriptor");
        let buf = if file.writable {
            match send_now(fd, buf) {
                Ok(outcome) => return self.finish(token, outcome),
                Err(buf) => buf,
            }
        } else {
            buf
        };
        self.file(fd).writable = false;
        if let Err(errno) = self.watch_edges(fd) {
            return self.finish(token, Outcome::Failed(errno, Some(buf)));
        }
        self.file(fd).send = Some((token, buf));
        self.flights.put(token, (fd, Kind::Send));
    }

    fn keep_unsent_low(&mut self, fd: Fd) {
        socket::keep_unsent_low(fd.0);
    }

    fn poll(&mut self, fd: Fd, interest: Interest, token: Token) {
        // Edges that were seen before may be spent, by a splice that the ring did not look into: ask the kernel.
        if socket::is_ready(fd.0, interest) {
            return self.finish(token, Outcome::Ready);
        }
        let file = self.file(fd);
        file.poll(interest, token);
        let armed = file.watch == Watch::Edge || {
            let events = file.interests_left() | libc::EPOLLONESHOT;
            match self.watch(fd, Watch::Once, events) {
                Ok(()) => true,
                Err(errno) => {
                    self.file(fd).forget_poll(token);
                    self.finish(token, Outcome::Failed(errno, None));
                    false
                }
            }
        };
        if armed {
            self.flights.put(token, (fd, Kind::Poll));
        }
    }

    fn cancel(&mut self, token: Token) {
        let Some((fd, kind)) = self.flights.take(token) else { return };
        let file = self.file(fd);
        let mut buf = None;
        match kind {
            Kind::Accept => self.stop_accepting(fd),
            Kind::Connect => file.connect = None,
            Kind::Receive => file.receive = None,
            Kind::Send => buf = file.send.take().map(|(_, buf)| buf),
            Kind::Poll | Kind::Unused => file.forget_poll(token),
        }
        self.finish(token, Outcome::Cancelled(buf));
    }

    fn shutdown_write(&mut self, fd: Fd) {
        pipe::shutdown_write(fd);
    }

    fn close(&mut self, fd: Fd, abort: bool) {
        let file = self.file(fd);
        assert!(file.is_idle(), "descriptor {} is closed with something in flight", fd.0);
        *file = File::fresh(file.queued);
        if abort {
            socket::reset_on_close(fd.0);
        }
        // SAFETY: the caller gives up a descriptor that it owns; nothing else uses it, and no memory is passed.
        unsafe { libc::close(fd.0) };
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
        let before = into.len();
        into.append(&mut self.done);
        std::mem::swap(&mut self.ready, &mut self.trying);
        for at in 0..self.trying.len() {
            let fd = self.trying[at];
            self.file(fd).queued = false;
            self.try_now(fd, into);
        }
        self.trying.clear();
        let busy = into.len() > before || !self.ready.is_empty();
        // With something to tell, every other turn goes without the system call.
        self.asked = !(busy && self.asked);
        if self.asked {
            self.take_events(if busy { Some(Duration::ZERO) } else { timeout }, into)?;
        }
        self.spare = None;
        self.now = clock::now();
        Ok(())
    }

    fn now(&self) -> Now {
        self.now
    }
}
