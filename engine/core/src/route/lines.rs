//! A pattern over whole header lines, asked about all lines of a head at once.
//!
//! Old configurations choose services by `HeadRequire "Host:.*example.com"`. Asking each line of each request
//! about each service costs microseconds; one search over the block of lines costs a tenth. For that the
//! pattern is confined to a line: it matches neither CR nor LF, and its anchors are those of a line.

use super::beyond::Effort;
use super::pattern::{self, Groups, Pattern, Slots};
use super::request::Request;
use super::shape;
use ounce_conf::model::Pattern as Written;
use regex_automata::meta;
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition};
use std::sync::Arc;

/// A pattern that some whole header line must match.
#[derive(Debug)]
pub struct LinePattern {
    /// For a single line.
    line: Pattern,
    /// For the block of all lines; patterns that a linear search cannot tell have none.
    block: Option<Box<meta::Regex>>,
}

impl LinePattern {
    /// Compiles a pattern of the configuration.
    ///
    /// # Errors
    /// As [`pattern::check`].
    pub(crate) fn compile(written: &Written, groups: Groups) -> Result<LinePattern, String> {
        let line = Pattern::compile(written, groups)?;
        let block = match shape::parse(written)?.expression().as_ref().and_then(confined) {
            Some(hir) => Some(Box::new(pattern::build_meta(&hir)?)),
            None => None,
        };
        Ok(LinePattern { line, block })
    }

    /// Whether some line of the request matches.
    pub fn is_match(&self, request: &Request<'_>) -> bool {
        match (&self.block, block(request)) {
            (Some(block), Some(lines)) => block.is_match(lines),
            _ => each(request).any(|line| self.line.is_match(line)),
        }
    }

    /// Searches that are given up are reported there.
    pub(crate) fn sharing(self, effort: &Arc<Effort>) -> LinePattern {
        LinePattern { line: self.line.sharing(effort), ..self }
    }

    /// The name of its matches; empty for none.
    pub(crate) fn tag(&self) -> &[u8] {
        self.line.tag()
    }

    /// The first line that matches; its groups are left in `slots`.
    pub(crate) fn find<'a>(&self, request: &Request<'a>, slots: &mut Slots) -> Option<&'a [u8]> {
        if !self.is_match(request) {
            return None;
        }
        each(request).find(|line| self.line.find(line, slots))
    }
}

/// Each line as the client sent it, without the white space and the line end behind it.
pub(super) fn each<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a [u8]> {
    let (bytes, fields) = request.message();
    fields.iter().map(move |field| {
        // An empty value may have its span anywhere: the line then ends after the colon.
        let end = (field.value.end as usize).max(field.name.end as usize + 1);
        bytes.get(field.name.start as usize..end).unwrap_or_default()
    })
}

/// All lines together, from the first name to the end of the last value. `None` if there are none, or if the
/// bytes between them are more than line ends: white space behind a value is no part of its line, and fields that
/// were changed lie elsewhere.
pub(super) fn block<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    let (bytes, fields) = request.message();
    if fields.is_scattered() || !fields.iter().all(|field| field.is_plain(bytes)) {
        return None;
    }
    let mut fields = fields.iter();
    let first = fields.next()?;
    let last = fields.next_back().unwrap_or(first);
    bytes.get(first.name.start as usize..last.value.end as usize)
}

/// The same expression, confined to one line of a block. Whether it matches needs no groups. `None` for what
/// has no such form: characters beyond ASCII as a class, which a flag inside a Perl pattern can ask for.
pub(super) fn confined(hir: &Hir) -> Option<Hir> {
    Some(match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.iter().any(|byte| matches!(byte, b'\r' | b'\n')) => {
            Hir::fail()
        }
        HirKind::Literal(literal) => Hir::literal(literal.0.clone()),
        HirKind::Class(class) => {
            let mut bytes = match class {
                Class::Bytes(bytes) => bytes.clone(),
                Class::Unicode(unicode) => unicode.to_byte_class()?,
            };
            bytes.difference(&ClassBytes::new([b'\n', b'\r'].map(|end| ClassBytesRange::new(end, end))));
            Hir::class(Class::Bytes(bytes))
        }
        HirKind::Look(Look::Start | Look::StartLF | Look::StartCRLF) => Hir::look(Look::StartCRLF),
        HirKind::Look(Look::End | Look::EndLF | Look::EndCRLF) => Hir::look(Look::EndCRLF),
        HirKind::Look(word) => Hir::look(*word),
        HirKind::Repetition(repetition) => {
            Hir::repetition(Repetition { sub: Box::new(confined(&repetition.sub)?), ..repetition.clone() })
        }
        HirKind::Capture(capture) => confined(&capture.sub)?,
        HirKind::Concat(all) => Hir::concat(all.iter().map(confined).collect::<Option<_>>()?),
        HirKind::Alternation(any) => Hir::alternation(any.iter().map(confined).collect::<Option<_>>()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::sample::{Sample, pattern, posix};
    use ounce_conf::model::{Flavour, Kind};

    /// What the block says must be what each line by itself says.
    fn check(written: &Written, sample: &Sample) -> bool {
        let compiled = LinePattern::compile(written, Groups::Wanted).expect("a good pattern");
        let request = sample.request();
        let by_line = each(&request).any(|line| compiled.line.is_match(line));
        assert_eq!(compiled.is_match(&request), by_line, "{}", written.text);
        assert_eq!(compiled.find(&request, &mut Slots::new()).is_some(), by_line, "{}", written.text);
        by_line
    }

    #[test]
    fn a_block_matches_exactly_if_one_of_its_lines_does() {
        let samples = [
            Sample::get("/", &["Host: www.example.com", "X-A:b", "Empty:", "X-Last: end"]),
            Sample::get("/", &["Host: www.example.com", "X-A: b \t ", "Empty: ", "X-Last: end  "]),
            Sample::get("/", &["Host: h"]),
            Sample::get("/", &[]),
        ];
        let texts = [
            "^Host:.*example",
            "host",
            "^$",
            "",
            "^X-A: *b$",
            "b $",
            "com.X",
            "m[^a]+X",
            "[^a]*",
            "end$",
            "^end",
            "Empty:$",
            "Empty:.",
            "\\<b\\>",
            "\\bb\\b",
            "b\\B",
            "(^X-A|Last): ?[be]",
            "c(om)$",
            "m\\s+X",
            "m\\W+X",
            "^[[:space:]]",
            "\\`X-L",
            "d\\'",
            "x{0}",
            "(a*)*",
        ];
        for sample in &samples {
            for text in texts {
                check(&posix(text), sample);
            }
        }
        assert!(check(&posix("^X-A: *b$"), &samples[1]), "white space behind a value does not count");
        assert!(!check(&posix("com.X"), &samples[0]));
        assert!(!check(&posix("^$"), &samples[0]));
    }

    #[test]
    fn other_kinds_and_flavours_look_at_lines_too() {
        let sample = Sample::get("/", &["Host: www.example.com", "X-A: b"]);
        let perl = Kind::Regex(Flavour::Pcre);
        for (kind, text, expected) in [
            (Kind::Exact, "X-A: b", true),
            (Kind::Suffix, "com", true),
            (Kind::Prefix, "X-B", false),
            (Kind::Contain, "com\r\nX", false),
            (perl, r"^X-A:\s+b$", true),
            (perl, r"com\s+X", false),
            (perl, r"(?m)^Host", true),
            (perl, r"(?s)com.+X", false),
            (perl, r"com\K$", true),
            (perl, r"^X(?=-A)", true),
            (perl, r"e(?=xamp.*X)", false),
        ] {
            assert_eq!(check(&pattern(kind, text), &sample), expected, "{text}");
        }
    }
}
