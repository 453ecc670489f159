//! What both rings of the kernel promise and a simulation has no part in: messages, UNIX sockets, and the end of
//! a ring with operations in flight.
//!
//! Of the error numbers, refused, reset, broken pipe, no descriptors, no such file and bad descriptor are provoked here
//! and beside; timed out, unreachable and out of ports take a network that a test cannot have, so the simulation makes
//! them up.

use ounce_mem::Pool;
use ounce_sys::epoll::EpollRing;
use ounce_sys::errno::Kind;
use ounce_sys::probe::uring_available;
use ounce_sys::ring::{Completion, Fd, Interest, Outcome, Ring, Token};
use ounce_sys::socket::{self, Address, BACKLOG};
use ounce_sys::uring::UringRing;
use ounce_sys::{fdpass, pairs};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

const PAGES: u32 = 64;

fn token(op: u8, slot: u32) -> Token {
    Token { op, generation: 7, slot }
}

/// The next completion, in order of arrival.
struct Told(Vec<Completion>);

impl Told {
    fn next(&mut self, ring: &mut impl Ring) -> Completion {
        for _ in 0..1000 {
            if !self.0.is_empty() {
                return self.0.remove(0);
            }
            ring.wait(Some(Duration::from_millis(10)), &mut self.0).unwrap();
        }
        panic!("nothing came");
    }
}

/// A ring with everything in flight goes away: the pages that the kernel had come back, and so do its descriptors.
fn dropping(mut ring: impl Ring, pool: &Pool) {
    let listener =
        socket::bind_listening(&Address::Inet("127.0.0.1:0".parse().unwrap()), true, BACKLOG).unwrap();
    let address = socket::local_address(listener.as_raw_fd()).unwrap();
    let Address::Inet(to) = address else { panic!("{address}") };
    ring.accept(Fd(listener.as_raw_fd()), token(0, 0));
    let mut told = Told(Vec::new());
    let mut clients = Vec::new();
    for slot in 0..10 {
        clients.push(TcpStream::connect(to).unwrap());
        let Outcome::Accepted(fd) = told.next(&mut ring).outcome else { panic!() };
        ring.receive(fd, token(1, slot));
        ring.poll(fd, Interest::Read, token(2, slot));
        // Nobody reads, so one of these stays in flight.
        loop {
            let mut page = pool.take().unwrap();
            assert!(page.push(&[b'x'; 16 * 1024]));
            ring.send(fd, page, token(3, slot));
            let mut turns = 0;
            while told.0.is_empty() && turns < 5 {
                ring.wait(Some(Duration::from_millis(1)), &mut told.0).unwrap();
                turns += 1;
            }
            if told.0.drain(..).count() == 0 {
                break;
            }
        }
    }
    clients[3].write_all(b"unread").unwrap();
    drop(ring);
    assert_eq!(pool.free(), pool.capacity());
}

/// Orders come by a socket of messages: one completion each, in order, and the end when the other side has gone.
fn messages(mut ring: impl Ring, _pool: &Pool) {
    let (near, far) = pairs::seqpacket().unwrap();
    let fd = Fd(near.as_raw_fd());
    let mut told = Told(Vec::new());
    for round in 0..3 {
        for order in [b"D", b"S", b"C"] {
            nix::sys::socket::send(far.as_raw_fd(), order, nix::sys::socket::MsgFlags::empty()).unwrap();
        }
        if round == 0 {
            ring.receive(fd, token(1, 0));
        }
        for order in [b"D", b"S", b"C"] {
            let completion = told.next(&mut ring);
            assert!(completion.more);
            let Outcome::Received(buf) = completion.outcome else { panic!("{completion:?}") };
            assert_eq!(&*buf, order);
        }
    }
    drop(far);
    assert!(matches!(told.next(&mut ring).outcome, Outcome::Eof));
}

/// UNIX sockets are accepted from and connected to; where there is none, that is a refusal.
fn unix_sockets(mut ring: impl Ring, _pool: &Pool) {
    let folder = folder();
    let path = Address::Unix(folder.join("listener"));
    let listener = socket::bind_listening(&path, true, BACKLOG).unwrap();
    let mut told = Told(Vec::new());
    ring.accept(Fd(listener.as_raw_fd()), token(0, 0));
    let to = ring.socket(&path).unwrap();
    ring.connect(to, &path, token(4, 0));
    let (first, second) = (told.next(&mut ring), told.next(&mut ring));
    let mut outcomes = vec![first.outcome, second.outcome];
    outcomes.sort_by_key(|outcome| matches!(outcome, Outcome::Accepted(_)));
    let (Outcome::Connected, Outcome::Accepted(from)) = (&outcomes[0], &outcomes[1]) else {
        panic!("{outcomes:?}")
    };
    assert_eq!(ring.peer(to), Some(path.clone()));
    assert_eq!(ring.peer(*from), Some(Address::Unix(PathBuf::new())));
    ring.receive(*from, token(1, 0));
    ring.send(to, ounce_mem::Buf::heap_from(b"hello"), token(3, 0));
    let mut received = false;
    while !received {
        if let Outcome::Received(buf) = told.next(&mut ring).outcome {
            assert_eq!(&*buf, b"hello");
            received = true;
        }
    }
    for absent in ["nothing", "listener/below", "a path that is longer than any that a socket can have"] {
        let absent = Address::Unix(folder.join(absent.repeat(if absent.contains(' ') { 9 } else { 1 })));
        let fd = ring.socket(&absent).unwrap();
        ring.connect(fd, &absent, token(4, 1));
        loop {
            let completion = told.next(&mut ring);
            if completion.token == token(4, 1) {
                assert!(matches!(completion.outcome, Outcome::Failed(_, None)), "{completion:?}");
                break;
            }
        }
        ring.close(fd, false);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// A connect that hangs is cancelled, and so its descriptor can be closed.
fn hanging_connect(mut ring: impl Ring, _pool: &Pool) {
    // A queue of one that is full: the kernel drops further attempts, as a network that swallows them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let address = Address::Inet(listener.local_addr().unwrap());
    let mut told = Told(Vec::new());
    let mut open = Vec::new();
    for slot in 0..6 {
        let fd = ring.socket(&address).unwrap();
        ring.connect(fd, &address, token(4, slot));
        open.push((fd, slot));
    }
    for _ in 0..10 {
        ring.wait(Some(Duration::from_millis(1)), &mut told.0).unwrap();
    }
    assert!(told.0.len() < 6, "at least one hangs");
    for (_, slot) in &open {
        ring.cancel(token(4, *slot));
    }
    let mut cancelled = 0;
    for _ in 0..open.len() {
        match told.next(&mut ring).outcome {
            Outcome::Connected => {}
            Outcome::Cancelled(None) => cancelled += 1,
            outcome => panic!("{outcome:?}"),
        }
    }
    assert!(cancelled > 0);
    open.iter().for_each(|(fd, _)| ring.close(*fd, false));
    ring.wait(Some(Duration::ZERO), &mut told.0).unwrap();
    assert!(told.0.is_empty());
}

/// What a closed descriptor was told is seen by the peer within the same wait, though that wait is long.
fn close_is_prompt(mut ring: impl Ring, _pool: &Pool) {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    ring.close(Fd(near.into_raw_fd()), false);
    let reader = std::thread::spawn(move || far.read(&mut [0; 8]).unwrap());
    let start = ring.now().mono_us;
    let mut told = Vec::new();
    ring.wait(Some(Duration::from_millis(200)), &mut told).unwrap();
    assert!(told.is_empty());
    assert!(ring.now().mono_us - start >= 100_000, "nothing ended the wait before its time");
    assert_eq!(reader.join().unwrap(), 0);
}

/// An operation on a number that names nothing fails; it does not hang or bring the ring down.
fn bad_descriptor(mut ring: impl Ring, _pool: &Pool) {
    let mut told = Told(Vec::new());
    let nothing = Fd(60_000);
    ring.receive(nothing, token(1, 0));
    ring.send(nothing, ounce_mem::Buf::heap_from(b"x"), token(3, 0));
    ring.accept(nothing, token(0, 0));
    let mut buffers = 0;
    for _ in 0..3 {
        let completion = told.next(&mut ring);
        assert!(!completion.more);
        let Outcome::Failed(errno, buf) = completion.outcome else { panic!("{completion:?}") };
        assert_eq!((errno.0, errno.kind()), (libc::EBADF, Kind::Unexpected));
        buffers += usize::from(buf.is_some());
    }
    assert_eq!(buffers, 1);
}

macro_rules! on_both {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn uring() {
                if let Err(why) = uring_available() {
                    eprintln!("not run: {why}");
                    return;
                }
                let pool = Pool::new(PAGES).unwrap();
                super::$name(UringRing::new(pool.clone()).unwrap(), &pool);
            }

            #[test]
            fn epoll() {
                let pool = Pool::new(PAGES).unwrap();
                super::$name(EpollRing::new(pool.clone()).unwrap(), &pool);
            }
        }
    )*};
}

on_both! { dropping messages unix_sockets hanging_connect close_is_prompt bad_descriptor }

fn folder() -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("ounce-sys-kernel-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A listening socket is fetched from who serves it; anything else that is sent is refused.
#[test]
fn listeners_are_fetched() {
    let folder = folder();
    let path = folder.join("from");
    let server = UnixListener::bind(&path).unwrap();
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = UnixStream::pair().unwrap().0;
    let address = listening.local_addr().unwrap();
    let serve = std::thread::spawn(move || {
        for fds in [vec![listening.as_fd()], vec![plain.as_fd()], vec![], vec![plain.as_fd(), plain.as_fd()]]
        {
            let (client, _) = server.accept().unwrap();
            fdpass::send(client.as_fd(), &fds, b"x").unwrap();
        }
        // And one that says nothing at all.
        drop(server.accept().unwrap());
    });
    let fetch = || fdpass::fetch_listener(&path, Duration::from_secs(5));
    let got = fetch().unwrap();
    assert_eq!(socket::local_address(got.as_raw_fd()).unwrap(), Address::Inet(address));
    for expected in ["not a listening", "no descriptor", "more than one", "no descriptor"] {
        let error = fetch().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    serve.join().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
