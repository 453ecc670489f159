//! [`Pool`]: the pages of one worker, cut from one mapping and handed out as [`Buf`]s.
//!
//! The mapping is private and lazily backed: a page that was never taken costs no memory. The free list is last in,
//! first out, so that a quiet worker goes round with a few pages that stay in its cache.
//!
//! Beside its pages a pool has a few sheets: so much in one piece as some pages hold. They are for those who can do
//! without.

use crate::buf::{Buf, MARGIN, PAGE_BYTES};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::rc::Rc;

/// Bytes of payload that a sheet takes: four pages, each with its margins.
const SHEET_BYTES: usize = 4 * (MARGIN + PAGE_BYTES + MARGIN);

/// A pool has one sheet for so many pages, a sixteenth of their memory; and one at least.
const PAGES_PER_SHEET: u32 = 64;

/// A bounded store of pages. Cloning it gives another handle to the same pages.
#[derive(Clone)]
pub struct Pool {
    pages: Rc<Arena>,
    sheets: Rc<Arena>,
}

/// A mapping cut into blocks, and its free list. It outlives the pool's handles for as long as a block is owned.
pub(crate) struct Arena {
    /// INVARIANT: the start of a private mapping of `blocks` times the stride that only this arena's blocks lie in.
    base: NonNull<u8>,
    blocks: u32,
    /// Bytes that each takes.
    payload: u32,
    /// INVARIANT: the indices of the blocks that no [`Buf`] owns, each once, each below `blocks`.
    free: RefCell<Vec<u32>>,
    low: Cell<u32>,
}

impl Pool {
    /// Maps room for `pages` pages, and for sheets.
    ///
    /// # Errors
    /// What mmap(2) reports, and `InvalidInput` for no pages or more than the address space takes.
    pub fn new(pages: u32) -> io::Result<Pool> {
        let sheets = pages.div_ceil(PAGES_PER_SHEET);
        Ok(Pool {
            pages: Rc::new(Arena::new(pages, PAGE_BYTES)?),
            sheets: Rc::new(Arena::new(sheets, SHEET_BYTES)?),
        })
    }

    /// A fresh page, or `None` when all are in use.
    #[inline]
    #[must_use]
    pub fn take(&self) -> Option<Buf> {
        Arena::take(&self.pages)
    }

    /// A fresh sheet, or `None` when all are in use.
    #[inline]
    #[must_use]
    pub fn take_sheet(&self) -> Option<Buf> {
        Arena::take(&self.sheets)
    }

    /// How many pages are free.
    #[inline]
    #[must_use]
    pub fn free(&self) -> u32 {
        self.pages.free.borrow().len() as u32
    }

    /// How many pages there are.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.pages.blocks
    }

    /// The lowest number of free pages that there ever was.
    #[inline]
    #[must_use]
    pub fn low(&self) -> u32 {
        self.pages.low.get()
    }
}

impl Arena {
    fn new(blocks: u32, payload: usize) -> io::Result<Arena> {
        let bytes = (blocks as usize).checked_mul(stride(payload));
        let bytes = bytes.filter(|bytes| isize::try_from(*bytes).is_ok()).and_then(NonZeroUsize::new);
        let bytes = bytes.ok_or(io::ErrorKind::InvalidInput)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
        let base =
            unsafe { mmap_anonymous(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }?;
        // The lowest block is on top, so that a pool that is never emptied never touches its upper end.
        let free = RefCell::new((0..blocks).rev().collect());
        Ok(Arena { base: base.cast(), blocks, payload: payload as u32, free, low: Cell::new(blocks) })
    }

    /// Bytes that each of its blocks takes.
    #[inline]
    pub(crate) fn payload(&self) -> u32 {
        self.payload
    }

    #[inline]
    fn take(arena: &Rc<Arena>) -> Option<Buf> {
        let (index, left) = {
            let mut free = arena.free.borrow_mut();
            (free.pop()?, free.len() as u32)
        };
        arena.low.set(arena.low.get().min(left));
        // SAFETY: the index is below `blocks`, so the sum stays in the mapping.
        let block = unsafe { arena.base.add(index as usize * stride(arena.payload as usize)) };
        // SAFETY: the block was on the free list, so no buffer owns it, and it has just left the list.
        Some(unsafe { Buf::pooled(block, Rc::clone(arena)) })
    }

    /// Takes a block back; called once for each, by the buffer that owned it.
    #[inline]
    pub(crate) fn give_back(&self, block: NonNull<u8>) {
        let (offset, stride) = (block.addr().get() - self.base.addr().get(), stride(self.payload as usize));
        debug_assert!(offset.is_multiple_of(stride));
        let index = (offset / stride) as u32;
        let mut free = self.free.borrow_mut();
        assert!(index < self.blocks);
        assert!(free.len() < self.blocks as usize, "more blocks came back than were taken");
        free.push(index);
    }
}

/// Bytes from one block to the next; a multiple of a cache line.
const fn stride(payload: usize) -> usize {
    MARGIN + payload + MARGIN
}

const _: () = assert!(stride(PAGE_BYTES).is_multiple_of(64) && stride(SHEET_BYTES).is_multiple_of(64));

impl Drop for Arena {
    fn drop(&mut self) {
        debug_assert_eq!(self.free.get_mut().len(), self.blocks as usize, "a block keeps its arena alive");
        let bytes = self.blocks as usize * stride(self.payload as usize);
        // SAFETY: the mapping is this arena's own, and every buffer in it would hold the arena alive.
        let unmapped = unsafe { munmap(self.base.cast(), bytes) };
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
    fn sheets_are_counted_apart() {
        let pool = Pool::new(PAGES_PER_SHEET + 1).expect("a pool");
        let mut sheets: Vec<Buf> = std::iter::from_fn(|| pool.take_sheet()).collect();
        assert_eq!((sheets.len(), pool.free()), (2, PAGES_PER_SHEET + 1));
        for (mark, sheet) in sheets.iter_mut().enumerate() {
            assert!(sheet.push(&vec![mark as u8; SHEET_BYTES]) && !sheet.push(b"x"));
        }
        assert!(sheets.iter().enumerate().all(|(mark, sheet)| sheet.iter().all(|byte| *byte == mark as u8)));
        sheets.pop();
        assert!(pool.take_sheet().is_some_and(|sheet| sheet.is_page() && sheet.is_empty()));
    }

    #[test]
    fn a_pool_of_nothing_is_refused() {
        assert_eq!(Pool::new(0).expect_err("no pages").kind(), io::ErrorKind::InvalidInput);
    }
}
