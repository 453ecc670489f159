//! How long a dead child's successor waits.
//!
//! The first death is answered at once: connections that hash to the dead worker's socket wait in its queue until the
//! successor accepts them. Deaths that follow each other quickly double the wait, so that a child that cannot live costs
//! a few forks a minute and not a CPU.

/// A child that was ready for so long before it died starts a new count.
const PROVEN_MS: u64 = 500;
/// The wait after the second quick death.
const FIRST_MS: u64 = 50;
/// The longest wait.
const LONGEST_MS: u64 = 5_000;

/// Deaths in quick succession of what stands in one slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    quick: u32,
}

impl Backoff {
    /// Counts a death after `ready_ms` of readiness (`None`: it never was ready) and tells how many milliseconds to wait.
    pub(super) fn died(&mut self, ready_ms: Option<u64>) -> u64 {
        if ready_ms.is_some_and(|ms| ms >= PROVEN_MS) {
            self.quick = 0;
            return 0;
        }
        self.quick = self.quick.saturating_add(1);
        match self.quick {
            1 => 0,
            n => (FIRST_MS << (n - 2).min(16)).min(LONGEST_MS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_death_is_answered_at_once_and_then_the_wait_doubles_up_to_its_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..10).map(|_| backoff.died(None)).collect();
        assert_eq!(waits, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn a_child_that_served_for_a_while_starts_a_new_count() {
        let mut backoff = Backoff::default();
        backoff.died(None);
        assert_eq!(backoff.died(Some(499)), 50);
        assert_eq!(backoff.died(Some(500)), 0);
        assert_eq!(backoff.died(None), 0);
        assert_eq!(backoff.died(None), 50);
    }

    #[test]
    fn the_count_may_run_for_ever() {
        let mut backoff = Backoff { quick: u32::MAX - 1 };
        assert_eq!(backoff.died(None), LONGEST_MS);
        assert_eq!(backoff.died(None), LONGEST_MS);
    }
}
