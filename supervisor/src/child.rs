//! A child from fork to exit, whatever it is for.
//!
//! Signals are blocked over the fork, so that none that was meant for the supervisor runs its handler in the child. The
//! child then forgets the supervisor's handlers, ignores what is for the supervisor alone (a terminal sends Ctrl-C to all
//! of them, and so does `pkill`), closes every descriptor that it was not given, and lives. It never returns into the
//! supervisor's frames: it ends by `_exit`, and a panic ends it as well.

use crate::children::FAILED;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use ounce_sys::process::{self, Fork};
use ounce_sys::{pairs, signal};
use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// What reaches a child's group from a terminal or by name is the supervisor's to act upon.
const FOR_THE_SUPERVISOR: [Signal; 5] =
    [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// What a child has besides its work.
#[derive(Debug)]
pub(crate) struct Outfit<'a> {
    /// Its name in lists of processes.
    pub(crate) name: &'a str,
    /// The CPU that it runs on.
    pub(crate) cpu: Option<usize>,
    /// The descriptors that it keeps besides 0, 1 and 2.
    pub(crate) keep: Vec<RawFd>,
    /// Its orders socket, on which a failure is explained; kept too.
    pub(crate) orders: Option<RawFd>,
    /// Standard error goes to `/dev/null` as well: the supervisor has left the terminal or is about to.
    pub(crate) detached: bool,
}

/// Forks a child that does `life` and ends: with status 0, or 1 if that failed. Returns its number.
///
/// # Errors
/// What fork(2) reports.
pub(crate) fn fork(outfit: &Outfit<'_>, life: impl FnOnce() -> Result<(), String>) -> io::Result<i32> {
    let parent = process::pid();
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let forked = process::fork();
    if let Ok(Fork::Child) = forked {
        live(outfit, parent, life);
    }
    before.thread_set_mask()?;
    match forked? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => process::exit_now(1),
    }
}

fn live(outfit: &Outfit<'_>, parent: i32, life: impl FnOnce() -> Result<(), String>) -> ! {
    let orders = outfit.orders;
    std::panic::set_hook(Box::new(move |panic| explain(orders, &describe(panic))));
    let lived = catch_unwind(AssertUnwindSafe(|| {
        grow_up(outfit, parent).map_err(|error| format!("cannot start: {error}"))?;
        life()
    }));
    let status = match lived {
        Ok(Ok(())) => 0,
        Ok(Err(reason)) => {
            explain(orders, &reason);
            1
        }
        // The hook has said why.
        Err(_) => 1,
    };
    process::exit_now(status);
}

fn grow_up(outfit: &Outfit<'_>, parent: i32) -> io::Result<()> {
    signal::forget_parent()?;
    let mut ignored = SigSet::empty();
    ignored.extend(FOR_THE_SUPERVISOR);
    ignored.thread_block()?;
    let kept: Vec<RawFd> = outfit.keep.iter().chain(&outfit.orders).copied().collect();
    process::close_fds_except(&kept)?;
    if outfit.detached {
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
        nix::unistd::dup2_stderr(&null)?;
    }
    process::set_name(outfit.name)?;
    if let Some(cpu) = outfit.cpu {
        // A CPU that was taken away meanwhile is a reason to run elsewhere, not to fail.
        let _ = process::pin_to(cpu);
    }
    process::die_with_parent(parent)
}

/// Tells the supervisor why this child is about to fail.
fn explain(orders: Option<RawFd>, reason: &str) {
    let mut message = vec![FAILED];
    message.extend_from_slice(reason.as_bytes());
    if let Some(orders) = orders {
        // Nobody may be left to hear it.
        let _ = pairs::send(orders, &message);
    }
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("with something that is no text");
    match panic.location() {
        Some(place) => format!("panic at {}:{}: {what}", place.file(), place.line()),
        None => format!("panic: {what}"),
    }
}
