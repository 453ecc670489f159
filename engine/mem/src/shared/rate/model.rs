//! The token buckets under a model checker, with processes that die.

use super::super::steps::{Step, check, mortal};
use super::Rate;
use super::table::{Key, Row, Table, Taken};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Arc;
use shuttle::thread;

/// Two tokens, and none comes as long as a model lives.
fn rate() -> Rate {
    Rate::new(1, 1 << 40, 2)
}

const NOW: u64 = 1_000_000;

type World = [Row<Step>; 1];

fn key(number: u64) -> Key {
    Key::new(number << 40 | 1)
}

fn take(world: &World, number: u64) -> Taken {
    Table::new(world).take(key(number), &rate(), NOW).0
}

/// Enough other keys that one more must find an entry of somebody whose bucket is full again.
fn crowd(world: &World) {
    for number in 100..107 {
        Table::new(world).take(key(number), &Rate::new(1, 1, 1), NOW / 2);
    }
}

/// Who takes from one bucket at the same time, new or not, gets together what is in it.
#[test]
fn a_bucket_gives_its_tokens_once() {
    check(|| {
        let world = Arc::new(World::default());
        crowd(&world);
        let threads = [0, 1, 2].map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || take(&world, 7))
        });
        let taken = threads.map(|thread| thread.join().unwrap());
        assert_eq!(taken.iter().filter(|taken| **taken == Taken::Token).count(), 2, "{taken:?}");
        assert_eq!(taken.iter().filter(|taken| **taken == Taken::NoToken).count(), 1, "{taken:?}");
        assert_eq!(world[0].entries_of(7 << 22), 1);
    });
}

/// Two of three die anywhere: what they took is at most what they asked for, and nothing is in the way of the others.
#[test]
fn the_dead_take_one_token_at_most_and_leave_nothing_in_the_way() {
    check(|| {
        let world = Arc::new(World::default());
        crowd(&world);
        let threads = [0, 1, 2].map(|who| {
            let world = Arc::clone(&world);
            let steps = if who == 2 { u32::MAX } else { thread_rng().gen_range(0..80) };
            thread::spawn(move || mortal(steps, || take(&world, 7)))
        });
        let taken = threads.map(|thread| thread.join().unwrap());
        let died = taken.iter().filter(|taken| taken.is_none()).count();
        let given = taken.iter().filter(|taken| **taken == Some(Taken::Token)).count();
        assert!(!taken.contains(&Some(Taken::Contended)), "{taken:?}");
        let left = (0..3).filter(|_| take(&world, 7) == Taken::Token).count();
        assert!(given + left <= 2 && given + left + died >= 2, "{taken:?} and then {left}");
        for number in 200..207 {
            assert_eq!(take(&world, number), Taken::Token, "all seven entries can be used");
        }
    });
}

/// Keys that come into a row at the same time share no bucket, whoever dies.
#[test]
fn different_keys_have_different_buckets() {
    check(|| {
        let world = Arc::new(World::default());
        crowd(&world);
        let threads = [1_u64, 2, 3].map(|number| {
            let world = Arc::clone(&world);
            let steps = if number == 3 { thread_rng().gen_range(0..80) } else { u32::MAX };
            thread::spawn(move || {
                mortal(steps, || [take(&world, number), take(&world, number), take(&world, number)])
            })
        });
        for taken in threads.map(|thread| thread.join().unwrap()).into_iter().flatten() {
            assert_eq!(taken, [Taken::Token, Taken::Token, Taken::NoToken]);
        }
    });
}

/// A bucket is not taken for full when somebody takes a token of it just then.
#[test]
fn a_bucket_in_use_is_not_given_away() {
    check(|| {
        let world = Arc::new(World::default());
        crowd(&world);
        // The one that has been full for longest: its entry is what the newcomer looks at.
        let user = {
            let world = Arc::clone(&world);
            thread::spawn(move || take(&world, 100))
        };
        let newcomer = {
            let world = Arc::clone(&world);
            thread::spawn(move || take(&world, 7))
        };
        assert_eq!(user.join().unwrap(), Taken::Token);
        assert_eq!(newcomer.join().unwrap(), Taken::Token);
        assert_eq!([take(&world, 100), take(&world, 100)], [Taken::Token, Taken::NoToken]);
        assert_eq!([take(&world, 7), take(&world, 7)], [Taken::Token, Taken::NoToken]);
    });
}
