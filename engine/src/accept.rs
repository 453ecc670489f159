//! Who may come in: accepting, and when not to.

use crate::heritage::ListeningSocket;
use crate::socket::{Receive, op};
use crate::tls::Session;
use crate::worker::Worker;
use ounce_core::Peer;
use ounce_mem::{Counter, ListenerId};
use ounce_sys::ring::{Fd, Outcome, Ring, Token};
use ounce_sys::socket::Address;

/// When the queues of the listening sockets are looked into anew, after a start and after another process has left them;
/// the last of these goes on for good. The kernel wakes one waiter for each connection, and the wait of a process that
/// has died or drains is taken apart some time later: until then it may swallow a wake that nobody else gets.
const LOOKS_US: [u64; 4] = [10_000, 50_000, 250_000, 1_000_000];

/// How long accepting rests after it failed: time for descriptors or memory to be given back.
const REST_US: u64 = 50_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    On,
    Stopping,
    /// Given back, for good.
    Left,
}

#[derive(Debug)]
struct Listening {
    listener: usize,
    fd: Fd,
    state: State,
    /// The operator wants it open.
    enabled: bool,
}

/// The listening sockets of a worker.
#[derive(Debug)]
pub(crate) struct Accepting {
    sockets: Vec<Listening>,
    /// Nothing is accepted before this time.
    rest_until_us: Option<u64>,
    /// Nothing is accepted any more.
    over: bool,
    /// Some socket is off that should be on.
    lacking: bool,
    /// Which of [`LOOKS_US`] comes next.
    look: usize,
    /// When it comes.
    look_at_us: u64,
}

impl Accepting {
    pub(crate) fn new(sockets: &[ListeningSocket]) -> Accepting {
        let sockets = sockets.iter().map(|socket| Listening {
            listener: socket.listener,
            fd: Fd(socket.fd),
            state: State::Off,
            enabled: true,
        });
        Accepting {
            sockets: sockets.collect(),
            rest_until_us: None,
            over: false,
            lacking: false,
            look: 0,
            look_at_us: 0,
        }
    }

    /// No accept is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.sockets.iter().all(|socket| matches!(socket.state, State::Off | State::Left))
    }

    /// When accepting is to be seen to again.
    pub(crate) fn retry_us(&self) -> Option<u64> {
        // A time that nobody acts on when it has come would keep the loop from sleeping.
        let rest = self.rest_until_us.filter(|_| self.lacking);
        let look = (self.look_at_us > 0).then_some(self.look_at_us);
        rest.into_iter().chain(look).min().filter(|_| !self.over)
    }
}

impl<R: Ring> Worker<'_, R> {
    /// Opens and closes listeners as the operator has switched them.
    pub(crate) fn look_at_switches(&mut self) {
        self.core.look_at_log_levels();
        let rows = self.segment.listeners();
        for socket in &mut self.accepting.sockets {
            socket.enabled = !rows.disabled(ListenerId(self.plan.listeners[socket.listener].row));
            if !socket.enabled && socket.state == State::On {
                socket.state = State::Stopping;
            }
        }
        self.cancel_stopping();
        self.accepting.lacking = true;
        self.resume_accepting();
    }

    /// Looks into the queues now, and again at the times of [`LOOKS_US`].
    pub(crate) fn accept_anew(&mut self) {
        self.accepting.look = 0;
        self.accepting.look_at_us = self.ring.now().mono_us + LOOKS_US[0];
        self.look_into_queues();
    }

    /// Ends each accept; the one that takes its place looks into the queue before it waits.
    fn look_into_queues(&mut self) {
        for socket in &mut self.accepting.sockets {
            if socket.state == State::On {
                socket.state = State::Stopping;
            }
        }
        self.cancel_stopping();
    }

    /// Looks into the queues when it is time to.
    fn look_when_due(&mut self) {
        let now = self.ring.now().mono_us;
        if self.accepting.over || now < self.accepting.look_at_us {
            return;
        }
        self.accepting.look = (self.accepting.look + 1).min(LOOKS_US.len() - 1);
        self.accepting.look_at_us = now + LOOKS_US[self.accepting.look];
        self.look_into_queues();
    }

    pub(crate) fn stop_accepting(&mut self) {
        self.accepting.over = true;
        self.accepting.rest_until_us = None;
        for index in 0..self.accepting.sockets.len() {
            match self.accepting.sockets[index].state {
                State::On => self.accepting.sockets[index].state = State::Stopping,
                State::Off => self.leave(index),
                State::Stopping | State::Left => {}
            }
        }
        self.cancel_stopping();
    }

    /// Gives a listening socket back when nothing will be accepted from it any more. If another process has it too, its
    /// clients go there; if none has, they are refused from now on and do not wait in a queue that nobody looks at.
    fn leave(&mut self, index: usize) {
        let socket = &mut self.accepting.sockets[index];
        socket.state = State::Left;
        self.ring.close(socket.fd, false);
    }

    fn cancel_stopping(&mut self) {
        for (index, socket) in self.accepting.sockets.iter().enumerate() {
            if socket.state == State::Stopping {
                self.ring.cancel(accept_token(index));
            }
        }
    }

    /// Accepts wherever it should and does not.
    pub(crate) fn resume_accepting(&mut self) {
        self.look_when_due();
        if !self.accepting.lacking || self.accepting.over || !self.core.has_room() {
            return;
        }
        if self.accepting.rest_until_us.is_some_and(|until| self.ring.now().mono_us < until) {
            return;
        }
        self.accepting.rest_until_us = None;
        self.accepting.lacking = false;
        for (index, socket) in self.accepting.sockets.iter_mut().enumerate() {
            match socket.state {
                State::Off if socket.enabled => {
                    socket.state = State::On;
                    self.ring.accept(socket.fd, accept_token(index));
                }
                // Its end is under way and will bring us here again.
                State::Stopping => self.accepting.lacking = true,
                State::Off | State::On | State::Left => {}
            }
        }
    }

    pub(crate) fn accepted(&mut self, token: Token, outcome: &Outcome, more: bool) {
        let index = token.slot as usize;
        if !more {
            self.accepting.sockets[index].state = State::Off;
            self.accepting.lacking = true;
            if self.accepting.over {
                self.leave(index);
            }
        }
        match outcome {
            Outcome::Accepted(fd) => self.welcome(self.accepting.sockets[index].listener, *fd),
            Outcome::Failed(errno, _) => {
                // A connection that was reset while it waited is nobody's problem; anything else may last.
                let _ = self.fault(*errno);
                self.accepting.rest_until_us = Some(self.ring.now().mono_us + REST_US);
            }
            Outcome::Cancelled(_) => {}
            _ => debug_assert!(false, "accept ended as {outcome:?}"),
        }
    }

    fn welcome(&mut self, listener: usize, fd: Fd) {
        let tick = self.tick();
        let peer = match self.ring.peer(fd) {
            Some(Address::Inet(address)) => Peer::Inet(address),
            Some(Address::Unix(_)) => Peer::Unix,
            None => {
                // It has gone already.
                self.ring.close(fd, true);
                return;
            }
        };
        // Where the listener has one address, a connection's is the same: no need to ask the kernel.
        let known = self.plan.listeners[listener].address.filter(|address| !address.ip().is_unspecified());
        let local = known.or_else(|| match self.ring.local(fd) {
            Some(Address::Inet(address)) => Some(address),
            _ => None,
        });
        let alone = self.software.get(listener).and_then(Option::as_ref);
        let alone = alone.filter(|_| !self.cards.is_trusted());
        let certificates = alone.or(self.certificates.get(listener).and_then(Option::as_ref));
        let session = match certificates {
            Some(certificates) => match Session::accept(certificates, self.ring.pool()) {
                Some(session) => Some(session),
                None => {
                    self.counters.add(Counter::TlsFailures, 1);
                    self.ring.close(fd, true);
                    return;
                }
            },
            None => None,
        };
        let Some(key) = self.core.admit(listener, peer, local, tick, &mut self.fx) else {
            self.ring.close(fd, true);
            return;
        };
        if session.is_some() {
            // No splice will go there.
            self.ring.keep_unsent_low(fd);
        }
        self.adopt(key, fd);
        if let Some(socket) = self.socket(key) {
            socket.tls = session.map(Box::new);
            socket.listener = Some(listener);
        }
        self.start_receive(key);
        debug_assert!(self.socket(key).is_some_and(|socket| socket.receive == Receive::On));
        if !self.core.has_room() {
            self.pause_accepting();
        }
    }

    /// All places are taken: further clients wait in the kernel's queue.
    fn pause_accepting(&mut self) {
        // What was on its way by then brings us here again.
        if self.accepting.sockets.iter().all(|socket| socket.state != State::On) {
            return;
        }
        self.counters.add(Counter::AcceptPauses, 1);
        for socket in &mut self.accepting.sockets {
            if socket.state == State::On {
                socket.state = State::Stopping;
            }
        }
        self.cancel_stopping();
    }
}

fn accept_token(index: usize) -> Token {
    Token { op: op::ACCEPT, generation: 0, slot: index as u32 }
}
