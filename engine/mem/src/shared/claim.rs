//! Which identity has which row. A row keeps its number, and with it all that is known about its tenant, for as long
//! as each generation claims it again: so a reload forgets nothing.
//!
//! Only the supervisor claims and sweeps. A claim looks through the tags in use, 24 bytes each; at the cap of 4096
//! rows, claiming all of them reads some hundreds of megabytes of cache, tens of milliseconds, once per reload.

use super::layout::Tag;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The tags of one table.
pub(super) struct Claims<'a> {
    tags: &'a [Tag],
    /// How many of them were ever used; the rest is free.
    peak: &'a AtomicU32,
    secret: [u64; 2],
}

/// The row that an identity has.
pub(super) enum Claim {
    /// It had it before: what is in the row stands.
    Kept(u32),
    /// It is new: what is in the row is the former tenant's, or nothing. [`Claims::open`] ends the claim.
    New(u32),
}

impl<'a> Claims<'a> {
    pub(super) fn new(tags: &'a [Tag], peak: &'a AtomicU32, secret: [u64; 2]) -> Claims<'a> {
        Claims { tags, peak, secret }
    }

    /// The tags that were ever used. The bound is ours, whatever the segment says.
    fn used(&self) -> &'a [Tag] {
        &self.tags[..(self.peak.load(Acquire) as usize).min(self.tags.len())]
    }

    /// How many rows were ever used.
    pub(super) fn peak(&self) -> usize {
        self.used().len()
    }

    /// Finds the row of this identity, or reserves a free one; `None` if there is none.
    pub(super) fn claim(&self, identity: &str, generation: u32) -> Option<Claim> {
        let wanted = hash(self.secret, identity);
        let mut free = None;
        for (row, tag) in self.used().iter().enumerate() {
            if tag.used.load(Acquire) == 0 {
                free = free.or(Some(row));
            } else if [tag.identity[0].load(Relaxed), tag.identity[1].load(Relaxed)] == wanted {
                tag.generation.store(generation, Relaxed);
                return Some(Claim::Kept(row as u32));
            }
        }
        let row = free.unwrap_or(self.used().len());
        let tag = self.tags.get(row)?;
        tag.identity[0].store(wanted[0], Relaxed);
        tag.identity[1].store(wanted[1], Relaxed);
        tag.generation.store(generation, Relaxed);
        Some(Claim::New(row as u32))
    }

    /// Puts a new row in use, once it is as its tenant shall find it.
    pub(super) fn open(&self, row: u32) {
        self.tags[row as usize].used.store(1, Release);
        self.peak.fetch_max(row + 1, Release);
    }

    /// Frees all rows that were last claimed before the generation `keep`, telling `freed` of each.
    pub(super) fn sweep(&self, keep: u32, mut freed: impl FnMut(u32)) {
        for (row, tag) in self.used().iter().enumerate() {
            if tag.used.load(Acquire) != 0 && tag.generation.load(Relaxed) < keep {
                freed(row as u32);
                tag.used.store(0, Release);
            }
        }
    }
}

/// 128 bits, keyed, so that no configuration can be written to have two identities meet.
fn hash(secret: [u64; 2], identity: &str) -> [u64; 2] {
    let mut hasher = SipHasher13::new_with_keys(secret[0], secret[1]);
    hasher.write(identity.as_bytes());
    let hash = hasher.finish128();
    [hash.h1, hash.h2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags for `rows` rows, and their peak.
    fn table(rows: usize) -> (Vec<Tag>, AtomicU32) {
        let tag =
            |_| Tag { identity: Default::default(), generation: AtomicU32::new(0), used: AtomicU32::new(0) };
        ((0..rows).map(tag).collect(), AtomicU32::new(0))
    }

    /// Claims to the end; whether it was new, and the row.
    fn claim(claims: &Claims<'_>, identity: &str, generation: u32) -> Option<(bool, u32)> {
        match claims.claim(identity, generation)? {
            Claim::Kept(row) => Some((false, row)),
            Claim::New(row) => {
                claims.open(row);
                Some((true, row))
            }
        }
    }

    #[test]
    fn an_identity_keeps_its_row_over_reloads() {
        let (tags, peak) = table(4);
        let claims = Claims::new(&tags, &peak, [1, 2]);
        assert_eq!(claim(&claims, "a", 1), Some((true, 0)));
        assert_eq!(claim(&claims, "b", 1), Some((true, 1)));
        assert_eq!(claim(&claims, "b", 2), Some((false, 1)));
    }

    #[test]
    fn a_sweep_frees_what_this_generation_did_not_claim() {
        let (tags, peak) = table(2);
        let claims = Claims::new(&tags, &peak, [1, 2]);
        claim(&claims, "a", 1);
        claim(&claims, "b", 1);
        assert_eq!(claim(&claims, "c", 2), None, "the table is full");
        claim(&claims, "b", 2);
        let mut freed = Vec::new();
        claims.sweep(2, |row| freed.push(row));
        assert_eq!(freed, [0]);
        assert_eq!(claim(&claims, "c", 2), Some((true, 0)));
        assert_eq!(claim(&claims, "b", 2), Some((false, 1)));
    }

    #[test]
    fn a_peak_that_somebody_scribbled_over_leads_nowhere() {
        let (tags, peak) = table(2);
        peak.store(u32::MAX, Relaxed);
        let claims = Claims::new(&tags, &peak, [1, 2]);
        assert_eq!(claim(&claims, "a", 1), Some((true, 0)));
        assert_eq!(claim(&claims, "b", 1), Some((true, 1)));
        assert_eq!(claim(&claims, "c", 1), None);
    }
}
