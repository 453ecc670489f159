//! Bytes received and not yet used.

use ounce_mem::{Buf, Pool};
use std::collections::VecDeque;

/// A queue of buffers. Empty in an idle connection, and then without memory of its own unless it once held several.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    bufs: VecDeque<Buf>,
    bytes: usize,
}

impl Chain {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends; an empty buffer is dropped.
    pub(crate) fn push(&mut self, buf: Buf) {
        if !buf.is_empty() {
            self.bytes += buf.len();
            self.bufs.push_back(buf);
        }
    }

    /// Puts back what [`Chain::pop`] took and its user could not use.
    pub(crate) fn unpop(&mut self, buf: Buf) {
        if !buf.is_empty() {
            self.bytes += buf.len();
            self.bufs.push_front(buf);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Buf> {
        let buf = self.bufs.pop_front()?;
        self.bytes -= buf.len();
        Some(buf)
    }

    /// Takes up to `max` bytes off the front.
    pub(crate) fn pop_up_to(&mut self, max: u64) -> Option<Buf> {
        let mut buf = self.pop()?;
        if buf.len() as u64 > max {
            let rest = buf.split_off(max as usize);
            self.unpop(rest);
        }
        Some(buf)
    }

    /// Everything in one buffer. A message head must lie in one piece to be parsed.
    pub(crate) fn gather(&mut self) -> Option<Buf> {
        if self.bufs.len() <= 1 {
            return self.pop();
        }
        // Room for as much again: a head that comes in many pieces is copied a logarithmic number of times.
        let fits = self.bufs[0].room() + self.bufs[0].len() >= self.bytes;
        let mut whole = if fits { self.pop()? } else { Buf::heap(self.bytes * 2) };
        while let Some(buf) = self.pop() {
            let taken = whole.push(&buf);
            debug_assert!(taken);
        }
        Some(whole)
    }

    pub(crate) fn clear(&mut self) {
        self.bufs.clear();
        self.bytes = 0;
    }
}

/// A buffer for `bytes` bytes that are about to be written: a page while there are plenty. A head may wait long for a
/// slow reader, and must not keep a page for a few hundred bytes when pages are scarce.
pub(crate) fn writable(pool: &Pool, bytes: usize) -> Buf {
    if bytes <= ounce_mem::PAGE_BYTES
        && pool.free() >= pool.capacity() / 2
        && let Some(page) = pool.take()
    {
        return page;
    }
    Buf::heap(bytes)
}
