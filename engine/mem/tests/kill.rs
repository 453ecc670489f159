//! Processes that hammer one segment while they are killed at random: what is left must still be in order.
//!
//! The children do nothing after the fork but touch the segment, so that forking a process with threads is sound.

#![allow(unsafe_code, reason = "to fork is unsafe: the child may only do what a signal handler may")]

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use ounce_mem::{BackendId, Counter, Limits, Owner, Segment, ServiceId};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const SERVICE: ServiceId = ServiceId(0);
const CHILDREN: u16 = 3;
const BACKENDS: u32 = 16;
/// Half as many again as the table has entries, so that it overflows all the time.
const KEYS: u64 = 3 * 4 * 8 / 2;
const BUCKETS: u32 = 4;
const TTL_MS: u64 = 1_000_000;
/// How long children are made and killed.
const LENGTH: Duration = Duration::from_secs(2);

/// A child that is killed when it goes out of scope, so that a failing test leaves no process behind.
struct Child {
    pid: Pid,
    owner: Owner,
}

impl Child {
    fn begin(segment: &Segment, slot: u16, seed: u64) -> Child {
        let owner = segment.fleet().begin(slot, 1);
        // SAFETY: the child calls `hammer`, which touches shared memory and its own stack, allocates nothing, takes no
        // lock and never returns.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Parent { child } => {
                segment.fleet().set_pid(slot, child.as_raw() as u32);
                Child { pid: child, owner }
            }
            ForkResult::Child => hammer(segment, owner, seed),
        }
    }

    /// Kills it, wherever it is, and buries it.
    fn end(self, segment: &Segment) {
        kill(self.pid, Signal::SIGKILL).expect("a child to kill");
        let slot = self.owner.worker;
        let status = waitpid(self.pid, None).expect("a child to reap");
        let killed = WaitStatus::Signaled(self.pid, Signal::SIGKILL, false);
        assert_eq!(status, killed, "the child saw a session that was not the key's");
        std::mem::forget(self);
        segment.fleet().ended(slot);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// The next number of a sequence (xorshift). It is the child's own, and never 0.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The backends that a key may be bound to: every process binds it to one of these two.
fn backends(key: u64) -> [BackendId; 2] {
    [BackendId((key % 8) as u32), BackendId((key % 8) as u32 + 8)]
}

/// Is this session one that a process could have made?
fn is_own(key: &[u8], backend: BackendId) -> bool {
    <[u8; 8]>::try_from(key).is_ok_and(|key| backends(u64::from_le_bytes(key)).contains(&backend))
}

/// What a worker does, as fast as it can, until it is killed. Ends by itself only when it sees what must not be.
fn hammer(segment: &Segment, owner: Owner, seed: u64) -> ! {
    let mut random = seed | 1;
    let page = segment.counters().page(owner.worker);
    let sessions = segment.sessions();
    for now_ms in 1_u64.. {
        let draw = next(&mut random);
        let key = draw % KEYS;
        let bytes = key.to_le_bytes();
        let backend = backends(key)[(draw >> 32) as usize % 2];
        segment.backends().opened(backend, owner.worker);
        let found = match draw >> 40 & 15 {
            0 => {
                sessions.remove(SERVICE, &bytes);
                None
            }
            1 => sessions.replace(SERVICE, &bytes, backend, now_ms, TTL_MS, owner).then_some(backend),
            2..7 => sessions.find(SERVICE, &bytes, now_ms, TTL_MS),
            _ => Some(sessions.insert(SERVICE, &bytes, backend, now_ms, TTL_MS, owner)),
        };
        if found.is_some_and(|found| !backends(key).contains(&found)) {
            break;
        }
        page.add(Counter::Loops, 1);
        if draw >> 50 & 1 == 0 {
            segment.backends().closed(backend, owner.worker);
        }
    }
    // SAFETY: ends the process at once, and runs nothing of the parent's.
    unsafe { libc::_exit(1) }
}

/// Waits until a child has done so many turns more.
fn wait_for_turns(segment: &Segment, slot: u16, turns: u64) {
    let page = segment.counters().page(slot);
    let start = page.get(Counter::Loops);
    while page.get(Counter::Loops) < start + turns {
        std::thread::yield_now();
    }
}

/// All sessions, with a check that no key is there twice.
fn census(segment: &Segment) -> HashMap<Vec<u8>, BackendId> {
    let mut found = HashMap::new();
    segment.sessions().for_each(SERVICE, |key, backend, _| {
        assert_eq!(found.insert(key.to_vec(), backend), None, "a key is bound twice");
    });
    found
}

#[test]
fn killed_workers_leave_the_tables_in_order() {
    let limits = Limits {
        backends: BACKENDS,
        session_buckets: BUCKETS,
        workers: u32::from(CHILDREN) + 1,
        ..Limits::default()
    };
    let segment = Segment::create(limits).expect("a segment");
    for backend in 0..BACKENDS {
        assert_eq!(segment.backends().claim(&backend.to_string(), 1), Some(BackendId(backend)));
    }
    let mut seed = fastrand::u64(..) | 1;
    println!("seed {seed}");
    let end = Instant::now() + LENGTH;
    while Instant::now() < end {
        let mut children: Vec<Child> =
            (0..CHILDREN).map(|slot| Child::begin(&segment, slot, next(&mut seed))).collect();
        // One dies among the living, and they go on; then all die, and nothing moves any more.
        wait_for_turns(&segment, 0, next(&mut seed) % 256 + 1);
        children.remove(0).end(&segment);
        wait_for_turns(&segment, 1, next(&mut seed) % 256 + 1);
        children.into_iter().for_each(|child| child.end(&segment));
        let left = census(&segment);
        assert!(left.len() <= (BUCKETS * 8) as usize);
        assert!(left.iter().all(|(key, backend)| is_own(key, *backend)), "a session is a mixture of two");
    }

    for backend in 0..BACKENDS {
        assert_eq!(segment.backends().connections(BackendId(backend)), 0, "the dead hold connections open");
    }
    // Whatever the dead left in writing, every key can be bound again, and stays bound until it is evicted.
    let who = segment.fleet().begin(CHILDREN, 1);
    let unrecorded = segment.counters().sum(Counter::SessionsContended);
    for key in 0..10 * KEYS {
        let bytes = key.to_le_bytes();
        let bound = segment.sessions().insert(SERVICE, &bytes, backends(key)[0], 1, TTL_MS, who);
        assert_eq!(segment.sessions().find(SERVICE, &bytes, 1, TTL_MS), Some(bound));
    }
    assert_eq!(segment.counters().sum(Counter::SessionsContended), unrecorded);
    let filled = census(&segment);
    assert_eq!(filled.len(), (BUCKETS * 8) as usize, "every entry can be used again");
}
