//! A look at watched files: a child that sees which have changed and reads them.

use super::notify::Notify;
use crate::child::{Outfit, fork};
use crate::log::foreign;
use crate::source::Generation;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use ounce_sys::process::{self, End};
use ounce_sys::{fdpass, pairs, parcel};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// How long the child may take.
const LOOK_MS: u64 = 30_000;
/// Messages that are heard before others have their turn.
const MESSAGES_MAX: usize = 32;
/// Bytes of a message at most.
const MESSAGE_BYTES_MAX: usize = 2048;
/// Faults of one file that are told.
const FAULTS_MAX: usize = 10;

/// What tells one state of a file from another: device, inode, size, and the times of its last changes in nanoseconds.
/// All zeroes if it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([u64; 5]);

/// Bytes of a stamp in a message.
const STAMP_BYTES: usize = 40;

/// What a look has found out about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// What is in it is what was in it.
    Same,
    /// It is good, and other than before.
    Fresh,
    /// It cannot be used, for these reasons.
    Faulty(Vec<String>),
}

/// A file as it is known before a look.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) feed: u32,
    pub(super) path: &'a Path,
    pub(super) stamp: Option<Stamp>,
    /// Its contents, if they are others than the configuration was read with.
    pub(super) parcel: Option<RawFd>,
}

/// A look under way.
#[derive(Debug)]
pub(super) struct Look {
    pid: i32,
    line: Option<OwnedFd>,
    until: u64,
    late: bool,
}

impl Look {
    /// Forks the child.
    ///
    /// # Errors
    /// What socketpair(2) or fork(2) reports.
    pub(super) fn begin(
        generation: &Generation,
        files: &[Known<'_>],
        notify: Option<&Notify>,
        detached: bool,
        now: u64,
    ) -> io::Result<Look> {
        let (ours, theirs) = pairs::seqpacket()?;
        // The child waits for room; this process never does.
        fcntl(&theirs, FcntlArg::F_SETFL(OFlag::empty()))?;
        let mut keep = vec![theirs.as_raw_fd()];
        keep.extend(notify.map(|notify| notify.as_fd().as_raw_fd()));
        keep.extend(files.iter().filter_map(|file| file.parcel));
        let outfit = Outfit { name: "ounce-look", cpu: None, keep, orders: None, detached };
        let pid = fork(&outfit, || look(generation, files, notify, &theirs))?;
        Ok(Look { pid, line: Some(ours), until: now + LOOK_MS, late: false })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn line(&self) -> Option<BorrowedFd<'_>> {
        self.line.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        (!self.late).then_some(self.until)
    }

    /// Kills the child if it has had its time.
    pub(super) fn tick(&mut self, now: u64) {
        if self.deadline().is_some_and(|until| until <= now) {
            self.late = true;
            // It is not reaped yet, so the number is still its own.
            let _ = process::kill(self.pid, libc::SIGKILL);
        }
    }

    /// What was seen so far and not heard yet.
    pub(super) fn hear(&mut self) -> Vec<(u32, Stamp, Seen, Option<OwnedFd>)> {
        let mut heard = Vec::new();
        let Some(line) = &self.line else { return heard };
        let mut message = [0; MESSAGE_BYTES_MAX];
        for _ in 0..MESSAGES_MAX {
            match pairs::receive_with_fds(line.as_raw_fd(), &mut message) {
                Ok(None) => break,
                // Closed or broken: watching it on would only spin.
                Ok(Some((0, _))) | Err(_) => {
                    self.line = None;
                    break;
                }
                Ok(Some((count, fds))) => heard.extend(understand(&message[..count], fds)),
            }
        }
        heard
    }

    /// How it went.
    pub(super) fn outcome(&self, end: End) -> Result<(), String> {
        match end {
            _ if self.late => Err(format!("watched files could not be read within {} s", LOOK_MS / 1000)),
            End::Exited(0) => Ok(()),
            End::Exited(status) => Err(format!("looking at watched files ended with status {status}")),
            End::Killed(signal) => Err(format!("looking at watched files was ended by signal {signal}")),
        }
    }
}

fn understand(message: &[u8], mut fds: Vec<OwnedFd>) -> Option<(u32, Stamp, Seen, Option<OwnedFd>)> {
    let (kind, rest) = message.split_first()?;
    let (feed, rest) = rest.split_first_chunk::<4>()?;
    let (stamp, text) = rest.split_first_chunk::<STAMP_BYTES>()?;
    let seen = match kind {
        b'=' => Seen::Same,
        b'+' if fds.len() == 1 => Seen::Fresh,
        b'!' => Seen::Faulty(text.split(|byte| *byte == b'\n').map(foreign).collect()),
        _ => return None,
    };
    Some((u32::from_le_bytes(*feed), Stamp::of_bytes(stamp), seen, fds.pop()))
}

/// The life of the child.
fn look(
    generation: &Generation,
    files: &[Known<'_>],
    notify: Option<&Notify>,
    tell: &OwnedFd,
) -> Result<(), String> {
    for file in files {
        // Before it is looked at: what changes from here on is told.
        if let Some(notify) = notify {
            notify.watch(file.path);
        }
        let status = fs::metadata(file.path);
        let stamp = Stamp::of(status.as_ref().ok());
        if file.stamp == Some(stamp) {
            continue;
        }
        let (seen, bytes) = match read(file.path, status) {
            Ok(bytes) => judge(generation, file, bytes),
            Err(error) => {
                (Seen::Faulty(vec![format!("cannot read {}: {error}", file.path.display())]), Vec::new())
            }
        };
        say(tell, file.feed, stamp, &seen, &bytes).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn read(path: &Path, status: io::Result<Metadata>) -> io::Result<Vec<u8>> {
    if !status?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    // One that has become a pipe meanwhile must not hold this up.
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut bytes = Vec::new();
    file.take(parcel::BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > parcel::BYTES_MAX {
        return Err(io::Error::other(format!("longer than {} MiB", parcel::BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

/// Whether it is new, and what a worker would say to it.
fn judge(generation: &Generation, file: &Known<'_>, bytes: Vec<u8>) -> (Seen, Vec<u8>) {
    let place = file.feed as usize;
    let same = match file.parcel {
        Some(parcel) => parcel::open_inherited(parcel).is_ok_and(|before| before == bytes),
        None => generation.config.feeds.get(place).is_some_and(|feed| feed.bytes == bytes),
    };
    if same {
        return (Seen::Same, Vec::new());
    }
    match ounce_engine::feeds::check(&generation.plan, place, &bytes) {
        Ok(()) => (Seen::Fresh, bytes),
        Err(faults) => {
            let faults = faults.iter().take(FAULTS_MAX);
            (
                Seen::Faulty(faults.map(|fault| format!("{}{fault}", file.path.display())).collect()),
                Vec::new(),
            )
        }
    }
}

fn say(tell: &OwnedFd, feed: u32, stamp: Stamp, seen: &Seen, bytes: &[u8]) -> io::Result<()> {
    let (kind, text) = match seen {
        Seen::Same => (b'=', String::new()),
        Seen::Fresh => (b'+', String::new()),
        Seen::Faulty(faults) => (b'!', faults.join("\n")),
    };
    let mut message = vec![kind];
    message.extend(feed.to_le_bytes());
    message.extend(stamp.0.iter().flat_map(|part| part.to_le_bytes()));
    message.extend(text.into_bytes());
    message.truncate(MESSAGE_BYTES_MAX);
    match seen {
        Seen::Fresh => {
            let parcel = parcel::seal(bytes)?;
            fdpass::send(tell.as_fd(), &[parcel.as_fd()], &message)
        }
        _ => fdpass::send(tell.as_fd(), &[], &message),
    }
}

impl Stamp {
    fn of(status: Option<&Metadata>) -> Stamp {
        let Some(status) = status else { return Stamp([0; 5]) };
        let time = |s: i64, ns: i64| s.wrapping_mul(1_000_000_000).wrapping_add(ns) as u64;
        Stamp([
            status.dev(),
            status.ino(),
            status.size(),
            time(status.mtime(), status.mtime_nsec()),
            time(status.ctime(), status.ctime_nsec()),
        ])
    }

    fn of_bytes(bytes: &[u8; STAMP_BYTES]) -> Stamp {
        let mut stamp = [0; 5];
        for (part, bytes) in stamp.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *part = u64::from_le_bytes(*bytes);
        }
        Stamp(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let (ours, theirs) = pairs::seqpacket().unwrap();
        let stamp = Stamp([1, 2, 3, 4, u64::MAX]);
        let faults = Seen::Faulty(vec!["f:1: x".into(), "f:2: y".into()]);
        say(&theirs, 7, stamp, &Seen::Same, b"").unwrap();
        say(&theirs, 8, stamp, &Seen::Fresh, b"contents").unwrap();
        say(&theirs, 9, stamp, &faults, b"").unwrap();
        drop(theirs);
        let mut look = Look { pid: 0, line: Some(ours), until: 0, late: false };
        let heard = look.hear();
        let seen: Vec<_> = heard.iter().map(|(feed, of, seen, _)| (*feed, *of, seen.clone())).collect();
        assert_eq!(seen, [(7, stamp, Seen::Same), (8, stamp, Seen::Fresh), (9, stamp, faults)]);
        assert_eq!(parcel::open(heard[1].3.as_ref().unwrap().as_fd()).unwrap(), b"contents");
        assert!(look.line().is_none());
    }

    #[test]
    fn nonsense_is_not_understood() {
        for message in [&b""[..], b"=", b"=123", &[b'='; 44], &[b'?'; 45], &[b'+'; 45]] {
            assert!(understand(message, Vec::new()).is_none(), "{message:?}");
        }
    }

    #[test]
    fn stamps_tell_files_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        let stamp = || Stamp::of(fs::metadata(&file).as_ref().ok());
        assert_eq!(stamp(), Stamp([0; 5]));
        fs::write(&file, "a").unwrap();
        let first = stamp();
        assert_eq!(stamp(), first);
        fs::write(folder.path().join("g"), "b").unwrap();
        fs::rename(folder.path().join("g"), &file).unwrap();
        assert_ne!(stamp(), first);
    }

    #[test]
    fn only_what_is_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &Path| read(path, fs::metadata(path));
        assert!(read(folder.path()).is_err());
        assert!(read(Path::new("/dev/zero")).is_err());
        assert_eq!(read(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
