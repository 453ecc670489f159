//! Watched files on their way from a look to the workers.

use super::{Supervisor, now};
use crate::children::Told;
use crate::feeds::Feeds;
use crate::fleet::{Role, Slot};
use ounce_sys::process::Ended;

impl Supervisor {
    /// The files of the generation that serves are watched from now on, and no others.
    pub(super) fn watch_files(&mut self, number: u32) {
        self.feeds =
            self.generations.get(&number).map(|serving| Feeds::of(serving, now())).unwrap_or_default();
    }

    /// Begins a look if one is due, and tells whoever could not be told before.
    pub(super) fn tend_feeds(&mut self, now: u64) {
        let Some(generation) = self.generations.get(&self.feeds.generation()) else { return };
        if let Err(error) = self.feeds.tick(generation, self.setup.detached, now) {
            self.setup.log.problem(&format!("cannot look at watched files: {error}"));
        }
        for (slot, feed) in self.feeds.untold(now) {
            self.pass_on(slot, feed, now);
        }
    }

    /// Passes on what a look has found.
    pub(super) fn hear_of_files(&mut self) {
        let now = now();
        for (feed, seen) in self.feeds.hear() {
            seen.notes.iter().for_each(|note| self.setup.log.problem(note));
            if seen.changed.is_empty() {
                continue;
            }
            let generation = self.feeds.generation();
            let of_it = self.children.iter().filter(|child| child.generation == generation);
            let all: Vec<Slot> = of_it.map(|child| child.slot).collect();
            all.into_iter().for_each(|slot| self.pass_on(slot, feed, now));
        }
    }

    /// Whether a child that ended was one that looked.
    pub(super) fn has_looked(&mut self, ended: Ended) -> bool {
        // Its last words may not have been heard.
        if self.feeds.line().is_some() {
            self.hear_of_files();
        }
        let Some(outcome) = self.feeds.ended(ended.pid, ended.how) else { return false };
        if let Err(why) = outcome {
            self.setup.log.problem(&why);
        }
        true
    }

    /// A child has taken new contents, or says why it cannot.
    pub(super) fn fed(&mut self, slot: Slot, feed: u32, fault: &str) {
        if !fault.is_empty() {
            self.setup.log.problem(&format!("{}{fault}: a worker cannot use it", self.feeds.name(feed)));
        }
        if self.feeds.in_use(slot, feed) {
            self.report_use(feed);
        }
    }

    /// A child is gone, and waited for no more.
    pub(super) fn feeds_nobody(&mut self, slot: Slot) {
        for feed in self.feeds.gone(slot) {
            self.report_use(feed);
        }
    }

    fn report_use(&mut self, feed: u32) {
        for name in self.feeds.take_changed(feed) {
            self.setup.log.notice(&format!("{name} has changed: its new contents are in use"));
        }
    }

    /// Workers get contents, among which there may be keys; the warden gets what it may tell of them, if anything.
    fn pass_on(&mut self, slot: Slot, feed: u32, now: u64) {
        let warden = self.children.iter().any(|child| child.slot == slot && child.role == Role::Warden);
        let parcel = if warden { self.feeds.papers(feed) } else { self.feeds.parcel(feed) };
        let Some(parcel) = parcel else { return };
        match self.children.feed(slot, feed, parcel) {
            Told::Yes => self.feeds.told(slot, feed, true, now),
            Told::NoRoom => self.feeds.told(slot, feed, false, now),
            Told::Nobody => {}
        }
    }
}
