//! Pairs of connected sockets between the supervisor and its children.
//!
//! Messages keep their borders and writers never block: a log line or an order is delivered whole or not at all.

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Two ends for orders: SOCK_SEQPACKET, so an end that closes is seen as end of file. Non-blocking, close on exec.
///
/// # Errors
/// What socketpair(2) reports.
pub fn seqpacket() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags())?)
}

/// Two ends for log lines: SOCK_DGRAM, non-blocking, close on exec. `send_bytes` is asked for as the room of what is
/// sent and not yet read, in either direction; the kernel may grant less.
///
/// # Errors
/// What socketpair(2) reports.
pub fn datagram(send_bytes: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let (left, right) = socketpair(AddressFamily::Unix, SockType::Datagram, None, flags())?;
    for end in [&left, &right] {
        let bytes = libc::c_int::try_from(send_bytes).unwrap_or(libc::c_int::MAX);
        // With CAP_NET_ADMIN the limit of the system does not apply; without it what it grants will do.
        if crate::socket::set_option(end.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes).is_err()
        {
            crate::socket::set_option(end.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)?;
        }
    }
    Ok((left, right))
}

/// Sends one message without waiting; false if the other end has no room for it.
///
/// # Errors
/// What send(2) reports, EPIPE above all.
pub fn send(fd: RawFd, message: &[u8]) -> io::Result<bool> {
    match nix::sys::socket::send(fd, message, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
        Ok(_) => Ok(true),
        Err(nix::Error::EAGAIN | nix::Error::ENOBUFS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Receives one message without waiting: its length, 0 at the end of the stream, `None` if there is none yet.
///
/// # Errors
/// What recv(2) reports.
pub fn receive(fd: RawFd, message: &mut [u8]) -> io::Result<Option<usize>> {
    match nix::sys::socket::recv(fd, message, MsgFlags::MSG_DONTWAIT) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// [`receive`] for messages that may bring descriptors along.
///
/// # Errors
/// What recvmsg(2) reports.
pub fn receive_with_fds(fd: RawFd, message: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    match crate::fdpass::receive_from(fd, message, MsgFlags::MSG_DONTWAIT) {
        Ok(received) => Ok(Some(received)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn flags() -> SockFlag {
    SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{recv, send};

    /// Messages keep their borders and a closed end reads as end of file.
    #[test]
    fn seqpacket_keeps_borders() {
        let (a, b) = seqpacket().unwrap();
        send(a.as_raw_fd(), b"D", MsgFlags::MSG_NOSIGNAL).unwrap();
        send(a.as_raw_fd(), b"S", MsgFlags::MSG_NOSIGNAL).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(recv(b.as_raw_fd(), &mut bytes, MsgFlags::empty()).unwrap(), 1);
        assert_eq!(recv(b.as_raw_fd(), &mut bytes, MsgFlags::empty()).unwrap(), 1);
        assert_eq!(recv(b.as_raw_fd(), &mut bytes, MsgFlags::empty()), Err(nix::Error::EAGAIN));
        drop(a);
        assert_eq!(recv(b.as_raw_fd(), &mut bytes, MsgFlags::empty()).unwrap(), 0);
    }

    /// A full pair refuses the writer at once: a stuck reader costs lines, never a worker.
    #[test]
    fn datagram_never_blocks() {
        let (a, b) = datagram(256 * 1024).unwrap();
        let batch = vec![b'x'; 60 * 1024];
        let mut sent = 0;
        loop {
            match send(a.as_raw_fd(), &batch, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => {
                    assert_eq!(count, batch.len());
                    sent += 1;
                }
                Err(error) => {
                    assert_eq!(error, nix::Error::EAGAIN);
                    break;
                }
            }
        }
        assert!(sent >= 2, "a batch of 60 KiB must fit with room to spare");
        let mut bytes = vec![0; 64 * 1024];
        assert_eq!(recv(b.as_raw_fd(), &mut bytes, MsgFlags::empty()).unwrap(), batch.len());
    }
}
