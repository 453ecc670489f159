//! The simulated kernel: descriptors, listeners, operations in flight, and the rules that callers must keep.
//!
//! A broken rule is a panic: this kernel exists for tests, and a caller that closes a descriptor with an operation in
//! flight, uses one after its close or starts two receives on it would corrupt memory or connections on a real one.

use super::faults::Faults;
use super::random::Random;
use super::stream::{Streams, due};
use crate::errno::Errno;
use crate::op::{self, Kind, Kinds};
use crate::ring::{Completion, Fd, Interest, Moved, Now, Outcome, Token};
use crate::socket::Address;
use ounce_mem::Buf;
use std::collections::{BTreeMap, VecDeque};

/// Connections that wait to be accepted, per listener of the outside.
pub(super) const BACKLOG: usize = 128;

/// What a descriptor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    /// Index into `near`.
    Listener(usize),
    /// A socket that was never connected.
    Socket,
    /// An end of a connection.
    Stream(u64),
    PipeRead(usize),
    PipeWrite(usize),
}

/// A descriptor and the operations on it that have not been told to have ended.
pub(super) struct Descriptor {
    pub(super) object: Object,
    busy: Vec<(Token, Role)>,
}

/// What an operation does to its descriptor; one of each at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Accept,
    Connect,
    Receive,
    Send,
    Poll(Interest),
}

/// What an operation in flight waits for.
pub(super) enum Waits {
    Accept,
    Connect(Address),
    /// With how many bytes more end it.
    Receive(usize),
    /// The buffer is always there; it is an option to be taken at the end.
    Send(Option<Buf>),
    Poll(Interest),
}

pub(super) struct Flight {
    pub(super) token: Token,
    pub(super) fd: Fd,
    pub(super) waits: Waits,
    /// It does not end before this time.
    pub(super) not_before: u64,
    pub(super) cancelled: bool,
}

pub(super) struct Listener {
    pub(super) address: Address,
    /// With the time from which it can be accepted.
    pub(super) queue: VecDeque<(u64, u64)>,
    pub(super) open: bool,
}

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    reader: bool,
    writer: bool,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) now_us: u64,
    wall_us: u64,
    pub(super) streams: Streams,
    fds: Vec<Option<Descriptor>>,
    /// Listeners whose connections the ring accepts.
    pub(super) near: Vec<Listener>,
    /// Listeners of the outside.
    pub(super) far: Vec<Listener>,
    pub(super) blackholes: Vec<Address>,
    pipes: Vec<PipeState>,
    kinds: Kinds,
    /// In the order in which they were started.
    pub(super) flights: BTreeMap<u64, Flight>,
    /// Packed tokens whose end has not been told, with their flight and descriptor.
    live: BTreeMap<u64, (u64, Fd)>,
    pub(super) posted: VecDeque<Completion>,
    pub(super) wake_us: Option<u64>,
    pub(super) clients: u32,
    serial: u64,
    fingerprint: u64,
}

/// Bytes that a pipe holds.
pub(super) const PIPE_BYTES: usize = 64 * 1024;

impl World {
    pub(super) fn new(seed: u64, faults: Faults, random: Random) -> World {
        World {
            seed,
            random,
            faults,
            now_us: 1_000_000,
            wall_us: 1_700_000_000_000_000,
            streams: Streams::new(faults.window),
            fds: vec![None, None, None],
            near: Vec::new(),
            far: Vec::new(),
            blackholes: Vec::new(),
            pipes: Vec::new(),
            kinds: Kinds::new(),
            flights: BTreeMap::new(),
            live: BTreeMap::new(),
            posted: VecDeque::new(),
            wake_us: None,
            clients: 0,
            serial: 0,
            fingerprint: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// When something sent now arrives.
    pub(super) fn due(&mut self) -> u64 {
        due(self.now_us, self.faults.latency_us, &mut self.random)
    }

    pub(super) fn now(&self) -> Now {
        Now { mono_us: self.now_us, wall_us: self.wall_us }
    }

    pub(super) fn set_time(&mut self, now_us: u64) {
        assert!(now_us >= self.now_us);
        self.wall_us += now_us - self.now_us;
        self.now_us = now_us;
    }

    pub(super) fn jump_wall(&mut self) {
        let up = self.random.chance(500);
        let jump = self.random.below(3_600_000_000);
        self.wall_us = if up { self.wall_us + jump } else { self.wall_us - jump };
    }

    /// The lowest free number, as a kernel gives it: numbers come back soon, and who kept an old one is found out.
    pub(super) fn open(&mut self, object: Object) -> Fd {
        let descriptor = Descriptor { object, busy: Vec::new() };
        match self.fds.iter().skip(3).position(Option::is_none) {
            Some(at) => {
                self.fds[at + 3] = Some(descriptor);
                Fd(at as i32 + 3)
            }
            None => {
                self.fds.push(Some(descriptor));
                Fd(self.fds.len() as i32 - 1)
            }
        }
    }

    pub(super) fn descriptor(&mut self, fd: Fd, doing: &str) -> &mut Descriptor {
        let seed = self.seed;
        let found = usize::try_from(fd.0).ok().and_then(|at| self.fds.get_mut(at)).and_then(Option::as_mut);
        found.unwrap_or_else(|| panic!("seed {seed}: {doing} of descriptor {} that is not open", fd.0))
    }

    pub(super) fn object(&self, fd: Fd) -> Option<&Object> {
        let at = usize::try_from(fd.0).ok()?;
        self.fds.get(at)?.as_ref().map(|descriptor| &descriptor.object)
    }

    pub(super) fn stream(&self, fd: Fd) -> Option<u64> {
        match self.object(fd) {
            Some(Object::Stream(end)) => Some(*end),
            _ => None,
        }
    }

    pub(super) fn become_stream(&mut self, fd: Fd, end: u64) {
        self.descriptor(fd, "connect").object = Object::Stream(end);
    }

    /// Open descriptors with what they are.
    pub(super) fn opened(&self) -> Vec<(Fd, Object)> {
        let numbered = self.fds.iter().enumerate();
        numbered.filter_map(|(at, fd)| fd.as_ref().map(|fd| (Fd(at as i32), fd.object.clone()))).collect()
    }

    pub(super) fn begin(&mut self, fd: Fd, token: Token, kind: Kind, role: Role, waits: Waits) {
        let seed = self.seed;
        self.kinds.begin(token, kind);
        let key = op::pack(token);
        self.serial += 1;
        let before = self.live.insert(key, (self.serial, fd));
        assert!(before.is_none(), "seed {seed}: {token:?} is in flight already");
        let descriptor = self.descriptor(fd, "use");
        let twice = descriptor.busy.iter().any(|(_, other)| *other == role);
        assert!(!twice, "seed {seed}: two operations {role:?} on descriptor {}", fd.0);
        let fits = matches!(
            (&descriptor.object, role),
            (_, Role::Poll(_))
                | (Object::Listener(_), Role::Accept)
                | (Object::Socket, Role::Connect)
                | (Object::Stream(_), Role::Receive | Role::Send)
        );
        assert!(fits, "seed {seed}: {role:?} on descriptor {} which is {:?}", fd.0, descriptor.object);
        descriptor.busy.push((token, role));
        self.flights.insert(self.serial, Flight { token, fd, waits, not_before: 0, cancelled: false });
    }

    fn flight(&mut self, token: Token) -> Option<&mut Flight> {
        let (serial, _) = self.live.get(&op::pack(token))?;
        self.flights.get_mut(serial)
    }

    pub(super) fn cancel(&mut self, token: Token) {
        if let Some(flight) = self.flight(token) {
            flight.cancelled = true;
            flight.not_before = 0;
        }
    }

    /// Keeps an operation from ending before this time.
    pub(super) fn delay(&mut self, token: Token, until: u64) {
        if let Some(flight) = self.flight(token) {
            flight.not_before = until;
        }
    }

    pub(super) fn shutdown_write(&mut self, fd: Fd) {
        self.assert_not_busy(fd, Role::Send, "shutdown");
        if let Some(end) = self.stream(fd) {
            let due = self.due();
            self.streams.shutdown_write(end, due);
        }
    }

    fn assert_not_busy(&mut self, fd: Fd, role: Role, doing: &str) {
        let seed = self.seed;
        let busy = self.descriptor(fd, doing).busy.iter().any(|(_, other)| *other == role);
        assert!(!busy, "seed {seed}: {doing} of descriptor {} with {role:?} in flight", fd.0);
    }

    pub(super) fn close(&mut self, fd: Fd, abort: bool) {
        let seed = self.seed;
        let descriptor = self.descriptor(fd, "close");
        assert!(
            descriptor.busy.is_empty(),
            "seed {seed}: close of descriptor {} with {:?} in flight",
            fd.0,
            descriptor.busy
        );
        let object = descriptor.object.clone();
        self.fds[fd.0 as usize] = None;
        let due = self.due();
        match object {
            Object::Stream(end) => self.streams.close(end, abort, due),
            Object::Listener(at) => {
                self.near[at].open = false;
                for (_, end) in std::mem::take(&mut self.near[at].queue) {
                    self.streams.close(end, true, due);
                }
            }
            Object::PipeRead(at) => self.pipes[at].reader = false,
            Object::PipeWrite(at) => self.pipes[at].writer = false,
            Object::Socket => {}
        }
    }

    /// Makes a pipe: its reading and its writing end.
    pub(super) fn pipe(&mut self) -> (Fd, Fd) {
        self.pipes.push(PipeState { bytes: VecDeque::new(), reader: true, writer: true });
        let at = self.pipes.len() - 1;
        (self.open(Object::PipeRead(at)), self.open(Object::PipeWrite(at)))
    }

    pub(super) fn splice(&mut self, from: Fd, to: Fd, max: usize) -> Result<Moved, Errno> {
        let source = self.descriptor(from, "splice").object.clone();
        let sink = self.descriptor(to, "splice").object.clone();
        match (source, sink) {
            (Object::Stream(end), Object::PipeWrite(pipe)) => {
                self.assert_not_busy(from, Role::Receive, "splice");
                self.splice_in(end, pipe, max)
            }
            (Object::PipeRead(pipe), Object::Stream(end)) => {
                self.assert_not_busy(to, Role::Send, "splice");
                self.splice_out(pipe, end, max)
            }
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    fn splice_in(&mut self, end: u64, pipe: usize, max: usize) -> Result<Moved, Errno> {
        use super::stream::Found;
        let room = max.min(PIPE_BYTES - self.pipes[pipe].bytes.len());
        let available = self.streams.available(end);
        if room == 0 && available > 0 {
            return Ok(Moved::Nothing);
        }
        let most = self.part(room.min(available).max(1), self.faults.short_receive);
        match self.streams.read(end, most) {
            Found::Bytes(bytes) => {
                self.pipes[pipe].bytes.extend(&bytes);
                Ok(Moved::Bytes(bytes.len()))
            }
            Found::Nothing => Ok(Moved::Nothing),
            Found::End => Ok(Moved::End),
            Found::Error(errno) => Err(errno),
        }
    }

    fn splice_out(&mut self, pipe: usize, end: u64, max: usize) -> Result<Moved, Errno> {
        let held = self.pipes[pipe].bytes.len();
        if held == 0 {
            return Ok(if self.pipes[pipe].writer { Moved::Nothing } else { Moved::End });
        }
        let most = max.min(held).min(self.streams.room(end));
        if most == 0 && !self.streams.is_broken(end) {
            return Ok(Moved::Nothing);
        }
        let most = self.part(most.max(1), self.faults.short_send);
        let bytes: Vec<u8> = self.pipes[pipe].bytes.iter().take(most).copied().collect();
        let due = self.due();
        self.streams.write(end, &bytes, due)?;
        self.pipes[pipe].bytes.drain(..most);
        Ok(Moved::Bytes(most))
    }

    /// All of `most`, or part of it where this fault strikes.
    pub(super) fn part(&mut self, most: usize, fault: u16) -> usize {
        if self.random.chance(fault) { self.random.some_of(most) } else { most }
    }

    /// Whether a poll on this descriptor is ready.
    pub(super) fn is_ready(&self, fd: Fd, interest: Interest) -> bool {
        match (self.object(fd), interest) {
            (Some(Object::Stream(end)), Interest::Read) => self.streams.readable(*end),
            (Some(Object::Stream(end)), Interest::Write) => self.streams.writable(*end),
            (Some(Object::Listener(at)), Interest::Read) => self.acceptable(*at),
            (Some(Object::PipeRead(at)), Interest::Read) => {
                !self.pipes[*at].bytes.is_empty() || !self.pipes[*at].writer
            }
            (Some(Object::PipeWrite(at)), Interest::Write) => {
                self.pipes[*at].bytes.len() < PIPE_BYTES || !self.pipes[*at].reader
            }
            _ => false,
        }
    }

    pub(super) fn acceptable(&self, listener: usize) -> bool {
        self.near[listener].queue.front().is_some_and(|(due, _)| *due <= self.now_us)
    }

    /// Tells some or all of what has ended.
    pub(super) fn hand_out(&mut self, into: &mut Vec<Completion>) -> bool {
        if self.posted.is_empty() {
            return false;
        }
        let count = self.part(self.posted.len(), self.faults.late);
        for _ in 0..count {
            let Some(completion) = self.posted.pop_front() else { break };
            self.record(&completion);
            if !completion.more {
                self.forget(completion.token);
            }
            into.push(completion);
        }
        true
    }

    /// An operation has ended and its owner knows.
    fn forget(&mut self, token: Token) {
        let Some((_, fd)) = self.live.remove(&op::pack(token)) else { return };
        if let Some(descriptor) = &mut self.fds[fd.0 as usize] {
            descriptor.busy.retain(|(other, _)| *other != token);
        }
    }

    /// Takes a completion into the fingerprint of the run.
    fn record(&mut self, completion: &Completion) {
        let (kind, detail) = match &completion.outcome {
            Outcome::Accepted(fd) => (1, fd.0 as u64),
            Outcome::Connected => (2, 0),
            Outcome::Received(buf) => (3, buf.len() as u64),
            Outcome::Eof => (4, 0),
            Outcome::Sent(_, count) => (5, *count as u64),
            Outcome::Ready => (6, 0),
            Outcome::NoBuffers => (7, 0),
            Outcome::Cancelled(_) => (8, 0),
            Outcome::Failed(errno, _) => (9, errno.0 as u64),
        };
        for word in [self.now_us, op::pack(completion.token), kind, detail, u64::from(completion.more)] {
            self.fingerprint = (self.fingerprint ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Operations whose end has not been told.
    pub(super) fn operations(&self) -> usize {
        self.live.len()
    }
}
