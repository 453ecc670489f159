//! Pairs of connected sockets between the supervisor and its children.
//!
//! Messages keep their borders and writers never block: a log line or an order is delivered whole or not at all.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

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

fn flags() -> SockFlag {
    SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{MsgFlags, recv, send};

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
