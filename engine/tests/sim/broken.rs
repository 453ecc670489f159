//! Connections that break while nobody reads from them, or while only a splice does.
//!
//! A kernel tells of a reset once, to whichever call comes first. In these scenes that is a send; what the worker makes of
//! it, and of what comes behind it, is seen by the other side.

use crate::message::pattern;
use crate::scene::{Stage, address};
use ounce_sys::sim::{Far, FarRead, Faults, SimNet};
use std::cell::Cell;
use std::rc::Rc;

const CONFIG: &str = "
LogFacility -
LogLevel 5
TimeOut 20
ListenHTTP
    Address 10.0.0.1
    Port 80
    Client 30
    xHTTP 1
    Service
        BackEnd
            Address 10.1.0.1
            Port 8001
        End
    End
End
";

/// Room of each direction of a connection.
const WINDOW: usize = 20_000;

/// How soon the other side of a broken connection must hear of it; deadlines would come much later.
const SOON_US: u64 = 2_000_000;

/// One client and one origin, each a connection.
struct Pair {
    client: Far,
    origin: Option<Far>,
    /// What the origin was told of its request so far.
    asked: Vec<u8>,
    /// What the client got.
    got: Vec<u8>,
    /// When what the scene is about happened.
    at_us: u64,
}

impl Pair {
    /// The origin takes what has come, up to the end of the request's head. True once it has that.
    fn hear(&mut self, net: &SimNet) -> bool {
        let Some(origin) = self.origin else {
            self.origin = net.accept(&address("10.1.0.1:8001"));
            return false;
        };
        while !self.asked.windows(4).any(|four| four == b"\r\n\r\n") {
            match net.read(origin, 1) {
                FarRead::Bytes(bytes) => self.asked.extend(bytes),
                FarRead::Nothing => return false,
                end => panic!("{end:?}"),
            }
        }
        true
    }

    fn origin(&self) -> Far {
        self.origin.expect("a connection")
    }

    /// The client takes what has come, up to so many bytes in all.
    fn take(&mut self, net: &SimNet, most: usize) {
        while self.got.len() < most {
            match net.read(self.client, most - self.got.len()) {
                FarRead::Bytes(bytes) => self.got.extend(bytes),
                _ => return,
            }
        }
    }

    /// The origin sends what there is room for of the rest of `bytes`, of which `done` are out. True a moment after all of it
    /// is out.
    fn says(&mut self, net: &SimNet, bytes: &[u8], done: &mut usize) -> bool {
        if *done < bytes.len() {
            write(net, self.origin(), bytes, done);
            self.at_us = net.now().mono_us + 100_000;
            return false;
        }
        net.now().mono_us >= self.at_us
    }

    /// How the origin's connection ended, with what came before dropped.
    fn end(&self, net: &SimNet) -> Option<FarRead> {
        loop {
            match net.read(self.origin(), 100_000) {
                FarRead::Bytes(_) => {}
                FarRead::Nothing => return None,
                end => return Some(end),
            }
        }
    }
}

/// An answer with a chunk of 60,000 bytes, whose end is still to come.
fn half_an_answer() -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n".to_vec();
    answer.extend(pattern(2, 60_000));
    answer
}

/// Writes what there is room for of the rest of `bytes`, of which `done` are out.
fn write(net: &SimNet, far: Far, bytes: &[u8], done: &mut usize) {
    if let Ok(count) = net.write(far, &bytes[*done..]) {
        *done += count;
    }
}

/// Plays a scene: `act` is called whenever time goes on and says when it is over.
fn play(faults: Faults, mut act: impl FnMut(&SimNet, &mut Pair) -> bool + 'static) {
    let net = SimNet::with_faults(1, Faults { window: WINDOW, ..faults });
    net.listen(&address("10.1.0.1:8001"));
    let over = Rc::new(Cell::new(false));
    let told = Rc::clone(&over);
    let mut pair = None;
    net.set_outside(move |net| {
        if told.get() {
            return;
        }
        let pair = pair.get_or_insert_with(|| Pair {
            client: net.connect(&address("10.0.0.1:80")).expect("a listener"),
            origin: None,
            asked: Vec::new(),
            got: Vec::new(),
            at_us: 0,
        });
        if act(net, pair) {
            net.close(pair.client);
            pair.origin.into_iter().for_each(|origin| net.close(origin));
            told.set(true);
        }
        assert!(net.now().mono_us < 60_000_000, "it never ends");
        net.wake_at(net.now().mono_us + 10_000);
    });
    // So many pages that they are never scarce.
    Stage { seed: 1, clients_max: 64, pages: 4096 }.serve(&net, CONFIG, || over.get());
}

/// A send to the source of a splice is told of a reset, and the splice behind it of an end: through a tunnel, where an end
/// is the peer's own, it must not be passed on as one.
#[test]
fn a_reset_told_to_a_send_is_no_end_of_a_splice() {
    let offer = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    // So much that the kernel moves the rest of it; the other way so little that it is copied, and more than has room.
    let (up, down) = (pattern(1, 150_000), pattern(2, 45_000));
    let (mut asked, mut sent, mut answered, mut returned, mut heard) = (0, 0, false, 0, 0);
    play(Faults::none(), move |net, pair| {
        write(net, pair.client, offer, &mut asked);
        if !pair.hear(net) {
            return false;
        }
        if !answered {
            let accepted =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            net.write(pair.origin(), accepted).expect("room");
            answered = true;
        }
        if pair.got.is_empty() {
            pair.take(net, 1);
            return false;
        }
        write(net, pair.client, &up, &mut sent);
        if heard < up.len() {
            if let FarRead::Bytes(bytes) = net.read(pair.origin(), up.len()) {
                heard += bytes.len();
            }
            return false;
        }
        // Of this the client takes nothing.
        if !pair.says(net, &down, &mut returned) {
            return false;
        }
        net.reset(pair.client);
        match pair.end(net) {
            Some(end) => {
                assert_eq!(end, FarRead::Reset, "a broken tunnel looks as if its client had ended it");
            }
            None => assert!(net.now().mono_us < pair.at_us + SOON_US, "nobody told the origin"),
        }
        pair.end(net).is_some()
    });
}

/// A backend that answers before it has the whole request, and then breaks off, has answered: that the rest of the request
/// cannot be sent any more is no reason to cut off an answer that the kernel is moving.
#[test]
fn a_send_that_fails_does_not_cut_what_is_spliced_from_its_socket() {
    const LENGTH: usize = 150_000;
    /// Beyond what the client takes at first, this fits between it and the origin.
    const FIRST: usize = 110_000;
    let mut request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n".to_vec();
    request.extend(pattern(1, 0x40000));
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").into_bytes();
    answer.extend(pattern(2, LENGTH));
    let (mut sent, mut returned, mut reset) = (0, 0, false);
    play(Faults::none(), move |net, pair| {
        write(net, pair.client, &request, &mut sent);
        if !pair.hear(net) {
            return false;
        }
        pair.take(net, FIRST);
        if !pair.says(net, &answer, &mut returned) {
            return false;
        }
        if !reset {
            // Over what it has not read, this is a reset.
            net.close(pair.origin());
            pair.at_us = net.now().mono_us + 100_000;
            reset = true;
            return false;
        }
        pair.take(net, usize::MAX);
        let head = pair.got.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        let body = &pair.got[head..];
        assert!(net.now().mono_us < pair.at_us + SOON_US, "{} bytes of {LENGTH} came", body.len());
        assert!(body == &pattern(2, LENGTH)[..body.len()]);
        body.len() == LENGTH
    });
}

/// The same the other way round: a backend that refuses a large request and breaks off has answered, although the splice to
/// it is the first to be told.
#[test]
fn a_splice_that_fails_does_not_drop_an_answer() {
    let mut request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n".to_vec();
    request.extend(pattern(1, 900_000));
    let (mut sent, mut stage) = (0, 0);
    // The receive is younger than the poll for room, and so what it brings is told behind that.
    play(Faults { shot_ends: 1000, ..Faults::none() }, move |net, pair| {
        write(net, pair.client, &request, &mut sent);
        if !pair.hear(net) {
            return false;
        }
        if pair.at_us == 0 {
            pair.at_us = net.now().mono_us + 100_000;
        }
        pair.take(net, usize::MAX);
        if net.now().mono_us >= pair.at_us && stage < 2 {
            stage += 1;
            pair.at_us += 100_000;
            if stage == 1 {
                net.write(pair.origin(), b"HTTP/1.1 103 Early Hints\r\n\r\n").expect("room");
            } else {
                let answer = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno\n";
                net.write(pair.origin(), answer).expect("room");
                net.close(pair.origin());
            }
        }
        assert!(pair.at_us == 0 || net.now().mono_us < pair.at_us + SOON_US, "no answer came");
        let got = String::from_utf8_lossy(&pair.got);
        assert!(!got.contains(" 503 "), "{got}");
        got.contains(" 413 ") && got.ends_with("no\n")
    });
}

/// Nothing is read from a client that has sent much ahead. That it is gone is told by the send in flight alone.
#[test]
fn a_send_tells_of_a_client_that_nobody_reads_from() {
    let mut ahead = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    ahead.extend(b"GET /ahead HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3000));
    let answer = half_an_answer();
    let (mut sent, mut returned, mut reset) = (0, 0, false);
    play(Faults::none(), move |net, pair| {
        write(net, pair.client, &ahead, &mut sent);
        if !pair.hear(net) {
            return false;
        }
        if !pair.says(net, &answer, &mut returned) {
            return false;
        }
        if !std::mem::replace(&mut reset, true) {
            net.reset(pair.client);
        }
        assert!(net.now().mono_us < pair.at_us + SOON_US, "nobody told the origin");
        pair.end(net) == Some(FarRead::Reset)
    });
}

/// A send is told of a reset while bytes are still received, and with the last of these the client is paused: now nothing
/// will tell of the reset again, so the next thing that is sent there must.
#[test]
fn a_broken_client_that_is_paused_is_known_by_the_next_send() {
    // With which bytes it is paused depends on buffers along the way: one of these is it.
    for before in (100_000..220_000).step_by(8_000) {
        let faults = Faults { shot_ends: 1000, ..Faults::none() };
        let mut request =
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n80000\r\n".to_vec();
        request.extend(pattern(1, before));
        let answer = half_an_answer();
        let (mut sent, mut returned, mut reset, mut more) = (0, 0, false, false);
        play(faults, move |net, pair| {
            write(net, pair.client, &request, &mut sent);
            if !pair.hear(net) {
                return false;
            }
            if !pair.says(net, &answer, &mut returned) {
                return false;
            }
            if !std::mem::replace(&mut reset, true) {
                // Together they arrive, and the send in flight is older than the receive.
                let _ = net.write(pair.client, &pattern(3, 16_000));
                net.reset(pair.client);
            }
            if net.now().mono_us > pair.at_us + 500_000 && !std::mem::replace(&mut more, true) {
                let _ = net.write(pair.origin(), b"\r\n1000\r\n");
                let _ = net.write(pair.origin(), &pattern(4, 4096));
            }
            assert!(net.now().mono_us < pair.at_us + SOON_US, "nobody told the origin ({before})");
            net.is_broken(pair.origin())
        });
    }
}
