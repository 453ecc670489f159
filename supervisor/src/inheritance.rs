//! What the warden receives when it is forked.
//!
//! The supervisor fills this in, forks, resets signals, closes every descriptor that is not named here (0, 1 and 2
//! stay), drops to `User` and `Group`, names the process `ounce-warden` and calls `warden::run(inheritance)`. The warden
//! is **not** put into `RootJail`: it needs the name servers' configuration and the syslog socket, and it serves no
//! client. Paths of UNIX backends are paths inside the jail; the warden puts `config.global.root_jail` before them.
//!
//! When `run` returns `Ok` the process ends with status 0, and with 1 after `Err`, whose text the supervisor reports.
//!
//! Orders travel over a `SOCK_SEQPACKET` pair, one message each:
//!
//! | byte | direction | meaning |
//! |---|---|---|
//! | `R` | to the supervisor | ready: the control socket is served, log lines are taken. Must come within 30 s |
//! | `C` | to the supervisor | a switch in the segment changed; it is passed on to every worker |
//! | [`FEED`](ounce_engine::orders::FEED) and a number | to the warden | with a descriptor: papers of certificates that have changed; answered with the same |
//! | `O` | to the warden | reopen what log lines are written to (USR1) |
//! | `D` | to the warden | another generation serves: answer what workers still ask for, and nothing else; return from `run` if they cannot ask for anything |
//! | `S` | to the warden | take the log lines that are queued, write them, return from `run` (within 2 s) |
//!
//! End of file on the orders socket means that the supervisor is gone: the warden ends as after `S`.
//!
//! The warden beats its row of the segment's fleet table (`owner.worker`) at least once a second, as workers do: one
//! that has beaten and then stops for 10 s is killed and replaced.

use ounce_conf::model::Config;
use ounce_core::Plan;
use ounce_engine::tls::{Greeter, Paper};
use ounce_mem::{Owner, Segment};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Everything a warden receives. Descriptors are borrowed for the life of the process and never closed by name.
pub(crate) struct Inheritance {
    /// The configuration of this generation.
    pub(crate) config: Arc<Config>,
    /// The same, compiled; its rows name the segment's.
    pub(crate) plan: Arc<Plan>,
    /// What handshakes with backends need whose certificates are verified, by backend of the plan; the new process makes
    /// them for itself.
    pub(crate) greeters: Vec<Option<Greeter>>,
    /// The certificates of listeners.
    pub(crate) papers: Papers,
    /// What is to be told of certificates that have changed since, by the places of feeds: descriptors of packed papers.
    pub(crate) newest_papers: Vec<(u32, RawFd)>,
    /// The shared segment.
    pub(crate) segment: Arc<Segment>,
    /// The warden's row in the fleet table, and its name on session entries that it writes.
    pub(crate) owner: Owner,
    /// Counted from 1; grows with each reload.
    pub(crate) generation: u32,
    /// Reading ends of the workers' log sockets (`SOCK_DGRAM`, non-blocking), in slot order. During a reload two wardens
    /// read them: each datagram reaches one of the two.
    pub(crate) log: Vec<RawFd>,
    /// The orders socket, non-blocking.
    pub(crate) orders: RawFd,
    /// The control socket: bound, listening, non-blocking, its mode and owner set.
    pub(crate) control: Option<RawFd>,
    /// Where requests come from that no backend and no worker answers; see [`ounce_sys::passage`].
    pub(crate) house: Option<RawFd>,
    /// What relative paths of directories are below.
    pub(crate) folder: PathBuf,
    /// Request lines go to standard output and problems to standard error, whatever `LogFacility` says.
    pub(crate) standard_streams: bool,
    /// Basename of argv\[0\]: the default syslog tag and the prefix of diagnostics.
    pub(crate) name: String,
    /// How many workers this generation has.
    pub(crate) workers: u16,
    /// Process id of the supervisor.
    pub(crate) supervisor: u32,
    /// When the program was started; reloads do not change it.
    pub(crate) started: SystemTime,
}

/// What is known of certificates, which may become others.
#[derive(Debug, Default)]
pub(crate) struct Papers(Mutex<Arc<Vec<Paper>>>);

impl Papers {
    /// To begin with.
    pub(crate) fn new(papers: &[Paper]) -> Papers {
        Papers(Mutex::new(Arc::new(papers.to_vec())))
    }

    /// As things stand.
    pub(crate) fn now(&self) -> Arc<Vec<Paper>> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A listener has these from now on.
    pub(crate) fn renew(&self, listener: usize, papers: Vec<Paper>) {
        let mut all: Vec<Paper> =
            self.now().iter().filter(|paper| paper.listener != listener).cloned().collect();
        all.extend(papers);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
    }
}
