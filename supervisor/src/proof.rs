//! Keys on cards are tried out before anything depends on them, by a child: it loads engines and providers as a worker
//! does, lets each key sign, gives up what a worker gives up, and lets them sign again.
//!
//! No other process but a worker loads such a module. One that crashes takes only this child along, and one that
//! hangs is not waited for longer than [`PROOF_MS`].

use crate::child::{Outfit, fork};
use crate::log::foreign;
use crate::source::{Findings, Generation};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ounce_engine::tls;
use ounce_sys::process::{self, End};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// How long the child may take. A reload's check, which waits for it, has more.
const PROOF_MS: u64 = 20_000;
/// What is kept of what it says.
const WORDS_MAX: usize = 64 * 1024;

/// Tries out the keys of a generation.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn prove(generation: &Generation) -> Result<(), Findings> {
    if !tls::has_cards(&generation.config) {
        return Ok(());
    }
    let failed = |error: io::Error| vec![format!("cannot try out the keys on cards: {error}")];
    let (read, write) = io::pipe().map_err(failed)?;
    let keep = vec![write.as_raw_fd()];
    let outfit = Outfit { name: "ounce-check", cpu: None, keep, orders: None, detached: false };
    let pid = fork(&outfit, || {
        let proven = tls::prove(&generation.config, || {
            generation.descent.apply().map_err(|error| format!("cannot give up rights: {error}"))
        });
        let text = proven.err().unwrap_or_default().join("\n");
        (&write).write_all(text.as_bytes()).map_err(|error| error.to_string())
    });
    let pid = pid.map_err(failed)?;
    drop(write);
    let words = hear(read);
    if words.is_none() {
        // It is not reaped yet, so the number is still its own.
        let _ = process::kill(pid, libc::SIGKILL);
    }
    let end = process::wait(pid).map_err(failed)?.how;
    let Some(words) = words else {
        return Err(vec![format!("the keys on cards could not be tried out within {} s", PROOF_MS / 1000)]);
    };
    let mut findings: Findings =
        words.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(foreign).collect();
    let how = match end {
        End::Exited(0) => None,
        End::Exited(status) => Some(format!("with status {status}")),
        End::Killed(signal) => Some(format!("by signal {signal}")),
    };
    findings.extend(how.map(|how| format!("trying out the keys on cards ended {how}")));
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// All that the child says, until it has ended; `None` if that takes too long.
fn hear(mut from: PipeReader) -> Option<Vec<u8>> {
    let until = Instant::now() + Duration::from_millis(PROOF_MS);
    let mut words = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        if left == 0 {
            return None;
        }
        let mut watched = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(_) => continue,
            Ok(_) => {}
        }
        match from.read(&mut bytes) {
            Ok(0) => return Some(words),
            Ok(count) => words.extend_from_slice(&bytes[..count.min(WORDS_MAX - words.len())]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Some(words),
        }
    }
}
