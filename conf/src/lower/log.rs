//! Log formats and facilities.

use super::Lowering;
use crate::Unserved;
use crate::diag::Problem;
use crate::model::{LogFormat, LogLevel, LogTarget};
use crate::source::Span;
use crate::suggest;
use crate::tree::Statement;
use std::collections::HashMap;

const LEVELS: [(&str, LogLevel); 6] = [
    ("null", LogLevel::Null),
    ("regular", LogLevel::Regular),
    ("extended", LogLevel::Extended),
    ("vhost_combined", LogLevel::VhostCombined),
    ("combined", LogLevel::Combined),
    ("detailed", LogLevel::Detailed),
];

/// RFC 3164 4.1.1, by the names of syslog.conf(5).
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// What a `LogLevel` names.
#[derive(Clone)]
pub(super) struct Chosen {
    pub(super) level: LogLevel,
    /// In place of the built-in one.
    pub(super) format: Option<LogFormat>,
}

/// Formats of the file's own.
pub(super) struct Formats {
    /// Where each name is defined first.
    names: HashMap<String, Span>,
    /// Those that were read so far.
    defined: Vec<LogFormat>,
}

impl Formats {
    pub(super) fn new(tree: &[Statement]) -> Formats {
        let mut names = HashMap::new();
        for statement in tree.iter().filter(|statement| statement.row.name == "LogFormat") {
            if let Some(name) = statement.text(0) {
                names.entry(name.to_owned()).or_insert(statement.place(0));
            }
        }
        Formats { names, defined: Vec::new() }
    }
}

impl Lowering<'_> {
    /// The format that a `LogLevel` names.
    pub(super) fn log_level(&mut self, statement: &Statement) -> Option<Chosen> {
        let built_in = |level: &LogLevel| Chosen { level: *level, format: None };
        if let Some(number) = statement.number(0) {
            return LEVELS.get(number as usize).map(|(_, level)| built_in(level));
        }
        let name = statement.text(0)?;
        if let Some((_, level)) = LEVELS.iter().find(|(known, _)| *known == name) {
            return Some(built_in(level));
        }
        if let Some(format) = self.log_formats.defined.iter().find(|format| format.name == name) {
            return Some(Chosen { level: LogLevel::Null, format: Some(format.clone()) });
        }
        // A format that is refused was reported at its own line.
        if self.unserved == Unserved::Read || !self.log_formats.names.contains_key(name) {
            self.unknown_format(name, statement);
        }
        None
    }

    fn unknown_format(&mut self, name: &str, statement: &Statement) {
        let names = || LEVELS.iter().map(|(name, _)| *name);
        let text = format!("no log format is named \"{name}\" before this line");
        let mut problem = Problem::error(statement.place(0), text);
        problem = problem.expected(names().collect::<Vec<_>>().join(", "));
        let own = self.log_formats.defined.iter().map(|format| format.name.as_str());
        if let Some(near) = suggest::nearest(name, names().chain(own)) {
            problem = problem.help(format!("did you mean \"{near}\"?"));
        }
        self.findings.push(problem);
    }

    /// `LogFormat`: a name for a format.
    pub(super) fn log_format(&mut self, statement: &Statement) {
        let (Some(name), Some(text)) = (statement.text(0), statement.text(1)) else { return };
        let first = self.log_formats.names.get(name).copied();
        let built_in = LEVELS.iter().any(|(known, _)| *known == name);
        if built_in || first.is_some_and(|first| first != statement.place(0)) {
            let mut problem = Problem::error(statement.place(0), format!("a second log format \"{name}\""));
            if let Some(first) = first.filter(|_| !built_in) {
                problem = problem.note(first, "the first one is here");
            }
            self.findings.push(problem);
        } else if let Err(reason) = check_format(text) {
            self.error(statement.place(1), reason);
        } else {
            self.log_formats.defined.push(LogFormat { name: name.to_owned(), text: text.to_owned() });
        }
    }

    /// First digits of the status codes that a `LogSuppress` names.
    pub(super) fn log_suppress(statement: &Statement) -> Vec<u8> {
        let words = (0..statement.values.len()).filter_map(|index| statement.word(index));
        // The row's words: all, then a name and a digit for each class.
        let classes =
            words.flat_map(|word| if word == 0 { 1..=5 } else { word.div_ceil(2)..=word.div_ceil(2) });
        classes.filter_map(|class| u8::try_from(class).ok()).collect()
    }

    /// Where a `LogFacility` sends lines.
    pub(super) fn log_target(&mut self, statement: &Statement) -> Option<LogTarget> {
        let name = statement.text(0)?;
        if name == "-" {
            return Some(LogTarget::Standard);
        }
        let known = FACILITIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        if known.is_none() {
            let mut problem =
                Problem::error(statement.place(0), format!("no syslog facility is named {name}"));
            problem = problem.expected("a facility such as daemon or local0, or -");
            if let Some(near) = suggest::nearest(name, FACILITIES.iter().map(|(name, _)| *name)) {
                problem = problem.help(format!("did you mean {near}?"));
            }
            self.findings.push(problem);
        }
        known.map(|(_, code)| LogTarget::Syslog(*code))
    }
}

/// Conversions without an argument, with one that may be left out, and with one that must not.
const BARE: &str = "aABbDhHlmpPqrstTuUv";
const OPTIONAL: &str = "tT";
const NEEDED: [(char, &[&str]); 4] = [
    ('i', &[]),
    ('I', &[]),
    ('L', &["listener", "service", "backend"]),
    ('N', &["listener", "service", "backend"]),
];
const UNITS: [&str; 4] = ["f", "s", "ms", "us"];

/// Checks the conversions of a format (pound.md section 12). The error is a sentence.
fn check_format(text: &str) -> Result<(), String> {
    if text.contains('\n') {
        return Err("a log format is one line".to_owned());
    }
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        rest = check_conversion(&rest[at + 1..])?;
    }
    Ok(())
}

/// Checks the conversion after a `%` and returns what follows it.
fn check_conversion(text: &str) -> Result<&str, String> {
    if let Some(after) = text.strip_prefix('%').or_else(|| text.strip_prefix(">s")) {
        return Ok(after);
    }
    let (argument, text) = match text.strip_prefix('{') {
        None => (None, text),
        Some(open) => match open.split_once('}') {
            Some((argument, after)) => (Some(argument), after),
            None => return Err("a brace of the log format is not closed".to_owned()),
        },
    };
    let Some(letter) = text.chars().next() else {
        return Err("the log format ends within a conversion".to_owned());
    };
    let words = NEEDED.iter().find(|(known, _)| *known == letter).map(|(_, words)| *words);
    let fits = match (argument, words) {
        (None, _) => BARE.contains(letter),
        (Some(argument), Some(words)) => {
            !argument.is_empty() && (words.is_empty() || words.contains(&argument))
        }
        (Some(unit), None) if letter == 'T' => UNITS.contains(&unit),
        (Some(_), None) => OPTIONAL.contains(letter),
    };
    if fits {
        return Ok(&text[letter.len_utf8()..]);
    }
    Err(match argument {
        Some(argument) => format!("%{{{argument}}}{letter} is no conversion of a log format"),
        None => format!("%{letter} is no conversion of a log format"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_formats_are_formats() {
        for format in [
            "",
            "%a %r - %>s",
            "%a %r - %>s (%{Host}i/%{service}N -> %{backend}N) %{f}T sec",
            r#"%v:%p %a %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}I""#,
            "100%% %{begin:%d/%b}t %{us}T %D %A %B %h %H %m %P %q %U %{listener}L %T",
        ] {
            assert_eq!(check_format(format), Ok(()), "{format}");
        }
    }

    #[test]
    fn what_is_no_conversion_is_named() {
        for format in
            ["%", "%z", "%{Host", "%{Host}", "%i", "%{}i", "%{x}N", "%{h}T", "%{a}b", "%>r", "a\nb", "%é"]
        {
            assert!(check_format(format).is_err(), "{format}");
        }
    }
}
