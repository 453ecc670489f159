//! One simulated run: a worker, its clients and its origins.

use crate::client::{Client, Manner};
use crate::message::{ANY, Ask, Deed, SOUND};
use crate::origin::{Memory, Origin};
use ounce_conf::Options;
use ounce_core::Plan;
use ounce_core::route::compile::{Ids, compile};
use ounce_engine::tls::Tls;
use ounce_engine::{ListeningSocket, Order, Worker, WorkerSetup};
use ounce_mem::{BackendId, Counter, Limits, Owner, Pool, Segment};
use ounce_sys::sim::{Faults, Random, SimNet};
use ounce_sys::socket::Address;
use std::cell::RefCell;
use std::rc::Rc;

/// Turns after which a run that has not ended is stuck.
const TURNS_MAX: u64 = 400_000;

/// Pages of the worker's pool: few enough that they run out now and then.
const PAGES: u32 = 48;

const CONFIG: &str = "
LogFacility -
LogLevel 5
TimeOut 20
ConnTO 3
ListenHTTP
    Address 10.0.0.1
    Port 80
    Client 30
    xHTTP 1
    Service
        Balancer iwrr
        BackEnd
            Address 10.1.0.1
            Port 8001
        End
        BackEnd
            Address 10.1.0.2
            Port 8002
        End
        BackEnd
            Address 10.1.0.3
            Port 8003
        End
    End
End
";

/// What came of a run.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Responses of an origin that arrived whole.
    pub(crate) answered: u64,
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
        Scene { seed, drain_us: drain_us(seed), faults: None, calm: false, clients_max: 64 }
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
        Scene { seed, drain_us: drain_us(seed), faults: Some(faults), calm: true, clients_max: 64 }
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

    pub(crate) fn play(self) -> Tally {
        let net = match self.faults {
            Some(faults) => SimNet::with_faults(self.seed, faults),
            None => SimNet::new(self.seed),
        };
        let limits = Limits { backends: 8, services: 8, listeners: 8, session_buckets: 8, workers: 4 };
        let segment = Segment::create(limits).expect("a segment");
        let config =
            ounce_conf::load_text("scene", CONFIG, &Options::default()).expect("the scene's configuration");
        let plan = compile(&config.config, &mut Rows(&segment)).expect("the scene's plan");
        let pool = Pool::new(PAGES).expect("a pool");
        let outside = Rc::new(RefCell::new(self.outside(&net)));
        let actors = Rc::clone(&outside);
        net.set_outside(move |net| actors.borrow_mut().act(net));
        let tally = self.serve(&net, &segment, &plan, &pool, &outside);
        assert_eq!(pool.free(), pool.capacity(), "pages were lost");
        tally
    }

    /// Serves until every client has left, then drains.
    fn serve(
        &self,
        net: &SimNet,
        segment: &Segment,
        plan: &Plan,
        pool: &Pool,
        outside: &Rc<RefCell<Outside>>,
    ) -> Tally {
        let listening = net.bind(&address("10.0.0.1:80"));
        let owner = segment.fleet().begin(0, 1);
        let mut worker = Worker::new(WorkerSetup {
            house: None,
            ring: net.ring(pool.clone()),
            plan,
            segment,
            owner,
            sockets: vec![ListeningSocket { listener: 0, fd: listening.0 }],
            tls: Tls::default(),
            cpus: Vec::new(),
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
            let drained = self.drain_us.is_some_and(|at| net.now().mono_us >= at);
            outside.borrow_mut().tally.drained |= drained;
            if drained || outside.borrow().clients.iter().all(|client| client.over) {
                worker.order(Order::Drain);
            }
        }
        drop(worker);
        check_books(segment, owner);
        net.assert_all_returned(&[listening]);
        let mut tally = outside.borrow().tally;
        tally.turns = turns;
        tally.accept_pauses = segment.counters().page(owner.worker).get(Counter::AcceptPauses);
        tally.fingerprint = net.fingerprint();
        assert!(self.calm || outside.borrow().memory.bodies < u64::MAX);
        tally
    }

    fn outside(&self, net: &SimNet) -> Outside {
        let mut random = Random::new(self.seed ^ 0x5eed);
        let mut next_id = 1;
        let clients = 1 + random.below(12);
        let clients = (0..clients).map(|_| self.client(&mut random, &mut next_id)).collect();
        let origins = ["10.1.0.1:8001", "10.1.0.2:8002", "10.1.0.3:8003"];
        let origins = origins.iter().map(|at| Origin::new(net, address(at))).collect();
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

fn address(text: &str) -> Address {
    Address::Inet(text.parse().expect("an address"))
}
