//! Ticket keys: what TLS session tickets are sealed with, the same for all workers of all generations.
//!
//! There are two banks. The supervisor, which alone writes, fills the one that nobody reads and then says that it is the
//! one to read; a reader that was overtaken in the middle looks again. So no reader ever waits for a writer.

use super::map::{Segment, draw};
use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// Keys that are accepted at a time; tickets are sealed with the first of them.
pub const TICKET_KEYS_MAX: usize = 4;

/// Bytes of a key at most: name 16, HMAC key 32, cipher key 32.
const BYTES_MAX: usize = 80;

/// How often a reader looks again before it does without keys.
const LOOKS_MAX: usize = 16;

/// A key: its name and two secrets, in one of the two sizes that there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TicketKey {
    bytes: [u8; BYTES_MAX],
    len: usize,
}

/// All keys that are accepted, the one that seals first.
#[derive(Debug, Clone, Copy, Default)]
pub struct TicketKeys {
    keys: [TicketKey; TICKET_KEYS_MAX],
}

/// The two banks.
#[repr(C, align(64))]
pub(super) struct TicketRow {
    /// Counts the changes; its parity says which bank is read.
    changes: AtomicU64,
    /// When the last change was, milliseconds.
    changed_ms: AtomicU64,
    banks: [[TicketSlot; TICKET_KEYS_MAX]; 2],
}

#[repr(C)]
struct TicketSlot {
    /// Bytes of the key; 0 if there is none.
    len: AtomicU64,
    words: [AtomicU64; BYTES_MAX / 8],
}

/// The ticket keys of a segment.
#[derive(Debug)]
pub struct Tickets<'s> {
    segment: &'s Segment,
}

impl TicketKey {
    /// A key of 80 bytes (name, HMAC key of 32, AES-256 key) or of 48 (name, AES-128 key, HMAC key of 16).
    #[must_use]
    pub fn new(given: &[u8]) -> Option<TicketKey> {
        if !matches!(given.len(), 48 | BYTES_MAX) {
            return None;
        }
        let mut bytes = [0; BYTES_MAX];
        bytes[..given.len()].copy_from_slice(given);
        Some(TicketKey { bytes, len: given.len() })
    }

    /// A key that nobody knows.
    fn drawn() -> io::Result<TicketKey> {
        let mut bytes = [0; BYTES_MAX];
        for (part, word) in bytes.chunks_exact_mut(8).zip(draw::<{ BYTES_MAX / 8 }>()?) {
            part.copy_from_slice(&word.to_ne_bytes());
        }
        Ok(TicketKey { bytes, len: BYTES_MAX })
    }

    const NONE: TicketKey = TicketKey { bytes: [0; BYTES_MAX], len: 0 };

    /// What tickets name it by.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.bytes[..16]
    }

    /// What tickets are authenticated with.
    #[must_use]
    pub fn hmac(&self) -> &[u8] {
        if self.len == BYTES_MAX { &self.bytes[16..48] } else { &self.bytes[32..48] }
    }

    /// What they are encrypted with: for AES-256 or AES-128, by its length.
    #[must_use]
    pub fn cipher(&self) -> &[u8] {
        if self.len == BYTES_MAX { &self.bytes[48..] } else { &self.bytes[16..32] }
    }
}

impl Default for TicketKey {
    fn default() -> TicketKey {
        TicketKey::NONE
    }
}

impl std::fmt::Debug for TicketKey {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKey").field("bytes", &self.len).finish()
    }
}

impl TicketKeys {
    fn all(&self) -> impl Iterator<Item = &TicketKey> {
        self.keys.iter().filter(|key| key.len > 0)
    }

    /// The key that seals.
    #[must_use]
    pub fn current(&self) -> Option<&TicketKey> {
        self.all().next()
    }

    /// The key of this name, and whether it is the one that seals.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<(&TicketKey, bool)> {
        let place = self.all().position(|key| key.name() == name)?;
        Some((self.all().nth(place)?, place == 0))
    }
}

impl TicketSlot {
    fn load(&self) -> TicketKey {
        let mut key = TicketKey { bytes: [0; BYTES_MAX], len: self.len.load(Relaxed) as usize };
        for (part, word) in key.bytes.chunks_exact_mut(8).zip(&self.words) {
            part.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        // Nobody trusts a length that another process wrote.
        if matches!(key.len, 48 | BYTES_MAX) { key } else { TicketKey::NONE }
    }

    fn store(&self, key: &TicketKey) {
        self.len.store(key.len as u64, Relaxed);
        for (part, word) in key.bytes.chunks_exact(8).zip(&self.words) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(part);
            word.store(u64::from_ne_bytes(bytes), Relaxed);
        }
    }
}

impl<'s> Tickets<'s> {
    pub(super) fn new(segment: &'s Segment) -> Tickets<'s> {
        Tickets { segment }
    }

    /// The keys of now; none in the unheard-of case that they change faster than they can be read.
    #[must_use]
    pub fn keys(&self) -> TicketKeys {
        let row = self.segment.ticket_row();
        for _ in 0..LOOKS_MAX {
            let before = row.changes.load(Acquire);
            let bank = &row.banks[(before & 1) as usize];
            let mut keys = TicketKeys::default();
            for (key, slot) in keys.keys.iter_mut().zip(bank) {
                *key = slot.load();
            }
            fence(Acquire);
            if row.changes.load(Relaxed) == before {
                return keys;
            }
        }
        TicketKeys::default()
    }

    /// When the keys were changed last, milliseconds; 0 before the first change.
    #[must_use]
    pub fn changed_ms(&self) -> u64 {
        self.segment.ticket_row().changed_ms.load(Relaxed)
    }

    /// A fresh key seals from now on, and the one that did is accepted until the next change. Only the supervisor calls
    /// it.
    ///
    /// # Errors
    /// What getrandom(2) reports; nothing is changed then.
    pub fn rotate(&self, now_ms: u64) -> io::Result<()> {
        let fresh = TicketKey::drawn()?;
        let previous = self.keys().current().copied();
        self.put([Some(fresh), previous].into_iter().flatten(), now_ms);
        Ok(())
    }

    /// These keys are accepted from now on, and the first one seals; the one that did so far is accepted as well, if
    /// there is room. Only the supervisor calls it.
    pub fn replace(&self, keys: &[TicketKey], now_ms: u64) {
        let previous = self.keys().current().copied();
        let previous = previous.filter(|previous| !keys.iter().any(|key| key.name() == previous.name()));
        self.put(keys.iter().copied().chain(previous), now_ms);
    }

    fn put(&self, keys: impl Iterator<Item = TicketKey>, now_ms: u64) {
        let row = self.segment.ticket_row();
        let next = row.changes.load(Relaxed).wrapping_add(1);
        // Whoever still reads this bank must see that it is not the one to read any more, so the change before this one
        // must not come after what is written now.
        fence(Release);
        let padded = keys.chain(std::iter::repeat(TicketKey::NONE));
        for (slot, key) in row.banks[(next & 1) as usize].iter().zip(padded) {
            slot.store(&key);
        }
        row.changed_ms.store(now_ms, Relaxed);
        row.changes.store(next, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::map::smallest as segment;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    /// Whoever attaches seals tickets as the maker does, and nobody else.
    #[test]
    fn keys_are_shared_by_one_segment_only() {
        let one = segment();
        let two = Segment::attach(one.fd().try_clone_to_owned().expect("a descriptor")).expect("the same");
        let seals = |segment: &Segment| segment.tickets().keys().current().copied().expect("a key");
        assert!(seals(&one) == seals(&two));
        assert!(seals(&one) != seals(&segment()));
    }

    /// A ticket is good for one change of keys, and not for two.
    #[test]
    fn the_key_before_is_accepted_until_the_next_change() {
        let segment = segment();
        let tickets = segment.tickets();
        let first = *tickets.keys().current().expect("a key");
        tickets.rotate(7).expect("random bytes");
        let keys = tickets.keys();
        assert_eq!(tickets.changed_ms(), 7);
        assert_eq!(keys.find(first.name()).map(|(_, current)| current), Some(false));
        assert!(keys.current() != Some(&first));
        tickets.rotate(8).expect("random bytes");
        assert!(tickets.keys().find(first.name()).is_none());
    }

    #[test]
    fn given_keys_replace_drawn_ones() {
        let segment = segment();
        let tickets = segment.tickets();
        let drawn = *tickets.keys().current().expect("a key");
        let long = TicketKey::new(&[1; 80]).expect("a key");
        let short = TicketKey::new(&(0..48).collect::<Vec<u8>>()).expect("a key");
        tickets.replace(&[long, short], 1);
        let keys = tickets.keys();
        assert!(keys.current() == Some(&long));
        let found = keys.find(short.name()).expect("the second").0;
        assert_eq!((found.cipher(), found.hmac()), (&short.bytes[16..32], &short.bytes[32..48]));
        assert!(keys.find(drawn.name()).is_some());
        tickets.replace(&[short, long], 2);
        assert!(tickets.keys().find(drawn.name()).is_none());
        for wrong in [0, 47, 49, 79, 81] {
            assert!(TicketKey::new(&vec![0; wrong]).is_none(), "{wrong}");
        }
    }

    /// A key that is read while others are written is one of those that were written.
    #[test]
    fn readers_see_whole_keys() {
        let segment = Arc::new(segment());
        let whole = |byte: u8| TicketKey::new(&[byte; 80]).expect("a key");
        segment.tickets().replace(&[whole(0)], 0);
        let (over, of_writer) = (Arc::new(AtomicBool::new(false)), Arc::clone(&segment));
        let told = Arc::clone(&over);
        let writer = std::thread::spawn(move || {
            for round in 0..20_000_u64 {
                of_writer.tickets().replace(&[whole(round as u8)], round);
            }
            told.store(true, Release);
        });
        while !over.load(Acquire) {
            if let Some(key) = segment.tickets().keys().current() {
                assert!(key.bytes.iter().all(|byte| *byte == key.bytes[0]), "{:?}", key.bytes);
            }
        }
        writer.join().expect("a writer");
    }
}
