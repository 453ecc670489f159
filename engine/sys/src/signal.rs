//! Signals: what a process of ours ignores, and how a child forgets what its parent had arranged.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use std::io;

/// Ignores SIGPIPE in the whole process: splice(2) has no flag like MSG_NOSIGNAL.
///
/// # Errors
/// What sigaction(2) reports.
pub fn ignore_pipe() -> io::Result<()> {
    set(Signal::SIGPIPE, SigHandler::SigIgn)
}

/// Gives every signal its default action again (SIGPIPE stays ignored) and unblocks all: for a child right after fork,
/// whose inherited handlers would write into its parent's pipe.
///
/// # Errors
/// What sigaction(2) or sigprocmask(2) reports.
pub fn forget_parent() -> io::Result<()> {
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGPIPE) {
            set(signal, SigHandler::SigDfl)?;
        }
    }
    ignore_pipe()?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

/// Does something with all signals blocked: a thread that is started in it never runs a handler, nor is it one that a
/// signal to the process may end up with.
///
/// # Errors
/// What sigprocmask(2) reports.
pub fn blocked<T>(act: impl FnOnce() -> T) -> io::Result<T> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let done = act();
    before.thread_set_mask()?;
    Ok(done)
}

fn set(signal: Signal, handler: SigHandler) -> io::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handlers set here are SIG_IGN and SIG_DFL only: no code of ours runs in a handler.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write to a pipe without reader is an error, not the end of the process.
    #[test]
    fn pipe_signal_is_ignored() {
        ignore_pipe().unwrap();
        let (read, write) = nix::unistd::pipe().unwrap();
        drop(read);
        assert_eq!(nix::unistd::write(&write, b"x"), Err(nix::Error::EPIPE));
    }
}
