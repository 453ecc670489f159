//! Waiting: for an event where there is one, and never longer than a deadline.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest that any wait of a test takes. What takes longer has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks at what tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(5);

/// A gate that threads wait at until a test opens it. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A gate that is closed.
    #[must_use]
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        let (open, opened) = &*self.0;
        *open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        opened.notify_all();
    }

    /// Waits until it is open. Whether it was opened in time: a thread behind it must end when its test has failed.
    #[must_use]
    pub fn pass(&self) -> bool {
        let (open, opened) = &*self.0;
        let open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let (open, _) =
            opened.wait_timeout_while(open, DEADLINE, |open| !*open).unwrap_or_else(PoisonError::into_inner);
        *open
    }
}

/// A list that grows while a test waits for what it hopes to find in it. Clones are the same list.
#[derive(Debug)]
pub struct Journal<T>(Arc<(Mutex<Entries<T>>, Condvar)>);

#[derive(Debug)]
struct Entries<T> {
    all: Vec<T>,
    /// Nothing will be added.
    over: bool,
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Journal<T> {
        Journal(Arc::clone(&self.0))
    }
}

impl<T> Default for Journal<T> {
    fn default() -> Journal<T> {
        Journal(Arc::new((Mutex::new(Entries { all: Vec::new(), over: false }), Condvar::new())))
    }
}

impl<T: Clone + Debug> Journal<T> {
    /// Adds an entry, and returns how many were there before.
    pub fn push(&self, entry: T) -> usize {
        let (entries, changed) = &*self.0;
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.all.push(entry);
        changed.notify_all();
        entries.all.len() - 1
    }

    /// Nothing will be added any more: whoever waits need wait no longer.
    pub fn end(&self) {
        let (entries, changed) = &*self.0;
        entries.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        changed.notify_all();
    }

    /// What is there now.
    #[must_use]
    pub fn all(&self) -> Vec<T> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    /// How many entries are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).all.len()
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until `found` finds something. `None` if it is not found before the journal ends, or in time.
    pub fn find<R>(&self, mut found: impl FnMut(&[T]) -> Option<R>) -> Option<R> {
        let (entries, changed) = &*self.0;
        let deadline = Instant::now() + DEADLINE;
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = found(&entries.all) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if entries.over || left.is_zero() {
                return None;
            }
            entries = changed.wait_timeout(entries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `found` finds something.
    ///
    /// # Panics
    /// When it finds nothing before the journal ends, or in time; `what` was waited for.
    pub fn wait<R>(&self, what: &str, found: impl FnMut(&[T]) -> Option<R>) -> R {
        let Some(found) = self.find(found) else { panic!("waited in vain for {what}: {:#?}", self.all()) };
        found
    }

    /// Waits for an entry that `matches` and returns it.
    ///
    /// # Panics
    /// As [`Journal::wait`].
    pub fn wait_for(&self, what: &str, matches: impl Fn(&T) -> bool) -> T {
        self.wait(what, |all| all.iter().find(|entry| matches(entry)).cloned())
    }

    /// Waits until there are so many entries and returns all.
    ///
    /// # Panics
    /// As [`Journal::wait`].
    pub fn wait_len(&self, what: &str, len: usize) -> Vec<T> {
        self.wait(what, |all| (all.len() >= len).then(|| all.to_vec()))
    }
}

/// Waits until `look` finds something, by looking again and again: for what tells nobody when it changes, such as the
/// list of processes. `None` if it is not there within `limit`.
pub fn until_within<R>(limit: Duration, mut look: impl FnMut() -> Option<R>) -> Option<R> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::park_timeout(LOOK);
    }
}

/// As [`until_within`] the [`DEADLINE`].
///
/// # Panics
/// When it is not there in time; `what` was waited for.
pub fn until<R>(what: &str, look: impl FnMut() -> Option<R>) -> R {
    let Some(found) = until_within(DEADLINE, look) else { panic!("waited in vain for {what}") };
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_through_what_waits_and_what_comes_later() {
        let gate = Gate::new();
        let waiting = std::thread::spawn({
            let gate = gate.clone();
            move || gate.pass()
        });
        gate.open();
        assert!(waiting.join().unwrap());
        assert!(gate.pass());
    }

    #[test]
    fn a_journal_is_waited_on_until_it_ends() {
        let journal = Journal::default();
        let writer = journal.clone();
        let thread = std::thread::spawn(move || {
            writer.push(1);
            writer.push(2);
            writer.end();
        });
        assert_eq!(journal.wait_for("two", |entry| *entry == 2), 2);
        assert_eq!(journal.find(|all| all.iter().find(|entry| **entry == 3).copied()), None);
        thread.join().unwrap();
    }
}
