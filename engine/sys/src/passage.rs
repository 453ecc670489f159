//! Connections between processes of one program without an address that others could connect to.
//!
//! The two ends of a passage are a pair of datagram sockets. Whoever wants a connection makes both its ends, and sends
//! one of them through the passage, with a number that says what the connection is for. What is sent waits in the
//! kernel until somebody receives it, so a receiver may die and another take its place.

use crate::{fdpass, pairs};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// Room for connections that wait: some hundreds. The kernel counts several times the bytes of a short message.
const WAITING_BYTES: usize = 512 * 1024;

/// Two ends of a passage: the one that receives and the one that sends. Non-blocking, close on exec.
///
/// # Errors
/// What socketpair(2) reports.
pub fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    pairs::datagram(WAITING_BYTES)
}

/// Makes a connection and sends its other end through a passage, without waiting. What comes back is non-blocking and
/// closes on exec.
///
/// # Errors
/// What the calls report; EAGAIN if too many connections wait.
pub fn enter(passage: RawFd, number: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
    // SAFETY: a passage is inherited and stays open for the life of the process.
    let passage = unsafe { BorrowedFd::borrow_raw(passage) };
    fdpass::send(passage, &[theirs.as_fd()], &number.to_ne_bytes())?;
    Ok(ours)
}

/// Receives the next connection and its number, without waiting. A message of another form is an error, and gone.
///
/// # Errors
/// What recvmsg(2) reports; `WouldBlock` if none waits.
pub fn receive(passage: BorrowedFd<'_>) -> io::Result<(u32, OwnedFd)> {
    let mut number = [0; 4];
    let (bytes, mut fds) = fdpass::receive(passage, &mut number)?;
    match (bytes, fds.pop(), fds.is_empty()) {
        (4, Some(fd), true) => Ok((u32::from_ne_bytes(number), fd)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn connections_wait_for_whoever_receives_them() {
        let (read, write) = open().unwrap();
        assert_eq!(receive(read.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let mut first = UnixStream::from(enter(write.as_raw_fd(), 7).unwrap());
        first.write_all(b"before").unwrap();
        let _second = enter(write.as_raw_fd(), 8).unwrap();
        let (number, fd) = receive(read.as_fd()).unwrap();
        let mut bytes = [0; 6];
        UnixStream::from(fd).read_exact(&mut bytes).unwrap();
        assert_eq!((number, &bytes), (7, b"before"));
        assert_eq!(receive(read.as_fd()).unwrap().0, 8);
    }

    #[test]
    fn what_is_no_connection_is_refused_and_gone() {
        let (read, write) = open().unwrap();
        fdpass::send(write.as_fd(), &[], b"1234").unwrap();
        fdpass::send(write.as_fd(), &[write.as_fd(), write.as_fd()], b"1234").unwrap();
        fdpass::send(write.as_fd(), &[write.as_fd()], b"123").unwrap();
        for _ in 0..3 {
            assert_eq!(receive(read.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(receive(read.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    /// Nobody receives: at some point there is no more room, and that is said at once. Some hundreds fit.
    #[test]
    fn a_full_passage_refuses() {
        let (_read, write) = open().unwrap();
        let mut ours = Vec::new();
        let error = loop {
            match enter(write.as_raw_fd(), 1) {
                Ok(fd) => ours.push(fd),
                Err(error) => break error,
            }
            assert!(ours.len() < 10_000);
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(ours.len() > 300, "{}", ours.len());
    }
}
