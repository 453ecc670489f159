//! Regular expressions over one subject, scanned together.

use regex_automata::hybrid::dfa::{self, OverlappingState};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchError, MatchKind};
use regex_syntax::hir::Hir;

/// Memory of one automaton's description at most; larger sets of expressions make several automata.
const NFA_BYTES_MAX: usize = 16 << 20;

/// Memory of the states of one automaton. They are made as requests need them, and made anew when the memory is full.
const STATE_BYTES_MAX: usize = 8 << 20;

/// After so many times the automaton gives up on a subject for which it would have to make a state for every few
/// bytes: making one costs as much as a hundred bytes.
const CLEARS_MAX: usize = 2;
const BYTES_PER_STATE_MIN: usize = 4;

/// An automaton for many expressions.
#[derive(Debug, Clone)]
pub(super) struct Patterns {
    dfa: dfa::DFA,
    /// Their numbers.
    numbers: Vec<u32>,
}

/// Memory for a search.
pub(super) struct Memory {
    cache: dfa::Cache,
}

/// Matches of one subject, over all expressions: with more, looking further costs more than asking the services.
const MATCHES_MAX: usize = 256;

impl Patterns {
    /// Automata for all expressions; the numbers of those that are too large for any are the second answer.
    pub(super) fn build(expressions: &[(u32, Hir)]) -> (Vec<Patterns>, Vec<u32>) {
        let (mut built, mut left_out) = (Vec::new(), Vec::new());
        let mut waiting = vec![expressions];
        while let Some(some) = waiting.pop() {
            match (Patterns::of(some), some) {
                _ if some.is_empty() => {}
                (Some(patterns), _) => built.push(patterns),
                (None, [only]) => left_out.push(only.0),
                (None, _) => {
                    let (one, other) = some.split_at(some.len() / 2);
                    waiting.extend([other, one]);
                }
            }
        }
        (built, left_out)
    }

    fn of(expressions: &[(u32, Hir)]) -> Option<Patterns> {
        let config = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(NFA_BYTES_MAX))
            .which_captures(thompson::WhichCaptures::None);
        let expression: Vec<&Hir> = expressions.iter().map(|(_, hir)| hir).collect();
        let nfa = thompson::Compiler::new().configure(config).build_many_from_hir(&expression).ok()?;
        let config = dfa::Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(STATE_BYTES_MAX)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(CLEARS_MAX))
            .minimum_bytes_per_state(Some(BYTES_PER_STATE_MIN));
        let dfa = dfa::Builder::new().configure(config).build_from_nfa(nfa).ok()?;
        Some(Patterns { dfa, numbers: expressions.iter().map(|(number, _)| *number).collect() })
    }

    pub(super) fn memory(&self) -> Memory {
        Memory { cache: self.dfa.create_cache() }
    }

    /// Tells the number of each expression that matches `subject`; when the automaton gives up, of each that may.
    pub(super) fn each(&self, subject: &[u8], memory: &mut Memory, hit: &mut dyn FnMut(u32)) {
        if self.each_found(subject, memory, hit).is_err() {
            self.numbers.iter().for_each(|&number| hit(number));
        }
    }

    fn each_found(
        &self,
        subject: &[u8],
        memory: &mut Memory,
        hit: &mut dyn FnMut(u32),
    ) -> Result<(), MatchError> {
        let (input, mut state) = (Input::new(subject), OverlappingState::start());
        for _ in 0..MATCHES_MAX {
            self.dfa.try_search_overlapping_fwd(&mut memory.cache, &input, &mut state)?;
            match state.get_match() {
                Some(found) => hit(self.numbers[found.pattern().as_usize()]),
                None => return Ok(()),
            }
        }
        Err(MatchError::gave_up(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::shape;

    fn expression(text: &str) -> Hir {
        let written = crate::route::sample::posix(text);
        match shape::parse(&written).expect("a good pattern") {
            shape::Shape::Regex(hir) => hir,
            other => panic!("{text} is {other:?}"),
        }
    }

    fn found(patterns: &[Patterns], subject: &str) -> Vec<u32> {
        let mut numbers = Vec::new();
        for one in patterns {
            one.each(subject.as_bytes(), &mut one.memory(), &mut |number| numbers.push(number));
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    #[test]
    fn all_that_match_are_told_and_no_others() {
        let texts = ["^/a[0-9]+$", "[0-9]", "b|c", "^$", "\\bx", "(a|ab)(c|bcd)$"];
        let expressions: Vec<(u32, Hir)> = (10..).zip(texts.map(expression)).collect();
        let (patterns, left_out) = Patterns::build(&expressions);
        assert!(left_out.is_empty());
        assert_eq!(found(&patterns, "/a12"), [10, 11]);
        assert_eq!(found(&patterns, ""), [13]);
        assert_eq!(found(&patterns, "abcd x"), [12, 14]);
        assert_eq!(found(&patterns, "abcd"), [12, 15]);
    }

    #[test]
    fn what_is_too_large_for_one_automaton_makes_several() {
        let large = |number: u32| (number, expression(&format!("x{number}[a-z]{{9000}}y")));
        let mut expressions: Vec<(u32, Hir)> = (0..40).map(large).collect();
        expressions.push((40, expression("([a-z]{1000}){1000}")));
        let (patterns, left_out) = Patterns::build(&expressions);
        assert!(patterns.len() > 1);
        assert_eq!(left_out, [40]);
        let subject = format!("x7{}y", "q".repeat(9000));
        assert!(found(&patterns, &subject).contains(&7), "nothing that matches is left out");
    }
}
