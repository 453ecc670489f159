//! `-W preprocess=CMD`: a command makes the configuration of the file.
//!
//! The command is the operator's and may be wrong in every way, so it has a limit in time and one in size, and runs in a
//! group of processes that ends with it. It reads the file from standard input and prints the configuration; its status
//! says whether that is one. Only readings that may ask the system run it; see [`crate::known`].

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use ounce_sys::process;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the command may run; less than a reload may take.
const LIMIT: Duration = Duration::from_secs(10);
/// What a configuration holds at most, as when it is read from a file.
pub(crate) const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What is kept of its complaints.
const SAID_BYTES_MAX: usize = 4096;
/// How often a command that has closed its output is looked at.
const LOOK_MS: u16 = 10;

/// What a command made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Made {
    /// The configuration.
    pub(crate) text: String,
    /// What it printed to standard error, a line each.
    pub(crate) said: Vec<String>,
}

/// Runs a command over a file in `folder`.
///
/// # Errors
/// Why there is no configuration, as lines.
pub(crate) fn run(command: &str, file: &Path, folder: &Path) -> Result<Made, Vec<String>> {
    run_within(LIMIT, command, file, folder)
}

fn run_within(limit: Duration, command: &str, file: &Path, folder: &Path) -> Result<Made, Vec<String>> {
    let shown = file.display();
    let input =
        File::open(folder.join(file)).map_err(|error| vec![format!("cannot open {shown}: {error}")])?;
    let started = Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(folder)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = started.map_err(|error| vec![format!("preprocess: cannot start it: {error}")])?;
    let (mut text, mut said) = (Vec::new(), Vec::new());
    let ended = follow(&mut child, Instant::now() + limit, &mut text, &mut said);
    if !matches!(ended, Ok(Some(_))) {
        // It is not reaped yet, so the group is still its own. What it has left may be gone already.
        let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        let _ = child.wait();
    }
    let mut said: Vec<String> =
        String::from_utf8_lossy(&said).lines().map(|line| format!("preprocess: {line}")).collect();
    let fault = match ended {
        Ok(Some(status)) if status.success() => match String::from_utf8(text) {
            Ok(text) => return Ok(Made { text, said }),
            Err(_) => "its output is not UTF-8 text".to_owned(),
        },
        Ok(Some(status)) => format!("it ended with {status}"),
        Ok(None) => format!("it did not end within {} s", limit.as_secs()),
        Err(error) => error.to_string(),
    };
    said.push(format!("{shown} is not preprocessed: {fault}"));
    Err(said)
}

/// Reads what a command prints until it has ended; `None` when it has not by then.
fn follow(
    child: &mut Child,
    until: Instant,
    text: &mut Vec<u8>,
    said: &mut Vec<u8>,
) -> io::Result<Option<ExitStatus>> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    for fd in out.iter().map(AsFd::as_fd).chain(err.iter().map(AsFd::as_fd)) {
        process::set_nonblocking(fd)?;
    }
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let mut watched: Vec<PollFd<'_>> = Vec::new();
        watched.extend(out.iter().map(|out| PollFd::new(out.as_fd(), PollFlags::POLLIN)));
        watched.extend(err.iter().map(|err| PollFd::new(err.as_fd(), PollFlags::POLLIN)));
        if watched.is_empty()
            && let Some(status) = child.try_wait()?
        {
            return Ok(Some(status));
        }
        let most = if watched.is_empty() { LOOK_MS } else { u16::MAX };
        let wait_ms = u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX).min(most);
        match poll(&mut watched, PollTimeout::from(wait_ms)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if read_some(&mut out, text, TEXT_BYTES_MAX)? {
            return Err(io::Error::other(format!("it prints more than {} MiB", TEXT_BYTES_MAX >> 20)));
        }
        read_some(&mut err, said, SAID_BYTES_MAX)?;
    }
}

/// Reads once if there is something, and closes what has ended. Whether there was more than is kept.
fn read_some(from: &mut Option<impl Read>, into: &mut Vec<u8>, max: usize) -> io::Result<bool> {
    let Some(pipe) = from else { return Ok(false) };
    let mut bytes = [0; 16 * 1024];
    match pipe.read(&mut bytes) {
        Ok(0) => *from = None,
        Ok(count) => {
            let room = max - into.len();
            into.extend_from_slice(&bytes[..count.min(room)]);
            return Ok(count > room);
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
        Err(error) => return Err(error),
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn made(command: &str, input: &str) -> Result<Made, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in.cfg"), input).unwrap();
        run_within(Duration::from_secs(5), command, Path::new("in.cfg"), folder.path())
    }

    #[test]
    fn a_filter_makes_the_configuration() {
        let made = made("echo careful >&2; sed s/PORT/8080/", "Port PORT\n").unwrap();
        assert_eq!(made, Made { text: "Port 8080\n".into(), said: vec!["preprocess: careful".into()] });
    }

    #[test]
    fn a_command_that_fails_is_told_with_its_words() {
        let faults = made("echo no such macro >&2; exit 3", "x").unwrap_err();
        assert_eq!(
            faults,
            ["preprocess: no such macro", "in.cfg is not preprocessed: it ended with exit status: 3"]
        );
        let faults = made("kill -9 $$", "x").unwrap_err();
        assert!(faults[0].contains("signal: 9"), "{faults:?}");
        let faults = made("printf '\\377'", "x").unwrap_err();
        assert!(faults[0].ends_with("its output is not UTF-8 text"), "{faults:?}");
    }

    #[test]
    fn a_command_without_end_is_ended() {
        let faults = made("cat /dev/zero", "x").unwrap_err();
        assert!(faults[0].ends_with("it prints more than 16 MiB"), "{faults:?}");
        for command in [
            "exec tail -f /dev/null",
            "tail -f /dev/null & exit 0",
            "exec >&- 2>&-; tail -f /dev/null >/dev/null",
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("in.cfg"), "x").unwrap();
            let limit = Duration::from_millis(300);
            let faults = run_within(limit, command, Path::new("in.cfg"), folder.path()).unwrap_err();
            assert!(faults[0].contains("it did not end within"), "{command}: {faults:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_runs_nothing() {
        let faults = run("true", Path::new("none.cfg"), Path::new("/nonexistent")).unwrap_err();
        assert!(faults[0].starts_with("cannot open none.cfg: "), "{faults:?}");
    }
}
