//! A look at watched files: a child that sees which have changed and reads them.

use super::notify::Notify;
use super::{File, Watched};
use crate::child::{Outfit, fork};
use crate::log::foreign;
use crate::source::Generation;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use ounce_engine::tls::{self, Sights, Wallet, papers};
use ounce_sys::process::{self, End};
use ounce_sys::{fdpass, pairs, parcel, regular};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How long the child may take.
const LOOK_MS: u64 = 30_000;
/// Messages that are heard before others have their turn.
const MESSAGES_MAX: usize = 32;
/// Bytes of a message at most.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a list of networks or patterns at most.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Lines about one feed that are told.
const LINES_MAX: usize = 20;
/// Leads the name of what has changed, in a message; other lines are for the log.
const CHANGED: char = '+';

/// What tells one state of a file from another: device, inode, size, and the times of its last changes in nanoseconds.
/// All zeroes if it is not there. Of several files, what is made of all their stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp([u64; 5]);

/// Bytes of a stamp in a message.
const STAMP_BYTES: usize = 40;

/// What a look has found out about a feed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// The names of what has changed and is to be used.
    pub(crate) changed: Vec<String>,
    /// What is to be told of it, and of what cannot be used.
    pub(crate) notes: Vec<String>,
}

/// What a look brings home of a feed.
#[derive(Debug)]
pub(super) struct News {
    pub(super) feed: u32,
    pub(super) stamp: Stamp,
    pub(super) seen: Seen,
    /// New contents.
    pub(super) parcel: Option<OwnedFd>,
    /// What may be told of them.
    pub(super) papers: Option<OwnedFd>,
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
        files: &[File],
        notify: Option<&Notify>,
        detached: bool,
        now: u64,
    ) -> io::Result<Look> {
        let (ours, theirs) = pairs::seqpacket()?;
        // The child waits for room; this process never does.
        fcntl(&theirs, FcntlArg::F_SETFL(OFlag::empty()))?;
        let mut keep = vec![theirs.as_raw_fd()];
        keep.extend(notify.map(|notify| notify.as_fd().as_raw_fd()));
        keep.extend(files.iter().filter_map(|file| file.parcel.as_ref().map(AsRawFd::as_raw_fd)));
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
    pub(super) fn hear(&mut self) -> Vec<News> {
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

fn understand(message: &[u8], fds: Vec<OwnedFd>) -> Option<News> {
    let (kind, rest) = message.split_first()?;
    let (feed, rest) = rest.split_first_chunk::<4>()?;
    let (stamp, text) = rest.split_first_chunk::<STAMP_BYTES>()?;
    let mut fds = fds.into_iter();
    let (parcel, papers) = (fds.next(), fds.next());
    match kind {
        b'=' if parcel.is_none() => {}
        b'+' if parcel.is_some() => {}
        _ => return None,
    }
    let mut seen = Seen::default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match line.strip_prefix(&[CHANGED as u8]) {
            Some(name) => seen.changed.push(foreign(name)),
            None => seen.notes.push(foreign(line)),
        }
    }
    Some(News { feed: u32::from_le_bytes(*feed), stamp: Stamp::of_bytes(stamp), seen, parcel, papers })
}

/// The life of the child.
fn look(
    generation: &Generation,
    files: &[File],
    notify: Option<&Notify>,
    tell: &OwnedFd,
) -> Result<(), String> {
    for file in files {
        let sights = file.watched.sights(generation);
        // Before it is looked at: what changes from here on is told.
        if let Some(notify) = notify {
            notify.watch_all(&sights);
        }
        let stamp = Stamp::of_all(&sights);
        if file.stamp == Some(stamp) {
            continue;
        }
        let found = match &file.watched {
            Watched::File(path) => judge(generation, file, path),
            Watched::Listener(listener) => renew(generation, file, *listener),
        };
        let found = found.unwrap_or_else(|error| Found::faulty(vec![error], &file.name()));
        say(tell, file.feed, stamp, &found).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What has become of a feed.
#[derive(Debug, Default)]
struct Found {
    seen: Seen,
    parcel: Option<OwnedFd>,
    papers: Option<OwnedFd>,
}

impl Found {
    fn faulty(mut notes: Vec<String>, name: &str) -> Found {
        notes.truncate(LINES_MAX);
        notes.push(format!("{name}: what was read before stays in use"));
        Found { seen: Seen { changed: Vec::new(), notes }, parcel: None, papers: None }
    }
}

/// Whether what is in a file is new, and what a worker would say to it.
fn judge(generation: &Generation, file: &File, path: &Path) -> Result<Found, String> {
    let bytes = regular::read(path, LIST_BYTES_MAX)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let place = file.feed as usize;
    let same = match &file.parcel {
        Some(parcel) => parcel::open(parcel.as_fd()).is_ok_and(|before| before == bytes),
        None => generation.config.feeds.get(place).is_some_and(|feed| feed.bytes == bytes),
    };
    if same {
        return Ok(Found::default());
    }
    if let Err(faults) = ounce_engine::feeds::check(&generation.plan, place, &bytes) {
        let faults = faults.iter().map(|fault| format!("{}{fault}", path.display()));
        return Ok(Found::faulty(faults.collect(), &file.name()));
    }
    let parcel = parcel::seal(&bytes).map_err(|error| format!("cannot keep {}: {error}", path.display()))?;
    let seen = Seen { changed: vec![path.display().to_string()], notes: Vec::new() };
    Ok(Found { seen, parcel: Some(parcel), papers: None })
}

/// What has become of the certificates of a listener.
fn renew(generation: &Generation, file: &File, listener: usize) -> Result<Found, String> {
    let failed = |error: io::Error| format!("cannot keep certificates: {error}");
    let tls = generation.config.listeners.get(listener).and_then(|of| of.tls.as_ref());
    let (Some(tls), Some(parcel)) = (tls, &file.parcel) else { return Ok(Found::default()) };
    let before = Wallet::open_inherited(parcel.as_raw_fd()).map_err(failed)?;
    let mut renewal = tls::renew(listener, tls, &before);
    renewal.notes.truncate(LINES_MAX);
    let mut seen = Seen { changed: Vec::new(), notes: renewal.notes };
    if renewal.changed.is_empty() {
        return Ok(Found { seen, parcel: None, papers: None });
    }
    let named = renewal.changed.iter().take(LINES_MAX);
    seen.changed = named.map(|file| file.display().to_string()).collect();
    let papers = papers::pack(&papers::papers(listener, &renewal.wallet));
    Ok(Found {
        seen,
        parcel: Some(renewal.wallet.seal().map_err(failed)?),
        papers: Some(parcel::seal(&papers).map_err(failed)?),
    })
}

fn say(tell: &OwnedFd, feed: u32, stamp: Stamp, found: &Found) -> io::Result<()> {
    let Found { seen, parcel, papers } = found;
    let mut message = vec![if parcel.is_some() { b'+' } else { b'=' }];
    message.extend(feed.to_le_bytes());
    message.extend(stamp.0.iter().flat_map(|part| part.to_le_bytes()));
    let names = seen.changed.iter().map(|name| format!("{CHANGED}{}\n", name.replace('\n', "?")));
    let lines = names.chain(seen.notes.iter().map(|note| format!("{}\n", note.replace('\n', " "))));
    message.extend(lines.flat_map(String::into_bytes));
    message.truncate(MESSAGE_BYTES_MAX);
    let fds: Vec<BorrowedFd<'_>> = [parcel, papers].into_iter().flatten().map(AsFd::as_fd).collect();
    fdpass::send(tell.as_fd(), &fds, &message)
}

impl Stamp {
    /// Of one file its own, so that it can be told from no other state; of several, what is made of all.
    fn of_all(sights: &Sights) -> Stamp {
        let of = |path: &Path| Stamp::of(fs::metadata(path).as_ref().ok());
        if let ([file], []) = (&sights.files[..], &sights.folders[..]) {
            return of(file);
        }
        let all: Vec<(&Path, Stamp)> = sights.files.iter().map(|file| (file.as_path(), of(file))).collect();
        let mut stamp = [0; 5];
        for (number, part) in stamp.iter_mut().enumerate() {
            let mut hasher = DefaultHasher::new();
            (number, &all).hash(&mut hasher);
            *part = hasher.finish();
        }
        Stamp(stamp)
    }

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
        let names = |of: &[&str]| of.iter().map(ToString::to_string).collect::<Vec<_>>();
        let faulty = Found::faulty(names(&["f:1: x", "f:2: y"]), "f");
        let fresh = Found {
            seen: Seen { changed: names(&["a", "b"]), notes: names(&["c: late"]) },
            parcel: Some(parcel::seal(b"contents").unwrap()),
            papers: Some(parcel::seal(b"papers").unwrap()),
        };
        for (feed, found) in [(7, &Found::default()), (8, &fresh), (9, &faulty)] {
            say(&theirs, feed, stamp, found).unwrap();
        }
        drop(theirs);
        let mut look = Look { pid: 0, line: Some(ours), until: 0, late: false };
        let heard = look.hear();
        let seen: Vec<_> = heard.iter().map(|news| (news.feed, news.stamp, news.seen.clone())).collect();
        let said = [(7, stamp, Seen::default()), (8, stamp, fresh.seen), (9, stamp, faulty.seen)];
        assert_eq!(seen, said);
        let open = |fd: &Option<OwnedFd>| parcel::open(fd.as_ref().unwrap().as_fd()).unwrap();
        assert_eq!(open(&heard[1].parcel), b"contents");
        assert_eq!(open(&heard[1].papers), b"papers");
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
        let read = |path: &Path| regular::read(path, LIST_BYTES_MAX);
        assert!(read(folder.path()).is_err());
        assert!(read(Path::new("/dev/zero")).is_err());
        assert_eq!(read(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
