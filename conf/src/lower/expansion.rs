//! Texts with expansions: checked here, expanded by the engine for each request (pound.md section 6).

use super::Lowering;
use super::constant::Encoding;
use crate::diag::Problem;
use crate::source::Span;

/// Accessors without an argument, with one that is optional, and with one that is not.
const BARE: [&str; 6] = ["url", "path", "query", "host", "port", "user"];
const ADDRESS: &str = "remoteip";
const NAMED: [&str; 2] = ["param", "header"];

/// Why a text can never be expanded: Pound would answer each request with 500.
struct Wrong(&'static str);

impl Lowering<'_> {
    /// A text for the engine to expand; none when it cannot be, which is reported.
    ///
    /// A `%` that starts nothing becomes `$%`, which stands for it: Pound before 4.6 took such texts as they were.
    pub(super) fn expansions(&mut self, text: &str, place: Span) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['$', '%']) {
            let (before, sign) = rest.split_at(at);
            out.push_str(before);
            let length = match read(sign) {
                Ok(Part::Known(length)) => length,
                // A constant that starts with a digit must not become part of the number before it.
                Ok(Part::Reference(length)) if sign[length..].starts_with("%[const") => {
                    out.push_str(&sign[..1]);
                    out.push('{');
                    out.push_str(&sign[1..length]);
                    out.push('}');
                    rest = &sign[length..];
                    continue;
                }
                Ok(Part::Reference(length)) => length,
                Ok(Part::Unknown(length)) => {
                    let shown = sign.get(..length).unwrap_or(sign);
                    let problem = Problem::warning(place, format!("{shown} is no known expansion"));
                    self.findings.push(problem.help("it is sent as it stands"));
                    // Also if it would mean something to the engine: `$%` is a percent sign.
                    out.push('$');
                    length
                }
                Ok(Part::Constant { name, encoding, length }) => {
                    match self.constant(name, encoding) {
                        Ok(text) => out.push_str(&text),
                        Err(reason) => {
                            self.error(place, reason);
                            return None;
                        }
                    }
                    rest = &sign[length..];
                    continue;
                }
                Ok(Part::Stray) => {
                    let problem = Problem::warning(place, "a % that starts no expansion");
                    self.findings.push(problem.help("write $% for a percent sign"));
                    out.push('$');
                    1
                }
                Err(Wrong(why)) => {
                    self.error(place, format!("bad expansion: {why}"));
                    return None;
                }
            };
            let (expansion, after) = sign.split_at(length.min(sign.len()));
            out.push_str(expansion);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }
}

/// What a dollar or percent sign starts, and how many bytes it takes.
enum Part<'t> {
    Known(usize),
    /// A reference without braces.
    Reference(usize),
    Unknown(usize),
    Constant {
        name: &'t str,
        encoding: Encoding,
        length: usize,
    },
    Stray,
}

fn read(text: &str) -> Result<Part<'_>, Wrong> {
    match text.as_bytes() {
        [b'$', b'$' | b'%', ..] => Ok(Part::Known(2)),
        [b'$', b'0'..=b'9' | b'{', ..] => reference(text),
        // A plain dollar is common in texts of all ages and means itself.
        [b'$', ..] => Ok(Part::Known(1)),
        [_, high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => Ok(Part::Known(3)),
        [_, b'0'..=b'9' | b'{', ..] => reference(text),
        [_, b'[', ..] => accessor(text),
        _ => Ok(Part::Stray),
    }
}

fn in_tag(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether matches can be referred to by this name.
pub(super) fn is_tag(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(in_tag)
}

/// `$N`, `$N(M)`, `$N(TAG)`, the same in braces, and the same with `%`.
fn reference(text: &str) -> Result<Part<'_>, Wrong> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let braced = bytes.get(1) == Some(&b'{');
    let mut at = 1 + usize::from(braced);
    let group = digits(at);
    if group == 0 {
        return Err(Wrong("the number of a group is missing"));
    }
    at += group;
    if bytes.get(at) == Some(&b'(') {
        match bytes.get(at + 1) {
            Some(b'0'..=b'9') => {
                at += 1 + digits(at + 1);
                if bytes.get(at) != Some(&b')') {
                    return Err(Wrong("a parenthesis is not closed"));
                }
                at += 1;
            }
            Some(b'a'..=b'z' | b'A'..=b'Z') => {
                let tag = bytes[at + 1..].iter().take_while(|byte| in_tag(**byte)).count();
                at += 1 + tag;
                if bytes.get(at) != Some(&b')') {
                    return Err(Wrong("a parenthesis is not closed"));
                }
                at += 1;
            }
            _ if braced => return Err(Wrong("the number of a match is missing")),
            _ => {}
        }
    }
    if braced {
        if bytes.get(at) != Some(&b'}') {
            return Err(Wrong("a brace is not closed"));
        }
        return Ok(Part::Known(at + 1));
    }
    Ok(Part::Reference(at))
}

/// `%[NAME]` and `%[NAME ARGUMENT]`.
fn accessor(text: &str) -> Result<Part<'_>, Wrong> {
    let Some(end) = text.find(']') else {
        return Err(Wrong("a bracket is not closed"));
    };
    let inner = &text[2..end];
    let (name, argument) = inner.split_once(' ').unwrap_or((inner, ""));
    let argument = argument.trim();
    if name == "const" {
        let (name, encoding) = argument.split_once(' ').unwrap_or((argument, "none"));
        let encoding = match encoding.trim() {
            "none" => Encoding::None,
            "url" => Encoding::Url,
            "base64" => Encoding::Base64,
            _ => return Err(Wrong("a constant is encoded as none, url or base64")),
        };
        return Ok(Part::Constant { name, encoding, length: end + 1 });
    }
    let known = (BARE.contains(&name) && argument.is_empty())
        || (name == ADDRESS && matches!(argument, "" | "0" | "1"))
        || (NAMED.contains(&name) && !argument.is_empty());
    Ok(if known { Part::Known(end + 1) } else { Part::Unknown(end + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<usize> {
        match read(text) {
            Ok(Part::Known(length) | Part::Reference(length)) => Some(length),
            _ => None,
        }
    }

    #[test]
    fn expansions_are_recognised_with_their_length() {
        for text in [
            "$1",
            "$12",
            "$0(3)",
            "${1}",
            "${1(2)}",
            "$1(tag)",
            "${2(a_1)}",
            "%1",
            "%41",
            "$$",
            "$%",
            "%[url]",
            "%[user]",
            "%[param a]",
        ] {
            assert_eq!(length(&format!("{text}.")), Some(text.len()), "{text}");
        }
        assert_eq!(length("$1(.)"), Some(2), "a parenthesis without a number is text");
        assert_eq!(length("$x"), Some(1), "a plain dollar is text");
    }

    #[test]
    fn what_cannot_be_expanded_is_refused() {
        for text in ["${", "${x}", "${1", "$1(2", "${1(}", "%[url", "$1(tag", "${1(a b)}", "%[const a b]"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(matches!(read("% "), Ok(Part::Stray)));
        assert!(matches!(read("%[what]"), Ok(Part::Unknown(7))));
        assert!(matches!(
            read("%[const a url]"),
            Ok(Part::Constant { name: "a", encoding: Encoding::Url, length: 14 })
        ));
        assert!(matches!(read("%[param]"), Ok(Part::Unknown(8))));
    }
}
