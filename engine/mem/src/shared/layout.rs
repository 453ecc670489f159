//! What lies where in the segment: the rows of each table, all of their fields atomic, and the [`Plan`] of offsets.

use super::counters::CounterPage;
use super::rate::{self, RateRow};
use super::resumption::{ENTRIES, ResumptionEntry};
use super::session::SessionBucket;
use super::ticket::TicketRow;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// `ounceseg` in ASCII, the first word of every segment.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"ounceseg");
/// Grows with every change of meaning that [`HASH`] cannot see.
pub(super) const VERSION: u32 = 1;

/// How many rows each table has. A segment keeps its limits for life; each cap says no instead of growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Backends over all services, with those of the generation before that are still draining. Up to 65536.
    pub backends: u32,
    /// Services over all listeners. Up to 65536.
    pub services: u32,
    /// Listeners. Up to 65536.
    pub listeners: u32,
    /// Buckets of the sticky table, a power of two up to 2^20, each of eight sessions and 1280 bytes.
    pub session_buckets: u32,
    /// Slots of the fleet: workers that serve and workers that still drain. Up to 1024.
    pub workers: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { backends: 4096, services: 4096, listeners: 256, session_buckets: 16384, workers: 256 }
    }
}

impl Limits {
    /// Are all limits within what the layout was made for?
    pub(super) fn are_sane(&self) -> bool {
        let rows = 1..=65536;
        rows.contains(&self.backends)
            && rows.contains(&self.services)
            && rows.contains(&self.listeners)
            && self.session_buckets.is_power_of_two()
            && self.session_buckets <= 1 << 20
            && (1..=1024).contains(&self.workers)
    }
}

/// The start of the segment. Written once by `Segment::create`, but for the epoch and the peaks.
#[repr(C, align(64))]
pub(super) struct Header {
    pub(super) magic: AtomicU64,
    pub(super) hash: AtomicU64,
    pub(super) version: AtomicU32,
    /// The limits, in the order of the fields of [`Limits`].
    pub(super) limits: [AtomicU32; 5],
    /// The boot secret: what keys the hashes of identities and sessions.
    pub(super) secret: [AtomicU64; 2],
    /// How many rows of backends, services and listeners were ever used.
    pub(super) peaks: [AtomicU32; 3],
    /// How many slots of the fleet were ever used.
    pub(super) workers_peak: AtomicU32,
    /// The log level that the operator has set for all listeners without one of their own, or 0.
    pub(super) log_level: AtomicU32,
    /// See `Segment::change_epoch`. In a cache line of its own with the padding before it.
    pub(super) epoch: Aligned<AtomicU32>,
}

/// Gives its content a cache line of its own.
#[repr(C, align(64))]
pub(super) struct Aligned<T>(pub(super) T);

/// Whose row it is. Kept apart from the rows, since a claim looks through many of these.
#[repr(C)]
pub(super) struct Tag {
    /// 128 bits of keyed hash over the identity.
    pub(super) identity: [AtomicU64; 2],
    /// The generation that claimed it last.
    pub(super) generation: AtomicU32,
    /// 1 while the row is in use.
    pub(super) used: AtomicU32,
}

/// What all processes know about one backend.
#[repr(C, align(64))]
pub(super) struct BackendRow {
    /// Flags in the lower half, the era in the upper; see `health`.
    pub(super) state: AtomicU64,
    pub(super) failures: AtomicU64,
    /// When it last died or revived, milliseconds.
    pub(super) since: AtomicU64,
    /// Its weight in place of the configured one; 0 for none. Segments of before know none.
    pub(super) weight: AtomicU64,
    pub(super) reserved: [AtomicU64; 4],
}

/// Where a backend is whose address was looked up, or what is known of the name behind it; see `place`.
#[repr(C, align(64))]
pub(super) struct PlaceRow {
    /// Odd while the address is being written.
    pub(super) turn: AtomicU64,
    /// The address, its port and kind, and a check over them.
    pub(super) address: [AtomicU64; 3],
    /// The weight in the lowest 16 bits, the group in the next.
    pub(super) share: AtomicU64,
    /// Of a name: which of its places hold an address.
    pub(super) occupied: AtomicU64,
    /// Of a name: until when its last answer holds, milliseconds; 0 before the first.
    pub(super) expiry: AtomicU64,
    pub(super) reserved: AtomicU64,
}

/// What one worker slot knows about one backend. Only that worker writes it, or the supervisor when it is dead.
#[repr(C)]
pub(super) struct BackendCell {
    pub(super) open: AtomicU64,
    /// Welford's running count, mean and sum of squared deviations; the latter two are f64 in nanoseconds.
    pub(super) count: AtomicU64,
    pub(super) mean: AtomicU64,
    pub(super) squares: AtomicU64,
}

/// One service.
#[repr(C, align(64))]
pub(super) struct ServiceRow {
    /// The position of interleaved round robin, moved by all workers.
    pub(super) position: AtomicU64,
    /// 1 if the operator switched it off.
    pub(super) disabled: AtomicU32,
    pub(super) reserved: [AtomicU32; 13],
}

/// One listener.
#[repr(C)]
pub(super) struct ListenerRow {
    /// 1 if the operator switched it off.
    pub(super) disabled: AtomicU32,
    /// The log level that the operator has set, or 0.
    pub(super) log_level: AtomicU32,
}

/// One slot of the fleet.
#[repr(C, align(64))]
pub(super) struct MemberRow {
    /// Incarnation and phase in one word, so that nobody sees the one without the other; see `fleet`.
    pub(super) life: AtomicU64,
    pub(super) heartbeat: AtomicU64,
    pub(super) pid: AtomicU32,
    pub(super) generation: AtomicU32,
    pub(super) reserved: [AtomicU64; 5],
}

const _: () = assert!(size_of::<Header>() == 192);
const _: () = assert!(offset_of!(Header, epoch) == 128);
const _: () = assert!(size_of::<Tag>() == 24);
const _: () = assert!(size_of::<BackendRow>() == 64);
const _: () = assert!(size_of::<PlaceRow>() == 64);
const _: () = assert!(size_of::<BackendCell>() == 32);
const _: () = assert!(size_of::<ServiceRow>() == 64);
const _: () = assert!(size_of::<ListenerRow>() == 8);
const _: () = assert!(size_of::<MemberRow>() == 64);
const _: () = assert!(size_of::<SessionBucket>() == 1280);
const _: () = assert!(align_of::<SessionBucket>() == 64);
const _: () = assert!(size_of::<CounterPage>() == 512);
const _: () = assert!(align_of::<CounterPage>() == 64);
const _: () = assert!(size_of::<TicketRow>() == 768);
const _: () = assert!(size_of::<ResumptionEntry>() == 512);
const _: () = assert!(size_of::<RateRow>() == 128);

/// Where each table starts, in bytes from the start of the segment; each on a page boundary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) tags: [usize; 3],
    pub(super) backends: usize,
    pub(super) places: usize,
    pub(super) cells: usize,
    pub(super) services: usize,
    pub(super) listeners: usize,
    pub(super) members: usize,
    pub(super) counters: usize,
    pub(super) buckets: usize,
    pub(super) tickets: usize,
    pub(super) resumptions: usize,
    pub(super) rates: usize,
    /// The length of the segment.
    pub(super) total: usize,
}

/// Tables start on pages, so that none shares a cache line, or a fault, with another.
const PAGE: usize = 4096;

impl Plan {
    /// Lays the tables out one after the other. With sane limits no sum overflows.
    pub(super) fn new(limits: &Limits) -> Plan {
        let mut end = size_of::<Header>();
        let mut place = |row_bytes: usize, rows: usize| {
            let start = end.next_multiple_of(PAGE);
            end = start + row_bytes * rows;
            start
        };
        let (backends, services) = (limits.backends as usize, limits.services as usize);
        let (listeners, workers) = (limits.listeners as usize, limits.workers as usize);
        let mut plan = Plan {
            tags: [backends, services, listeners].map(|rows| place(size_of::<Tag>(), rows)),
            backends: place(size_of::<BackendRow>(), backends),
            places: place(size_of::<PlaceRow>(), backends),
            cells: place(size_of::<BackendCell>(), backends * workers),
            services: place(size_of::<ServiceRow>(), services),
            listeners: place(size_of::<ListenerRow>(), listeners),
            members: place(size_of::<MemberRow>(), workers),
            counters: place(size_of::<CounterPage>(), workers),
            buckets: place(size_of::<SessionBucket>(), limits.session_buckets as usize),
            tickets: place(size_of::<TicketRow>(), 1),
            resumptions: place(size_of::<ResumptionEntry>(), ENTRIES),
            rates: place(size_of::<RateRow>(), rate::ROWS),
            total: 0,
        };
        plan.total = place(0, 0);
        plan
    }
}

/// A hash over sizes, places and the counters' names: two programs with the same one read the same bytes alike.
pub(super) const HASH: u64 = {
    let parts = [
        size_of::<Header>(),
        offset_of!(Header, secret),
        offset_of!(Header, peaks),
        offset_of!(Header, log_level),
        offset_of!(Header, epoch),
        size_of::<Tag>(),
        offset_of!(Tag, generation),
        offset_of!(Tag, used),
        size_of::<BackendRow>(),
        offset_of!(BackendRow, since),
        size_of::<PlaceRow>(),
        offset_of!(PlaceRow, expiry),
        size_of::<BackendCell>(),
        offset_of!(BackendCell, squares),
        size_of::<ServiceRow>(),
        offset_of!(ServiceRow, disabled),
        size_of::<ListenerRow>(),
        offset_of!(ListenerRow, log_level),
        size_of::<MemberRow>(),
        offset_of!(MemberRow, generation),
        size_of::<CounterPage>(),
        super::counters::TABLE_HASH as usize,
        size_of::<SessionBucket>(),
        super::session::ENTRY_BYTES,
        size_of::<TicketRow>(),
        size_of::<ResumptionEntry>(),
        ENTRIES,
        size_of::<RateRow>(),
        rate::ROWS,
    ];
    let mut hash = FNV_START;
    let mut i = 0;
    while i < parts.len() {
        hash = fnv(hash, &(parts[i] as u64).to_le_bytes());
        i += 1;
    }
    hash
};

/// Where [`fnv`] starts.
pub(super) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// One more step of the FNV-1a hash. Good enough to tell one layout from another, and works at compile time.
pub(super) const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_follow_each_other_without_overlap() {
        let limits = Limits::default();
        let plan = Plan::new(&limits);
        let ends = [
            (plan.tags[0], limits.backends as usize * size_of::<Tag>()),
            (plan.tags[1], limits.services as usize * size_of::<Tag>()),
            (plan.tags[2], limits.listeners as usize * size_of::<Tag>()),
            (plan.backends, limits.backends as usize * size_of::<BackendRow>()),
            (plan.places, limits.backends as usize * size_of::<PlaceRow>()),
            (plan.cells, (limits.backends * limits.workers) as usize * size_of::<BackendCell>()),
            (plan.services, limits.services as usize * size_of::<ServiceRow>()),
            (plan.listeners, limits.listeners as usize * size_of::<ListenerRow>()),
            (plan.members, limits.workers as usize * size_of::<MemberRow>()),
            (plan.counters, limits.workers as usize * size_of::<CounterPage>()),
            (plan.buckets, limits.session_buckets as usize * size_of::<SessionBucket>()),
            (plan.tickets, size_of::<TicketRow>()),
            (plan.resumptions, ENTRIES * size_of::<ResumptionEntry>()),
            (plan.rates, rate::ROWS * size_of::<RateRow>()),
            (plan.total, 0),
        ];
        let mut last = size_of::<Header>();
        for (start, bytes) in ends {
            assert!(start >= last && start < last + PAGE && start.is_multiple_of(PAGE));
            last = start + bytes;
        }
    }

    #[test]
    fn limits_that_the_layout_was_not_made_for_are_not_sane() {
        assert!(Limits::default().are_sane());
        assert!(!Limits { session_buckets: 48, ..Limits::default() }.are_sane());
        assert!(!Limits { session_buckets: 0, ..Limits::default() }.are_sane());
        assert!(!Limits { backends: 0, ..Limits::default() }.are_sane());
        assert!(!Limits { workers: 1025, ..Limits::default() }.are_sane());
    }
}
