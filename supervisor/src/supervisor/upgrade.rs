//! USR2: the supervisor replaces its own program and keeps its process, its children, its sockets and its segment.
//!
//! The new program is tried first, in a child that says whether it understands what it would be left and can read the
//! configuration. Then it takes this program's place, with the old generation still serving, and begins with a reload: so
//! what holds for reloads holds here, and whatever fails leaves the old workers at work. Only one thing is lost until a
//! reload has succeeded: a child of the old generation that dies has no successor, since nobody knows its configuration
//! any more.

use super::{Supervisor, now};
use crate::children::Child;
use crate::handover::{Handover, VARIABLE, Ward};
use crate::logs::Logs;
use crate::rows::Said;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow};
use ounce_mem::Phase;
use ounce_sys::process::{self, End};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// How long the new program may take to say that it understands.
const TRIAL_MS: u64 = 30_000;
/// Asks a program for that.
pub(crate) const CAN_TAKE_OVER: &str = "--can-take-over";

/// How this program was called.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// The program, so that it is found from any working directory.
    pub(crate) program: PathBuf,
    /// `argv[0]`.
    pub(crate) name: OsString,
    /// The arguments after it.
    pub(crate) arguments: Vec<OsString>,
}

/// A new program that is being tried.
#[derive(Debug)]
pub(super) struct Trial {
    pid: i32,
    until: u64,
    end: Option<End>,
}

impl Trial {
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn ended(&mut self, end: End) {
        self.end = Some(end);
    }

    /// When it has had its time.
    pub(super) fn deadline(&self) -> u64 {
        self.until
    }

    /// Kills it if it has had its time.
    pub(super) fn tick(&mut self, now: u64) {
        if self.until <= now {
            self.until = u64::MAX;
            // It is not reaped yet, so the number is still its own.
            let _ = process::kill(self.pid, libc::SIGKILL);
        }
    }
}

/// What an earlier program has left, beside sockets and segment.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// Its children.
    pub(crate) children: Vec<Child>,
    /// Their log sockets.
    pub(crate) logs: Logs,
    /// The last number given to a generation.
    pub(crate) number: u32,
    /// The generation that serves.
    pub(crate) serving: u32,
    /// Its `Grace`.
    pub(crate) grace_ms: u64,
    /// What its file says about switches.
    pub(crate) said: Said,
}

impl Supervisor {
    /// Tries the program that is now where this one was started from.
    pub(super) fn request_upgrade(&mut self) {
        if self.trial.is_some() {
            return;
        }
        match self.handover().map(|text| self.try_program(&text)) {
            Some(Ok(trial)) => self.trial = Some(trial),
            Some(Err(error)) => self.stay(&format!("the new program cannot be tried: {error}")),
            None => self.stay("another change is under way, or a path cannot be handed over"),
        }
    }

    /// If a trial is over, draws the conclusion. To be called when nothing that was decided is left to be carried out.
    pub(super) fn conclude_trial(&mut self) {
        let Some(end) = self.trial.as_ref().and_then(|trial| trial.end) else { return };
        self.trial = None;
        match (end, self.handover()) {
            (End::Exited(0), Some(text)) => {
                let error = self.replace_program(&text);
                self.stay(&format!("the new program cannot be started: {error}"));
            }
            (End::Exited(0), None) => self.stay("another change is under way"),
            (End::Exited(status), _) => {
                self.stay(&format!(
                    "the new program cannot take over or read the configuration (status {status})"
                ));
            }
            (End::Killed(signal), _) => self.stay(&format!("the new program died of signal {signal}")),
        }
    }

    fn stay(&self, why: &str) {
        self.setup.log.problem(&format!("{why}; the program was not replaced"));
    }

    fn try_program(&self, text: &str) -> io::Result<Trial> {
        let segment = self.setup.rows.segment().fd();
        keep_over_exec(segment, true)?;
        let invocation = &self.setup.invocation;
        let mut command = Command::new(&invocation.program);
        command.arg0(&invocation.name).arg(CAN_TAKE_OVER).args(&invocation.arguments).env(VARIABLE, text);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        keep_over_exec(segment, false)?;
        Ok(Trial { pid: spawned?.id() as i32, until: now() + TRIAL_MS, end: None })
    }

    /// What the new program has to know; `None` while something is in motion.
    fn handover(&self) -> Option<String> {
        let moving = self.fleet.is_rising() || self.fleet.is_ending() || self.checker.is_some();
        if moving || self.setup.demo.is_some() {
            return None;
        }
        let serving = self.fleet.serving()?;
        let wards = self.children.iter().map(|child| {
            let Child { slot, generation, role, pid, .. } = *child;
            Ward { slot, generation, role, pid, orders: child.orders().map(|orders| orders.as_raw_fd()) }
        });
        let held = self.bindings.held();
        let generation = self.generations.get(&serving)?;
        let grace = generation.config.global.grace;
        let started = self.setup.started.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let handover = Handover {
            pid: std::process::id(),
            started_s: started.as_secs(),
            detached: self.setup.detached,
            segment: self.setup.rows.segment().fd().as_raw_fd(),
            claims: self.setup.rows.number(),
            number: self.number,
            serving,
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX / 2),
            folder: self.setup.source.folder.clone(),
            pid_file: self.pid_file.as_ref().map(|file| file.path().to_owned()),
            sockets: held
                .map(|(place, fds)| (place.clone(), fds.iter().map(AsRawFd::as_raw_fd).collect()))
                .collect(),
            logs: self.logs.ends().map(|(read, write)| (read.as_raw_fd(), write.as_raw_fd())).collect(),
            said: generation.said.clone(),
            wards: wards.collect(),
        };
        handover.to_text()
    }

    /// Returns only if it fails; then everything is as it was.
    fn replace_program(&self, text: &str) -> io::Error {
        // A signal that came between would meet neither program's handler. The new program lets them in.
        let before = match SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK) {
            Ok(before) => before,
            Err(error) => return error.into(),
        };
        let error = match self.keep_all_over_exec(true) {
            Ok(()) => {
                let invocation = &self.setup.invocation;
                let mut command = Command::new(&invocation.program);
                command.arg0(&invocation.name).args(&invocation.arguments).env(VARIABLE, text).exec()
            }
            Err(error) => error,
        };
        // Neither can fail where the opposite has just succeeded, and there would be nothing to do about it.
        let _ = self.keep_all_over_exec(false);
        let _ = before.thread_set_mask();
        error
    }

    fn keep_all_over_exec(&self, kept: bool) -> io::Result<()> {
        let sockets = self.bindings.held().flat_map(|(_, fds)| fds).map(AsFd::as_fd);
        let logs = self.logs.ends().flat_map(|(read, write)| [read, write]);
        let orders = self.children.iter().filter_map(Child::orders);
        let mut fds = sockets.chain(logs).chain(orders).chain([self.setup.rows.segment().fd()]);
        fds.try_for_each(|fd| keep_over_exec(fd, kept))
    }

    /// Goes on where an earlier program has stopped. Returns the exit status.
    pub(crate) fn resume(mut self, inherited: Inherited) -> u8 {
        let Inherited { children, logs, number, serving, grace_ms, said } = inherited;
        let segment = Arc::clone(self.setup.rows.segment());
        for member in segment.fleet().iter().filter(|member| member.phase != Phase::Gone) {
            // One whose end nobody has told the segment would be in the way of the next child of its slot.
            let slot = member.owner.worker;
            if children.iter().all(|child| child.slot != slot) {
                segment.fleet().ended(slot);
            }
        }
        let members = children.iter().map(|child| (child.slot, child.generation, child.role));
        self.fleet.adopt(serving, grace_ms, members, now());
        children.into_iter().for_each(|child| self.children.insert(child));
        self.logs = logs;
        self.left = Some(said);
        self.number = number;
        self.setup.log.notice(&format!("the program was replaced by version {}", env!("CARGO_PKG_VERSION")));
        // The handlers stand now; what has come meanwhile is seen in the first turn.
        let _ = SigSet::all().thread_unblock();
        self.request_reload();
        self.serve()
    }
}

fn keep_over_exec(fd: BorrowedFd<'_>, kept: bool) -> io::Result<()> {
    let flags = if kept { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(fd, FcntlArg::F_SETFD(flags))?;
    Ok(())
}
