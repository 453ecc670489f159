//! Which keys TLS session tickets are sealed with, and when they change.
//!
//! The keys lie in the segment, where every worker finds them. Those of the configuration's files stay until another
//! configuration is loaded; otherwise a fresh one is drawn each `TicketLifetime`, and the one before it is accepted for
//! as long: then no session that it has sealed can be resumed any more.

use ounce_conf::model::Global;
use ounce_mem::{Segment, TicketKey};

/// When a draw that failed is tried again.
const AGAIN_MS: u64 = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    /// How long a key seals; `None` if keys are given.
    lifetime_ms: Option<u64>,
    /// When the next one is drawn.
    due_ms: Option<u64>,
}

impl Tickets {
    /// Follows a configuration that has been loaded.
    pub(super) fn follow(&mut self, global: &Global, segment: &Segment, now_ms: u64) {
        let given: Vec<TicketKey> =
            global.ticket_keys.iter().filter_map(|key| TicketKey::new(&key.0)).collect();
        if given.is_empty() {
            let lifetime_ms = u64::try_from(global.ticket_lifetime.as_millis()).unwrap_or(u64::MAX / 2);
            // Not before its time: a reload, or another program, changes no keys. The first was drawn with the segment.
            let changed_ms = segment.tickets().changed_ms();
            let since_ms = if changed_ms == 0 { now_ms } else { changed_ms };
            // Keys of files that are not named any more go as soon as they can.
            let theirs = self.lifetime_ms.is_none() && self.due_ms.is_some();
            self.due_ms = Some(if theirs { now_ms } else { since_ms.saturating_add(lifetime_ms) });
            self.lifetime_ms = Some(lifetime_ms);
        } else {
            segment.tickets().replace(&given, now_ms);
            (self.lifetime_ms, self.due_ms) = (None, Some(u64::MAX));
        }
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.due_ms.filter(|due_ms| *due_ms != u64::MAX)
    }

    /// Draws the next key if it is time.
    ///
    /// # Errors
    /// Why it cannot be drawn; the old one stays.
    pub(super) fn tick(&mut self, segment: &Segment, now_ms: u64) -> Result<(), String> {
        let (Some(lifetime_ms), Some(due_ms)) = (self.lifetime_ms, self.due_ms) else { return Ok(()) };
        if now_ms < due_ms {
            return Ok(());
        }
        let rotated = segment.tickets().rotate(now_ms);
        self.due_ms = Some(now_ms.saturating_add(if rotated.is_ok() { lifetime_ms } else { AGAIN_MS }));
        rotated.map_err(|error| format!("cannot draw a key for TLS tickets: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::create_segment;
    use ounce_conf::model::TicketKey as Given;
    use std::time::Duration;

    fn global(lifetime_s: u64, keys: &[u8]) -> Global {
        let ticket_keys = keys.iter().map(|byte| Given(vec![*byte; 80])).collect();
        Global { ticket_lifetime: Duration::from_secs(lifetime_s), ticket_keys, ..Global::default() }
    }

    fn name(segment: &Segment) -> Vec<u8> {
        segment.tickets().keys().current().unwrap().name().to_vec()
    }

    #[test]
    fn a_key_seals_for_its_lifetime_also_over_reloads() {
        let segment = create_segment().unwrap();
        let mut tickets = Tickets::default();
        let first = name(&segment);
        tickets.follow(&global(10, &[]), &segment, 1000);
        assert_eq!(tickets.deadline(), Some(11_000));
        tickets.tick(&segment, 10_999).unwrap();
        assert_eq!(name(&segment), first);
        tickets.tick(&segment, 11_000).unwrap();
        assert_ne!(name(&segment), first);
        assert!(segment.tickets().keys().find(&first).is_some());
        tickets.follow(&global(10, &[]), &segment, 15_000);
        assert_eq!(tickets.deadline(), Some(21_000));
        // Another program in the place of this one.
        let mut after = Tickets::default();
        after.follow(&global(10, &[]), &segment, 16_000);
        assert_eq!(after.deadline(), Some(21_000));
    }

    #[test]
    fn given_keys_stay_until_they_are_not_named_any_more() {
        let segment = create_segment().unwrap();
        let mut tickets = Tickets::default();
        tickets.follow(&global(10, &[1, 2]), &segment, 1000);
        assert_eq!((name(&segment), tickets.deadline()), (vec![1; 16], None));
        tickets.tick(&segment, 1_000_000).unwrap();
        assert_eq!(name(&segment), [1; 16]);
        tickets.follow(&global(10, &[2]), &segment, 2_000_000);
        assert_eq!(name(&segment), [2; 16]);
        tickets.follow(&global(10, &[]), &segment, 3_000_000);
        tickets.tick(&segment, 3_000_000).unwrap();
        assert_ne!(name(&segment), [2; 16]);
        assert!(segment.tickets().keys().find(&[2; 16]).is_some());
    }
}
