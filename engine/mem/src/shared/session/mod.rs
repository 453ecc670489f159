//! [`Sessions`]: which backend a client is bound to, per service and key.
//!
//! Bounded: a full bucket gives up the session that would expire first. Idle: each hit moves the expiry. The algorithm
//! and its promises are in `table`; what its words mean is in `word`; `bucket` reads and writes them. `model` runs the
//! table under many schedules, with writers dying between any two of their steps; `orders` runs parts of it under all
//! that the memory orders allow; `tests/kill.rs` kills real processes.

mod bucket;
#[cfg(test)]
mod model;
#[cfg(test)]
mod orders;
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
            bucket.free_if(|service| gone.get(service.0 as usize).is_some_and(|gone| *gone));
        }
    }

    /// Calls `each` with key, backend and expiry of every session of a service that no death has ended, the expired
    /// ones too. Sessions that come or go meanwhile may or may not be among them.
    pub fn for_each(&self, service: ServiceId, mut each: impl FnMut(&[u8], BackendId, u64)) {
        for bucket in self.segment.session_buckets() {
            bucket.for_each(
                |of| of == service,
                |session| {
                    if self.segment.backends().era(session.backend) == Some(session.era) {
                        each(session.key(), session.backend, session.expiry_ms);
                    }
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    const SERVICE: ServiceId = ServiceId(0);
    const TTL: u64 = 1_000;

    /// A segment whose sticky table is one bucket, two backends in it, and a worker.
    fn world() -> (Segment, [BackendId; 2], Owner) {
        let segment = Segment::create(Limits { session_buckets: 1, ..Limits::default() }).expect("a segment");
        let backends = ["a", "b"].map(|name| segment.backends().claim(name, 1).expect("a row"));
        let owner = segment.fleet().begin(0, 1);
        (segment, backends, owner)
    }

    fn sum(segment: &Segment, counter: Counter) -> u64 {
        segment.counters().sum(counter)
    }

    #[test]
    fn a_key_stays_bound_while_it_is_used() {
        let (segment, [a, b], who) = world();
        let sessions = segment.sessions();
        assert_eq!(sessions.find(SERVICE, b"key", 0, TTL), None);
        assert_eq!(sessions.insert(SERVICE, b"key", a, 0, TTL, who), a);
        assert_eq!(sessions.insert(SERVICE, b"key", b, 500, TTL, who), a, "it was bound already");
        assert_eq!(sessions.find(SERVICE, b"key", 1_400, TTL), Some(a), "the hit at 500 moved the expiry");
        assert_eq!(sessions.find(SERVICE, b"key", 2_399, TTL), Some(a));
        assert_eq!(sessions.find(SERVICE, b"key", 2_399 + TTL, TTL), None);
        assert_eq!(sessions.insert(SERVICE, b"key", b, 2_399 + TTL, TTL, who), b, "it had expired");
        assert_eq!(sum(&segment, Counter::SessionsCreated), 2);
    }

    #[test]
    fn services_do_not_share_keys() {
        let (segment, [a, b], who) = world();
        let sessions = segment.sessions();
        assert_eq!(sessions.insert(ServiceId(0), b"key", a, 0, TTL, who), a);
        assert_eq!(sessions.insert(ServiceId(1), b"key", b, 0, TTL, who), b);
        assert_eq!(sessions.find(ServiceId(0), b"key", 1, TTL), Some(a));
        assert_eq!(sessions.find(ServiceId(1), b"key", 1, TTL), Some(b));
        assert_eq!(sessions.find(ServiceId(2), b"key", 1, TTL), None);
    }

    #[test]
    fn death_ends_the_sessions_of_one_backend_and_revival_does_not_bring_them_back() {
        let (segment, [a, b], who) = world();
        let sessions = segment.sessions();
        sessions.insert(SERVICE, b"on a", a, 0, TTL, who);
        sessions.insert(SERVICE, b"on b", b, 0, TTL, who);
        segment.backends().mark_dead(a, 1);
        segment.backends().revive(a, 2);
        assert_eq!(sessions.find(SERVICE, b"on a", 3, TTL), None);
        assert_eq!(sessions.find(SERVICE, b"on b", 3, TTL), Some(b));
        assert_eq!(sessions.insert(SERVICE, b"on a", a, 3, TTL, who), a);
        assert_eq!(sessions.find(SERVICE, b"on a", 3, TTL), Some(a));
        sessions.forget_backend(a);
        assert_eq!(sessions.find(SERVICE, b"on a", 3, TTL), None);
    }

    #[test]
    fn a_disabled_backend_keeps_its_sessions() {
        let (segment, [a, _], who) = world();
        segment.sessions().insert(SERVICE, b"key", a, 0, TTL, who);
        segment.backends().set_disabled(a, true);
        assert_eq!(segment.sessions().find(SERVICE, b"key", 1, TTL), Some(a));
    }

    #[test]
    fn a_full_bucket_gives_up_what_would_expire_first() {
        let (segment, [a, _], who) = world();
        let sessions = segment.sessions();
        for key in 0..8_u8 {
            sessions.insert(SERVICE, &[key], a, u64::from(key), TTL, who);
        }
        assert_eq!(sessions.find(SERVICE, &[0], 100, TTL), Some(a), "now key 1 would expire first");
        sessions.insert(SERVICE, &[8], a, 101, TTL, who);
        let left: Vec<u8> =
            (0..9).filter(|key| sessions.find(SERVICE, &[*key], 102, TTL).is_some()).collect();
        assert_eq!(left, [0, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(sum(&segment, Counter::SessionsFull), 1);
        sessions.insert(SERVICE, &[9], a, 10_000, TTL, who);
        assert_eq!(sum(&segment, Counter::SessionsFull), 1, "what has expired is not given up");
    }

    #[test]
    fn keys_are_cut_and_told_apart_to_the_last_byte() {
        let (segment, [a, b], who) = world();
        let sessions = segment.sessions();
        let mut key = vec![b'k'; 200];
        sessions.insert(SERVICE, &key, a, 0, TTL, who);
        assert_eq!(sessions.find(SERVICE, &key[..KEY_BYTES_MAX], 1, TTL), Some(a));
        assert_eq!(sessions.find(SERVICE, &key[..KEY_BYTES_MAX - 1], 1, TTL), None);
        key[KEY_BYTES_MAX - 1] = b'x';
        assert_eq!(sessions.find(SERVICE, &key, 1, TTL), None);
        sessions.insert(SERVICE, b"", b, 0, TTL, who);
        assert_eq!(sessions.find(SERVICE, b"", 1, TTL), Some(b));
        assert_eq!(sessions.find(SERVICE, b"\0", 1, TTL), None, "a short key is not one padded with zeros");
    }

    #[test]
    fn an_operator_may_bind_and_unbind() {
        let (segment, [a, b], who) = world();
        let sessions = segment.sessions();
        assert!(sessions.replace(SERVICE, b"key", a, 0, TTL, who));
        assert!(sessions.replace(SERVICE, b"key", b, 0, TTL, who));
        assert_eq!(sessions.find(SERVICE, b"key", 1, TTL), Some(b));
        assert!(sessions.remove(SERVICE, b"key"));
        assert!(!sessions.remove(SERVICE, b"key"));
        assert_eq!(sessions.find(SERVICE, b"key", 1, TTL), None);
    }

    #[test]
    fn the_list_shows_one_service_without_what_a_death_ended() {
        let (segment, [a, b], who) = world();
        let sessions = segment.sessions();
        sessions.insert(ServiceId(0), b"gone", a, 0, TTL, who);
        segment.backends().mark_dead(a, 1);
        sessions.insert(ServiceId(0), b"there", b, 5, TTL, who);
        sessions.insert(ServiceId(1), b"elsewhere", b, 5, TTL, who);
        let mut list = Vec::new();
        sessions
            .for_each(ServiceId(0), |key, backend, expiry_ms| list.push((key.to_vec(), backend, expiry_ms)));
        assert_eq!(list, [(b"there".to_vec(), b, 5 + TTL)]);
    }

    #[test]
    fn a_service_that_is_swept_takes_its_sessions_along() {
        let (segment, [a, _], who) = world();
        let services = segment.services();
        let [old, kept] = ["old", "kept"].map(|name| services.claim(name, 1).expect("a row"));
        segment.sessions().insert(old, b"key", a, 0, TTL, who);
        segment.sessions().insert(kept, b"key", a, 0, TTL, who);
        assert_eq!(services.claim("kept", 2), Some(kept));
        services.sweep(2);
        assert_eq!(services.claim("new", 2), Some(old), "the row goes to another service");
        assert_eq!(segment.sessions().find(old, b"key", 1, TTL), None);
        assert_eq!(segment.sessions().find(kept, b"key", 1, TTL), Some(a));
    }

    #[test]
    fn a_row_full_of_nonsense_is_no_session() {
        let (segment, [a, _], who) = world();
        segment.sessions().insert(SERVICE, b"key", BackendId(9_999), 0, TTL, who);
        assert_eq!(segment.sessions().find(SERVICE, b"key", 1, TTL), None, "there is no such backend");
        segment.sessions().insert(SERVICE, b"key", a, 0, u64::MAX, who);
        assert_eq!(
            segment.sessions().find(SERVICE, b"key", 1 << 41, TTL),
            Some(a),
            "a time out of range is cut"
        );
    }

    #[test]
    fn an_entry_left_in_writing_is_free_once_its_owner_is_buried() {
        let (segment, [a, _], who) = world();
        let dead = segment.fleet().begin(1, 1);
        let bucket = &segment.session_buckets()[0];
        let tag = segment.sessions().probe(SERVICE, b"key").tag();
        for way in 0..8 {
            assert!(bucket.swap(way, bucket.state(way), bucket.state(way).taken(tag, dead)));
        }
        assert_eq!(segment.sessions().insert(SERVICE, b"key", a, 0, TTL, who), a);
        assert_eq!(
            segment.sessions().find(SERVICE, b"key", 1, TTL),
            None,
            "not recorded: its owner seems to live"
        );
        assert_eq!(sum(&segment, Counter::SessionsContended), 1);
        segment.fleet().ended(1);
        assert_eq!(segment.sessions().insert(SERVICE, b"key", a, 0, TTL, who), a);
        assert_eq!(segment.sessions().find(SERVICE, b"key", 1, TTL), Some(a));
    }
}
