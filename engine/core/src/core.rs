//! [`Core`]: the state of one worker's traffic, and the door through which events reach it.

use crate::Peer;
use crate::chain::Chain;
use crate::effect::{Close, Effect, Effects};
use crate::event::{Event, SpliceEnd, Tick, Verdict};
use crate::fault::Fault;
use crate::flow::client::Client;
use crate::flow::closing::Closing;
use crate::flow::exchange::{Exchange, Side};
use crate::flow::parked::Parked;
use crate::flow::upstream::Upstream;
use crate::limits;
use crate::route::BackendKind;
use crate::route::plan::Plan;
use ounce_conf::model::Protocol;
use ounce_mem::{Buf, Counter, CounterPage, Key, Owner, Pool, Segment, Slots};
use std::net::SocketAddr;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// Everything about one worker's traffic but descriptors and clocks.
pub struct Core<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) segment: &'p Segment,
    pub(crate) counters: &'p CounterPage,
    pub(crate) owner: Owner,
    pub(crate) pool: Pool,
    pub(crate) sockets: Slots<Socket>,
    pub(crate) exchanges: Slots<Option<Box<Exchange>>>,
    #[expect(clippy::vec_box, reason = "the boxes themselves are what is used again")]
    pub(crate) spare: Vec<Box<Exchange>>,
    pub(crate) parked: Parked,
    pub(crate) random: Random,
    /// The last number of a question about a password.
    pub(crate) ticket: u64,
    /// Names this worker in problem lines.
    pub(crate) id: u32,
    /// Seconds that local time is ahead of UTC, for log lines.
    pub(crate) utc_offset: i32,
    /// Log formats that an operator has chosen, by listener.
    pub(crate) log_levels: Vec<Option<usize>>,
    clients: u32,
    clients_max: u32,
    draining: bool,
}

/// What a worker gives its core.
pub struct Setup<'p> {
    /// The compiled configuration of this generation.
    pub plan: &'p Plan,
    /// The shared tables.
    pub segment: &'p Segment,
    /// Who this worker is in them.
    pub owner: Owner,
    /// Where buffers come from.
    pub pool: Pool,
    /// Random bits, different in each worker.
    pub seed: u64,
    /// Names this worker in problem lines: its process id.
    pub id: u32,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset: i32,
    /// How many clients may be connected at once.
    pub clients_max: u32,
}

/// One socket: what both kinds have in common, and what it is.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) role: Role,
    /// Whose it is, also when its role is over.
    side: Side,
    /// Received and not yet used.
    pub(crate) input: Chain,
    /// Bytes given out for sending and not yet taken by the kernel.
    pub(crate) owed: u32,
    pub(crate) receiving: Receiving,
    /// The peer has sent its last byte.
    pub(crate) eof: bool,
    /// Nothing says that it was its last byte indeed.
    pub(crate) truncated: bool,
    /// It is broken: nothing more will come, and nothing more can be sent.
    pub(crate) failed: bool,
    /// When it must be looked at, [`NEVER`] if not.
    pub(crate) due: u64,
    /// What the timer was last set to; it is left alone while `due` only moves away.
    armed: u64,
}

/// Whether the engine is receiving from a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiving {
    On,
    /// Asked to stop; bytes may still come.
    Stopping,
    Off,
}

/// What a socket is to us.
#[derive(Debug)]
pub(crate) enum Role {
    Client(Client),
    Upstream(Upstream),
    Closing(Closing),
}

/// An event without its payload, which has been put into the socket's books.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause {
    Connected,
    Bytes,
    Eof,
    Sent,
    Failed(Fault),
    Expired,
    Paused,
    Spliced { bytes: u64, sink_full: bool },
    SpliceEnded(SpliceEnd),
    Verified { ticket: u64, verdict: Verdict },
}

impl Socket {
    pub(crate) fn new(role: Role, receiving: Receiving) -> Socket {
        let side = if matches!(role, Role::Client(_)) { Side::Client } else { Side::Upstream };
        Socket {
            role,
            side,
            input: Chain::default(),
            owed: 0,
            receiving,
            eof: false,
            truncated: false,
            failed: false,
            due: NEVER,
            armed: NEVER,
        }
    }
}

/// xorshift64*: spreads load, guards no secret.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl<'p> Core<'p> {
    /// A worker's core with no connections.
    #[must_use]
    pub fn new(setup: Setup<'p>) -> Core<'p> {
        let sockets = setup.clients_max.saturating_mul(3).saturating_add(limits::SPARE_SOCKETS);
        Core {
            plan: setup.plan,
            segment: setup.segment,
            counters: setup.segment.counters().page(setup.owner.worker),
            owner: setup.owner,
            pool: setup.pool,
            sockets: Slots::with_capacity(sockets),
            exchanges: Slots::with_capacity(sockets),
            spare: Vec::new(),
            parked: Parked::new(setup.plan.backends.len(), setup.clients_max / 2),
            random: Random(setup.seed | 1),
            ticket: 0,
            id: setup.id,
            utc_offset: setup.utc_offset,
            log_levels: vec![None; setup.plan.listeners.len()],
            clients: 0,
            clients_max: setup.clients_max,
            draining: false,
        }
    }

    /// How many clients are connected.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.clients
    }

    /// Another client can be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.clients < self.clients_max
    }

    /// Nothing is connected any more, backends included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// A connection came in. The engine receives from it at once, under the key returned; `None` means that it must
    /// be closed.
    pub fn admit(
        &mut self,
        listener: usize,
        peer: Peer,
        local: Option<SocketAddr>,
        tick: Tick,
        fx: &mut Effects,
    ) -> Option<Key> {
        let plan = &self.plan.listeners[listener];
        let client = Client::new(listener as u16, peer, local);
        // `has_room` is asked before accepting; what was on its way by then has the spare places.
        let Some(key) = self.sockets.try_insert(Socket::new(Role::Client(client), Receiving::On)) else {
            self.counters.add(Counter::ConnectionsRefused, 1);
            return None;
        };
        self.clients += 1;
        self.counters.add(Counter::ConnectionsAccepted, 1);
        self.counters.add(Counter::ConnectionsOpen, 1);
        self.due(key, tick.mono_us + plan.client_ms * 1000, fx);
        Some(key)
    }

    /// From now on every response says that it is the last of its connection, and parked connections are given up.
    pub fn drain(&mut self, fx: &mut Effects) {
        self.draining = true;
        for key in self.parked.take_all() {
            // A key whose connection has ended since is no connection to a backend any more.
            self.close_upstream(key, Close::Flush, fx);
        }
    }

    pub(crate) fn draining(&self) -> bool {
        self.draining
    }

    /// Takes one event; what must be done about it is appended to `fx`. Events for keys that are gone are counted
    /// and dropped.
    pub fn on(&mut self, key: Key, event: Event, tick: Tick, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else {
            self.counters.add(Counter::StaleCompletions, 1);
            return;
        };
        let cause = match event {
            Event::Closed => return self.gone(key),
            Event::Connected => Cause::Connected,
            Event::Secured(secure) => {
                if let Role::Client(client) = &mut socket.role {
                    client.secure = Some(secure);
                }
                return;
            }
            Event::Received(mut buf) => {
                self.counters.add(socket.side.bytes_in(), buf.len() as u64);
                // The last quarter of the pool is for bytes on their way in and out. What has to wait here (for a
                // slow reader, for a backend to answer) waits in memory of its own, or a few thousand slow peers
                // would stop everybody else from being received.
                if buf.is_page() && self.pool.free() < self.pool.capacity() / 4 {
                    buf = Buf::heap_from(&buf);
                }
                socket.input.push(buf);
                Cause::Bytes
            }
            Event::Eof | Event::Truncated => {
                socket.truncated = matches!(event, Event::Truncated);
                socket.eof = true;
                socket.receiving = Receiving::Off;
                Cause::Eof
            }
            Event::Sent(bytes) => {
                debug_assert!(bytes <= socket.owed, "more bytes sent than given");
                socket.owed = socket.owed.saturating_sub(bytes);
                self.counters.add(socket.side.bytes_out(), u64::from(bytes));
                Cause::Sent
            }
            Event::Failed(fault) => {
                socket.receiving = Receiving::Off;
                socket.failed = true;
                Cause::Failed(fault)
            }
            Event::Deadline => {
                socket.armed = NEVER;
                if tick.mono_us < socket.due {
                    let due = socket.due;
                    return self.due(key, due, fx);
                }
                socket.due = NEVER;
                Cause::Expired
            }
            Event::Paused => {
                // A pause that was taken back in the meantime: start again.
                if socket.receiving == Receiving::On {
                    return fx.push(Effect::Receive { socket: key });
                }
                socket.receiving = Receiving::Off;
                Cause::Paused
            }
            Event::Spliced { bytes, sink_full } => Cause::Spliced { bytes, sink_full },
            Event::Verified { ticket, verdict } => Cause::Verified { ticket, verdict },
            Event::SpliceEnded(end) => Cause::SpliceEnded(end),
        };
        match socket.role {
            Role::Client(_) => self.on_client(key, cause, tick, fx),
            Role::Upstream(_) => self.on_upstream(key, cause, tick, fx),
            Role::Closing(_) => self.on_closing(key, cause, tick, fx),
        }
    }

    fn gone(&mut self, key: Key) {
        debug_assert!(matches!(self.sockets.get(key).map(|s| &s.role), Some(Role::Closing(_))));
        self.sockets.remove(key);
    }

    /// A client leaves the books: its place is free although its socket may still be flushing.
    pub(crate) fn client_left(&mut self) {
        self.clients -= 1;
        self.counters.sub(Counter::ConnectionsOpen, 1);
    }

    /// Sets when a socket must be looked at. The timer is touched only if it would fire too late.
    pub(crate) fn due(&mut self, key: Key, at_us: u64, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        socket.due = at_us;
        if at_us < socket.armed {
            socket.armed = at_us;
            fx.push(Effect::Arm { socket: key, at_us });
        }
    }

    /// Gives bytes out for sending.
    pub(crate) fn send(&mut self, key: Key, buf: Buf, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if !buf.is_empty() {
            socket.owed += buf.len() as u32;
            fx.push(Effect::Send { socket: key, buf });
        }
    }

    /// Receives from now on, if the peer has anything left to say.
    pub(crate) fn receive_from(&mut self, key: Key, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        match socket.receiving {
            Receiving::Off if !socket.eof && !socket.failed => {
                socket.receiving = Receiving::On;
                fx.push(Effect::Receive { socket: key });
            }
            // The pause is under way; its end starts receiving again.
            Receiving::Stopping => socket.receiving = Receiving::On,
            Receiving::On | Receiving::Off => {}
        }
    }

    /// Stops receiving.
    pub(crate) fn pause(&mut self, key: Key, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if socket.receiving == Receiving::On {
            socket.receiving = Receiving::Stopping;
            fx.push(Effect::Pause { socket: key });
        }
    }

    /// The bytes on the wire are the bytes of the message.
    pub(crate) fn is_plain(&self, key: Key) -> bool {
        match self.sockets.get(key).map(|socket| &socket.role) {
            Some(Role::Client(client)) => {
                self.plan.listeners[client.listener as usize].protocol == Protocol::Http
            }
            Some(Role::Upstream(upstream)) => {
                let kind = &self.plan.backends[upstream.backend as usize].kind;
                !matches!(kind, BackendKind::Server { tls: Some(_), .. })
            }
            Some(Role::Closing(_)) | None => false,
        }
    }

    /// How many unsent bytes a socket may hold before its source must wait.
    #[must_use]
    pub fn owed_max(&self) -> u32 {
        let eighths = self.pool.free() as usize * 8 / self.pool.capacity() as usize;
        limits::OWED_MAX_BY_EIGHTHS[eighths.min(8)]
    }

    /// Checks what must always hold; the simulation calls it after every step.
    pub fn check_invariants(&self) {
        let clients = self.sockets.iter().filter(|(_, s)| matches!(s.role, Role::Client(_))).count();
        assert_eq!(clients as u32, self.clients, "client count");
        for (key, socket) in self.sockets.iter() {
            self.check_socket(key, socket);
        }
    }

    fn check_socket(&self, key: Key, socket: &Socket) {
        let exchange = match &socket.role {
            Role::Client(client) => client.exchange,
            Role::Upstream(upstream) => upstream.exchange,
            Role::Closing(_) => return,
        };
        let Some(exchange) = exchange else {
            let waits = socket.receiving != Receiving::Off || socket.owed > 0;
            assert!(waits, "an idle socket neither sends nor receives: {socket:?}");
            assert!(socket.due != NEVER, "an idle socket may stay for ever: {socket:?}");
            return;
        };
        let Some(Some(exchange)) = self.exchanges.get(exchange) else {
            panic!("{key:?} names an exchange that is gone");
        };
        let sides = [Some(exchange.client), exchange.upstream];
        assert!(sides.contains(&Some(key)), "an exchange does not know its socket: {exchange:?}");
        let due = |key: Option<Key>| key.and_then(|key| self.sockets.get(key)).map_or(NEVER, |s| s.due);
        assert!(
            sides.into_iter().map(due).min() != Some(NEVER),
            "an exchange without a deadline: {exchange:?}"
        );
    }
}
