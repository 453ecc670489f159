//! Pipes for moving bytes between sockets inside the kernel, and the calls that both kernel rings share.

use crate::errno::Errno;
use crate::ring::{Fd, Moved, Pipe};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::ptr;

/// Room asked for in a pipe. The kernel allows one user 64 MiB in all its pipes (`fs.pipe-user-pages-soft`) and starves
/// those made beyond that, so larger ones would be fewer; 256 KiB was within 20 % of 1 MiB.
const PIPE_BYTES: i32 = 256 * 1024;

/// Makes a non-blocking pipe.
pub(crate) fn open() -> io::Result<Pipe> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let (read, write) = nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
    // Refused beyond the user's limit; the pipe then stays as large as it is, and says so.
    let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    let capacity = fcntl(&write, FcntlArg::F_GETPIPE_SZ)? as usize;
    debug_assert!(read.as_raw_fd() != write.as_raw_fd());
    Ok(Pipe { read: Fd(read.into_raw_fd()), write: Fd(write.into_raw_fd()), capacity })
}

/// splice(2) that never waits.
///
/// Called directly: IORING_OP_SPLICE always goes to a kernel worker thread, which costs several times as much.
#[inline]
pub(crate) fn splice(from: Fd, to: Fd, max: usize) -> Result<Moved, Errno> {
    if max == 0 {
        return Ok(Moved::Nothing);
    }
    let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
    loop {
        // SAFETY: null offsets are what sockets and pipes require; no other memory is passed.
        let moved = unsafe { libc::splice(from.0, ptr::null_mut(), to.0, ptr::null_mut(), max, flags) };
        return match moved {
            0 => Ok(Moved::End),
            count if count > 0 => Ok(Moved::Bytes(count as usize)),
            _ => match Errno::last() {
                Errno(libc::EAGAIN) => Ok(Moved::Nothing),
                Errno(libc::EINTR) => continue,
                errno => Err(errno),
            },
        };
    }
}

/// shutdown(2) of the writing side. Called directly: IORING_OP_SHUTDOWN always goes to a kernel worker thread.
pub(crate) fn shutdown_write(fd: Fd) {
    // SAFETY: no memory is passed. It fails only on a connection that is gone already, which the next receive tells.
    unsafe { libc::shutdown(fd.0, libc::SHUT_WR) };
}
