//! What the supervisor waits for: signals, messages, a checker's verdict, the clock.

use crate::fleet::Slot;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Longest wait: heartbeats are looked at once a second.
const LOOK_MS: u64 = 1_000;

/// What a descriptor is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// A child's orders socket.
    Orders(Slot),
    /// The findings of a checker.
    Findings,
    /// What the kernel tells of watched files.
    Notify,
    /// What was seen of them.
    Look,
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    /// Signals, each once, in ascending order.
    pub(crate) signals: Vec<i32>,
    /// Descriptors that can be read.
    pub(crate) readable: Vec<Watch>,
}

/// The signals that the supervisor takes. Dropping it leaves them taken.
#[derive(Debug)]
pub(crate) struct Events {
    signals: SignalDelivery<UnixStream, SignalOnly>,
}

impl Events {
    /// Takes the signals.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn new() -> io::Result<Events> {
        let (read, write) = UnixStream::pair()?;
        // The handler must never wait: a full pipe has waked us already.
        write.set_nonblocking(true)?;
        let taken = [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
        Ok(Events { signals: SignalDelivery::with_pipe(read, write, SignalOnly, taken)? })
    }

    /// Waits until something happens, `wait_ms` at most and never longer than a second.
    ///
    /// # Errors
    /// What poll(2) reports.
    pub(crate) fn wait<'a>(
        &mut self,
        watched: impl Iterator<Item = (Watch, BorrowedFd<'a>)>,
        wait_ms: Option<u64>,
    ) -> io::Result<Happened> {
        let (watches, readable) = self.poll(watched, wait_ms)?;
        let mut happened = Happened { signals: self.signals.pending().collect(), readable: Vec::new() };
        happened.signals.sort_unstable();
        let watches = watches.into_iter().zip(readable).filter(|(_, readable)| *readable);
        happened.readable = watches.map(|(watch, _)| watch).collect();
        Ok(happened)
    }

    fn poll<'a>(
        &self,
        watched: impl Iterator<Item = (Watch, BorrowedFd<'a>)>,
        wait_ms: Option<u64>,
    ) -> io::Result<(Vec<Watch>, Vec<bool>)> {
        let (watches, fds): (Vec<Watch>, Vec<BorrowedFd<'a>>) = watched.unzip();
        let mut polled: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        polled.push(PollFd::new(self.signals.get_read().as_fd(), PollFlags::POLLIN));
        let wait_ms = wait_ms.unwrap_or(LOOK_MS).min(LOOK_MS) as u16;
        match poll(&mut polled, PollTimeout::from(wait_ms)) {
            Ok(_) => Ok((watches, polled.iter().map(|fd| fd.any().unwrap_or(true)).collect())),
            // A signal has come; what can be read will be seen next time.
            Err(Errno::EINTR) => Ok((Vec::new(), Vec::new())),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn signals_and_readable_descriptors_are_told_apart() {
        let mut events = Events::new().unwrap();
        let (silent, _kept) = UnixStream::pair().unwrap();
        let (speaking, mut other) = UnixStream::pair().unwrap();
        other.write_all(b"x").unwrap();
        let watched = [(Watch::Orders(1), silent.as_fd()), (Watch::Findings, speaking.as_fd())];
        let happened = events.wait(watched.into_iter(), None).unwrap();
        assert_eq!(happened.readable, [Watch::Findings]);
        ounce_sys::process::kill(ounce_sys::process::pid(), SIGUSR1).unwrap();
        // The handler runs in whichever thread; its byte ends the wait.
        let mut signals = Vec::new();
        while signals.is_empty() {
            signals = events.wait(std::iter::empty(), None).unwrap().signals;
        }
        assert_eq!(signals, [SIGUSR1]);
    }
}
