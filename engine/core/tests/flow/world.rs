//! A core, a clock that stands still until it is moved, and an engine that carries out effects on paper.

use ounce_conf::Options;
use ounce_core::route::auth::Question;
use ounce_core::route::compile::{Ids, compile};
use ounce_core::{Close, Core, Effect, Effects, Event, Fault, Peer, Plan, Setup, Tick};
use ounce_mem::{BackendId, Buf, Counter, Key, Limits, Owner, Pool, Segment};
use std::collections::{HashMap, VecDeque};

/// Pages of the pool.
const PAGES: u32 = 64;

/// The first moment.
const DAWN_US: u64 = 1_000_000_000;

pub(crate) const SECOND: u64 = 1_000_000;

/// What is known of one socket from outside the core.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// Index of the backend that it was opened to; `None` for clients.
    pub(crate) backend: Option<u32>,
    /// All bytes given out and not yet looked at.
    sent: Vec<u8>,
    /// Bytes given out and not yet taken.
    pub(crate) owed: usize,
    pub(crate) receiving: bool,
    pub(crate) shut: bool,
    pub(crate) closed: Option<Close>,
    armed_us: Option<u64>,
    /// It takes nothing until told to.
    stuck: bool,
    /// The buffers of what it is owed.
    kept: Vec<Buf>,
}

/// A core and everything around it.
pub(crate) struct World {
    pub(crate) core: Core<'static>,
    pub(crate) segment: &'static Segment,
    pub(crate) plan: &'static Plan,
    pub(crate) pool: Pool,
    owner: Owner,
    pub(crate) now_us: u64,
    wires: HashMap<Key, Wire>,
    /// Connects in their order.
    connects: VecDeque<Key>,
    pub(crate) splices: VecDeque<(Key, Key, u64)>,
    /// Passwords to look at.
    pub(crate) questions: Vec<(Key, u64, Question)>,
    fx: Effects,
    queue: VecDeque<(Key, Event)>,
}

struct Rows(&'static Segment);

impl Ids for Rows {
    fn listener(&mut self, identity: &str) -> Option<u32> {
        self.0.listeners().claim(identity, 1).map(|id| id.0)
    }

    fn service(&mut self, identity: &str) -> Option<u32> {
        self.0.services().claim(identity, 1).map(|id| id.0)
    }

    fn backend(&mut self, identity: &str) -> Option<u32> {
        self.0.backends().claim(identity, 1).map(|id| id.0)
    }
}

/// One listener with a `Client` limit of 10 s, one service with these lines and so many backends with limits of 4 s for
/// a connect, 15 s for an answer and 60 s for a tunnel.
pub(crate) fn config(listener: &str, service: &str, backends: usize) -> String {
    let mut text = format!(
        "LogFacility -\nLogLevel 1\nTimeOut 15\nConnTO 4\nWSTimeOut 60\nListenHTTP\nAddress 10.0.0.1\nPort 80\n\
         Client 10\n{listener}\nService\nBalancer iwrr\n{service}\n"
    );
    for backend in 1..=backends {
        text += &format!("BackEnd\nAddress 10.1.0.{backend}\nPort 8000\nEnd\n");
    }
    text + "End\nEnd\n"
}

impl World {
    /// A worker of this configuration. What it stands on lives as long as the test program.
    pub(crate) fn new(text: &str) -> World {
        let limits = Limits { backends: 16, services: 8, listeners: 8, session_buckets: 8, workers: 2 };
        let segment: &'static Segment = Box::leak(Box::new(Segment::create(limits).expect("a segment")));
        let loaded = ounce_conf::load_text("test", text, &Options::default()).expect("a configuration");
        let plan: &'static Plan =
            Box::leak(Box::new(compile(&loaded.config, &mut Rows(segment)).expect("a plan")));
        let owner = segment.fleet().begin(0, 1);
        let pool = Pool::new(PAGES).expect("a pool");
        let core = Core::new(Setup {
            plan,
            segment,
            owner,
            pool: pool.clone(),
            seed: 1,
            id: 1,
            utc_offset: 0,
            clients_max: 64,
        });
        World {
            core,
            segment,
            plan,
            pool,
            owner,
            now_us: DAWN_US,
            wires: HashMap::new(),
            connects: VecDeque::new(),
            splices: VecDeque::new(),
            questions: Vec::new(),
            fx: Effects::default(),
            queue: VecDeque::new(),
        }
    }

    /// Plain service, so many backends.
    pub(crate) fn plain(backends: usize) -> World {
        World::new(&config("xHTTP 3", "", backends))
    }

    /// The sockets that are open, in an order that repeats.
    pub(crate) fn sockets(&self) -> Vec<Key> {
        let open = self.wires.iter().filter(|(_, wire)| wire.closed.is_none());
        let mut keys: Vec<Key> = open.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// A connect that is under way.
    pub(crate) fn is_dialling(&self, key: Key) -> bool {
        self.connects.contains(&key)
    }

    /// A connect ends well.
    pub(crate) fn stands(&mut self, key: Key) {
        self.connects.retain(|&other| other != key);
        self.on(key, Event::Connected);
    }

    fn tick(&self) -> Tick {
        Tick { mono_us: self.now_us, wall_us: 1_700_000_000_000_000 + self.now_us }
    }

    /// A client connects.
    pub(crate) fn client(&mut self) -> Key {
        let peer = Peer::Inet("192.0.2.7:4711".parse().expect("an address"));
        let local = "10.0.0.1:80".parse().ok();
        let key = self.core.admit(0, peer, local, self.tick(), &mut self.fx).expect("a place");
        self.wires.insert(key, Wire { receiving: true, ..Wire::default() });
        self.settle();
        key
    }

    /// Reports one event and carries out everything that follows.
    pub(crate) fn on(&mut self, key: Key, event: Event) {
        self.core.on(key, event, self.tick(), &mut self.fx);
        self.settle();
    }

    /// The other end of a socket sends bytes, in pieces no larger than a page.
    pub(crate) fn say(&mut self, key: Key, bytes: impl AsRef<[u8]>) {
        for piece in bytes.as_ref().chunks(ounce_mem::PAGE_BYTES) {
            self.on(key, Event::Received(self.page(piece)));
        }
    }

    fn page(&self, bytes: &[u8]) -> Buf {
        match self.pool.take() {
            Some(mut page) => {
                assert!(page.push(bytes));
                page
            }
            None => Buf::heap_from(bytes),
        }
    }

    pub(crate) fn eof(&mut self, key: Key) {
        if let Some(wire) = self.wires.get_mut(&key) {
            wire.receiving = false;
        }
        self.on(key, Event::Eof);
    }

    pub(crate) fn fail(&mut self, key: Key, fault: Fault) {
        if let Some(wire) = self.wires.get_mut(&key) {
            wire.receiving = false;
        }
        self.on(key, Event::Failed(fault));
    }

    /// The next connect, which is left open.
    pub(crate) fn dialled(&mut self) -> Key {
        self.connects.pop_front().expect("a connection to a backend was asked for")
    }

    /// The next connect succeeds.
    pub(crate) fn connected(&mut self) -> Key {
        let key = self.dialled();
        self.on(key, Event::Connected);
        key
    }

    pub(crate) fn no_connect(&self) {
        assert!(self.connects.is_empty(), "no connection to a backend was expected");
    }

    pub(crate) fn backend_of(&self, key: Key) -> u32 {
        self.wires[&key].backend.expect("a connection to a backend")
    }

    pub(crate) fn wire(&self, key: Key) -> &Wire {
        &self.wires[&key]
    }

    /// What was sent to a socket since the last look.
    pub(crate) fn heard(&mut self, key: Key) -> String {
        let sent = std::mem::take(&mut self.wires.get_mut(&key).expect("a socket").sent);
        String::from_utf8_lossy(&sent).into_owned()
    }

    /// From now on the other end takes nothing, or everything again.
    pub(crate) fn stuck(&mut self, key: Key, stuck: bool) {
        let wire = self.wires.get_mut(&key).expect("a socket");
        wire.stuck = stuck;
        if !stuck {
            self.takes(key, usize::MAX);
        }
    }

    /// A stuck end takes so many bytes.
    pub(crate) fn takes(&mut self, key: Key, most: usize) {
        let wire = self.wires.get_mut(&key).expect("a socket");
        let bytes = wire.owed.min(most);
        if bytes > 0 {
            wire.owed -= bytes;
            if wire.owed == 0 {
                wire.kept.clear();
            }
            self.on(key, Event::Sent(bytes as u32));
        }
        self.after_flush(key);
        self.settle();
    }

    fn after_flush(&mut self, key: Key) {
        let wire = &self.wires[&key];
        if wire.owed == 0 && wire.closed == Some(Close::Flush) {
            self.queue.push_back((key, Event::Closed));
        }
    }

    /// Time passes; deadlines fire when they are due.
    pub(crate) fn wait(&mut self, us: u64) {
        let end = self.now_us + us;
        loop {
            let armed = |(key, wire): (&Key, &Wire)| wire.armed_us.map(|at| (at, *key));
            let Some((at, key)) = self.wires.iter().filter_map(armed).min().filter(|&(at, _)| at <= end)
            else {
                break;
            };
            self.now_us = self.now_us.max(at);
            self.wires.get_mut(&key).expect("a socket").armed_us = None;
            self.on(key, Event::Deadline);
        }
        self.now_us = end;
    }

    fn settle(&mut self) {
        loop {
            for effect in std::mem::take(&mut self.fx.list) {
                self.carry_out(effect);
            }
            let Some((key, event)) = self.queue.pop_front() else { break };
            self.core.on(key, event, self.tick(), &mut self.fx);
        }
        self.core.check_invariants();
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { socket, backend, .. } => {
                let wire = Wire { backend: Some(backend), receiving: true, ..Wire::default() };
                self.wires.insert(socket, wire);
                self.connects.push_back(socket);
            }
            Effect::Send { socket, buf } => {
                let wire = self.wires.get_mut(&socket).expect("bytes for a socket that is");
                assert!(wire.closed.is_none() && !wire.shut, "bytes for a socket that is closed");
                wire.sent.extend_from_slice(&buf);
                if wire.stuck {
                    wire.owed += buf.len();
                    wire.kept.push(buf);
                } else {
                    self.queue.push_back((socket, Event::Sent(buf.len() as u32)));
                }
            }
            Effect::Receive { socket } => self.wire_mut(socket).receiving = true,
            Effect::Pause { socket } => {
                self.wire_mut(socket).receiving = false;
                self.queue.push_back((socket, Event::Paused));
            }
            Effect::ShutdownWrite { socket } => self.wire_mut(socket).shut = true,
            Effect::Close { socket, how } => {
                self.connects.retain(|&key| key != socket);
                let wire = self.wire_mut(socket);
                assert_ne!(wire.closed, Some(Close::Abort), "closed twice");
                wire.closed = Some(how);
                wire.receiving = false;
                if how == Close::Abort || wire.owed == 0 {
                    wire.armed_us = None;
                    wire.kept.clear();
                    self.queue.push_back((socket, Event::Closed));
                }
            }
            Effect::Splice { from, to, max } => {
                assert!(!self.wires[&from].receiving && self.wires[&to].owed == 0);
                self.splices.push_back((from, to, max));
            }
            Effect::Verify { socket, ticket, question } => self.questions.push((socket, ticket, *question)),
            Effect::Arm { socket, at_us } => self.wire_mut(socket).armed_us = Some(at_us),
        }
    }

    fn wire_mut(&mut self, key: Key) -> &mut Wire {
        self.wires.get_mut(&key).expect("a socket")
    }

    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        self.segment.counters().page(self.owner.worker).get(counter)
    }

    /// Connections to a backend that the shared table knows of.
    pub(crate) fn open(&self, backend: usize) -> u64 {
        self.segment.backends().connections(self.row(backend))
    }

    pub(crate) fn alive(&self, backend: usize) -> bool {
        self.segment.backends().status(self.row(backend)).alive
    }

    pub(crate) fn row(&self, backend: usize) -> BackendId {
        BackendId(self.plan.backends[backend].row)
    }

    pub(crate) fn drain(&mut self) {
        self.core.drain(&mut self.fx);
        self.settle();
    }

    /// The request lines of the log since the last look.
    pub(crate) fn requests(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.fx.requests)).expect("text")
    }

    pub(crate) fn problems(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.fx.problems)).expect("text")
    }

    /// `GET /` on a client connection, and the backend connection on which it arrives.
    pub(crate) fn get(&mut self, client: Key) -> Key {
        self.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        self.connected()
    }

    /// A request and its answer of 2 bytes, so that a backend connection is parked.
    pub(crate) fn park(&mut self, client: Key) -> Key {
        let upstream = self.get(client);
        self.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        self.heard(client);
        self.heard(upstream);
        assert!(self.wire(upstream).closed.is_none());
        upstream
    }
}
