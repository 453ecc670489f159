//! A text pattern, compiled.
//!
//! Whether a pattern matches is answered without allocation. Where it matched is found only for callers
//! that keep back-references; POSIX patterns then report the leftmost-longest match as regexec(3) does.

use super::posix;
use memchr::memmem;
use ounce_conf::model::{Flavour, Kind, Pattern as Written};
use regex_automata::hybrid::dfa;
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind, meta};
use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::{Hir, Look, translate::TranslatorBuilder};

/// Largest compiled form of one pattern in bytes. The engine's memory grows with counted repetition,
/// so a pattern such as `(a{1000}){1000}` must be refused when the configuration is loaded.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// Where the groups of a match stand in its subject; pairs of start and end, group 0 first.
pub(crate) type Slots = Vec<Option<NonMaxUsize>>;

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    form: Form,
}

#[derive(Debug)]
enum Form {
    Exact { text: Box<[u8]>, ignore_case: bool },
    Prefix { text: Box<[u8]>, ignore_case: bool },
    Suffix { text: Box<[u8]>, ignore_case: bool },
    Contain(Box<memmem::Finder<'static>>),
    Regex(Box<Regex>),
}

#[derive(Debug)]
struct Regex {
    first: meta::Regex,
    longest: Option<Longest>,
}

/// What finds the leftmost-longest match once its start is known.
struct Longest {
    /// All matches from a given start: where the last one ends.
    end: dfa::DFA,
    end_cache: Pool<
        dfa::Cache,
        Box<dyn Fn() -> dfa::Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>,
    >,
    /// The pattern followed by the end of the text: the groups of a match of known span.
    span: meta::Regex,
}

impl std::fmt::Debug for Longest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Longest").finish_non_exhaustive()
    }
}

impl Pattern {
    /// Compiles a pattern of the configuration.
    ///
    /// # Errors
    /// Says in words for the operator what is wrong with the regular expression, or that its compiled
    /// form is too large.
    pub fn compile(written: &Written) -> Result<Pattern, String> {
        let text: Box<[u8]> = written.text.as_bytes().into();
        let ignore_case = written.ignore_case;
        let form = match written.kind {
            Kind::Exact => Form::Exact { text, ignore_case },
            Kind::Prefix => Form::Prefix { text, ignore_case },
            Kind::Suffix => Form::Suffix { text, ignore_case },
            Kind::Contain if ignore_case => {
                Form::Regex(Box::new(Regex::build(&folded_literal(&text), false)?))
            }
            Kind::Contain => Form::Contain(Box::new(memmem::Finder::new(&text).into_owned())),
            Kind::Regex(Flavour::Posix) => {
                let hir = posix::translate(&written.text, ignore_case)?;
                Form::Regex(Box::new(Regex::build(&hir, true)?))
            }
            Kind::Regex(Flavour::Pcre) => {
                let hir = perl(&written.text, ignore_case)?;
                Form::Regex(Box::new(Regex::build(&hir, false)?))
            }
        };
        Ok(Pattern { form })
    }

    /// Whether `subject` matches.
    pub fn is_match(&self, subject: &[u8]) -> bool {
        match &self.form {
            Form::Regex(regex) => regex.first.is_match(subject),
            _ => self.literal_span(subject).is_some(),
        }
    }

    /// Finds the match and its groups.
    pub(crate) fn find(&self, subject: &[u8], slots: &mut Slots) -> bool {
        slots.clear();
        match &self.form {
            Form::Regex(regex) => regex.find(subject, slots),
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
            Form::Exact { text, ignore_case } => same(subject, text, *ignore_case).then_some((0, length)),
            Form::Prefix { text, ignore_case } => {
                let head = subject.get(..text.len())?;
                same(head, text, *ignore_case).then_some((0, text.len()))
            }
            Form::Suffix { text, ignore_case } => {
                let start = length.checked_sub(text.len())?;
                same(&subject[start..], text, *ignore_case).then_some((start, length))
            }
            Form::Contain(finder) => finder.find(subject).map(|start| (start, start + finder.needle().len())),
            Form::Regex(_) => None,
        }
    }
}

fn same(one: &[u8], other: &[u8], ignore_case: bool) -> bool {
    if ignore_case { one.eq_ignore_ascii_case(other) } else { one == other }
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
        let end_cache: Pool<
            _,
            Box<dyn Fn() -> dfa::Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>,
        > = Pool::new(Box::new(move || template.create_cache()));
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

fn build_meta(hir: &Hir) -> Result<meta::Regex, String> {
    let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(COMPILED_BYTES_MAX));
    meta::Builder::new()
        .configure(config)
        .build_from_hir(hir)
        .map_err(|_| "the regular expression is too large".to_owned())
}

fn folded_literal(text: &[u8]) -> Hir {
    let mut class_of = |&byte: &u8| {
        let mut class =
            regex_syntax::hir::ClassBytes::new([regex_syntax::hir::ClassBytesRange::new(byte, byte)]);
        class.case_fold_simple();
        Hir::class(regex_syntax::hir::Class::Bytes(class))
    };
    Hir::concat(text.iter().map(&mut class_of).collect())
}

/// Parses a Perl-compatible pattern.
///
/// What this engine cannot do (it matches in linear time) or would silently read otherwise is refused.
fn perl(text: &str, ignore_case: bool) -> Result<Hir, String> {
    let tree = ast::parse::ParserBuilder::new()
        .nest_limit(200)
        .build()
        .parse(text)
        .map_err(|error| refusal(error.kind(), error.span().start.offset))?;
    ast::visit(&tree, Perl)?;
    TranslatorBuilder::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(ignore_case)
        .build()
        .translate(text, &tree)
        .map_err(|error| format!("{} at byte {} of the pattern", error.kind(), error.span().start.offset + 1))
}

fn refusal(kind: &ast::ErrorKind, offset: usize) -> String {
    use ast::ErrorKind;
    let what = match kind {
        ErrorKind::UnsupportedLookAround => "look-ahead and look-behind are not supported".to_owned(),
        ErrorKind::UnsupportedBackreference => {
            "back-references inside a pattern are not supported".to_owned()
        }
        other => other.to_string(),
    };
    format!("{what}, at byte {} of the pattern", offset + 1)
}

/// Finds what this engine's syntax reads otherwise than Perl does.
struct Perl;

impl ast::Visitor for Perl {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), String> {
        if let Ast::Repetition(outer) = tree
            && let Ast::Repetition(_) = &*outer.ast
        {
            let at = outer.op.span.start.offset + 1;
            return Err(format!("possessive quantifiers are not supported, at byte {at} of the pattern"));
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, op: &ast::ClassSetBinaryOp) -> Result<(), String> {
        let at = op.span.start.offset + 1;
        Err(format!(
            "write one of the doubled characters with a backslash in the set at byte {at} of the pattern"
        ))
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), String> {
        if let ast::ClassSetItem::Bracketed(inner) = item {
            let at = inner.span.start.offset + 1;
            return Err(format!("write \\[ for a bracket inside a set, at byte {at} of the pattern"));
        }
        Ok(())
    }
}
