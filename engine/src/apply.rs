//! From effects to operations.

use crate::socket::{Receive, op, token};
use crate::worker::Worker;
use ounce_core::{Close, Effect, Event, Fault};
use ounce_mem::{Buf, Counter, Key, PAGE_BYTES};
use ounce_sys::errno::{Errno, Kind};
use ounce_sys::passage;
use ounce_sys::ring::{BURST_BYTES, Ring};
use ounce_sys::socket::Address;
use std::io;
use std::net::SocketAddr;

impl<R: Ring> Worker<'_, R> {
    pub(crate) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { socket, backend, address } => self.connect(socket, backend, address),
            Effect::Send { socket, buf } => self.enqueue(socket, buf),
            Effect::Receive { socket } => self.start_receive(socket),
            Effect::Pause { socket } => self.stop_receive(socket),
            Effect::ShutdownWrite { socket } => {
                if let Some(entry) = self.socket(socket) {
                    entry.shutdown = true;
                    self.kick(socket);
                }
            }
            Effect::Close { socket, how } => self.close(socket, how),
            Effect::Splice { from, to, max } => self.start_splice(from, to, max),
            Effect::Verify { socket, ticket, question } => self.verify(socket, ticket, *question),
            Effect::Arm { socket, at_us } => self.wheel.arm(socket.index, at_us),
        }
    }

    fn connect(&mut self, key: Key, backend: u32, address: Option<SocketAddr>) {
        let address = address.map(Address::Inet);
        let Some(address) = address.as_ref().or(self.addresses[backend as usize].as_ref()) else {
            return self.enter_house(key, backend);
        };
        match self.ring.socket(address) {
            Ok(fd) => {
                self.ring.connect(fd, address, token(op::CONNECT, key));
                self.adopt(key, fd);
                if let Some(socket) = self.socket(key) {
                    socket.connecting = true;
                    socket.backend = Some(backend);
                    socket.in_flight = 1;
                }
            }
            // The core hears of it as of any failed connect; its answer to that is to close the key.
            Err(error) => {
                let fault = self.fault(Errno::of(&error));
                self.pending.push_back((key, Event::Failed(fault)));
            }
        }
    }

    /// Connects to what the program answers itself.
    fn enter_house(&mut self, key: Key, backend: u32) {
        let entered = match self.house {
            Some(house) => passage::enter(house, backend),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        let Ok(fd) = entered else {
            // Too many wait there, or descriptors are scarce.
            return self.pending.push_back((key, Event::Failed(Fault::Resource)));
        };
        let fd = self.ring.adopt(fd);
        self.adopt(key, fd);
        if let Some(socket) = self.socket(key) {
            socket.backend = Some(backend);
        }
        self.start_receive(key);
        self.pending.push_back((key, Event::Connected));
    }

    fn enqueue(&mut self, key: Key, buf: Buf) {
        let Some(socket) = self.socket(key) else { return };
        if socket.broken {
            // Where nothing else will tell, this does.
            let event = match socket.is_heard() {
                true => Event::Sent(buf.len() as u32),
                false => Event::Failed(Fault::Reset),
            };
            self.pending.push_back((key, event));
            return;
        }
        socket.queue.push_back(buf);
        self.kick(key);
    }

    /// Sends what is next in line, and does what was to be done after the last.
    pub(crate) fn kick(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key.index as usize).and_then(Option::as_mut) else { return };
        if socket.sending || socket.connecting {
            return;
        }
        let (next, sealed) = socket.next(self.ring.now().mono_us);
        if sealed > 0 {
            self.pending.push_back((key, Event::Sent(sealed)));
        }
        if let Some(buf) = next {
            socket.sending = true;
            socket.in_flight += 1;
            self.ring.send(socket.fd, buf, socket.token(op::SEND));
            return;
        }
        if std::mem::take(&mut socket.shutdown) {
            self.ring.shutdown_write(socket.fd);
        }
        if socket.closing.is_some() {
            self.close_if_joined(key);
        }
    }

    pub(crate) fn start_receive(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key.index as usize).and_then(Option::as_mut) else { return };
        socket.wanted = true;
        if socket.receive != Receive::Off || socket.closing.is_some() {
            return;
        }
        socket.receive = Receive::On;
        socket.in_flight += 1;
        let (fd, token) = (socket.fd, socket.token(op::RECEIVE));
        // What comes in at once has to be held if the other side takes nothing.
        let most = (self.core.owed_max() as usize / 2).clamp(PAGE_BYTES, BURST_BYTES);
        if most < BURST_BYTES || socket.may_flood() {
            self.ring.receive_at_most(fd, most, token);
        } else {
            self.ring.receive(fd, token);
        }
    }

    /// Starts a receive again that ended for want of buffers.
    pub(crate) fn restart_receive(&mut self, key: Key) {
        if let Some(socket) = self.socket(key)
            && socket.receive == Receive::Starved
        {
            socket.receive = Receive::Off;
            self.start_receive(key);
        }
    }

    fn stop_receive(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key.index as usize).and_then(Option::as_mut) else { return };
        socket.wanted = false;
        match socket.receive {
            Receive::On => {
                socket.receive = Receive::Stopping;
                self.ring.cancel(socket.token(op::RECEIVE));
            }
            Receive::Stopping => {}
            Receive::Starved | Receive::Off => {
                socket.receive = Receive::Off;
                self.pending.push_back((key, Event::Paused));
            }
        }
    }

    /// Stop, join, close.
    fn close(&mut self, key: Key, how: Close) {
        let Some(socket) = self.sockets.get_mut(key.index as usize).and_then(Option::as_mut) else {
            // It never got a descriptor.
            self.wheel.disarm(key.index);
            self.pending.push_back((key, Event::Closed));
            return;
        };
        // An abort may follow a flush that takes too long, never the other way round.
        if socket.closing != Some(Close::Abort) {
            socket.closing = Some(how);
        }
        if socket.receive == Receive::On {
            socket.receive = Receive::Stopping;
            self.ring.cancel(socket.token(op::RECEIVE));
        }
        if how == Close::Abort {
            socket.queue.clear();
            if socket.sending {
                self.ring.cancel(socket.token(op::SEND));
            }
        }
        if socket.connecting {
            self.ring.cancel(socket.token(op::CONNECT));
        }
        for splice in [socket.source_of, socket.sink_of].into_iter().flatten() {
            self.abandon_splice(splice);
        }
        self.leave_card(key);
        // What TLS has to say at the end goes out first.
        self.kick(key);
        self.close_if_joined(key);
    }

    /// Closes a socket of which nothing is in flight any more.
    pub(crate) fn close_if_joined(&mut self, key: Key) {
        let Some(socket) = self.socket(key) else { return };
        let Some(how) = socket.closing else { return };
        if socket.in_flight > 0 || !socket.queue.is_empty() {
            return;
        }
        let fd = socket.fd;
        let (tls, pause) = (socket.tls.take(), socket.pause);
        self.sockets[key.index as usize] = None;
        if let Some(tls) = tls.filter(|tls| tls.is_paused()) {
            self.adopt_orphan(pause, tls);
        }
        self.wheel.disarm(key.index);
        self.ring.close(fd, how == Close::Abort);
        self.pending.push_back((key, Event::Closed));
    }

    /// What an error number means to the core.
    pub(crate) fn fault(&self, errno: Errno) -> Fault {
        match errno.kind() {
            Kind::Refused => Fault::Refused,
            Kind::TimedOut => Fault::TimedOut,
            Kind::Reset => Fault::Reset,
            Kind::Unreachable => Fault::Unreachable,
            Kind::Exhausted => Fault::Resource,
            Kind::Unexpected => {
                self.counters.add(Counter::UnexpectedErrno, 1);
                Fault::Unexpected(errno.0)
            }
        }
    }
}
