//! POSIX extended regular expressions, translated to the form the matching engine compiles.
//!
//! The language is what regcomp(3) with REG_EXTENDED takes in the C locale, the GNU operators included
//! (`\w \W \s \S \b \B \< \> \` \'`), since old configurations were written against it. It differs from
//! the engine's own syntax in ways that no rewriting of the text can bridge: a backslash is an ordinary
//! byte inside brackets, `{,n}` is an interval, `)` alone is ordinary, nothing may repeat an anchor.
//! Subjects are bytes, so there is no Unicode anywhere.

use super::beyond;
use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, Look, Repetition};

/// Deepest nesting of groups: bounds the recursion of this parser and of every pass after it.
const DEPTH_MAX: u32 = 200;

/// Largest count in an interval (RE_DUP_MAX).
const REPEAT_MAX: u32 = 32_767;

/// Translates `pattern`.
///
/// # Errors
/// Says what is wrong and at which byte of the pattern, in words for the operator.
pub(super) fn translate(pattern: &str, ignore_case: bool) -> Result<Translated, String> {
    let mut parser = Parser {
        bytes: pattern.as_bytes(),
        at: 0,
        groups: 0,
        closed: Vec::new(),
        refers: false,
        ignore_case,
    };
    let hir = parser.alternation(0)?;
    debug_assert_eq!(parser.at, parser.bytes.len());
    if !parser.refers {
        return Ok(Translated::Regex(hir));
    }
    let (perl, groups) = beyond::perl(&hir);
    if groups != parser.groups {
        // A group that can never match, as in `(a){0}`, is not there any more, and those behind it are counted.
        return Err("back-references cannot stand beside a group that is never matched".to_owned());
    }
    Ok(Translated::Beyond(perl))
}

/// What an expression has become.
pub(super) enum Translated {
    /// The form that the engine compiles.
    Regex(Hir),
    /// With back-references, which glibc allows: the same in Perl's language.
    Beyond(String),
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    groups: u32,
    /// The groups that are complete.
    closed: Vec<u32>,
    /// Some back-reference stands in it.
    refers: bool,
    ignore_case: bool,
}

/// One element of a concatenation, and whether a repetition may follow it.
struct Piece {
    hir: Hir,
    anchor: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{what} at byte {} of the pattern", self.at + 1))
    }

    fn alternation(&mut self, depth: u32) -> Result<Hir, String> {
        if depth > DEPTH_MAX {
            return self.wrong("groups are nested too deeply");
        }
        let mut branches = vec![self.concatenation(depth)?];
        while self.eat(b'|') {
            branches.push(self.concatenation(depth)?);
        }
        Ok(Hir::alternation(branches))
    }

    fn concatenation(&mut self, depth: u32) -> Result<Hir, String> {
        let mut pieces = Vec::new();
        while let Some(byte) = self.peek() {
            // A closing parenthesis ends a group; outside of any it is an ordinary byte.
            if byte == b'|' || (byte == b')' && depth > 0) {
                break;
            }
            let Piece { mut hir, anchor } = self.piece(depth)?;
            while let Some((min, max)) = self.repeat()? {
                if anchor {
                    return self.wrong("nothing to repeat before the operator");
                }
                hir = Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(hir) });
            }
            pieces.push(hir);
        }
        Ok(Hir::concat(pieces))
    }

    fn piece(&mut self, depth: u32) -> Result<Piece, String> {
        let byte = self.bytes[self.at];
        let hir = match byte {
            b'*' | b'+' | b'?' | b'{' => return self.wrong("nothing to repeat before the operator"),
            b'^' | b'$' => {
                self.at += 1;
                let look = if byte == b'^' { Look::Start } else { Look::End };
                return Ok(Piece { hir: Hir::look(look), anchor: true });
            }
            b'\\' => return self.escape(),
            b'(' => self.group(depth)?,
            b'[' => self.bracket()?,
            b'.' => {
                self.at += 1;
                Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(1, 255)])))
            }
            _ => {
                self.at += 1;
                self.literal(byte)
            }
        };
        Ok(Piece { hir, anchor: false })
    }

    fn group(&mut self, depth: u32) -> Result<Hir, String> {
        let opened_at = self.at;
        self.at += 1;
        self.groups += 1;
        let index = self.groups;
        let sub = self.alternation(depth + 1)?;
        if !self.eat(b')') {
            self.at = opened_at;
            return self.wrong("this ( is never closed");
        }
        self.closed.push(index);
        Ok(Hir::capture(Capture { index, name: None, sub: Box::new(sub) }))
    }

    fn escape(&mut self) -> Result<Piece, String> {
        let Some(&byte) = self.bytes.get(self.at + 1) else {
            return self.wrong("a backslash ends the pattern");
        };
        let look = match byte {
            b'`' => Some(Look::Start),
            b'\'' => Some(Look::End),
            b'b' => Some(Look::WordAscii),
            b'B' => Some(Look::WordAsciiNegate),
            b'<' => Some(Look::WordStartAscii),
            b'>' => Some(Look::WordEndAscii),
            b'1'..=b'9' => {
                let number = u32::from(byte - b'0');
                if !self.closed.contains(&number) {
                    return self.wrong("no group of this number ends before the back-reference");
                }
                self.at += 2;
                self.refers = true;
                return Ok(Piece { hir: beyond::reference(number, self.ignore_case), anchor: false });
            }
            _ => None,
        };
        self.at += 2;
        if let Some(look) = look {
            return Ok(Piece { hir: Hir::look(look), anchor: true });
        }
        let hir = match byte {
            b'w' | b'W' => class_hir(word_class(), byte == b'W'),
            b's' | b'S' => class_hir(named_class(b"space").unwrap_or_else(ClassBytes::empty), byte == b'S'),
            _ => self.literal(byte),
        };
        Ok(Piece { hir, anchor: false })
    }

    fn literal(&self, byte: u8) -> Hir {
        if self.ignore_case && byte.is_ascii_alphabetic() {
            let (lower, upper) = (byte.to_ascii_lowercase(), byte.to_ascii_uppercase());
            let ranges = [ClassBytesRange::new(upper, upper), ClassBytesRange::new(lower, lower)];
            return Hir::class(Class::Bytes(ClassBytes::new(ranges)));
        }
        Hir::literal([byte])
    }

    /// A repetition operator, if one stands here: least and most.
    fn repeat(&mut self) -> Result<Option<(u32, Option<u32>)>, String> {
        let bounds = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => return self.interval().map(Some),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(bounds))
    }

    fn interval(&mut self) -> Result<(u32, Option<u32>), String> {
        let opened_at = self.at;
        self.at += 1;
        let least = self.number()?;
        let (min, max) = if self.eat(b',') {
            (least.unwrap_or(0), self.number()?)
        } else if let Some(least) = least {
            (least, Some(least))
        } else {
            return self.wrong("expected a number after {");
        };
        if !self.eat(b'}') {
            self.at = opened_at;
            return self.wrong("this { does not open an interval such as {2,3}");
        }
        if max.is_some_and(|max| max < min) {
            self.at = opened_at;
            return self.wrong("the interval's first number is larger than its second");
        }
        Ok((min, max))
    }

    fn number(&mut self) -> Result<Option<u32>, String> {
        let mut value = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let next = value.unwrap_or(0) * 10 + u32::from(digit - b'0');
            if next > REPEAT_MAX {
                return self.wrong("an interval may count up to 32767");
            }
            value = Some(next);
            self.at += 1;
        }
        Ok(value)
    }

    /// A bracket expression (POSIX XBD 9.3.5). A backslash is ordinary in it.
    fn bracket(&mut self) -> Result<Hir, String> {
        let opened_at = self.at;
        self.at += 1;
        let negated = self.eat(b'^');
        let mut class = ClassBytes::empty();
        let mut first = true;
        loop {
            let Some(byte) = self.peek() else {
                self.at = opened_at;
                return self.wrong("this [ is never closed");
            };
            if byte == b']' && !first {
                self.at += 1;
                break;
            }
            first = false;
            self.bracket_item(&mut class, opened_at)?;
        }
        if self.ignore_case {
            class.case_fold_simple();
        }
        Ok(class_hir(class, negated))
    }

    /// One byte, range, `[:class:]`, `[=x=]` or `[.x.]`.
    fn bracket_item(&mut self, class: &mut ClassBytes, opened_at: usize) -> Result<(), String> {
        if self.bytes[self.at..].starts_with(b"[:") {
            let name = self.bracket_name(b":]", opened_at)?;
            match named_class(name) {
                Some(named) => class.union(&named),
                None => return self.wrong("unknown character class before this byte,"),
            }
            return self.no_range_here();
        }
        let equivalence = self.bytes[self.at..].starts_with(b"[=");
        let start = self.bracket_byte(opened_at)?;
        let ranged =
            self.peek() == Some(b'-') && self.bytes.get(self.at + 1).is_some_and(|&next| next != b']');
        if !ranged {
            class.push(ClassBytesRange::new(start, start));
            return Ok(());
        }
        if equivalence {
            return self.no_range_here();
        }
        self.at += 1;
        if self.bytes[self.at..].starts_with(b"[:") || self.bytes[self.at..].starts_with(b"[=") {
            return self.wrong("a class cannot end a range, found one");
        }
        let end = self.bracket_byte(opened_at)?;
        if end < start {
            return self.wrong("the range before this byte ends before it starts,");
        }
        class.push(ClassBytesRange::new(start, end));
        // `a-c-e` is refused by regcomp too: the end of a range cannot start another.
        self.no_range_here()
    }

    fn no_range_here(&self) -> Result<(), String> {
        let ranged =
            self.peek() == Some(b'-') && self.bytes.get(self.at + 1).is_some_and(|&next| next != b']');
        if ranged { self.wrong("no range can start before this -,") } else { Ok(()) }
    }

    /// A single byte of a bracket expression, perhaps spelled `[.x.]` or `[=x=]`.
    fn bracket_byte(&mut self, opened_at: usize) -> Result<u8, String> {
        let close: &[u8; 2] = match self.bytes.get(self.at..self.at + 2) {
            Some(b"[.") => b".]",
            Some(b"[=") => b"=]",
            _ => {
                let Some(byte) = self.peek() else {
                    self.at = opened_at;
                    return self.wrong("this [ is never closed");
                };
                self.at += 1;
                return Ok(byte);
            }
        };
        match self.bracket_name(close, opened_at)? {
            &[byte] => Ok(byte),
            _ => {
                self.wrong("only single characters can be collating elements, see the one before this byte,")
            }
        }
    }

    fn bracket_name(&mut self, close: &[u8; 2], opened_at: usize) -> Result<&[u8], String> {
        let start = self.at + 2;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let Some(length) = rest.windows(2).position(|pair| pair == close) else {
            self.at = opened_at;
            return self.wrong("this [ is never closed");
        };
        self.at = start + length + 2;
        Ok(&self.bytes[start..start + length])
    }
}

fn class_hir(mut class: ClassBytes, negated: bool) -> Hir {
    if negated {
        class.negate();
    }
    Hir::class(Class::Bytes(class))
}

fn word_class() -> ClassBytes {
    let mut class = named_class(b"alnum").unwrap_or_else(ClassBytes::empty);
    class.push(ClassBytesRange::new(b'_', b'_'));
    class
}

/// The classes of the C locale.
fn named_class(name: &[u8]) -> Option<ClassBytes> {
    let ranges: &[(u8, u8)] = match name {
        b"alnum" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
        b"alpha" => &[(b'A', b'Z'), (b'a', b'z')],
        b"blank" => &[(b'\t', b'\t'), (b' ', b' ')],
        b"cntrl" => &[(0, 0x1f), (0x7f, 0x7f)],
        b"digit" => &[(b'0', b'9')],
        b"graph" => &[(0x21, 0x7e)],
        b"lower" => &[(b'a', b'z')],
        b"print" => &[(0x20, 0x7e)],
        b"punct" => &[(0x21, 0x2f), (0x3a, 0x40), (0x5b, 0x60), (0x7b, 0x7e)],
        b"space" => &[(b'\t', b'\r'), (b' ', b' ')],
        b"upper" => &[(b'A', b'Z')],
        b"xdigit" => &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')],
        _ => return None,
    };
    Some(ClassBytes::new(ranges.iter().map(|&(start, end)| ClassBytesRange::new(start, end))))
}

#[cfg(test)]
mod tests {
    use crate::route::pattern::{Groups, Pattern};
    use crate::route::sample::posix;
    use ounce_conf::model::Pattern as Written;

    /// Pattern, subject, and the groups as regexec(3) of glibc reports them.
    const MATCHES: &[(&str, &str, &str)] = &[
        ("(a|ab)(c|bcd)(d*)", "abcd", "0,4|0,1|1,4|4,4"),
        ("(http|https)://([^/]*)(/.*)?", "https://h/x", "0,11|0,5|8,9|9,11"),
        ("/(foo|foobar)(.*)", "/foobarbaz", "0,10|1,4|4,10"),
        ("/(foo|foobar)", "/foobarbaz", "0,7|1,7"),
        ("(a*)(ab)*(b*)", "abb", "0,3|0,1|-|1,3"),
        ("(ab|a)(bc)?", "abc", "0,3|0,1|1,3"),
        ("x*", "aaa", "0,0"),
        (r"(.*)\.(gif|jpe?g)$", "/i/a.b.jpeg", "0,11|0,6|7,11"),
        ("[[:alpha:]_][[:alnum:]_]*", "1ab_2", "1,5"),
        ("[^]]x", "ax", "0,2"),
        ("[]a]+", "]a", "0,2"),
        ("a{,3}b", "aab", "0,3"),
        ("a{,}", "aaa", "0,3"),
        ("a{0}b", "ab", "1,2"),
        ("a{1}{2}", "aa", "0,2"),
        (r"^\.(.*)$", ".foo", "0,4|1,4"),
        ("a||b", "b", "0,1"),
        ("|a", "a", "0,1"),
        ("(|a)", "a", "0,1|0,1"),
        (r"\<foo\>", "a foo b", "2,5"),
        (r"\bfoo\B", "foobar", "0,3"),
        (r"\`a", "a", "0,1"),
        (r"[\d]+", r"d\1", "0,2"),
        (r"[\]]", r"\]", "0,2"),
        ("a**", "aaa", "0,3"),
        ("()", "a", "0,0|0,0"),
        ("(a*)*", "b", "0,0|0,0"),
        ("(a|b)*", "ab", "0,2|1,2"),
        ("((a)|(b))*", "ab", "0,2|1,2|0,1|1,2"),
        ("/+(.*)", "//a", "0,3|2,3"),
        ("a)", "a)", "0,2"),
        ("(a))", "a)", "0,2|0,1"),
        (")", ")", "0,1"),
        (r"a\{2", "a{2", "0,3"),
        (r"\d", "d", "0,1"),
        (r"\w+", "ab_", "0,3"),
        (r"\s+", " \t", "0,2"),
        (r"\(a\)", "(a)", "0,3"),
        ("[[.-.]]", "-", "0,1"),
        ("[[=a=]]", "a", "0,1"),
        ("[a-]", "-", "0,1"),
        ("[--/]", ".", "0,1"),
        ("(^a|b)", "a", "0,1|0,1"),
        ("x^a", "x^a", "NO"),
        ("a$b", "a$b", "NO"),
        (r"[^\]]", "a", "NO"),
    ];

    /// What regcomp(3) refuses, and a word of our reason.
    const REFUSED: &[(&str, &str)] = &[
        ("{x", "repeat"),
        ("^*", "repeat"),
        (r"\`*", "repeat"),
        (r"\<*", "repeat"),
        ("*a", "repeat"),
        ("a|*b", "repeat"),
        ("(*a)", "repeat"),
        ("(?:a)", "repeat"),
        ("a|{2}", "repeat"),
        ("a{x", "expected a number"),
        ("a{1", "interval"),
        ("a{-1}", "expected a number"),
        ("a{2,1}", "larger than its second"),
        ("a{1,2,3}", "interval"),
        ("a{65536}", "32767"),
        (r"a\", "backslash ends"),
        ("[b-a]", "ends before it starts"),
        ("[a-z-9]", "no range"),
        ("[[:foo:]]", "unknown character class"),
        ("[[:alpha:]-z]", "no range"),
        ("[a-[:alpha:]]", "class cannot end"),
        ("[[.hyphen.]]", "collating"),
        ("[a", "never closed"),
        ("[]", "never closed"),
        ("[[:alpha:]", "never closed"),
        ("[[:alpha", "never closed"),
        ("(a", "never closed"),
    ];

    fn written(text: &str, ignore_case: bool) -> Written {
        Written { ignore_case, ..posix(text) }
    }

    fn groups(text: &str, subject: &[u8], ignore_case: bool) -> String {
        let pattern = match Pattern::compile(&written(text, ignore_case), Groups::Wanted) {
            Ok(pattern) => pattern,
            Err(error) => return error,
        };
        let mut slots = Vec::new();
        let found = pattern.find(subject, &mut slots);
        assert_eq!(found, pattern.is_match(subject), "{text}");
        if !found {
            return "NO".to_owned();
        }
        let shown: Vec<String> = slots
            .chunks(2)
            .map(|pair| match (pair[0], pair[1]) {
                (Some(start), Some(end)) => format!("{},{}", start.get(), end.get()),
                _ => "-".to_owned(),
            })
            .collect();
        shown.join("|")
    }

    #[test]
    fn matches_and_groups_are_those_of_regexec() {
        for &(pattern, subject, expected) in MATCHES {
            assert_eq!(groups(pattern, subject.as_bytes(), false), expected, "{pattern} on {subject}");
        }
    }

    #[test]
    fn what_regcomp_refuses_is_refused_with_a_reason() {
        for &(pattern, reason) in REFUSED {
            let shown = groups(pattern, b"", false);
            assert!(shown.contains(reason), "{pattern}: {shown}");
        }
    }

    #[test]
    fn case_is_ignored_everywhere_and_only_for_ascii() {
        assert_eq!(groups("^host: [a-c]x[^q]", b"HOST: BXz", true), "0,9");
        assert_eq!(groups("[^q]", b"Q", true), "NO");
        assert_eq!(groups("k", "\u{212a}".as_bytes(), true), "NO");
        assert_eq!(groups("k", b"K", false), "NO");
    }

    #[test]
    fn subjects_are_bytes() {
        assert_eq!(groups("^.{2}$", "é".as_bytes(), false), "0,2");
        assert_eq!(groups("a.b", b"a\xffb", false), "0,3");
        assert_eq!(groups("é+", "éé".as_bytes(), false), "0,2", "the operator repeats the last byte");
    }

    /// Depth of nesting and size of the compiled form have caps: the operator's file cannot take the process down.
    #[test]
    fn monsters_are_refused() {
        let deep = format!("{}a{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(groups(&deep, b"a", false).contains("nested too deeply"));
        let large = "(([a-z]{1000}){1000}){1000}";
        assert!(groups(large, b"a", false).contains("too large"));
    }
}
