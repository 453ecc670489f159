//! From completions to events.

use crate::card;
use crate::passwords;
use crate::socket::{Receive, Socket, op};
use crate::tls::{Pulled, Session};
use crate::worker::Worker;
use ounce_core::{Close, Event, Fault};
use ounce_mem::{Buf, Counter, Key};
use ounce_sys::ring::{Completion, Outcome, Ring, Token};

impl<R: Ring> Worker<'_, R> {
    /// Handles one completion; gives it back if it is not of this worker's own operations.
    pub(crate) fn complete(&mut self, completion: Completion) -> Option<Completion> {
        let Completion { token, outcome, more } = completion;
        match token.op {
            op::ACCEPT => self.accepted(token, &outcome, more),
            op::CONNECT => self.connect_ended(token, &outcome),
            op::RECEIVE => self.received(token, outcome, more),
            op::SEND => self.sent(token, outcome),
            op::SOURCE | op::SINK => self.polled(token),
            op::CARD => self.card_polled(token, &outcome),
            op::CREW if token.slot == card::CREW => self.helped(),
            op::CREW if token.slot == passwords::NUMBER => self.passwords_rang(),
            _ => return Some(Completion { token, outcome, more }),
        }
        self.carry_out();
        None
    }

    /// The socket that a token speaks of. Since a socket is closed only when all its operations have ended, none can
    /// be stale; one that is all the same is counted.
    pub(crate) fn named(&mut self, token: Token) -> Option<&mut Socket> {
        let socket = self.sockets.get_mut(token.slot as usize).and_then(Option::as_mut);
        match socket {
            Some(socket) if socket.key.generation == token.generation => Some(socket),
            _ => {
                self.counters.add(Counter::StaleCompletions, 1);
                None
            }
        }
    }

    fn connect_ended(&mut self, token: Token, outcome: &Outcome) {
        let Some(socket) = self.named(token) else { return };
        socket.in_flight -= 1;
        socket.connecting = false;
        let key = socket.key;
        if socket.closing.is_some() {
            return self.close_if_joined(key);
        }
        match outcome {
            Outcome::Connected => {
                self.start_receive(key);
                self.connected(key);
            }
            Outcome::Failed(errno, _) => {
                let fault = self.fault(*errno);
                self.report(key, Event::Failed(fault));
            }
            // Nobody cancels a connect but a close.
            _ => debug_assert!(false, "connect ended as {outcome:?}"),
        }
    }

    /// The connection to a backend stands; with TLS, the handshake begins.
    fn connected(&mut self, key: Key) {
        let backend = self.socket(key).and_then(|socket| socket.backend);
        let dialer = backend.and_then(|backend| self.dialers.get(backend as usize)?.as_ref());
        let Some(dialer) = dialer else { return self.report(key, Event::Connected) };
        let Some(session) = Session::connect(dialer, self.ring.pool()) else {
            return self.report(key, Event::Failed(Fault::Resource));
        };
        if let Some(socket) = self.socket(key) {
            socket.tls = Some(Box::new(session));
            let fd = socket.fd;
            self.ring.keep_unsent_low(fd);
        }
        self.unseal_in_turn(key);
    }

    fn received(&mut self, token: Token, outcome: Outcome, more: bool) {
        let Some(socket) = self.named(token) else { return };
        let key = socket.key;
        let before = socket.receive;
        if !more {
            socket.in_flight -= 1;
            socket.receive = Receive::Off;
        }
        if socket.closing.is_some() {
            return self.close_if_joined(key);
        }
        match outcome {
            Outcome::Received(buf) => {
                socket.note(&buf);
                match &mut socket.tls {
                    Some(tls) => {
                        tls.received(buf);
                        self.unseal_in_turn(key);
                    }
                    None => self.report(key, Event::Received(buf)),
                }
                if !more {
                    self.receive_ended(key, before);
                }
            }
            Outcome::Eof if socket.torn => self.report(key, Event::Failed(Fault::Reset)),
            Outcome::Eof => match &mut socket.tls {
                Some(tls) => {
                    tls.ended();
                    self.unseal_in_turn(key);
                }
                None => self.report(key, Event::Eof),
            },
            Outcome::NoBuffers if before == Receive::On => {
                socket.receive = Receive::Starved;
                self.starved.push(key);
                self.counters.add(Counter::PoolExhausted, 1);
            }
            Outcome::NoBuffers | Outcome::Cancelled(_) => self.receive_ended(key, before),
            Outcome::Failed(errno, _) => {
                let fault = self.fault(errno);
                self.report(key, Event::Failed(fault));
            }
            _ => debug_assert!(false, "receive ended as {outcome:?}"),
        }
    }

    /// Tells the core what TLS makes of what came in.
    pub(crate) fn unseal(&mut self, key: Key) {
        self.unseal_from(key, None);
    }

    /// The same, beginning with what was pulled already.
    pub(crate) fn unseal_from(&mut self, key: Key, mut first: Option<Pulled>) {
        while let Some(socket) = self.socket(key).filter(|socket| socket.closing.is_none()) {
            let Some(tls) = &mut socket.tls else { break };
            match first.take().unwrap_or_else(|| tls.pull()) {
                Pulled::Nothing => break,
                Pulled::Paused => {
                    self.await_card(key);
                    break;
                }
                Pulled::Crowded => {
                    self.await_job(key);
                    break;
                }
                Pulled::Elsewhere => {
                    self.get_help(key);
                    break;
                }
                Pulled::Established(_) if socket.backend.is_some() => self.report(key, Event::Connected),
                Pulled::Established(secure) => {
                    self.counters.add(Counter::TlsHandshakes, 1);
                    self.counters.add(Counter::TlsResumptions, u64::from(secure.resumed));
                    self.report(key, Event::Secured(secure));
                }
                Pulled::Plain(buf) => self.report(key, Event::Received(buf)),
                Pulled::End => self.report(key, Event::Eof),
                Pulled::Truncated => self.report(key, Event::Truncated),
                Pulled::Untrusted(why) if socket.backend.is_some() => {
                    self.kick(key);
                    self.report(key, Event::Failed(Fault::Untrusted(why)));
                }
                Pulled::Failed if socket.backend.is_some() => {
                    self.kick(key);
                    self.report(key, Event::Failed(Fault::Handshake));
                }
                Pulled::Failed | Pulled::Untrusted(_) => {
                    self.counters.add(Counter::TlsFailures, 1);
                    // The alert goes out before the close that follows.
                    self.kick(key);
                    self.report(key, Event::Eof);
                }
            }
        }
        self.kick(key);
    }

    /// A receive ended without anything being wrong: as asked, or because the kernel wants it started anew.
    fn receive_ended(&mut self, key: Key, before: Receive) {
        let Some(socket) = self.socket(key) else { return };
        if socket.closing.is_some() || socket.receive != Receive::Off {
            return;
        }
        match before {
            Receive::Stopping => self.report(key, Event::Paused),
            _ if socket.wanted => self.start_receive(key),
            // The core paused it while it took the last bytes, and has been told that it is.
            _ => {}
        }
    }

    fn sent(&mut self, token: Token, outcome: Outcome) {
        let Some(socket) = self.named(token) else { return };
        let key = socket.key;
        socket.in_flight -= 1;
        socket.sending = false;
        match outcome {
            Outcome::Sent(buf, bytes) => self.sent_some(key, buf, bytes),
            Outcome::Cancelled(_) => self.close_if_joined(key),
            Outcome::Failed(errno, buf) => {
                let unsent = match socket.tls {
                    Some(_) => std::mem::take(&mut socket.sealed) as usize,
                    None => buf.map_or(0, |buf| buf.len()),
                };
                let queued = socket.queue.bytes();
                socket.queue.clear();
                socket.break_off(errno);
                if socket.closing.is_some() {
                    return self.close_if_joined(key);
                }
                // The peer may have answered before it hung up. As long as we receive, that decides; the kernel ends
                // the receive of a broken connection by itself.
                if socket.is_heard() {
                    return self.report(key, Event::Sent((unsent + queued) as u32));
                }
                let fault = self.fault(errno);
                self.report(key, Event::Failed(fault));
            }
            _ => debug_assert!(false, "send ended as {outcome:?}"),
        }
    }

    fn sent_some(&mut self, key: Key, mut buf: Buf, bytes: usize) {
        let Some(socket) = self.socket(key) else { return };
        buf.advance(bytes);
        if socket.closing == Some(Close::Abort) {
            return self.close_if_joined(key);
        }
        let plain = socket.tls.is_none();
        if !buf.is_empty() {
            match &mut socket.tls {
                Some(tls) => tls.put_back(buf),
                None => socket.queue.push_front(buf),
            }
        }
        // The next part goes out before the core thinks about this one.
        self.kick(key);
        if plain {
            self.report(key, Event::Sent(bytes as u32));
        }
    }
}
