//! Handshakes that wait for a card, or for a helper thread, while the loop serves others.
//!
//! ```text
//!                       ┌─ pauses ─► its descriptors are polled ─► it goes on          (`pause`)
//!  hello ─► handshake ──┼─ finds no job ─► waits until another has ended               (`pause`)
//!                       └─ card that pauses nothing ─► helper thread ─► it comes back  (`help`)
//! ```
//!
//! Whatever it waits for, a handshake has until a time for it; then it is refused. A card that fails or takes too long
//! loses the trust of its worker (`trust`): where keys are in files, software signs for a while, and one handshake
//! tries the card again after that. Who signs is decided when the first bytes of a client have come, so that clients
//! which say nothing decide nothing.

mod help;
mod pause;
mod trust;

pub(crate) use help::CREW;

use crate::crew::{Crew, Manner};
use crate::tls::{Errand, Hand, Learnt};
use crate::worker::Worker;
use ounce_core::observe::problem;
use ounce_core::{Event, Fault};
use ounce_mem::{Counter, Key};
use ounce_sys::ring::Ring;
use pause::Pauses;
use std::collections::{BTreeSet, VecDeque};
use trust::Trust;

/// What a worker has to do with cards.
pub(crate) struct Desk {
    hand: Hand,
    trust: Trust,
    /// The handshakes that wait for a card, a job or a thread, by when they have to be served.
    due: BTreeSet<(u64, Key)>,
    pauses: Pauses,
    /// Handshakes that wait for a job.
    crowd: VecDeque<Key>,
    crew: Crew<(Key, Errand)>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Desk").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Desk {
    pub(crate) fn new(hand: Hand, helpers: Manner) -> Desk {
        Desk {
            pauses: Pauses::new(hand.jobs()),
            hand,
            trust: Trust::default(),
            due: BTreeSet::new(),
            crowd: VecDeque::new(),
            crew: Crew::new(help::TERMS, helpers),
        }
    }

    /// When there is something to be seen to though nothing has come.
    pub(crate) fn next_us(&self) -> Option<u64> {
        let due = self.due.first().map(|(at, _)| *at);
        due.into_iter().chain(self.pauses.next_us()).min()
    }

    /// There are answers of helpers for which nothing will ring.
    pub(crate) fn is_due(&self) -> bool {
        self.crew.is_due()
    }

    /// Makes certificates of a listener anew: those with cards, whether or not one is in use now, and those without.
    pub(crate) fn renew<T>(&self, with: impl FnOnce() -> T, without: impl FnOnce() -> T) -> (T, T) {
        self.hand.put_down();
        let alone = without();
        self.hand.take_up();
        let made = with();
        if !self.trust.is_full() {
            self.hand.put_down();
        }
        (made, alone)
    }

    /// Whether new connections begin with the card, as far as is known before they have said anything.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trust.is_full()
    }
}

impl<R: Ring> Worker<'_, R> {
    /// A card that did not do its part at the start is tried later.
    pub(crate) fn begin_with_cards(&mut self) {
        if let Some(why) = self.cards.hand.refused.take() {
            self.cards.trust.withdraw(self.ring.now().mono_us);
            self.fall_back(&why);
        }
    }

    /// Decides who signs, now that a client has sent its first bytes.
    pub(crate) fn choose_hand(&mut self, key: Key) {
        let now_us = self.ring.now().mono_us;
        let Some(socket) = self.sockets.get_mut(key.index as usize).and_then(Option::as_mut) else { return };
        let (Some(listener), Some(tls)) = (socket.listener, &mut socket.tls) else { return };
        let (Some(Some(alone)), Some(Some(with))) =
            (self.software.get(listener), self.certificates.get(listener))
        else {
            return;
        };
        let asks = self.cards.trust.asks(now_us);
        if asks != tls.is_replaceable() {
            tls.begin_anew(if asks { with } else { alone }, self.ring.pool());
        }
        socket.tries_card = asks && !self.cards.trust.is_full();
    }

    fn fall_back(&mut self, why: &str) {
        self.cards.hand.put_down();
        self.counters.add(Counter::CardFallbacks, 1);
        let text = format!("{why}: software signs for {} s", self.cards.trust.rest_s());
        problem::notice(self.id, &text, &mut self.fx.problems);
        // Those that the card has not seen yet need not wait for it.
        for key in std::mem::take(&mut self.cards.crowd) {
            self.do_without_card(key);
        }
    }

    /// Lets a handshake that waits for a job do without, if it can; else it waits on.
    fn do_without_card(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key.index as usize).and_then(Option::as_mut) else { return };
        let listener = socket.listener;
        let Some(tls) = socket.tls.as_mut().filter(|_| socket.key == key && socket.closing.is_none()) else {
            return;
        };
        let alone = listener.and_then(|at| self.software.get(at)?.as_ref()).filter(|_| tls.is_fresh());
        let Some(alone) = alone else { return self.cards.crowd.push_back(key) };
        tls.begin_anew(alone, self.ring.pool());
        self.forget_due(key);
        self.unseal_in_turn(key);
    }

    /// Takes to heart what a handshake has shown of its card.
    fn judge(&mut self, learnt: Option<Learnt>) {
        let Some(learnt) = learnt else { return };
        if !learnt.answered {
            self.counters.add(Counter::CardFailures, 1);
        }
        if !learnt.replaceable {
            return;
        }
        if learnt.answered {
            if self.cards.trust.answered() {
                self.cards.hand.take_up();
                problem::notice(self.id, "the card signs again", &mut self.fx.problems);
            }
        } else if self.cards.trust.failed(false, self.ring.now().mono_us) {
            self.fall_back("the card fails");
        }
    }

    /// A handshake begins to wait. A second wait for the same has no time of its own.
    fn begin_wait(&mut self, key: Key) {
        let now_us = self.ring.now().mono_us;
        let Some(socket) = self.sockets.get_mut(key.index as usize).and_then(Option::as_mut) else { return };
        let Some(tls) = &mut socket.tls else { return };
        if socket.card_until_us == 0 && socket.closing.is_none() {
            socket.card_until_us = now_us + tls.patience_us();
            self.cards.due.insert((socket.card_until_us, key));
        }
    }

    /// It waits no more.
    fn forget_due(&mut self, key: Key) {
        if let Some(socket) = self.socket(key) {
            let until_us = std::mem::take(&mut socket.card_until_us);
            self.cards.due.remove(&(until_us, key));
        }
    }

    /// The socket is about to close, whatever its card does.
    pub(crate) fn leave_card(&mut self, key: Key) {
        self.forget_due(key);
        if self.socket(key).is_some_and(|socket| std::mem::take(&mut socket.tries_card)) {
            self.cards.trust.lapse();
        }
    }

    /// Refuses a handshake that a card or a thread has had for too long, or that neither can take.
    fn give_up(&mut self, key: Key) {
        let Some(socket) = self.socket(key) else { return };
        let to_backend = socket.backend.is_some();
        let Some(tls) = &mut socket.tls else { return };
        tls.give_up();
        let established = tls.is_established();
        if to_backend && !established {
            return self.report(key, Event::Failed(Fault::Handshake));
        }
        self.counters.add(Counter::TlsFailures, 1);
        self.report(key, if established { Event::Truncated } else { Event::Eof });
    }

    /// Asks cards that name no descriptor, and gives up the handshakes that have waited long enough.
    pub(crate) fn expire_cards(&mut self) {
        let now_us = self.ring.now().mono_us;
        self.ask_blindly(now_us);
        while let Some((_, key)) = self.cards.due.first().copied().filter(|(at, _)| *at <= now_us) {
            self.cards.due.pop_first();
            let Some(socket) = self.socket(key) else { continue };
            socket.card_until_us = 0;
            let Some(tls) = &socket.tls else { continue };
            let (crowded, replaceable) = (tls.is_crowded(), tls.is_replaceable());
            self.counters.add(Counter::CardTimeouts, 1);
            self.give_up(key);
            // Too few jobs are no fault of the card's.
            if !crowded && replaceable && self.cards.trust.failed(true, now_us) {
                self.fall_back("the card does not answer");
            }
        }
    }
}
