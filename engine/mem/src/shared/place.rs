//! [`Places`]: where backends are whose addresses are looked up while traffic runs.
//!
//! A name has a backend row that stands for it and is never connected to, and a fixed number of *places*, each a backend
//! row of its own. The warden gives addresses to places; which of them hold one is a set in a single word of the name's
//! row, so that workers see all of an answer or nothing. A place is written only while it is not in the set.
//!
//! A reader takes an address whole or not at all, and never waits: the row's turn tells that it was written meanwhile,
//! and a check over the words that two writers met in it (the wardens of two generations, in a reload) or that one died in
//! the middle. Either way the place is no place until it is written again.

use super::health::{BackendId, Backends};
use super::layout::{FNV_START, PlaceRow, fnv};
use super::map::Segment;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::fence;

/// Most places of a name: the bits of the word that tells which are in use, halved for what no balancer needs.
pub const PLACES_MAX: u32 = 32;

/// How often a read is tried that meets a write.
const READS_MAX: usize = 8;

const INET: u64 = 4;
const INET6: u64 = 6;

/// Where a backend is, and in which era of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its address.
    pub address: SocketAddr,
    /// The era in which it is there; another one is another server, or the same one after its death.
    pub era: u32,
}

/// What an answer says about how an address is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Its weight; 0 where the answer says nothing about it.
    pub weight: u16,
    /// Its group: one is used when nothing in those of lower numbers can be.
    pub group: u16,
}

/// A view of the places. Methods that take an id panic if it is none of this segment's rows.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    segment: &'a Segment,
}

impl<'a> Places<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment) -> Places<'a> {
        Places { segment }
    }

    #[inline]
    fn row(&self, id: BackendId) -> &'a PlaceRow {
        &self.segment.place_rows()[id.0 as usize]
    }

    fn health(&self) -> Backends<'a> {
        self.segment.backends()
    }

    /// A new tenant finds nothing.
    pub(super) fn clear(&self, id: BackendId) {
        let row = self.row(id);
        row.occupied.store(0, Relaxed);
        row.expiry.store(0, Relaxed);
        row.share.store(0, Relaxed);
        // No check is 0 over words of 0.
        row.address.iter().for_each(|word| word.store(0, Relaxed));
        row.turn.store(row.turn.load(Relaxed).wrapping_add(2) & !1, Release);
    }

    /// Which places of a name hold an address: bit N is the N-th.
    #[inline]
    #[must_use]
    pub fn occupied(&self, name: BackendId) -> u64 {
        self.row(name).occupied.load(Acquire)
    }

    /// Where a place is, if it is anywhere.
    #[inline]
    #[must_use]
    pub fn at(&self, id: BackendId) -> Option<Placed> {
        let row = self.row(id);
        for _ in 0..READS_MAX {
            let turn = row.turn.load(Acquire);
            let era = self.health().era(id)?;
            let words = [0, 1, 2].map(|word: usize| row.address[word].load(Relaxed));
            fence(Acquire);
            if turn & 1 == 0 && row.turn.load(Relaxed) == turn {
                return decode(words).map(|address| Placed { address, era });
            }
            std::hint::spin_loop();
        }
        None
    }

    /// How a place is used.
    #[inline]
    #[must_use]
    pub fn share(&self, id: BackendId) -> Share {
        let share = self.row(id).share.load(Relaxed);
        Share { weight: share as u16, group: (share >> 16) as u16 }
    }

    /// Until when the last answer about a name holds, milliseconds; `None` before the first.
    #[must_use]
    pub fn expiry(&self, name: BackendId) -> Option<u64> {
        Some(self.row(name).expiry.load(Relaxed)).filter(|&expiry| expiry != 0)
    }

    /// Gives a place, which is not in use, to another server. For the warden alone.
    pub fn settle(&self, id: BackendId, address: SocketAddr, share: Share) {
        let row = self.row(id);
        let turn = row.turn.load(Relaxed) | 1;
        row.turn.store(turn, Relaxed);
        fence(Release);
        self.health().renew(id);
        for (word, value) in row.address.iter().zip(encode(address)) {
            word.store(value, Relaxed);
        }
        self.set_share(id, share);
        row.turn.store(turn.wrapping_add(1), Release);
    }

    /// Says how a place is used. For the warden alone.
    pub fn set_share(&self, id: BackendId, share: Share) {
        let word = u64::from(share.weight) | u64::from(share.group) << 16;
        self.row(id).share.store(word, Relaxed);
    }

    /// Says which places of a name are in use, all at once, and until when that holds. Sessions with those that `places`
    /// says are no longer in use end. For the warden alone.
    pub fn open(&self, name: BackendId, occupied: u64, expiry_ms: u64, places: impl Fn(u32) -> BackendId) {
        let row = self.row(name);
        row.expiry.store(expiry_ms.max(1), Relaxed);
        let before = row.occupied.swap(occupied, AcqRel);
        let mut left = before & !occupied & ((1 << PLACES_MAX) - 1);
        while left != 0 {
            self.health().forget_sessions(places(left.trailing_zeros()));
            left &= left - 1;
        }
    }

    /// Says until when what is known of a name holds. For the warden alone.
    pub fn set_expiry(&self, name: BackendId, expiry_ms: u64) {
        self.row(name).expiry.store(expiry_ms.max(1), Relaxed);
    }
}

fn encode(address: SocketAddr) -> [u64; 3] {
    let (bits, kind) = match address.ip() {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), INET),
        IpAddr::V6(ip) => (u128::from(ip), INET6),
    };
    let words = [(bits >> 64) as u64, bits as u64];
    let last = u64::from(address.port()) | kind << 16;
    [words[0], words[1], last | check(words, last) << 32]
}

fn decode(words: [u64; 3]) -> Option<SocketAddr> {
    let last = words[2] & 0xffff_ffff;
    if words[2] >> 32 != check([words[0], words[1]], last) {
        return None;
    }
    let bits = u128::from(words[0]) << 64 | u128::from(words[1]);
    let ip = match last >> 16 {
        INET => IpAddr::V4(Ipv4Addr::from(bits as u32)),
        INET6 => IpAddr::V6(Ipv6Addr::from(bits)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, last as u16))
}

/// 32 bits that words of two addresses do not have in common.
fn check(words: [u64; 2], last: u64) -> u64 {
    let hash = [words[0], words[1], last].iter().fold(FNV_START, |hash, word| fnv(hash, &word.to_le_bytes()));
    (hash ^ hash >> 32) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, ServiceId};
    use std::sync::atomic::AtomicBool;

    fn segment() -> Segment {
        let limits =
            Limits { backends: 8, workers: 4, session_buckets: 16, services: 2, ..Limits::default() };
        Segment::create(limits).expect("a segment")
    }

    fn claim(segment: &Segment, name: &str) -> BackendId {
        segment.backends().claim(name, 1).expect("a row")
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_of_both_families_come_out_as_they_went_in() {
        let segment = segment();
        let id = claim(&segment, "place");
        let places = segment.places();
        assert_eq!(places.at(id), None, "nothing is known at first");
        for text in ["192.0.2.1:80", "[2001:db8::1]:65535", "0.0.0.1:1", "[::ffff:192.0.2.1]:8080", "[::]:0"]
        {
            places.settle(id, address(text), Share { weight: 7, group: 65535 });
            assert_eq!(places.at(id).map(|placed| placed.address), Some(address(text)));
            assert_eq!(places.share(id), Share { weight: 7, group: 65535 });
        }
    }

    /// Health, switch and sessions were the former server's.
    #[test]
    fn another_server_starts_afresh() {
        let segment = segment();
        let (backends, places) = (segment.backends(), segment.places());
        let id = claim(&segment, "place");
        places.settle(id, address("192.0.2.1:80"), Share::default());
        let before = places.at(id).expect("an address");
        backends.set_disabled(id, true);
        assert!(backends.mark_dead_in(id, before.era, 5));
        assert!(!backends.mark_dead_in(id, before.era, 6), "it is dead");
        places.settle(id, address("192.0.2.2:80"), Share::default());
        let after = places.at(id).expect("an address");
        assert_ne!(after.era, before.era);
        assert!(!backends.mark_dead_in(id, before.era, 7), "a failure of the former server");
        assert!(backends.is_active(id));
        assert_eq!((backends.failures(id), backends.since(id)), (0, 0));
    }

    #[test]
    fn sessions_end_with_the_place_and_with_no_other() {
        let segment = segment();
        let (name, places) = (claim(&segment, "name"), segment.places());
        let ids = [claim(&segment, "0"), claim(&segment, "1")];
        let owner = segment.fleet().begin(0, 1);
        let service = ServiceId(0);
        for (id, last) in ids.into_iter().zip(1..) {
            places.settle(id, address(&format!("192.0.2.{last}:80")), Share::default());
        }
        places.open(name, 0b11, 1000, |place| ids[place as usize]);
        let sessions = segment.sessions();
        for id in ids {
            assert_eq!(sessions.insert(service, &[id.0 as u8], id, 0, 1000, owner), id);
        }
        places.open(name, 0b10, 2000, |place| ids[place as usize]);
        assert_eq!((places.occupied(name), places.expiry(name)), (0b10, Some(2000)));
        assert_eq!(sessions.find(service, &[ids[0].0 as u8], 1, 1000), None);
        assert_eq!(sessions.find(service, &[ids[1].0 as u8], 1, 1000), Some(ids[1]));
    }

    #[test]
    fn a_writer_that_died_leaves_no_address_and_stops_nobody() {
        let segment = segment();
        let id = claim(&segment, "place");
        let places = segment.places();
        places.settle(id, address("192.0.2.1:80"), Share::default());
        let row = places.row(id);
        // It died between its first word and its last.
        row.turn.store(row.turn.load(Relaxed) | 1, Relaxed);
        row.address[1].store(77, Relaxed);
        assert_eq!(places.at(id), None);
        places.settle(id, address("192.0.2.2:80"), Share::default());
        assert_eq!(places.at(id).map(|placed| placed.address), Some(address("192.0.2.2:80")));
        // Two wrote at once, and each thought that it was the last.
        row.address[0].store(77, Relaxed);
        assert_eq!(places.at(id), None);
    }

    #[test]
    fn a_reload_keeps_the_address_and_a_new_tenant_gets_none() {
        let segment = segment();
        let id = claim(&segment, "a");
        let places = segment.places();
        places.settle(id, address("192.0.2.1:80"), Share { weight: 1, group: 1 });
        places.open(id, 1, 9, |_| id);
        assert_eq!(segment.backends().claim("a", 2), Some(id));
        assert!(places.at(id).is_some() && places.occupied(id) == 1);
        segment.backends().sweep(3);
        assert_eq!(segment.backends().claim("b", 3), Some(id));
        assert_eq!((places.at(id), places.occupied(id), places.expiry(id)), (None, 0, None));
        assert_eq!(places.share(id), Share::default());
    }

    /// Threads stand in for processes: what is read is always one of the addresses that were written, whoever writes.
    #[test]
    fn readers_never_see_half_an_address() {
        let segment = segment();
        let id = claim(&segment, "place");
        let known: Vec<SocketAddr> =
            (0..8_u16).map(|n| SocketAddr::new(Ipv6Addr::from([n * 0x101; 8]).into(), n * 0x101)).collect();
        let done = AtomicBool::new(false);
        let read = std::thread::scope(|scope| {
            let reader = || {
                let mut read = 0;
                while !done.load(Relaxed) {
                    if let Some(placed) = segment.places().at(id) {
                        assert!(known.contains(&placed.address), "{placed:?}");
                        read += 1;
                    }
                }
                read
            };
            let readers = [(); 2].map(|()| scope.spawn(reader));
            let writers = [0, 4].map(|from| {
                let known = &known[from..from + 4];
                let segment = &segment;
                scope.spawn(move || {
                    for round in 0..20_000 {
                        segment.places().settle(id, known[round % 4], Share::default());
                    }
                })
            });
            writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
            done.store(true, Relaxed);
            readers.into_iter().map(|reader| reader.join().expect("a reader")).sum::<u64>()
        });
        segment.places().settle(id, known[0], Share::default());
        assert!(read > 0 || segment.places().at(id).is_some());
    }
}
