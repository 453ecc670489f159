//! A ring and its outside, with the loops that scripts share.

use crate::outside::{Got, Outside};
use ounce_mem::Buf;
use ounce_sys::ring::{Completion, Fd, Outcome, Ring, Token};
use ounce_sys::socket::Address;
use std::collections::VecDeque;
use std::time::Duration;

pub(crate) const ACCEPT: u8 = 1;
pub(crate) const RECEIVE: u8 = 2;
pub(crate) const SEND: u8 = 3;
pub(crate) const CONNECT: u8 = 4;
pub(crate) const POLL: u8 = 5;

/// Turns that a script waits for something; at up to 10 ms each, far beyond what any of it takes.
const TURNS: usize = 3_000;

pub(crate) fn token(op: u8, slot: u32) -> Token {
    Token { op, generation: 1, slot }
}

pub(crate) struct Bench<R: Ring, O: Outside> {
    pub(crate) ring: R,
    pub(crate) outside: O,
    /// Told and not asked for yet.
    told: VecDeque<Completion>,
    scratch: Vec<Completion>,
}

impl<R: Ring, O: Outside> Bench<R, O> {
    pub(crate) fn new(ring: R, outside: O) -> Bench<R, O> {
        Bench { ring, outside, told: VecDeque::new(), scratch: Vec::new() }
    }

    /// One short wait.
    pub(crate) fn turn(&mut self) {
        self.ring.wait(Some(Duration::from_millis(10)), &mut self.scratch).unwrap();
        for completion in self.scratch.drain(..) {
            check(&completion);
            self.told.push_back(completion);
        }
    }

    /// The next completion under this token that was told already.
    pub(crate) fn told(&mut self, token: Token) -> Option<Completion> {
        let at = self.told.iter().position(|completion| completion.token == token)?;
        self.told.remove(at)
    }

    /// The next completion of this token; other ones are kept.
    pub(crate) fn next(&mut self, token: Token) -> Completion {
        for _ in 0..TURNS {
            if let Some(completion) = self.told(token) {
                return completion;
            }
            self.turn();
        }
        panic!("nothing came for {token:?}");
    }

    /// Calls until it gives something, with a turn of the ring between calls.
    pub(crate) fn until<T>(&mut self, what: &str, mut call: impl FnMut(&mut Self) -> Option<T>) -> T {
        for _ in 0..TURNS {
            if let Some(result) = call(self) {
                return result;
            }
            self.turn();
        }
        panic!("it never came: {what}");
    }

    /// The next connection on this listener, on which an accept is in flight; it is started again if it ends.
    pub(crate) fn accepted(&mut self, listener: Fd, accept: Token) -> Fd {
        let completion = self.next(accept);
        if !completion.more {
            self.ring.accept(listener, accept);
        }
        match completion.outcome {
            Outcome::Accepted(fd) => fd,
            outcome => panic!("{outcome:?}"),
        }
    }

    /// Ends an operation by cancel; what it gave meanwhile is dropped.
    pub(crate) fn stop(&mut self, token: Token) {
        self.ring.cancel(token);
        while self.next(token).more {}
    }

    /// A connection from outside: the ring's descriptor, the outside's number.
    pub(crate) fn connection(&mut self) -> (Fd, usize) {
        let (listener, address) = self.outside.listener();
        let accept = token(ACCEPT, 900);
        self.ring.accept(listener, accept);
        let far = self.outside.connect(&address);
        let fd = self.accepted(listener, accept);
        self.stop(accept);
        (fd, far)
    }

    /// A connection to an origin outside.
    pub(crate) fn backend(&mut self) -> (Fd, usize, Address) {
        let origin = self.outside.origin();
        let fd = self.ring.socket(&origin).unwrap();
        self.ring.connect(fd, &origin, token(CONNECT, 900));
        assert!(matches!(self.next(token(CONNECT, 900)).outcome, Outcome::Connected));
        let far = self.until("the origin accepts", |bench| bench.outside.accept(&origin));
        (fd, far, origin)
    }

    /// A page of the pool with these bytes, once it has one.
    pub(crate) fn page(&mut self, bytes: &[u8]) -> Buf {
        let mut page = self.until("a free page", |bench| bench.ring.pool().take());
        assert!(page.push(bytes));
        page
    }

    /// Receives until there are so many bytes, starting the receive again whenever it ends for want of buffers or by
    /// itself. A receive under this token is in flight before and after.
    pub(crate) fn receive(&mut self, fd: Fd, receive: Token, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let completion = self.next(receive);
            match completion.outcome {
                Outcome::Received(buf) => bytes.extend_from_slice(&buf),
                Outcome::NoBuffers => {}
                outcome => panic!("{outcome:?} after {} bytes", bytes.len()),
            }
            if !completion.more {
                self.ring.receive(fd, receive);
            }
        }
        assert_eq!(bytes.len(), count);
        bytes
    }

    /// The end of a receive: what is told when no more bytes come.
    pub(crate) fn receive_end(&mut self, fd: Fd, receive: Token) -> Outcome {
        loop {
            let completion = self.next(receive);
            match completion.outcome {
                Outcome::NoBuffers => self.ring.receive(fd, receive),
                Outcome::Received(_) if completion.more => {}
                Outcome::Received(_) => self.ring.receive(fd, receive),
                outcome => return outcome,
            }
        }
    }

    /// Sends all of this; another page for each 16 KiB.
    pub(crate) fn send(&mut self, fd: Fd, send: Token, bytes: &[u8]) {
        for part in bytes.chunks(16 * 1024) {
            let mut page = self.page(part);
            while !page.is_empty() {
                self.ring.send(fd, page, send);
                match self.next(send).outcome {
                    Outcome::Sent(mut buf, count) => {
                        buf.advance(count);
                        page = buf;
                    }
                    outcome => panic!("{outcome:?}"),
                }
            }
        }
    }

    /// Reads exactly so many bytes outside.
    pub(crate) fn far_read(&mut self, far: usize, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let got = self.until("bytes outside", |bench| match bench.outside.read(far) {
                Got::Nothing => None,
                got => Some(got),
            });
            match got {
                Got::Bytes(more) => bytes.extend(more),
                got => panic!("{got:?} after {} of {count} bytes", bytes.len()),
            }
        }
        assert_eq!(bytes.len(), count);
        bytes
    }

    /// The end that comes outside when all bytes are read.
    pub(crate) fn far_end(&mut self, far: usize) -> Got {
        self.until("an end outside", |bench| match bench.outside.read(far) {
            Got::Nothing | Got::Bytes(_) => None,
            got => Some(got),
        })
    }

    /// Writes all of this outside.
    pub(crate) fn far_write(&mut self, far: usize, bytes: &[u8]) {
        let mut written = 0;
        self.until("room outside", |bench| {
            written += bench.outside.write(far, &bytes[written..]).unwrap();
            (written == bytes.len()).then_some(())
        });
    }

    /// Gives back what `connection` or `backend` made.
    pub(crate) fn close(&mut self, fd: Fd, far: usize) {
        self.ring.close(fd, false);
        self.outside.close(far);
        self.turn();
    }
}

/// What holds for every completion.
fn check(completion: &Completion) {
    match &completion.outcome {
        Outcome::Received(buf) => assert!(!buf.is_empty() && buf.is_page()),
        Outcome::Sent(buf, count) => assert!((1..=buf.len()).contains(count)),
        Outcome::Accepted(fd) => assert!(fd.0 > 2),
        _ => assert!(!completion.more, "{completion:?} cannot go on"),
    }
}

/// Bytes by which a place in the stream can be told.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at / 251 + at) as u8).collect()
}
