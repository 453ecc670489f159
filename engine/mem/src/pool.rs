//! [`Pool`]: the pages of one worker, cut from one mapping and handed out as [`Buf`]s.
//!
//! The mapping is private and lazily backed: a page that was never taken costs no memory. The free list is last in,
//! first out, so that a quiet worker goes round with a few pages that stay in its cache.

use crate::buf::{Buf, MARGIN, PAGE_BYTES};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::rc::Rc;

/// Bytes from one page to the next; a multiple of a cache line.
const STRIDE: usize = MARGIN + PAGE_BYTES + MARGIN;
const _: () = assert!(STRIDE.is_multiple_of(64));

/// A bounded store of pages. Cloning it gives another handle to the same pages.
#[derive(Clone)]
pub struct Pool {
    arena: Rc<Arena>,
}

/// The mapping and its free list. It outlives the pool's handles for as long as a page is owned.
pub(crate) struct Arena {
    /// INVARIANT: the start of a private mapping of `pages * STRIDE` bytes that only this arena's pages lie in.
    base: NonNull<u8>,
    pages: u32,
    /// INVARIANT: the indices of the pages that no [`Buf`] owns, each once, each below `pages`.
    free: RefCell<Vec<u32>>,
    low: Cell<u32>,
}

impl Pool {
    /// Maps room for `pages` pages.
    ///
    /// # Errors
    /// What mmap(2) reports, and `InvalidInput` for no pages or more than the address space takes.
    pub fn new(pages: u32) -> io::Result<Pool> {
        let bytes = (pages as usize).checked_mul(STRIDE).filter(|bytes| isize::try_from(*bytes).is_ok());
        let bytes = bytes.and_then(NonZeroUsize::new).ok_or(io::ErrorKind::InvalidInput)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
        let base =
            unsafe { mmap_anonymous(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }?;
        // The lowest page is on top, so that a pool that is never emptied never touches its upper end.
        let free = RefCell::new((0..pages).rev().collect());
        Ok(Pool { arena: Rc::new(Arena { base: base.cast(), pages, free, low: Cell::new(pages) }) })
    }

    /// A fresh page, or `None` when all are in use.
    #[inline]
    #[must_use]
    pub fn take(&self) -> Option<Buf> {
        let (page, left) = {
            let mut free = self.arena.free.borrow_mut();
            (free.pop()?, free.len() as u32)
        };
        self.arena.low.set(self.arena.low.get().min(left));
        // SAFETY: the index is below `pages`, so the sum stays in the mapping.
        let page = unsafe { self.arena.base.add(page as usize * STRIDE) };
        // SAFETY: the page was on the free list, so no buffer owns it, and it has just left the list.
        Some(unsafe { Buf::page(page, Rc::clone(&self.arena)) })
    }

    /// How many pages are free.
    #[inline]
    #[must_use]
    pub fn free(&self) -> u32 {
        self.arena.free.borrow().len() as u32
    }

    /// How many pages there are.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.arena.pages
    }

    /// The lowest number of free pages that there ever was.
    #[inline]
    #[must_use]
    pub fn low(&self) -> u32 {
        self.arena.low.get()
    }
}

impl Arena {
    /// Takes a page back; called once for each page, by the buffer that owned it.
    #[inline]
    pub(crate) fn give_back(&self, page: NonNull<u8>) {
        let offset = page.addr().get() - self.base.addr().get();
        debug_assert!(offset.is_multiple_of(STRIDE));
        let index = (offset / STRIDE) as u32;
        let mut free = self.free.borrow_mut();
        assert!(index < self.pages);
        assert!(free.len() < self.pages as usize, "more pages came back than were taken");
        free.push(index);
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        debug_assert_eq!(self.free.get_mut().len(), self.pages as usize, "a page keeps its arena alive");
        // SAFETY: the mapping is this arena's own, and every buffer in it would hold the arena alive.
        let unmapped = unsafe { munmap(self.base.cast(), self.pages as usize * STRIDE) };
        debug_assert!(unmapped.is_ok());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} of {} pages free, low {})", self.free(), self.capacity(), self.low())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_free_and_pages_owned_add_up() {
        let pool = Pool::new(3).expect("a pool");
        let taken: Vec<Buf> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!((taken.len(), pool.free(), pool.low()), (3, 0, 0));
        drop(taken);
        assert_eq!((pool.free(), pool.capacity(), pool.low()), (3, 3, 0));
    }

    #[test]
    fn pages_do_not_overlap() {
        let pool = Pool::new(4).expect("a pool");
        let mut taken: Vec<Buf> = std::iter::from_fn(|| pool.take()).collect();
        for (mark, buf) in taken.iter_mut().enumerate() {
            assert!(buf.push(&[mark as u8; PAGE_BYTES]));
            assert!(buf.push_tail(&[mark as u8; MARGIN]) && buf.prepend(&[mark as u8; MARGIN]));
        }
        for (mark, buf) in taken.iter().enumerate() {
            assert!(buf.iter().all(|byte| *byte == mark as u8));
        }
    }

    #[test]
    fn the_page_given_back_last_is_taken_first() {
        let pool = Pool::new(2).expect("a pool");
        let mut first = pool.take().expect("a page");
        let address = first.spare_ptr().0;
        drop(first);
        assert_eq!(pool.take().expect("a page").spare_ptr().0, address);
        assert_eq!(pool.low(), 1);
    }

    #[test]
    fn a_page_outlives_the_handles_of_its_pool() {
        let pool = Pool::new(1).expect("a pool");
        let mut buf = pool.take().expect("a page");
        drop(pool);
        assert!(buf.push(b"still here"));
        assert_eq!(&buf[..], b"still here");
    }

    #[test]
    fn a_pool_of_nothing_is_refused() {
        assert_eq!(Pool::new(0).expect_err("no pages").kind(), io::ErrorKind::InvalidInput);
    }
}
