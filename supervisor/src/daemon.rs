//! Leaving the terminal.
//!
//! The process that was started stays until the daemon serves, so that its exit status tells whether the start worked.
//! Until then the daemon keeps standard error and says there what goes wrong.

use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid};
use ounce_sys::process::{self, Fork};
use std::fs::OpenOptions;
use std::io::{self, PipeReader, PipeWriter, Read, Write};

/// What is told to the process that was started.
const STARTED: u8 = b'+';

/// Which process came out of [`detach`].
#[derive(Debug)]
pub(crate) enum Side {
    /// The daemon.
    Daemon(Starter),
    /// The process that was started, at its end: whether the daemon serves.
    Caller(bool),
}

/// The daemon's line to the process that was started.
#[derive(Debug)]
pub(crate) struct Starter {
    line: PipeWriter,
}

/// Forks twice and becomes the leader of no session: the daemon has no terminal and cannot get one. Its working
/// directory is `/` and its standard input and output are `/dev/null`; standard error follows with
/// [`Starter::started`].
///
/// # Errors
/// What the calls report.
pub(crate) fn detach() -> io::Result<Side> {
    let (read, write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (read, write) = (PipeReader::from(read), PipeWriter::from(write));
    if let Fork::Parent(_) = process::fork()? {
        drop(write);
        return Ok(Side::Caller(is_started(read)));
    }
    drop(read);
    setsid()?;
    if let Fork::Parent(_) = process::fork()? {
        process::exit_now(0);
    }
    chdir("/")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(Side::Daemon(Starter { line: write }))
}

/// Files of this program are its owner's alone.
pub(crate) fn set_umask() {
    umask(Mode::from_bits_truncate(0o077));
}

fn is_started(mut line: PipeReader) -> bool {
    let mut said = [0];
    matches!(line.read(&mut said), Ok(1) if said[0] == STARTED)
}

impl Starter {
    /// The daemon serves: lets the process that was started end well, and gives up standard error.
    ///
    /// # Errors
    /// What the calls report.
    pub(crate) fn started(mut self) -> io::Result<()> {
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        dup2_stderr(&null)?;
        // Whoever waited may have been killed meanwhile.
        let _ = self.line.write_all(&[STARTED]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_says_so_has_started_and_one_that_ends_has_not() {
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(&[STARTED]).unwrap();
        assert!(is_started(read));
        let (read, write) = io::pipe().unwrap();
        drop(write);
        assert!(!is_started(read));
    }
}
