//! One simulated run: a worker, its clients and its origins.

use crate::client::{Client, Manner};
use crate::line;
use crate::message::{ANY, Ask, Deed, SOUND};
use crate::origin::{Memory, Origin};
use ounce_conf::Options;
use ounce_core::route::compile::{Ids, compile};
use ounce_engine::crew;
use ounce_engine::tls::Tls;
use ounce_engine::{ListeningSocket, Order, Worker, WorkerSetup};
use ounce_mem::{BackendId, Counter, Limits, Owner, Pool, Segment};
use ounce_sys::sim::{Faults, Random, SimNet};
use ounce_sys::socket::Address;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Turns after which a run that has not ended is stuck.
const TURNS_MAX: u64 = 400_000;

/// Pages of the worker's pool: few enough that they run out now and then.
const PAGES: u32 = 48;

/// Where TLS is spoken: `None` where it is not, otherwise whether that is 1.3.
#[derive(Debug, Clone, Copy, Default)]
struct Sealed {
    clients: Option<bool>,
    origins: [Option<bool>; 3],
}

impl Sealed {
    /// At least on one side.
    fn draw(seed: u64) -> Sealed {
        let mut random = Random::new(seed ^ 0x7154);
        let mut version = || random.chance(800).then(|| random.chance(700));
        let drawn = Sealed { clients: version(), origins: [version(), version(), version()] };
        Sealed {
            clients: drawn.clients.or_else(|| drawn.origins.iter().all(Option::is_none).then_some(true)),
            ..drawn
        }
    }

    fn scheme(&self) -> &'static str {
        if self.clients.is_some() { "https" } else { "http" }
    }

    fn config(&self) -> String {
        let listener = match self.clients {
            Some(_) => format!("ListenHTTPS\nCert \"{}\"\n", line::pem().display()),
            None => "ListenHTTP\n".to_owned(),
        };
        let backend = |(number, tls): (usize, &Option<bool>)| {
            let tls = if tls.is_some() { "HTTPS\n" } else { "" };
            format!("BackEnd\nAddress 10.1.0.{number}\nPort 800{number}\n{tls}End\n", number = number + 1)
        };
        let backends: String = self.origins.iter().enumerate().map(backend).collect();
        format!(
            "LogFacility -\nLogLevel 5\nTimeOut 20\nConnTO 3\n\
             {listener}Address 10.0.0.1\nPort 80\nClient 30\nxHTTP 1\n\
             Service\nBalancer iwrr\n{backends}End\nEnd\n"
        )
    }
}

/// What came of a run.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Responses of an origin that arrived whole.
    pub(crate) answered: u64,
    /// Among them those that came over TLS.
    pub(crate) sealed: u64,
    /// Among them those with a body.
    pub(crate) bodies: u64,
    /// Tunnels that gave back every byte.
    pub(crate) tunnels: u64,
    /// Answers to requests whose body had waited for its invitation.
    pub(crate) invited: u64,
    /// The worker was told to drain in the middle of it all.
    pub(crate) drained: bool,
    /// Errors of the proxy's own.
    pub(crate) refused: u64,
    /// Responses that ended early.
    pub(crate) cut: u64,
    /// Requests that got nothing.
    pub(crate) unanswered: u64,
    pub(crate) unanswered_idempotent: u64,
    pub(crate) turns: u64,
    /// Accepting stopped for want of room.
    pub(crate) accept_pauses: u64,
    pub(crate) fingerprint: u64,
}

impl Tally {
    /// Says what happened, when one seed is looked at.
    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        if std::env::var_os("OUNCE_SEED").is_some() {
            eprintln!("{}", text());
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.answered += other.answered;
        self.sealed += other.sealed;
        self.bodies += other.bodies;
        self.tunnels += other.tunnels;
        self.invited += other.invited;
        self.refused += other.refused;
        self.cut += other.cut;
        self.unanswered += other.unanswered;
        self.unanswered_idempotent += other.unanswered_idempotent;
        self.turns += other.turns;
        self.accept_pauses += other.accept_pauses;
    }
}

/// A run that is about to begin.
pub(crate) struct Scene {
    seed: u64,
    /// When the worker is told to drain, if before the last client has left.
    drain_us: Option<u64>,
    faults: Option<Faults>,
    calm: bool,
    /// How many clients the worker has room for.
    clients_max: u32,
    sealed: Sealed,
}

/// Everything outside the worker.
struct Outside {
    clients: Vec<Client>,
    origins: Vec<Origin>,
    memory: Memory,
    random: Random,
    tally: Tally,
}

struct Rows<'s>(&'s Segment);

impl Ids for Rows<'_> {
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

impl Scene {
    /// Any faults, any deeds.
    pub(crate) fn stormy(seed: u64) -> Scene {
        Scene {
            seed,
            drain_us: drain_us(seed),
            faults: None,
            calm: false,
            clients_max: 64,
            sealed: Sealed::default(),
        }
    }

    /// A network that only takes its time, and origins that always answer.
    pub(crate) fn calm(seed: u64) -> Scene {
        let drawn = Faults::draw(&mut Random::new(seed));
        let faults = Faults {
            accept_fails: 0,
            socket_fails: 0,
            connect_fails: 0,
            reset: 0,
            reset_drops: 0,
            wall_jump: 0,
            ..drawn
        };
        Scene { faults: Some(faults), calm: true, ..Scene::stormy(seed) }
    }

    /// As [`Scene::calm`], with room for two clients at a time: the others wait in the kernel's queue.
    pub(crate) fn crowded(seed: u64) -> Scene {
        Scene { drain_us: None, clients_max: 2, ..Scene::calm(seed) }
    }

    /// As [`Scene::calm`], but descriptors are so scarce that most accepts fail.
    pub(crate) fn scarce(seed: u64) -> Scene {
        let calm = Scene::calm(seed);
        let faults = calm.faults.map(|faults| Faults { accept_fails: 700, ..faults });
        Scene { drain_us: None, faults, ..calm }
    }

    /// The same scene with TLS.
    pub(crate) fn sealed(self) -> Scene {
        Scene { sealed: Sealed::draw(self.seed), ..self }
    }

    pub(crate) fn play(self) -> Tally {
        let net = match self.faults {
            Some(faults) => SimNet::with_faults(self.seed, faults),
            None => SimNet::new(self.seed),
        };
        let outside = Rc::new(RefCell::new(self.outside(&net)));
        let actors = Rc::clone(&outside);
        net.set_outside(move |net| actors.borrow_mut().act(net));
        let stage = Stage { seed: self.seed, clients_max: self.clients_max, pages: PAGES };
        // Serves until every client has left, then drains.
        let served = stage.serve(&net, &self.sealed.config(), || {
            let drained = self.drain_us.is_some_and(|at| net.now().mono_us >= at);
            outside.borrow_mut().tally.drained |= drained;
            drained || outside.borrow().clients.iter().all(|client| client.over)
        });
        let tally = outside.borrow().tally;
        assert!(self.calm || outside.borrow().memory.bodies < u64::MAX);
        Tally {
            turns: served.turns,
            accept_pauses: served.accept_pauses,
            fingerprint: net.fingerprint(),
            ..tally
        }
    }

    fn outside(&self, net: &SimNet) -> Outside {
        let mut random = Random::new(self.seed ^ 0x5eed);
        let mut next_id = 1;
        let clients = 1 + random.below(12);
        let clients = (0..clients).map(|_| self.client(&mut random, &mut next_id)).collect();
        let origins = ["10.1.0.1:8001", "10.1.0.2:8002", "10.1.0.3:8003"].iter().zip(self.sealed.origins);
        let scheme = self.sealed.scheme();
        let origins = origins.map(|(at, tls)| Origin::new(net, address(at), tls, scheme)).collect();
        Outside { clients, origins, memory: Memory::default(), random, tally: Tally::default() }
    }

    fn client(&self, random: &mut Random, next_id: &mut u64) -> Client {
        let requests = 1 + random.below(8);
        let mut script: Vec<Ask> = (0..requests).map(|_| self.ask(random, next_id)).collect();
        if let Some(last) = script.last_mut() {
            last.last = random.chance(300);
            last.upgrade = last.method == "GET" && !last.old && random.chance(400);
        }
        // A request of HTTP/1.0 ends its connection.
        if let Some(old) = script.iter().position(|ask| ask.old) {
            script.truncate(old + 1);
        }
        let manner = Manner {
            pipelines: random.chance(300),
            sip: if random.chance(300) { 1 + random.below(3000) as usize } else { 100_000 },
            half_closes: random.chance(150),
            leaves_at: (!self.calm && random.chance(150)).then(|| random.below(60_000) as usize),
            tls: self.sealed.clients,
        };
        Client::new(address("10.0.0.1:80"), 1_000_000 + random.below(300_000), script, manner)
    }

    fn ask(&self, random: &mut Random, next_id: &mut u64) -> Ask {
        let id = *next_id;
        *next_id += 1;
        // A connection may close unannounced under a request that cannot be sent twice: half of the calm runs have
        // only requests that can, the other half only origins that announce.
        let repeatable = self.calm && self.seed.is_multiple_of(2);
        let methods = if repeatable { 4 } else { 6 };
        let method = ["GET", "GET", "GET", "HEAD", "POST", "PUT"][random.below(methods) as usize];
        let carries = matches!(method, "POST" | "PUT");
        let old = random.chance(80);
        let body = if carries { size(random) } else { 0 };
        let deed = if self.calm {
            // Without a body nothing hinders a second try.
            let revivable = matches!(method, "GET" | "HEAD") && random.chance(100);
            if revivable {
                Deed::DieFirst
            } else {
                SOUND[random.below(SOUND.len() as u64 - u64::from(!repeatable)) as usize]
            }
        } else {
            ANY[random.below(ANY.len() as u64) as usize]
        };
        Ask {
            id,
            method,
            body,
            chunked: carries && !old && random.chance(500),
            old,
            last: false,
            expect: body > 0 && !old && random.chance(200),
            upgrade: false,
            answer: size(random),
            deed,
        }
    }
}

/// What a worker needs to serve here.
pub(crate) struct Stage {
    pub(crate) seed: u64,
    pub(crate) clients_max: u32,
    /// Of its pool.
    pub(crate) pages: u32,
}

/// What it did.
pub(crate) struct Served {
    turns: u64,
    accept_pauses: u64,
}

impl Stage {
    /// Serves until `drains` says so, then until nothing is left; checks what must hold after each turn and at the end.
    pub(crate) fn serve(&self, net: &SimNet, config: &str, mut drains: impl FnMut() -> bool) -> Served {
        let limits = Limits { backends: 8, services: 8, listeners: 8, session_buckets: 8, workers: 4 };
        let segment = Segment::create(limits).expect("a segment");
        let config =
            ounce_conf::load_text("scene", config, &Options::default()).expect("the scene's configuration");
        let plan = compile(&config.config, &mut Rows(&segment)).expect("the scene's plan");
        let pool = Pool::new(self.pages).expect("a pool");
        let listening = net.bind(&address("10.0.0.1:80"));
        let owner = segment.fleet().begin(0, 1);
        let mut worker = Worker::new(WorkerSetup {
            house: None,
            ring: net.ring(pool.clone()),
            plan: &plan,
            segment: &segment,
            owner,
            sockets: vec![ListeningSocket { listener: 0, fd: listening.0 }],
            tls: Tls::build(&plan, &[], None, BTreeMap::new()).expect("what TLS needs"),
            helpers: crew::Manner::Inline,
            seed: self.seed,
            id: 1,
            utc_offset: 0,
            clients_max: self.clients_max,
            log: Box::new(|batch: &[u8]| {
                if std::env::var_os("OUNCE_SEED").is_some() {
                    eprint!("{}", String::from_utf8_lossy(batch));
                }
                true
            }),
        });
        worker.start();
        let mut turns = 0;
        while !worker.is_done() {
            turns += 1;
            assert!(turns < TURNS_MAX, "the run does not end");
            worker.turn(|_, completion| panic!("a foreign completion: {completion:?}")).expect("the ring");
            worker.check_invariants();
            // The warden's part: what is dead comes back.
            for backend in 0..3 {
                segment.backends().revive(BackendId(backend), net.now().mono_us / 1000);
            }
            if drains() {
                worker.order(Order::Drain);
            }
        }
        drop(worker);
        check_books(&segment, owner);
        net.assert_all_returned(&[listening]);
        assert_eq!(pool.free(), pool.capacity(), "pages were lost");
        Served { turns, accept_pauses: segment.counters().page(owner.worker).get(Counter::AcceptPauses) }
    }
}

impl Outside {
    fn act(&mut self, net: &SimNet) {
        for client in &mut self.clients {
            client.act(net, &mut self.random, &mut self.tally);
        }
        for origin in &mut self.origins {
            origin.act(net, &mut self.random, &mut self.memory);
        }
    }
}

/// Sizes that matter: nothing, little, around a page, enough for a splice.
fn size(random: &mut Random) -> usize {
    match random.below(6) {
        0 => 0,
        1 => 1 + random.below(200) as usize,
        2 => 15_000 + random.below(3000) as usize,
        3 => random.below(60_000) as usize,
        4 => 200_000 + random.below(300_000) as usize,
        _ => 1 + random.below(2000) as usize,
    }
}

/// One run in five is drained in the middle.
fn drain_us(seed: u64) -> Option<u64> {
    let mut random = Random::new(seed ^ 0xd4a1);
    random.chance(200).then(|| 1_000_000 + random.below(1_000_000))
}

/// What was counted up was counted down again.
fn check_books(segment: &Segment, owner: Owner) {
    let page = segment.counters().page(owner.worker);
    assert_eq!(page.get(Counter::ConnectionsOpen), 0, "open clients");
    assert_eq!(page.get(Counter::BackendIdle), 0, "parked connections");
    for backend in 0..3 {
        assert_eq!(segment.backends().connections(BackendId(backend)), 0, "connections to backend {backend}");
    }
}

pub(crate) fn address(text: &str) -> Address {
    Address::Inet(text.parse().expect("an address"))
}
