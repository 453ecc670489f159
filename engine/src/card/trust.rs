//! Whether cards are given new handshakes, where software can do without them.
//!
//! ```text
//!  Full ── fails three times, or is late once ─► Withdrawn ── its rest is over ─► Trial ── answers ─► Full
//!                                                   ▲                               │
//!                                                   └──── fails or is late: ────────┘
//!                                                         a rest twice as long
//! ```

/// So many failures in a row cost a card its trust; a single answer that does not come in time does, too.
const FAILURES_MAX: u32 = 3;

/// How long software signs then, at first and at most.
const REST_US: u64 = 5_000_000;
const REST_MAX_US: u64 = 60_000_000;

/// How long the handshake that tries a card again may take to get there.
const TRIAL_US: u64 = 10_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many in a row have failed.
    Full { failures: u32 },
    /// No handshake is given to them before this time.
    Withdrawn { until_us: u64 },
    /// One handshake tries, until this time.
    Trial { until_us: u64 },
}

/// The trust that a worker has in its cards.
#[derive(Debug)]
pub(super) struct Trust {
    state: State,
    rest_us: u64,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust { state: State::Full { failures: 0 }, rest_us: REST_US }
    }
}

impl Trust {
    /// Whether it is whole.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.state, State::Full { .. })
    }

    /// Whether the next handshake goes to the card. It is the trial if the trust is not whole.
    pub(super) fn asks(&mut self, now_us: u64) -> bool {
        match self.state {
            State::Full { .. } => true,
            State::Withdrawn { until_us } | State::Trial { until_us } if now_us < until_us => false,
            State::Withdrawn { .. } | State::Trial { .. } => {
                self.state = State::Trial { until_us: now_us + TRIAL_US };
                true
            }
        }
    }

    /// No handshake is given to the card for a while.
    pub(super) fn withdraw(&mut self, now_us: u64) {
        self.state = State::Withdrawn { until_us: now_us + self.rest_us };
    }

    /// The card has failed; true if that costs it its trust. `late`: it did not answer in time.
    pub(super) fn failed(&mut self, late: bool, now_us: u64) -> bool {
        match self.state {
            State::Full { failures } if failures + 1 < FAILURES_MAX && !late => {
                self.state = State::Full { failures: failures + 1 };
                return false;
            }
            // Of handshakes that it had before.
            State::Withdrawn { .. } => return false,
            State::Full { .. } => {}
            State::Trial { .. } => self.rest_us = (self.rest_us * 2).min(REST_MAX_US),
        }
        self.withdraw(now_us);
        true
    }

    /// The card has done its part; true if that brings its trust back.
    pub(super) fn answered(&mut self) -> bool {
        match self.state {
            // One of those that it had before says little: it was late.
            State::Withdrawn { .. } => false,
            State::Full { .. } => {
                self.state = State::Full { failures: 0 };
                false
            }
            State::Trial { .. } => {
                *self = Trust::default();
                true
            }
        }
    }

    /// The handshake that was to try the card has ended without it: the next one tries.
    pub(super) fn lapse(&mut self) {
        if let State::Trial { .. } = self.state {
            self.state = State::Withdrawn { until_us: 0 };
        }
    }

    /// Seconds for which software signs when the trust is withdrawn.
    pub(super) fn rest_s(&self) -> u64 {
        self.rest_us / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_or_one_late_answer_cost_it() {
        let mut trust = Trust::default();
        assert!(!trust.failed(false, 0) && !trust.failed(false, 0));
        assert!(!trust.answered());
        assert!(!trust.failed(false, 0) && !trust.failed(false, 0) && trust.asks(0));
        assert!(trust.failed(false, 0) && !trust.asks(0));
        let mut trust = Trust::default();
        assert!(trust.failed(true, 0) && !trust.asks(0));
        // Those that it had before change nothing.
        assert!(!trust.failed(true, 0) && !trust.answered() && !trust.asks(REST_US - 1));
    }

    #[test]
    fn one_handshake_at_a_time_tries_a_card_again() {
        let mut trust = Trust::default();
        trust.failed(true, 0);
        assert!(trust.asks(REST_US) && !trust.is_full());
        assert!(!trust.asks(REST_US) && !trust.asks(REST_US + TRIAL_US - 1));
        // It never got there.
        assert!(trust.asks(REST_US + TRIAL_US));
        trust.lapse();
        assert!(trust.asks(REST_US + TRIAL_US));
        assert!(trust.answered() && trust.is_full() && trust.asks(0));
    }

    #[test]
    fn a_card_that_fails_its_trials_rests_longer_each_time_up_to_a_bound() {
        let mut trust = Trust::default();
        let mut now_us = 0;
        trust.failed(true, now_us);
        for rest_s in [5, 10, 20, 40, 60, 60] {
            assert_eq!(trust.rest_s(), rest_s);
            now_us += rest_s * 1_000_000;
            assert!(!trust.asks(now_us - 1) && trust.asks(now_us));
            assert!(trust.failed(false, now_us));
        }
        now_us += REST_MAX_US;
        assert!(trust.asks(now_us) && trust.answered());
        assert_eq!(trust.rest_s(), 5);
    }
}
