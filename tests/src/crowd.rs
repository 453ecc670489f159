//! A crowd of clients that ask one after the other until they are stopped, and remember exactly how each failure looked
//! and when it came.

use crate::answer::Broken;
use crate::barrier::until;
use crate::client::Client;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The next request uses it.
    KeepAlive,
    /// The client asks for it to be closed, and makes another.
    Fresh,
}

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nobody accepted the connection.
    Connect(String),
    /// The connection broke before the answer was whole.
    Broken(Broken),
    /// The answer was not 200.
    Status(u16),
}

/// A request that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// How.
    pub kind: Kind,
    /// Which answer on its connection it would have been, counted from 0.
    pub nth: usize,
}

/// The crowd. It disperses with this value.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    manner: Manner,
    request: Vec<u8>,
    stopped: AtomicBool,
    answered: AtomicU64,
    failures: Mutex<Vec<Failure>>,
}

impl Crowd {
    /// So many clients that send GET for `/`.
    #[must_use]
    pub fn gather(address: SocketAddr, clients: usize, manner: Manner) -> Crowd {
        let close = if manner == Manner::Fresh { "Connection: close\r\n" } else { "" };
        let request = format!("GET / HTTP/1.1\r\nHost: crowd\r\n{close}\r\n").into_bytes();
        let shared = Arc::new(Shared {
            address,
            manner,
            request,
            stopped: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            failures: Mutex::default(),
        });
        let start = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let mut goes_on = true;
                while goes_on && !shared.stopped.load(Ordering::Relaxed) {
                    goes_on = visit(&shared);
                }
            })
        };
        let threads = (0..clients).map(start).collect();
        Crowd { shared, threads }
    }

    /// How many answers were 200.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered.
    ///
    /// # Panics
    /// When they are not.
    pub fn wait_answers(&self, more: u64) {
        let wanted = self.answered() + more;
        until("answers to a crowd", || (self.answered() >= wanted).then_some(()));
    }

    /// Stops it. How many answers were 200, and what failed.
    ///
    /// # Panics
    /// When a client has panicked.
    #[must_use]
    pub fn stop(mut self) -> (u64, Vec<Failure>) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client that ends");
        }
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.answered(), failures)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }
}

/// Uses one connection until it ends. Whether to go on: a crowd that nobody lets in ends by itself.
fn visit(shared: &Shared) -> bool {
    let mut client = match Client::try_connect(shared.address) {
        Ok(client) => client,
        Err(error) => return shared.note(0, Kind::Connect(error.to_string())),
    };
    for nth in 0.. {
        if shared.stopped.load(Ordering::Relaxed) {
            return true;
        }
        if client.link().send(&shared.request).is_err() {
            return shared.note(nth, Kind::Broken(Broken::Reset));
        }
        match client.read_answer(false) {
            Ok(answer) if answer.status == 200 => {
                shared.answered.fetch_add(1, Ordering::Relaxed);
                if answer.closes() || shared.manner == Manner::Fresh {
                    return true;
                }
            }
            Ok(answer) => return shared.note(nth, Kind::Status(answer.status)),
            Err(broken) => return shared.note(nth, Kind::Broken(broken)),
        }
    }
    true
}

impl Shared {
    fn note(&self, nth: usize, kind: Kind) -> bool {
        /// Enough to see what is wrong.
        const FAILURES_MAX: usize = 10_000;
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.push(Failure { at: Instant::now(), kind, nth });
        failures.len() < FAILURES_MAX
    }
}
