//! Connections to log daemons.

use ounce_conf::model::LogPlace;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};

/// How long connecting may take: a host that is off says nothing for minutes.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection over which messages go.
#[derive(Debug)]
pub(super) enum Link {
    /// Each message is a datagram to a socket of this machine.
    Unix(UnixDatagram),
    /// Each message is a datagram (RFC 5426).
    Udp(UdpSocket),
    /// Messages follow each other (RFC 6587); each must say where it ends.
    Tcp(TcpStream),
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(super) async fn connect(place: &LogPlace) -> io::Result<Link> {
        match place {
            LogPlace::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Link::Unix(socket))
            }
            LogPlace::Udp(to) => {
                let any: SocketAddr = match to {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(to).await?;
                Ok(Link::Udp(socket))
            }
            LogPlace::Tcp(to) => {
                let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(to));
                Ok(Link::Tcp(connecting.await.map_err(|_| io::ErrorKind::TimedOut)??))
            }
        }
    }

    /// Sends one message, however long the daemon takes to read it.
    ///
    /// # Errors
    /// Why it was not sent.
    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Link::Unix(socket) => socket.send(message).await.map(drop),
            Link::Udp(socket) => socket.send(message).await.map(drop),
            Link::Tcp(stream) => {
                // A daemon that has ended said so; what is written to it now would be taken and lost.
                match stream.try_read(&mut [0; 64]) {
                    Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
                stream.write_all(message).await
            }
        }
    }

    /// Whether the connection is of use after this error.
    pub(super) fn outlives(&self, error: &io::Error) -> bool {
        // Part of a message may be out on a stream.
        !matches!(self, Link::Tcp(_))
            && !matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotFound
            )
    }
}
