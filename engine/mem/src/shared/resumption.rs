//! TLS sessions by their ids, for clients that take no tickets: up to TLS 1.2, and rare.
//!
//! A table without locks. Who writes an entry writes all of its words and then a keyed hash over them; who reads one
//! copies the words and believes them if the hash is right. Two writers at once, or one that dies in the middle, leave
//! an entry that nobody believes. A bucket that is full loses the session that would end first.
//!
//! The secrets in it are in memory only, and no longer than the sessions live and their place is not needed.

use super::map::Segment;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Entries of the table: 4 MiB, backed by memory as they are used.
pub(super) const ENTRIES: usize = 8192;

/// Entries that an id may be in.
const WAYS: usize = 4;

/// Bytes of a session id (RFC 5246 7.4.1.2).
const ID_BYTES_MAX: usize = 32;

/// Bytes of a session: enough without a client's certificate. Sessions with one are not kept.
pub const RESUMPTION_BYTES_MAX: usize = 8 * (WORDS - BODY);

/// Words of an entry behind its hash, and where the session begins in them.
const WORDS: usize = 63;
const BODY: usize = 6;

/// One session: the hash; when it ends; lengths of id and session; the id; the session.
#[repr(C, align(64))]
pub(super) struct ResumptionEntry {
    hash: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// The sessions of a segment.
#[derive(Debug)]
pub struct Resumptions<'s> {
    segment: &'s Segment,
}

/// A copy of an entry's words.
#[derive(Clone, Copy)]
struct Copied([u64; WORDS]);

impl Copied {
    fn new(id: &[u8], session: &[u8], end_ms: u64) -> Copied {
        let mut words = [0; WORDS];
        words[0] = end_ms;
        words[1] = id.len() as u64 | (session.len() as u64) << 32;
        for (start, bytes) in [(2, id), (BODY, session)] {
            for (word, part) in words[start..].iter_mut().zip(bytes.chunks(8)) {
                let mut whole = [0; 8];
                whole[..part.len()].copy_from_slice(part);
                *word = u64::from_ne_bytes(whole);
            }
        }
        Copied(words)
    }

    fn end_ms(&self) -> u64 {
        self.0[0]
    }

    /// Whether it is the session of this id, which lengths that another process wrote do not decide.
    fn is_of(&self, id: &[u8]) -> bool {
        let wanted = Copied::new(id, &[], 0);
        self.0[1] as u32 == id.len() as u32 && self.0[2..BODY] == wanted.0[2..BODY]
    }

    fn session(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0[BODY..].iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.truncate((self.0[1] >> 32) as usize);
        bytes
    }

    /// Never 0, which stands for no session.
    fn hash(&self, secret: [u64; 2]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(secret[0], secret[1]);
        self.0.iter().for_each(|word| hasher.write_u64(*word));
        hasher.finish() | 1
    }
}

impl ResumptionEntry {
    /// What it holds, if that is whole.
    fn load(&self, secret: [u64; 2]) -> Option<Copied> {
        let hash = self.hash.load(Acquire);
        if hash == 0 {
            return None;
        }
        let mut copied = Copied([0; WORDS]);
        for (copy, word) in copied.0.iter_mut().zip(&self.words) {
            *copy = word.load(Relaxed);
        }
        (copied.hash(secret) == hash).then_some(copied)
    }

    fn store(&self, copied: &Copied, secret: [u64; 2]) {
        self.hash.store(0, Relaxed);
        for (copy, word) in copied.0.iter().zip(&self.words) {
            word.store(*copy, Relaxed);
        }
        self.hash.store(copied.hash(secret), Release);
    }

    fn clear(&self) {
        self.hash.store(0, Relaxed);
        self.words.iter().for_each(|word| word.store(0, Relaxed));
    }
}

impl<'s> Resumptions<'s> {
    pub(super) fn new(segment: &'s Segment) -> Resumptions<'s> {
        Resumptions { segment }
    }

    fn ways(&self, id: &[u8]) -> &'s [ResumptionEntry] {
        let secret = self.segment.secret();
        let mut hasher = SipHasher13::new_with_keys(secret[1], secret[0]);
        hasher.write(id);
        let bucket = hasher.finish() as usize % (ENTRIES / WAYS);
        &self.segment.resumption_entries()[bucket * WAYS..][..WAYS]
    }

    /// Keeps a session until `end_ms`; false if it, or its id, is longer than there is room for.
    pub fn keep(&self, id: &[u8], session: &[u8], end_ms: u64, now_ms: u64) -> bool {
        if !(1..=ID_BYTES_MAX).contains(&id.len()) || session.len() > RESUMPTION_BYTES_MAX {
            return false;
        }
        let secret = self.segment.secret();
        let worth = |entry: &ResumptionEntry| match entry.load(secret) {
            Some(copied) if copied.is_of(id) => 0,
            Some(copied) if copied.end_ms() > now_ms => copied.end_ms(),
            _ => 1,
        };
        if let Some(entry) = self.ways(id).iter().min_by_key(|entry| worth(entry)) {
            entry.store(&Copied::new(id, session, end_ms), secret);
        }
        true
    }

    /// The session of an id.
    #[must_use]
    pub fn find(&self, id: &[u8], now_ms: u64) -> Option<Vec<u8>> {
        let secret = self.segment.secret();
        let found = self.ways(id).iter().filter_map(|entry| entry.load(secret));
        found.into_iter().find(|copied| copied.is_of(id) && copied.end_ms() > now_ms).map(|it| it.session())
    }

    /// Forgets the session of an id.
    pub fn forget(&self, id: &[u8]) {
        let secret = self.segment.secret();
        for entry in self.ways(id) {
            if entry.load(secret).is_some_and(|copied| copied.is_of(id)) {
                entry.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::map::smallest as segment;

    #[test]
    fn a_session_is_found_by_its_id_until_it_ends_or_is_forgotten() {
        let segment = segment();
        let table = segment.resumptions();
        assert!(table.keep(b"one", b"first", 100, 0));
        assert!(table.keep(b"two", &[7; RESUMPTION_BYTES_MAX], 100, 0));
        assert_eq!(table.find(b"one", 99).as_deref(), Some(&b"first"[..]));
        assert_eq!(table.find(b"two", 0).as_deref(), Some(&[7; RESUMPTION_BYTES_MAX][..]));
        assert_eq!(table.find(b"one", 100), None);
        assert_eq!(table.find(b"on", 0), None);
        assert!(table.keep(b"one", b"second", 100, 0));
        assert_eq!(table.find(b"one", 0).as_deref(), Some(&b"second"[..]));
        table.forget(b"one");
        assert_eq!(table.find(b"one", 0), None);
        assert!(table.find(b"two", 0).is_some());
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let segment = segment();
        let table = segment.resumptions();
        assert!(!table.keep(b"id", &[0; RESUMPTION_BYTES_MAX + 1], 9, 0));
        assert!(!table.keep(&[0; 33], b"session", 9, 0));
        assert!(!table.keep(b"", b"session", 9, 0));
    }

    /// A full bucket loses what would end first, and nothing but it.
    #[test]
    fn the_table_is_bounded() {
        let segment = segment();
        let table = segment.resumptions();
        for number in 0..50_000_u64 {
            assert!(table.keep(&number.to_ne_bytes(), b"session", 1000 + number, 0));
        }
        let found =
            |from: u64| (from..from + 100).filter(|n| table.find(&n.to_ne_bytes(), 0).is_some()).count();
        assert_eq!(found(49_900), 100, "the newest are there");
        assert_eq!(found(0), 0, "the oldest have gone");
    }

    /// A writer that died in the middle, or was another's in the middle, has written nothing.
    #[test]
    fn what_is_not_whole_is_not_there() {
        let segment = segment();
        let table = segment.resumptions();
        assert!(table.keep(b"one", b"first", 100, 0));
        let entry = table.ways(b"one").iter().find(|entry| entry.hash.load(Relaxed) != 0).expect("an entry");
        entry.words[BODY].fetch_add(1, Relaxed);
        assert_eq!(table.find(b"one", 0), None);
        assert!(table.keep(b"one", b"again", 100, 0));
        assert!(table.find(b"one", 0).is_some());
        table.ways(b"one").iter().for_each(|entry| entry.hash.store(0, Relaxed));
        assert_eq!(table.find(b"one", 0), None);
    }
}
