//! [`Rates`]: token buckets that all workers take from.
//!
//! A bucket is one number: when it will be full again. A token that is taken moves that by as long as a token takes to
//! come; none is left while it lies further ahead than all tokens but one take. So a bucket whose time has passed is
//! full, and forgetting it forgets nothing: the table keeps those only that are not. When more are not than it has room
//! for, the one that will be full soonest is given up, and counted.
//!
//! The algorithm and its promises are in `table`; `model` runs it under many schedules, with processes dying between any
//! two of their steps.

#[cfg(test)]
mod model;
mod table;

use super::counters::Counter;
use super::fleet::Owner;
use super::map::Segment;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::sync::atomic::AtomicU64;
use table::{Key, Row, Table, Taken, UNITS_MAX};

/// A row as it lies in the segment.
pub(super) type RateRow = Row<AtomicU64>;
pub(super) use table::ROWS;

/// Units of time in a microsecond: so many that the tokens of every rate that a clock of microseconds can tell apart come
/// at different times.
const UNITS_PER_US: u64 = 4;

/// How tokens come, and how many a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many tokens come in a period: one to one for each microsecond.
    tokens: u64,
    /// In units.
    period: u64,
    burst: u64,
}

impl Rate {
    /// So many tokens come in each period; a bucket holds `burst` of them, and is full at first. More than one token in a
    /// microsecond counts as one.
    #[must_use]
    pub fn new(tokens: u32, period_us: u64, burst: u32) -> Rate {
        // A thousand years.
        let period_us = period_us.clamp(1, 1 << 45);
        let tokens = u64::from(tokens).clamp(1, period_us);
        Rate { tokens, period: period_us * UNITS_PER_US, burst: u64::from(burst) }
    }

    /// When a bucket that will be full at `full` will be so after one more token was taken; `None` if none is left.
    fn take(&self, full: u64, now: u64) -> Option<u64> {
        let from = full.max(now);
        let all_but_one = u128::from(self.burst.checked_sub(1)?) * u128::from(self.period);
        // Times are whole units: those of several tokens may be off by one at each end.
        let missing = u128::from((from - now).saturating_sub(1)) * u128::from(self.tokens);
        (missing <= all_but_one).then(|| from.saturating_add(self.step(from)).min(UNITS_MAX))
    }

    /// How long the token takes that comes after this time. One takes a unit more than another where a period is no
    /// multiple of its tokens, so that in the long run exactly as many come as should.
    fn step(&self, from: u64) -> u64 {
        let (tokens, period) = (u128::from(self.tokens), u128::from(self.period));
        let number = u128::from(from) * tokens / period;
        let at = |number: u128| (number * period).div_ceil(tokens);
        (at(number + 1) - at(number)) as u64
    }
}

/// A view of the buckets.
#[derive(Clone, Copy)]
pub struct Rates<'a> {
    segment: &'a Segment,
}

impl std::fmt::Debug for Rates<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Rates")
    }
}

impl<'a> Rates<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment) -> Rates<'a> {
        Rates { segment }
    }

    /// Takes a token from a bucket of this limit; false if none is left, or if so many processes take from it at this
    /// moment that it cannot be told. Each key of a limit has a bucket of its own.
    ///
    /// Counts what it did on the page of `who`.
    pub fn take(&self, limit: u64, key: &[u8], rate: &Rate, now_us: u64, who: Owner) -> bool {
        let secret = self.segment.secret();
        let mut hasher = SipHasher13::new_with_keys(secret[0], secret[1]);
        hasher.write_u64(limit);
        hasher.write(key);
        let now = now_us.saturating_mul(UNITS_PER_US).min(UNITS_MAX);
        let (taken, lost) = Table::new(self.segment.rate_rows()).take(Key::new(hasher.finish()), rate, now);
        let page = self.segment.counters().page(who.worker);
        page.add(Counter::RatesFull, u64::from(lost));
        match taken {
            Taken::Token => true,
            Taken::NoToken => {
                page.add(Counter::RatesExceeded, 1);
                false
            }
            Taken::Contended => {
                page.add(Counter::RatesContended, 1);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Limits;
    use std::collections::HashSet;

    const WHO: Owner = Owner { worker: 0, incarnation: 1 };
    const DAWN_US: u64 = 1_000_000_000;

    fn segment() -> Segment {
        Segment::create(Limits { backends: 1, services: 1, listeners: 1, session_buckets: 1, workers: 4 })
            .expect("a segment")
    }

    /// How many tokens come if one is asked for every `every_us` for so long.
    fn taken(rate: Rate, every_us: u64, length_us: u64) -> u64 {
        let segment = segment();
        let times = (0..length_us / every_us).map(|number| DAWN_US + number * every_us);
        times.filter(|now_us| segment.rates().take(1, b"key", &rate, *now_us, WHO)).count() as u64
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_what_comes() {
        let segment = segment();
        let rates = segment.rates();
        let rate = Rate::new(2, 1_000_000, 5);
        let take = |now_us: u64| rates.take(1, b"key", &rate, DAWN_US + now_us, WHO);
        assert_eq!((0..9).filter(|_| take(0)).count(), 5);
        assert!(!take(499_999));
        assert!(take(500_000));
        assert!(!take(500_000));
        // Three come, and two of them are taken later.
        assert!(take(2_000_000) && take(2_000_000));
        assert!(!take(1_000_000), "a clock that is behind gets nothing for it");
        assert!(take(2_000_000) && !take(2_000_000));
        assert_eq!((0..9).filter(|_| take(3_600_000_000)).count(), 5, "it holds no more than that");
        let page = segment.counters().page(0);
        assert_eq!((page.get(Counter::RatesExceeded), page.get(Counter::RatesFull)), (12, 0));
    }

    #[test]
    fn each_key_and_each_limit_has_its_own() {
        let segment = segment();
        let take = |limit: u64, key: &[u8]| {
            segment.rates().take(limit, key, &Rate::new(1, 10_000_000, 1), DAWN_US, WHO)
        };
        assert!(take(1, b"one") && take(1, b"two") && take(2, b"one") && take(1, b""));
        assert!(!take(1, b"one") && !take(1, b"two") && !take(2, b"one") && !take(1, b""));
    }

    /// As long as the bucket is never full, since what comes then is lost.
    #[test]
    fn in_the_long_run_exactly_as_many_come_as_should() {
        let second = 1_000_000;
        for (tokens, period_us, burst, every_us, length_us) in [
            (1, second, 1, 1_000, 100 * second),
            (3, second, 2, 1_000, 1_000 * second),
            (7, 10 * second, 2, 10_000, 10_000 * second),
            (999_983, second, 10, 1, second),
            (299_993, second, 2, 1, second),
            (1, 1, 3, 1, second / 10),
            (1000, 1000, 3, 1, second / 10),
        ] {
            let rate = Rate::new(tokens, period_us, burst);
            let come = length_us * u64::from(tokens) / period_us + u64::from(burst);
            let expected = come.min(length_us / every_us);
            let taken = taken(rate, every_us, length_us);
            assert!((expected - 1..=expected).contains(&taken), "{rate:?}: {taken} of {expected}");
        }
    }

    /// Whatever the rate, a burst is a burst: no rounding eats a token or makes one.
    #[test]
    fn bursts_are_exact_at_any_time_and_rate() {
        let segment = segment();
        let mut limit = 0;
        for tokens in [1, 2, 3, 7, 11, 999, 65_537, 250_000] {
            for offset in 0..50 {
                for burst in [1, 2, 3, 10, 100] {
                    limit += 1;
                    let (rate, now_us) = (Rate::new(tokens, 1_000_000, burst), DAWN_US + offset * 7_919);
                    let taken =
                        (0..burst + 5).filter(|_| segment.rates().take(limit, b"", &rate, now_us, WHO));
                    assert_eq!(taken.count() as u32, burst, "{rate:?} at {now_us}");
                }
            }
        }
    }

    #[test]
    fn no_numbers_are_too_large() {
        for rate in [
            Rate::new(u32::MAX, u64::MAX, u32::MAX),
            Rate::new(1, u64::MAX, u32::MAX),
            Rate::new(u32::MAX, 0, 1),
            Rate::new(0, 1, 1),
        ] {
            let segment = segment();
            for now_us in [0, 1, DAWN_US, u64::MAX / 8, u64::MAX] {
                segment.rates().take(1, b"key", &rate, now_us, WHO);
            }
        }
        let none = Rate::new(1, 1, 0);
        assert!(!segment().rates().take(1, b"key", &none, DAWN_US, WHO));
    }

    /// Buckets that are full again make room; of those that are not, so many fit.
    #[test]
    fn the_table_is_bounded_and_loses_what_is_nearest_to_full() {
        let segment = segment();
        let rate = Rate::new(1, 1_000_000, 1);
        let take = |key: u64, now_us: u64| segment.rates().take(1, &key.to_ne_bytes(), &rate, now_us, WHO);
        for key in 0..300_000 {
            assert!(take(key, DAWN_US + key));
        }
        let full = segment.counters().page(0).get(Counter::RatesFull);
        assert!((180_000..200_000).contains(&full), "{full}");
        assert!((299_000..300_000).all(|key| !take(key, DAWN_US + 300_000)), "the newest are there");
        // A second later all are full: little is lost where, by chance, more than a row holds come into one.
        for key in 300_000..350_000 {
            assert!(take(key, DAWN_US + 2_000_000));
        }
        let lost = segment.counters().page(0).get(Counter::RatesFull) - full;
        assert!(lost < 1_000, "{lost}");
    }

    /// Threads for processes: together they get what one would.
    #[test]
    fn several_takers_get_one_burst() {
        let segment = segment();
        let rate = Rate::new(1, 3_600_000_000, 1_000);
        let keys: Vec<String> = (0..50).map(|number| format!("key {number}")).collect();
        let take_all = |worker: u16| {
            let who = Owner { worker, incarnation: 1 };
            let taken = |key: &str| {
                (0..700).filter(|_| segment.rates().take(1, key.as_bytes(), &rate, DAWN_US, who)).count()
            };
            keys.iter().map(|key| taken(key)).collect::<Vec<_>>()
        };
        let taken: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|worker| scope.spawn(move || take_all(worker))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
        });
        let sums: HashSet<usize> =
            (0..keys.len()).map(|key| taken.iter().map(|of_one| of_one[key]).sum()).collect();
        assert_eq!(sums, HashSet::from([1_000]));
        assert_eq!(segment.counters().sum(Counter::RatesContended), 0);
    }
}
