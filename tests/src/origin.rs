//! Origins: servers on threads of the test that do what it says and remember what reached them.

use crate::answer::{self, Broken, Fields, Head, Length};
use crate::barrier::Journal;
use crate::link::Link;
use crate::port::Port;
use nix::sys::socket::{Shutdown as Half, shutdown};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A request as it reached an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// As which request on it, counted from 0.
    pub nth: usize,
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// 0 or 1: the `x` of `HTTP/1.x`.
    pub minor: u8,
    /// The fields.
    pub fields: Fields,
    /// The head as it came.
    pub raw: Vec<u8>,
}

/// An origin. It ends, and breaks its connections, with this value.
#[derive(Debug)]
pub struct Origin {
    port: Arc<Port>,
    ip: IpAddr,
    shared: Arc<Shared>,
}

struct Shared {
    listener: TcpListener,
    open: Mutex<HashMap<usize, TcpStream>>,
    accepted: AtomicUsize,
    stopped: AtomicBool,
    received: Journal<Received>,
    behave: Box<Behaviour>,
}

/// What an origin does with a request. An error ends the connection.
type Behaviour = dyn Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync;

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shared").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}

impl Origin {
    /// An origin that does this with each request.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn start(behave: impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static) -> Origin {
        Origin::start_on(Arc::new(Port::reserve()), behave)
    }

    /// An origin on this port.
    ///
    /// # Panics
    /// When somebody else listens on it.
    #[must_use]
    pub fn start_on(
        port: Arc<Port>,
        behave: impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Origin {
        let ip = port.address().ip();
        Origin::start_at(port, ip, behave)
    }

    /// An origin on this port of another address of this machine.
    ///
    /// # Panics
    /// When somebody else listens on it.
    #[must_use]
    pub fn start_at(
        port: Arc<Port>,
        ip: IpAddr,
        behave: impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Origin {
        let listener = TcpListener::bind((ip, port.number())).expect("a reserved port");
        let shared = Arc::new(Shared {
            listener,
            open: Mutex::default(),
            accepted: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            received: Journal::default(),
            behave: Box::new(behave),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&accepting));
        Origin { port, ip, shared }
    }

    /// An origin that answers each request with 200, its name in a header and in the body.
    #[must_use]
    pub fn named(name: &str) -> Origin {
        Origin::named_on(Arc::new(Port::reserve()), name)
    }

    /// As [`Origin::named`], on this port.
    #[must_use]
    pub fn named_on(port: Arc<Port>, name: &str) -> Origin {
        let answer = named_answer(name);
        Origin::start_on(port, move |exchange| {
            exchange.skip_body()?;
            exchange.send(&answer)
        })
    }

    /// As [`Origin::named`], on this port of another address of this machine, which is its name.
    ///
    /// # Panics
    /// When `ip` is no address, or somebody else listens there.
    #[must_use]
    pub fn at(port: Arc<Port>, ip: &str) -> Origin {
        let answer = named_answer(ip);
        Origin::start_at(port, ip.parse().expect("an address"), move |exchange| {
            exchange.skip_body()?;
            exchange.send(&answer)
        })
    }

    /// An origin that answers each request with its method, its target, and its body.
    #[must_use]
    pub fn echo() -> Origin {
        Origin::start(|exchange| {
            let (body, _) = exchange.body()?;
            let mut answer =
                format!("{} {}\n", exchange.request.method, exchange.request.target).into_bytes();
            answer.extend(body);
            exchange.answer(200, &[], &answer)
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.number())
    }

    /// Its port, to put another origin there later.
    #[must_use]
    pub fn port(&self) -> Arc<Port> {
        Arc::clone(&self.port)
    }

    /// What has reached it: each request as soon as its head is there.
    #[must_use]
    pub fn received(&self) -> &Journal<Received> {
        &self.shared.received
    }

    /// How many requests have reached it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.received.len()
    }

    /// How many connections were made to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections to it are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Ends it: nobody listens any more and all its connections are closed, as if its process had been killed.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, which closes the listener with its last reference.
        let _ = shutdown(self.shared.listener.as_raw_fd(), Half::Both);
        for (_, stream) in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The answer of [`Origin::named`].
#[must_use]
pub fn named_answer(name: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nContent-Length: {}\r\n\r\n{name}", name.len())
        .into_bytes()
}

fn accept(shared: &Arc<Shared>) {
    while let Ok((stream, _)) = shared.listener.accept() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        let Ok(copy) = stream.try_clone() else { continue };
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, copy);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let served = Link::server(stream).map_err(|_| ()).and_then(|link| serve(&shared, number, link));
            let copy = shared.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            // A connection is closed with its last owner, and this must not be the journal of a test.
            drop(copy);
            drop(served);
        });
    }
}

/// Serves one connection, and returns it at its end.
fn serve(shared: &Shared, connection: usize, mut link: Link) -> Result<Link, ()> {
    for nth in 0.. {
        let Ok(head) = link.read_head() else { return Ok(link) };
        let Ok(request) = read_request(connection, nth, head) else { return Ok(link) };
        let Ok(length) = answer::announced(&request.fields) else { return Ok(link) };
        let closes = request.fields.lists("Connection", "close") || request.minor == 0;
        let number = shared.received.push(request.clone());
        let length = length.unwrap_or(Length::Bytes(0));
        let mut exchange = Exchange { request, number, link: &mut link, unread: Some(length), closes };
        let outcome = (shared.behave)(&mut exchange);
        let Exchange { unread, closes, .. } = exchange;
        if outcome.is_err() || closes || unread.is_some_and(|length| link.read_body(length).is_err()) {
            return Ok(link);
        }
    }
    Ok(link)
}

fn read_request(connection: usize, nth: usize, head: Head) -> Result<Received, Broken> {
    let Head { first_line, fields, raw } = head;
    let mut parts = first_line.split(' ');
    let line = (parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(method), Some(target), Some(version @ ("HTTP/1.0" | "HTTP/1.1")), None) = line else {
        return Err(Broken::Malformed(first_line));
    };
    let minor = u8::from(version == "HTTP/1.1");
    Ok(Received { connection, nth, method: method.into(), target: target.into(), minor, fields, raw })
}

/// A request that an origin has to answer.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The request.
    pub request: Received,
    /// How many requests came to the origin before it.
    pub number: usize,
    link: &'a mut Link,
    unread: Option<Length>,
    closes: bool,
}

impl Exchange<'_> {
    /// Reads the body and its trailers.
    ///
    /// # Errors
    /// When it is not whole or not correct.
    pub fn body(&mut self) -> io::Result<(Vec<u8>, Fields)> {
        let length = self.unread.take().unwrap_or(Length::Bytes(0));
        self.link
            .read_body(length)
            .map_err(|broken| io::Error::new(ErrorKind::InvalidData, broken.to_string()))
    }

    /// Reads the body and forgets it. Returns its size.
    ///
    /// # Errors
    /// When it is not whole or not correct.
    pub fn skip_body(&mut self) -> io::Result<usize> {
        self.body().map(|(body, _)| body.len())
    }

    /// Sends exactly these bytes.
    ///
    /// # Errors
    /// What send(2) reports.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.link.send(bytes)
    }

    /// Sends a whole answer with a `Content-Length`; its body is left out after HEAD.
    ///
    /// # Errors
    /// What send(2) reports.
    pub fn answer(&mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut answer = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in fields {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        answer.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut answer = answer.into_bytes();
        if self.request.method != "HEAD" {
            answer.extend_from_slice(body);
        }
        self.send(&answer)
    }

    /// The connection, for what this type does not offer.
    pub fn link(&mut self) -> &mut Link {
        self.link
    }

    /// The connection is closed after this request, whatever the client wants.
    pub fn close(&mut self) {
        self.closes = true;
        self.unread = None;
    }

    /// The connection is reset after this request.
    pub fn reset(&mut self) {
        self.link.tear();
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn an_origin_answers_and_remembers() {
        let origin = Origin::echo();
        let mut client = Client::connect(origin.address());
        let chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
        assert_eq!(client.ask(chunked).text(), "POST /a\nabc");
        assert_eq!(client.ask("HEAD /b HTTP/1.1\r\n\r\n").body, b"");
        assert_eq!(client.get("/c").text(), "GET /c\n");
        let received = origin.received().wait_len("three requests", 3);
        assert_eq!(received[2].target, "/c");
        assert_eq!((received[2].connection, received[2].nth, origin.connections()), (0, 2, 1));
    }

    #[test]
    fn a_stopped_origin_breaks_its_connections_and_can_be_replaced() {
        let origin = Origin::named("first");
        let mut client = Client::connect(origin.address());
        assert_eq!(client.get("/").text(), "first");
        let port = origin.port();
        drop(origin);
        assert!(client.read_answer(false).is_err());
        crate::barrier::until("the port to be free", || Client::try_connect(port.address()).err());
        let origin = Origin::named_on(port, "second");
        assert_eq!(Client::connect(origin.address()).get("/").text(), "second");
    }

    #[test]
    fn a_reset_is_a_reset() {
        let origin = Origin::start(|exchange| {
            exchange.reset();
            Ok(())
        });
        let mut client = Client::connect(origin.address());
        client.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(client.read_answer(false), Err(Broken::Reset));
    }
}
