//! [`Bell`]: how another thread wakes a ring that waits.

use crate::ring::Fd;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Rung by any thread, heard by a poll for reading (eventfd(2)).
#[derive(Debug)]
pub struct Bell(EventFd);

impl Bell {
    /// A bell that is silent.
    ///
    /// # Errors
    /// What eventfd(2) reports.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?))
    }

    /// What a ring polls. It stays the bell's own.
    pub fn fd(&self) -> Fd {
        Fd(self.0.as_fd().as_raw_fd())
    }

    /// Rings: a poll ends, now or as soon as it begins.
    pub fn ring(&self) {
        // It fails only when it has been rung 2^64 times and not been hushed since.
        let _ = self.0.write(1);
    }

    /// Silences it, however often it was rung.
    pub fn hush(&self) {
        // EAGAIN: it was silent.
        let _ = self.0.read();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Interest;
    use crate::socket::is_ready;

    #[test]
    fn it_rings_until_it_is_hushed() {
        let bell = Bell::new().unwrap();
        let rings = || is_ready(bell.fd().0, Interest::Read);
        bell.hush();
        assert!(!rings());
        bell.ring();
        bell.ring();
        assert!(rings());
        bell.hush();
        assert!(!rings());
    }
}
