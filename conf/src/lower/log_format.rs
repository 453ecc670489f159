//! The text of a log format (pound.md section 12) to what a line holds.

use super::time_format;
use crate::model::{
    LogField, LogFormat, LogLine, LogMoment, LogObject, LogPiece, LogStep, TimeFormat, TimeUnit,
};

/// The built-in formats by their numbers.
pub(super) const BUILT_IN: [(&str, &str); 6] = [
    ("null", ""),
    ("regular", "%a %r - %>s"),
    ("extended", "%a %r - %>s (%{Host}i/%{service}N -> %{backend}N) %{f}T sec"),
    ("vhost_combined", r#"%v:%p %a %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i""#),
    ("combined", r#"%a %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i""#),
    (
        "detailed",
        r#"%v:%p %a %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i" (%{service}N -> %{backend}N) %{f}T sec"#,
    ),
];

/// Conversions without an argument, and their names in objects.
static BARE: [(&str, &str, LogField); 22] = [
    ("a", "client", LogField::Originator),
    ("A", "local", LogField::Local),
    ("b", "bytes", LogField::BytesOrDash),
    ("B", "bytes", LogField::Bytes),
    ("D", "us", LogField::Elapsed(TimeUnit::Micros)),
    ("h", "peer", LogField::Peer),
    ("H", "scheme", LogField::Scheme),
    ("l", "ident", LogField::Ident),
    ("m", "method", LogField::Method),
    ("p", "port", LogField::Port),
    ("P", "worker", LogField::Worker),
    ("q", "query", LogField::Query),
    ("r", "request", LogField::RequestLine),
    ("s", "status", LogField::Status),
    (">s", "status_line", LogField::StatusLine),
    ("t", "time", LogField::Time(LogMoment::Begin, TimeFormat::Common)),
    ("T", "seconds", LogField::Elapsed(TimeUnit::Seconds)),
    ("u", "user", LogField::User),
    ("U", "path", LogField::Path),
    ("v", "host", LogField::Host),
    ("{request}B", "request_bytes", LogField::RequestBytes),
    ("{response}B", "bytes", LogField::Bytes),
];

/// Conversions with an argument that is one of a few words, and their names in objects.
static WORDS: [(&str, &str, LogField); 15] = [
    ("{listener}N", "listener", LogField::Name(LogObject::Listener)),
    ("{service}N", "service", LogField::Name(LogObject::Service)),
    ("{backend}N", "backend", LogField::Name(LogObject::Backend)),
    ("{listener}L", "listener_place", LogField::Place(LogObject::Listener)),
    ("{service}L", "service_place", LogField::Place(LogObject::Service)),
    ("{backend}L", "backend_place", LogField::Place(LogObject::Backend)),
    ("{f}T", "seconds", LogField::Elapsed(TimeUnit::Fraction)),
    ("{s}T", "seconds", LogField::Elapsed(TimeUnit::Seconds)),
    ("{ms}T", "ms", LogField::Elapsed(TimeUnit::Millis)),
    ("{us}T", "us", LogField::Elapsed(TimeUnit::Micros)),
    ("{side}E", "ended_by", LogField::Side),
    ("{step}E", "ended_in", LogField::Step),
    ("{retries}E", "retries", LogField::Retries),
    ("{SSL_PROTOCOL}x", "tls", LogField::TlsVersion),
    ("{SSL_CIPHER}x", "tls_cipher", LogField::TlsCipher),
];

const STEPS: [(&str, LogStep); 8] = [
    ("receive", LogStep::Receive),
    ("route", LogStep::Route),
    ("pick", LogStep::Pick),
    ("link", LogStep::Link),
    ("ask", LogStep::Ask),
    ("answer", LogStep::Answer),
    ("relay", LogStep::Relay),
    ("tunnel", LogStep::Tunnel),
];

const UNITS: [(&str, TimeUnit); 4] =
    [("f", TimeUnit::Fraction), ("s", TimeUnit::Seconds), ("ms", TimeUnit::Millis), ("us", TimeUnit::Micros)];

/// A built-in format by its number or its name.
pub(super) fn built_in(level: usize) -> Option<LogFormat> {
    let (name, text) = BUILT_IN.get(level)?;
    // A test reads them all.
    let pieces = parse_text(text).unwrap_or_default();
    Some(LogFormat { name: (*name).to_owned(), line: LogLine::Text(pieces) })
}

/// A format of this name and text. The error is a sentence.
pub(super) fn parse(name: &str, text: &str, json: bool) -> Result<LogFormat, String> {
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err("a log format is one line without control characters".to_owned());
    }
    let line = if json { LogLine::Json(parse_members(text)?) } else { LogLine::Text(parse_text(text)?) };
    Ok(LogFormat { name: name.to_owned(), line })
}

/// Text with conversions in it.
fn parse_text(text: &str) -> Result<Vec<LogPiece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        add_text(before, &mut pieces);
        if let Some(after) = after.strip_prefix('%') {
            add_text("%", &mut pieces);
            rest = after;
        } else {
            let (field, _, after) = conversion(after)?;
            pieces.push(LogPiece::Field(field));
            rest = after;
        }
    }
    add_text(rest, &mut pieces);
    Ok(pieces)
}

fn add_text(text: &str, pieces: &mut Vec<LogPiece>) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(LogPiece::Text(before)) => before.push_str(text),
        _ => pieces.push(LogPiece::Text(text.to_owned())),
    }
}

/// Members apart by blanks: a conversion, or a name, `=` and a conversion.
fn parse_members(text: &str) -> Result<Vec<(String, LogField)>, String> {
    let mut members: Vec<(String, LogField)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((given, after)) = rest.split_once('%') else {
            return Err(format!("{rest} is no NAME=%CONVERSION"));
        };
        let (field, own_name, after) = conversion(after)?;
        let name = match given.strip_suffix('=') {
            Some(name) if !name.is_empty() && !name.contains([' ', '\t', '=', '"', '\\']) => name.to_owned(),
            None if given.is_empty() => own_name,
            _ => return Err(format!("{given}% does not begin a member; NAME=%CONVERSION does")),
        };
        if members.iter().any(|(known, _)| *known == name) {
            return Err(format!("a second member is named {name}"));
        }
        if !after.is_empty() && !after.starts_with([' ', '\t']) {
            return Err("members stand apart by blanks".to_owned());
        }
        members.push((name, field));
        rest = after.trim_start();
    }
    if members.is_empty() {
        return Err("an object without members says nothing".to_owned());
    }
    Ok(members)
}

/// Reads the conversion after a `%`. Returns it, its name in objects, and what follows it.
fn conversion(text: &str) -> Result<(LogField, String, &str), String> {
    let after_argument = match text.strip_prefix('{') {
        None => text,
        Some(open) => match open.split_once('}') {
            Some((_, after)) => after,
            None => return Err("a brace of the log format is not closed".to_owned()),
        },
    };
    let letters = if after_argument.starts_with('>') { 2 } else { 1 };
    let after_letter = match after_argument.char_indices().nth(letters) {
        Some((at, _)) => &after_argument[at..],
        None if after_argument.chars().count() == letters => "",
        None => return Err("the log format ends within a conversion".to_owned()),
    };
    let whole = &text[..text.len() - after_letter.len()];
    match BARE.iter().chain(WORDS.iter()).find(|(known, ..)| *known == whole) {
        Some((_, name, field)) => Ok((field.clone(), (*name).to_owned(), after_letter)),
        None => {
            let (field, name) = with_argument(whole)?;
            Ok((field, name, after_letter))
        }
    }
}

/// A conversion whose argument is free.
fn with_argument(whole: &str) -> Result<(LogField, String), String> {
    let unknown = || format!("%{whole} is no conversion of a log format");
    let (argument, letter) =
        whole.strip_prefix('{').and_then(|open| open.split_once('}')).ok_or_else(unknown)?;
    match letter {
        "i" | "I" if !argument.is_empty() => {
            let name = argument.to_ascii_lowercase().replace('-', "_");
            let field = if letter == "i" { LogField::Header } else { LogField::HeaderOrDash };
            Ok((field(argument.to_owned()), name))
        }
        "t" => {
            let (moment, format) = time_format::parse(argument)?;
            Ok((LogField::Time(moment, format), "time".to_owned()))
        }
        "T" => {
            let (step, unit) = argument.split_once(':').unwrap_or((argument, "us"));
            let step = STEPS.iter().find(|(known, _)| *known == step).ok_or_else(unknown)?;
            let unit = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(unknown)?;
            Ok((LogField::Spent(step.1, unit.1), format!("{}_{}", step.0, unit.0)))
        }
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<Vec<LogPiece>, String> {
        match parse("x", text, false)?.line {
            LogLine::Text(pieces) => Ok(pieces),
            LogLine::Json(_) => panic!("an object"),
        }
    }

    fn members(text: &str) -> Result<Vec<(String, LogField)>, String> {
        match parse("x", text, true)?.line {
            LogLine::Json(members) => Ok(members),
            LogLine::Text(_) => panic!("text"),
        }
    }

    #[test]
    fn the_built_in_formats_are_formats() {
        for (_, format) in BUILT_IN {
            assert!(text(format).is_ok_and(|pieces| pieces.is_empty() == format.is_empty()), "{format}");
        }
    }

    #[test]
    fn every_letter_is_read() {
        for format in [
            "%a%A%b%B%D%h%H%l%m%p%P%q%r%s%>s%t%T%u%U%v",
            "100%% %{begin:%d/%b}t %{end:msec_frac}t %{us}T %{f}T %{s}T %{ms}T %{listener}L %{Host}i %{X-Y}I",
            "%{service}N %{backend}N %{service}L %{side}E %{step}E %{retries}E %{request}B %{response}B",
            "%{receive}T %{route:ms}T %{pick:f}T %{link:s}T %{ask:us}T %{answer}T %{relay}T %{tunnel}T",
            "%{SSL_PROTOCOL}x %{SSL_CIPHER}x",
        ] {
            assert!(text(format).is_ok(), "{format}");
        }
        let text_of = |text: &str| LogPiece::Text(text.to_owned());
        let percent = vec![text_of("a%b "), LogPiece::Field(LogField::Method), text_of("%")];
        assert_eq!(text("a%%b %m%%"), Ok(percent));
    }

    #[test]
    fn what_is_no_conversion_is_an_error() {
        for format in [
            "%",
            "%z",
            "%{Host",
            "%{Host}",
            "%i",
            "%{}i",
            "%{x}N",
            "%{h}T",
            "%{a}b",
            "%>r",
            "%>",
            "a\nb",
            "%é",
            "a\u{7}",
            "%{link:h}T",
            "%{x:ms}T",
            "%{x}E",
            "%E",
            "%x",
            "%{SSL_SESSION_ID}x",
            "%{%Q}t",
            "%{x}a",
        ] {
            assert!(text(format).is_err(), "{format}");
        }
    }

    #[test]
    fn members_have_names_of_their_own_or_given_ones() {
        let read = members("  %a code=%s %{User-Agent}i\t%{link:ms}T t=%{%d %b}t ").unwrap();
        let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["client", "code", "user_agent", "link_ms", "t"]);
        for wrong in ["", "x", "=%a", "a b=%a", "x%a", "%a%b", "%b %B", "a=%a a=%b", "a\"=%a", "%%", "%a,%b"]
        {
            assert!(members(wrong).is_err(), "{wrong}");
        }
    }
}
