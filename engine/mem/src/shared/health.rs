//! [`Backends`]: is it up, may it be used, how many connections has it, how fast does it answer.
//!
//! The state of a backend is one word: flags, and above them an *era* that moves when the backend dies. A sticky
//! session remembers the era it was made in, so a death ends all sessions with the backend at once, without a search.
//!
//! What each worker counts lies in a column of its own (connections open, answers): nobody contends for it, and a dead
//! worker's open connections are struck out with its column.

use super::claim::Claim;
use super::layout::{BackendCell, BackendRow};
use super::map::{Kind, Segment};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// The row of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub u32);

/// May a backend be used?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The last connection to it stood, or a probe's did.
    pub alive: bool,
    /// The operator switched it off for new sessions.
    pub disabled: bool,
}

/// How fast a backend answers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// How many answers were measured.
    pub count: u64,
    /// The mean time to answer, nanoseconds.
    pub mean_ns: f64,
    /// The standard deviation of it, nanoseconds.
    pub stddev_ns: f64,
}

const DEAD: u64 = 1;
const DISABLED: u64 = 2;
const FLAGS: u64 = DEAD | DISABLED;
const ERA: u64 = 1 << 32;

/// A view of the backends. Methods that take an id panic if it is none of this segment's rows.
#[derive(Clone, Copy)]
pub struct Backends<'a> {
    segment: &'a Segment,
}

impl<'a> Backends<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment) -> Backends<'a> {
        Backends { segment }
    }

    #[inline]
    fn row(&self, id: BackendId) -> &'a BackendRow {
        &self.segment.backend_rows()[id.0 as usize]
    }

    #[inline]
    fn cell(&self, id: BackendId, worker: u16) -> &'a BackendCell {
        &self.segment.backend_cells(worker)[id.0 as usize]
    }

    /// The cells of this backend, of all slots that were ever used.
    fn cells(&self, id: BackendId) -> impl Iterator<Item = &'a BackendCell> + use<'a> {
        let backends = *self;
        (0..self.segment.fleet().peak()).map(move |worker| backends.cell(id, worker))
    }

    /// The row of this identity, found again with all that is known about it, or taken anew, alive and enabled; `None`
    /// if the table is full. For the supervisor alone.
    #[must_use]
    pub fn claim(&self, identity: &str, generation: u32) -> Option<BackendId> {
        let claims = self.segment.claims(Kind::Backend);
        match claims.claim(identity, generation)? {
            Claim::Kept(row) => Some(BackendId(row)),
            Claim::New(row) => {
                self.reset(BackendId(row));
                claims.open(row);
                Some(BackendId(row))
            }
        }
    }

    /// Makes a row as good as new, and void the sessions with its former tenant.
    fn reset(&self, id: BackendId) {
        let row = self.row(id);
        let era = row.state.load(Acquire) & !FLAGS;
        row.state.store(era.wrapping_add(ERA), Relaxed);
        row.failures.store(0, Relaxed);
        row.since.store(0, Relaxed);
        row.weight.store(0, Relaxed);
        self.segment.places().clear(id);
        for cell in self.cells(id) {
            for field in [&cell.open, &cell.count, &cell.mean, &cell.squares] {
                field.store(0, Relaxed);
            }
        }
    }

    /// Frees the rows that no generation from `keep` on has claimed. For the supervisor alone, when no worker of an
    /// older generation lives.
    pub fn sweep(&self, keep: u32) {
        self.segment.claims(Kind::Backend).sweep(keep, |row| self.forget_sessions(BackendId(row)));
    }

    /// Is it alive, is it switched off?
    #[inline]
    #[must_use]
    pub fn status(&self, id: BackendId) -> Status {
        let state = self.row(id).state.load(Acquire);
        Status { alive: state & DEAD == 0, disabled: state & DISABLED != 0 }
    }

    /// May new work go to it: is it alive and not switched off?
    #[inline]
    #[must_use]
    pub fn is_active(&self, id: BackendId) -> bool {
        self.row(id).state.load(Relaxed) & FLAGS == 0
    }

    /// A connection to it failed: takes it for dead and ends all its sticky sessions. True for whoever was first.
    pub fn mark_dead(&self, id: BackendId, now_ms: u64) -> bool {
        let row = self.row(id);
        row.failures.fetch_add(1, Relaxed);
        let died = row.state.fetch_update(AcqRel, Relaxed, |state| {
            (state & DEAD == 0).then_some((state | DEAD).wrapping_add(ERA))
        });
        if died.is_ok() {
            row.since.store(now_ms, Relaxed);
        }
        died.is_ok()
    }

    /// As [`Backends::mark_dead`], of what was connected to in this era: what has died, come back or moved since is left
    /// alone.
    pub fn mark_dead_in(&self, id: BackendId, era: u32, now_ms: u64) -> bool {
        let row = self.row(id);
        let died = row.state.fetch_update(AcqRel, Relaxed, |state| {
            (state & DEAD == 0 && state >> 32 == u64::from(era)).then_some((state | DEAD).wrapping_add(ERA))
        });
        if died.is_ok() {
            row.failures.fetch_add(1, Relaxed);
            row.since.store(now_ms, Relaxed);
        }
        died.is_ok()
    }

    /// It stands for another server from now on: alive, enabled, and nobody's sessions are with it. What is open stays
    /// counted, since it will be closed.
    pub(super) fn renew(&self, id: BackendId) {
        let row = self.row(id);
        row.weight.store(0, Relaxed);
        row.failures.store(0, Relaxed);
        row.since.store(0, Relaxed);
        // Never fails: the closure always has an answer.
        let _ = row.state.fetch_update(AcqRel, Relaxed, |state| Some((state & !FLAGS).wrapping_add(ERA)));
    }

    /// A probe reached it: takes it for alive. True for whoever was first.
    pub fn revive(&self, id: BackendId, now_ms: u64) -> bool {
        let row = self.row(id);
        let revived = row.state.fetch_and(!DEAD, AcqRel) & DEAD != 0;
        if revived {
            row.since.store(now_ms, Relaxed);
        }
        revived
    }

    /// Switches it off or on for new sessions.
    pub fn set_disabled(&self, id: BackendId, disabled: bool) {
        let state = &self.row(id).state;
        if disabled {
            state.fetch_or(DISABLED, AcqRel);
        } else {
            state.fetch_and(!DISABLED, AcqRel);
        }
        self.segment.bump_epoch();
    }

    /// Its weight as response times have it; `None` until somebody has set one.
    #[inline]
    #[must_use]
    pub fn weight(&self, id: BackendId) -> Option<u64> {
        match self.row(id).weight.load(Relaxed) {
            0 => None,
            weight => Some(weight),
        }
    }

    /// Sets its weight for all workers.
    pub fn set_weight(&self, id: BackendId, weight: u64) {
        self.row(id).weight.store(weight, Relaxed);
    }

    /// How many connections to it failed.
    #[must_use]
    pub fn failures(&self, id: BackendId) -> u64 {
        self.row(id).failures.load(Relaxed)
    }

    /// When it last died or came back, milliseconds; 0 if it never did.
    #[must_use]
    pub fn since(&self, id: BackendId) -> u64 {
        self.row(id).since.load(Relaxed)
    }

    /// This worker opened a connection to it.
    #[inline]
    pub fn opened(&self, id: BackendId, worker: u16) {
        let open = &self.cell(id, worker).open;
        open.store(open.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// This worker closed a connection to it.
    #[inline]
    pub fn closed(&self, id: BackendId, worker: u16) {
        let open = &self.cell(id, worker).open;
        debug_assert_ne!(open.load(Relaxed), 0, "more connections closed than opened");
        open.store(open.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// Strikes out what a dead worker had open.
    pub(super) fn close_all(&self, worker: u16) {
        let used = self.segment.claims(Kind::Backend).peak();
        for cell in &self.segment.backend_cells(worker)[..used] {
            cell.open.store(0, Relaxed);
        }
    }

    /// How many connections to it are open, over all workers.
    #[must_use]
    pub fn connections(&self, id: BackendId) -> u64 {
        self.cells(id).fold(0, |sum: u64, cell| sum.wrapping_add(cell.open.load(Relaxed)))
    }

    /// It answered this worker after `ns` nanoseconds.
    #[inline]
    pub fn answered(&self, id: BackendId, worker: u16, ns: u64) {
        // Welford's recurrence: exact where a sum of squares would drown the deviation in the square of the mean.
        let cell = self.cell(id, worker);
        let count = cell.count.load(Relaxed).wrapping_add(1);
        let mean = f64::from_bits(cell.mean.load(Relaxed));
        let delta = ns as f64 - mean;
        let moved = mean + delta / count.max(1) as f64;
        let squares = f64::from_bits(cell.squares.load(Relaxed)) + delta * (ns as f64 - moved);
        cell.count.store(count, Relaxed);
        cell.mean.store(moved.to_bits(), Relaxed);
        cell.squares.store(squares.to_bits(), Relaxed);
    }

    /// How fast it answers, over all workers. Workers go on counting meanwhile, so the last answer may be half in it.
    #[must_use]
    pub fn stats(&self, id: BackendId) -> Stats {
        let (mut count, mut mean, mut squares) = (0_u64, 0_f64, 0_f64);
        for cell in self.cells(id) {
            let part = cell.count.load(Relaxed);
            let part_mean = f64::from_bits(cell.mean.load(Relaxed));
            let part_squares = f64::from_bits(cell.squares.load(Relaxed));
            // What no worker of ours could have written is left out: the readers are more trusted than the writers.
            if part == 0 || !part_mean.is_finite() || !part_squares.is_finite() || part_squares < 0.0 {
                continue;
            }
            // Chan, Golub and LeVeque: joining two runs of the recurrence.
            let sum = count.saturating_add(part);
            let delta = part_mean - mean;
            let share = part as f64 / sum as f64;
            squares += part_squares + delta * delta * count as f64 * share;
            mean += delta * share;
            count = sum;
        }
        let stddev_ns = if count == 0 { 0.0 } else { (squares / count as f64).sqrt() };
        Stats { count, mean_ns: mean, stddev_ns }
    }

    /// Ends all sticky sessions with it.
    pub(super) fn forget_sessions(&self, id: BackendId) {
        self.row(id).state.fetch_add(ERA, AcqRel);
    }

    /// The era that a session with it must be of to be valid; `None` for an id that is no row.
    #[inline]
    pub(super) fn era(&self, id: BackendId) -> Option<u32> {
        Some((self.segment.backend_rows().get(id.0 as usize)?.state.load(Acquire) >> 32) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn segment() -> Segment {
        let limits = Limits { backends: 2, workers: 4, ..Limits::default() };
        let segment = Segment::create(limits).expect("a segment");
        for slot in 0..4 {
            let _ = segment.fleet().begin(slot, 1);
        }
        segment
    }

    #[test]
    fn one_of_many_is_the_first_to_see_it_dead() {
        let segment = segment();
        let id = segment.backends().claim("a", 1).expect("a row");
        let firsts: usize = std::thread::scope(|scope| {
            let workers = [(); 4].map(|()| scope.spawn(|| segment.backends().mark_dead(id, 5)));
            workers.into_iter().map(|worker| usize::from(worker.join().expect("a worker"))).sum()
        });
        let backends = segment.backends();
        assert_eq!((firsts, backends.failures(id), backends.since(id)), (1, 4, 5));
        assert!(backends.revive(id, 9));
        assert!(!backends.revive(id, 10));
        assert_eq!((backends.is_active(id), backends.since(id)), (true, 9));
    }

    #[test]
    fn dead_and_disabled_are_apart() {
        let segment = segment();
        let backends = segment.backends();
        let id = backends.claim("a", 1).expect("a row");
        backends.set_disabled(id, true);
        assert_eq!(backends.status(id), Status { alive: true, disabled: true });
        assert!(backends.mark_dead(id, 1));
        backends.set_disabled(id, false);
        assert_eq!(backends.status(id), Status { alive: false, disabled: false });
        assert!(!backends.is_active(id));
    }

    #[test]
    fn a_reload_keeps_all_and_a_new_tenant_gets_nothing() {
        let segment = segment();
        let backends = segment.backends();
        let id = backends.claim("a", 1).expect("a row");
        assert!(backends.mark_dead(id, 1));
        backends.set_disabled(id, true);
        backends.opened(id, 3);
        backends.answered(id, 3, 1000);
        backends.set_weight(id, 40);
        assert_eq!(backends.claim("a", 2), Some(id));
        assert_eq!(backends.weight(id), Some(40));
        assert_eq!(backends.status(id), Status { alive: false, disabled: true });
        assert_eq!((backends.connections(id), backends.stats(id).count), (1, 1));
        backends.sweep(3);
        assert_eq!(backends.claim("b", 3), Some(id));
        assert_eq!(backends.status(id), Status { alive: true, disabled: false });
        assert_eq!((backends.connections(id), backends.stats(id)), (0, Stats::default()));
        assert_eq!((backends.failures(id), backends.since(id), backends.weight(id)), (0, 0, None));
    }

    #[test]
    fn statistics_join_the_workers() {
        let segment = segment();
        let backends = segment.backends();
        let id = backends.claim("a", 1).expect("a row");
        for (worker, ns) in [(0, 2), (0, 4), (1, 4), (1, 4), (2, 5), (2, 5), (3, 7), (3, 9)] {
            backends.answered(id, worker, ns);
        }
        let stats = backends.stats(id);
        assert_eq!(stats.count, 8);
        assert!((stats.mean_ns - 5.0).abs() < 1e-9, "{stats:?}");
        assert!((stats.stddev_ns - 2.0).abs() < 1e-9, "{stats:?}");
    }

    #[test]
    fn a_cell_full_of_nonsense_does_not_spoil_the_rest() {
        let segment = segment();
        let backends = segment.backends();
        let id = backends.claim("a", 1).expect("a row");
        backends.answered(id, 0, 100);
        let cell = backends.cell(id, 1);
        cell.count.store(u64::MAX, Relaxed);
        cell.mean.store(f64::NAN.to_bits(), Relaxed);
        assert_eq!(backends.stats(id), Stats { count: 1, mean_ns: 100.0, stddev_ns: 0.0 });
    }
}
