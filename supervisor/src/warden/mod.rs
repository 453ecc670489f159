//! The warden: an unprivileged process beside the workers, for all that is not traffic.
//!
//! It probes dead backends ([`probe`]), looks up the names of others ([`resolve`]), writes the log ([`logsink`]), answers
//! the control socket ([`control`]) and what the program itself answers in the place of backends ([`house`]). It
//! holds nothing that is not in the segment, the configuration or a socket that the supervisor keeps, so it may be
//! killed at any instruction: its successor goes on where it was, and workers notice nothing.
//!
//! One thread runs everything, asynchronously; the threads of [`stream`] do nothing but block on a terminal or a pipe.

pub(crate) mod calendar;
mod control;
mod house;
mod json;
mod link;
mod logfile;
mod logsink;
mod lookup;
mod lost;
mod metrics;
mod objects;
mod probe;
mod rescale;
mod resolve;
mod seats;
mod stream;
pub(crate) mod syslog;
#[cfg(test)]
mod tests;

use crate::inheritance::Inheritance;
pub(crate) use house::{Directories, open_directories};

use control::Control;
use house::House;
use logsink::Sink;
use lost::Lost;
use ounce_engine::tls::papers;
use ounce_engine::{feeds, orders};
use ounce_sys::{pairs, parcel};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixListener};

/// How often the warden beats.
const BEAT: Duration = Duration::from_millis(250);
/// How long queued lines may take to be written when the warden is told to stop.
const FINISH_MAX: Duration = Duration::from_millis(1500);
/// Most threads that read files at a time: as many as a disk has use for.
const THREADS_MAX: usize = 32;
/// Stack of such a thread.
const STACK_BYTES: usize = 256 * 1024;
/// Batches that are still taken from a worker's socket when the warden is told to stop.
const LAST_TURNS: usize = 64;

/// Works until it is told to stop, or the supervisor is gone.
///
/// # Errors
/// Why it could not begin.
pub(crate) fn run(inheritance: Inheritance, directories: Directories) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS_MAX)
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    let outcome = runtime.block_on(work(Arc::new(inheritance), directories));
    // A thread that blocks on a stalled terminal is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn work(of: Arc<Inheritance>, directories: Directories) -> Result<(), String> {
    let orders = Arc::new(adopt_datagram(of.orders).map_err(|error| format!("orders socket: {error}"))?);
    for (feed, papers) in &of.newest_papers {
        let papers = ounce_sys::fdpass::duplicate(*papers).map_err(|error| format!("papers: {error}"))?;
        take_papers(&of, *feed, papers.as_fd());
    }
    let lost = Lost::in_segment(Arc::clone(&of.segment), of.owner.worker);
    let sink = Sink::open(&of.config.global, of.standard_streams, &of.name, of.supervisor, lost.clone())
        .map_err(|error| format!("log: {error}"))?;
    let sink = Arc::new(sink);
    let mut tasks = Vec::new();
    let mut sockets = Vec::with_capacity(of.log.len());
    for fd in &of.log {
        let socket = Arc::new(adopt_datagram(*fd).map_err(|error| format!("log socket: {error}"))?);
        tasks.push(tokio::spawn(logsink::read(Arc::clone(&socket), Arc::clone(&sink), lost.clone())));
        sockets.push(socket);
    }
    let control = Arc::new(Control::new(Arc::clone(&of), Arc::clone(&orders)));
    let house = match of.house {
        Some(fd) => {
            let passage = adopt_datagram(fd).map_err(|error| format!("house: {error}"))?;
            let house = House::new(&of, Arc::clone(&control), directories, |text| sink.problem(text));
            Some(tokio::spawn(Arc::new(house).serve(passage)))
        }
        None => None,
    };
    if let Some(fd) = of.control {
        let listener = adopt_listener(fd).map_err(|error| format!("control socket: {error}"))?;
        tasks.push(tokio::spawn(control.serve(listener)));
    }
    tasks.push(tokio::spawn(probe::run(Arc::clone(&of), Arc::clone(&sink))));
    tasks.push(tokio::spawn(rescale::run(Arc::clone(&of))));
    let (names, mut looked_up) = resolve::start(&of, &sink);
    tasks.extend(names);
    // The first beat comes before READY, so that whoever watches it has something to watch.
    of.segment.fleet().beat(of.owner, ounce_sys::clock::monotonic_ms());
    tokio::spawn(beat(Arc::clone(&of)));
    // Nothing is ever sent: it closes when all names were looked up. A generation that served before this would answer
    // 503 where the one before it has answers.
    let _ = tokio::time::timeout(resolve::FIRST_MAX, looked_up.recv()).await;
    orders.send(b"R").await.map_err(|error| format!("orders socket: {error}"))?;
    let last = obey(&orders, |message, fds| match message[0] {
        b'S' | b'D' => true,
        b'O' => {
            sink.reopen();
            false
        }
        orders::FEED => {
            renew_papers(&of, message, fds);
            false
        }
        // An order of a later version; none of ours.
        _ => false,
    })
    .await;
    for task in tasks {
        task.abort();
        // A task that was aborted lets go of the sink.
        let _ = task.await;
    }
    for socket in &sockets {
        for _ in 0..LAST_TURNS {
            if logsink::drain(socket, &sink, &lost) == 0 {
                break;
            }
        }
    }
    if let Some(sink) = Arc::into_inner(sink) {
        // What a stalled reader leaves unwritten is lost with this process.
        let _ = tokio::time::timeout(FINISH_MAX, sink.finish()).await;
    }
    if last == Some(b'D') && house.is_some() {
        // Its successor does all else; the last workers of its own generation may still ask for something.
        obey(&orders, |message, _| message[0] == b'S').await;
    }
    Ok(())
}

/// Follows orders until one of them is the last, which is returned unless the supervisor is gone.
async fn obey(orders: &UnixDatagram, is_last: impl Fn(&[u8], &[OwnedFd]) -> bool) -> Option<u8> {
    let mut order = [0; 16];
    loop {
        orders.readable().await.ok()?;
        let received = orders.try_io(Interest::READABLE, || {
            let received = pairs::receive_with_fds(orders.as_raw_fd(), &mut order)?;
            received.ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The supervisor is gone, or the socket is of no use.
            Ok((0, _)) | Err(_) => return None,
            Ok((count, fds)) if is_last(&order[..count], &fds) => return Some(order[0]),
            Ok(_) => {}
        }
    }
}

/// Certificates of a listener have changed: tells of the new ones from now on, and says so.
fn renew_papers(of: &Inheritance, message: &[u8], fds: &[OwnedFd]) {
    let Some((feed, _)) = orders::feed_of(message) else { return };
    if let [papers] = fds {
        take_papers(of, feed, papers.as_fd());
    }
    // A supervisor that has no room for this asks again.
    let _ = pairs::send(of.orders, &orders::feed_message(feed));
}

fn take_papers(of: &Inheritance, feed: u32, papers: BorrowedFd<'_>) {
    let unpacked = parcel::open(papers).ok().and_then(|bytes| papers::unpack(&bytes));
    if let (Some(listener), Some(papers)) = (feeds::of_listener(&of.plan, feed), unpacked) {
        of.papers.renew(listener, papers);
    }
}

async fn beat(of: Arc<Inheritance>) {
    let mut beats = tokio::time::interval(BEAT);
    loop {
        beats.tick().await;
        of.segment.fleet().beat(of.owner, ounce_sys::clock::monotonic_ms());
    }
}

/// A socket of the supervisor's, by its number, as one of ours.
fn adopt_datagram(fd: RawFd) -> io::Result<UnixDatagram> {
    let socket = std::os::unix::net::UnixDatagram::from(ounce_sys::fdpass::duplicate(fd)?);
    UnixDatagram::from_std(socket)
}

fn adopt_listener(fd: RawFd) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(ounce_sys::fdpass::duplicate(fd)?);
    UnixListener::from_std(listener)
}
