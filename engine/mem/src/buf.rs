//! [`Buf`]: owned bytes with free room before and behind them.
//!
//! A block is laid out as margin, payload region, margin. The bytes of the buffer are one range of it:
//!
//! ```text
//!   0        MARGIN                         MARGIN + capacity        + MARGIN
//!   | margin | payload region                               | margin |
//!                  | start .. end: the bytes |
//! ```
//!
//! A receive fills the payload region; the margins stay free, so that a chunk header and its end can be written
//! around a received body without moving it.

use crate::pool::Arena;
use std::alloc::{self, Layout};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;

/// Bytes of payload that a page of a pool takes.
pub const PAGE_BYTES: usize = 16 * 1024;

/// Free bytes before and after the payload region of a block, for framing. A chunk header of a 64-bit size needs 18.
pub const MARGIN: usize = 32;

/// Owned bytes: a page or a sheet of a [`Pool`](crate::Pool), which goes back on drop, or a block of the heap.
///
/// Not `Clone`: bytes have one owner and move.
pub struct Buf {
    /// INVARIANT: the first of `MARGIN + capacity + MARGIN` bytes that this buffer alone may touch. With a home, a
    /// block of that arena; without one, a block of the global allocator with the layout of [`layout`].
    block: NonNull<u8>,
    /// The arena that the block belongs to; `None` for the heap.
    home: Option<Rc<Arena>>,
    /// INVARIANT: start <= end <= MARGIN + capacity + MARGIN, and the bytes of start..end are initialised.
    start: u32,
    end: u32,
    /// Bytes of the payload region.
    capacity: u32,
}

const _: () = assert!(size_of::<Buf>() <= 32, "a Buf travels in completions and effects");
const _: () = assert!(size_of::<Option<Buf>>() == size_of::<Buf>());
const MARGIN_U32: u32 = MARGIN as u32;

/// The layout of a heap block; `capacity` is at most `u32::MAX / 2`, so that no sum overflows.
fn layout(capacity: u32) -> Layout {
    Layout::array::<u8>(capacity as usize + 2 * MARGIN).expect("a heap block fits the address space")
}

impl Buf {
    /// A fresh, empty page or sheet.
    ///
    /// # Safety
    /// `block` is a block of `home` that is neither free nor owned by another buffer.
    pub(crate) unsafe fn pooled(block: NonNull<u8>, home: Rc<Arena>) -> Buf {
        let capacity = home.payload();
        Buf { block, home: Some(home), start: MARGIN_U32, end: MARGIN_U32, capacity }
    }

    /// An empty block of the heap with room for `capacity` bytes, and the same margins as a page.
    ///
    /// # Panics
    /// If `capacity` is beyond 1 GiB: buffers are for bounded things.
    #[must_use]
    pub fn heap(capacity: usize) -> Buf {
        assert!(capacity <= 1 << 30, "a heap buffer of {capacity} bytes");
        let capacity = capacity as u32;
        let layout = layout(capacity);
        // SAFETY: the layout is never of size zero, thanks to the margins.
        let block = unsafe { alloc::alloc(layout) };
        let Some(block) = NonNull::new(block) else { alloc::handle_alloc_error(layout) };
        Buf { block, home: None, start: MARGIN_U32, end: MARGIN_U32, capacity }
    }

    /// A block of the heap that holds a copy of `bytes` and is full.
    ///
    /// # Panics
    /// As [`Buf::heap`].
    #[must_use]
    pub fn heap_from(bytes: &[u8]) -> Buf {
        let mut buf = Buf::heap(bytes.len());
        let pushed = buf.push(bytes);
        debug_assert!(pushed);
        buf
    }

    /// Is this a pool's, a page or a sheet?
    #[inline]
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.home.is_some()
    }

    /// How many bytes it holds.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Does it hold no bytes?
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: start..end lies in the block and is initialised; the block is ours, and borrowed with self.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(self.start as usize), self.len()) }
    }

    /// The bytes, to change in place.
    #[inline]
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in as_slice, and self is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr().add(self.start as usize), self.len()) }
    }

    /// How many bytes [`Buf::push`] still takes: the rest of the payload region, not the margin.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        (MARGIN_U32 + self.capacity).saturating_sub(self.end) as usize
    }

    /// Appends, or leaves the buffer as it is and says false if there is no room.
    #[inline]
    #[must_use = "without room nothing is appended"]
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        bytes.len() <= self.room() && self.append(bytes)
    }

    /// Appends as [`Buf::push`] does, and may use the margin behind the payload: for the end of a chunk.
    #[inline]
    #[must_use = "without room nothing is appended"]
    pub fn push_tail(&mut self, bytes: &[u8]) -> bool {
        bytes.len() <= (MARGIN_U32 + self.capacity + MARGIN_U32 - self.end) as usize && self.append(bytes)
    }

    /// Copies `bytes`, which the caller has seen to fit into the block, behind the last byte.
    #[inline]
    fn append(&mut self, bytes: &[u8]) -> bool {
        debug_assert!(self.end as usize + bytes.len() <= self.capacity as usize + 2 * MARGIN);
        // SAFETY: the target lies in the block, which no borrowed slice can overlap while self is borrowed mutably.
        unsafe {
            let to = self.block.as_ptr().add(self.end as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        self.end += bytes.len() as u32;
        true
    }

    /// Puts `bytes` before the first byte: into the margin, or what [`Buf::advance`] freed. False, and nothing done,
    /// if there is no room.
    #[inline]
    #[must_use = "without room nothing is prepended"]
    pub fn prepend(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.start as usize {
            return false;
        }
        self.start -= bytes.len() as u32;
        // SAFETY: the target lies in the block before the old start; no borrowed slice overlaps it (see append).
        unsafe {
            let to = self.block.as_ptr().add(self.start as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        true
    }

    /// Drops `n` bytes at the front.
    ///
    /// # Panics
    /// If it does not hold so many.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "advance by {n} of {} bytes", self.len());
        self.start += n as u32;
    }

    /// Keeps the first `n` bytes; nothing happens if it holds no more than that.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        if n < self.len() {
            self.end = self.start + n as u32;
        }
    }

    /// Drops all bytes and makes the buffer as good as fresh, with both margins free.
    #[inline]
    pub fn clear(&mut self) {
        self.start = MARGIN_U32;
        self.end = MARGIN_U32;
    }

    /// Keeps the bytes before `at`; those from `at` on come back as a copy on the heap.
    ///
    /// # Panics
    /// If `at` lies behind the last byte.
    #[must_use = "to drop the tail, truncate"]
    pub fn split_off(&mut self, at: usize) -> Buf {
        let tail = Buf::heap_from(&self[at..]);
        self.truncate(at);
        tail
    }

    /// Where the next bytes go and how many of them fit, for a kernel that writes there. They count once
    /// [`Buf::set_filled`] says so. The pointer is good until the buffer is dropped; moving the buffer moves no bytes.
    #[inline]
    #[must_use]
    pub fn spare_ptr(&mut self) -> (*mut u8, usize) {
        // SAFETY: end is at most the length of the block, so this is inside it or just behind.
        (unsafe { self.block.as_ptr().add(self.end as usize) }, self.room())
    }

    /// Appends what `write` writes: it gets the room that is left, and says how much of it it has used.
    ///
    /// # Errors
    /// Those of `write`; nothing is appended then.
    ///
    /// # Panics
    /// If it says that it used more than there is.
    pub fn fill<E>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        let (at, room) = self.spare_ptr();
        if self.home.is_none() {
            // SAFETY: `room` bytes from `at` on are inside the block. A page needs no clearing: its mapping was
            // zeroed by the kernel and holds initialised bytes ever since.
            unsafe { at.write_bytes(0, room) };
        }
        // SAFETY: the bytes are initialised, inside the block, and nobody else refers to them while `self` is borrowed.
        let written = write(unsafe { std::slice::from_raw_parts_mut(at, room) })?;
        assert!(written <= room, "{written} bytes were filled where {room} had room");
        self.end += written as u32;
        Ok(written)
    }

    /// Takes the next `n` bytes, written through [`Buf::spare_ptr`], as appended.
    ///
    /// # Safety
    /// `n` bytes from that pointer on were initialised since.
    ///
    /// # Panics
    /// If so many never fitted.
    #[inline]
    pub unsafe fn set_filled(&mut self, n: usize) {
        assert!(n <= self.room(), "{n} bytes were filled where {} had room", self.room());
        self.end += n as u32;
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        match self.home.take() {
            Some(home) => home.give_back(self.block),
            // SAFETY: without a home the block came from the global allocator with this very layout.
            None => unsafe { alloc::dealloc(self.block.as_ptr(), layout(self.capacity)) },
        }
    }
}

impl Deref for Buf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for Buf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_page() { "page" } else { "heap" };
        write!(f, "Buf({kind}, {} bytes, room {})", self.len(), self.room())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pool;

    /// A page, and the pool that it must not outlive by accident: the page alone keeps the mapping.
    fn page() -> Buf {
        Pool::new(1).expect("a pool").take().expect("a page")
    }

    #[test]
    fn a_page_takes_exactly_its_payload_and_refuses_more_unchanged() {
        let mut buf = page();
        assert!(buf.is_page() && buf.is_empty());
        assert_eq!(buf.room(), PAGE_BYTES);
        assert!(buf.push(&[7; PAGE_BYTES]));
        assert!(!buf.push(b"x"));
        assert_eq!(buf.len(), PAGE_BYTES);
        assert!(buf.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_full_page_takes_chunk_framing_in_its_margins() {
        let mut buf = page();
        assert!(buf.push(&[b'.'; PAGE_BYTES]));
        assert!(buf.prepend(b"4000\r\n"));
        assert!(buf.push_tail(b"\r\n"));
        assert_eq!(buf.room(), 0);
        assert!(buf.starts_with(b"4000\r\n.") && buf.ends_with(b".\r\n"));
        assert!(!buf.prepend(&[0; MARGIN]), "six bytes of the margin are taken");
        assert!(buf.prepend(&[0; MARGIN - 6]));
        assert!(!buf.push_tail(&[0; MARGIN - 1]));
        assert!(buf.push_tail(&[0; MARGIN - 2]));
        assert_eq!(buf.len(), PAGE_BYTES + 2 * MARGIN);
    }

    #[test]
    fn bytes_that_were_advanced_over_are_room_for_prepending() {
        let mut buf = Buf::heap_from(b"0123456789");
        assert!(!buf.is_page());
        buf.advance(4);
        assert_eq!(&buf[..], b"456789");
        assert!(buf.prepend(&[b'-'; MARGIN + 4]));
        assert!(!buf.prepend(b"x"));
        assert!(buf.ends_with(b"--456789"));
        buf.clear();
        assert!(buf.is_empty());
        assert_eq!(buf.room(), 10);
    }

    #[test]
    fn split_off_and_truncate_share_the_bytes_out() {
        let mut buf = page();
        assert!(buf.push(b"headbody"));
        let tail = buf.split_off(4);
        assert_eq!((&buf[..], &tail[..]), (&b"head"[..], &b"body"[..]));
        assert!(buf.is_page() && !tail.is_page());
        buf.truncate(9);
        assert_eq!(buf.len(), 4);
        buf.truncate(0);
        assert!(buf.is_empty());
        assert!(buf.split_off(0).is_empty());
    }

    #[test]
    fn what_the_kernel_wrote_counts_once_it_is_said() {
        let mut buf = page();
        assert!(buf.push(b"ab"));
        let (at, room) = buf.spare_ptr();
        assert_eq!(room, PAGE_BYTES - 2);
        // SAFETY: two bytes fit into the room, and are written before they are counted.
        unsafe {
            at.copy_from(b"cd".as_ptr(), 2);
            buf.set_filled(2);
        }
        assert_eq!(&buf[..], b"abcd");
    }

    #[test]
    #[should_panic(expected = "advance by 3 of 2 bytes")]
    fn to_advance_beyond_the_end_is_a_broken_account() {
        Buf::heap_from(b"ab").advance(3);
    }

    #[test]
    fn a_heap_of_no_bytes_still_has_margins() {
        let mut buf = Buf::heap(0);
        assert!(!buf.push(b"x"));
        assert!(buf.push_tail(b"x") && buf.prepend(b"y"));
        assert_eq!(&buf[..], b"yx");
    }
}
