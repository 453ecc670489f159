//! Clients: they send their script in pieces and check every byte that comes back.

use crate::line::Line;
use crate::message::{Ask, Deed, Frame, Head, Reader, pattern};
use crate::scene::Tally;
use ounce_sys::errno::Errno;
use ounce_sys::sim::{FarRead, Random, SimNet};
use ounce_sys::socket::Address;
use std::collections::VecDeque;

/// What a reset is called where it is told.
const ECONNRESET: Errno = Errno(104);

/// How a client behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Sends all requests at once.
    pub(crate) pipelines: bool,
    /// Reads at most so many bytes at a time.
    pub(crate) sip: usize,
    /// Says that it has sent everything before it has everything.
    pub(crate) half_closes: bool,
    /// Goes away after so many bytes were received.
    pub(crate) leaves_at: Option<usize>,
    /// Speaks TLS, and whether that is 1.3.
    pub(crate) tls: Option<bool>,
}

/// One client connection and its script.
pub(crate) struct Client {
    to: Address,
    line: Option<Line>,
    start_us: u64,
    script: VecDeque<Ask>,
    waiting: VecDeque<Ask>,
    output: Vec<u8>,
    input: Vec<u8>,
    /// The response that is being read.
    reading: Option<(Head, Reader)>,
    received: usize,
    manner: Manner,
    shut: bool,
    /// A body that waits for its invitation.
    held: Option<Vec<u8>>,
    /// The connection is a tunnel now.
    tunnel: bool,
    /// The connection ended in a reset.
    reset: bool,
    pub(crate) over: bool,
}

impl Client {
    pub(crate) fn new(to: Address, start_us: u64, script: Vec<Ask>, manner: Manner) -> Client {
        Client {
            to,
            line: None,
            start_us,
            script: script.into(),
            waiting: VecDeque::new(),
            output: Vec::new(),
            input: Vec::new(),
            reading: None,
            received: 0,
            manner,
            shut: false,
            held: None,
            tunnel: false,
            reset: false,
            over: false,
        }
    }

    pub(crate) fn act(&mut self, net: &SimNet, random: &mut Random, tally: &mut Tally) {
        let now = net.now().mono_us;
        if self.over {
            // What it said last may not be out yet.
            self.line = self.line.take().and_then(|line| line.closed(net));
            return;
        }
        if now < self.start_us {
            return net.wake_at(self.start_us);
        }
        let mut line = match self.line.take() {
            Some(line) => line,
            None => match (net.connect(&self.to), self.manner.tls) {
                (Ok(far), None) => Line::plain(far),
                (Ok(far), Some(newest)) => Line::client(far, newest),
                (Err(_), _) if tally.drained => {
                    self.over = true;
                    return;
                }
                (Err(errno), _) => panic!("the listener refused a connection: {errno}"),
            },
        };
        self.ask(random);
        self.send(net, &mut line, random);
        let end = self.listen(net, &mut line, random, tally);
        let left = self.manner.leaves_at.is_some_and(|at| self.received >= at);
        let done = self.script.is_empty() && self.waiting.is_empty() && self.output.is_empty();
        if !(left || done || end) {
            self.line = Some(line);
            return;
        }
        self.over = true;
        if end {
            // Whatever was not answered by now will not be.
            tally.unanswered += (self.waiting.len() + self.script.len()) as u64;
            let idempotent = self.waiting.iter().filter(|ask| ask.idempotent()).count();
            tally.unanswered_idempotent += idempotent as u64;
        }
        if left {
            line.vanish(net);
        } else {
            self.line = line.closed(net);
        }
    }

    fn ask(&mut self, random: &mut Random) {
        while !self.script.is_empty()
            && self.held.is_none()
            && (self.manner.pipelines || (self.waiting.is_empty() && self.output.is_empty()))
        {
            let Some(ask) = self.script.pop_front() else { return };
            let (head, body) = ask.wire(|most| 1 + random.below(most as u64) as usize);
            self.output.extend(head);
            if ask.expect {
                self.held = Some(body);
            } else {
                self.output.extend(body);
            }
            self.waiting.push_back(ask);
        }
    }

    fn send(&mut self, net: &SimNet, line: &mut Line, random: &mut Random) {
        while !self.output.is_empty() {
            let piece = (1 + random.below(30_000) as usize).min(self.output.len());
            match line.write(net, &self.output[..piece]) {
                Ok(0) => return,
                Ok(bytes) => {
                    self.output.drain(..bytes);
                    // Sometimes the rest waits for another time.
                    if random.chance(200) {
                        net.wake_at(net.now().mono_us + 100 + random.below(20_000));
                        return;
                    }
                }
                Err(errno) => {
                    // Of a reset the kernel tells once.
                    self.reset |= errno == ECONNRESET;
                    // The proxy has closed: what it said last is still to be read.
                    self.output.clear();
                    self.script.clear();
                }
            }
        }
        // The other end of a tunnel learns in this way that this was all.
        let says_more = self.held.is_some() || self.waiting.back().is_some_and(|ask| ask.upgrade);
        let ends = self.manner.half_closes && self.script.is_empty() && !says_more;
        if (ends || self.tunnel) && !self.shut {
            self.shut = true;
            line.shutdown(net);
        }
    }

    /// Reads and checks; true if nothing more will come.
    fn listen(&mut self, net: &SimNet, line: &mut Line, random: &mut Random, tally: &mut Tally) -> bool {
        let mut ended = false;
        for _ in 0..4 {
            match line.read(net, self.manner.sip) {
                FarRead::Bytes(bytes) => {
                    self.received += bytes.len();
                    self.input.extend(bytes);
                }
                FarRead::Nothing => break,
                FarRead::End => {
                    // A client that has seen an answer sees the end as one, or a reset (RFC 8446 6.1).
                    let told = line.ended_clean() || self.reset || self.received == 0;
                    assert!(told, "the end of a connection was not said to be one");
                    ended = true;
                    break;
                }
                FarRead::Reset => {
                    self.reset = true;
                    ended = true;
                    break;
                }
            }
        }
        if !ended && line.available(net) {
            net.wake_at(net.now().mono_us + 50 + random.below(3000));
        }
        while self.answer(ended, tally) {}
        ended
    }

    /// Reads the next head; an interim one is taken off at once.
    fn next_head(&mut self, ended: bool, tally: &mut Tally) -> bool {
        let Some(head) = Head::read(&self.input) else {
            if ended && !self.input.is_empty() {
                tally.cut += 1;
                self.input.clear();
            }
            return false;
        };
        let status = head.status();
        let ask = self.waiting.front().unwrap_or_else(|| panic!("a response to nothing: {head:?}"));
        assert!(head.first.starts_with("HTTP/1.1 "), "{}", head.first);
        if status == 101 {
            assert!(ask.upgrade, "a tunnel was not asked for");
            self.output.extend(pattern(ask.id, ask.answer));
            self.tunnel = true;
            self.reading = Some((head, Reader::new(Frame::UntilClose)));
            return true;
        }
        if status < 200 {
            assert!(!ask.old, "HTTP/1.0 knows no interim responses");
            if status == 100 {
                let body = self.held.take().expect("100 was asked for, once");
                self.output.extend(body);
            } else {
                assert_eq!(status, 103);
            }
            self.input.drain(..head.len);
            return true;
        }
        let frame = match (head.field("transfer-encoding"), head.field("content-length")) {
            _ if ask.method == "HEAD" => Frame::Length(0),
            (Some("chunked"), None) => Frame::Chunked,
            (None, Some(len)) => Frame::Length(len.parse().expect("a length")),
            (None, None) => Frame::UntilClose,
            both => panic!("framing {both:?}"),
        };
        assert!(!(ask.old && frame == Frame::Chunked), "HTTP/1.0 knows no chunks");
        self.reading = Some((head, Reader::new(frame)));
        true
    }

    /// Takes one response off the input if it is whole.
    fn answer(&mut self, ended: bool, tally: &mut Tally) -> bool {
        if self.reading.is_none() && !self.next_head(ended, tally) {
            return false;
        }
        let Some((head, mut reader)) = self.reading.take() else { return true };
        let status = head.status();
        let ask = self.waiting.front().unwrap_or_else(|| panic!("a response to nothing: {head:?}")).clone();
        let frame = reader.frame();
        let Some((body, taken)) = reader.read(&self.input[head.len..], ended) else {
            if ended {
                tally.note(|| format!("cut short: {ask:?} after {head:?}"));
                tally.cut += 1;
                self.waiting.pop_front();
                self.input.clear();
            } else {
                self.reading = Some((head, reader));
            }
            return false;
        };
        if matches!(status, 101 | 200) {
            let id = head.field("x-id").expect("the origin's own line");
            assert_eq!(id, ask.id.to_string(), "the response to another request");
            let whole = match (status, ask.method) {
                (101, _) => pattern(ask.id, ask.answer),
                (_, "HEAD") => Vec::new(),
                _ => pattern(!ask.id, ask.answer),
            };
            let cut_at_close = frame == Frame::UntilClose && body.len() < whole.len();
            if cut_at_close {
                // Only a reset tells; an origin of a tunnel that closes in the middle tells nobody.
                let untold = status == 101 && ask.deed == Deed::DieInBody;
                assert!(self.reset || untold, "a cut response looks whole: {ask:?}");
                assert_eq!(body, whole[..body.len()]);
                tally.cut += 1;
            } else {
                assert!(
                    body == whole,
                    "request {}: {} bytes came, {} expected",
                    ask.id,
                    body.len(),
                    whole.len()
                );
                tally.answered += 1;
                tally.sealed += u64::from(self.manner.tls.is_some());
                tally.tunnels += u64::from(status == 101);
                tally.invited += u64::from(ask.expect);
                tally.bodies += u64::from(!body.is_empty());
            }
        } else {
            assert_eq!(status, 503, "{ask:?}: {head:?}");
            tally.note(|| format!("refused: {ask:?}"));
            tally.refused += 1;
        }
        self.waiting.pop_front();
        self.input.drain(..head.len + taken);
        let closing = head.field("connection") == Some("close");
        if closing {
            // Nothing after this will be answered, and the script says so to nobody.
            tally.unanswered += (self.waiting.len() + self.script.len()) as u64;
            self.waiting.clear();
            self.script.clear();
            self.output.clear();
            self.held = None;
        }
        true
    }
}
