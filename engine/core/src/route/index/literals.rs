//! Texts that are compared as they stand: which of many a subject equals, begins with or ends with.

use std::cmp::Ordering;
use std::collections::HashMap;

/// Texts and their numbers.
#[derive(Debug, Default)]
pub(super) struct Literals {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    prefixes: Affixes<Forward>,
    suffixes: Affixes<Backward>,
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

    /// To be called when all texts are there.
    pub(super) fn arrange(&mut self) {
        self.prefixes.arrange();
        self.suffixes.arrange();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.list.is_empty() && self.suffixes.list.is_empty()
    }

    /// Tells the number of each text that `subject` equals, begins with or ends with.
    pub(super) fn each(&self, subject: &[u8], hit: &mut dyn FnMut(u32)) {
        if !self.exact.is_empty()
            && let Some(numbers) = self.exact.get(subject)
        {
            numbers.iter().for_each(|&number| hit(number));
        }
        self.prefixes.each(subject, hit);
        self.suffixes.each(subject, hit);
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
            }
            literals.arrange();
            for subject in &words {
                let mut expected = Vec::new();
                for (number, word) in (0..).zip(&chosen) {
                    expected.extend((subject == *word).then_some(number));
                    expected.extend(subject.starts_with(word.as_str()).then_some(number + 1000));
                    expected.extend(subject.ends_with(word.as_str()).then_some(number + 2000));
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
        literals.arrange();
        assert_eq!(found(&literals, "a"), [0_u32; 0]);
    }
}
