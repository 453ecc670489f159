//! Error numbers of the kernel and what they mean for a connection.

use std::fmt;
use std::io;

/// An error number of the kernel, positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// What an error number means to who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nobody listens there, or we are not let in: another address may do better, this one not soon.
    Refused,
    /// The other side did not answer in the kernel's own time.
    TimedOut,
    /// The connection was broken by the other side.
    Reset,
    /// No way leads there.
    Unreachable,
    /// This machine or process lacks something: descriptors, memory, ports, room in a queue. Not the peer's fault.
    Exhausted,
    /// None of the above. To be counted and treated as a broken connection.
    Unexpected,
}

impl Errno {
    /// The error of the last system call of this thread.
    pub fn last() -> Errno {
        Errno::of(&io::Error::last_os_error())
    }

    /// The number in an [`io::Error`], or EIO if it has none.
    pub fn of(error: &io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// Sorts the number by what can be done about it.
    pub fn kind(self) -> Kind {
        match self.0 {
            // A UNIX socket whose file is missing, of another type or not ours to open is a port that is closed;
            // EPERM is what a packet filter answers to connect(2).
            libc::ECONNREFUSED
            | libc::ENOENT
            | libc::ENOTDIR
            | libc::EACCES
            | libc::EPERM
            | libc::EPROTOTYPE
            | libc::ENOTSOCK => Kind::Refused,
            libc::ETIMEDOUT => Kind::TimedOut,
            libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED | libc::ENOTCONN | libc::ESHUTDOWN => {
                Kind::Reset
            }
            libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::ENETDOWN
            | libc::ENETRESET
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EAFNOSUPPORT
            | libc::EPROTONOSUPPORT => Kind::Unreachable,
            // EADDRNOTAVAIL of connect(2): no ephemeral port is left. EAGAIN of connect(2): the queue of a UNIX
            // listener is full.
            libc::EMFILE
            | libc::ENFILE
            | libc::ENOBUFS
            | libc::ENOMEM
            | libc::EADDRNOTAVAIL
            | libc::EADDRINUSE
            | libc::EAGAIN
            | libc::EUSERS
            | libc::ENOSPC => Kind::Exhausted,
            _ => Kind::Unexpected,
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number has a kind, and one that no kernel knows is counted, not a panic.
    #[test]
    fn all_numbers_have_a_kind() {
        for number in -1..5000 {
            let _ = Errno(number).kind();
        }
        assert_eq!(Errno(4999).kind(), Kind::Unexpected);
    }

    /// What is wrong here must not be held against a backend, and the other way round.
    #[test]
    fn own_shortage_is_not_the_peers_fault() {
        assert_eq!(Errno(libc::EMFILE).kind(), Kind::Exhausted);
        assert_eq!(Errno(libc::EADDRNOTAVAIL).kind(), Kind::Exhausted);
        assert_eq!(Errno(libc::ECONNREFUSED).kind(), Kind::Refused);
        assert_eq!(Errno(libc::EPIPE).kind(), Kind::Reset);
    }

    /// An error without a number is still an error.
    #[test]
    fn error_without_number() {
        assert_eq!(Errno::of(&io::Error::other("x")), Errno(libc::EIO));
        assert!(Errno(libc::EPIPE).to_string().contains("roken"));
    }
}
