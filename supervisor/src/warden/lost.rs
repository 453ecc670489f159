//! Where log lines that could not be written are counted.

use ounce_mem::{Counter, Segment};
use std::fmt;
use std::sync::Arc;

/// Counts lines that were dropped. Clones count in the same place.
#[derive(Clone)]
pub(super) struct Lost {
    count: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Lost {
    /// Counts on the page of `slot`, whose one writer this process must be.
    ///
    /// Threads of this process take turns through a lock: a page has no atomic addition.
    pub(super) fn in_segment(segment: Arc<Segment>, slot: u16) -> Lost {
        let turn = std::sync::Mutex::new(());
        let count = move |lines| {
            let _turn = turn.lock();
            segment.counters().page(slot).add(Counter::LogLinesDropped, lines);
        };
        Lost { count: Arc::new(count) }
    }

    /// Counts where a test can look.
    #[cfg(test)]
    pub(super) fn counted() -> (Lost, Arc<std::sync::atomic::AtomicU64>) {
        let total = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let shared = Arc::clone(&total);
        let count = move |lines| {
            shared.fetch_add(lines, std::sync::atomic::Ordering::Relaxed);
        };
        (Lost { count: Arc::new(count) }, total)
    }

    /// Counts so many lines.
    pub(super) fn count(&self, lines: u64) {
        (self.count)(lines);
    }

    /// Counts the lines of a text; one that was begun counts as a line.
    pub(super) fn lines(&self, text: &[u8]) {
        let ends = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let begun = text.last().is_some_and(|&last| last != b'\n');
        self.count(ends + u64::from(begun));
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Lost")
    }
}
