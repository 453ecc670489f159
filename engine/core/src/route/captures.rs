//! What matched: groups of the latest successful matches, for back-references.

use super::pattern::Slots;

/// How many matches back-references reach.
const MATCHES_MAX: usize = 8;

/// Groups of a request's successful matches, latest first.
///
/// Kept per connection and cleared for each request, so that its memory is reused.
#[derive(Debug, Default)]
pub struct Captures {
    text: Vec<u8>,
    /// Ends in `text` of the groups; absent for a group that took no part.
    groups: Vec<Option<(u32, u32)>>,
    /// Where each match starts in `groups` and in `text`.
    matches: Vec<(u32, u32)>,
    pub(crate) slots: Slots,
}

impl Captures {
    /// No matches yet.
    pub fn new() -> Captures {
        Captures::default()
    }

    /// Forgets all matches and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.groups.clear();
        self.matches.clear();
    }

    /// Group `group` of the `depth`-th latest match (0 is the latest); group 0 is the whole match. Empty for
    /// a group that took no part, `None` where there is no such match or group.
    pub fn group(&self, depth: usize, group: usize) -> Option<&[u8]> {
        if depth >= MATCHES_MAX {
            return None;
        }
        let index = self.matches.len().checked_sub(depth + 1)?;
        let first = self.matches[index].0 as usize;
        let end = self.matches.get(index + 1).map_or(self.groups.len(), |&(next, _)| next as usize);
        match self.groups[first..end].get(group)? {
            Some((start, end)) => Some(&self.text[*start as usize..*end as usize]),
            None => Some(&[]),
        }
    }

    /// How many matches there are: the mark to return to with [`Captures::rewind`].
    pub(crate) fn mark(&self) -> usize {
        self.matches.len()
    }

    /// Forgets the matches since `mark`: an alternative that turned out false leaves no trace.
    pub(crate) fn rewind(&mut self, mark: usize) {
        if let Some(&(group, text)) = self.matches.get(mark) {
            self.groups.truncate(group as usize);
            self.text.truncate(text as usize);
            self.matches.truncate(mark);
        }
    }

    /// Records a match of `subject` whose groups stand in `self.slots`.
    pub(crate) fn push(&mut self, subject: &[u8]) {
        let base = self.text.len();
        self.matches.push((self.groups.len() as u32, base as u32));
        // A subject is at most one head long, and a request has a few matches: 32 bits hold the sums.
        self.text.extend_from_slice(subject);
        for pair in self.slots.chunks_exact(2) {
            self.groups.push(match (pair[0], pair[1]) {
                (Some(start), Some(end)) => Some(((base + start.get()) as u32, (base + end.get()) as u32)),
                _ => None,
            });
        }
    }
}
