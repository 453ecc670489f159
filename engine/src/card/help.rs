//! Helper threads for cards that pause nothing: they take a handshake one step on, and the loop does not wait.

use super::Worker;
use crate::crew::Terms;
use ounce_mem::{Counter, Key};
use ounce_sys::ring::Ring;

/// The number of the crew.
pub(crate) const CREW: u32 = 1;

/// A signature takes a token milliseconds, and more than a few of these at once bring nothing. They stand back, but not so
/// far that one which was stopped with a lock in its hands keeps the loop waiting for long.
pub(super) const TERMS: Terms =
    Terms { name: "ounce-card", number: CREW, threads_max: 4, jobs_max: 1024, steps_back: 5 };

impl<R: Ring> Worker<'_, R> {
    /// Sends a handshake to a helper thread for one step.
    pub(crate) fn get_help(&mut self, key: Key) {
        let Some(tls) = self.socket(key).and_then(|socket| socket.tls.as_mut()) else { return };
        let first = tls.waits_first();
        let Some(errand) = tls.leave() else { return };
        self.counters.add(Counter::CardWaits, u64::from(first));
        self.begin_wait(key);
        let job = Box::new(move || (key, errand.run()));
        if self.cards.crew.give(job, &mut self.ring, self.counters).is_err() {
            self.give_up(key);
        }
    }

    /// Helper threads have something back.
    pub(crate) fn helped(&mut self) {
        self.cards.crew.heard(&mut self.ring);
        while let Some((key, errand)) = self.cards.crew.answer() {
            let pool = self.ring.pool().clone();
            self.forget_due(key);
            // Of a client that has left, the stream ends here.
            let Some(socket) = self.socket(key) else { continue };
            let Some(tls) = &mut socket.tls else { continue };
            tls.come_back(errand, &pool);
            let pulled = tls.pull();
            let learnt = tls.learnt();
            self.judge(learnt);
            self.unseal_from(key, Some(pulled));
        }
    }
}
