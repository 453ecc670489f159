//! Ports that belong to a test from before anything listens on them until it ends.
//!
//! The kernel chooses a free one for a socket that is bound and never listens. As long as that socket lives nobody else
//! is given the port, while whoever binds it by its number with `SO_REUSEADDR` or `SO_REUSEPORT` (the proxy, an origin,
//! nginx, Python) may listen on it. Until then a connect to it is refused, as to a host where nothing runs.

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

/// A reserved port on 127.0.0.1.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: OwnedFd,
}

impl Port {
    /// Reserves one.
    ///
    /// # Panics
    /// When the kernel has none.
    #[must_use]
    pub fn reserve() -> Port {
        let reserve = || -> nix::Result<Port> {
            let reservation = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            setsockopt(&reservation, sockopt::ReuseAddr, &true)?;
            setsockopt(&reservation, sockopt::ReusePort, &true)?;
            bind(reservation.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
            let bound: SockaddrIn = getsockname(reservation.as_raw_fd())?;
            Ok(Port { number: bound.port(), _reservation: reservation })
        };
        reserve().expect("a free port")
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_reserved_port_refuses_until_somebody_listens_and_again_after() {
        let port = Port::reserve();
        assert!(TcpStream::connect(port.address()).is_err());
        for _ in 0..3 {
            let listener = TcpListener::bind(port.address()).unwrap();
            TcpStream::connect(port.address()).unwrap();
            drop(listener);
            assert!(TcpStream::connect(port.address()).is_err());
        }
    }

    #[test]
    fn a_reserved_port_is_given_to_nobody_else() {
        let port = Port::reserve();
        let others: Vec<Port> = (0..500).map(|_| Port::reserve()).collect();
        assert!(others.iter().all(|other| other.number() != port.number()));
    }
}
