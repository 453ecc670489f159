//! [`Fleet`]: who works. One row per worker slot, written by the supervisor and, for phase and heartbeat, by the
//! worker itself.
//!
//! An [`Owner`] is one life of one slot. What an owner leaves behind half written is void once its life is over, and
//! the life is over when the supervisor says so, after it has reaped the process: never on suspicion.

use super::layout::MemberRow;
use super::map::Segment;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// One life of one worker slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The slot.
    pub worker: u16,
    /// Which life of the slot; comes round after 65536 of them.
    pub incarnation: u16,
}

/// How far a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nobody is in the slot, or its last worker was reaped.
    Gone = 0,
    /// The process is there and not yet ready.
    Starting = 1,
    /// It accepts connections.
    Ready = 2,
    /// It accepts no more and serves what it has.
    Draining = 3,
}

/// One row, as it was a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The life that the slot is in, or was in last.
    pub owner: Owner,
    /// How far it is.
    pub phase: Phase,
    /// The process, 0 before it is known.
    pub pid: u32,
    /// The generation of configuration that it serves.
    pub generation: u32,
    /// When it last turned its loop, milliseconds; 0 before the first time.
    pub heartbeat_ms: u64,
}

/// The life word: the incarnation above the phase.
fn life(incarnation: u16, phase: Phase) -> u64 {
    u64::from(incarnation) << 8 | phase as u64
}

/// The other way; a phase that nobody could have written counts as gone.
fn read(life: u64) -> (u16, Phase) {
    let phase = match life & 0xff {
        1 => Phase::Starting,
        2 => Phase::Ready,
        3 => Phase::Draining,
        _ => Phase::Gone,
    };
    ((life >> 8) as u16, phase)
}

/// A view of the fleet. Methods that take a slot or an owner panic if the slot is none of this segment's.
#[derive(Clone, Copy)]
pub struct Fleet<'a> {
    segment: &'a Segment,
}

impl<'a> Fleet<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment) -> Fleet<'a> {
        Fleet { segment }
    }

    #[inline]
    fn row(&self, slot: u16) -> &'a MemberRow {
        &self.segment.member_rows()[usize::from(slot)]
    }

    /// Begins a new life in a slot, before the fork. For the supervisor alone, after it has declared the slot's last
    /// worker [ended](Fleet::ended): else two workers would share its counts.
    #[must_use = "the worker needs to know who it is"]
    pub fn begin(&self, slot: u16, generation: u32) -> Owner {
        let row = self.row(slot);
        let (last, phase) = read(row.life.load(Acquire));
        // No more than a debug assertion: any worker could have written the phase, and none may end the supervisor.
        debug_assert_eq!(phase, Phase::Gone, "slot {slot} has a worker");
        let incarnation = last.wrapping_add(1);
        row.pid.store(0, Relaxed);
        row.generation.store(generation, Relaxed);
        row.heartbeat.store(0, Relaxed);
        row.life.store(life(incarnation, Phase::Starting), Release);
        self.segment.header().workers_peak.fetch_max(u32::from(slot) + 1, Release);
        Owner { worker: slot, incarnation }
    }

    /// Notes the process that lives in the slot.
    pub fn set_pid(&self, slot: u16, pid: u32) {
        self.row(slot).pid.store(pid, Relaxed);
    }

    /// The worker accepts connections.
    pub fn ready(&self, owner: Owner) {
        self.enter(owner, Phase::Ready);
    }

    /// The worker accepts no more.
    pub fn draining(&self, owner: Owner) {
        self.enter(owner, Phase::Draining);
    }

    /// Changes the phase of a life that is not over.
    fn enter(&self, owner: Owner, phase: Phase) {
        // A lost race is one against the end of this life, and then there is nothing to say.
        let _ = self.row(owner.worker).life.fetch_update(AcqRel, Acquire, |word| {
            let (incarnation, now) = read(word);
            (incarnation == owner.incarnation && now != Phase::Gone).then(|| life(incarnation, phase))
        });
    }

    /// The worker turns its loop.
    #[inline]
    pub fn beat(&self, owner: Owner, now_ms: u64) {
        self.row(owner.worker).heartbeat.store(now_ms, Relaxed);
    }

    /// Ends the life in a slot: what it was writing is void, what it held open is closed. For the supervisor alone,
    /// and only when the process has been reaped.
    pub fn ended(&self, slot: u16) {
        let row = self.row(slot);
        let (incarnation, _) = read(row.life.load(Acquire));
        row.life.store(life(incarnation, Phase::Gone), Release);
        row.pid.store(0, Relaxed);
        self.segment.counters().page(slot).clear_gauges();
        self.segment.backends().close_all(slot);
    }

    /// Is this life not over yet?
    #[inline]
    #[must_use]
    pub fn is_live(&self, owner: Owner) -> bool {
        let Some(row) = self.segment.member_rows().get(usize::from(owner.worker)) else { return false };
        let (incarnation, phase) = read(row.life.load(Acquire));
        incarnation == owner.incarnation && phase != Phase::Gone
    }

    /// What is known about a slot.
    #[must_use]
    pub fn member(&self, slot: u16) -> Member {
        let row = self.row(slot);
        let (incarnation, phase) = read(row.life.load(Acquire));
        Member {
            owner: Owner { worker: slot, incarnation },
            phase,
            pid: row.pid.load(Relaxed),
            generation: row.generation.load(Relaxed),
            heartbeat_ms: row.heartbeat.load(Relaxed),
        }
    }

    /// How many slots were ever used, counted from slot 0.
    #[inline]
    #[must_use]
    pub fn peak(&self) -> u16 {
        self.segment.header().workers_peak.load(Acquire).min(self.segment.limits().workers) as u16
    }

    /// All slots that were ever used.
    pub fn iter(&self) -> impl Iterator<Item = Member> + use<'a> {
        let fleet = *self;
        (0..self.peak()).map(move |slot| fleet.member(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counter, Limits};

    fn segment() -> Segment {
        Segment::create(Limits { workers: 2, ..Limits::default() }).expect("a segment")
    }

    #[test]
    fn a_life_goes_from_starting_to_gone() {
        let segment = segment();
        let fleet = segment.fleet();
        assert_eq!(fleet.member(1).phase, Phase::Gone);
        let owner = fleet.begin(1, 7);
        assert!(fleet.is_live(owner));
        fleet.set_pid(1, 4711);
        fleet.ready(owner);
        fleet.beat(owner, 99);
        let expected = Member { owner, phase: Phase::Ready, pid: 4711, generation: 7, heartbeat_ms: 99 };
        assert_eq!(fleet.member(1), expected);
        fleet.draining(owner);
        assert_eq!(fleet.member(1).phase, Phase::Draining);
        fleet.ended(1);
        assert!(!fleet.is_live(owner));
        assert_eq!(fleet.iter().count(), 2, "slot 0 lies below the peak");
    }

    #[test]
    fn the_next_life_of_a_slot_is_another_owner() {
        let segment = segment();
        let fleet = segment.fleet();
        let first = fleet.begin(0, 1);
        fleet.ended(0);
        let second = fleet.begin(0, 1);
        assert_ne!(first, second);
        fleet.ready(first);
        assert_eq!(fleet.member(0).phase, Phase::Starting, "the dead do not speak for the living");
        assert!(!fleet.is_live(first) && fleet.is_live(second));
    }

    #[test]
    fn a_dead_worker_leaks_no_count() {
        let segment = segment();
        let (fleet, backends) = (segment.fleet(), segment.backends());
        let id = backends.claim("b", 1).expect("a row");
        let owners = [fleet.begin(0, 1), fleet.begin(1, 1)];
        for owner in owners {
            backends.opened(id, owner.worker);
            segment.counters().page(owner.worker).add(Counter::ConnectionsOpen, 5);
            segment.counters().page(owner.worker).add(Counter::Requests, 5);
        }
        assert_eq!(backends.connections(id), 2);
        fleet.ended(0);
        assert_eq!(backends.connections(id), 1);
        assert_eq!(segment.counters().sum(Counter::ConnectionsOpen), 5);
        assert_eq!(segment.counters().sum(Counter::Requests), 10, "what happened has happened");
    }

    #[test]
    fn an_owner_from_nowhere_is_not_live() {
        let segment = segment();
        assert!(!segment.fleet().is_live(Owner { worker: 9999, incarnation: 1 }));
        assert!(!segment.fleet().is_live(Owner { worker: 0, incarnation: 0 }));
    }
}
