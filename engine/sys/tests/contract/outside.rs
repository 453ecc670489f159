//! The other side of the wire: sockets of the kernel, or of the simulation. No call waits.

use ounce_sys::ring::Fd;
use ounce_sys::sim::{Far, FarRead, SimNet};
use ounce_sys::socket::{self, Address, BACKLOG};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

/// What a read at the outside found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    Bytes(Vec<u8>),
    Nothing,
    End,
    Reset,
}

/// Clients and origins. Connections are named by numbers that are not used twice.
pub(crate) trait Outside {
    fn listener(&mut self) -> (Fd, Address);
    /// Connects to a listener of the ring's.
    fn connect(&mut self, to: &Address) -> usize;
    fn origin(&mut self) -> Address;
    fn accept(&mut self, at: &Address) -> Option<usize>;
    fn refuse(&mut self, at: &Address);
    /// `None` if the connection is broken; 0 if there is no room now.
    fn write(&mut self, far: usize, bytes: &[u8]) -> Option<usize>;
    fn read(&mut self, far: usize) -> Got;
    fn local(&mut self, far: usize) -> Address;
    fn shutdown_write(&mut self, far: usize);
    fn close(&mut self, far: usize);
    fn reset(&mut self, far: usize);
    /// More than all buffers between two ends hold.
    fn overfull(&self) -> usize;
}

/// Sockets of the kernel, on loopback.
#[derive(Default)]
pub(crate) struct Kernel {
    listeners: Vec<OwnedFd>,
    origins: Vec<TcpListener>,
    streams: Vec<Option<TcpStream>>,
}

impl Kernel {
    fn stream(&mut self, far: usize) -> &mut TcpStream {
        self.streams[far].as_mut().unwrap()
    }

    fn keep(&mut self, stream: TcpStream) -> usize {
        stream.set_nonblocking(true).unwrap();
        self.streams.push(Some(stream));
        self.streams.len() - 1
    }
}

fn loopback() -> Address {
    Address::Inet("127.0.0.1:0".parse().unwrap())
}

impl Outside for Kernel {
    fn listener(&mut self) -> (Fd, Address) {
        let listener = socket::bind_listening(&loopback(), true, BACKLOG).unwrap();
        let address = socket::local_address(listener.as_raw_fd()).unwrap();
        let fd = Fd(listener.as_raw_fd());
        self.listeners.push(listener);
        (fd, address)
    }

    fn connect(&mut self, to: &Address) -> usize {
        let Address::Inet(to) = to else { panic!("{to}") };
        let stream = TcpStream::connect(to).unwrap();
        self.keep(stream)
    }

    fn origin(&mut self) -> Address {
        let origin = TcpListener::bind("127.0.0.1:0").unwrap();
        origin.set_nonblocking(true).unwrap();
        let address = Address::Inet(origin.local_addr().unwrap());
        self.origins.push(origin);
        address
    }

    fn accept(&mut self, at: &Address) -> Option<usize> {
        let origin = self.origins.iter().find(|o| Address::Inet(o.local_addr().unwrap()) == *at).unwrap();
        let stream = origin.accept().ok()?.0;
        Some(self.keep(stream))
    }

    fn refuse(&mut self, at: &Address) {
        self.origins.retain(|o| Address::Inet(o.local_addr().unwrap()) != *at);
    }

    fn write(&mut self, far: usize, bytes: &[u8]) -> Option<usize> {
        match self.stream(far).write(bytes) {
            Ok(count) => Some(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
        }
    }

    fn read(&mut self, far: usize) -> Got {
        let mut bytes = vec![0; 64 * 1024];
        match self.stream(far).read(&mut bytes) {
            Ok(0) => Got::End,
            Ok(count) => Got::Bytes(bytes[..count].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Got::Nothing,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Got::Reset,
            Err(error) => panic!("{error}"),
        }
    }

    fn local(&mut self, far: usize) -> Address {
        Address::Inet(self.stream(far).local_addr().unwrap())
    }

    fn shutdown_write(&mut self, far: usize) {
        self.stream(far).shutdown(Shutdown::Write).unwrap();
    }

    fn close(&mut self, far: usize) {
        self.streams[far] = None;
    }

    fn reset(&mut self, far: usize) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(self.stream(far), nix::sys::socket::sockopt::Linger, &linger).unwrap();
        self.streams[far] = None;
    }

    fn overfull(&self) -> usize {
        32 * 1024 * 1024
    }
}

/// Sockets of a simulation.
pub(crate) struct Simulated {
    net: SimNet,
    fars: Vec<Far>,
    names: u16,
}

impl Simulated {
    pub(crate) fn new(net: SimNet) -> Simulated {
        Simulated { net, fars: Vec::new(), names: 0 }
    }

    fn name(&mut self) -> Address {
        self.names += 1;
        Address::Inet(([192, 0, 2, 1], self.names).into())
    }

    fn keep(&mut self, far: Far) -> usize {
        self.fars.push(far);
        self.fars.len() - 1
    }
}

impl Outside for Simulated {
    fn listener(&mut self) -> (Fd, Address) {
        let address = self.name();
        (self.net.bind(&address), address)
    }

    fn connect(&mut self, to: &Address) -> usize {
        let far = self.net.connect(to).unwrap();
        self.keep(far)
    }

    fn origin(&mut self) -> Address {
        let address = self.name();
        self.net.listen(&address);
        address
    }

    fn accept(&mut self, at: &Address) -> Option<usize> {
        let far = self.net.accept(at)?;
        Some(self.keep(far))
    }

    fn refuse(&mut self, at: &Address) {
        self.net.refuse(at);
    }

    fn write(&mut self, far: usize, bytes: &[u8]) -> Option<usize> {
        self.net.write(self.fars[far], bytes).ok()
    }

    fn read(&mut self, far: usize) -> Got {
        match self.net.read(self.fars[far], 64 * 1024) {
            FarRead::Bytes(bytes) => Got::Bytes(bytes),
            FarRead::Nothing => Got::Nothing,
            FarRead::End => Got::End,
            FarRead::Reset => Got::Reset,
        }
    }

    fn local(&mut self, far: usize) -> Address {
        self.net.local(self.fars[far]).unwrap()
    }

    fn shutdown_write(&mut self, far: usize) {
        self.net.shutdown_write(self.fars[far]);
    }

    fn close(&mut self, far: usize) {
        self.net.close(self.fars[far]);
    }

    fn reset(&mut self, far: usize) {
        self.net.reset(self.fars[far]);
    }

    fn overfull(&self) -> usize {
        2 * self.net.faults().window
    }
}
