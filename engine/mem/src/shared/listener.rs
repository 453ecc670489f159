//! [`Listeners`]: which listeners are switched off, and what an operator has set of their logs.

use super::claim::Claim;
use super::layout::ListenerRow;
use super::map::{Kind, Segment};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// The row of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// A view of the listeners. Methods that take an id panic if it is none of this segment's rows.
#[derive(Clone, Copy)]
pub struct Listeners<'a> {
    segment: &'a Segment,
}

impl<'a> Listeners<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment) -> Listeners<'a> {
        Listeners { segment }
    }

    #[inline]
    fn row(&self, id: ListenerId) -> &'a ListenerRow {
        &self.segment.listener_rows()[id.0 as usize]
    }

    /// The row of this identity, found again or taken anew; `None` if the table is full. For the supervisor alone.
    #[must_use]
    pub fn claim(&self, identity: &str, generation: u32) -> Option<ListenerId> {
        let claims = self.segment.claims(Kind::Listener);
        match claims.claim(identity, generation)? {
            Claim::Kept(row) => Some(ListenerId(row)),
            Claim::New(row) => {
                self.row(ListenerId(row)).disabled.store(0, Relaxed);
                self.row(ListenerId(row)).log_level.store(0, Relaxed);
                claims.open(row);
                Some(ListenerId(row))
            }
        }
    }

    /// Frees the rows that no generation from `keep` on has claimed. For the supervisor alone, when no worker of an
    /// older generation lives.
    pub fn sweep(&self, keep: u32) {
        self.segment.claims(Kind::Listener).sweep(keep, |_| {});
    }

    /// Is it switched off?
    #[inline]
    #[must_use]
    pub fn disabled(&self, id: ListenerId) -> bool {
        self.row(id).disabled.load(Relaxed) != 0
    }

    /// Switches it off or on.
    pub fn set_disabled(&self, id: ListenerId, disabled: bool) {
        self.row(id).disabled.store(u32::from(disabled), Release);
        self.segment.bump_epoch();
    }

    /// The log level that an operator has set for a listener, or with `None` for all that have none of their own. What
    /// the number means is the readers' business; 0 is nothing.
    #[must_use]
    pub fn log_level(&self, of: Option<ListenerId>) -> u32 {
        self.level(of).load(Relaxed)
    }

    /// Sets it.
    pub fn set_log_level(&self, of: Option<ListenerId>, level: u32) {
        self.level(of).store(level, Release);
        self.segment.bump_epoch();
    }

    fn level(&self, of: Option<ListenerId>) -> &'a AtomicU32 {
        match of {
            Some(id) => &self.row(id).log_level,
            None => &self.segment.header().log_level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn a_reload_keeps_the_switch_and_a_new_tenant_does_not_inherit_it() {
        let segment = Segment::create(Limits { listeners: 1, ..Limits::default() }).expect("a segment");
        let listeners = segment.listeners();
        let id = listeners.claim("a", 1).expect("a row");
        listeners.set_disabled(id, true);
        listeners.set_log_level(Some(id), 7);
        listeners.set_log_level(None, 8);
        assert_eq!(listeners.claim("a", 2), Some(id));
        assert!(listeners.disabled(id));
        assert_eq!((listeners.log_level(Some(id)), listeners.log_level(None)), (7, 8));
        listeners.sweep(3);
        assert_eq!(listeners.claim("b", 3), Some(id));
        assert!(!listeners.disabled(id));
        assert_eq!((listeners.log_level(Some(id)), listeners.log_level(None)), (0, 8));
    }
}
