//! The algorithm of the sticky table, over any [`Word`].
//!
//! A key belongs to one bucket of eight entries. The states of a bucket lie in one cache line; an entry's words are
//! looked at only if its state carries the key's tag. Nothing is ever locked: an entry goes
//!
//! ```text
//!   free, or full of what may go ──CAS──► writing by an owner ──CAS──► full
//!             ▲                                │                        │
//!             └──── withdrawn, or dead owner ──┘◄────── removed ────────┘
//! ```
//!
//! **Readers** take the state, read the words, and take the state again: the same state means the words of one tenant.
//!
//! **Uniqueness.** A key is full in at most one entry. Who inserts first takes an entry (writing, which shows part of
//! the key's tag), and then, behind a fence, looks at the seven others. Of two that insert the same key at the same
//! time, at least one sees the other's entry:
//!
//! * one that finds the key full withdraws and takes what it found;
//! * one that finds a *lower* entry in writing withdraws, and begins again when that is settled;
//! * one that finds a *higher* entry in writing waits for it: it will withdraw, or, if it had looked before, be full.
//!
//! Only lower waits for higher while it holds an entry, so no two wait for each other.
//!
//! **Death.** An owner that is dead by the registry's word can write no more; its entry counts as free. One that lives
//! but does not move (stopped, or its CPU taken away) is waited for so many turns and no more: then the session is
//! *not recorded*, rather than recorded twice. So a session may be missed, but never contradicts another.
//!
//! **Bounds.** Eight entries to look at, [`ATTEMPTS`] attempts, [`TURNS`](super::bucket) turns of waiting in each.

use super::super::fleet::Owner;
use super::super::health::BackendId;
use super::super::word::Word;
use super::bucket::{Bucket, LOOKS, Look, Probe, Reading, Term, WAYS};
use super::word::{Kind, State};
use std::sync::atomic::Ordering::SeqCst;

/// How often an insertion begins again before it gives up.
const ATTEMPTS: u32 = 8;
/// Whom the table asks about what lies outside of it.
pub(super) trait Registry {
    /// Is this owner's life not over?
    fn is_live(&self, owner: Owner) -> bool;
    /// The era in which a session with this backend is valid; `None` if there is no such backend.
    fn era(&self, backend: BackendId) -> Option<u32>;
}

/// What becomes of a session that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It stands.
    Keep,
    /// The new one takes its place.
    Replace,
}

/// How an insertion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// There was one already, with this backend.
    Kept(BackendId),
    /// It is recorded; perhaps another one, that had not expired, had to go.
    Created { evicted: bool },
    /// It is not recorded: a process that writes the same key, or the whole bucket, does not come to an end.
    Unrecorded,
}

/// What a look over the bucket before taking an entry gave.
enum Survey {
    /// The key is there and valid.
    Valid(Reading),
    /// Somebody may be writing the key.
    Busy(usize, State),
    /// This entry may be taken.
    Take { way: usize, state: State, evicts: bool },
    /// All entries are in writing, or changed too fast.
    Nothing,
}

/// What a look over the bucket after taking an entry gave.
enum Settled {
    /// The key is nowhere else.
    Alone,
    /// Somebody was faster.
    Beaten(BackendId),
    /// Somebody goes first.
    Yield(usize, State),
}

/// The table: buckets, and whom to ask.
pub(super) struct Table<'a, W, R> {
    buckets: &'a [Bucket<W>],
    registry: R,
}

impl<'a, W: Word, R: Registry> Table<'a, W, R> {
    /// A view of `buckets`, of which there are a power of two.
    #[inline]
    pub(super) fn new(buckets: &'a [Bucket<W>], registry: R) -> Table<'a, W, R> {
        debug_assert!(buckets.len().is_power_of_two());
        Table { buckets, registry }
    }

    #[inline]
    fn bucket(&self, probe: &Probe) -> &'a Bucket<W> {
        // The tag is cut from the other end of the hash.
        &self.buckets[probe.hash() as usize & (self.buckets.len() - 1)]
    }

    /// The backend of this key's session, if there is a valid one. Moves its expiry.
    #[inline]
    pub(super) fn find(&self, probe: &Probe, term: Term) -> Option<BackendId> {
        let bucket = self.bucket(probe);
        for way in 0..WAYS {
            if let Look::Same(reading) = bucket.look(way, probe) {
                if self.is_stale(&reading, term.now) {
                    return None;
                }
                bucket.extend(&reading, term);
                return Some(reading.backend);
            }
        }
        None
    }

    /// Records a session, unless there is a valid one and `mode` lets it stand.
    pub(super) fn put(&self, probe: &Probe, backend: BackendId, term: Term, who: Owner, mode: Mode) -> Put {
        let Some(era) = self.registry.era(backend) else { return Put::Unrecorded };
        let bucket = self.bucket(probe);
        for _ in 0..ATTEMPTS {
            let (way, state, evicted) = match self.survey(bucket, probe, term.now, mode) {
                Survey::Valid(reading) => {
                    bucket.extend(&reading, term);
                    return Put::Kept(reading.backend);
                }
                Survey::Busy(way, state) => {
                    bucket.wait(way, state);
                    continue;
                }
                Survey::Take { way, state, evicts } => (way, state, evicts),
                Survey::Nothing => continue,
            };
            let mine = state.taken(probe.tag(), who);
            if !bucket.swap(way, state, mine) {
                continue;
            }
            // Between taking an entry and looking at the others: of two that do this, one sees the other. It also keeps
            // the words written below from being seen under the former state.
            W::fence(SeqCst);
            match self.settle(bucket, probe, way, term, mode) {
                Settled::Alone => {
                    bucket.write(way, mine, probe, backend, era, term);
                    // Fails only if the owner is not who it says: then somebody took the entry over, and has it.
                    let published = bucket.swap(way, mine, mine.filled(probe.tag()));
                    return if published { Put::Created { evicted } } else { Put::Unrecorded };
                }
                Settled::Beaten(winner) => {
                    bucket.swap(way, mine, mine.freed());
                    return Put::Kept(winner);
                }
                Settled::Yield(other, state) => {
                    bucket.swap(way, mine, mine.freed());
                    bucket.wait(other, state);
                }
            }
        }
        Put::Unrecorded
    }

    /// Ends this key's session, stale or not; true if there was one.
    pub(super) fn remove(&self, probe: &Probe) -> bool {
        let bucket = self.bucket(probe);
        for way in 0..WAYS {
            for _ in 0..LOOKS {
                let Look::Same(reading) = bucket.look(way, probe) else { break };
                if bucket.swap(way, reading.state, reading.state.freed()) {
                    return true;
                }
            }
        }
        false
    }

    /// Has it expired, or has its backend died since?
    #[inline]
    fn is_stale(&self, reading: &Reading, now: u64) -> bool {
        reading.expiry.ms() <= now || self.registry.era(reading.backend) != Some(reading.era)
    }

    /// Looks for the key, and for an entry to take if it is not there.
    fn survey(&self, bucket: &Bucket<W>, probe: &Probe, now: u64, mode: Mode) -> Survey {
        let mut free = None;
        for way in 0..WAYS {
            match bucket.look(way, probe) {
                Look::Other => {}
                Look::Torn => return Survey::Nothing,
                // Stale or to be replaced, the key's own entry is the one to take: then there is no other to clear.
                Look::Same(reading) => {
                    return if mode == Mode::Replace || self.is_stale(&reading, now) {
                        Survey::Take { way, state: reading.state, evicts: false }
                    } else {
                        Survey::Valid(reading)
                    };
                }
            }
            let state = bucket.state(way);
            match state.kind() {
                Kind::Free => free = free.or(Some((way, state))),
                Kind::Writing(owner) if !self.registry.is_live(owner) => free = free.or(Some((way, state))),
                Kind::Writing(_) if state.is_writing_of(probe.tag()) => return Survey::Busy(way, state),
                Kind::Writing(_) | Kind::Full => {}
            }
        }
        match free {
            Some((way, state)) => Survey::Take { way, state, evicts: false },
            None => self.victim(bucket, now),
        }
    }

    /// In a bucket without free entries: a stale one, or the one that expires first.
    fn victim(&self, bucket: &Bucket<W>, now: u64) -> Survey {
        let mut first: Option<(u64, usize, State)> = None;
        for way in 0..WAYS {
            let state = bucket.state(way);
            if state.kind() != Kind::Full {
                continue;
            }
            // If the entry changes while it is read, its state does too, and it cannot be taken under this one.
            let reading = bucket.read(way, state);
            if self.is_stale(&reading, now) {
                return Survey::Take { way, state, evicts: false };
            }
            if first.is_none_or(|(ms, ..)| reading.expiry.ms() < ms) {
                first = Some((reading.expiry.ms(), way, state));
            }
        }
        match first {
            Some((_, way, state)) => Survey::Take { way, state, evicts: true },
            None => Survey::Nothing,
        }
    }

    /// Looks at the other entries while holding `mine`.
    fn settle(&self, bucket: &Bucket<W>, probe: &Probe, mine: usize, term: Term, mode: Mode) -> Settled {
        for way in (0..WAYS).filter(|way| *way != mine) {
            let mut state = bucket.state(way);
            if self.is_rival(state, probe) {
                if way < mine {
                    return Settled::Yield(way, state);
                }
                state = bucket.wait(way, state);
                if self.is_rival(state, probe) {
                    return Settled::Yield(way, state);
                }
            }
            match bucket.look(way, probe) {
                Look::Other => {}
                Look::Torn => return Settled::Yield(way, state),
                Look::Same(reading) if mode == Mode::Keep && !self.is_stale(&reading, term.now) => {
                    bucket.extend(&reading, term);
                    return Settled::Beaten(reading.backend);
                }
                Look::Same(reading) => {
                    if !bucket.swap(way, reading.state, reading.state.freed()) {
                        return Settled::Yield(way, reading.state);
                    }
                }
            }
        }
        Settled::Alone
    }

    /// May somebody who lives be writing this key here?
    fn is_rival(&self, state: State, probe: &Probe) -> bool {
        state.is_writing_of(probe.tag())
            && matches!(state.kind(), Kind::Writing(owner) if self.registry.is_live(owner))
    }
}
