//! [`Services`]: where each balancer stands, and which services are switched off.

use super::claim::Claim;
use super::layout::ServiceRow;
use super::map::{Kind, Segment};
use std::sync::atomic::Ordering::{Relaxed, Release};

/// The row of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u32);

/// A view of the services. Methods that take an id panic if it is none of this segment's rows.
#[derive(Clone, Copy)]
pub struct Services<'a> {
    segment: &'a Segment,
}

impl<'a> Services<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment) -> Services<'a> {
        Services { segment }
    }

    #[inline]
    fn row(&self, id: ServiceId) -> &'a ServiceRow {
        &self.segment.service_rows()[id.0 as usize]
    }

    /// The row of this identity, found again or taken anew; `None` if the table is full. For the supervisor alone.
    #[must_use]
    pub fn claim(&self, identity: &str, generation: u32) -> Option<ServiceId> {
        let claims = self.segment.claims(Kind::Service);
        match claims.claim(identity, generation)? {
            Claim::Kept(row) => Some(ServiceId(row)),
            Claim::New(row) => {
                let fields = self.row(ServiceId(row));
                fields.position.store(0, Relaxed);
                fields.disabled.store(0, Relaxed);
                claims.open(row);
                Some(ServiceId(row))
            }
        }
    }

    /// Frees the rows that no generation from `keep` on has claimed, and forgets their sessions. For the supervisor
    /// alone, when no worker of an older generation lives.
    pub fn sweep(&self, keep: u32) {
        let mut freed = vec![false; self.segment.limits().services as usize];
        let mut any = false;
        self.segment.claims(Kind::Service).sweep(keep, |row| {
            freed[row as usize] = true;
            any = true;
        });
        if any {
            self.segment.sessions().forget_services(&freed);
        }
    }

    /// Takes the next position of the round robin: each number goes to one caller of all processes.
    #[inline]
    #[must_use = "a position that nobody uses leaves a gap in the round"]
    pub fn next(&self, id: ServiceId) -> u64 {
        self.row(id).position.fetch_add(1, Relaxed)
    }

    /// Is it switched off?
    #[inline]
    #[must_use]
    pub fn disabled(&self, id: ServiceId) -> bool {
        self.row(id).disabled.load(Relaxed) != 0
    }

    /// Switches it off or on.
    pub fn set_disabled(&self, id: ServiceId, disabled: bool) {
        self.row(id).disabled.store(u32::from(disabled), Release);
        self.segment.bump_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn positions_are_dealt_out_once_each() {
        let segment = Segment::create(Limits::default()).expect("a segment");
        let id = segment.services().claim("main/0", 1).expect("a row");
        let mut dealt: Vec<u64> = std::thread::scope(|scope| {
            let workers = [(); 4].map(|()| {
                scope.spawn(|| (0..250).map(|_| segment.services().next(id)).collect::<Vec<u64>>())
            });
            workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
        });
        dealt.sort_unstable();
        assert_eq!(dealt, (0..1000).collect::<Vec<u64>>());
    }

    #[test]
    fn a_reload_keeps_the_switch_and_a_new_tenant_does_not_inherit_it() {
        let limits = Limits { services: 1, ..Limits::default() };
        let segment = Segment::create(limits).expect("a segment");
        let services = segment.services();
        let id = services.claim("a", 1).expect("a row");
        assert!(!services.disabled(id));
        services.set_disabled(id, true);
        assert_eq!(services.claim("a", 2), Some(id));
        assert!(services.disabled(id));
        assert_eq!(services.claim("b", 3), None);
        services.sweep(3);
        assert_eq!(services.claim("b", 3), Some(id));
        assert!(!services.disabled(id));
        assert_eq!(services.next(id), 0);
    }
}
