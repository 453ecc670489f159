//! When a child counts as stuck: its heartbeat in the segment does not change while the supervisor watches.
//!
//! The watch is in the supervisor's own looks, not in differences of clocks: after a suspend, a stop signal or a frozen
//! control group every heartbeat is old, and killing a whole fleet for that would be the worst answer.

/// A child whose heartbeat stood still for so long is stuck.
pub(super) const STUCK_MS: u64 = 10_000;
/// No matter how late a look comes, it counts for no more than this.
const LOOK_MS: u64 = 2_000;

/// What the last looks at one child's heartbeat saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pulse {
    beat: u64,
    still_ms: u64,
}

impl Pulse {
    /// Looks at the heartbeat, `elapsed_ms` after the last look; true if the child is stuck.
    pub(super) fn look(&mut self, beat: u64, elapsed_ms: u64) -> bool {
        if beat == self.beat {
            self.still_ms += elapsed_ms.min(LOOK_MS);
        } else {
            *self = Pulse { beat, still_ms: 0 };
        }
        self.still_ms >= STUCK_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_that_stands_still_for_ten_seconds_is_stuck() {
        let mut pulse = Pulse::default();
        assert!(!pulse.look(7, 1000));
        for _ in 0..9 {
            assert!(!pulse.look(7, 1000));
        }
        assert!(pulse.look(7, 1000));
        assert!(!pulse.look(8, 1000), "one beat is enough");
    }

    #[test]
    fn a_supervisor_that_was_frozen_itself_accuses_nobody() {
        let mut pulse = Pulse::default();
        assert!(!pulse.look(7, 1000));
        assert!(!pulse.look(7, 3_600_000));
        assert!(!pulse.look(8, 1000));
    }
}
