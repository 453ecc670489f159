//! One end of a connection on which HTTP/1 is spoken: exact bytes out, strict reading in.

use crate::answer::{self, Broken, Fields, Head, Length};
use crate::barrier::DEADLINE;
use crate::wire;
use nix::sys::socket::{setsockopt, sockopt};
use openssl::ssl::{ErrorCode, Ssl, SslStream};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// One end.
#[derive(Debug)]
pub struct Link {
    socket: Socket,
    received: Vec<u8>,
    /// The close is to be a reset.
    torn: bool,
    /// Why the handshake failed, if it did while something was to be sent: reading tells, as it does without TLS.
    unsaid: Option<Broken>,
}

#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
    /// The handshake comes with the first bytes that are sent or read.
    Tls(SslStream<TcpStream>),
}

impl Link {
    /// Takes a connected socket. No read or write on it waits longer than the [`DEADLINE`].
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn plain(stream: TcpStream) -> io::Result<Link> {
        prepare(&stream)?;
        Ok(Link { socket: Socket::Plain(stream), received: Vec::new(), torn: false, unsaid: None })
    }

    /// As [`Link::plain`], and speaks TLS on it.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn tls(stream: TcpStream, ssl: Ssl) -> io::Result<Link> {
        prepare(&stream)?;
        let stream = SslStream::new(ssl, stream)?;
        Ok(Link { socket: Socket::Tls(stream), received: Vec::new(), torn: false, unsaid: None })
    }

    /// The client's side of a connection, as the wire of this test is.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn client(stream: TcpStream) -> io::Result<Link> {
        if wire::is_tls() { Link::tls(stream, wire::client()) } else { Link::plain(stream) }
    }

    /// The server's side of one.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn server(stream: TcpStream) -> io::Result<Link> {
        if wire::is_tls() { Link::tls(stream, wire::server()) } else { Link::plain(stream) }
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        match &self.socket {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => stream.get_ref(),
        }
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// What send(2) reports.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Plain(stream) => stream.write_all(bytes),
            Socket::Tls(stream) => {
                if !stream.ssl().is_init_finished()
                    && let Err(error) = stream.do_handshake()
                {
                    self.unsaid = Some(told(&error, true));
                    return Ok(());
                }
                stream.write_all(bytes)
            }
        }
    }

    /// Reads one head.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read_head(&mut self) -> Result<Head, Broken> {
        loop {
            if let Some(end) = answer::head_end(&self.received)? {
                let raw: Vec<u8> = self.received.drain(..end).collect();
                return answer::read_head(&raw);
            }
            self.read_more()?;
        }
    }

    /// Reads a body of this length, and its trailers.
    ///
    /// # Errors
    /// Why it is not whole.
    pub fn read_body(&mut self, length: Length) -> Result<(Vec<u8>, Fields), Broken> {
        match length {
            Length::Bytes(length) => {
                let length = usize::try_from(length).map_err(|_| Broken::Malformed("a huge body".into()))?;
                Ok((self.read_exact(length)?, Fields::default()))
            }
            Length::UntilClose => Ok((self.rest()?, Fields::default())),
            Length::Chunked => {
                let mut body = Vec::new();
                loop {
                    let line = self.read_line()?;
                    let size = answer::chunk_size(&line)?;
                    if size == 0 {
                        return Ok((body, self.read_trailers()?));
                    }
                    body.extend(self.read_exact(size)?);
                    if self.read_exact(2)? != b"\r\n" {
                        return Err(Broken::Malformed("a chunk longer than its size".into()));
                    }
                }
            }
        }
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// Why there are fewer.
    pub fn read_exact(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        while self.received.len() < count {
            self.read_more().map_err(|broken| if broken == Broken::Closed { Broken::Cut } else { broken })?;
        }
        Ok(self.received.drain(..count).collect())
    }

    /// Reads a body and forgets it, and tells of each piece how large it was.
    ///
    /// # Errors
    /// Why it is not whole.
    pub fn discard_body(&mut self, length: Length, mut passed: impl FnMut(u64)) -> Result<(), Broken> {
        const PIECE: u64 = 1 << 20;
        match length {
            Length::Bytes(mut left) => {
                while left > 0 {
                    let piece = left.min(PIECE);
                    self.discard(piece)?;
                    passed(piece);
                    left -= piece;
                }
                Ok(())
            }
            Length::UntilClose => Err(Broken::Malformed("a body of unknown length".into())),
            Length::Chunked => loop {
                let size = answer::chunk_size(&self.read_line()?)? as u64;
                if size == 0 {
                    return self.read_trailers().map(drop);
                }
                self.discard(size)?;
                passed(size);
                if self.read_exact(2)? != b"\r\n" {
                    return Err(Broken::Malformed("a chunk longer than its size".into()));
                }
            },
        }
    }

    /// Reads so many bytes and forgets them.
    ///
    /// # Errors
    /// Why there are fewer.
    pub fn discard(&mut self, mut count: u64) -> Result<(), Broken> {
        while count > 0 {
            if self.received.is_empty() {
                self.read_more()?;
            }
            let taken = self.received.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            self.received.drain(..taken);
            count -= taken as u64;
        }
        Ok(())
    }

    /// Reads whatever comes next.
    ///
    /// # Errors
    /// Why nothing comes.
    pub fn read_any(&mut self) -> Result<Vec<u8>, Broken> {
        if self.received.is_empty() {
            self.read_more()?;
        }
        Ok(std::mem::take(&mut self.received))
    }

    /// Reads to the end of the connection.
    ///
    /// # Errors
    /// When it does not end as it should.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            match self.read_more() {
                Ok(()) => {}
                Err(Broken::Closed | Broken::Cut) => return Ok(std::mem::take(&mut self.received)),
                Err(other) => return Err(other),
            }
        }
    }

    /// Ends the sending direction.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn end(&mut self) -> io::Result<()> {
        match &mut self.socket {
            Socket::Plain(stream) => stream.shutdown(Shutdown::Write),
            // TLS says it by itself (RFC 8446 6.1); the socket's end is for those who have said nothing at all.
            Socket::Tls(stream) => match stream.shutdown() {
                Ok(_) => Ok(()),
                Err(_) => stream.get_ref().shutdown(Shutdown::Write),
            },
        }
    }

    /// Resets the connection, unless somebody else holds the socket too.
    pub fn reset(mut self) {
        self.tear();
    }

    /// Makes the close of the connection a reset.
    pub fn tear(&mut self) {
        self.torn = true;
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        // A socket that is broken already is closed in its own way.
        let _ = setsockopt(self.stream(), sockopt::Linger, &at_once);
    }

    /// The close of the connection says nothing: with TLS, it looks like one that was cut.
    pub fn cut(&mut self) {
        self.torn = true;
    }

    fn read_line(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(at) = self.received.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..at + 2).collect();
                return Ok(line[..at].to_vec());
            }
            self.read_more()?;
        }
    }

    fn read_trailers(&mut self) -> Result<Fields, Broken> {
        let mut raw = b"trailers\r\n".to_vec();
        loop {
            let line = self.read_line()?;
            raw.extend_from_slice(&line);
            raw.extend_from_slice(b"\r\n");
            if line.is_empty() {
                return Ok(answer::read_head(&raw)?.fields);
            }
        }
    }

    fn read_more(&mut self) -> Result<(), Broken> {
        let mut piece = [0; 16 * 1024];
        let begun = !self.received.is_empty();
        match self.read_some(&mut piece) {
            Ok(0) if !begun => Err(Broken::Closed),
            Ok(0) => Err(Broken::Cut),
            Ok(count) => {
                self.received.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(broken) => Err(broken),
        }
    }

    fn read_some(&mut self, piece: &mut [u8]) -> Result<usize, Broken> {
        if let Some(broken) = &self.unsaid {
            return Err(broken.clone());
        }
        match &mut self.socket {
            Socket::Plain(stream) => loop {
                match stream.read(piece) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => return other.map_err(|error| named(&error)),
                }
            },
            Socket::Tls(stream) => {
                let fresh = !stream.ssl().is_init_finished();
                match stream.ssl_read(piece) {
                    Ok(count) => Ok(count),
                    Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
                    Err(error) => Err(told(&error, fresh)),
                }
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Socket::Tls(stream) = &mut self.socket
            && !self.torn
        {
            // Nobody waits for a peer that takes nothing.
            let _ = stream.get_ref().set_nonblocking(true);
            let _ = stream.shutdown();
        }
    }
}

/// For libraries that speak for themselves.
impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.received.is_empty() {
            let taken = self.received.len().min(into.len());
            into[..taken].copy_from_slice(&self.received[..taken]);
            self.received.drain(..taken);
            return Ok(taken);
        }
        self.read_some(into).map_err(|broken| io::Error::other(broken.to_string()))
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))
}

fn named(error: &io::Error) -> Broken {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Broken::Reset,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Broken::Silence,
        _ => Broken::Other(error.to_string()),
    }
}

/// What TLS tells of a connection: one that ends without its word is broken, in the middle of a handshake it is closed.
fn told(error: &openssl::ssl::Error, in_handshake: bool) -> Broken {
    let unexpected = |stack: &openssl::error::ErrorStack| {
        stack.errors().iter().any(|error| error.reason().is_some_and(|text| text.contains("unexpected eof")))
    };
    let ended = match error.code() {
        ErrorCode::SYSCALL => error.io_error().is_none(),
        ErrorCode::SSL => error.ssl_error().is_some_and(unexpected),
        ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => return Broken::Silence,
        _ => false,
    };
    match (ended, error.io_error()) {
        (true, _) if in_handshake => Broken::Closed,
        (true, _) => Broken::Reset,
        (false, Some(error)) => named(error),
        (false, None) => Broken::Other(error.to_string()),
    }
}
