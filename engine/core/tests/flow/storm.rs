//! Anything in any order: invariants hold after each event, and in the end nothing is left.

use crate::world::{SECOND, World, config};
use ounce_core::{Event, Fault, SpliceEnd};
use ounce_mem::{Counter, Key};

const STORMS: u64 = 300;
const EVENTS: u64 = 300;

/// What clients say, whole and in parts that fit together or not.
const ASKS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "hello",
    "\r",
    "\n",
    "GET / HT",
    "TP/1.1\r\nHost: h\r\n\r\n",
];

/// What backends say.
const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200 OK\r\n\r\nhello",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi",
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Le",
    "ngth: 3\r\n\r\nabc",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "nonsense\r\n\r\n",
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn any_event(w: &mut World, dice: &mut Dice, splices: &mut Vec<(Key, Key, u64)>) {
    splices.extend(w.splices.drain(..));
    let open = w.sockets();
    splices.retain(|(from, to, _)| open.contains(from) && open.contains(to));
    if open.is_empty() || (open.len() < 12 && dice.below(8) == 0) {
        w.client();
        return;
    }
    let key = open[dice.below(open.len())];
    if w.is_dialling(key) {
        return match dice.below(6) {
            0 => w.fail(key, Fault::Refused),
            1 => w.fail(key, Fault::Resource),
            _ => w.stands(key),
        };
    }
    if let Some(at) = splices.iter().position(|&(from, ..)| from == key) {
        return move_some(w, dice, splices, at);
    }
    let is_backend = w.wire(key).backend.is_some();
    match dice.below(20) {
        0 => w.stuck(key, true),
        1..4 => w.stuck(key, false),
        4 => w.takes(key, 100),
        5 => w.fail(key, Fault::Reset),
        6 if w.wire(key).receiving => w.eof(key),
        7 => w.wait(dice.below(12) as u64 * SECOND),
        8 | 9 if w.wire(key).receiving => w.say(key, vec![b'x'; 1 + dice.below(40_000)]),
        _ if w.wire(key).receiving => {
            let lines = if is_backend { ANSWERS } else { ASKS };
            w.say(key, lines[dice.below(lines.len())]);
        }
        _ => {}
    }
}

fn move_some(w: &mut World, dice: &mut Dice, splices: &mut Vec<(Key, Key, u64)>, at: usize) {
    let (from, _, left) = splices[at];
    let bytes = left.min(1 + dice.below(100_000) as u64);
    let sink_full = dice.below(3) == 0;
    w.on(from, Event::Spliced { bytes, sink_full });
    splices[at].2 -= bytes;
    let end = match dice.below(8) {
        _ if left == bytes => SpliceEnd::Complete,
        0 => SpliceEnd::SourceEnded,
        1 => SpliceEnd::SourceFailed(Fault::Reset),
        2 => SpliceEnd::SinkFailed(Fault::Reset),
        _ => return,
    };
    splices.remove(at);
    w.on(from, Event::SpliceEnded(end));
}

/// Whatever peers do, no invariant breaks, nothing panics, and the books are even when all have gone.
#[test]
fn any_events_in_any_order() {
    for storm in 1..=STORMS {
        let mut dice = Dice(storm.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut w = World::new(&config("xHTTP 3", "Session\nType IP\nTTL 60\nEnd", 2));
        let mut splices = Vec::new();
        for _ in 0..EVENTS {
            any_event(&mut w, &mut dice, &mut splices);
            for backend in 0..2 {
                w.segment.backends().revive(w.row(backend), w.now_us / 1000);
            }
        }
        w.drain();
        while let Some(&key) = w.sockets().first() {
            w.fail(key, Fault::Reset);
        }
        w.wait(100 * SECOND);
        assert!(w.core.is_empty(), "storm {storm}: something is left");
        assert_eq!(w.pool.free(), w.pool.capacity(), "storm {storm}: pages were lost");
        assert_eq!(w.counter(Counter::BackendIdle), 0, "storm {storm}");
        assert_eq!(w.counter(Counter::ConnectionsOpen), 0, "storm {storm}");
        assert_eq!((w.open(0), w.open(1)), (0, 0), "storm {storm}: open connections");
    }
}
