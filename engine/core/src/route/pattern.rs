//! A text pattern, compiled.
//!
//! Whether a pattern matches is answered without allocation. Where it matched is found only for callers
//! that keep back-references; POSIX patterns then report the leftmost-longest match as regexec(3) does.

use super::beyond::{Beyond, Effort};
use super::shape::{self, Shape, Text};
use memchr::memmem;
use ounce_conf::model::{Flavour, Kind, Pattern as Written};
use regex_automata::hybrid::dfa;
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind, meta};
use regex_syntax::hir::{Hir, Look};
use std::borrow::Cow;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Largest compiled form of one pattern in bytes. The engine's memory grows with counted repetition,
/// so a pattern such as `(a{1000}){1000}` must be refused when the configuration is loaded.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// Whether anything refers to the groups of a pattern's matches. POSIX patterns are larger if so: the
/// leftmost-longest match takes two more automata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    /// Something does.
    Wanted,
    /// Nothing does.
    Unwanted,
}

/// Where the groups of a match stand in its subject; pairs of start and end, group 0 first.
pub(crate) type Slots = Vec<Option<NonMaxUsize>>;

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    form: Form,
    /// The name of its matches for back-references; empty for none.
    tag: Box<[u8]>,
    decode: bool,
}

#[derive(Debug)]
enum Form {
    Exact(Text),
    Prefix(Text),
    Suffix(Text),
    Contain(Box<memmem::Finder<'static>>),
    Regex(Box<Regex>),
    Beyond(Box<Beyond>),
}

#[derive(Debug)]
struct Regex {
    first: meta::Regex,
    longest: Option<Longest>,
}

/// Makes the scratch memory of a lazy automaton; one exists per thread that matches at a time.
type MakeCache = Box<dyn Fn() -> dfa::Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// What finds the leftmost-longest match once its start is known.
struct Longest {
    /// All matches from a given start: where the last one ends.
    end: dfa::DFA,
    end_cache: Pool<dfa::Cache, MakeCache>,
    /// The pattern followed by the end of the text: the groups of a match of known span.
    span: meta::Regex,
}

impl std::fmt::Debug for Longest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Longest").finish_non_exhaustive()
    }
}

/// Whether a pattern of a configuration compiles, for those who check files.
///
/// # Errors
/// Says in words for the operator what is wrong with the regular expression, or that its compiled form is
/// too large.
pub fn check(written: &Written) -> Result<(), String> {
    Pattern::compile(written, Groups::Unwanted).map(drop)
}

impl Pattern {
    /// Compiles a pattern of the configuration; `groups` says whether [`Pattern::find`] will be asked.
    ///
    /// # Errors
    /// As [`check`].
    pub(crate) fn compile(written: &Written, groups: Groups) -> Result<Pattern, String> {
        let form = match shape::parse(written)? {
            Shape::Exact(text) => Form::Exact(text),
            Shape::Prefix(text) => Form::Prefix(text),
            Shape::Suffix(text) => Form::Suffix(text),
            Shape::Contain(text) => Form::Contain(Box::new(memmem::Finder::new(&text).into_owned())),
            Shape::Regex(hir) => {
                let longest = groups == Groups::Wanted && written.kind == Kind::Regex(Flavour::Posix);
                Form::Regex(Box::new(Regex::build(&hir, longest)?))
            }
            Shape::Beyond(perl) => {
                // It was text before it was parsed.
                let text = String::from_utf8_lossy(&perl.bytes);
                Form::Beyond(Box::new(Beyond::compile(&text, perl.ignore_case, &written.text)?))
            }
        };
        let tag = written.tag.as_deref().unwrap_or_default().as_bytes().into();
        Ok(Pattern { form, tag, decode: written.decode })
    }

    /// Searches that are given up are reported there.
    pub(crate) fn sharing(mut self, effort: &Arc<Effort>) -> Pattern {
        if let Form::Beyond(beyond) = &mut self.form {
            beyond.effort = Arc::clone(effort);
        }
        self
    }

    /// The name of its matches; empty for none.
    pub(crate) fn tag(&self) -> &[u8] {
        &self.tag
    }

    /// What of a subject is compared: `%XX` may have to be decoded first.
    #[inline]
    pub(crate) fn compared<'s>(&self, subject: &'s [u8]) -> Cow<'s, [u8]> {
        if self.decode && memchr::memchr(b'%', subject).is_some() {
            Cow::Owned(percent_decoded(subject))
        } else {
            Cow::Borrowed(subject)
        }
    }

    /// Whether `subject` matches.
    pub fn is_match(&self, subject: &[u8]) -> bool {
        match &self.form {
            Form::Regex(regex) => regex.first.is_match(subject),
            Form::Beyond(beyond) => beyond.is_match(subject),
            _ => self.literal_span(subject).is_some(),
        }
    }

    /// Finds the match and its groups.
    pub(crate) fn find(&self, subject: &[u8], slots: &mut Slots) -> bool {
        slots.clear();
        match &self.form {
            Form::Regex(regex) => regex.find(subject, slots),
            Form::Beyond(beyond) => beyond.find(subject, slots),
            _ => match self.literal_span(subject) {
                Some((start, end)) => {
                    slots.extend([NonMaxUsize::new(start), NonMaxUsize::new(end)]);
                    true
                }
                None => false,
            },
        }
    }

    /// Where a pattern that is no regular expression stands in `subject`.
    fn literal_span(&self, subject: &[u8]) -> Option<(usize, usize)> {
        let length = subject.len();
        match &self.form {
            Form::Exact(text) => text.is(subject).then_some((0, length)),
            Form::Prefix(text) => {
                let end = text.bytes.len();
                text.is(subject.get(..end)?).then_some((0, end))
            }
            Form::Suffix(text) => {
                let start = length.checked_sub(text.bytes.len())?;
                text.is(&subject[start..]).then_some((start, length))
            }
            Form::Contain(finder) => finder.find(subject).map(|start| (start, start + finder.needle().len())),
            Form::Regex(_) | Form::Beyond(_) => None,
        }
    }
}

impl Regex {
    fn build(hir: &Hir, longest: bool) -> Result<Regex, String> {
        let first = build_meta(hir)?;
        let longest = if longest { Some(Longest::build(hir)?) } else { None };
        Ok(Regex { first, longest })
    }

    fn find(&self, subject: &[u8], slots: &mut Slots) -> bool {
        slots.resize(self.first.group_info().slot_len(), None);
        if self.first.search_slots(&Input::new(subject), slots).is_none() {
            return false;
        }
        if let (Some(longest), Some(start), Some(end)) = (&self.longest, slots[0], slots[1]) {
            longest.extend(subject, start.get(), end.get(), slots);
        }
        true
    }
}

impl Longest {
    fn build(hir: &Hir) -> Result<Longest, String> {
        let config = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(COMPILED_BYTES_MAX))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(hir)
            .map_err(|_| "the regular expression is too large".to_owned())?;
        let end = dfa::Builder::new()
            .configure(dfa::Config::new().match_kind(MatchKind::All).skip_cache_capacity_check(true))
            .build_from_nfa(nfa)
            .map_err(|_| "the regular expression is too large".to_owned())?;
        let template = end.clone();
        let make: MakeCache = Box::new(move || template.create_cache());
        let end_cache = Pool::new(make);
        let span = build_meta(&Hir::concat(vec![hir.clone(), Hir::look(Look::End)]))?;
        Ok(Longest { end, end_cache, span })
    }

    /// Replaces a leftmost-first match by the longest one with the same start, if they differ.
    fn extend(&self, subject: &[u8], start: usize, end: usize, slots: &mut Slots) {
        let mut cache = self.end_cache.get();
        let input = Input::new(subject).range(start..).anchored(Anchored::Yes);
        // The lazy automaton may give up on its memory; the leftmost-first match is then the answer.
        let Ok(Some(longest)) = self.end.try_search_fwd(&mut cache, &input) else { return };
        if longest.offset() <= end {
            return;
        }
        let span = Input::new(&subject[..longest.offset()]).range(start..).anchored(Anchored::Yes);
        let mut found = slots.clone();
        if self.span.search_slots(&span, &mut found).is_some() {
            *slots = found;
        }
    }
}

pub(super) fn build_meta(hir: &Hir) -> Result<meta::Regex, String> {
    let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(COMPILED_BYTES_MAX));
    meta::Builder::new()
        .configure(config)
        .build_from_hir(hir)
        .map_err(|_| "the regular expression is too large".to_owned())
}

/// `%XX` as the byte it stands for (RFC 3986 2.1); a percent sign without two digits stands for itself.
pub(super) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let pair = match behind {
            [high, low, ..] if byte == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        out.push(pair.map_or(byte, |(high, low)| high << 4 | low));
        rest = if pair.is_some() { &behind[2..] } else { behind };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(kind: Kind, text: &str, ignore_case: bool) -> Result<Pattern, String> {
        Pattern::compile(
            &Written { kind, text: text.to_owned(), ignore_case, tag: None, decode: false },
            Groups::Wanted,
        )
    }

    fn span(kind: Kind, text: &str, ignore_case: bool, subject: &str) -> Option<(usize, usize)> {
        let pattern = compile(kind, text, ignore_case).expect("a good pattern");
        let mut slots = Slots::new();
        let found = pattern.find(subject.as_bytes(), &mut slots);
        assert_eq!(found, pattern.is_match(subject.as_bytes()));
        found.then(|| (slots[0].expect("a start").get(), slots[1].expect("an end").get()))
    }

    #[test]
    fn each_kind_says_where_it_matched() {
        assert_eq!(span(Kind::Exact, "abc", false, "abc"), Some((0, 3)));
        assert_eq!(span(Kind::Exact, "abc", false, "abcd"), None);
        assert_eq!(span(Kind::Exact, "ABC", true, "abc"), Some((0, 3)));
        assert_eq!(span(Kind::Prefix, "/a", false, "/a/b"), Some((0, 2)));
        assert_eq!(span(Kind::Prefix, "/A", true, "/a/b"), Some((0, 2)));
        assert_eq!(span(Kind::Prefix, "/a/b/c", false, "/a/b"), None);
        assert_eq!(span(Kind::Suffix, ".gif", false, "x.gif"), Some((1, 5)));
        assert_eq!(span(Kind::Suffix, ".GIF", true, "x.gif"), Some((1, 5)));
        assert_eq!(span(Kind::Suffix, "longer", false, "ger"), None);
        assert_eq!(span(Kind::Contain, "b.c", false, "abXcb.c"), Some((4, 7)));
        assert_eq!(span(Kind::Contain, "B.C", true, "abXcb.c"), Some((4, 7)));
        assert_eq!(span(Kind::Contain, "B", false, "abc"), None);
    }

    #[test]
    fn perl_patterns_have_their_classes_and_lazy_operators() {
        let perl = Kind::Regex(Flavour::Pcre);
        assert_eq!(span(perl, r"^/v\d+/(?<id>\w+?)/", false, "/v12/ab/"), Some((0, 8)));
        assert_eq!(span(perl, r"a|ab", false, "ab"), Some((0, 1)), "leftmost first, not longest");
        assert_eq!(span(perl, r"(?i)ABC", false, "abc"), Some((0, 3)));
        assert_eq!(span(perl, r"[\d]+", false, "a12"), Some((1, 3)));
        assert_eq!(span(perl, r"\d", false, "\u{0663}"), None, "no Unicode");
        assert_eq!(span(perl, r"a{2}{2}", false, "aaaa"), Some((0, 4)));
    }

    /// Patterns without wanted groups are only asked whether they match; the answer is the same.
    #[test]
    fn groups_do_not_change_whether_a_pattern_matches() {
        let written = Written {
            kind: Kind::Regex(Flavour::Posix),
            text: "^(a|ab)(c|bcd)$".to_owned(),
            ignore_case: false,
            tag: None,
            decode: false,
        };
        let plain = Pattern::compile(&written, Groups::Unwanted).expect("a good pattern");
        assert!(plain.is_match(b"abcd"));
        assert!(!plain.is_match(b"abd"));
        assert_eq!(check(&written), Ok(()));
    }
}
