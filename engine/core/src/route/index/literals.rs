//! Texts that are compared as they stand: which of many a subject equals, begins with, ends with or holds.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::cmp::Ordering;
use std::collections::HashMap;

/// Texts and their numbers.
#[derive(Debug, Default)]
pub(super) struct Literals {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    prefixes: Affixes<Forward>,
    suffixes: Affixes<Backward>,
    within: Within,
}

/// Texts to be found anywhere, by one automaton.
#[derive(Debug, Default)]
struct Within {
    texts: Vec<(Box<[u8]>, u32)>,
    automaton: Option<AhoCorasick>,
}

/// Texts of so many bytes together get the faster automaton; it takes some hundred bytes for each.
const FAST_BYTES_MAX: usize = 32 << 10;

impl Within {
    /// The numbers of texts for which there is no automaton.
    fn arrange(&mut self) -> Vec<u32> {
        if self.texts.is_empty() {
            return Vec::new();
        }
        let bytes: usize = self.texts.iter().map(|(text, _)| text.len()).sum();
        let kind =
            if bytes <= FAST_BYTES_MAX { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let mut builder = AhoCorasick::builder();
        let built = builder.match_kind(MatchKind::Standard).kind(Some(kind));
        self.automaton = built.build(self.texts.iter().map(|(text, _)| text)).ok();
        match self.automaton {
            Some(_) => Vec::new(),
            None => self.texts.iter().map(|(_, number)| *number).collect(),
        }
    }

    fn each(&self, subject: &[u8], hit: &mut dyn FnMut(u32)) {
        let Some(automaton) = &self.automaton else { return };
        // An automaton of this kind can always tell all that it finds.
        let Ok(found) = automaton.try_find_overlapping_iter(subject) else { return };
        found.for_each(|found| hit(self.texts[found.pattern().as_usize()].1));
    }
}

impl Literals {
    pub(super) fn add_exact(&mut self, text: &[u8], number: u32) {
        self.exact.entry(text.into()).or_default().push(number);
    }

    pub(super) fn add_prefix(&mut self, text: &[u8], number: u32) {
        self.prefixes.add(text, number);
    }

    pub(super) fn add_suffix(&mut self, text: &[u8], number: u32) {
        self.suffixes.add(text, number);
    }

    pub(super) fn add_within(&mut self, text: &[u8], number: u32) {
        self.within.texts.push((text.into(), number));
    }

    /// To be called when all texts are there. Answers the numbers of texts that cannot be looked up.
    pub(super) fn arrange(&mut self) -> Vec<u32> {
        self.prefixes.arrange();
        self.suffixes.arrange();
        self.within.arrange()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty()
            && self.prefixes.list.is_empty()
            && self.suffixes.list.is_empty()
            && self.within.texts.is_empty()
    }

    /// Tells the number of each text that `subject` equals, begins with, ends with or holds.
    pub(super) fn each(&self, subject: &[u8], hit: &mut dyn FnMut(u32)) {
        if !self.exact.is_empty()
            && let Some(numbers) = self.exact.get(subject)
        {
            numbers.iter().for_each(|&number| hit(number));
        }
        self.prefixes.each(subject, hit);
        self.suffixes.each(subject, hit);
        self.within.each(subject, hit);
    }
}

/// From which end texts are read.
trait Direction: std::fmt::Debug + Default {
    /// How many bytes two texts have in common from that end.
    fn common(one: &[u8], other: &[u8]) -> usize;

    /// The byte at a distance from that end.
    fn at(text: &[u8], distance: usize) -> Option<u8>;
}

#[derive(Debug, Default)]
struct Forward;

#[derive(Debug, Default)]
struct Backward;

impl Direction for Forward {
    #[inline]
    fn common(one: &[u8], other: &[u8]) -> usize {
        one.iter().zip(other).take_while(|(one, other)| one == other).count()
    }

    #[inline]
    fn at(text: &[u8], distance: usize) -> Option<u8> {
        text.get(distance).copied()
    }
}

impl Direction for Backward {
    #[inline]
    fn common(one: &[u8], other: &[u8]) -> usize {
        one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count()
    }

    #[inline]
    fn at(text: &[u8], distance: usize) -> Option<u8> {
        text.len().checked_sub(distance + 1).map(|index| text[index])
    }
}

/// Beginnings or ends, in the order of their bytes.
///
/// All that a subject begins with lie on one path: from the last text that is not greater than the subject over the
/// longest text that begins it, and so on. So one binary search finds them all, however many there are.
#[derive(Debug, Default)]
struct Affixes<D> {
    list: Vec<Affix>,
    direction: std::marker::PhantomData<D>,
}

#[derive(Debug)]
struct Affix {
    text: Box<[u8]>,
    number: u32,
    /// The longest other text of the list that begins this one.
    within: Option<u32>,
}

impl<D: Direction> Affixes<D> {
    fn add(&mut self, text: &[u8], number: u32) {
        self.list.push(Affix { text: text.into(), number, within: None });
    }

    fn arrange(&mut self) {
        self.list.sort_by(|one, other| compare::<D>(&one.text, &other.text).0);
        let mut open: Vec<u32> = Vec::new();
        for index in 0..self.list.len() {
            let begins = |&outer: &u32| {
                let outer = &self.list[outer as usize].text;
                D::common(outer, &self.list[index].text) == outer.len()
            };
            while open.last().is_some_and(|outer| !begins(outer)) {
                open.pop();
            }
            self.list[index].within = open.last().copied();
            open.push(index as u32);
        }
    }

    fn each(&self, subject: &[u8], hit: &mut dyn FnMut(u32)) {
        let after =
            self.list.partition_point(|affix| compare::<D>(&affix.text, subject).0 != Ordering::Greater);
        let Some(mut affix) = after.checked_sub(1).map(|index| &self.list[index]) else { return };
        let common = D::common(&affix.text, subject);
        loop {
            if affix.text.len() <= common {
                hit(affix.number);
            }
            match affix.within {
                Some(outer) => affix = &self.list[outer as usize],
                None => return,
            }
        }
    }
}

/// Their order, and how many bytes they have in common.
#[inline]
fn compare<D: Direction>(one: &[u8], other: &[u8]) -> (Ordering, usize) {
    let common = D::common(one, other);
    (D::at(one, common).cmp(&D::at(other, common)), common)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(literals: &Literals, subject: &str) -> Vec<u32> {
        let mut numbers = Vec::new();
        literals.each(subject.as_bytes(), &mut |number| numbers.push(number));
        numbers.sort_unstable();
        // What stands in it twice is told twice.
        numbers.dedup();
        numbers
    }

    /// Every text over two letters up to a length, against every subject: whatever a comparison of each would find.
    #[test]
    fn all_texts_are_found_that_a_search_would_find() {
        let mut words = vec![String::new()];
        for length in 1..=5_u32 {
            for bits in 0..1_u32 << length {
                words.push((0..length).map(|bit| if bits >> bit & 1 == 0 { 'a' } else { 'b' }).collect());
            }
        }
        for step in [1, 2, 3, 7] {
            let mut literals = Literals::default();
            let chosen: Vec<&String> = words.iter().skip(step % 3).step_by(step).collect();
            for (number, word) in (0..).zip(&chosen) {
                literals.add_exact(word.as_bytes(), number);
                literals.add_prefix(word.as_bytes(), number + 1000);
                literals.add_suffix(word.as_bytes(), number + 2000);
                if !word.is_empty() {
                    literals.add_within(word.as_bytes(), number + 3000);
                }
            }
            assert!(literals.arrange().is_empty());
            for subject in &words {
                let mut expected = Vec::new();
                for (number, word) in (0..).zip(&chosen) {
                    expected.extend((subject == *word).then_some(number));
                    expected.extend(subject.starts_with(word.as_str()).then_some(number + 1000));
                    expected.extend(subject.ends_with(word.as_str()).then_some(number + 2000));
                    let within = !word.is_empty() && subject.contains(word.as_str());
                    expected.extend(within.then_some(number + 3000));
                }
                expected.sort_unstable();
                assert_eq!(found(&literals, subject), expected, "{subject}");
            }
        }
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let mut literals = Literals::default();
        assert!(literals.is_empty());
        assert!(literals.arrange().is_empty());
        assert_eq!(found(&literals, "a"), [0_u32; 0]);
    }
}
