//! The sockets on which workers hand their lines to the warden.
//!
//! Both ends stay open here for good: a worker or a warden that dies takes no queued line with it, and its successor
//! goes on with the same socket.

use crate::fleet::Slot;
use ounce_sys::pairs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Room for lines that are on their way, per worker. What does not fit is counted by the worker and dropped.
const QUEUE_BYTES: usize = 1024 * 1024;

/// One pair of sockets per slot.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    read: OwnedFd,
    write: OwnedFd,
}

impl Logs {
    /// The pairs that an earlier program has left, in slot order: reading and writing ends.
    pub(crate) fn adopt(pairs: Vec<(OwnedFd, OwnedFd)>) -> Logs {
        Logs { pairs: pairs.into_iter().map(|(read, write)| Pair { read, write }).collect() }
    }

    /// All ends, to be left to the next program.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (BorrowedFd<'_>, BorrowedFd<'_>)> {
        self.pairs.iter().map(|pair| (pair.read.as_fd(), pair.write.as_fd()))
    }

    /// The writing end of a slot, made if there is none yet.
    ///
    /// # Errors
    /// What socketpair(2) reports.
    pub(crate) fn writer(&mut self, slot: Slot) -> io::Result<RawFd> {
        while self.pairs.len() <= usize::from(slot) {
            let (read, write) = pairs::datagram(QUEUE_BYTES)?;
            self.pairs.push(Pair { read, write });
        }
        Ok(self.pairs[usize::from(slot)].write.as_raw_fd())
    }

    /// The reading ends in slot order.
    pub(crate) fn readers(&self) -> Vec<RawFd> {
        self.pairs.iter().map(|pair| pair.read.as_raw_fd()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_its_pair_and_its_lines_outlive_the_writer() {
        let mut logs = Logs::default();
        let writer = logs.writer(2).unwrap();
        assert!(pairs::send(writer, b"Rone line\n").unwrap());
        assert_eq!(logs.writer(2).unwrap(), writer);
        assert_eq!(logs.readers().len(), 3);
        let mut bytes = [0; 64];
        assert_eq!(pairs::receive(logs.readers()[2], &mut bytes).unwrap(), Some(10));
    }
}
