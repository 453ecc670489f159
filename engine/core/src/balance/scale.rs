//! `DynScale`: weights that follow response times (the 2.6 manual: priorities are modified in order to equalise the
//! response times of the backends).
//!
//! Every few seconds somebody looks at what backends took to answer since the last look. One that is slower than their
//! average gets less to do, one that is faster gets more, in steps that become smaller as the times come together.
//! Weights lie in the segment, so that all workers follow the same ones.

use ounce_mem::Stats;

/// What one unit of `Priority` weighs, so that a weight can move by less than one unit.
pub const UNIT: u64 = 16;

/// A weight moves up to so many times the configured one, and down to such a part of it.
const REACH: u64 = 8;

/// A weight changes by such a factor at most in one step.
const STEP: f64 = 1.5;

/// Times that differ by less than this part of their average are equal.
const EQUAL: f64 = 0.1;

/// Fewer answers since the last look say nothing of a backend.
const ANSWERS_MIN: u64 = 4;

/// The mean time of the answers between two looks, in nanoseconds; `None` if they are too few.
pub fn mean_between(before: Stats, now: Stats) -> Option<f64> {
    // A row that has a new tenant has fewer.
    let answers = now.count.checked_sub(before.count).filter(|&answers| answers >= ANSWERS_MIN)?;
    let sum = now.mean_ns * now.count as f64 - before.mean_ns * before.count as f64;
    Some((sum / answers as f64).max(1.0))
}

/// The weight that a backend of this `Priority` gets which weighs `weight` and takes `mean` to answer, where backends of
/// its service take `average`.
pub fn rescaled(priority: u16, weight: u64, mean: f64, average: f64) -> u64 {
    let own = u64::from(priority.max(1)) * UNIT;
    let weight = weight.clamp(own / REACH, own * REACH);
    if (mean - average).abs() <= average * EQUAL {
        return weight;
    }
    let factor = (average / mean).sqrt().clamp(1.0 / STEP, STEP);
    let scaled = (weight as f64 * factor).round() as u64;
    // A step of less than one would be none.
    let scaled = if factor > 1.0 { scaled.max(weight + 1) } else { scaled.min(weight.saturating_sub(1)) };
    scaled.clamp(own / REACH, own * REACH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(count: u64, mean_ns: f64) -> Stats {
        Stats { count, mean_ns, stddev_ns: 0.0 }
    }

    #[test]
    fn only_answers_since_the_last_look_count() {
        let mean = mean_between(stats(10, 100.0), stats(20, 200.0)).expect("ten answers");
        assert!((mean - 300.0).abs() < 1e-6, "{mean}");
        assert_eq!(mean_between(stats(10, 100.0), stats(13, 100.0)), None);
        assert_eq!(mean_between(stats(10, 100.0), stats(2, 5.0)), None);
    }

    /// Backends whose time grows with their share of the load: after some looks, times are equal.
    #[test]
    fn times_come_together() {
        let cost = [1.0, 2.0, 4.0];
        let mut weights = [5 * UNIT; 3];
        let times = |weights: &[u64; 3]| {
            let sum = weights.iter().sum::<u64>() as f64;
            let mut times = cost;
            times.iter_mut().zip(weights).for_each(|(time, &weight)| *time *= weight as f64 / sum);
            times
        };
        for _ in 0..40 {
            let now = times(&weights);
            let average = now.iter().sum::<f64>() / 3.0;
            for (weight, time) in weights.iter_mut().zip(now) {
                *weight = rescaled(5, *weight, time, average);
            }
        }
        let now = times(&weights);
        let average = now.iter().sum::<f64>() / 3.0;
        assert!(now.iter().all(|time| (time - average).abs() < average * 0.15), "{now:?} {weights:?}");
    }

    #[test]
    fn weights_keep_within_their_reach() {
        let (mut fast, mut slow) = (UNIT, UNIT);
        for _ in 0..50 {
            (fast, slow) = (rescaled(1, fast, 1.0, 50.0), rescaled(1, slow, 99.0, 50.0));
        }
        assert_eq!((fast, slow), (UNIT * REACH, UNIT / REACH));
        assert_eq!(rescaled(5, 0, 1.0, 1.0), 5 * UNIT / REACH, "whatever stood there");
        assert_eq!(rescaled(5, u64::MAX, 1.0, 1.0), 5 * UNIT * REACH);
        assert_eq!(rescaled(2, 20, 104.0, 100.0), 20, "almost equal is equal");
        assert!(rescaled(1, 2, 120.0, 100.0) < UNIT);
    }
}
