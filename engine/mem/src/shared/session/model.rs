//! The table under a model checker: threads for processes, each of their steps a chance for the others, and some of
//! them killed between two steps.
//!
//! The checker runs everything in one order that all agree on. Whether the memory orders of the real words are strong
//! enough is for `orders` to say.

use super::super::fleet::Owner;
use super::super::health::BackendId;
use super::super::service::ServiceId;
use super::super::steps::{Step, check, config, mortal};
use super::bucket::{Bucket, Look, Probe, Term};
use super::table::{Mode, Put, Registry, Table};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::DfsScheduler;
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::{Runner, thread};

/// How many threads a world takes.
const THREADS: usize = 4;

/// One bucket and those who share it.
#[derive(Default)]
struct World {
    bucket: [Bucket<Step>; 1],
    /// Whose life is over.
    dead: [AtomicBool; THREADS],
}

impl Registry for &World {
    fn is_live(&self, owner: Owner) -> bool {
        !self.dead[usize::from(owner.worker)].load(Ordering::SeqCst)
    }

    fn era(&self, _: BackendId) -> Option<u32> {
        Some(0)
    }
}

const TERM: Term = Term { now: 1_000, ttl: 10_000 };

fn probe(key: u32) -> Probe {
    Probe::new([1, 2], ServiceId(0), &key.to_le_bytes())
}

fn owner(worker: usize) -> Owner {
    Owner { worker: worker as u16, incarnation: 1 }
}

impl World {
    fn table(&self) -> Table<'_, Step, &World> {
        Table::new(&self.bucket, self)
    }

    fn insert(&self, key: u32, backend: u32, who: usize) -> Put {
        self.table().put(&probe(key), BackendId(backend), TERM, owner(who), Mode::Keep)
    }

    /// The backends of all full entries of this key.
    fn entries(&self, key: u32) -> Vec<u32> {
        let mut found = Vec::new();
        self.bucket[0].for_each(
            |_| true,
            |session| {
                if session.key() == key.to_le_bytes() {
                    found.push(session.backend.0);
                }
            },
        );
        found
    }

    /// Runs `life` as this worker, which dies after `steps` steps unless it comes to its end before. The death is
    /// known to all as soon as it has happened, but not before.
    fn mortal<T>(&self, who: usize, steps: u32, life: impl FnOnce() -> T) -> Option<T> {
        let end = mortal(steps, life);
        if end.is_none() {
            self.dead[who].store(true, Ordering::SeqCst);
        }
        end
    }
}

/// A number of steps that ends somewhere in an insertion, or never.
fn some_steps() -> u32 {
    let steps = thread_rng().gen_range(0..160);
    if steps < 120 { steps } else { u32::MAX }
}

/// To which backend an insertion bound the key, as far as it can promise.
fn promised(put: Put, own: u32) -> Option<u32> {
    match put {
        Put::Kept(backend) => Some(backend.0),
        Put::Created { .. } => Some(own),
        Put::Unrecorded => None,
    }
}

/// Under every schedule that there is: a reader of an entry that is written anew, for the same key even, reads either
/// the one session or the other, and no mixture.
#[test]
fn a_look_reads_one_tenant_only() {
    let model = || {
        let world = Arc::new(World::default());
        world.insert(7, 1, 0);
        let first = world.bucket[0].state(0);
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let bucket = &world.bucket[0];
                let probe = probe(7);
                let mine = first.taken(probe.tag(), owner(1));
                assert!(bucket.swap(0, first, mine));
                bucket.write(0, mine, &probe, BackendId(2), 2, Term { now: 2_000, ttl: 2_000 });
                assert!(bucket.swap(0, mine, mine.filled(probe.tag())));
            })
        };
        if let Look::Same(read) = world.bucket[0].look(0, &probe(7)) {
            let read = (read.backend.0, read.era, read.expiry.ms());
            assert!(read == (1, 0, TERM.now + TERM.ttl) || read == (2, 2, 4_000), "{read:?}");
        }
        writer.join().unwrap();
    };
    Runner::new(DfsScheduler::new(None, false), config()).run(model);
}

/// Who insert the same key at the same time agree on one backend, and the key is in the table once.
#[test]
fn inserters_of_one_key_agree() {
    check(|| {
        let world = Arc::new(World::default());
        let threads = [1_u32, 2, 3].map(|backend| {
            let world = Arc::clone(&world);
            thread::spawn(move || promised(world.insert(7, backend, backend as usize), backend))
        });
        let promises: Vec<u32> = threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        assert!(promises.windows(2).all(|pair| pair[0] == pair[1]), "{promises:?}");
        let entries = world.entries(7);
        assert!(entries.len() <= 1, "{entries:?}");
        if let Some(promise) = promises.first() {
            assert_eq!(entries, [*promise]);
        }
    });
}

/// They agree too if they take different entries, since one is freed between the look of the one and of the other.
#[test]
fn inserters_into_different_entries_agree() {
    check(|| {
        let world = Arc::new(World::default());
        world.insert(100, 100, 0);
        let removing = {
            let world = Arc::clone(&world);
            thread::spawn(move || assert!(world.table().remove(&probe(100))))
        };
        let threads = [1_u32, 2].map(|backend| {
            let world = Arc::clone(&world);
            thread::spawn(move || promised(world.insert(7, backend, backend as usize), backend))
        });
        let promises: Vec<u32> = threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        removing.join().unwrap();
        assert!(promises.windows(2).all(|pair| pair[0] == pair[1]), "{promises:?}");
        assert!(world.entries(7).iter().eq(promises.first()), "{promises:?} {:?}", world.entries(7));
    });
}

/// The same while two of three are killed anywhere; and afterwards the key can be inserted, once.
#[test]
fn the_dead_leave_nothing_in_the_way() {
    check(|| {
        let world = Arc::new(World::default());
        let threads = [1_u32, 2, 3].map(|backend| {
            let world = Arc::clone(&world);
            let steps = if backend == 3 { u32::MAX } else { some_steps() };
            thread::spawn(move || {
                let who = backend as usize;
                world
                    .mortal(who, steps, || world.insert(7, backend, who))
                    .and_then(|put| promised(put, backend))
            })
        });
        let mut promises: Vec<u32> =
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        let last = world.insert(7, 9, 0);
        promises.push(promised(last, 9).expect("nobody alive is in the way"));
        assert!(promises.windows(2).all(|pair| pair[0] == pair[1]), "{promises:?}");
        assert_eq!(world.entries(7), [promises[0]]);
        assert_eq!(world.table().find(&probe(7), TERM), Some(BackendId(promises[0])));
        for key in 100..108 {
            assert!(
                matches!(world.insert(key, key, 0), Put::Created { .. }),
                "all eight entries can be taken"
            );
        }
    });
}

/// In a bucket that overflows, with writers dying, a reader finds a key's own backend or nothing, never another's.
#[test]
fn a_reader_never_finds_the_backend_of_another_key() {
    check(|| {
        let world = Arc::new(World::default());
        for key in 0..8 {
            world.insert(key, key, 0);
        }
        let writers = [1_u32, 2].map(|who| {
            let world = Arc::clone(&world);
            let steps = some_steps();
            let (key, who) = (100 + who, who as usize);
            thread::spawn(move || {
                let put = world.mortal(who, steps, || world.insert(key, key, who));
                assert!(put.is_none_or(|put| !matches!(put, Put::Kept(_))));
            })
        });
        for key in [0, 101, 1, 102] {
            let found = world.table().find(&probe(key), TERM);
            assert!(found.is_none_or(|backend| backend.0 == key), "{key} {found:?}");
        }
        writers.into_iter().for_each(|thread| thread.join().unwrap());
        let mut sessions = 0;
        world.bucket[0].for_each(
            |_| true,
            |session| {
                assert_eq!(session.key(), session.backend.0.to_le_bytes());
                sessions += 1;
            },
        );
        assert!((6..=8).contains(&sessions), "each writer evicts one at most");
    });
}

/// Of an insertion, a replacement and a removal of one key, at most one session is left.
#[test]
fn replacing_and_removing_leave_at_most_one() {
    check(|| {
        let world = Arc::new(World::default());
        world.insert(7, 1, 0);
        let replacing = {
            let world = Arc::clone(&world);
            let steps = some_steps();
            thread::spawn(move || {
                let put = || world.table().put(&probe(7), BackendId(2), TERM, owner(1), Mode::Replace);
                world.mortal(1, steps, put) == Some(Put::Created { evicted: false })
            })
        };
        let removing = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.table().remove(&probe(7)))
        };
        let inserting = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.insert(7, 3, 3) == Put::Created { evicted: false })
        };
        let replaced = replacing.join().unwrap();
        let removed = removing.join().unwrap();
        let inserted = inserting.join().unwrap();
        let entries = world.entries(7);
        assert!(entries.len() <= 1, "{entries:?}");
        if replaced && !removed {
            assert_eq!(entries, [2], "who replaces goes before who keeps (inserted: {inserted})");
        }
    });
}

/// A worker whose clock is behind takes a session for valid that another takes for expired: still there is one.
#[test]
fn clocks_that_differ_make_no_second_session() {
    check(|| {
        let world = Arc::new(World::default());
        world.insert(7, 1, 0);
        let end = TERM.now + TERM.ttl;
        let behind = {
            let world = Arc::clone(&world);
            let term = Term { now: end - 1, ttl: TERM.ttl };
            thread::spawn(move || world.table().put(&probe(7), BackendId(2), term, owner(2), Mode::Keep))
        };
        let ahead = {
            let world = Arc::clone(&world);
            let term = Term { now: end + 1, ttl: TERM.ttl };
            thread::spawn(move || world.table().put(&probe(7), BackendId(3), term, owner(3), Mode::Keep))
        };
        behind.join().unwrap();
        ahead.join().unwrap();
        assert_eq!(world.entries(7).len(), 1);
    });
}

/// A hit that comes late does not lengthen the life of the session that took the entry.
#[test]
fn a_late_hit_does_not_touch_the_next_tenant() {
    check(|| {
        let world = Arc::new(World::default());
        world.insert(7, 1, 0);
        let hitting = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.table().find(&probe(7), Term { now: 2_000, ttl: 1_000_000 }))
        };
        let short = Term { now: 2_000, ttl: 1_000 };
        world.table().remove(&probe(7));
        world.table().put(&probe(8), BackendId(2), short, owner(2), Mode::Keep);
        hitting.join().unwrap();
        world.bucket[0]
            .for_each(|_| true, |session| assert_eq!((session.backend.0, session.expiry_ms), (2, 3_000)));
    });
}
