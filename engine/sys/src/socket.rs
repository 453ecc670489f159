//! Addresses, and the sockets that the supervisor binds.

use crate::errno::Errno;
use crate::ring::Interest;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The shortest queue of connections that wait to be accepted; the system's own limit (`net.core.somaxconn`) cuts it.
pub const BACKLOG: i32 = 4096;

/// Where a stream socket listens or is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port.
    Inet(SocketAddr),
    /// A UNIX stream socket. The path is empty for a client that did not bind.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Inet(address)
    }
}

/// An address as the kernel reads and writes it.
#[derive(Clone, Copy)]
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
    /// INVARIANT: at most the size of `storage`.
    len: libc::socklen_t,
}

impl RawAddress {
    /// An empty one, for the kernel to fill.
    pub(crate) fn empty() -> RawAddress {
        // SAFETY: all zeroes is a valid sockaddr_storage: plain bytes of family AF_UNSPEC.
        let storage = unsafe { mem::zeroed() };
        RawAddress { storage, len: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// # Errors
    /// EINVAL-like for a path that is too long for a socket (107 bytes) or holds a NUL.
    pub(crate) fn new(address: &Address) -> io::Result<RawAddress> {
        let mut raw = RawAddress::empty();
        match address {
            Address::Inet(SocketAddr::V4(v4)) => raw.put(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            Address::Inet(SocketAddr::V6(v6)) => raw.put(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
            Address::Unix(path) => {
                let bytes = path.as_os_str().as_bytes();
                let mut unix =
                    libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
                if bytes.is_empty() || bytes.len() >= unix.sun_path.len() || bytes.contains(&0) {
                    let why = format!("{}: not a path that a UNIX socket can have", path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
                for (to, from) in unix.sun_path.iter_mut().zip(bytes) {
                    *to = *from as libc::c_char;
                }
                raw.put(unix);
                raw.len = (UNIX_PATH_AT + bytes.len() + 1) as libc::socklen_t;
            }
        }
        Ok(raw)
    }

    fn put<T: Copy>(&mut self, address: T) {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) }
        const { assert!(align_of::<T>() <= align_of::<libc::sockaddr_storage>()) }
        // SAFETY: `storage` is large enough and aligned for T (asserted above), and T is plain bytes.
        unsafe { (&raw mut self.storage).cast::<T>().write(address) };
        self.len = size_of::<T>() as libc::socklen_t;
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(crate) fn len(&self) -> libc::socklen_t {
        self.len
    }

    pub(crate) fn family(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    /// Pointers for a call that fills this address.
    pub(crate) fn out(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.len)
    }

    /// `None` for a family that we do not know.
    pub(crate) fn address(&self) -> Option<Address> {
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the family says that a sockaddr_in was stored; the storage is larger and aligned for it.
                let v4 = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(Address::Inet(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for a sockaddr_in6.
                let v6 = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                let address = SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id);
                Some(Address::Inet(SocketAddr::V6(address)))
            }
            libc::AF_UNIX => {
                // SAFETY: as above, for a sockaddr_un.
                let unix = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_un>() };
                let filled = (self.len as usize).saturating_sub(UNIX_PATH_AT).min(unix.sun_path.len());
                let path: Vec<u8> =
                    unix.sun_path.iter().take(filled).map(|b| *b as u8).take_while(|b| *b != 0).collect();
                Some(Address::Unix(PathBuf::from(OsStr::from_bytes(&path))))
            }
            _ => None,
        }
    }
}

const UNIX_PATH_AT: usize = mem::offset_of!(libc::sockaddr_un, sun_path);

/// Binds a listening socket: non-blocking, closes on exec, TCP_NODELAY and SO_KEEPALIVE set for what it accepts.
///
/// `reuseport` lets several sockets share an IP address, one per worker. A UNIX socket is made once and shared; a
/// socket file that nobody listens on any more is replaced. IPV6_V6ONLY stays as the system has it
/// (`net.ipv6.bindv6only`), which is what a configuration with `::` was written for.
///
/// # Errors
/// What socket(2), bind(2) or listen(2) reports; EADDRINUSE for a UNIX socket on which somebody listens.
pub fn bind_listening(address: &Address, reuseport: bool, backlog: i32) -> io::Result<OwnedFd> {
    let raw = RawAddress::new(address)?;
    if let Address::Unix(path) = address {
        remove_stale(path, &raw)?;
    }
    let socket = stream_socket(raw.family())?;
    let fd = socket.as_raw_fd();
    if raw.family() != libc::AF_UNIX {
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        if reuseport {
            set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        // Set here once, since Linux copies both to each accepted connection.
        set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    }
    // SAFETY: the pointer and length describe an initialised address that lives over the call.
    check(unsafe { libc::bind(fd, raw.as_ptr(), raw.len()) })?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::listen(fd, backlog) })?;
    Ok(socket)
}

/// Opens a socket to connect with: non-blocking, closes on exec, TCP_NODELAY where it applies.
///
/// # Errors
/// What socket(2) reports.
pub(crate) fn outgoing(to: &Address) -> io::Result<OwnedFd> {
    let family = match to {
        Address::Inet(SocketAddr::V4(_)) => libc::AF_INET,
        Address::Inet(SocketAddr::V6(_)) => libc::AF_INET6,
        Address::Unix(_) => libc::AF_UNIX,
    };
    let socket = stream_socket(family)?;
    if family != libc::AF_UNIX {
        set_option(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    }
    Ok(socket)
}

/// Lets the kernel hold little of what it cannot send yet; see [`crate::ring::Ring::keep_unsent_low`]. Only TCP knows it.
pub(crate) fn keep_unsent_low(fd: i32) {
    /// So much that a fast peer never waits for us.
    const UNSENT_BYTES: i32 = 256 * 1024;
    let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT_BYTES);
}

/// A file left by a listener that died would make bind(2) fail for ever; one that is served must not be taken away.
fn remove_stale(path: &Path, raw: &RawAddress) -> io::Result<()> {
    let is_socket = match std::fs::symlink_metadata(path) {
        Ok(found) => found.file_type().is_socket(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // Anything else at that place is the operator's: bind(2) will report it.
    if !is_socket {
        return Ok(());
    }
    let probe = stream_socket(libc::AF_UNIX)?;
    // SAFETY: the pointer and length describe an initialised address that lives over the call.
    match check(unsafe { libc::connect(probe.as_raw_fd(), raw.as_ptr(), raw.len()) }) {
        Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

fn stream_socket(family: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The address that a socket is bound to.
///
/// # Errors
/// What getsockname(2) reports.
pub fn local_address(fd: RawFd) -> io::Result<Address> {
    named(|address, len| {
        // SAFETY: both pointers are to a RawAddress that lives over the call; `len` holds its capacity.
        unsafe { libc::getsockname(fd, address, len) }
    })
}

/// The address of the other end of a connected socket.
///
/// # Errors
/// What getpeername(2) reports.
pub fn peer_address(fd: RawFd) -> io::Result<Address> {
    named(|address, len| {
        // SAFETY: both pointers are to a RawAddress that lives over the call; `len` holds its capacity.
        unsafe { libc::getpeername(fd, address, len) }
    })
}

fn named(call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int) -> io::Result<Address> {
    let mut raw = RawAddress::empty();
    let (address, len) = raw.out();
    check(call(address, len))?;
    raw.address().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

/// Sets an integer option of a socket.
///
/// # Errors
/// What setsockopt(2) reports.
pub(crate) fn set_option(fd: RawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to an int that lives over the call and `size` is its size.
    check(unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size) }).map(drop)
}

/// Makes the close of this socket a reset that drops what is unsent.
pub(crate) fn reset_on_close(fd: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the pointer is to a linger that lives over the call and `size` is its size. A socket without this option
    // is closed in the ordinary way.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size) };
}

/// The error that a socket keeps for us, such as that of a connect; asking clears it.
pub(crate) fn pending_error(fd: RawFd) -> Result<(), Errno> {
    let mut number: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    let (into, size) = ((&raw mut number).cast(), &raw mut size);
    // SAFETY: the pointers are to an int and its size, which live over the call.
    match check(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, into, size) }) {
        Err(error) => Err(Errno::of(&error)),
        Ok(_) if number != 0 => Err(Errno(number)),
        Ok(_) => Ok(()),
    }
}

/// Whether the descriptor is ready now, or broken, which an operation on it will tell.
pub(crate) fn is_ready(fd: RawFd, interest: Interest) -> bool {
    let events = match interest {
        Interest::Read => libc::POLLIN | libc::POLLRDHUP,
        Interest::Write => libc::POLLOUT,
    };
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: the pointer is to one pollfd that lives over the call.
    unsafe { libc::poll(&mut poll, 1, 0) > 0 }
}

/// The result of a C call, or the error it left.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn inet(text: &str) -> Address {
        Address::Inet(text.parse().unwrap())
    }

    /// What goes to the kernel comes back the same.
    #[test]
    fn addresses_survive_the_kernels_form() {
        for address in [
            inet("127.0.0.1:80"),
            inet("255.1.2.3:65535"),
            inet("[::1]:8080"),
            inet("[fe80::1:2%7]:1"),
            Address::Unix("/run/x.sock".into()),
            Address::Unix(PathBuf::from("x".repeat(107))),
        ] {
            assert_eq!(RawAddress::new(&address).unwrap().address(), Some(address));
        }
        for path in [String::new(), "x".repeat(108), "a\0b".into()] {
            assert!(RawAddress::new(&Address::Unix(path.into())).is_err());
        }
    }

    /// Workers share a port, and what is accepted has TCP_NODELAY without a call of its own.
    #[test]
    fn listeners_share_a_port() {
        let first = bind_listening(&inet("127.0.0.1:0"), true, BACKLOG).unwrap();
        let address = local_address(first.as_raw_fd()).unwrap();
        let second = bind_listening(&address, true, BACKLOG).unwrap();
        drop(second);
        let Address::Inet(to) = address else { panic!("{address}") };
        let client = TcpStream::connect(to).unwrap();
        // SAFETY: null pointers are allowed: the peer's address is not asked for.
        let fd = unsafe { libc::accept(first.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut()) };
        // SAFETY: a fresh descriptor that nobody else owns (a negative one fails the assertion in from_raw_fd).
        let accepted = unsafe { TcpStream::from_raw_fd(fd) };
        assert!(accepted.nodelay().unwrap());
        assert_eq!(peer_address(fd).unwrap(), Address::Inet(client.local_addr().unwrap()));
    }

    /// Without `reuseport` a port has one owner.
    #[test]
    fn port_in_use_is_reported() {
        let first = bind_listening(&inet("127.0.0.1:0"), false, BACKLOG).unwrap();
        let address = local_address(first.as_raw_fd()).unwrap();
        let error = bind_listening(&address, false, BACKLOG).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
    }

    /// A dead listener's socket file is replaced, a living one's is not, and a plain file never.
    #[test]
    fn unix_listener_replaces_only_the_dead() {
        let folder = std::env::temp_dir().join(format!("ounce-sys-unix-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("s");
        let address = Address::Unix(path.clone());
        drop(UnixListener::bind(&path).unwrap());
        let alive = bind_listening(&address, false, BACKLOG).unwrap();
        assert_eq!(local_address(alive.as_raw_fd()).unwrap(), address);
        let client = UnixStream::connect(&path).unwrap();
        assert_eq!(local_address(client.as_raw_fd()).unwrap(), Address::Unix(PathBuf::new()));
        let error = bind_listening(&address, false, BACKLOG).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
        let plain = folder.join("plain");
        std::fs::write(&plain, b"mine").unwrap();
        assert!(bind_listening(&Address::Unix(plain.clone()), false, BACKLOG).is_err());
        assert_eq!(std::fs::read(&plain).unwrap(), b"mine");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
