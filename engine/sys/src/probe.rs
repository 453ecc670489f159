//! Which ring can run here, found out by trying it.
//!
//! Version numbers say little: container engines forbid io_uring by seccomp, administrators by
//! `kernel.io_uring_disabled`, and distributions carry features back.

use crate::ring::{Fd, Outcome, Ring, Token};
use crate::socket::{self, Address, BACKLOG};
use crate::uring::UringRing;
use ounce_mem::Pool;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ACCEPT: Token = Token { op: 0, generation: 1, slot: 0 };
const RECEIVE: Token = Token { op: 1, generation: 1, slot: 0 };

/// Tries a multishot receive into provided buffers, a multishot accept and the end of a whole ring: what the data path
/// is made of.
///
/// # Errors
/// What does not work, for the log.
pub fn uring_available() -> Result<(), String> {
    let pool = Pool::new(8).map_err(|error| format!("no memory: {error}"))?;
    let mut ring = UringRing::new(pool).map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "io_uring is forbidden here".to_owned(),
        Some(libc::ENOSYS) => "this kernel has no io_uring".to_owned(),
        _ => format!("io_uring: {error}"),
    })?;
    try_receive(&mut ring).map_err(|error| format!("io_uring receive: {error}"))?;
    try_accept(&mut ring).map_err(|error| format!("io_uring accept: {error}"))
}

fn try_receive(ring: &mut UringRing) -> io::Result<()> {
    let (mut far, near) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.write_all(b"ounce")?;
    let fd = Fd(near.into_raw_fd());
    ring.receive(fd, RECEIVE);
    let result = match next(ring)? {
        (Outcome::Received(bytes), true) if *bytes == *b"ounce" => Ok(()),
        (outcome, more) => Err(unexpected(&outcome, more)),
    };
    drop(far);
    match next(ring)? {
        (Outcome::Eof, false) => ring.close(fd, false),
        (outcome, more) => return Err(unexpected(&outcome, more)),
    }
    result
}

fn try_accept(ring: &mut UringRing) -> io::Result<()> {
    let here = Address::Inet(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    // A machine without loopback cannot be asked this way; the receive above has shown what matters most.
    let Ok(listener) = socket::bind_listening(&here, false, BACKLOG) else { return Ok(()) };
    let Address::Inet(to) = socket::local_address(listener.as_raw_fd())? else { return Ok(()) };
    let _client = TcpStream::connect(to)?;
    ring.accept(Fd(listener.as_raw_fd()), ACCEPT);
    match next(ring)? {
        (Outcome::Accepted(fd), true) => ring.close(fd, false),
        (outcome, more) => return Err(unexpected(&outcome, more)),
    }
    ring.cancel(ACCEPT);
    match next(ring)? {
        (Outcome::Cancelled(_), false) => Ok(()),
        (outcome, more) => Err(unexpected(&outcome, more)),
    }
}

/// The next completion, within a second.
fn next(ring: &mut UringRing) -> io::Result<(Outcome, bool)> {
    let mut ended = Vec::new();
    ring.wait(Some(Duration::from_secs(1)), &mut ended)?;
    match ended.pop() {
        Some(completion) if ended.is_empty() => Ok((completion.outcome, completion.more)),
        Some(_) => Err(io::Error::other("more completions than operations")),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn unexpected(outcome: &Outcome, more: bool) -> io::Error {
    io::Error::other(format!("{outcome:?} (more: {more})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer is yes, or a reason; it never panics, whatever this kernel is.
    #[test]
    fn yes_or_a_reason() {
        if let Err(why) = uring_available() {
            assert!(!why.is_empty());
        }
    }
}
