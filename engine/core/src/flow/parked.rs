//! Connections to backends that wait for their next request, per backend, latest first.
//!
//! The lists hold keys only. A key may have gone stale or been taken since; whoever takes one looks at the socket,
//! so nothing here must be kept in step with it.

use crate::limits;
use ounce_mem::Key;

/// The parked connections of one worker.
#[derive(Debug)]
pub(crate) struct Parked {
    backends: Vec<Lot>,
    /// How many connections wait, over all backends.
    waiting: u32,
    /// How many may.
    most: u32,
}

/// The parked connections of one backend.
#[derive(Debug, Default)]
struct Lot {
    /// Newest last: the connection used most recently has the warmest window and the longest life ahead.
    keys: Vec<Key>,
    /// How many of `keys` still wait.
    waiting: u32,
}

impl Parked {
    pub(crate) fn new(backends: usize, most: u32) -> Parked {
        Parked { backends: (0..backends).map(|_| Lot::default()).collect(), waiting: 0, most }
    }

    /// Parks a connection; false if the backend has enough of them.
    pub(crate) fn park(&mut self, backend: u32, key: Key, waits: impl Fn(Key) -> bool) -> bool {
        let lot = &mut self.backends[backend as usize];
        if lot.waiting >= limits::PARKED_MAX || self.waiting >= self.most {
            return false;
        }
        // Stale keys are swept when they outnumber the living, so the list stays within twice its use.
        if lot.keys.len() > 2 * lot.waiting as usize + 16 {
            lot.keys.retain(|&key| waits(key));
        }
        lot.keys.push(key);
        lot.waiting += 1;
        self.waiting += 1;
        true
    }

    /// Takes the newest connection that `waits`; with `wanted`, only one that it accepts, among the newest few.
    pub(crate) fn take(
        &mut self,
        backend: u32,
        waits: impl Fn(Key) -> bool,
        wanted: impl Fn(Key) -> bool,
    ) -> Option<Key> {
        const LOOK: usize = 8;
        let lot = &mut self.backends[backend as usize];
        while lot.keys.last().is_some_and(|&key| !waits(key)) {
            lot.keys.pop();
        }
        let from = lot.keys.len().saturating_sub(LOOK);
        let at = (from..lot.keys.len()).rev().find(|&at| waits(lot.keys[at]) && wanted(lot.keys[at]))?;
        lot.waiting -= 1;
        self.waiting -= 1;
        Some(lot.keys.remove(at))
    }

    /// A parked connection has ended by itself; its key is swept later.
    pub(crate) fn ended(&mut self, backend: u32) {
        let lot = &mut self.backends[backend as usize];
        debug_assert!(lot.waiting > 0);
        lot.waiting = lot.waiting.saturating_sub(1);
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Gives all of them up. Stale keys may be among them.
    pub(crate) fn take_all(&mut self) -> Vec<Key> {
        self.waiting = 0;
        self.backends
            .iter_mut()
            .flat_map(|lot| {
                lot.waiting = 0;
                std::mem::take(&mut lot.keys)
            })
            .collect()
    }
}
