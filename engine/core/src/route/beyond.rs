//! Expressions beyond what a linear search can do: look-around, back-references, possessive and atomic groups.
//!
//! PCRE2 matches them, compiled to machine code. (Measured on four such patterns and paths: 0.5 µs a match; the same
//! library interpreting 1.5 to 2.5 µs, the crate fancy-regex 2.5 to 7 µs.) They may backtrack for ever, so the
//! effort for one subject is bounded: a search that needs more finds nothing, and says so ([`Effort`]).

use super::pattern::Slots;
use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};
use regex_automata::util::pool::Pool;
use regex_automata::util::primitives::NonMaxUsize;
use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look};
use std::fmt::Write;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Steps of one search: about 0.3 ms at most in machine code.
const STEPS_MAX: u32 = 100_000;

/// Steps where machine code cannot be made, for the same time.
const STEPS_MAX_INTERPRETED: u32 = 10_000;

/// Memory for the way back of one search.
const STACK_BYTES_MAX: usize = 512 << 10;

type MakeLocations = Box<dyn Fn() -> CaptureLocations + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// Which searches were given up, for whoever writes the log.
#[derive(Debug, Default)]
pub(crate) struct Effort {
    given_up: AtomicBool,
    /// The first pattern since somebody asked.
    pattern: Mutex<Option<String>>,
}

impl Effort {
    fn give_up(&self, pattern: &str, reason: &pcre2::Error) {
        let text = || format!("a search for {pattern:?} was given up and counts as no match: {reason}");
        self.pattern.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(text);
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// What was given up since the last call.
    #[inline]
    pub(crate) fn take(&self) -> Option<String> {
        if !self.given_up.load(Ordering::Relaxed) {
            return None;
        }
        self.given_up.store(false, Ordering::Relaxed);
        self.pattern.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A compiled expression.
pub(super) struct Beyond {
    regex: Regex,
    /// As the operator wrote it.
    text: Box<str>,
    locations: Pool<CaptureLocations, MakeLocations>,
    pub(super) effort: Arc<Effort>,
}

impl std::fmt::Debug for Beyond {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Beyond").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Beyond {
    /// Compiles an expression in Perl's language; `text` is what the operator wrote.
    ///
    /// # Errors
    /// Says in words for the operator what is wrong with it.
    pub(super) fn compile(perl: &str, ignore_case: bool, text: &str) -> Result<Beyond, String> {
        let steps = if pcre2::is_jit_available() { STEPS_MAX } else { STEPS_MAX_INTERPRETED };
        let limit = format!("(*LIMIT_MATCH={steps})");
        let regex = RegexBuilder::new()
            .caseless(ignore_case)
            .jit_if_available(true)
            .max_jit_stack_size(Some(STACK_BYTES_MAX))
            .build(&format!("{limit}{perl}"))
            .map_err(|error| {
                let at = error.offset().unwrap_or(0).saturating_sub(limit.len()) + 1;
                let whole = error.to_string();
                // The library says at which of its own bytes before it says what.
                let reason = whole.rsplit(": ").next().unwrap_or(&whole);
                format!("{reason} at byte {at} of the pattern")
            })?;
        let template = regex.capture_locations();
        let make: MakeLocations = Box::new(move || template.clone());
        Ok(Beyond { regex, text: text.into(), locations: Pool::new(make), effort: Arc::default() })
    }

    pub(super) fn is_match(&self, subject: &[u8]) -> bool {
        self.regex.is_match(subject).unwrap_or_else(|reason| {
            self.effort.give_up(&self.text, &reason);
            false
        })
    }

    pub(super) fn find(&self, subject: &[u8], slots: &mut Slots) -> bool {
        let mut locations = self.locations.get();
        match self.regex.captures_read(&mut locations, subject) {
            Ok(None) => false,
            Ok(Some(_)) => {
                for group in 0..locations.len() {
                    let (start, end) = locations.get(group).unzip();
                    slots.extend([start, end].map(|place| place.and_then(NonMaxUsize::new)));
                }
                true
            }
            Err(reason) => {
                self.effort.give_up(&self.text, &reason);
                false
            }
        }
    }
}

/// A reference to what group `number` matched, in an expression that only [`perl`] understands: a group of that name.
pub(super) fn reference(number: u32, ignore_case: bool) -> Hir {
    let name = if ignore_case { format!("(?i:\\g{{{number}}})") } else { format!("\\g{{{number}}}") };
    // What stands in it is of no account, but it must not be empty: repetitions of nothing are simplified.
    let sub = Box::new(Hir::dot(regex_syntax::hir::Dot::AnyByte));
    Hir::capture(Capture { index: u32::MAX, name: Some(name.into()), sub })
}

/// An expression in Perl's language, and how many groups it has.
pub(super) fn perl(hir: &Hir) -> (String, u32) {
    let (mut out, mut groups) = (String::new(), 0);
    write_perl(hir, &mut out, &mut groups);
    (out, groups)
}

// Writing to a String cannot fail.
fn write_perl(hir: &Hir, out: &mut String, groups: &mut u32) {
    match hir.kind() {
        HirKind::Empty => out.push_str("(?:)"),
        HirKind::Literal(literal) => literal.0.iter().for_each(|byte| _ = write!(out, "\\x{byte:02x}")),
        HirKind::Class(class) => {
            // Alternatives of one ASCII character each become a class of characters.
            let bytes = match class {
                Class::Bytes(bytes) => Some(bytes.clone()),
                Class::Unicode(characters) => characters.to_byte_class(),
            };
            match bytes.filter(|bytes| !bytes.ranges().is_empty()) {
                None => out.push_str("(?!)"),
                Some(bytes) => {
                    out.push('[');
                    for range in bytes.ranges() {
                        _ = write!(out, "\\x{:02x}-\\x{:02x}", range.start(), range.end());
                    }
                    out.push(']');
                }
            }
        }
        HirKind::Look(look) => out.push_str(match look {
            Look::Start => "\\A",
            Look::End => "\\z",
            Look::WordAscii => "\\b",
            Look::WordAsciiNegate => "\\B",
            Look::WordStartAscii => "\\b(?=\\w)",
            Look::WordEndAscii => "\\b(?<=\\w)",
            _ => "(?!)",
        }),
        HirKind::Repetition(repetition) => {
            out.push_str("(?:");
            write_perl(&repetition.sub, out, groups);
            _ = write!(out, "){{{},", repetition.min);
            if let Some(max) = repetition.max {
                _ = write!(out, "{max}");
            }
            out.push('}');
        }
        HirKind::Capture(Capture { name: Some(reference), .. }) => out.push_str(reference),
        HirKind::Capture(capture) => {
            *groups += 1;
            out.push('(');
            write_perl(&capture.sub, out, groups);
            out.push(')');
        }
        HirKind::Concat(all) => all.iter().for_each(|one| write_perl(one, out, groups)),
        HirKind::Alternation(any) => {
            out.push_str("(?:");
            for (index, one) in any.iter().enumerate() {
                out.push_str(if index > 0 { "|" } else { "" });
                write_perl(one, out, groups);
            }
            out.push(')');
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::route::pattern::{Groups, Pattern, Slots};
    use crate::route::sample::{pattern, posix};
    use ounce_conf::model::{Flavour, Kind, Pattern as Written};
    use std::sync::Arc;

    /// The groups of a match, `-` for those that took no part; an error is itself.
    fn groups(written: &Written, subject: &str) -> String {
        let pattern = match Pattern::compile(written, Groups::Wanted) {
            Ok(pattern) => pattern,
            Err(error) => return error,
        };
        let mut slots = Slots::new();
        let found = pattern.find(subject.as_bytes(), &mut slots);
        assert_eq!(found, pattern.is_match(subject.as_bytes()), "{}", written.text);
        if !found {
            return "NO".to_owned();
        }
        let shown = slots.chunks(2).map(|pair| match pair {
            [Some(start), Some(end)] => subject[start.get()..end.get()].to_owned(),
            _ => "-".to_owned(),
        });
        shown.collect::<Vec<_>>().join("|")
    }

    fn perl(text: &str) -> Written {
        pattern(Kind::Regex(Flavour::Pcre), text)
    }

    #[test]
    fn perl_patterns_look_around_and_back() {
        for (text, subject, expected) in [
            (r"^/(?!admin)(\w+)", "/shop/1", "/shop|shop"),
            (r"^/(?!admin)(\w+)", "/admin/1", "NO"),
            (r"(?<=/)item(\d+)(?=\.html)", "/item42.html", "item42|42"),
            (r"(?<!a)b", "ab", "NO"),
            (r"^/(\w+)/\1/", "/a/a/", "/a/a/|a"),
            (r"^/(\w+)/\1/", "/a/b/", "NO"),
            (r"a++b", "aab", "aab"),
            (r"a++ab", "aab", "NO"),
            (r"(?>a|ab)c", "abc", "NO"),
            (r"(a)|(b)(?=c)", "bc", "b|-|b"),
            (r"[a&&b]+", "&b", "&b"),
            (r"[a[b]", "[", "["),
            (r"\Qa.b\E", "a.b", "a.b"),
            (r"\<a", "<a", "<a"),
            (r"(?<n>a)\k<n>", "aa", "aa|a"),
            (r"(\((?:[^()]|(?1))*\))", "a(b(c))d", "(b(c))|(b(c))"),
        ] {
            assert_eq!(groups(&perl(text), subject), expected, "{text} on {subject}");
        }
        let ignoring = Written { ignore_case: true, ..perl(r"(A)\1(?!c)") };
        assert_eq!(groups(&ignoring, "aAb"), "aA|a");
    }

    #[test]
    fn what_perl_refuses_is_refused_with_its_place() {
        for (text, reason) in
            [("a(?=b", "at byte 6"), (r"(a)\2", "at byte"), ("(?<=a*)b", "at byte"), ("a(", "at byte")]
        {
            let shown = groups(&perl(text), "");
            assert!(shown.contains(reason), "{text}: {shown}");
        }
    }

    /// As regexec(3) of glibc reports them.
    #[test]
    fn posix_patterns_refer_back() {
        for (text, subject, expected) in [
            (r"^/(a|b)/\1$", "/b/b", "/b/b|b"),
            (r"^/(a|b)/\1$", "/a/b", "NO"),
            (r"(.)\1", "abccd", "cc|c"),
            (r"([a-c])([0-9])?\1\1*", "xb7bbb", "b7bbb|b|7"),
            (r"(a)|b\1", "b", "NO"),
            (r"((x)y){2}\2", "xyxyx", "xyxyx|xy|x"),
            (r"\<(.).*\1\>", "noon", "noon|n"),
            (r"[\1](a)\1", r"\aa", r"\aa|a"),
            ("([[:alpha:]]{2})\\1{,2}$", "ababab", "ababab|ab"),
        ] {
            assert_eq!(groups(&posix(text), subject), expected, "{text} on {subject}");
        }
        let ignoring = Written { ignore_case: true, ..posix(r"(h)\1") };
        assert_eq!(groups(&ignoring, "hH"), "hH|h");
        for (text, reason) in [(r"(a)\2", "byte 4"), (r"\1(a)", "byte 1"), (r"(a\1)", "byte 3")] {
            let shown = groups(&posix(text), "");
            assert!(shown.contains("no group") && shown.contains(reason), "{text}: {shown}");
        }
    }

    /// Hours of backtracking end after a while, count as no match, and are told once.
    #[test]
    fn a_search_without_end_is_given_up() {
        let mut effort = Arc::default();
        for written in [perl(r"^(a+)+(?=c)$"), perl(r"^(.*)*(?=!)\1$"), posix(r"^(a|aa)+\1[bc]")] {
            let pattern = Pattern::compile(&written, Groups::Wanted).expect("a good pattern");
            let pattern = pattern.sharing(&effort);
            let subject = "a".repeat(4000);
            assert!(!pattern.is_match(subject.as_bytes()));
            assert!(!pattern.find(subject.as_bytes(), &mut Slots::new()));
            let told = effort.take().expect("something was given up");
            assert!(told.contains(&written.text.escape_debug().to_string()), "{told}");
            assert_eq!(effort.take(), None);
            effort = Arc::default();
        }
    }
}
