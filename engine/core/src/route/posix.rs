//! POSIX extended regular expressions, translated to the form the matching engine compiles.
//!
//! The language is what regcomp(3) with REG_EXTENDED takes in the C locale, the GNU operators included
//! (`\w \W \s \S \b \B \< \> \` \'`), since old configurations were written against it. It differs from
//! the engine's own syntax in ways that no rewriting of the text can bridge: a backslash is an ordinary
//! byte inside brackets, `{,n}` is an interval, `)` alone is ordinary, nothing may repeat an anchor.
//! Subjects are bytes, so there is no Unicode anywhere.

use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, Look, Repetition};

/// Deepest nesting of groups: bounds the recursion of this parser and of every pass after it.
const DEPTH_MAX: u32 = 200;

/// Largest count in an interval (RE_DUP_MAX).
const REPEAT_MAX: u32 = 32_767;

/// Translates `pattern`.
///
/// # Errors
/// Says what is wrong and at which byte of the pattern, in words for the operator.
pub(super) fn translate(pattern: &str, ignore_case: bool) -> Result<Hir, String> {
    let mut parser = Parser { bytes: pattern.as_bytes(), at: 0, groups: 0, ignore_case };
    let hir = parser.alternation(0)?;
    debug_assert_eq!(parser.at, parser.bytes.len());
    Ok(hir)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    groups: u32,
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
                return self
                    .wrong("back-references (\\1 to \\9 inside a pattern) are not supported, found one");
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
