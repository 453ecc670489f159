//! Descriptors sent to another process over a UNIX socket (SCM_RIGHTS).

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockType, getsockopt, recvmsg, sendmsg, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Most descriptors that one message carries (the kernel's own limit is 253).
pub const FDS_MAX: usize = 32;

/// Sends descriptors, with at least one byte of payload so that a stream socket carries them too.
///
/// # Errors
/// What sendmsg(2) reports; EINVAL if there is no payload or more than [`FDS_MAX`] descriptors.
pub fn send(socket: BorrowedFd<'_>, fds: &[BorrowedFd<'_>], payload: &[u8]) -> io::Result<()> {
    if payload.is_empty() || fds.len() > FDS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(payload)], control, flags, None)?;
    if sent < payload.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
}

/// Receives one message: how many bytes of `payload` were filled (0: the other end has closed) and its descriptors,
/// which close on exec.
///
/// # Errors
/// What recvmsg(2) reports; `InvalidData` if the message held more than [`FDS_MAX`] descriptors.
pub fn receive(socket: BorrowedFd<'_>, payload: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_from(socket.as_raw_fd(), payload, MsgFlags::empty())
}

pub(crate) fn receive_from(
    socket: RawFd,
    payload: &mut [u8],
    flags: MsgFlags,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; FDS_MAX]);
    let mut slices = [IoSliceMut::new(payload)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket, &mut slices, Some(&mut space), flags)?;
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            for fd in raw {
                // SAFETY: the kernel has just installed this descriptor for this message; nobody else knows it.
                fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    if message.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((message.bytes, fds))
}

/// A second descriptor for what `fd` names, which closes on exec: for a child that inherited the number alone.
///
/// # Errors
/// What fcntl(2) reports, EBADF if the number names nothing.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed, and a number that names nothing is an error.
    let copy = crate::socket::check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Fetches one listening socket from the process that serves this UNIX socket (`SocketFrom`). It comes back
/// non-blocking. Waits at most `timeout` for the message.
///
/// # Errors
/// What the calls report, or `InvalidData` if what came is not exactly one listening stream socket.
pub fn fetch_listener(path: &Path, timeout: Duration) -> io::Result<OwnedFd> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    let mut payload = [0; 64];
    let (_, mut fds) = receive(stream.as_fd(), &mut payload)?;
    let fault =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let Some(fd) = fds.pop() else { return Err(fault("no descriptor was sent")) };
    if !fds.is_empty() {
        return Err(fault("more than one descriptor was sent"));
    }
    let listens = getsockopt(&fd, sockopt::AcceptConn).unwrap_or(false);
    if !listens || getsockopt(&fd, sockopt::SockType)? != SockType::Stream {
        return Err(fault("not a listening stream socket"));
    }
    crate::process::set_nonblocking(fd.as_fd())?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// The copy lives on when the first descriptor is closed.
    #[test]
    fn a_duplicate_is_a_descriptor_of_its_own() {
        let (mut left, right) = UnixStream::pair().unwrap();
        let mut copy = UnixStream::from(duplicate(right.as_raw_fd()).unwrap());
        drop(right);
        left.write_all(b"x").unwrap();
        let mut byte = [0];
        copy.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert_eq!(duplicate(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
