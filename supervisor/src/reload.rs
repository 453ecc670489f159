//! Reading a changed configuration while the old one serves.
//!
//! A file can be wrong, huge, on a disk that hangs, or name hosts whose name server is silent. So a child reads it
//! first, with a time limit, and reports what it found and what it asked the system about. Only a file that has passed is
//! read again by the supervisor, which then asks nobody.

use crate::child::{Outfit, fork};
use crate::known::Known;
use crate::log::foreign;
use crate::preprocess::TEXT_BYTES_MAX;
use crate::source::{Findings, Source};
use ounce_sys::process::{self, End};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// How long the child may read.
const CHECK_MS: u64 = 30_000;
/// Answers and findings are kept up to this size; the rest is read and dropped. A preprocessed text is an answer, in which
/// each byte may take two.
const FINDINGS_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX + 64 * 1024;
/// Leads a finding; other lines are answers of the system.
const FINDING: char = '!';
/// What is read before others have their turn.
const READS_MAX: usize = 16;

/// The child that reads the configuration.
#[derive(Debug)]
pub(crate) struct Checker {
    pid: i32,
    line: Option<PipeReader>,
    text: Vec<u8>,
    until: u64,
    late: bool,
    end: Option<End>,
}

impl Checker {
    /// Forks it.
    ///
    /// # Errors
    /// What pipe(2) or fork(2) reports.
    pub(crate) fn start(source: &Source, detached: bool, now: u64) -> io::Result<Checker> {
        let (read, write) = io::pipe()?;
        process::set_nonblocking(read.as_fd())?;
        let keep = vec![write.as_raw_fd()];
        let outfit = Outfit { name: "ounce-check", cpu: None, keep, orders: None, detached };
        let pid = fork(&outfit, || {
            let (findings, known, verdict) = match source.check() {
                Ok(reading) => (reading.warnings, reading.known, Ok(())),
                Err(findings) => (findings, Known::default(), Err("the configuration is wrong".into())),
            };
            let mut lines = known.to_lines();
            lines.extend(findings.iter().map(|finding| format!("{FINDING}{finding}")));
            let mut write = &write;
            let told = write.write_all(lines.join("\n").as_bytes());
            told.map_err(|error| error.to_string()).and(verdict)
        })?;
        Ok(Checker { pid, line: Some(read), text: Vec::new(), until: now + CHECK_MS, late: false, end: None })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Where its findings come from, to be watched.
    pub(crate) fn line(&self) -> Option<BorrowedFd<'_>> {
        self.line.as_ref().map(AsFd::as_fd)
    }

    /// When it has had its time, unless that is past.
    pub(crate) fn deadline(&self) -> Option<u64> {
        (self.end.is_none() && !self.late).then_some(self.until)
    }

    /// Kills it if it has had its time.
    pub(crate) fn tick(&mut self, now: u64) {
        if self.deadline().is_some_and(|until| until <= now) {
            self.late = true;
            // It is not reaped yet, so the number is still its own.
            let _ = process::kill(self.pid, libc::SIGKILL);
        }
    }

    /// Reads what it found.
    pub(crate) fn hear(&mut self) {
        let Some(line) = &mut self.line else { return };
        let mut bytes = [0; 4096];
        for _ in 0..READS_MAX {
            match line.read(&mut bytes) {
                Ok(count) if count > 0 => {
                    let room = FINDINGS_BYTES_MAX - self.text.len();
                    self.text.extend_from_slice(&bytes[..count.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    self.line = None;
                    return;
                }
            }
        }
    }

    /// It is gone.
    pub(crate) fn ended(&mut self, end: End) {
        self.end = Some(end);
    }

    /// It is gone and everything that it said is known.
    pub(crate) fn is_over(&self) -> bool {
        self.line.is_none() && self.end.is_some()
    }

    /// What it found: the warnings of a good configuration and what it asked about, or everything about a bad one.
    ///
    /// # Errors
    /// Why the configuration will not do.
    pub(crate) fn verdict(self) -> Result<(Findings, Known), Findings> {
        let mut findings = Findings::new();
        let mut known = Known::default();
        for line in self.text.split(|byte| *byte == b'\n') {
            match line.strip_prefix(&[FINDING as u8]) {
                Some(finding) => findings.push(foreign(finding)),
                // What is no answer is missed in the second reading, which then fails for it.
                None => _ = str::from_utf8(line).is_ok_and(|line| known.take_line(line)),
            }
        }
        match self.end {
            _ if self.late => findings.push(format!("it could not be read within {} s", CHECK_MS / 1000)),
            Some(End::Exited(0)) => return Ok((findings, known)),
            Some(End::Exited(1)) if !findings.is_empty() => {}
            Some(End::Exited(status)) => findings.push(format!("its check ended with status {status}")),
            Some(End::Killed(signal)) => findings.push(format!("its check was killed by signal {signal}")),
            None => findings.push("its check has not ended".into()),
        }
        Err(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checker(end: Option<End>, text: &[u8]) -> (Checker, io::PipeWriter) {
        let (read, mut write) = io::pipe().unwrap();
        process::set_nonblocking(read.as_fd()).unwrap();
        write.write_all(text).unwrap();
        (Checker { pid: 0, line: Some(read), text: Vec::new(), until: 0, late: false, end }, write)
    }

    #[test]
    fn it_is_over_when_it_is_gone_and_its_words_are_read() {
        let (mut checker, write) = checker(None, b"!f:1.1: bad\n!f:2.1: worse\n");
        checker.hear();
        checker.ended(End::Exited(1));
        assert!(!checker.is_over(), "more may be on its way");
        drop(write);
        checker.hear();
        assert!(checker.is_over());
        assert_eq!(checker.verdict(), Err(vec!["f:1.1: bad".to_string(), "f:2.1: worse".to_string()]));
    }

    #[test]
    fn only_status_0_is_a_pass() {
        let verdict = |end| checker(Some(end), b"").0.verdict();
        assert_eq!(verdict(End::Exited(0)), Ok((vec![], Known::default())));
        assert_eq!(verdict(End::Exited(1)), Err(vec!["its check ended with status 1".to_string()]));
        assert_eq!(verdict(End::Killed(11)), Err(vec!["its check was killed by signal 11".to_string()]));
    }

    #[test]
    fn warnings_and_answers_of_a_good_configuration_are_passed_on() {
        let (mut checker, write) = checker(Some(End::Exited(0)), b"group\tadm\t4\n!f:1.1: warning: old");
        drop(write);
        checker.hear();
        let (findings, known) = checker.verdict().unwrap();
        assert_eq!(findings, ["f:1.1: warning: old"]);
        assert_eq!(known.to_lines(), ["group\tadm\t4"]);
    }

    #[test]
    fn endless_findings_are_cut() {
        let (mut checker, mut write) = checker(None, b"");
        checker.text = vec![b'x'; FINDINGS_BYTES_MAX - 1000];
        let much = vec![b'x'; 60_000];
        for _ in 0..2 {
            write.write_all(&much).unwrap();
            checker.hear();
        }
        assert_eq!(checker.text.len(), FINDINGS_BYTES_MAX);
    }
}
