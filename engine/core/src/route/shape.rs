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

    /// Something simpler that holds whenever this does; `None` if that is always, or cannot be told.
    pub(super) fn necessary(self) -> Option<Shape> {
        let shape = match self {
            Shape::Regex(hir) => plain(trimmed(&without_groups(&hir))?),
            Shape::Beyond(_) => return None,
            other => other,
        };
        let always = match &shape {
            Shape::Prefix(text) | Shape::Suffix(text) => text.bytes.is_empty(),
            Shape::Contain(bytes) => bytes.is_empty(),
            Shape::Exact(_) | Shape::Regex(_) | Shape::Beyond(_) => false,
        };
        (!always).then_some(shape)
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
        let necessary = |text| shape(text).necessary();
        assert_eq!(necessary("^/shop(/.*)?$"), Some(Shape::Prefix(text("/shop"))));
        assert_eq!(necessary("^(/shop)/.*"), Some(Shape::Prefix(text("/shop/"))));
        assert_eq!(necessary(r"^.*\.(gif)$"), Some(Shape::Suffix(text(".gif"))));
        assert_eq!(necessary(r".*/x/.*"), Some(Shape::Contain(b"/x/"[..].into())));
        for always in ["", ".*", "^.*$", "(a|b)*", "^(.*)$", "a?b?"] {
            assert_eq!(necessary(always), None, "{always}");
        }
        assert!(necessary("^$").is_some(), "anchors without anything between them ask for something");
        assert!(necessary(r"\bx?").is_some());
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
