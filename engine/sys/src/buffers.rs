//! The provided-buffer ring: pages of the pool that lie ready in the kernel for whichever socket receives next.
//!
//! A receive hands out the page itself, and another one from the pool takes its place: no copy, and an idle connection
//! owns no page.

use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use ounce_mem::{Buf, Pool};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Most pages that lie ready. More would only spread the working set over more of the cache; fewer would end receives
/// for want of buffers when many sockets have bytes at once.
pub(crate) const PAGES_MAX: u16 = 128;

/// The kernel's name of our only group of buffers.
pub(crate) const GROUP: u16 = 0;

/// Pages in the kernel's hands, and the ring through which it gets them.
pub(crate) struct BufferRing {
    /// INVARIANT: `count` entries, page-aligned, allocated with [`layout`], registered with the kernel until dropped.
    entries: NonNull<BufRingEntry>,
    count: u16,
    /// How many pages were ever added, modulo 2^16: what the kernel reads as the ring's tail.
    tail: u16,
    /// By buffer number: the page that the kernel has. INVARIANT: `Some` from `add` until the kernel returned it.
    pages: Box<[Option<Buf>]>,
    /// Buffer numbers without a page.
    vacant: Vec<u16>,
}

impl BufferRing {
    /// Registers a ring for at most a quarter of the pool, so that what is sent finds pages too.
    ///
    /// # Errors
    /// What io_uring_register(2) reports.
    pub(crate) fn new(ring: &IoUring, pool: &Pool) -> io::Result<BufferRing> {
        let quarter = u16::try_from(pool.capacity() / 4).unwrap_or(PAGES_MAX).clamp(1, PAGES_MAX);
        let count = 1 << quarter.ilog2();
        let layout = layout(count);
        // SAFETY: the layout is not empty.
        let Some(entries) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        let mut buffers = BufferRing {
            entries: entries.cast(),
            count,
            tail: 0,
            pages: (0..count).map(|_| None).collect(),
            vacant: (0..count).rev().collect(),
        };
        // SAFETY: the memory is `count` zeroed entries, aligned to a page, and lives until `drop`, which the owner
        // calls after the kernel has let go of it (UringRing::drop).
        unsafe { ring.submitter().register_buf_ring_with_flags(entries.as_ptr() as u64, count, GROUP, 0) }?;
        buffers.refill(pool);
        Ok(buffers)
    }

    /// Puts pages of the pool where some are missing, as far as it has any.
    #[inline]
    pub(crate) fn refill(&mut self, pool: &Pool) {
        if self.vacant.is_empty() {
            return;
        }
        let before = self.tail;
        while let Some(number) = self.vacant.last() {
            let Some(page) = pool.take() else { break };
            let number = *number;
            self.vacant.pop();
            self.add(number, page);
        }
        if self.tail != before {
            // SAFETY: the tail lies in the first entry of the ring, which is live and shared with the kernel; it is
            // only ever accessed atomically.
            let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>() };
            // Release: the entries must be seen before the tail that covers them.
            tail.store(self.tail, Ordering::Release);
        }
    }

    #[inline]
    fn add(&mut self, number: u16, mut page: Buf) {
        debug_assert!(page.is_page());
        let (at, room) = page.spare_ptr();
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: the index is below `count`. The kernel reads entries before the tail only, and this one is at it.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        entry.set_addr(at as u64);
        entry.set_len(room as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        self.pages[usize::from(number)] = Some(page);
    }

    /// Takes back the page with this number, into which the kernel has written `filled` bytes.
    #[inline]
    pub(crate) fn take(&mut self, number: u16, filled: usize) -> Option<Buf> {
        let mut page = self.pages.get_mut(usize::from(number))?.take()?;
        self.vacant.push(number);
        // SAFETY: the completion that named this buffer said that the kernel wrote so many bytes at its spare pointer;
        // set_filled checks that they fit.
        unsafe { page.set_filled(filled) };
        Some(page)
    }

    /// Gives up the pages and the ring for good without freeing them, because the kernel may still write there.
    pub(crate) fn leak(mut self) {
        for page in self.pages.iter_mut().filter_map(Option::take) {
            std::mem::forget(page);
        }
        std::mem::forget(self);
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the owner drops this only when the kernel has let go of it.
        unsafe { dealloc(self.entries.as_ptr().cast(), layout(self.count)) };
    }
}

/// Page-aligned, as the kernel demands.
fn layout(count: u16) -> Layout {
    const { assert!(size_of::<BufRingEntry>() == 16) }
    match Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), 4096) {
        Ok(layout) => layout,
        Err(_) => unreachable!("2^15 entries of 16 bytes are far below isize::MAX"),
    }
}
