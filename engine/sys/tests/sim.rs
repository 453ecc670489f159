//! The simulation itself: an echo worker runs on it under many seeds with every fault, runs repeat bit for bit, and
//! whoever breaks a rule of the ring is stopped.

use ounce_mem::{Buf, Pool};
use ounce_sys::ring::{Completion, Fd, Outcome, Ring, Token};
use ounce_sys::sim::{Far, FarRead, Faults, SimNet, SimRing};
use ounce_sys::socket::Address;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

const ACCEPT: Token = Token { op: 0, generation: 1, slot: 0 };
const RECEIVE: u8 = 1;
const SEND: u8 = 2;

fn token(op: u8, slot: usize) -> Token {
    Token { op, generation: 1, slot: slot as u32 }
}

fn address() -> Address {
    Address::Inet("192.0.2.1:80".parse().unwrap())
}

/// Chunks of a connection that an echo holds before it stops receiving.
const CHUNKS_MAX: usize = 3;

/// One connection of the echo worker.
#[derive(Default)]
struct Conn {
    fd: Option<Fd>,
    chain: VecDeque<Buf>,
    receiving: bool,
    stopping: bool,
    sending: bool,
    ended: bool,
    broken: bool,
}

/// A worker in small: back-pressure by cancel, half-close, and close only when nothing is in flight.
struct Echo {
    ring: SimRing,
    conns: Vec<Conn>,
    accepting: bool,
}

impl Echo {
    fn run(mut self, listener: Fd, clients: &Rc<RefCell<Clients>>) {
        let mut told = Vec::new();
        for _ in 0..2_000_000 {
            let over = clients.borrow().all_over();
            if over && self.conns.iter().all(|conn| conn.fd.is_none()) {
                self.ring.cancel(ACCEPT);
                if !self.accepting {
                    return;
                }
            } else if !self.accepting {
                self.ring.accept(listener, ACCEPT);
                self.accepting = true;
            }
            self.ring.wait(Some(Duration::from_millis(5)), &mut told).unwrap();
            for completion in told.drain(..) {
                self.on(completion);
            }
            for slot in 0..self.conns.len() {
                self.go_on(slot);
            }
        }
        panic!("it never ends");
    }

    fn on(&mut self, completion: Completion) {
        if completion.token == ACCEPT {
            self.accepting = completion.more;
            if let Outcome::Accepted(fd) = completion.outcome {
                self.conns.push(Conn { fd: Some(fd), ..Conn::default() });
            }
            return;
        }
        let conn = &mut self.conns[completion.token.slot as usize];
        if completion.token.op == RECEIVE {
            conn.receiving = completion.more;
            conn.stopping &= completion.more;
        } else {
            conn.sending = false;
        }
        match completion.outcome {
            Outcome::Received(buf) => conn.chain.push_back(buf),
            Outcome::Sent(mut buf, count) => {
                buf.advance(count);
                if !buf.is_empty() {
                    conn.chain.push_front(buf);
                }
            }
            Outcome::Eof => conn.ended = true,
            Outcome::NoBuffers | Outcome::Cancelled(_) => {}
            Outcome::Failed(..) => conn.broken = true,
            outcome => panic!("{outcome:?}"),
        }
    }

    fn go_on(&mut self, slot: usize) {
        let conn = &mut self.conns[slot];
        let Some(fd) = conn.fd else { return };
        let full = conn.chain.len() >= CHUNKS_MAX;
        if conn.broken {
            conn.chain.clear();
        }
        if conn.receiving && (full || conn.broken) && !conn.stopping {
            conn.stopping = true;
            self.ring.cancel(token(RECEIVE, slot));
        }
        if !conn.sending && !conn.chain.is_empty() {
            conn.sending = true;
            if let Some(buf) = conn.chain.pop_front() {
                self.ring.send(fd, buf, token(SEND, slot));
            }
        }
        if conn.broken && conn.sending {
            self.ring.cancel(token(SEND, slot));
        }
        if conn.receiving || conn.sending {
            return;
        }
        if conn.broken || conn.ended {
            self.ring.close(fd, conn.broken);
            conn.fd = None;
        } else if !full {
            conn.receiving = true;
            self.ring.receive(fd, token(RECEIVE, slot));
        }
    }
}

/// A client: writes a number of bytes, wants them back, then the end.
struct Client {
    far: Option<Far>,
    starts_us: u64,
    bytes: usize,
    written: usize,
    have_read: usize,
    shut: bool,
    over: bool,
    whole: bool,
}

struct Clients(Vec<Client>);

impl Clients {
    fn all_over(&self) -> bool {
        self.0.iter().all(|client| client.over)
    }

    fn act(&mut self, net: &SimNet) {
        for client in &mut self.0 {
            client.act(net);
        }
        if !self.all_over() {
            net.wake_at(net.now().mono_us + 700);
        }
    }
}

fn byte(at: usize) -> u8 {
    (at % 253) as u8
}

impl Client {
    fn act(&mut self, net: &SimNet) {
        if self.over || net.now().mono_us < self.starts_us {
            return;
        }
        let far = *self.far.get_or_insert_with(|| net.connect(&address()).unwrap());
        if !self.shut && !self.write(net, far) {
            return self.end(net, far, false);
        }
        self.read(net, far);
    }

    /// False if the connection is broken.
    fn write(&mut self, net: &SimNet, far: Far) -> bool {
        let part = (self.bytes - self.written).min(1 + net.below(30_000) as usize).min(net.room(far));
        let bytes: Vec<u8> = (self.written..self.written + part).map(byte).collect();
        match net.write(far, &bytes) {
            Ok(count) => self.written += count,
            Err(_) => return false,
        }
        if self.written == self.bytes {
            self.shut = true;
            net.shutdown_write(far);
        }
        true
    }

    fn read(&mut self, net: &SimNet, far: Far) {
        match net.read(far, 1 + net.below(50_000) as usize) {
            FarRead::Bytes(bytes) => {
                let expected: Vec<u8> = (self.have_read..self.have_read + bytes.len()).map(byte).collect();
                assert!(bytes == expected, "other bytes after {}", self.have_read);
                self.have_read += bytes.len();
            }
            FarRead::Nothing => {}
            FarRead::End => self.end(net, far, self.have_read == self.bytes),
            FarRead::Reset => self.end(net, far, false),
        }
    }

    fn end(&mut self, net: &SimNet, far: Far, whole: bool) {
        net.close(far);
        self.over = true;
        self.whole = whole;
    }
}

/// Runs the echo under this seed; the fingerprint of the run.
fn run(seed: u64) -> u64 {
    let net = SimNet::new(seed);
    let faults = net.faults();
    let most = if faults.window < 4096 { 5_000 } else { 100_000 };
    let clients: Vec<Client> = (0..1 + net.below(8))
        .map(|_| Client {
            far: None,
            starts_us: net.now().mono_us + net.below(20_000),
            bytes: 1 + net.below(most) as usize,
            written: 0,
            have_read: 0,
            shut: false,
            over: false,
            whole: false,
        })
        .collect();
    let clients = Rc::new(RefCell::new(Clients(clients)));
    let pool = Pool::new(4 + net.below(30) as u32).unwrap();
    let acting = Rc::clone(&clients);
    net.set_outside(move |net| acting.borrow_mut().act(net));
    let listener = net.bind(&address());
    Echo { ring: net.ring(pool.clone()), conns: Vec::new(), accepting: false }.run(listener, &clients);
    net.assert_all_returned(&[listener]);
    assert_eq!(pool.free(), pool.capacity(), "seed {seed}: pages were lost");
    if faults.reset == 0 {
        assert!(clients.borrow().0.iter().all(|client| client.whole), "seed {seed}: bytes were lost");
    }
    net.fingerprint()
}

/// Under every fault what comes back is what was sent, in order; without resets it comes back whole; and nothing is
/// left over.
#[test]
fn echo_survives_all_faults() {
    for seed in 0..300 {
        run(seed);
    }
}

/// The same seed is the same run, and other seeds are others.
#[test]
fn seeds_repeat() {
    let runs: Vec<u64> = (1000..1020).map(run).collect();
    assert_eq!(runs, (1000..1020).map(run).collect::<Vec<_>>());
    let mut different = runs.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), runs.len());
}

/// About half of the faults are off under each seed, and each is on under some.
#[test]
fn seeds_draw_their_faults() {
    let all: Vec<Faults> = (0..200).map(|seed| SimNet::new(seed).faults()).collect();
    let with = |fault: fn(&Faults) -> u16| all.iter().filter(|faults| fault(faults) > 0).count();
    let faults: [fn(&Faults) -> u16; 7] = [
        |f| f.short_receive,
        |f| f.late,
        |f| f.cancel_race,
        |f| f.no_buffers,
        |f| f.accept_fails,
        |f| f.reset,
        |f| f.wall_jump,
    ];
    for fault in faults {
        assert!((10..150).contains(&with(fault)), "{}", with(fault));
    }
}

/// A ring with one connection, and the client's end of it.
fn connected() -> (SimNet, SimRing, Fd, Far) {
    let net = SimNet::with_faults(7, Faults::none());
    let mut ring = net.ring(Pool::new(8).unwrap());
    let listener = net.bind(&address());
    ring.accept(listener, ACCEPT);
    let far = net.connect(&address()).unwrap();
    let mut told = Vec::new();
    ring.wait(None, &mut told).unwrap();
    let Some(Outcome::Accepted(fd)) = told.pop().map(|completion| completion.outcome) else { panic!() };
    (net, ring, fd, far)
}

#[test]
#[should_panic(expected = "seed 7: two operations Receive on descriptor 4")]
fn two_receives_are_stopped() {
    let (_net, mut ring, fd, _) = connected();
    ring.receive(fd, token(RECEIVE, 1));
    ring.receive(fd, token(RECEIVE, 2));
}

#[test]
#[should_panic(expected = "seed 7: close of descriptor 4 with")]
fn close_under_an_operation_is_stopped() {
    let (_net, mut ring, fd, _) = connected();
    ring.receive(fd, token(RECEIVE, 1));
    ring.close(fd, false);
}

/// An operation that has ended unbeknown to its owner is still in flight.
#[test]
#[should_panic(expected = "seed 7: close of descriptor 4 with")]
fn close_before_the_cancel_is_told_is_stopped() {
    let (_net, mut ring, fd, _) = connected();
    ring.receive(fd, token(RECEIVE, 1));
    ring.cancel(token(RECEIVE, 1));
    ring.close(fd, false);
}

#[test]
#[should_panic(expected = "seed 7: use of descriptor 4 that is not open")]
fn use_after_close_is_stopped() {
    let (_net, mut ring, fd, _) = connected();
    ring.close(fd, false);
    ring.receive(fd, token(RECEIVE, 1));
}

#[test]
#[should_panic(expected = "is in flight already")]
fn a_token_twice_is_stopped() {
    let (net, mut ring, fd, _) = connected();
    let (other, _) = net.pair();
    ring.receive(fd, token(RECEIVE, 1));
    ring.receive(other, token(RECEIVE, 1));
}

#[test]
#[should_panic(expected = "seed 7: shutdown of descriptor 4 with Send in flight")]
fn shutdown_under_a_send_is_stopped() {
    let (_net, mut ring, fd, _) = connected();
    ring.send(fd, Buf::heap_from(b"x"), token(SEND, 1));
    ring.shutdown_write(fd);
}

#[test]
#[should_panic(expected = "seed 7: descriptors were leaked: [(Fd(4), \"Stream(2)\")]")]
fn a_leak_is_found() {
    let (net, ring, _, _) = connected();
    drop(ring);
    net.assert_all_returned(&[Fd(3)]);
}

#[test]
#[should_panic(expected = "seed 7: the worker waits for ever")]
fn a_wait_for_nothing_is_found() {
    let (_net, mut ring, _, _) = connected();
    ring.wait(None, &mut Vec::new()).unwrap();
}

/// An address that answers neither way holds a connect until it is cancelled; a jump of time is no end to it.
#[test]
fn blackholes_swallow() {
    let (net, mut ring, listener, _) = connected();
    let hole = Address::Inet("192.0.2.9:9".parse().unwrap());
    net.blackhole(&hole);
    let fd = ring.socket(&hole).unwrap();
    let connect = token(9, 0);
    ring.connect(fd, &hole, connect);
    let mut told = Vec::new();
    net.advance(60_000_000);
    ring.wait(Some(Duration::from_secs(600)), &mut told).unwrap();
    assert!(told.is_empty());
    assert!(ring.now().mono_us > 600_000_000);
    ring.cancel(connect);
    ring.wait(None, &mut told).unwrap();
    assert!(matches!(told[0].outcome, Outcome::Cancelled(None)));
    ring.close(fd, false);
    ring.close(listener, true);
    assert_eq!(net.census().descriptors.len(), 1);
}
