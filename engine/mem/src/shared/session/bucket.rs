//! Buckets and entries: reading and writing the words of one session, and nothing about when one may.

use super::super::health::BackendId;
use super::super::service::ServiceId;
use super::super::word::Word;
use super::word::{Expiry, Kind, State, TAG_BITS};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Keys are cut to so many bytes.
pub const KEY_BYTES_MAX: usize = 127;
/// Words that a key takes.
const KEY_WORDS: usize = (KEY_BYTES_MAX + 1) / 8;
/// Entries of a bucket.
pub(super) const WAYS: usize = 8;
/// How many looks a waiter takes before it gives up: some microseconds, where an undisturbed insertion takes less than
/// one.
const TURNS: u32 = if cfg!(test) { 3 } else { 64 };
/// How often a reader takes another look at an entry that changed under its eyes.
pub(super) const LOOKS: u32 = 4;

/// A hit moves the expiry only if it moves at least so far, or a 64th of the TTL if that is less.
const GRAIN_MS: u64 = 250;

/// Eight entries and, in a cache line of their own, their states.
#[repr(C, align(64))]
#[cfg_attr(test, derive(Default))]
pub(in crate::shared) struct Bucket<W> {
    states: [W; WAYS],
    entries: [Entry<W>; WAYS],
}

/// One session. The words mean something only under a full state.
#[repr(C)]
#[cfg_attr(test, derive(Default))]
pub(super) struct Entry<W> {
    /// An [`Expiry`].
    expiry: W,
    /// The backend in the lower half, its era in the upper.
    target: W,
    /// The service in the upper half, the length of the key in the lower.
    label: W,
    key: [W; KEY_WORDS],
}

/// A key, ready to be looked for.
pub(super) struct Probe {
    hash: u64,
    label: u64,
    words: [u64; KEY_WORDS],
}

impl Probe {
    /// Cuts the key and hashes it with the boot secret, so that nobody outside can aim at a bucket.
    pub(super) fn new(secret: [u64; 2], service: ServiceId, key: &[u8]) -> Probe {
        let key = &key[..key.len().min(KEY_BYTES_MAX)];
        let mut words = [0; KEY_WORDS];
        for (word, bytes) in words.iter_mut().zip(key.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(padded);
        }
        let mut hasher = SipHasher13::new_with_keys(secret[0], secret[1]);
        hasher.write_u32(service.0);
        hasher.write(key);
        Probe { hash: hasher.finish(), label: u64::from(service.0) << 32 | key.len() as u64, words }
    }

    /// The words that the key fills.
    #[inline]
    fn words(&self) -> &[u64] {
        &self.words[..(self.label as u32 as usize).div_ceil(8)]
    }

    #[inline]
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(super) fn tag(&self) -> u64 {
        self.hash >> (64 - TAG_BITS)
    }
}

/// When, and for how long: milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) now: u64,
    pub(super) ttl: u64,
}

impl Term {
    #[inline]
    fn end(self) -> u64 {
        self.now.saturating_add(self.ttl)
    }
}

/// A session as it was read.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) way: usize,
    pub(super) state: State,
    pub(super) expiry: Expiry,
    pub(super) backend: BackendId,
    pub(super) era: u32,
}

/// What a look at one entry gave.
pub(super) enum Look {
    /// It is not the key's.
    Other,
    /// It changed meanwhile, each time.
    Torn,
    /// It is the key's.
    Same(Reading),
}

/// A copy of a session, for those who go through the table.
pub(super) struct Session {
    pub(super) backend: BackendId,
    pub(super) era: u32,
    pub(super) expiry_ms: u64,
    key: [u8; KEY_WORDS * 8],
    key_bytes: usize,
}

impl Session {
    pub(super) fn key(&self) -> &[u8] {
        &self.key[..self.key_bytes]
    }
}

impl<W: Word> Bucket<W> {
    #[inline]
    pub(super) fn state(&self, way: usize) -> State {
        State(self.states[way].load(Acquire))
    }

    /// Moves an entry from one state to another; false if it is in a third one.
    #[inline]
    pub(super) fn swap(&self, way: usize, from: State, to: State) -> bool {
        self.states[way].swap(from.0, to.0, AcqRel)
    }

    /// Is this entry the key's, and what does it say?
    #[inline]
    pub(super) fn look(&self, way: usize, probe: &Probe) -> Look {
        for _ in 0..LOOKS {
            // Each look begins with an acquiring load: the one that ends a look orders only what came before it.
            let state = self.state(way);
            if !state.is_full_of(probe.tag()) {
                return Look::Other;
            }
            let reading = self.read(way, state);
            let same = self.entries[way].is_of(probe);
            if self.again(way) == state {
                return if same { Look::Same(reading) } else { Look::Other };
            }
        }
        Look::Torn
    }

    /// The state once more, after all words that were read before. If one of them came from a later writer, then the
    /// fence here pairs with the one behind which it wrote (`Table::put`), and this sees that the entry was taken.
    #[inline]
    fn again(&self, way: usize) -> State {
        W::fence(Acquire);
        State(self.states[way].load(Relaxed))
    }

    /// What an entry's words say. True if the state is still the same afterwards.
    #[inline]
    pub(super) fn read(&self, way: usize, state: State) -> Reading {
        let entry = &self.entries[way];
        let target = entry.target.load(Relaxed);
        Reading {
            way,
            state,
            expiry: Expiry(entry.expiry.load(Relaxed)),
            backend: BackendId(target as u32),
            era: (target >> 32) as u32,
        }
    }

    /// Writes the words of an entry that this process has taken, under the state `mine`.
    pub(super) fn write(
        &self,
        way: usize,
        mine: State,
        probe: &Probe,
        backend: BackendId,
        era: u32,
        term: Term,
    ) {
        let entry = &self.entries[way];
        entry.expiry.store(Expiry::new(mine.version(), term.end()).0, Relaxed);
        entry.target.store(u64::from(era) << 32 | u64::from(backend.0), Relaxed);
        entry.label.store(probe.label, Relaxed);
        for (place, word) in entry.key.iter().zip(probe.words()) {
            place.store(*word, Relaxed);
        }
    }

    /// Moves the expiry of the session that was read, if it is worth it. If the entry is another's by now its expiry
    /// word has another version, and nothing happens.
    #[inline]
    pub(super) fn extend(&self, reading: &Reading, term: Term) {
        let grain = (term.ttl / 64).min(GRAIN_MS);
        if term.end() > reading.expiry.ms().saturating_add(grain) {
            let moved = Expiry::new(reading.state.version(), term.end());
            if reading.expiry.version() == moved.version() {
                self.entries[reading.way].expiry.swap(reading.expiry.0, moved.0, Relaxed);
            }
        }
    }

    /// Waits a bounded while for an entry to leave `state`; says what state it has then.
    pub(super) fn wait(&self, way: usize, state: State) -> State {
        for _ in 0..TURNS {
            let now = self.state(way);
            if now != state {
                return now;
            }
            W::pause();
        }
        state
    }

    /// Calls `each` with a copy of every session of the services that `wanted` says yes to.
    pub(super) fn for_each(&self, wanted: impl Fn(ServiceId) -> bool, mut each: impl FnMut(&Session)) {
        for way in 0..WAYS {
            if let Some((_, session)) = self.session(way, &wanted) {
                each(&session);
            }
        }
    }

    /// Frees the sessions of the services that `gone` says yes to.
    pub(super) fn free_if(&self, gone: impl Fn(ServiceId) -> bool) {
        for way in 0..WAYS {
            if let Some((state, _)) = self.session(way, &gone) {
                // If it changed meanwhile it is another session, and newer than the question.
                self.swap(way, state, state.freed());
            }
        }
    }

    /// A copy of the session in this entry, if its service is wanted and it holds still for so long.
    fn session(&self, way: usize, wanted: impl Fn(ServiceId) -> bool) -> Option<(State, Session)> {
        let entry = &self.entries[way];
        for _ in 0..LOOKS {
            let state = self.state(way);
            if state.kind() != Kind::Full {
                return None;
            }
            let reading = self.read(way, state);
            let label = entry.label.load(Relaxed);
            let service = ServiceId((label >> 32) as u32);
            if !wanted(service) {
                if self.again(way) == state {
                    return None;
                }
                continue;
            }
            let mut key = [0; KEY_WORDS * 8];
            for (bytes, word) in key.chunks_exact_mut(8).zip(&entry.key) {
                bytes.copy_from_slice(&word.load(Relaxed).to_le_bytes());
            }
            if self.again(way) == state {
                return Some((
                    state,
                    Session {
                        backend: reading.backend,
                        era: reading.era,
                        expiry_ms: reading.expiry.ms(),
                        key,
                        key_bytes: (label as u32 as usize).min(KEY_BYTES_MAX),
                    },
                ));
            }
        }
        None
    }
}

impl<W: Word> Entry<W> {
    /// Does it hold this key? True if the state is still the same afterwards.
    #[inline]
    fn is_of(&self, probe: &Probe) -> bool {
        self.label.load(Relaxed) == probe.label
            && self.key.iter().zip(probe.words()).all(|(place, word)| place.load(Relaxed) == *word)
    }
}
