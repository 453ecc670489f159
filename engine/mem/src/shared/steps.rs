//! Tables under a model checker: threads for processes, each of their steps a chance for the others, and some of them
//! killed between two steps.

use super::word::Word;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::{Config, Runner, thread};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How many schedules of each sort a model runs under. A failure prints the one that repeats it.
const SCHEDULES: usize = 1_000;
/// A word whose every use is a step of the model, before which the thread may die.
#[derive(Default)]
pub(super) struct Step(AtomicU64);

shuttle::thread_local! {
    /// How many steps this thread has to live.
    static FUSE: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// What unwinds a thread that is dead.
struct Killed;

fn step() {
    FUSE.with(|fuse| match fuse.get() {
        // The panic hook is not called: nothing went wrong.
        0 => resume_unwind(Box::new(Killed)),
        u32::MAX => {}
        left => fuse.set(left - 1),
    });
}

impl Word for Step {
    fn load(&self, order: Ordering) -> u64 {
        step();
        self.0.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        step();
        self.0.store(value, order);
    }

    fn swap(&self, from: u64, to: u64, success: Ordering) -> bool {
        step();
        self.0.compare_exchange(from, to, success, Ordering::Relaxed).is_ok()
    }

    fn fence(order: Ordering) {
        shuttle::sync::atomic::fence(order);
    }

    fn pause() {
        thread::yield_now();
    }
}

/// Runs `life`, which dies after `steps` steps unless it comes to its end before.
pub(super) fn mortal<T>(steps: u32, life: impl FnOnce() -> T) -> Option<T> {
    FUSE.with(|fuse| fuse.set(steps));
    let end = catch_unwind(AssertUnwindSafe(life));
    FUSE.with(|fuse| fuse.set(u32::MAX));
    match end {
        Ok(value) => Some(value),
        Err(cause) if cause.is::<Killed>() => None,
        Err(cause) => resume_unwind(cause),
    }
}

/// Checks a model under random schedules, and under those that switch rarely, at the points that matter.
pub(super) fn check(model: impl Fn() + Copy + Send + Sync + 'static) {
    Runner::new(RandomScheduler::new(SCHEDULES), config()).run(model);
    Runner::new(PctScheduler::new(3, SCHEDULES), config()).run(model);
}

pub(super) fn config() -> Config {
    let mut config = Config::new();
    // A bucket of the checker's words is built on the stack, and is a hundred times the size of a real one.
    config.stack_size = 1 << 20;
    config
}
