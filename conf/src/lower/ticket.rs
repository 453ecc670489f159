//! Ticket keys: how long they hold, and those that are given.

use super::Lowering;
use crate::diag::Problem;
use crate::model::TicketKey;
use crate::source;
use crate::tree::Statement;
use std::time::Duration;

/// Keys that are accepted at a time.
const KEYS_MAX: usize = 4;

/// A ticket lives no longer (RFC 8446 4.6.1).
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

impl Lowering<'_> {
    pub(super) fn ticket_lifetime(&mut self, statement: &Statement) -> Duration {
        let lifetime = statement.time();
        if lifetime > LIFETIME_MAX {
            let problem = Problem::error(statement.place(0), "a TLS session lives at most seven days");
            self.findings.push(problem.expected("at most 7d"));
        }
        lifetime.min(LIFETIME_MAX)
    }

    pub(super) fn ticket_key(&mut self, statement: &Statement, into: &mut Vec<TicketKey>) {
        let Some(path) = statement.file(0) else { return };
        let shown = path.display();
        let key = match source::read_regular(path) {
            Ok(bytes) if matches!(bytes.len(), 48 | 80) => TicketKey(bytes),
            Ok(bytes) => {
                let text = format!("{shown} has {} bytes; expected 48 or 80", bytes.len());
                return self.error(statement.place(0), text);
            }
            Err(error) => {
                let text = format!("cannot read {shown}: {}", source::reason(&error));
                return self.error(statement.place(0), text);
            }
        };
        if into.len() == KEYS_MAX {
            return self.error(statement.keyword, format!("more than {KEYS_MAX} ticket keys"));
        }
        // Tickets name their key by its first bytes.
        if into.iter().any(|known| known.0[..16] == key.0[..16]) {
            return self.error(statement.place(0), format!("{shown} has the name of a key before it"));
        }
        into.push(key);
    }
}
