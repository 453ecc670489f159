//! Addresses take the places of a name.
//!
//! An address that has a place keeps it, whatever the order of an answer, and with it health, switch and sessions. A
//! place is given away only while it is not in use, and never all of them are out of use on the way from one answer to
//! the next: a request in between finds the old servers or the new ones.

use super::lookup::Found;
use ounce_core::Plan;
use ounce_core::route::plan::{BackendIx, BackendKind, NamePlan};
use ounce_mem::{BackendId, Segment};
use std::net::SocketAddr;

/// How many times places are given back and given away at most: see [`Seats::take`].
const ROUNDS_MAX: usize = 4;

/// The places of one name.
#[derive(Clone, Copy)]
pub(super) struct Seats<'a> {
    plan: &'a Plan,
    segment: &'a Segment,
    /// The row of the name.
    row: BackendId,
    name: &'a NamePlan,
}

/// What an answer has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Change {
    /// Addresses that are new.
    pub(super) come: usize,
    /// Addresses that are gone.
    pub(super) gone: usize,
    /// Addresses for which there is no place.
    pub(super) left_out: usize,
}

impl<'a> Seats<'a> {
    /// The places of the name that is backend `ix`; `None` for any other backend.
    pub(super) fn of(plan: &'a Plan, segment: &'a Segment, ix: BackendIx) -> Option<Seats<'a>> {
        let backend = plan.backend(ix);
        let BackendKind::Name(name) = &backend.kind else { return None };
        Some(Seats { plan, segment, row: BackendId(backend.row), name })
    }

    /// The row of a place.
    fn id(&self, number: u32) -> BackendId {
        BackendId(self.plan.backend(BackendIx(self.name.places.start + number)).row)
    }

    fn count(&self) -> u32 {
        self.name.places.end - self.name.places.start
    }

    /// How many addresses are used: one place of two is for the next one, where one is all.
    fn most(&self) -> usize {
        if self.count() == 2 { 1 } else { self.count() as usize }
    }

    /// Which places are in use.
    pub(super) fn occupied(&self) -> u64 {
        self.segment.places().occupied(self.row) & ((1 << self.count()) - 1)
    }

    /// What is known holds until then.
    pub(super) fn hold(&self, expiry_ms: u64) {
        self.segment.places().set_expiry(self.row, expiry_ms);
    }

    /// Takes an answer. Unless it is `whole`, addresses that it lacks stay.
    pub(super) fn take(&self, found: &[Found], whole: bool, expiry_ms: u64) -> Change {
        let places = self.segment.places();
        let before = self.occupied();
        // Who stays: first of all so that a longer answer takes nobody's place.
        let (mut kept, mut old, mut seated) = (0_u64, 0_u64, Vec::<SocketAddr>::new());
        for number in bits(before) {
            let at = places.at(self.id(number)).map(|placed| placed.address);
            let again = found.iter().find(|found| Some(found.address) == at);
            if let Some(again) = again.filter(|_| seated.len() < self.most()) {
                places.set_share(self.id(number), again.share);
                seated.push(again.address);
                kept |= 1 << number;
            } else if let (None, Some(address), false) = (again, at, whole)
                && seated.len() < self.most()
            {
                seated.push(address);
                kept |= 1 << number;
            } else {
                old |= 1 << number;
            }
        }
        let room = self.most() - seated.len();
        let mut wanted: Vec<&Found> = found.iter().filter(|found| !seated.contains(&found.address)).collect();
        let left_out = wanted.len().saturating_sub(room);
        wanted.truncate(room);
        let change = Change { come: wanted.len(), gone: old.count_ones() as usize, left_out };
        let mut wanted = wanted.into_iter().peekable();
        for _ in 0..ROUNDS_MAX {
            let free = !(kept | old) & ((1 << self.count()) - 1);
            for number in bits(free) {
                let Some(next) = wanted.next() else { break };
                places.settle(self.id(number), next.address, next.share);
                kept |= 1 << number;
            }
            if wanted.peek().is_none() || kept != 0 {
                old = 0;
            } else {
                // Every place is in use and none of them stays: the first half makes room.
                let half = old.count_ones().div_ceil(2) as usize;
                bits(old).take(half).for_each(|number| old &= !(1 << number));
            }
            places.open(self.row, kept | old, expiry_ms, |number| self.id(number));
            if wanted.peek().is_none() && old == 0 {
                break;
            }
        }
        change
    }

    /// Where the name leads now.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let places = self.segment.places();
        bits(self.occupied()).filter_map(|number| Some(places.at(self.id(number))?.address)).collect()
    }
}

/// The numbers of the bits that are set, in ascending order.
fn bits(set: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |number| set >> number & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::inheritance;
    use super::*;
    use crate::inheritance::Inheritance;
    use ounce_mem::Share;

    fn name(mode: &str) -> Inheritance {
        inheritance(&format!("Service\nBackEnd\nAddress a.example\nPort 80\nResolve {mode}\nEnd\nEnd\n"))
    }

    fn seats(of: &Inheritance) -> Seats<'_> {
        Seats::of(&of.plan, &of.segment, BackendIx(0)).unwrap()
    }

    fn found(last: impl IntoIterator<Item = u16>) -> Vec<Found> {
        let address = |last: u16| SocketAddr::from(([192, 0, (last >> 8) as u8, last as u8], 80));
        last.into_iter().map(|last| Found { address: address(last), share: Share::default() }).collect()
    }

    fn sorted(seats: Seats<'_>) -> Vec<SocketAddr> {
        let mut addresses = seats.addresses();
        addresses.sort();
        addresses
    }

    #[test]
    fn an_address_keeps_its_place_whatever_comes_and_goes() {
        let of = name("all");
        let seats = seats(&of);
        assert_eq!(seats.take(&found([1, 2, 3]), true, 10), Change { come: 3, ..Change::default() });
        let era = |number| of.segment.places().at(seats.id(number)).unwrap().era;
        let second = era(1);
        assert_eq!(seats.take(&found([4, 3, 2]), true, 20), Change { come: 1, gone: 1, left_out: 0 });
        assert_eq!(sorted(seats), found([2, 3, 4]).iter().map(|f| f.address).collect::<Vec<_>>());
        assert_eq!(era(1), second, "it was left alone");
        assert_eq!(of.segment.places().expiry(seats.row), Some(20));
    }

    #[test]
    fn an_answer_in_part_takes_nothing_away() {
        let of = name("all");
        let seats = seats(&of);
        seats.take(&found([1, 2]), true, 10);
        assert_eq!(seats.take(&found([3]), false, 20), Change { come: 1, ..Change::default() });
        assert_eq!(seats.addresses().len(), 3);
        seats.take(&found([3]), true, 20);
        assert_eq!(seats.addresses().len(), 1);
    }

    #[test]
    fn one_of_one_name_follows_another_without_a_gap() {
        let of = name("first");
        let seats = seats(&of);
        for last in 1..50_u16 {
            let change = seats.take(&found([last]), true, 10);
            assert_eq!((change.come, change.left_out), (1, 0));
            assert_eq!(seats.addresses(), [found([last])[0].address]);
        }
        let change = seats.take(&found([7, 49]), true, 10);
        assert_eq!(change, Change { come: 0, gone: 0, left_out: 1 }, "the one in use stays");
    }

    /// Hundreds of addresses, and none of them among the next hundreds.
    #[test]
    fn no_more_addresses_are_used_than_there_are_places() {
        let of = name("all");
        let seats = seats(&of);
        let change = seats.take(&found(0..300), true, 10);
        assert_eq!((change.come, change.left_out, seats.addresses().len()), (32, 268, 32));
        let change = seats.take(&found(300..700), true, 10);
        assert_eq!((change.come, change.gone, change.left_out), (32, 32, 368));
        assert_eq!(sorted(seats), found(300..332).iter().map(|f| f.address).collect::<Vec<_>>());
        let change = seats.take(&found((0..400).rev()), true, 10);
        assert_eq!((change.come, change.gone), (0, 0), "those in use are among them");
    }

    /// Whoever looks in the middle of it all finds a server.
    #[test]
    fn there_is_always_a_server() {
        for mode in ["first", "all"] {
            let of = name(mode);
            let seats = seats(&of);
            seats.take(&found(0..32), true, 10);
            let done = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        assert_ne!(seats.occupied(), 0);
                    }
                });
                for round in 1..2000 {
                    seats.take(&found(round * 32..round * 32 + 32), true, 10);
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
        }
    }
}
