//! When workers look into their accept queues because another one has died.
//!
//! The kernel wakes one waiter for each connection, and for a moment a dead worker is still among them: its ring is
//! cleared up in the background after the process is gone. A connection that comes in that moment, to a socket on which
//! the successor waits already, wakes nobody that lives. So for a while after a death everybody looks again, seldom
//! enough to cost nothing and often enough that no client waits for long.

use std::collections::BTreeSet;

/// How long after a death the workers look.
const AFTER_MS: [u64; 5] = [20, 60, 200, 1_000, 3_000];

/// Times at which workers are to look into their queues.
#[derive(Debug, Default)]
pub(super) struct Nudges {
    due: BTreeSet<u64>,
}

impl Nudges {
    /// A worker has died.
    pub(super) fn died(&mut self, now: u64) {
        self.due.extend(AFTER_MS.map(|after| now + after));
    }

    /// When the next look is due.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.due.first().copied()
    }

    /// Whether a look is due; those that are count as one.
    pub(super) fn take(&mut self, now: u64) -> bool {
        let later = self.due.split_off(&(now + 1));
        !std::mem::replace(&mut self.due, later).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_death_there_are_some_looks_and_then_no_more() {
        let mut nudges = Nudges::default();
        assert_eq!(nudges.deadline(), None);
        assert!(!nudges.take(5));
        nudges.died(1_000);
        let mut looks = Vec::new();
        while let Some(at) = nudges.deadline() {
            assert!(!nudges.take(at - 1));
            assert!(nudges.take(at));
            looks.push(at - 1_000);
        }
        assert_eq!(looks, AFTER_MS);
    }

    #[test]
    fn looks_that_are_late_count_as_one() {
        let mut nudges = Nudges::default();
        nudges.died(0);
        nudges.died(1);
        assert!(nudges.take(500));
        assert!(!nudges.take(500));
        assert_eq!(nudges.deadline(), Some(1_000));
    }
}
