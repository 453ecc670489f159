//! What the workers count: a page each, and one table of names.
//!
//! A page has one writer, the worker of that slot, so counting is a load and a store without a bus lock. Readers sum
//! over the pages. A worker that takes over a slot counts on where the last one stopped; only the gauges start again
//! at nothing ([`Fleet::ended`](super::Fleet::ended)).

use super::layout::{FNV_START, fnv};
use super::map::Segment;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Does a number only grow, or does it go up and down?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterKind {
    /// It only grows.
    Counter,
    /// It goes up and down; a dead worker's part is nothing.
    Gauge,
}

/// Makes the enum and its table from the same rows.
macro_rules! counters {
    ($($id:ident $kind:ident $name:literal $help:literal)*) => {
        /// Names a number that every worker keeps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Counter {
            $(#[doc = $help] $id,)*
        }

        impl Counter {
            /// All of them, in the order of the pages.
            pub const ALL: &'static [Counter] = &[$(Counter::$id,)*];

            /// The name under which metrics show it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Counter::$id => $name,)* }
            }

            /// One line for those who read metrics.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Counter::$id => $help,)* }
            }

            /// Whether it only grows.
            #[must_use]
            pub const fn kind(self) -> CounterKind {
                match self { $(Counter::$id => CounterKind::$kind,)* }
            }
        }
    };
}

counters! {
    ConnectionsAccepted Counter "ounce_connections_accepted_total" "Client connections accepted."
    ConnectionsRefused Counter "ounce_connections_refused_total" "Client connections closed at once because a limit was reached."
    AcceptPauses Counter "ounce_accept_pauses_total" "Times that accepting stopped because every place for a client was taken."
    ConnectionsOpen Gauge "ounce_connections_open" "Client connections open now."
    Requests Counter "ounce_requests_total" "Requests whose head was read to its end."
    Responses1xx Counter "ounce_responses_1xx_total" "Interim responses sent to clients."
    Responses2xx Counter "ounce_responses_2xx_total" "Responses of class 2xx sent to clients."
    Responses3xx Counter "ounce_responses_3xx_total" "Responses of class 3xx sent to clients."
    Responses4xx Counter "ounce_responses_4xx_total" "Responses of class 4xx sent to clients."
    Responses5xx Counter "ounce_responses_5xx_total" "Responses of class 5xx sent to clients."
    Refusals Counter "ounce_refusals_total" "Requests that were refused as not well formed."
    BytesClientIn Counter "ounce_bytes_client_in_total" "Bytes received from clients."
    BytesClientOut Counter "ounce_bytes_client_out_total" "Bytes sent to clients."
    BytesBackendIn Counter "ounce_bytes_backend_in_total" "Bytes received from backends."
    BytesBackendOut Counter "ounce_bytes_backend_out_total" "Bytes sent to backends."
    BackendConnects Counter "ounce_backend_connects_total" "Connections to backends that were begun."
    BackendConnectFailures Counter "ounce_backend_connect_failures_total" "Connections to backends that failed or timed out while connecting."
    BackendReuses Counter "ounce_backend_reuses_total" "Requests sent on a backend connection that had served another before."
    BackendIdle Gauge "ounce_backend_idle" "Backend connections parked for reuse now."
    Retries Counter "ounce_retries_total" "Requests sent once more, to another backend or on another connection."
    SessionsCreated Counter "ounce_sessions_created_total" "Sticky sessions created."
    SessionsFull Counter "ounce_sessions_full_total" "Sticky sessions that ended early to make room for others."
    SessionsContended Counter "ounce_sessions_contended_total" "Sticky sessions not recorded because another process was writing the same one."
    RatesExceeded Counter "ounce_rates_exceeded_total" "Times that no token was left in a bucket of TBF."
    RatesFull Counter "ounce_rates_full_total" "Buckets of TBF that were forgotten before they were full, to make room for others."
    RatesContended Counter "ounce_rates_contended_total" "Times that TBF took a token for missing because too many processes took from a bucket at once."
    LogLinesDropped Counter "ounce_log_lines_dropped_total" "Log lines dropped because the log could not keep up."
    TlsHandshakes Counter "ounce_tls_handshakes_total" "TLS handshakes completed with clients."
    TlsResumptions Counter "ounce_tls_resumptions_total" "TLS handshakes that resumed an earlier session."
    TlsFailures Counter "ounce_tls_failures_total" "TLS handshakes with clients that failed."
    CrewJobs Counter "ounce_crew_jobs_total" "Jobs given to helper threads: slow password hashes and signatures."
    CrewJobsRefused Counter "ounce_crew_jobs_refused_total" "Jobs that helper threads did not take because too many waited."
    CardWaits Counter "ounce_card_waits_total" "Handshakes that waited for a card, or for a helper thread, while others were served."
    CardFailures Counter "ounce_card_failures_total" "Handshakes that a card failed."
    CardTimeouts Counter "ounce_card_timeouts_total" "Handshakes given up because a card took too long."
    CardCrowded Counter "ounce_card_crowded_total" "Handshakes that waited because as many as may be waited for a card."
    CardFallbacks Counter "ounce_card_fallbacks_total" "Times that software took over from a card."
    CardOrphans Gauge "ounce_card_orphans" "Handshakes without a client that a card has not given back yet."
    StaleCompletions Counter "ounce_stale_completions_total" "Completions whose slot had another tenant by then."
    IdleEvents Counter "ounce_idle_events_total" "Events that changed nothing."
    PoolExhausted Counter "ounce_pool_exhausted_total" "Times that no page of the buffer pool was free."
    SplicedBytes Counter "ounce_spliced_bytes_total" "Bytes moved between sockets inside the kernel."
    UnexpectedErrno Counter "ounce_unexpected_errno_total" "Errors of the kernel that no rule foresaw."
    Loops Counter "ounce_loops_total" "Turns of the worker's loop."
}

/// Places on a page; some are left for rows to come.
const PLACES: usize = 64;
const _: () = assert!(Counter::ALL.len() <= PLACES);

/// Tells one table of counters from another, so that a segment with other rows is not attached to.
pub(super) const TABLE_HASH: u64 = {
    let mut hash = FNV_START;
    let mut i = 0;
    while i < Counter::ALL.len() {
        hash = fnv(hash, Counter::ALL[i].name().as_bytes());
        i += 1;
    }
    hash
};

/// The counters of one worker slot.
#[repr(C, align(64))]
pub struct CounterPage {
    places: [AtomicU64; PLACES],
}

impl CounterPage {
    /// Counts `n` more. Only the one writer of the page may: two would lose counts.
    #[inline]
    pub fn add(&self, counter: Counter, n: u64) {
        let place = &self.places[counter as usize];
        place.store(place.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Counts a gauge down by `n`, not below nothing. Only the one writer of the page may.
    #[inline]
    pub fn sub(&self, counter: Counter, n: u64) {
        debug_assert_eq!(counter.kind(), CounterKind::Gauge, "{} only grows", counter.name());
        let place = &self.places[counter as usize];
        place.store(place.load(Relaxed).saturating_sub(n), Relaxed);
    }

    /// What this worker counted.
    #[inline]
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.places[counter as usize].load(Relaxed)
    }

    /// Sets the gauges to nothing; for the burial of the worker that wrote them.
    pub(super) fn clear_gauges(&self) {
        for counter in Counter::ALL.iter().filter(|counter| counter.kind() == CounterKind::Gauge) {
            self.places[*counter as usize].store(0, Relaxed);
        }
    }
}

/// A view of all pages.
#[derive(Clone, Copy)]
pub struct Counters<'a> {
    pages: &'a [CounterPage],
}

impl<'a> Counters<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment) -> Counters<'a> {
        Counters { pages: segment.counter_pages() }
    }

    /// The page of one worker slot.
    ///
    /// # Panics
    /// If there is no such slot.
    #[inline]
    #[must_use]
    pub fn page(&self, worker: u16) -> &'a CounterPage {
        &self.pages[usize::from(worker)]
    }

    /// The sum over all workers, the dead ones too.
    #[must_use]
    pub fn sum(&self, counter: Counter) -> u64 {
        self.pages.iter().fold(0, |sum: u64, page| sum.wrapping_add(page.get(counter)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use std::collections::HashSet;

    #[test]
    fn readers_sum_over_the_workers() {
        let segment = Segment::create(Limits { workers: 3, ..Limits::default() }).expect("a segment");
        let counters = segment.counters();
        counters.page(0).add(Counter::Requests, 2);
        counters.page(2).add(Counter::Requests, 3);
        counters.page(2).add(Counter::Loops, 9);
        assert_eq!((counters.sum(Counter::Requests), counters.sum(Counter::Loops)), (5, 9));
        assert_eq!(counters.page(1).get(Counter::Requests), 0);
    }

    #[test]
    fn a_gauge_does_not_go_below_nothing() {
        let segment = Segment::create(Limits::default()).expect("a segment");
        let page = segment.counters().page(0);
        page.add(Counter::BackendIdle, 1);
        page.sub(Counter::BackendIdle, 2);
        assert_eq!(page.get(Counter::BackendIdle), 0);
    }

    #[test]
    fn names_are_unique_and_say_their_kind() {
        let names: HashSet<&str> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        for counter in Counter::ALL {
            assert!(counter.name().starts_with("ounce_"));
            assert_eq!(counter.name().ends_with("_total"), counter.kind() == CounterKind::Counter);
            assert!(counter.help().ends_with('.'));
        }
    }
}
