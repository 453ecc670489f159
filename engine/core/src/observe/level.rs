//! Log levels that an operator sets while the program runs.
//!
//! They stay over reloads, and formats may come and go with these: so the segment holds keys of names. A key that no
//! format of a configuration has means nothing there, and what its file says holds.

use super::Format;
use crate::core::Core;
use crate::flow::exchange::Exchange;
use crate::route::plan::{ListenerPlan, Plan};
use ounce_mem::{ListenerId, Segment};

/// Formats that have numbers.
const BUILT_IN: usize = 6;

/// The key of a format's name; never 0.
#[must_use]
pub fn key(name: &str) -> u32 {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

/// The format that an operator has chosen for a listener, or with `None` for all without one of their own, by its
/// place in [`Plan::log_formats`].
#[must_use]
pub fn chosen(plan: &Plan, segment: &Segment, listener: Option<&ListenerPlan>) -> Option<usize> {
    let rows = segment.listeners();
    let find = |set: u32| match set {
        0 => None,
        set => plan.log_formats.iter().position(|(name, _)| key(name) == set),
    };
    let own = listener.and_then(|listener| find(rows.log_level(Some(ListenerId(listener.row)))));
    let follows = listener.is_none_or(|listener| listener.follows_log_level);
    own.or_else(|| if follows { find(rows.log_level(None)) } else { None })
}

/// The format of this name or number, by its place in [`Plan::log_formats`].
#[must_use]
pub fn named(plan: &Plan, level: &str) -> Option<usize> {
    let by_name = plan.log_formats.iter().position(|(name, _)| name == level);
    by_name.or_else(|| level.parse().ok().filter(|number| *number < BUILT_IN.min(plan.log_formats.len())))
}

impl<'p> Core<'p> {
    /// Looks which formats are chosen now.
    pub fn look_at_log_levels(&mut self) {
        let chosen = |listener| chosen(self.plan, self.segment, Some(listener));
        self.log_levels = self.plan.listeners.iter().map(chosen).collect();
    }

    /// How the line of an exchange is written: as it was when its request came.
    pub(crate) fn log_format(&self, x: &Exchange) -> &'p Format {
        match x.log_level {
            Some(chosen) => &self.plan.log_formats[chosen].1,
            None => &self.plan.listeners[x.listener as usize].log_format,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_keys_of_their_own() {
        let names = ["null", "regular", "extended", "vhost_combined", "combined", "detailed", ""];
        let keys: std::collections::HashSet<u32> = names.into_iter().map(key).collect();
        assert_eq!(keys.len(), names.len());
        assert!(!keys.contains(&0));
    }
}
