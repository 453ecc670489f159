//! The algorithm of the token buckets, over any [`Word`].
//!
//! A key belongs to one row of seven entries. An entry is two words: whose it is (a tag, part of the key's hash), and when
//! its bucket will be full. Both carry a version, and the entry holds only while the versions are the same:
//!
//! ```text
//!   tag T, version v        time t, version v        T's bucket
//!   tag T, version v        time t, version v+1      vacant: it was full, or had to make room
//!   tag U, version v+1      time t, version v+1      U's bucket, full
//! ```
//!
//! **Taking** a token is one compare-and-swap of the time, under the version that was read with the tag. So nobody takes
//! from a bucket that has become another's, and no token is given twice. Who finds none left writes nothing.
//!
//! **Vacating** is one compare-and-swap of the time as well: if somebody took a token since it was read, it fails.
//!
//! **Moving in** must not happen twice for one key. The row's turn is a word with a version of its own. Who has found the
//! turn idle, *then* not found its key in the row, and then a vacant entry, writes into the turn which key moves in
//! where; that succeeds only if the turn is as it was, so that nobody has moved in since. From then on anybody can, and
//! whoever comes by must, finish it: the tag is written, the turn becomes idle under the next version.
//!
//! **Death** leaves at any step what others go on with: an entry that is vacant, or a turn that they finish. Nobody waits
//! for anybody; who does not get through in so many rounds, each of which somebody else got through, gives up.

use super::super::word::Word;
use super::Rate;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

/// Rows of the table: 2 MiB, backed by memory as they are used.
pub(in crate::shared) const ROWS: usize = 1 << ROW_BITS;
const ROW_BITS: u32 = 14;
/// Entries of a row.
const WAYS: usize = 7;
/// How often a taker begins anew.
const ROUNDS: u32 = 64;

const VERSION_BITS: u32 = 14;
const TIME_BITS: u32 = 64 - VERSION_BITS;
const TAG_BITS: u32 = 46;
const WAY_BITS: u32 = 3;
const _: () = assert!(TAG_BITS + WAY_BITS + 1 + VERSION_BITS == 64 && WAYS < 1 << WAY_BITS);

/// The last time that a word can hold: nine years of a machine's life.
pub(super) const UNITS_MAX: u64 = (1 << TIME_BITS) - 1;

/// A turn and seven entries: two cache lines.
#[repr(C, align(128))]
#[cfg_attr(test, derive(Default))]
pub(in crate::shared) struct Row<W> {
    turn: W,
    entries: [Entry<W>; WAYS],
}

#[repr(C)]
#[cfg_attr(test, derive(Default))]
struct Entry<W> {
    tag: W,
    time: W,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    row: usize,
    tag: u64,
}

impl Key {
    pub(super) fn new(hash: u64) -> Key {
        Key { row: (hash % ROWS as u64) as usize, tag: hash >> (64 - TAG_BITS) }
    }
}

/// What came of taking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Token,
    /// None is left.
    NoToken,
    /// Others got in the way, time and again.
    Contended,
}

/// A version that comes round after 16384 others.
fn after(version: u64) -> u64 {
    (version + 1) & ((1 << VERSION_BITS) - 1)
}

/// Whose an entry is: the tag in the upper bits, the version in the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag(u64);

impl Tag {
    fn new(tag: u64, version: u64) -> Tag {
        Tag(tag << VERSION_BITS | version)
    }

    fn tag(self) -> u64 {
        self.0 >> VERSION_BITS
    }

    fn version(self) -> u64 {
        self.0 & ((1 << VERSION_BITS) - 1)
    }
}

/// When a bucket will be full, with the version in the upper bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time(u64);

impl Time {
    fn new(full: u64, version: u64) -> Time {
        Time(version << TIME_BITS | full)
    }

    fn full(self) -> u64 {
        self.0 & UNITS_MAX
    }

    fn version(self) -> u64 {
        self.0 >> TIME_BITS
    }
}

/// Whether somebody moves in: the version in the lowest bits, then whether, where, and which tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn(u64);

impl Turn {
    fn moving(self) -> bool {
        self.0 >> VERSION_BITS & 1 != 0
    }

    /// This idle turn, with this tag moving in there.
    fn begun(self, way: usize, tag: u64) -> Turn {
        let what = tag << WAY_BITS | way as u64;
        Turn(what << (VERSION_BITS + 1) | 1 << VERSION_BITS | self.version())
    }

    fn ended(self) -> Turn {
        Turn(after(self.version()))
    }

    fn version(self) -> u64 {
        self.0 & ((1 << VERSION_BITS) - 1)
    }

    fn way(self) -> usize {
        (self.0 >> (VERSION_BITS + 1) & ((1 << WAY_BITS) - 1)) as usize
    }

    fn tag(self) -> u64 {
        self.0 >> (VERSION_BITS + 1 + WAY_BITS)
    }
}

/// The rows.
pub(super) struct Table<'a, W> {
    rows: &'a [Row<W>],
}

impl<'a, W: Word> Table<'a, W> {
    pub(super) fn new(rows: &'a [Row<W>]) -> Table<'a, W> {
        Table { rows }
    }

    /// Takes a token of this key's bucket; also says how many buckets that were not full had to make room.
    pub(super) fn take(&self, key: Key, rate: &Rate, now: u64) -> (Taken, u32) {
        let row = &self.rows[key.row % self.rows.len()];
        let mut lost = 0;
        for _ in 0..ROUNDS {
            let Some(turn) = row.idle_turn() else { continue };
            if let Some((way, time)) = row.find(key.tag) {
                let Some(next) = rate.take(time.full(), now) else { return (Taken::NoToken, lost) };
                if row.entries[way].time.swap(time.0, Time::new(next, time.version()).0, AcqRel) {
                    return (Taken::Token, lost);
                }
            } else if let Some((way, gave_up)) = row.vacant(now) {
                lost += u32::from(gave_up);
                let begun = turn.begun(way, key.tag);
                if row.turn.swap(turn.0, begun.0, AcqRel) {
                    row.finish(begun);
                }
            }
        }
        (Taken::Contended, lost)
    }
}

impl<W: Word> Row<W> {
    /// The turn, once nobody moves in.
    fn idle_turn(&self) -> Option<Turn> {
        let turn = Turn(self.turn.load(Acquire));
        if !turn.moving() {
            return Some(turn);
        }
        self.finish(turn);
        None
    }

    fn entry(&self, way: usize) -> (Tag, Time) {
        let entry = &self.entries[way];
        (Tag(entry.tag.load(Acquire)), Time(entry.time.load(Acquire)))
    }

    /// The entry of this tag, and its time.
    fn find(&self, tag: u64) -> Option<(usize, Time)> {
        (0..WAYS).find_map(|way| {
            let (of, time) = self.entry(way);
            (of.tag() == tag && of.version() == time.version()).then_some((way, time))
        })
    }

    /// A vacant entry, which is made if there is none: of a bucket that is full, or else of that which will be soonest;
    /// true if it was not. `None` if somebody took a token there meanwhile.
    fn vacant(&self, now: u64) -> Option<(usize, bool)> {
        let (mut best, mut best_time) = (0, Time(0));
        for way in 0..WAYS {
            let (tag, time) = self.entry(way);
            if time.version() == after(tag.version()) {
                return Some((way, false));
            }
            if way == 0 || time.full() < best_time.full() {
                (best, best_time) = (way, time);
            }
        }
        let vacant = Time::new(now, after(best_time.version()));
        let vacated = self.entries[best].time.swap(best_time.0, vacant.0, AcqRel);
        vacated.then_some((best, best_time.full() > now))
    }

    /// Finishes somebody's moving in, whoever it is.
    fn finish(&self, moving: Turn) {
        let Some(entry) = self.entries.get(moving.way()) else {
            // No process of this program writes such a turn.
            self.turn.swap(moving.0, moving.ended().0, AcqRel);
            return;
        };
        for _ in 0..ROUNDS {
            let (tag, time) = (Tag(entry.tag.load(Acquire)), Time(entry.time.load(Acquire)));
            // The same turn still: what was read is of its time, and the swap below fails if the tag changes from here on.
            if self.turn.load(Acquire) != moving.0 {
                return;
            }
            let written = tag.version() == time.version();
            let write = || {
                let vacant = time.version() == after(tag.version());
                vacant && entry.tag.swap(tag.0, Tag::new(moving.tag(), time.version()).0, AcqRel)
            };
            if written || write() {
                self.turn.swap(moving.0, moving.ended().0, AcqRel);
                return;
            }
        }
    }

    /// How many entries this tag has.
    #[cfg(test)]
    pub(super) fn entries_of(&self, tag: u64) -> usize {
        let of = |way: &usize| {
            let (of, time) = self.entry(*way);
            of.tag() == tag && of.version() == time.version()
        };
        (0..WAYS).filter(of).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_was_put_in() {
        let (tag, last) = ((1 << TAG_BITS) - 2, (1 << VERSION_BITS) - 1);
        let word = Tag::new(tag, last);
        assert_eq!((word.tag(), word.version()), (tag, last));
        let time = Time::new(UNITS_MAX, last);
        assert_eq!((time.full(), time.version()), (UNITS_MAX, last));
        let begun = Turn(last).begun(6, tag);
        assert!(begun.moving() && !Turn(last).moving());
        assert_eq!((begun.way(), begun.tag(), begun.version()), (6, tag, last));
        assert_eq!(begun.ended(), Turn(0));
    }

    /// What no process of ours would write: nobody hangs, panics or reads outside.
    #[test]
    fn scribbled_rows_are_survived() {
        use std::sync::atomic::AtomicU64;
        use std::sync::atomic::Ordering::Relaxed;
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1_000 {
            let row = [Row::<AtomicU64>::default()];
            row[0].turn.store(random.u64(..), Relaxed);
            for entry in &row[0].entries {
                entry.tag.store(random.u64(..), Relaxed);
                entry.time.store(random.u64(..), Relaxed);
            }
            for _ in 0..20 {
                Table::new(&row).take(Key::new(random.u64(..)), &Rate::new(1, 1_000_000, 2), 1_000_000);
            }
        }
    }
}
