//! What the fuzzer tries with TLS: a script that a true client follows and departs from, against a listener's session.
//!
//! The bytes of an input are the script: handshakes go on, records are changed, cut, doubled, made up; the client writes,
//! takes leave, breaks off; the server writes and takes leave. Handshakes are random by nature, so an input shows the
//! same way and not the same bytes each time; and the library is not the fuzzer's to steer by.

use crate::hand::{Pockets, record};
use crate::wire;
use openssl::ssl::SslStream;
use ounce_conf::Options;
use ounce_engine::tls::{Certificates, Pulled, Resume, Session};
use ounce_mem::{Buf, Limits, Pool, Segment};
use std::io::{Read, Write};
use std::sync::Arc;

/// More than any input of the fuzzer's can make a session say.
const PULLS_MAX: usize = 20_000;

/// Steps of one script.
const STEPS_MAX: usize = 200;

/// A listener's side for the whole run.
struct Listener {
    certificates: Certificates,
    pool: Pool,
}

thread_local! {
    static LISTENER: Listener = Listener::new();
}

impl Listener {
    fn new() -> Listener {
        let folder = tempfile::tempdir().expect("a directory");
        let pem = folder.path().join("wire.pem");
        std::fs::write(&pem, wire::pem()).expect("a file");
        let text = format!(
            "ListenHTTPS\nAddress 127.0.0.1\nPort 443\nCert \"{}\"\nService\nError 404\nEnd\nEnd\n",
            pem.display()
        );
        let loaded = ounce_conf::load_text("tls.cfg", &text, &Options::default()).expect("a configuration");
        let tls = loaded.config.listeners[0].tls.as_ref().expect("a listener with TLS");
        let segment = Segment::create(Limits::default()).expect("a segment");
        let resume = Resume { segment: Arc::new(segment), lifetime_s: 60 };
        let certificates = Certificates::build(tls, Some(&resume)).expect("certificates");
        Listener { certificates, pool: Pool::new(64).expect("a pool") }
    }
}

/// A client's bytes: nothing panics, no plaintext is believed that the client has not written, nothing comes after the
/// end, and every page is given back.
///
/// # Panics
/// When something does not hold.
pub fn tls(bytes: &[u8]) {
    LISTENER.with(|listener| {
        let Some((first, script)) = bytes.split_first() else { return };
        let mut play = Play::of(listener, first % 2 == 0);
        let mut script = script.iter().copied();
        for _ in 0..STEPS_MAX {
            let Some(step) = script.next() else { break };
            play.step(step, &mut script);
        }
        drop(play);
        assert_eq!(listener.pool.free(), listener.pool.capacity(), "pages were kept");
    });
}

struct Play<'a> {
    client: SslStream<Pockets>,
    server: Session,
    pool: &'a Pool,
    /// What was delivered to the server last.
    last: Vec<u8>,
    /// Plaintext written by the client, and by the server.
    written: [Vec<u8>; 2],
    /// Plaintext read by the server, and by the client.
    read: [Vec<u8>; 2],
    established: bool,
    over: bool,
}

impl<'a> Play<'a> {
    /// Nothing has been said yet; the client speaks the newest version, or the one before.
    fn of(listener: &'a Listener, newest: bool) -> Play<'a> {
        let ssl = if newest { wire::newest() } else { wire::older() };
        Play {
            client: SslStream::new(ssl, Pockets::default()).expect("memory"),
            server: Session::accept(&listener.certificates, &listener.pool).expect("memory"),
            pool: &listener.pool,
            last: Vec::new(),
            written: [Vec::new(), Vec::new()],
            read: [Vec::new(), Vec::new()],
            established: false,
            over: false,
        }
    }

    fn step(&mut self, step: u8, script: &mut impl Iterator<Item = u8>) {
        let mut number = || usize::from(script.next().unwrap_or(0));
        match step % 16 {
            0..=3 => {
                let flight = self.flight();
                self.deliver(&flight);
            }
            4 => {
                let (at, by) = (number() * 256 + number(), number());
                let mut flight = self.flight();
                let length = flight.len().max(1);
                if let Some(byte) = flight.get_mut(at % length) {
                    *byte ^= by as u8;
                }
                self.deliver(&flight);
            }
            5 => {
                let kept = number() * 256 + number();
                let flight = self.flight();
                self.deliver(&flight[..kept.min(flight.len())]);
            }
            6 => {
                let made_up: Vec<u8> = (0..number() % 64).map(|_| number() as u8).collect();
                self.deliver(&made_up);
            }
            7 => {
                let (kind, length, byte) = (number() as u8, number() * 64, number() as u8);
                self.deliver(&record(kind, &vec![byte; length]));
            }
            8 => {
                let length = number() * 97;
                self.say(length);
            }
            9 => drop(self.client.shutdown()),
            10 => {
                let length = number() * 97;
                self.answer(length);
            }
            11 => {
                self.server.finish();
                self.listen();
            }
            12 => {
                self.server.ended();
                self.pull();
            }
            13 => {
                let again = self.last.clone();
                self.deliver(&again);
            }
            14 => {
                for byte in self.flight() {
                    self.deliver(&[byte]);
                }
            }
            _ => {
                // Two records change places.
                let flight = self.flight();
                let first = flight
                    .get(3..5)
                    .map_or(0, |length| 5 + usize::from(length[0]) * 256 + usize::from(length[1]));
                let (first, rest) = flight.split_at(first.min(flight.len()));
                self.deliver(&[rest, first].concat());
            }
        }
    }

    /// What the client has to send.
    fn flight(&mut self) -> Vec<u8> {
        let _ = self.client.do_handshake();
        std::mem::take(&mut self.client.get_mut().outgoing)
    }

    fn say(&mut self, length: usize) {
        if self.client.ssl().is_init_finished() {
            let text = vec![self.written[0].len() as u8; length];
            if self.client.write_all(&text).is_ok() {
                self.written[0].extend_from_slice(&text);
            }
        }
    }

    fn answer(&mut self, length: usize) {
        if self.established {
            let text = vec![self.written[1].len() as u8; length];
            // Also a part of what was not taken whole may arrive.
            self.written[1].extend_from_slice(&text);
            let _ = self.server.push(&text);
            self.listen();
        }
    }

    /// Gives bytes to the server, in pages as a ring does.
    fn deliver(&mut self, bytes: &[u8]) {
        self.last = bytes.to_vec();
        for piece in bytes.chunks(ounce_mem::PAGE_BYTES) {
            let mut page = self.pool.take().unwrap_or_else(|| Buf::heap(ounce_mem::PAGE_BYTES));
            assert!(page.push(piece));
            self.server.received(page);
            self.pull();
        }
    }

    fn pull(&mut self) {
        for _ in 0..PULLS_MAX {
            match self.server.pull() {
                Pulled::Nothing => return self.listen(),
                Pulled::Established(_) => {
                    assert!(!self.established && !self.over, "a second handshake");
                    self.established = true;
                }
                Pulled::Plain(buf) => {
                    assert!(self.established && !self.over && !buf.is_empty());
                    self.read[0].extend_from_slice(&buf);
                    assert!(self.written[0].starts_with(&self.read[0]), "the client has not written this");
                }
                Pulled::End | Pulled::Truncated | Pulled::Untrusted(_) | Pulled::Failed => {
                    assert!(!self.over, "a second end");
                    self.over = true;
                }
                Pulled::Paused | Pulled::Crowded | Pulled::Elsewhere => panic!("there is no card"),
            }
        }
        panic!("the session has no end of things to say");
    }

    /// Gives the client what the server has for it.
    fn listen(&mut self) {
        while let Some(buf) = self.server.output() {
            self.client.get_mut().incoming.extend_from_slice(&buf);
        }
        let mut piece = [0; 4096];
        while self.client.ssl().is_init_finished()
            && let Ok(count @ 1..) = self.client.read(&mut piece)
        {
            self.read[1].extend_from_slice(&piece[..count]);
            assert!(self.written[1].starts_with(&self.read[1]), "the server has not written this");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script that departs from nothing: what is written on each side is read on the other.
    #[test]
    fn an_honest_script_gets_through() {
        for newest in [true, false] {
            LISTENER.with(|listener| {
                let mut play = Play::of(listener, newest);
                let script = [0, 0, 0, 8, 255, 0, 10, 255, 14, 8, 3, 0, 9, 0];
                let mut steps = script.into_iter();
                while let Some(step) = steps.next() {
                    play.step(step, &mut steps);
                }
                assert!(play.established && play.over);
                assert_eq!(play.written, play.read);
                assert_eq!((play.read[0].len(), play.read[1].len()), (258 * 97, 255 * 97));
            });
        }
    }
}
