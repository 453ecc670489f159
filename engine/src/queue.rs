//! Buffers in a row, mostly one or none: such a row owns no memory, so that connections that rest do not pay for what they
//! once had.

use ounce_mem::Buf;
use std::collections::VecDeque;

/// Buffers, first in, first out.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    first: Option<Buf>,
    /// INVARIANT: empty while there is no `first`.
    rest: VecDeque<Buf>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn push_back(&mut self, buf: Buf) {
        match self.first {
            None => self.first = Some(buf),
            Some(_) => self.rest.push_back(buf),
        }
    }

    pub(crate) fn push_front(&mut self, buf: Buf) {
        if let Some(second) = self.first.replace(buf) {
            self.rest.push_front(second);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<Buf> {
        let next = self.rest.pop_front();
        std::mem::replace(&mut self.first, next)
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Buf> {
        self.first.as_mut()
    }

    pub(crate) fn back(&self) -> Option<&Buf> {
        self.rest.back().or(self.first.as_ref())
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut Buf> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Buf> {
        self.first.iter().chain(&self.rest)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Buf> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    /// Takes all of another one to its end.
    pub(crate) fn append(&mut self, other: &mut Queue) {
        while let Some(buf) = other.pop_front() {
            self.push_back(buf);
        }
    }

    /// How many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.iter().map(Buf::len).sum()
    }

    pub(crate) fn clear(&mut self) {
        *self = Queue::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_first_comes_out_first() {
        let (mut queue, mut other) = (Queue::default(), Queue::default());
        for text in [b"b", b"c"] {
            queue.push_back(Buf::heap_from(text));
        }
        queue.push_front(Buf::heap_from(b"a"));
        other.push_back(Buf::heap_from(b"d"));
        queue.append(&mut other);
        assert_eq!((queue.bytes(), queue.iter().count(), other.is_empty()), (4, 4, true));
        assert_eq!(queue.back().map(|buf| &buf[..]), Some(&b"d"[..]));
        let out: Vec<u8> = std::iter::from_fn(|| queue.pop_front()).flat_map(|buf| buf.to_vec()).collect();
        assert_eq!((out, queue.is_empty()), (b"abcd".to_vec(), true));
    }
}
