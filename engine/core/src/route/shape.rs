//! What a pattern asks of its subject, once its text is understood.
//!
//! Many regular expressions are plain texts in disguise: `^/shop` is a beginning, `\.gif$` an end.

use super::perl;
use super::posix::{self, Translated};
use ounce_conf::model::{Flavour, Kind, Pattern as Written};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition};

/// What a pattern asks of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// To be this text.
    Exact(Text),
    /// To begin with it.
    Prefix(Text),
    /// To end with it.
    Suffix(Text),
    /// To hold these bytes.
    Contain(Box<[u8]>),
    /// To match this expression.
    Regex(Hir),
    /// To match this expression in Perl's language, which asks more than a linear search can tell.
    Beyond(Text),
}

/// A text, and whether its case matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) bytes: Box<[u8]>,
    pub(super) ignore_case: bool,
}

impl Text {
    #[inline]
    pub(super) fn is(&self, subject: &[u8]) -> bool {
        if self.ignore_case { self.bytes.eq_ignore_ascii_case(subject) } else { *self.bytes == *subject }
    }
}

/// Understands a pattern of the configuration.
///
/// # Errors
/// Says in words for the operator what is wrong with it.
pub(super) fn parse(written: &Written) -> Result<Shape, String> {
    let bytes: Box<[u8]> = written.text.as_bytes().into();
    let ignore_case = written.ignore_case;
    Ok(match written.kind {
        Kind::Exact => Shape::Exact(Text { bytes, ignore_case }),
        Kind::Prefix => Shape::Prefix(Text { bytes, ignore_case }),
        Kind::Suffix => Shape::Suffix(Text { bytes, ignore_case }),
        Kind::Contain if ignore_case => Shape::Regex(folded(&bytes)),
        Kind::Contain => Shape::Contain(bytes),
        Kind::Regex(Flavour::Posix) => match posix::translate(&written.text, ignore_case)? {
            Translated::Regex(hir) => plain(hir),
            // Case is in the expression already.
            Translated::Beyond(perl) => {
                Shape::Beyond(Text { bytes: perl.into_bytes().into(), ignore_case: false })
            }
        },
        // What one engine does not know, or knows otherwise than Perl, the other does; or says what is wrong.
        Kind::Regex(Flavour::Pcre) => match perl::parse(&written.text, ignore_case) {
            Some(hir) => plain(hir),
            None => Shape::Beyond(Text { bytes, ignore_case }),
        },
    })
}

/// The shape of an expression; that of a text if it has no groups and is one.
fn plain(hir: Hir) -> Shape {
    literal(&hir).unwrap_or(Shape::Regex(hir))
}

fn literal(hir: &Hir) -> Option<Shape> {
    let text = |literal: &[u8]| Text { bytes: literal.into(), ignore_case: false };
    let parts = match hir.kind() {
        HirKind::Literal(literal) => return Some(Shape::Contain(literal.0.clone())),
        HirKind::Concat(parts) => parts.as_slice(),
        _ => return None,
    };
    match parts.iter().map(Hir::kind).collect::<Vec<_>>()[..] {
        [HirKind::Look(Look::Start), HirKind::Literal(literal)] => Some(Shape::Prefix(text(&literal.0))),
        [HirKind::Literal(literal), HirKind::Look(Look::End)] => Some(Shape::Suffix(text(&literal.0))),
        [HirKind::Look(Look::Start), HirKind::Literal(literal), HirKind::Look(Look::End)] => {
            Some(Shape::Exact(text(&literal.0)))
        }
        _ => None,
    }
}

impl Shape {
    /// The expression that matches what this shape does, if a linear search can.
    pub(super) fn expression(&self) -> Option<Hir> {
        let of =
            |text: &Text| if text.ignore_case { folded(&text.bytes) } else { Hir::literal(&*text.bytes) };
        let (start, end) = (Hir::look(Look::Start), Hir::look(Look::End));
        Some(match self {
            Shape::Exact(text) => Hir::concat(vec![start, of(text), end]),
            Shape::Prefix(text) => Hir::concat(vec![start, of(text)]),
            Shape::Suffix(text) => Hir::concat(vec![of(text), end]),
            Shape::Contain(bytes) => Hir::literal(&**bytes),
            Shape::Regex(hir) => hir.clone(),
            Shape::Beyond(_) => return None,
        })
    }

    /// What is true of a subject whenever this is, in several ways; nothing if that is always, or cannot be told.
    pub(super) fn necessary(self) -> Vec<Necessary> {
        let mut found = match self {
            Shape::Exact(text) => vec![Necessary::Exact(text)],
            Shape::Prefix(text) => vec![Necessary::Prefix(text)],
            Shape::Suffix(text) => vec![Necessary::Suffix(text)],
            Shape::Contain(bytes) => vec![Necessary::Contain(Text { bytes, ignore_case: false })],
            Shape::Regex(hir) => match trimmed(&without_groups(&hir)) {
                Some(hir) => {
                    let mut found = runs(&hir);
                    // Texts that are all of it leave nothing to find out.
                    if !matches!(found[..], [Necessary::Exact(_)]) {
                        found.push(Necessary::Expression(hir));
                    }
                    found
                }
                None => Vec::new(),
            },
            Shape::Beyond(_) => Vec::new(),
        };
        found.retain(|necessary| match necessary {
            Necessary::Prefix(text) | Necessary::Suffix(text) | Necessary::Contain(text) => {
                !text.bytes.is_empty()
            }
            Necessary::Exact(_) | Necessary::Expression(_) => true,
        });
        found
    }
}

/// Something that must be true of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Necessary {
    /// It is this text.
    Exact(Text),
    /// It begins with it.
    Prefix(Text),
    /// It ends with it.
    Suffix(Text),
    /// It holds it.
    Contain(Text),
    /// It matches this expression.
    Expression(Hir),
}

/// Texts of an expression that are looked up; the longest of them.
const RUNS_MAX: usize = 3;

/// Shorter texts are in too many subjects.
const RUN_BYTES_MIN: usize = 3;

/// Texts that stand in every match of an expression: its parts that are just that, one behind the other.
fn runs(hir: &Hir) -> Vec<Necessary> {
    let alone = std::slice::from_ref(hir);
    let parts = if let HirKind::Concat(parts) = hir.kind() { parts.as_slice() } else { alone };
    let mut found: Vec<(usize, Necessary)> = Vec::new();
    let mut at = 0;
    while at < parts.len() {
        let (mut bytes, mut ignore_case, start) = (Vec::new(), false, at);
        while let Some((some, folded)) = parts.get(at).and_then(fixed) {
            bytes.extend_from_slice(&some);
            ignore_case |= folded;
            at += 1;
        }
        let begins = start.checked_sub(1).is_some_and(|before| before == 0 && is(&parts[0], Look::Start));
        let ends = at + 1 == parts.len() && is(&parts[at], Look::End);
        at += 1;
        if bytes.len() < RUN_BYTES_MIN && !(begins || ends) || bytes.is_empty() {
            continue;
        }
        let length = bytes.len();
        if ignore_case {
            bytes.make_ascii_lowercase();
        }
        let text = Text { bytes: bytes.into(), ignore_case };
        let necessary = match (begins, ends) {
            (true, true) => Necessary::Exact(text),
            (true, false) => Necessary::Prefix(text),
            (false, true) => Necessary::Suffix(text),
            (false, false) => Necessary::Contain(text),
        };
        found.push((length, necessary));
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.truncate(RUNS_MAX);
    found.into_iter().map(|(_, necessary)| necessary).collect()
}

/// The only text that a part matches, and whether in any case.
fn fixed(hir: &Hir) -> Option<(Vec<u8>, bool)> {
    let class = match hir.kind() {
        HirKind::Literal(literal) => return Some((literal.0.to_vec(), false)),
        HirKind::Class(Class::Bytes(class)) => class.clone(),
        HirKind::Class(Class::Unicode(class)) => class.to_byte_class()?,
        _ => return None,
    };
    let mut bytes = class.ranges().iter().flat_map(|range| range.start()..=range.end());
    match (bytes.next()?, bytes.next(), bytes.next()) {
        (only, None, _) => Some((vec![only], false)),
        (upper, Some(lower), None) if upper.is_ascii_uppercase() && lower == upper.to_ascii_lowercase() => {
            Some((vec![lower], true))
        }
        _ => None,
    }
}

fn without_groups(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(without_groups(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Capture(capture) => without_groups(&capture.sub),
        HirKind::Concat(all) => Hir::concat(all.iter().map(without_groups).collect()),
        HirKind::Alternation(any) => Hir::alternation(any.iter().map(without_groups).collect()),
    }
}

/// Leaves out what may be empty at either end, the anchor behind it included; `None` if nothing is left.
fn trimmed(hir: &Hir) -> Option<Hir> {
    let HirKind::Concat(parts) = hir.kind() else {
        return (!may_be_empty(hir)).then(|| hir.clone());
    };
    let mut parts = parts.as_slice();
    loop {
        parts = match parts {
            [rest @ .., part] if may_be_empty(part) => rest,
            [rest @ .., part, end] if may_be_empty(part) && is(end, Look::End) => rest,
            [part, rest @ ..] if may_be_empty(part) => rest,
            [start, part, rest @ ..] if is(start, Look::Start) && may_be_empty(part) => rest,
            _ => break,
        };
    }
    match parts {
        // An end of the subject is always there.
        [] => None,
        [end] if is(end, Look::Start) || is(end, Look::End) => None,
        left => Some(Hir::concat(left.to_vec())),
    }
}

fn is(hir: &Hir, look: Look) -> bool {
    matches!(hir.kind(), HirKind::Look(found) if *found == look)
}

fn may_be_empty(hir: &Hir) -> bool {
    let properties = hir.properties();
    properties.minimum_len() == Some(0) && properties.look_set().is_empty()
}

fn folded(text: &[u8]) -> Hir {
    let folded = text.iter().map(|&byte| {
        let mut class = ClassBytes::new([ClassBytesRange::new(byte, byte)]);
        class.case_fold_simple();
        Hir::class(Class::Bytes(class))
    });
    Hir::concat(folded.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::sample::{pattern, posix};

    fn shape(text: &str) -> Shape {
        parse(&posix(text)).expect("a good pattern")
    }

    fn text(bytes: &str) -> Text {
        Text { bytes: bytes.as_bytes().into(), ignore_case: false }
    }

    #[test]
    fn expressions_that_are_texts_are_told_apart_from_others() {
        assert_eq!(shape("^/shop"), Shape::Prefix(text("/shop")));
        assert_eq!(shape(r"\.gif$"), Shape::Suffix(text(".gif")));
        assert_eq!(shape(r"^/a\.b$"), Shape::Exact(text("/a.b")));
        assert_eq!(shape("abc"), Shape::Contain(b"abc"[..].into()));
        for other in ["", "^", "^a*", "^(a)", "a.c", "a|b", "^a^b", "a$b"] {
            assert!(matches!(shape(other), Shape::Regex(_)), "{other}");
        }
        let ignoring = Written { ignore_case: true, ..posix("^a") };
        assert!(matches!(parse(&ignoring), Ok(Shape::Regex(_))));
    }

    #[test]
    fn what_is_necessary_leaves_out_what_may_be_empty() {
        let texts = |pattern: &Written| {
            let mut found = parse(pattern).expect("a good pattern").necessary();
            found.retain(|necessary| !matches!(necessary, Necessary::Expression(_)));
            found
        };
        let necessary = |pattern: &str| texts(&posix(pattern));
        assert_eq!(necessary("^/shop(/.*)?$"), [Necessary::Prefix(text("/shop"))]);
        assert_eq!(necessary("^(/shop)/.*"), [Necessary::Prefix(text("/shop/"))]);
        assert_eq!(necessary(r"^.*\.(gif)$"), [Necessary::Suffix(text(".gif"))]);
        assert_eq!(necessary(r".*/x/.*"), [Necessary::Contain(text("/x/"))]);
        assert_eq!(
            necessary("^/a[0-9]+/[a-z]*/longer.x[.]html$"),
            [
                Necessary::Contain(text("/longer")),
                Necessary::Suffix(text("x.html")),
                Necessary::Prefix(text("/a"))
            ]
        );
        let folded = Text { ignore_case: true, ..text("host: a.b") };
        let ignoring = Written { ignore_case: true, ..posix("^Host: A[.]b") };
        assert_eq!(texts(&ignoring), [Necessary::Prefix(folded)]);
        assert_eq!(necessary("ab|cd"), []);
        for always in ["", ".*", "^.*$", "(a|b)*", "^(.*)$", "a?b?"] {
            assert_eq!(shape(always).necessary(), [], "{always}");
        }
        for some in ["^$", r"\bx?", "a+", "(ab|cd)e"] {
            assert_ne!(shape(some).necessary(), [], "{some}");
        }
    }

    #[test]
    fn every_shape_has_its_expression() {
        for (kind, expected) in [
            (Kind::Exact, Shape::Exact(text("/a"))),
            (Kind::Prefix, Shape::Prefix(text("/a"))),
            (Kind::Suffix, Shape::Suffix(text("/a"))),
            (Kind::Contain, Shape::Contain(b"/a"[..].into())),
        ] {
            let parsed = parse(&pattern(kind, "/a")).expect("a text");
            assert_eq!(parsed, expected);
            assert_eq!(parsed.expression().map(plain), Some(expected));
        }
    }
}
