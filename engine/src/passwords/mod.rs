//! Passwords: looked at by helper threads, so that no other client waits, and remembered for a while.
//!
//! What is remembered is not the password but a keyed digest of it and of the hash that it matched, in a table of fixed
//! size: a client that repeats its password in each request is hashed once in a while. A wrong password is never
//! remembered. A file that changes the hash of a user makes what is remembered useless by itself.

mod check;

use crate::crew::{Crew, Job, Manner, Terms};
use crate::worker::Worker;
use ounce_core::route::auth::Question;
use ounce_core::{Event, Verdict};
use ounce_mem::Key;
use ounce_sys::ring::Ring;
use std::hash::{BuildHasher, RandomState};

/// The helpers: few, since they are for what costs much, and behind every loop, but not so far that on a busy machine
/// nobody comes in any more.
const TERMS: Terms =
    Terms { name: "ounce-password", number: NUMBER, threads_max: 2, jobs_max: 64, steps_back: 5 };
/// The number of the crew.
pub(crate) const NUMBER: u32 = 0;
/// Passwords that are remembered at most.
const PLACES: usize = 1024;
/// How long.
const LIFE_US: u64 = 60_000_000;

/// The passwords of one worker's clients.
pub(crate) struct Passwords {
    crew: Crew<Answer>,
    keys: (RandomState, RandomState),
    /// Each where its digest says, in place of what was there.
    known: Vec<Option<Known>>,
}

/// A password that was right.
#[derive(Debug, Clone, Copy)]
struct Known {
    digest: Digest,
    until_us: u64,
}

type Digest = (u64, u64);

/// What a helper has found out.
#[derive(Debug)]
struct Answer {
    socket: Key,
    ticket: u64,
    digest: Digest,
    right: bool,
}

impl Passwords {
    pub(crate) fn new(manner: Manner) -> Passwords {
        let keys = (RandomState::new(), RandomState::new());
        Passwords { crew: Crew::new(TERMS, manner), keys, known: Vec::new() }
    }

    /// There are answers for which nothing will ring.
    pub(crate) fn is_due(&self) -> bool {
        self.crew.is_due()
    }

    fn digest(&self, question: &Question) -> Digest {
        let of = (&question.secret.text, &question.password.0);
        (self.keys.0.hash_one(of), self.keys.1.hash_one(of))
    }

    fn knows(&self, digest: Digest, now_us: u64) -> bool {
        let known = self.known.get(place(digest)).copied().flatten();
        known.is_some_and(|known| known.digest == digest && now_us < known.until_us)
    }

    fn remember(&mut self, digest: Digest, now_us: u64) {
        self.known.resize(PLACES, None);
        self.known[place(digest)] = Some(Known { digest, until_us: now_us + LIFE_US });
    }
}

fn place(digest: Digest) -> usize {
    (digest.0 % PLACES as u64) as usize
}

impl<R: Ring> Worker<'_, R> {
    /// Finds out whether a password is right: now, or by a helper.
    pub(crate) fn verify(&mut self, socket: Key, ticket: u64, question: Question) {
        let now_us = self.tick().mono_us;
        let digest = self.passwords.digest(&question);
        let verdict = if question.known && self.passwords.knows(digest, now_us) {
            Verdict::Right
        } else if check::is_quick(&question.secret) {
            verdict(check::is_right(&question.secret, &question.password.0))
        } else {
            let job: Job<Answer> = Box::new(move || {
                let right = check::is_right(&question.secret, &question.password.0);
                Answer { socket, ticket, digest, right: right && question.known }
            });
            match self.passwords.crew.give(job, &mut self.ring, self.counters) {
                Ok(()) => return,
                Err(_) => Verdict::Refused,
            }
        };
        self.pending.push_back((socket, Event::Verified { ticket, verdict }));
    }

    /// The helpers have rung.
    pub(crate) fn passwords_rang(&mut self) {
        self.passwords.crew.heard(&mut self.ring);
        self.take_verdicts();
    }

    /// Reports what the helpers have found out so far.
    pub(crate) fn take_verdicts(&mut self) {
        while let Some(Answer { socket, ticket, digest, right }) = self.passwords.crew.answer() {
            if right {
                let now_us = self.tick().mono_us;
                self.passwords.remember(digest, now_us);
            }
            self.report(socket, Event::Verified { ticket, verdict: verdict(right) });
        }
    }
}

fn verdict(right: bool) -> Verdict {
    if right { Verdict::Right } else { Verdict::Wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_for_a_while() {
        let mut passwords = Passwords::new(Manner::Inline);
        let digest = (7, 9);
        assert!(!passwords.knows(digest, 0));
        passwords.remember(digest, 1_000);
        assert!(passwords.knows(digest, 1_000));
        assert!(passwords.knows(digest, 1_000 + LIFE_US - 1));
        assert!(!passwords.knows(digest, 1_000 + LIFE_US));
        // Another of the same place takes it.
        let other = (7 + PLACES as u64, 9);
        assert!(!passwords.knows(other, 1_000));
        passwords.remember(other, 1_000);
        assert!(passwords.knows(other, 1_000) && !passwords.knows(digest, 1_000));
    }
}
