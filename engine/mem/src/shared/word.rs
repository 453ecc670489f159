//! The words that tables are made of.

use std::sync::atomic::{AtomicU64, Ordering};

/// An atomic word. Tables are written over this, so that a model checker can put its own words in.
pub(super) trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    /// True if the word was `from` and is now `to`.
    fn swap(&self, from: u64, to: u64, success: Ordering) -> bool;
    /// A memory fence.
    fn fence(order: Ordering);
    /// A breath between two looks at a word that another process is about to change.
    fn pause();
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }

    #[inline]
    fn store(&self, value: u64, order: Ordering) {
        AtomicU64::store(self, value, order);
    }

    #[inline]
    fn swap(&self, from: u64, to: u64, success: Ordering) -> bool {
        self.compare_exchange(from, to, success, Ordering::Relaxed).is_ok()
    }

    #[inline]
    fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }

    #[inline]
    fn pause() {
        std::hint::spin_loop();
    }
}
