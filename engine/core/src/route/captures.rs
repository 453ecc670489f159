//! What matched: groups of the latest successful matches, for back-references.

use super::auth::Question;
use super::expand::ExpandError;
use super::pattern::Slots;
use super::plan::ServiceIx;

/// How many matches back-references reach.
const MATCHES_MAX: usize = 8;

/// Groups of a request's successful matches, latest first.
///
/// Kept per connection and cleared for each request, so that its memory is reused.
#[derive(Debug, Clone, Default)]
pub struct Captures {
    text: Vec<u8>,
    /// Ends in `text` of the groups; absent for a group that took no part.
    groups: Vec<Option<(u32, u32)>>,
    matches: Vec<Match>,
    pub(crate) slots: Slots,
    /// What named conditions said about this request, by their number.
    pub(crate) evaluated: Vec<(u32, bool)>,
    /// The services that took the request and let it fall through, in their order, and how many matches there were.
    pub(crate) passed: Vec<(ServiceIx, usize)>,
    /// A text of a condition could not be expanded: what was found since is of no use.
    pub(crate) fault: Option<ExpandError>,
    /// Whether the request comes with a user's password, by the file's place among the feeds, as far as that is known.
    pub(crate) verdicts: Vec<(u32, bool)>,
    /// Whether there was a token for the request, by the number of the limit.
    pub(crate) tokens: Vec<(u32, bool)>,
    /// What must be known of a password before the selection can go on: what was found since is of no use.
    pub(crate) question: Option<Box<Question>>,
}

#[derive(Debug, Clone, Copy)]
struct Match {
    /// Where it starts in `groups` and in `text`.
    group: u32,
    text: u32,
    /// Where its tag lies in `text`.
    tag: (u32, u32),
}

impl Captures {
    /// No matches yet.
    pub fn new() -> Captures {
        Captures::default()
    }

    /// Forgets all matches and keeps the memory.
    pub fn clear(&mut self) {
        self.begin_anew();
        self.verdicts.clear();
        self.tokens.clear();
    }

    /// Forgets all matches for another selection for the same request: passwords are looked at once, and
    /// tokens taken once.
    pub(crate) fn begin_anew(&mut self) {
        self.question = None;
        self.text.clear();
        self.groups.clear();
        self.matches.clear();
        self.evaluated.clear();
        self.passed.clear();
        self.fault = None;
    }

    /// Takes up whether the request comes with the password of a user in this file.
    pub(crate) fn verdict(&mut self, feed: u32, right: bool) {
        self.verdicts.push((feed, right));
    }

    /// Group `group` of the `depth`-th latest match (0 is the latest); group 0 is the whole match. Empty for
    /// a group that took no part, `None` where there is no such match or group.
    pub fn group(&self, depth: usize, group: usize) -> Option<&[u8]> {
        if depth >= MATCHES_MAX {
            return None;
        }
        self.group_of(self.matches.len().checked_sub(depth + 1)?, group)
    }

    /// The same of the latest match of this tag, among those that are reached.
    pub(crate) fn tagged(&self, tag: &[u8], group: usize) -> Option<&[u8]> {
        let reached = self.matches.len().saturating_sub(MATCHES_MAX);
        let tagged = |one: &Match| &self.text[one.tag.0 as usize..one.tag.1 as usize] == tag;
        let place = self.matches[reached..].iter().rposition(tagged)?;
        self.group_of(reached + place, group)
    }

    fn group_of(&self, index: usize, group: usize) -> Option<&[u8]> {
        let first = self.matches.get(index)?.group as usize;
        let end = self.matches.get(index + 1).map_or(self.groups.len(), |next| next.group as usize);
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
        if let Some(&Match { group, text, .. }) = self.matches.get(mark) {
            self.groups.truncate(group as usize);
            self.text.truncate(text as usize);
            self.matches.truncate(mark);
        }
    }

    /// The matches up to `mark`, for rules of a service that saw no others.
    pub(crate) fn until(&self, mark: usize) -> Captures {
        let mut earlier = self.clone();
        earlier.rewind(mark);
        earlier
    }

    /// Records a match of `subject` whose groups stand in `self.slots`.
    pub(crate) fn push(&mut self, subject: &[u8], tag: &[u8]) {
        let base = self.text.len();
        let tag_at = base + subject.len();
        self.matches.push(Match {
            group: self.groups.len() as u32,
            text: base as u32,
            tag: (tag_at as u32, (tag_at + tag.len()) as u32),
        });
        // A subject is at most one head long, and a request has a few matches: 32 bits hold the sums.
        self.text.extend_from_slice(subject);
        self.text.extend_from_slice(tag);
        for pair in self.slots.chunks_exact(2) {
            self.groups.push(match (pair[0], pair[1]) {
                (Some(start), Some(end)) => Some(((base + start.get()) as u32, (base + end.get()) as u32)),
                _ => None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_automata::util::primitives::NonMaxUsize;

    fn push(captures: &mut Captures, subject: &str, groups: &[Option<(usize, usize)>]) {
        captures.slots = groups
            .iter()
            .flat_map(|group| match group {
                Some((start, end)) => [NonMaxUsize::new(*start), NonMaxUsize::new(*end)],
                None => [None, None],
            })
            .collect();
        captures.push(subject.as_bytes(), b"");
    }

    #[test]
    fn the_latest_match_of_a_tag_is_found() {
        let mut captures = Captures::new();
        for (text, tag) in [("a", "x"), ("b", ""), ("c", "x"), ("d", "y")] {
            captures.slots = [NonMaxUsize::new(0), NonMaxUsize::new(1)].to_vec();
            captures.push(text.as_bytes(), tag.as_bytes());
        }
        assert_eq!(captures.tagged(b"x", 0), Some(&b"c"[..]));
        assert_eq!(captures.tagged(b"y", 0), Some(&b"d"[..]));
        assert_eq!(captures.tagged(b"y", 1), None);
        assert_eq!(captures.tagged(b"z", 0), None);
        captures.rewind(2);
        assert_eq!(captures.tagged(b"x", 0), Some(&b"a"[..]));
    }

    #[test]
    fn the_latest_match_comes_first() {
        let mut captures = Captures::new();
        push(&mut captures, "abc", &[Some((0, 3)), Some((1, 2))]);
        push(&mut captures, "xyz", &[Some((1, 3)), None]);
        assert_eq!(captures.group(0, 0), Some(&b"yz"[..]));
        assert_eq!(captures.group(0, 1), Some(&b""[..]), "a group that took no part is empty");
        assert_eq!(captures.group(0, 2), None);
        assert_eq!(captures.group(1, 1), Some(&b"b"[..]));
        assert_eq!(captures.group(2, 0), None);
    }

    #[test]
    fn only_eight_matches_are_reached() {
        let mut captures = Captures::new();
        for number in 0..10 {
            push(&mut captures, &number.to_string(), &[Some((0, 1))]);
        }
        assert_eq!(captures.group(7, 0), Some(&b"2"[..]));
        assert_eq!(captures.group(8, 0), None);
    }

    #[test]
    fn rewinding_forgets_what_came_after_the_mark() {
        let mut captures = Captures::new();
        push(&mut captures, "kept", &[Some((0, 4))]);
        let mark = captures.mark();
        push(&mut captures, "gone", &[Some((0, 4))]);
        captures.rewind(mark);
        captures.rewind(mark);
        assert_eq!(captures.group(0, 0), Some(&b"kept"[..]));
        assert_eq!(captures.group(1, 0), None);
        captures.clear();
        assert_eq!(captures.group(0, 0), None);
    }
}
