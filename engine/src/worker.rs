//! [`Worker`]: one loop, all traffic of one CPU.

use crate::accept::Accepting;
use crate::card::Desk;
use crate::crew::Manner;
use crate::handshakes::Line;
use crate::heritage::ListeningSocket;
use crate::logout;
use crate::orders::Order;
use crate::passwords::Passwords;
use crate::socket::Socket;
use crate::splice::{self, Splice};
use crate::tls::{Certificates, Dialer, Tls};
use crate::wheel::Wheel;
use ounce_conf::model;
use ounce_core::route::{BackendKind, BackendPlan};
use ounce_core::{Core, Effect, Effects, Event, Plan, Setup, Tick};
use ounce_mem::{Counter, CounterPage, Key, Owner, Segment};
use ounce_sys::ring::{Completion, Fd, Pipe, Ring};
use ounce_sys::socket::Address;
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// The loop wakes at least this often, to show that it is alive.
const BEAT: Duration = Duration::from_secs(1);

/// How long receives that found no page wait at most before they are tried again.
const STARVED_US: u64 = 2_000;

/// What a worker is made of.
pub struct WorkerSetup<'p, R: Ring> {
    /// The kernel.
    pub ring: R,
    /// The compiled configuration.
    pub plan: &'p Plan,
    /// The shared tables.
    pub segment: &'p Segment,
    /// Who this worker is in them.
    pub owner: Owner,
    /// Where it accepts connections.
    pub sockets: Vec<ListeningSocket>,
    /// What TLS needs.
    pub tls: Tls,
    /// Random bits, different in each worker.
    pub seed: u64,
    /// Names this worker in problem lines: its process id.
    pub id: u32,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset: i32,
    /// How many clients may be connected at once.
    pub clients_max: u32,
    /// The way to what the program answers itself.
    pub house: Option<RawFd>,
    /// How what would stall the loop is done.
    pub helpers: Manner,
    /// Where log batches go.
    pub log: Box<dyn logout::Sink + 'p>,
}

/// One worker.
pub struct Worker<'p, R: Ring> {
    pub(crate) ring: R,
    pub(crate) core: Core<'p>,
    pub(crate) plan: &'p Plan,
    pub(crate) segment: &'p Segment,
    pub(crate) counters: &'p CounterPage,
    pub(crate) owner: Owner,
    /// Names this worker in problem lines.
    pub(crate) id: u32,
    /// By the index of the core's keys.
    pub(crate) sockets: Vec<Option<Socket>>,
    /// Addresses of the plan's backends in the kernel's form; `None` for those that are no servers, or wherever a name
    /// leads.
    pub(crate) addresses: Vec<Option<Address>>,
    /// What TLS to the plan's backends needs; `None` for plain ones.
    pub(crate) dialers: Vec<Option<Dialer>>,
    pub(crate) house: Option<RawFd>,
    pub(crate) accepting: Accepting,
    pub(crate) certificates: Vec<Option<Certificates>>,
    /// The same without cards, where software can do without them.
    pub(crate) software: Vec<Option<Certificates>>,
    pub(crate) line: Line,
    pub(crate) cards: Desk,
    pub(crate) passwords: Passwords,
    pub(crate) wheel: Wheel,
    pub(crate) splices: Vec<Option<Splice>>,
    /// Empty pipes for the next splices.
    pub(crate) pipes: Vec<Pipe>,
    pub(crate) pipes_open: u32,
    pub(crate) pipes_max: u32,
    pub(crate) starved: Vec<Key>,
    /// When starved receives are tried again although pages are scarce.
    starved_until_us: u64,
    /// Events that came up while effects were carried out.
    pub(crate) pending: VecDeque<(Key, Event)>,
    pub(crate) fx: Effects,
    effects: Vec<Effect>,
    completions: Vec<Completion>,
    expired: Vec<u32>,
    batch: Vec<u8>,
    log: Box<dyn logout::Sink + 'p>,
    pub(crate) draining: bool,
}

impl<'p, R: Ring> Worker<'p, R> {
    /// A worker that does not accept yet; see [`Worker::start`].
    pub fn new(setup: WorkerSetup<'p, R>) -> Worker<'p, R> {
        let core = Core::new(Setup {
            plan: setup.plan,
            segment: setup.segment,
            owner: setup.owner,
            pool: setup.ring.pool().clone(),
            seed: setup.seed,
            id: setup.id,
            utc_offset: setup.utc_offset,
            clients_max: setup.clients_max,
        });
        let now = setup.ring.now();
        Worker {
            core,
            plan: setup.plan,
            segment: setup.segment,
            counters: setup.segment.counters().page(setup.owner.worker),
            owner: setup.owner,
            id: setup.id,
            sockets: Vec::new(),
            addresses: setup.plan.backends.iter().map(address).collect(),
            dialers: setup.tls.dialers,
            house: setup.house,
            accepting: Accepting::new(&setup.sockets),
            certificates: setup.tls.certificates,
            software: setup.tls.software,
            line: Line::default(),
            cards: Desk::new(setup.tls.hand, setup.helpers.clone()),
            passwords: Passwords::new(setup.helpers),
            wheel: Wheel::new(now.mono_us),
            splices: Vec::new(),
            pipes: Vec::new(),
            pipes_open: 0,
            pipes_max: splice::pipes_max(setup.clients_max),
            starved: Vec::new(),
            starved_until_us: 0,
            pending: VecDeque::new(),
            fx: Effects::default(),
            effects: Vec::new(),
            completions: Vec::with_capacity(256),
            expired: Vec::new(),
            batch: Vec::with_capacity(logout::BATCH_MAX),
            log: setup.log,
            draining: false,
            ring: setup.ring,
        }
    }

    /// Starts accepting.
    pub fn start(&mut self) {
        self.begin_with_cards();
        self.look_at_switches();
    }

    /// The ring, for what is waited for beside traffic.
    pub fn ring(&mut self) -> &mut R {
        &mut self.ring
    }

    /// The core, for checks.
    pub fn core(&self) -> &Core<'p> {
        &self.core
    }

    pub(crate) fn tick(&self) -> Tick {
        let now = self.ring.now();
        Tick { mono_us: now.mono_us, wall_us: now.wall_us }
    }

    /// One turn: waits, then handles everything that ended. Completions of operations that are not the worker's own
    /// are left to `foreign`.
    ///
    /// # Errors
    /// What makes the ring unusable.
    pub fn turn(&mut self, mut foreign: impl FnMut(&mut Self, Completion)) -> io::Result<()> {
        let timeout = self.patience();
        let mut completions = std::mem::take(&mut self.completions);
        let waited = self.ring.wait(Some(timeout), &mut completions);
        let tick = self.tick();
        self.segment.fleet().beat(self.owner, tick.mono_ms());
        self.counters.add(Counter::Loops, 1);
        let (came, waiting) = (completions.len(), self.line.len());
        for completion in completions.drain(..) {
            if let Some(completion) = self.complete(completion) {
                foreign(self, completion);
            }
        }
        self.completions = completions;
        if self.passwords.is_due() {
            self.take_verdicts();
        }
        if self.cards.is_due() {
            self.helped();
        }
        self.expire();
        self.expire_cards();
        // None has been taken since, so the line has grown by those that have joined it.
        self.shake_hands(came.saturating_sub(self.line.len() - waiting));
        self.resume_starved();
        self.resume_accepting();
        self.flush_logs();
        waited
    }

    /// How long the loop may sleep.
    fn patience(&self) -> Duration {
        if self.passwords.is_due() || self.cards.is_due() || !self.line.is_empty() {
            return Duration::ZERO;
        }
        let now = self.ring.now().mono_us;
        let mut sleep = if self.starved.is_empty() { BEAT } else { Duration::from_micros(STARVED_US) };
        // Without room for a client there is nothing to wake up for.
        let accept = self.accepting.retry_us().filter(|_| self.core.has_room());
        for at in [self.wheel.next_us(), accept, self.cards.next_us()].into_iter().flatten() {
            sleep = sleep.min(Duration::from_micros(at.saturating_sub(now)));
        }
        sleep
    }

    fn expire(&mut self) {
        let tick = self.tick();
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.expire(tick.mono_us, &mut expired);
        for index in expired.drain(..) {
            if let Some(key) =
                self.sockets.get(index as usize).and_then(Option::as_ref).map(|socket| socket.key)
            {
                self.report(key, Event::Deadline);
            }
        }
        self.expired = expired;
    }

    fn flush_logs(&mut self) {
        let sink = self.log.as_mut();
        logout::flush(logout::REQUESTS, &mut self.fx.requests, &mut self.batch, sink, self.counters);
        logout::flush(logout::PROBLEMS, &mut self.fx.problems, &mut self.batch, sink, self.counters);
    }

    /// Tells the core what happened and carries out what it wants.
    pub(crate) fn report(&mut self, key: Key, event: Event) {
        let tick = self.tick();
        self.core.on(key, event, tick, &mut self.fx);
        self.carry_out();
    }

    /// Carries out effects, and reports the events that come up meanwhile, until there are none of either.
    pub(crate) fn carry_out(&mut self) {
        loop {
            if !self.fx.list.is_empty() {
                let mut effects = std::mem::take(&mut self.effects);
                std::mem::swap(&mut effects, &mut self.fx.list);
                for effect in effects.drain(..) {
                    self.apply(effect);
                }
                self.effects = effects;
            }
            let Some((key, event)) = self.pending.pop_front() else {
                if self.fx.list.is_empty() {
                    return;
                }
                continue;
            };
            let tick = self.tick();
            self.core.on(key, event, tick, &mut self.fx);
        }
    }

    fn resume_starved(&mut self) {
        let now = self.ring.now().mono_us;
        // The core never holds on to the last quarter of the pool, so this much comes back by itself; if it does not come
        // soon, what little there is must do.
        let scarce = self.ring.pool().free() < self.ring.pool().capacity() / 8;
        if self.starved.is_empty() || (scarce && now < self.starved_until_us) {
            return;
        }
        self.starved_until_us = now + STARVED_US;
        for key in std::mem::take(&mut self.starved) {
            self.restart_receive(key);
        }
    }

    /// Takes an order of the supervisor.
    pub fn order(&mut self, order: Order) {
        match order {
            Order::Drain if !self.draining => {
                self.draining = true;
                self.stop_accepting();
                self.core.drain(&mut self.fx);
                self.carry_out();
            }
            Order::Changed => self.look_at_switches(),
            Order::Accept => self.accept_anew(),
            Order::Drain | Order::Stop => {}
        }
    }

    /// It drains and accepts nothing any more.
    pub fn has_left(&self) -> bool {
        self.draining && self.accepting.is_idle()
    }

    /// Nothing is connected and nothing will be: a draining worker may end.
    pub fn is_done(&self) -> bool {
        self.has_left() && self.core.clients() == 0 && self.core.is_empty()
    }

    pub(crate) fn socket(&mut self, key: Key) -> Option<&mut Socket> {
        self.sockets.get_mut(key.index as usize)?.as_mut().filter(|socket| socket.key == key)
    }

    pub(crate) fn adopt(&mut self, key: Key, fd: Fd) {
        let index = key.index as usize;
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        debug_assert!(self.sockets[index].is_none(), "a key was given out twice");
        self.sockets[index] = Some(Socket::new(key, fd));
    }

    /// Checks what must hold between two turns; the simulation calls it after each.
    pub fn check_invariants(&self) {
        self.core.check_invariants();
        for socket in self.sockets.iter().flatten() {
            let alive = socket.in_flight > 0 || self.wheel.is_armed(socket.key.index);
            assert!(alive || self.starved.contains(&socket.key), "{socket:?} waits for nothing");
        }
    }
}

impl<R: Ring> Drop for Worker<'_, R> {
    fn drop(&mut self) {
        for pipe in std::mem::take(&mut self.pipes) {
            self.ring.close(pipe.read, false);
            self.ring.close(pipe.write, false);
        }
    }
}

fn address(backend: &BackendPlan) -> Option<Address> {
    match &backend.kind {
        BackendKind::Server { address: model::Address::Inet(address), .. } => Some(Address::Inet(*address)),
        BackendKind::Server { address: model::Address::Unix(path), .. } => Some(Address::Unix(path.clone())),
        _ => None,
    }
}
