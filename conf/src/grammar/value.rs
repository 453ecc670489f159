//! A token to the value its row asks for.

use super::Kind;
use crate::lex::{self, Token};
use crate::tree::Value;
use std::path::Path;
use std::time::Duration;

/// `Type` of a session, in the order of the row's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionType {
    Ip,
    Basic,
    Url,
    Parm,
    Cookie,
    Header,
}

impl SessionType {
    pub(crate) const ALL: [SessionType; 6] = [
        SessionType::Ip,
        SessionType::Basic,
        SessionType::Url,
        SessionType::Parm,
        SessionType::Cookie,
        SessionType::Header,
    ];
}

/// Longest time that can be given: ten years of 365 days.
const TIME_MAX_S: u64 = 10 * 365 * 24 * 3600;

/// Reads a token as `kind` asks; relative file names start at `base`. The error says what was expected.
pub(crate) fn read(kind: Kind, token: &Token, base: &Path) -> Result<Value, String> {
    let quoted = token.kind == lex::Kind::Text;
    let text = token.text.as_str();
    let bare_only = |value: Option<Value>| match value {
        Some(value) if !quoted => Ok(value),
        Some(_) => Err(format!("{text} without quotes")),
        None => Err(kind.expected()),
    };
    match kind {
        Kind::Text | Kind::File | Kind::Source if !quoted => Err(format!("\"{text}\" in double quotes")),
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::File | Kind::Source if text.is_empty() => Err(kind.expected()),
        Kind::File => Ok(Value::File(base.join(text))),
        Kind::Source => Ok(Value::Source(text.to_owned(), base.join(text))),
        Kind::Name | Kind::Address | Kind::Port if text.is_empty() => Err(kind.expected()),
        Kind::Name | Kind::Address => Ok(Value::Text(text.to_owned())),
        Kind::Port => port(text).ok_or_else(|| kind.expected()),
        Kind::Number { min, max } => bare_only(ranged(digits(text), min, max)),
        Kind::Size { min, max } => bare_only(ranged(size(text), min, max)),
        Kind::Time { min } => bare_only(time(text, min)),
        Kind::TimeOrNegative { min } => bare_only(negative(text).or_else(|| time(text, min))),
        Kind::Octal => bare_only(octal(text)),
        Kind::Flag => bare_only(flag(text)),
        Kind::Word(words) => {
            bare_only(words.iter().position(|w| w.eq_ignore_ascii_case(text)).map(Value::Word))
        }
        Kind::Code(codes) => bare_only(digits(text).filter(|n| codes.contains(n)).map(Value::Number)),
        Kind::LogFormat if quoted => Ok(Value::Text(text.to_owned())),
        Kind::LogFormat => ranged(digits(text), 0, 5).ok_or_else(|| kind.expected()),
    }
}

/// A decimal number without sign.
fn digits(text: &str) -> Option<u64> {
    // `parse` alone would accept a plus sign.
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

fn ranged(number: Option<u64>, min: u64, max: u64) -> Option<Value> {
    number.filter(|n| (min..=max).contains(n)).map(Value::Number)
}

/// A number and a unit of one letter, if there is one.
fn with_unit(text: &str) -> Option<(u64, Option<char>)> {
    match text.chars().last()? {
        last if last.is_ascii_digit() => Some((digits(text)?, None)),
        last if last.is_ascii() => Some((digits(&text[..text.len() - 1])?, Some(last))),
        _ => None,
    }
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = with_unit(text)?;
    let unit = match unit {
        None => 1,
        Some('k' | 'K') => 1 << 10,
        Some('m' | 'M') => 1 << 20,
        Some('g' | 'G') => 1 << 30,
        Some(_) => return None,
    };
    number.checked_mul(unit)
}

fn time(text: &str, min: u64) -> Option<Value> {
    let (number, unit) = with_unit(text)?;
    let unit = match unit {
        None | Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 24 * 3600,
        Some(_) => return None,
    };
    let seconds = number.checked_mul(unit).filter(|s| (min..=TIME_MAX_S).contains(s))?;
    Some(Value::Time(Duration::from_secs(seconds)))
}

fn negative(text: &str) -> Option<Value> {
    let number = digits(text.strip_prefix('-')?)?;
    (number > 0).then_some(Value::Negative)
}

fn octal(text: &str) -> Option<Value> {
    digits(text)?;
    u64::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).map(Value::Number)
}

fn flag(text: &str) -> Option<Value> {
    match text {
        "1" | "yes" | "true" | "on" => Some(Value::Flag(true)),
        "0" | "no" | "false" | "off" => Some(Value::Flag(false)),
        _ => None,
    }
}

/// A number in the range of ports, or a name that `/etc/services` may know.
fn port(text: &str) -> Option<Value> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return ranged(digits(text), 1, 65535);
    }
    let name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
    let letter = text.bytes().any(|b| b.is_ascii_alphabetic());
    (name && letter).then(|| Value::Text(text.to_owned()))
}

impl Kind {
    /// What the argument must look like, to be read after "expected".
    pub(crate) fn expected(self) -> String {
        match self {
            Kind::Text => "a string in double quotes".to_owned(),
            Kind::File => "a file name in double quotes".to_owned(),
            Kind::Source => "a file name or URI in double quotes".to_owned(),
            Kind::Name => "a name".to_owned(),
            Kind::Number { min, max: u64::MAX } => format!("a number from {min}"),
            Kind::Number { min, max } => format!("a number from {min} to {max}"),
            Kind::Size { min: 0, .. } => "a number of bytes, such as 65536 or 64k".to_owned(),
            Kind::Size { min, max: 0xffff_ffff.. } => format!("at least {min} bytes, such as 65536 or 64k"),
            Kind::Size { min, max } => format!("{min} to {max} bytes, such as 65536 or 64k"),
            Kind::Time { min: 0 } => "seconds, or a time such as 90s, 2m, 1h or 1d".to_owned(),
            Kind::Time { min } => format!("at least {min} second, or a time such as 90s, 2m, 1h or 1d"),
            Kind::TimeOrNegative { min } => format!("{}, or -1", Kind::Time { min }.expected()),
            Kind::Octal => "permission bits in octal, such as 660".to_owned(),
            Kind::Flag => "yes, true, on, 1, or no, false, off, 0 (in lower case)".to_owned(),
            Kind::Address => "an address, a host name or a socket path".to_owned(),
            Kind::Port => "a port (1 to 65535) or the name of a service".to_owned(),
            Kind::Word(words) => one_of(words),
            Kind::Code(codes) => one_of(&codes.iter().map(ToString::to_string).collect::<Vec<_>>()),
            Kind::LogFormat => "0 to 5, or the name of a format in double quotes".to_owned(),
        }
    }
}

/// `a, b or c`.
fn one_of<T: AsRef<str>>(words: &[T]) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", first.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_a_unit() {
        for (text, seconds) in [("0", 0), ("15", 15), ("90s", 90), ("2m", 120), ("1h", 3600), ("1d", 86400)] {
            assert_eq!(time(text, 0), Some(Value::Time(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "s", "-1", "+1", "1.5", "1w", "1S", "99999999999999999999", "9999999d", "1é"] {
            assert_eq!(time(text, 0), None, "{text}");
        }
        assert_eq!(time("0", 1), None);
    }

    #[test]
    fn sizes_take_a_unit_and_do_not_overflow() {
        for (text, bytes) in
            [("4096", 4096), ("64k", 65536), ("64K", 65536), ("2m", 2 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["k", "1kb", "18446744073709551615k", "-1"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    /// The upper-case forms were never accepted by Pound.
    #[test]
    fn booleans_are_lower_case() {
        for text in ["1", "yes", "true", "on"] {
            assert_eq!(flag(text), Some(Value::Flag(true)));
        }
        for text in ["Yes", "ON", "2", ""] {
            assert_eq!(flag(text), None);
        }
    }

    #[test]
    fn ports_are_numbers_in_range_or_names() {
        assert_eq!(port("80"), Some(Value::Number(80)));
        assert_eq!(port("http-alt"), Some(Value::Text("http-alt".to_owned())));
        for text in ["0", "65536", "-1", "80;", "+", "8 0"] {
            assert_eq!(port(text), None, "{text}");
        }
    }
}
