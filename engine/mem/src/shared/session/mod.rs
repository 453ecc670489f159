//! [`Sessions`]: which backend a client is bound to, per service and key.
//!
//! Bounded: a full bucket gives up the session that would expire first. Idle: each hit moves the expiry. The algorithm
//! and its promises are in `table`; what its words mean is in `word`; `model` runs it under every schedule a checker
//! can think of, with writers dying between any two of their steps.

mod bucket;
#[cfg(test)]
mod model;
mod table;
mod word;

use super::counters::Counter;
use super::fleet::Owner;
use super::health::BackendId;
use super::map::Segment;
use super::service::ServiceId;
use bucket::Bucket;
pub use bucket::KEY_BYTES_MAX;
use bucket::{Probe, Term};
use std::sync::atomic::AtomicU64;
use table::{Mode, Put, Registry, Table};

/// A bucket as it lies in the segment.
pub(super) type SessionBucket = Bucket<AtomicU64>;
/// The size of an entry, for the layout's hash.
pub(super) const ENTRY_BYTES: usize = size_of::<bucket::Entry<AtomicU64>>();

/// A view of the sticky table. Keys are cut to [`KEY_BYTES_MAX`] bytes. Times are milliseconds.
#[derive(Clone, Copy)]
pub struct Sessions<'a> {
    segment: &'a Segment,
}

impl Registry for &Segment {
    #[inline]
    fn is_live(&self, owner: Owner) -> bool {
        self.fleet().is_live(owner)
    }

    #[inline]
    fn era(&self, backend: BackendId) -> Option<u32> {
        self.backends().era(backend)
    }
}

impl<'a> Sessions<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment) -> Sessions<'a> {
        Sessions { segment }
    }

    #[inline]
    fn table(&self) -> Table<'a, AtomicU64, &'a Segment> {
        Table::new(self.segment.session_buckets(), self.segment)
    }

    #[inline]
    fn probe(&self, service: ServiceId, key: &[u8]) -> Probe {
        Probe::new(self.segment.secret(), service, key)
    }

    /// The backend that this key is bound to, if its session has not expired and the backend has not died since. A hit
    /// moves the expiry to `now_ms + ttl_ms` (or up to a 64th of the TTL, at most a quarter of a second, less far: so
    /// that a busy key is not written by everybody all the time).
    #[inline]
    #[must_use]
    pub fn find(&self, service: ServiceId, key: &[u8], now_ms: u64, ttl_ms: u64) -> Option<BackendId> {
        self.table().find(&self.probe(service, key), Term { now: now_ms, ttl: ttl_ms })
    }

    /// Binds a key to a backend, unless it is bound already: says to which backend it is bound now. If the process
    /// that is binding it at this moment is stuck, nothing is recorded and the answer is `backend`.
    ///
    /// Counts what it did on the page of `who`.
    pub fn insert(
        &self,
        service: ServiceId,
        key: &[u8],
        backend: BackendId,
        now_ms: u64,
        ttl_ms: u64,
        who: Owner,
    ) -> BackendId {
        let term = Term { now: now_ms, ttl: ttl_ms };
        let put = self.table().put(&self.probe(service, key), backend, term, who, Mode::Keep);
        self.count(put, who);
        if let Put::Kept(winner) = put { winner } else { backend }
    }

    /// Binds a key to a backend, whatever it was bound to. False if it could not be recorded: a process that writes
    /// the same session is stuck.
    ///
    /// Counts what it did on the page of `who`.
    pub fn replace(
        &self,
        service: ServiceId,
        key: &[u8],
        backend: BackendId,
        now_ms: u64,
        ttl_ms: u64,
        who: Owner,
    ) -> bool {
        let term = Term { now: now_ms, ttl: ttl_ms };
        let put = self.table().put(&self.probe(service, key), backend, term, who, Mode::Replace);
        self.count(put, who);
        put != Put::Unrecorded
    }

    fn count(&self, put: Put, who: Owner) {
        let page = self.segment.counters().page(who.worker);
        match put {
            Put::Kept(_) => {}
            Put::Created { evicted } => {
                page.add(Counter::SessionsCreated, 1);
                page.add(Counter::SessionsFull, u64::from(evicted));
            }
            Put::Unrecorded => page.add(Counter::SessionsContended, 1),
        }
    }

    /// Ends the session of a key, valid or not; true if there was one.
    pub fn remove(&self, service: ServiceId, key: &[u8]) -> bool {
        self.table().remove(&self.probe(service, key))
    }

    /// Ends all sessions with a backend, at once. [`Backends::mark_dead`](super::Backends::mark_dead) does so itself.
    pub fn forget_backend(&self, backend: BackendId) {
        self.segment.backends().forget_sessions(backend);
    }

    /// Ends all sessions of the services whose place in `gone` is true.
    pub(super) fn forget_services(&self, gone: &[bool]) {
        for bucket in self.segment.session_buckets() {
            bucket.free_if(|session| gone.get(session.service.0 as usize).is_some_and(|gone| *gone));
        }
    }

    /// Calls `each` with key, backend and expiry of every session of a service that no death has ended, the expired
    /// ones too. Sessions that come or go meanwhile may or may not be among them.
    pub fn for_each(&self, service: ServiceId, mut each: impl FnMut(&[u8], BackendId, u64)) {
        for bucket in self.segment.session_buckets() {
            bucket.for_each(|session| {
                if session.service == service
                    && self.segment.backends().era(session.backend) == Some(session.era)
                {
                    each(session.key(), session.backend, session.expiry_ms);
                }
            });
        }
    }
}
