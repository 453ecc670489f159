//! Files that are watched while a configuration serves: noticed, read, and passed on to its workers.
//!
//! ```text
//!  kernel: something changed ─┐
//!  WatcherTTL has passed ─────┴─► a look: a child that reads ([`look`]) ─► parcels ─► workers
//! ```
//!
//! Workers cannot read files any more, and the warden may not read all of them: it is this process that has the rights,
//! and whose inotify descriptor ([`notify`]) tells when to look. But a disk may hang and a file may be anything, so a
//! child does the reading, with a time limit. It looks at all watched files, reads those that have changed, makes of them
//! what a worker would make, and hands back the contents of those that are good. A file that is gone or faulty is
//! reported and changes nothing.
//!
//! What the kernel tells is no more than a hint to look soon. Watches are set up before anything is read, so no change is
//! missed between the two, and what the kernel does not tell (a file of another machine, a directory above that was
//! renamed) is seen when `WatcherTTL` has passed. A generation begins with a look, since its files may have changed since
//! they were read with it.
//!
//! The newest contents are kept as parcels, for workers that start later.

mod look;
mod notify;

use crate::fleet::Slot;
use crate::source::Generation;
pub(crate) use look::Seen;
use look::{Look, Stamp};
use notify::Notify;
use ounce_conf::model::FeedKind;
use ounce_engine::tls::{self, Sights};
use ounce_sys::process::End;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// How long a change is left alone before it is looked at: files change in several steps.
const SETTLE_MS: u64 = 50;
/// When a worker that had no room for a message is told again.
const AGAIN_MS: u64 = 100;

/// The watched files of the generation that serves.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    generation: u32,
    files: Vec<File>,
    notify: Option<Notify>,
    ttl_ms: u64,
    /// When the next look is due.
    due: Option<u64>,
    look: Option<Look>,
    /// What workers have been told and not answered yet, by the feed's place.
    asked: BTreeMap<u32, BTreeSet<Slot>>,
    /// What workers had no room to be told.
    untold: BTreeSet<(Slot, u32)>,
    tell_again: Option<u64>,
}

/// A watched file, or several that belong together.
#[derive(Debug)]
struct File {
    /// Its place among the feeds of the plan.
    feed: u32,
    watched: Watched,
    /// What it was like when it was looked at last.
    stamp: Option<Stamp>,
    /// Its contents, if they are others than the configuration was read with; those of a listener in any case.
    parcel: Option<OwnedFd>,
    /// What the warden may tell of them.
    papers: Option<OwnedFd>,
    /// What of it has changed and is not in use everywhere.
    changed: Vec<String>,
}

/// What is watched.
#[derive(Debug)]
enum Watched {
    /// A file.
    File(PathBuf),
    /// The certificates of a listener.
    Listener(usize),
}

impl Watched {
    fn sights(&self, generation: &Generation) -> Sights {
        let listeners = &generation.config.listeners;
        match self {
            Watched::File(path) => Sights { files: vec![path.clone()], folders: Vec::new() },
            Watched::Listener(listener) => {
                listeners.get(*listener).and_then(|of| of.tls.as_ref()).map(tls::sights).unwrap_or_default()
            }
        }
    }
}

impl File {
    /// What it is called, for people.
    fn name(&self) -> String {
        match &self.watched {
            Watched::File(path) => path.display().to_string(),
            Watched::Listener(listener) => format!("certificates of listener {listener}"),
        }
    }
}

impl Feeds {
    /// The files that a generation watches; the first look is due at once.
    pub(crate) fn of(generation: &Generation, now: u64) -> Feeds {
        let watched = generation.plan.feeds.iter().zip(0_u32..).filter(|(feed, _)| feed.watched);
        let files: Vec<File> = watched
            .map(|(feed, place)| File {
                feed: place,
                watched: match feed.kind {
                    FeedKind::Certificates { listener } => Watched::Listener(listener),
                    FeedKind::Networks | FeedKind::Patterns | FeedKind::Users | FeedKind::Text { .. } => {
                        Watched::File(feed.path.clone())
                    }
                },
                stamp: None,
                // Without descriptors there is nothing to compare with: then its changes wait for a reload.
                parcel: generation.wallet(place).and_then(|wallet| wallet.try_clone_to_owned().ok()),
                papers: None,
                changed: Vec::new(),
            })
            .collect();
        let mut all = Sights::default();
        for sights in files.iter().map(|file| file.watched.sights(generation)) {
            all.files.extend(sights.files);
            all.folders.extend(sights.folders);
        }
        let notify = if files.is_empty() { None } else { Notify::new(&all).ok() };
        Feeds {
            generation: generation.number,
            due: (!files.is_empty()).then_some(now),
            ttl_ms: u64::try_from(generation.config.global.watcher_ttl.as_millis()).unwrap_or(u64::MAX / 2),
            files,
            notify,
            ..Feeds::default()
        }
    }

    /// Whose files they are.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// What a worker of the generation needs beside its configuration.
    pub(crate) fn newest(&self) -> Vec<(u32, RawFd)> {
        let newest = self.files.iter();
        newest.filter_map(|file| Some((file.feed, file.parcel.as_ref()?.as_raw_fd()))).collect()
    }

    /// What a warden of the generation may tell beside what was known when its configuration was read.
    pub(crate) fn newest_papers(&self) -> Vec<(u32, RawFd)> {
        let newest = self.files.iter();
        newest.filter_map(|file| Some((file.feed, file.papers.as_ref()?.as_raw_fd()))).collect()
    }

    /// The contents of a file, for a worker, if they are others than the configuration was read with.
    pub(crate) fn parcel(&self, feed: u32) -> Option<BorrowedFd<'_>> {
        self.file(feed)?.parcel.as_ref().map(AsFd::as_fd)
    }

    /// What may be told of them, for the warden.
    pub(crate) fn papers(&self, feed: u32) -> Option<BorrowedFd<'_>> {
        self.file(feed)?.papers.as_ref().map(AsFd::as_fd)
    }

    /// What a feed is called, for people.
    pub(crate) fn name(&self, feed: u32) -> String {
        self.file(feed).map(File::name).unwrap_or_default()
    }

    /// What of a feed is in use from now on.
    pub(crate) fn take_changed(&mut self, feed: u32) -> Vec<String> {
        let file = self.files.iter_mut().find(|file| file.feed == feed);
        file.map(|file| std::mem::take(&mut file.changed)).unwrap_or_default()
    }

    fn file(&self, feed: u32) -> Option<&File> {
        self.files.iter().find(|file| file.feed == feed)
    }

    /// What tells of changes, to be watched.
    pub(crate) fn notify(&self) -> Option<BorrowedFd<'_>> {
        self.notify.as_ref().map(AsFd::as_fd)
    }

    /// What the child that looks has to say, to be watched.
    pub(crate) fn line(&self) -> Option<BorrowedFd<'_>> {
        self.look.as_ref().and_then(Look::line)
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let look = match &self.look {
            Some(look) => look.deadline(),
            None => self.due,
        };
        [look, self.tell_again].into_iter().flatten().min()
    }

    /// The kernel has told of changes.
    pub(crate) fn notified(&mut self, now: u64) {
        if self.notify.as_ref().is_some_and(Notify::concerns_us) {
            self.due = self.due.map(|due| due.min(now + SETTLE_MS));
        }
    }

    /// Does what is due: begins a look, kills one that takes too long. Returns what that is.
    ///
    /// # Errors
    /// Why no look could be begun.
    pub(crate) fn tick(&mut self, generation: &Generation, detached: bool, now: u64) -> io::Result<()> {
        if let Some(look) = &mut self.look {
            look.tick(now);
            return Ok(());
        }
        if self.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        self.due = Some(now.saturating_add(self.ttl_ms));
        self.look = Some(Look::begin(generation, &self.files, self.notify.as_ref(), detached, now)?);
        Ok(())
    }

    /// Hears what was seen, and keeps the newest.
    pub(crate) fn hear(&mut self) -> Vec<(u32, Seen)> {
        let Some(look) = &mut self.look else { return Vec::new() };
        let mut news = Vec::new();
        for look::News { feed, stamp, seen, parcel, papers } in look.hear() {
            let Some(file) = self.files.iter_mut().find(|file| file.feed == feed) else { continue };
            file.stamp = Some(stamp);
            if parcel.is_some() {
                file.parcel = parcel;
                file.papers = papers;
                let unknown = seen.changed.iter().filter(|name| !file.changed.contains(name));
                let unknown: Vec<String> = unknown.cloned().collect();
                file.changed.extend(unknown);
            }
            if seen != Seen::default() {
                news.push((feed, seen));
            }
        }
        news
    }

    /// Whether this was the child that looks; how it went wrong, if it did.
    pub(crate) fn ended(&mut self, pid: i32, end: End) -> Option<Result<(), String>> {
        let look = self.look.take_if(|look| look.pid() == pid)?;
        Some(look.outcome(end))
    }

    /// A worker was told of new contents, or had no room for that.
    pub(crate) fn told(&mut self, slot: Slot, feed: u32, told: bool, now: u64) {
        self.asked.entry(feed).or_default().insert(slot);
        if told {
            self.untold.remove(&(slot, feed));
        } else {
            self.untold.insert((slot, feed));
            self.tell_again = Some(now + AGAIN_MS);
        }
    }

    /// Whom to tell again, if it is time.
    pub(crate) fn untold(&mut self, now: u64) -> Vec<(Slot, u32)> {
        if self.tell_again.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.tell_again = None;
        self.untold.iter().copied().collect()
    }

    /// A worker uses new contents. True if all do by now.
    pub(crate) fn in_use(&mut self, slot: Slot, feed: u32) -> bool {
        let Some(slots) = self.asked.get_mut(&feed) else { return false };
        slots.remove(&slot);
        let all = slots.is_empty();
        if all {
            self.asked.remove(&feed);
        }
        all
    }

    /// A worker is gone; the feeds that nobody else has still to take.
    pub(crate) fn gone(&mut self, slot: Slot) -> Vec<u32> {
        self.untold.retain(|(untold, _)| *untold != slot);
        let asked: Vec<u32> =
            self.asked.iter().filter(|(_, slots)| slots.contains(&slot)).map(|(feed, _)| *feed).collect();
        asked.into_iter().filter(|feed| self.in_use(slot, *feed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_contents_are_in_use_when_every_worker_has_said_so_or_is_gone() {
        let mut feeds = Feeds::default();
        for slot in [1, 2, 3] {
            feeds.told(slot, 7, true, 0);
        }
        assert!(!feeds.in_use(1, 7));
        assert!(!feeds.in_use(1, 7), "twice is once");
        assert!(feeds.gone(2).is_empty());
        assert!(feeds.in_use(3, 7));
        assert!(!feeds.in_use(3, 7), "nobody was asked");
        feeds.told(1, 7, true, 0);
        assert_eq!(feeds.gone(1), [7]);
    }

    #[test]
    fn who_had_no_room_is_told_again() {
        let mut feeds = Feeds::default();
        feeds.told(1, 7, false, 1_000);
        assert_eq!(feeds.deadline(), Some(1_000 + AGAIN_MS));
        assert!(feeds.untold(1_000).is_empty());
        assert_eq!(feeds.untold(1_000 + AGAIN_MS), [(1, 7)]);
        feeds.told(1, 7, true, 2_000);
        assert_eq!(feeds.deadline(), None);
        assert!(feeds.in_use(1, 7));
    }
}
