//! Handshakes that a card has paused, and those that wait for a job.
//!
//! A paused handshake names descriptors, one of which shows that the card has something for it. The ring polls copies of
//! them: what the engine does with its own, or whether it gives the same one to several jobs, is its affair.
//!
//! A handshake whose client leaves meanwhile becomes an orphan, and is driven to its end all the same: freed, it would
//! keep its job for ever, and its card would write to a stack and a descriptor that are gone. There are never more
//! orphans than there are jobs.

use super::Worker;
use crate::handshakes::Step;
use crate::socket::op;
use crate::tls::{Pulled, Session};
use ounce_mem::{Counter, Key, Slots};
use ounce_sys::process;
use ounce_sys::ring::{Fd, Interest, Outcome, Ring, Token};
use std::os::fd::{AsRawFd, OwnedFd};

/// How many handshakes may wait for a job.
const CROWD_MAX: usize = 4096;

/// How often a paused handshake is tried whose card names no descriptor, or none that can be polled.
const BLIND_US: u64 = 1_000;

/// How many descriptors there are of one handshake: as many as [`Session::awaited`] tells.
const DESCRIPTORS_MAX: u32 = 4;

/// All that are paused.
pub(super) struct Pauses {
    waits: Slots<Wait>,
    polls: Slots<Poll>,
    /// Those that are tried again without being told to, at this time.
    blind: Vec<Key>,
    blind_us: u64,
}

/// One handshake that is paused.
struct Wait {
    who: Who,
    /// Its polls.
    polls: Vec<Key>,
}

enum Who {
    /// It is where its socket is.
    Socket(Key),
    /// Its client has left.
    Orphan(Box<Session>),
}

/// One descriptor that is polled.
struct Poll {
    /// A copy of the engine's.
    fd: OwnedFd,
    wait: Key,
}

impl Pauses {
    /// Room for so many: one for each job.
    pub(super) fn new(jobs: u32) -> Pauses {
        Pauses {
            waits: Slots::with_capacity(jobs),
            polls: Slots::with_capacity(jobs.saturating_mul(DESCRIPTORS_MAX)),
            blind: Vec::new(),
            blind_us: 0,
        }
    }

    pub(super) fn next_us(&self) -> Option<u64> {
        (!self.blind.is_empty()).then_some(self.blind_us)
    }

    fn wait_blindly(&mut self, wait: Key, now_us: u64) {
        if self.blind.is_empty() {
            self.blind_us = now_us + BLIND_US;
        }
        self.blind.push(wait);
    }
}

fn token(poll: Key) -> Token {
    Token { op: op::CARD, generation: poll.generation, slot: poll.index }
}

impl<R: Ring> Worker<'_, R> {
    /// A card has paused the handshake of this socket.
    pub(crate) fn await_card(&mut self, key: Key) {
        self.begin_wait(key);
        let Some(socket) = self.socket(key) else { return };
        let Some(tls) = &mut socket.tls else { return };
        let (first, fds) = (tls.waits_first(), tls.awaited());
        let wait = self.pause(Who::Socket(key), &fds);
        if let Some(socket) = self.socket(key) {
            socket.pause = Some(wait);
        }
        self.counters.add(Counter::CardWaits, u64::from(first));
    }

    fn pause(&mut self, who: Who, fds: &[i32]) -> Key {
        let pauses = &mut self.cards.pauses;
        // Each of them has a job, and there is room for as many as there are jobs.
        let wait = pauses.waits.insert(Wait { who, polls: Vec::new() });
        for fd in fds {
            // Without descriptors to spare, it is tried again and again.
            let Ok(fd) = process::duplicate(*fd) else { continue };
            let number = Fd(fd.as_raw_fd());
            let Some(poll) = pauses.polls.try_insert(Poll { fd, wait }) else { continue };
            self.ring.poll(number, Interest::Read, token(poll));
            if let Some(wait) = pauses.waits.get_mut(wait) {
                wait.polls.push(poll);
            }
        }
        if pauses.waits.get(wait).is_some_and(|wait| wait.polls.is_empty()) {
            pauses.wait_blindly(wait, self.ring.now().mono_us);
        }
        wait
    }

    /// A poll for a card has ended.
    pub(crate) fn card_polled(&mut self, ended: Token, outcome: &Outcome) {
        let key = Key { index: ended.slot, generation: ended.generation };
        let pauses = &mut self.cards.pauses;
        let Some(poll) = pauses.polls.remove(key) else {
            return self.counters.add(Counter::StaleCompletions, 1);
        };
        drop(poll.fd);
        // Another of its descriptors may have been first.
        let Some(wait) = pauses.waits.get_mut(poll.wait) else { return };
        wait.polls.retain(|of| *of != key);
        if matches!(outcome, Outcome::Ready) {
            self.line.join(Step::Card(poll.wait));
        } else if wait.polls.is_empty() {
            pauses.wait_blindly(poll.wait, self.ring.now().mono_us);
        }
    }

    /// Goes on with a handshake for which its card may have an answer.
    pub(crate) fn go_on(&mut self, wait: Key) {
        let Some(wait) = self.cards.pauses.waits.remove(wait) else { return };
        for poll in wait.polls {
            self.ring.cancel(token(poll));
        }
        match wait.who {
            Who::Socket(key) => self.ask_card(key),
            Who::Orphan(session) => self.ask_for_orphan(session),
        }
    }

    fn ask_card(&mut self, key: Key) {
        let Some(socket) = self.socket(key) else { return };
        socket.pause = None;
        let Some(tls) = &mut socket.tls else { return };
        let pulled = tls.go_on();
        if tls.is_paused() {
            return self.await_card(key);
        }
        let learnt = tls.learnt();
        self.forget_due(key);
        self.judge(learnt);
        self.unseal_from(key, Some(pulled));
        self.let_in();
    }

    /// Asks the cards that name no descriptor.
    pub(super) fn ask_blindly(&mut self, now_us: u64) {
        if now_us >= self.cards.pauses.blind_us {
            for wait in std::mem::take(&mut self.cards.pauses.blind) {
                self.line.join(Step::Card(wait));
            }
        }
    }

    /// There is no job for a handshake now.
    pub(crate) fn await_job(&mut self, key: Key) {
        self.counters.add(Counter::CardCrowded, 1);
        if self.cards.crowd.len() >= CROWD_MAX {
            return self.give_up(key);
        }
        self.begin_wait(key);
        self.cards.crowd.push_back(key);
    }

    /// A job is free: the first that waits for one has it. One that turns out to need no card leaves it to the next.
    fn let_in(&mut self) {
        while let Some(key) = self.cards.crowd.pop_front() {
            let Some(socket) = self.socket(key).filter(|socket| socket.closing.is_none()) else { continue };
            let Some(tls) = socket.tls.as_mut().filter(|tls| tls.is_crowded()) else { continue };
            let pulled = tls.go_on();
            if matches!(pulled, Pulled::Crowded) {
                // It keeps its place, and its time.
                return self.cards.crowd.push_front(key);
            }
            let (paused, learnt) = (tls.is_paused(), tls.learnt());
            self.forget_due(key);
            self.judge(learnt);
            self.unseal_from(key, Some(pulled));
            if paused {
                return;
            }
        }
    }

    /// Takes over a handshake whose client has left while its card had it.
    pub(crate) fn adopt_orphan(&mut self, wait: Option<Key>, session: Box<Session>) {
        let wait = wait.and_then(|wait| self.cards.pauses.waits.get_mut(wait));
        debug_assert!(wait.is_some(), "what is paused is waited for");
        if let Some(wait) = wait {
            wait.who = Who::Orphan(session);
            self.counters.add(Counter::CardOrphans, 1);
        }
    }

    fn ask_for_orphan(&mut self, mut session: Box<Session>) {
        // Nobody asks any more what became of it.
        let _ = session.go_on();
        if session.is_paused() {
            let fds = session.awaited();
            self.pause(Who::Orphan(session), &fds);
            return;
        }
        self.counters.sub(Counter::CardOrphans, 1);
        let learnt = session.learnt();
        drop(session);
        self.judge(learnt);
        self.let_in();
    }
}
