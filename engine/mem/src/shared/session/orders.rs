//! The table under a checker of memory orders: what a weaker processor than the one at hand could make of it.
//!
//! `model` tries many schedules in which everybody sees every write at once; here are few and short ones, but each
//! load may give any value that its order allows.

use super::super::fleet::Owner;
use super::super::health::BackendId;
use super::super::service::ServiceId;
use super::super::word::Word;
use super::bucket::{Bucket, Look, Probe, Term};
use super::table::{Mode, Put, Registry, Table};
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use loom::thread;

#[derive(Default)]
struct Loose(AtomicU64);

impl Word for Loose {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    fn swap(&self, from: u64, to: u64, success: Ordering) -> bool {
        self.0.compare_exchange(from, to, success, Ordering::Relaxed).is_ok()
    }

    fn fence(order: Ordering) {
        fence(order);
    }

    fn pause() {
        thread::yield_now();
    }
}

/// One bucket, and whether worker 1 is dead.
#[derive(Default)]
struct World {
    bucket: [Bucket<Loose>; 1],
    dead: AtomicBool,
}

impl Registry for &World {
    fn is_live(&self, owner: Owner) -> bool {
        owner.worker != 1 || !self.dead.load(Ordering::Acquire)
    }

    fn era(&self, _: BackendId) -> Option<u32> {
        Some(0)
    }
}

impl World {
    fn table(&self) -> Table<'_, Loose, &World> {
        Table::new(&self.bucket, self)
    }

    fn insert(&self, key: u32, backend: u32, who: u16) -> Put {
        self.table().put(&probe(key), BackendId(backend), term(backend), owner(who), Mode::Keep)
    }

    /// What a look at the first entry finds of this key: the backend, after a check that the expiry is of the same
    /// session.
    fn look(&self, key: u32) -> Option<u32> {
        let Look::Same(reading) = self.bucket[0].look(0, &probe(key)) else { return None };
        assert_eq!(reading.expiry.ms(), term(reading.backend.0).ttl, "a mixture of two sessions");
        Some(reading.backend.0)
    }
}

fn probe(key: u32) -> Probe {
    Probe::new([1, 2], ServiceId(0), &key.to_le_bytes())
}

fn owner(worker: u16) -> Owner {
    Owner { worker, incarnation: 1 }
}

/// Each backend's sessions expire at a time of their own, by which they are known.
fn term(backend: u32) -> Term {
    Term { now: 0, ttl: 1_000_000 * u64::from(backend) }
}

/// Checks all executions with so many preemptions.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(model);
}

/// The words of a session are of one writer, if the state says so before and after.
#[test]
fn a_look_reads_one_tenant_only() {
    check(3, || {
        let world = Arc::new(World::default());
        world.insert(7, 1, 0);
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                // As in `Table::put`, without the looks at the others: too many steps for a checker of all executions.
                let (bucket, probe) = (&world.bucket[0], probe(7));
                let first = bucket.state(0);
                let mine = first.taken(probe.tag(), owner(2));
                assert!(bucket.swap(0, first, mine));
                Loose::fence(Ordering::SeqCst);
                bucket.write(0, mine, &probe, BackendId(2), 0, term(2));
                assert!(bucket.swap(0, mine, mine.filled(probe.tag())));
            })
        };
        world.look(7);
        writer.join().unwrap();
        assert_eq!(world.look(7), Some(2));
    });
}

/// Of two that insert one key into different entries, one at least sees the other.
#[test]
fn inserters_into_different_entries_agree() {
    check(2, || {
        let world = Arc::new(World::default());
        world.insert(100, 9, 0);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.insert(7, 1, 2))
        };
        assert!(world.table().remove(&probe(100)));
        let mine = world.insert(7, 2, 0);
        let promised = |put, own| match put {
            Put::Kept(backend) => Some(backend.0),
            Put::Created { .. } => Some(own),
            Put::Unrecorded => None,
        };
        if let (Some(theirs), Some(mine)) = (promised(other.join().unwrap(), 1), promised(mine, 2)) {
            assert_eq!(theirs, mine);
        }
    });
}

/// What a dead writer wrote does not come through the words of who took its entry over.
#[test]
fn the_successor_of_a_dead_writer_is_read_whole() {
    check(2, || {
        let world = Arc::new(World::default());
        let free = world.bucket[0].state(0);
        let dying = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let (bucket, probe) = (&world.bucket[0], probe(7));
                let mine = free.taken(probe.tag(), owner(1));
                if bucket.swap(0, free, mine) {
                    Loose::fence(Ordering::SeqCst);
                    bucket.write(0, mine, &probe, BackendId(1), 0, term(1));
                }
                world.dead.store(true, Ordering::Release);
            })
        };
        let put = world.insert(7, 2, 2);
        assert!(matches!(put, Put::Created { .. } | Put::Unrecorded), "{put:?}");
        assert!(world.look(7).is_none_or(|backend| backend == 2));
        dying.join().unwrap();
        assert_eq!(world.insert(7, 2, 2) == Put::Kept(BackendId(2)), put != Put::Unrecorded);
        assert_eq!(world.look(7), Some(2));
    });
}
