//! One end of a connection on which HTTP/1 is spoken: exact bytes out, strict reading in.

use crate::answer::{self, Broken, Fields, Head, Length};
use crate::barrier::DEADLINE;
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// One end.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Link {
    /// Takes a connected socket. No read or write on it waits longer than the [`DEADLINE`].
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn new(stream: TcpStream) -> io::Result<Link> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Link { stream, received: Vec::new() })
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// What send(2) reports.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
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
    pub fn end(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Resets the connection, unless somebody else holds the socket too.
    pub fn reset(self) {
        reset(&self.stream);
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
        match self.stream.read(&mut piece) {
            Ok(0) if self.received.is_empty() => Err(Broken::Closed),
            Ok(0) => Err(Broken::Cut),
            Ok(count) => {
                self.received.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Err(Broken::Reset),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(Broken::Silence),
                ErrorKind::Interrupted => Ok(()),
                _ => Err(Broken::Other(error.to_string())),
            },
        }
    }
}

/// Makes the close of this socket, which comes when its last owner drops it, a reset.
pub fn reset(stream: &TcpStream) {
    let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    // A socket that is broken already is closed in its own way.
    let _ = setsockopt(stream, sockopt::Linger, &at_once);
}
