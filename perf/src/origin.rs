//! A small and fast origin: one thread, epoll, one finished answer for each port.
//!
//! It looks at nothing of a request but its end. What it costs is the same for every proxy, and none of it is counted.

use crate::cpu;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// How many connections are accepted before others have their turn.
const ACCEPTS_MAX: usize = 64;

/// A running origin. It lives as long as the program.
#[derive(Debug)]
pub struct Origin {
    addresses: Vec<SocketAddr>,
}

impl Origin {
    /// Starts one on this CPU that answers with bodies of these sizes, each on a port of its own.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn start(cpu: usize, body_bytes: &[usize]) -> io::Result<Origin> {
        let mut doors = Vec::new();
        for bytes in body_bytes {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            doors.push(Door { listener, answer: answer(*bytes).into() });
        }
        let addresses = doors.iter().map(|door| door.listener.local_addr()).collect::<io::Result<_>>()?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (number, door) in doors.iter().enumerate() {
            epoll.add(&door.listener, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        }
        thread::Builder::new().name("origin".into()).spawn(move || {
            if let Err(error) = cpu::bind_to(cpu) {
                eprintln!("origin: {error}");
            }
            let mut state = State { epoll, connections: HashMap::new(), next: doors.len() as u64, doors };
            if let Err(error) = state.serve() {
                eprintln!("origin: {error}");
            }
        })?;
        Ok(Origin { addresses })
    }

    /// Where the answers are given, in the order of their sizes.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// An answer with a body of so many bytes.
fn answer(body_bytes: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: {body_bytes}\r\n\r\n"
    );
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + body_bytes, b'x');
    answer
}

struct Door {
    listener: TcpListener,
    answer: Arc<[u8]>,
}

struct Connection {
    stream: TcpStream,
    answer: Arc<[u8]>,
    /// The last bytes received, for an end that comes in pieces.
    tail: [u8; 4],
    /// Answers that are owed, the one under way included.
    owed: usize,
    /// What of it has been sent.
    sent: usize,
    /// The kernel tells when more can be sent.
    waits: bool,
}

struct State {
    epoll: Epoll,
    doors: Vec<Door>,
    connections: HashMap<u64, Connection>,
    next: u64,
}

impl State {
    fn serve(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => 0,
                other => other?,
            };
            for event in &events[..count] {
                let number = event.data();
                if (number as usize) < self.doors.len() {
                    self.accept(number as usize)?;
                } else if let Some(connection) = self.connections.get_mut(&number)
                    && !connection.go_on(number, &self.epoll)
                {
                    // The kernel forgets it with its descriptor.
                    self.connections.remove(&number);
                }
            }
        }
    }

    fn accept(&mut self, door: usize) -> io::Result<()> {
        for _ in 0..ACCEPTS_MAX {
            let Door { listener, answer } = &self.doors[door];
            let Ok((stream, _)) = listener.accept() else { return Ok(()) };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let number = self.next;
            self.next += 1;
            self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
            let answer = Arc::clone(answer);
            self.connections
                .insert(number, Connection { stream, answer, tail: [0; 4], owed: 0, sent: 0, waits: false });
        }
        Ok(())
    }
}

impl Connection {
    /// Reads and sends what can be. Whether the connection goes on.
    fn go_on(&mut self, number: u64, epoll: &Epoll) -> bool {
        let alive = self.read().and_then(|()| self.write());
        let waits = self.owed > 0;
        if alive.is_ok() && waits != self.waits {
            self.waits = waits;
            let flags = if waits { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
            return epoll.modify(&self.stream, &mut EpollEvent::new(flags, number)).is_ok();
        }
        alive.is_ok()
    }

    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.owed += ends(&mut self.tail, &piece[..count]);
                    if count < piece.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while self.owed > 0 {
            match self.stream.write(&self.answer[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    if self.sent == self.answer.len() {
                        self.sent = 0;
                        self.owed -= 1;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// How many heads end in these bytes, which follow `tail`.
fn ends(tail: &mut [u8; 4], bytes: &[u8]) -> usize {
    let mut found = 0;
    for byte in bytes {
        tail.rotate_left(1);
        tail[3] = *byte;
        found += usize::from(tail == b"\r\n\r\n");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use ounce_tests::client::Client;

    #[test]
    fn each_port_has_its_answer() {
        let origin = Origin::start(0, &[100, 1_000_000]).unwrap();
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for (address, bytes) in origin.addresses().iter().zip([100, 1_000_000]) {
            let mut client = Client::connect(*address);
            for _ in 0..3 {
                assert_eq!(client.ask(get).body.len(), bytes);
            }
            client.send(get.repeat(5));
            (0..5).for_each(|_| assert_eq!(client.answer().body.len(), bytes));
        }
    }

    #[test]
    fn an_end_is_found_however_it_is_cut() {
        let mut tail = [0; 4];
        assert_eq!(ends(&mut tail, b"GET / HTTP/1.1\r\n\r"), 0);
        assert_eq!(ends(&mut tail, b"\nGET / HTTP/1.1\r\n\r\nG"), 2);
    }
}
