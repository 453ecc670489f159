//! [`Ring`] on a virtual network, run from one seed.
//!
//! A real worker runs on [`SimRing`] without knowing it; clients and origins act through [`SimNet`]. Nothing outside of
//! the seed has a say: the same seed is the same run, bit for bit. Each seed first draws which faults are on
//! ([`Faults::draw`]): short receives and sends, late, failed and reordered completions, a cancel that comes too late,
//! no buffers, resets, refused and vanished addresses, bursts of connections, jumps of the wall clock.
//!
//! The rules of [`crate::ring`] are checked, and breaking one is a panic that names the seed: two receives or two sends
//! on a descriptor, a close with something in flight, use after close, a token in flight twice. What is left at the end
//! is for [`SimNet::census`].
//!
//! Time goes on only in [`Ring::wait`], straight to the next thing that happens.

mod faults;
mod net;
mod progress;
mod random;
mod stream;
mod world;

pub use faults::Faults;
pub use net::{Census, Far, FarRead, SimNet};
pub use random::Random;

use crate::errno::Errno;
use crate::op::Kind;
use crate::ring::{Completion, Fd, Interest, Moved, Now, Pipe, Ring, Token};
use crate::socket::Address;
use ounce_mem::{Buf, Pool};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use world::{Object, PIPE_BYTES, Role, Waits};

/// What a turn of the worker costs at most, in microseconds of virtual time.
const TURN_US: u64 = 20;

/// The worker's end of a simulation.
pub struct SimRing {
    net: SimNet,
    pool: Pool,
    now: Now,
}

impl SimRing {
    fn new(net: SimNet, pool: Pool) -> SimRing {
        let now = net.now();
        SimRing { net, pool, now }
    }

    /// The outside of this simulation.
    pub fn net(&self) -> &SimNet {
        &self.net
    }

    fn begin(&self, fd: Fd, token: Token, kind: Kind, role: Role, waits: Waits) {
        self.net.world.borrow_mut().begin(fd, token, kind, role, waits);
    }

    /// Goes on to the next thing that happens, at most to `deadline`; false if that has come.
    fn pass_time(&self, deadline: Option<u64>, someone_acts: bool) -> bool {
        let mut world = self.net.world.borrow_mut();
        if deadline.is_some_and(|deadline| deadline <= world.now_us) {
            return false;
        }
        let Some(next) = world.next_event().into_iter().chain(deadline).min() else {
            let who = if someone_acts { "" } else { " (nobody acts outside)" };
            panic!("seed {}: the worker waits for ever and nothing can happen{who}", world.seed);
        };
        let next = next.max(world.now_us + 1);
        world.set_time(next);
        true
    }
}

impl Ring for SimRing {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn accept(&mut self, listener: Fd, token: Token) {
        self.begin(listener, token, Kind::Accept, Role::Accept, Waits::Accept);
    }

    fn socket(&mut self, _to: &Address) -> io::Result<Fd> {
        let mut world = self.net.world.borrow_mut();
        let fails = world.faults.socket_fails;
        if world.random.chance(fails) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        Ok(world.open(Object::Socket))
    }

    /// Here a socket to nowhere: the simulated network has no others than its own.
    fn adopt(&mut self, _fd: OwnedFd) -> Fd {
        self.net.world.borrow_mut().open(Object::Socket)
    }

    fn connect(&mut self, fd: Fd, to: &Address, token: Token) {
        self.begin(fd, token, Kind::Connect, Role::Connect, Waits::Connect(to.clone()));
        let mut world = self.net.world.borrow_mut();
        let due = world.due();
        world.delay(token, due);
    }

    fn receive(&mut self, fd: Fd, token: Token) {
        self.begin(fd, token, Kind::Receive, Role::Receive, Waits::Receive(usize::MAX));
    }

    fn receive_at_most(&mut self, fd: Fd, most: usize, token: Token) {
        self.begin(fd, token, Kind::Receive, Role::Receive, Waits::Receive(most.max(1)));
    }

    fn send(&mut self, fd: Fd, buf: Buf, token: Token) {
        assert!(!buf.is_empty(), "a send has bytes");
        self.begin(fd, token, Kind::Send, Role::Send, Waits::Send(Some(buf)));
    }

    /// Here the windows say how much there is room for.
    fn keep_unsent_low(&mut self, _fd: Fd) {}

    fn poll(&mut self, fd: Fd, interest: Interest, token: Token) {
        self.begin(fd, token, Kind::Poll, Role::Poll(interest), Waits::Poll(interest));
    }

    fn cancel(&mut self, token: Token) {
        self.net.world.borrow_mut().cancel(token);
    }

    fn shutdown_write(&mut self, fd: Fd) {
        self.net.world.borrow_mut().shutdown_write(fd);
    }

    fn close(&mut self, fd: Fd, abort: bool) {
        self.net.world.borrow_mut().close(fd, abort);
    }

    fn peer(&self, fd: Fd) -> Option<Address> {
        let world = self.net.world.borrow();
        world.stream(fd).and_then(|end| world.streams.remote(end))
    }

    fn local(&self, fd: Fd) -> Option<Address> {
        let world = self.net.world.borrow();
        match world.object(fd)? {
            Object::Stream(end) => world.streams.local(*end),
            Object::Listener(at) => Some(world.near[*at].address.clone()),
            _ => None,
        }
    }

    fn pipe(&mut self) -> io::Result<Pipe> {
        let mut world = self.net.world.borrow_mut();
        let fails = world.faults.socket_fails;
        if world.random.chance(fails) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let (read, write) = world.pipe();
        Ok(Pipe { read, write, capacity: PIPE_BYTES })
    }

    fn splice(&mut self, from: Fd, to: Fd, max: usize) -> Result<Moved, Errno> {
        if max == 0 { Ok(Moved::Nothing) } else { self.net.world.borrow_mut().splice(from, to, max) }
    }

    fn wait(&mut self, timeout: Option<Duration>, into: &mut Vec<Completion>) -> io::Result<()> {
        let deadline = {
            let mut world = self.net.world.borrow_mut();
            let faults = world.faults;
            let turn = 1 + world.random.below(TURN_US);
            let then = world.now_us + turn;
            world.set_time(then);
            if world.random.chance(faults.wall_jump) {
                world.jump_wall();
            }
            timeout.map(|timeout| world.now_us.saturating_add(timeout.as_micros() as u64))
        };
        loop {
            let someone_acts = self.net.act();
            {
                let mut world = self.net.world.borrow_mut();
                world.step(&self.pool);
                let idle_wake = world.faults.idle_wake;
                if world.hand_out(into) || world.random.chance(idle_wake) {
                    break;
                }
            }
            if !self.pass_time(deadline, someone_acts) {
                break;
            }
        }
        self.now = self.net.now();
        Ok(())
    }

    fn now(&self) -> Now {
        self.now
    }
}
