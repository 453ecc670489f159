//! Log formats, and where log lines go.

use super::Lowering;
use super::address::Family;
use super::log_format::{self, BUILT_IN};
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::model::{LogFile, LogFormat, LogLine, LogPlace, LogServer, LogTarget, SyslogSyntax};
use crate::source::Span;
use crate::suggest;
use crate::tree::Statement;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

/// RFC 5426 3.3.
const SYSLOG_PORT: &str = "514";

/// RFC 3164 4.1.1, by the names of syslog.conf(5).
const FACILITIES: [(&str, u8); 21] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("security", 4),
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

/// Formats at most, the built-in ones among them.
const FORMATS_MAX: usize = 32;

/// Longest tag: that of an APP-NAME (RFC 5424 6.2.5).
const TAG_MAX: usize = 48;

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

/// A built-in format by its number.
pub(super) fn built_in(level: usize) -> LogFormat {
    log_format::built_in(level).unwrap_or(LogFormat { name: String::new(), line: LogLine::Text(Vec::new()) })
}

impl Lowering<'_> {
    /// The format that a `LogLevel` names.
    pub(super) fn log_level(&mut self, statement: &Statement) -> Option<LogFormat> {
        if let Some(number) = statement.number(0) {
            return log_format::built_in(number as usize);
        }
        let name = statement.text(0)?;
        if let Some(level) = BUILT_IN.iter().position(|(known, _)| *known == name) {
            return log_format::built_in(level);
        }
        if let Some(format) = self.log_formats.defined.iter().find(|format| format.name == name) {
            return Some(format.clone());
        }
        self.unknown_format(name, statement);
        None
    }

    /// Every format that has a name.
    pub(super) fn all_log_formats(&mut self) -> Vec<LogFormat> {
        let own = std::mem::take(&mut self.log_formats.defined);
        (0..BUILT_IN.len()).map(built_in).chain(own).collect()
    }

    fn unknown_format(&mut self, name: &str, statement: &Statement) {
        let names = || BUILT_IN.iter().map(|(name, _)| *name);
        let text = format!("no log format is named \"{name}\" before this line");
        let mut problem = Problem::error(statement.place(0), text);
        if let Some(later) = self.log_formats.names.get(name) {
            problem = problem.note(*later, "this is where it is defined");
        } else {
            let own = || self.log_formats.defined.iter().map(|format| format.name.as_str());
            problem = problem.expected(names().chain(own()).collect::<Vec<_>>().join(", "));
            if let Some(near) = suggest::nearest(name, names().chain(own())) {
                problem = problem.help(format!("did you mean \"{near}\"?"));
            }
        }
        self.findings.push(problem);
    }

    /// `LogFormat`: a name for a format.
    pub(super) fn log_format(&mut self, statement: &Statement) {
        let (Some(name), Some(text)) = (statement.text(0), statement.text(1)) else { return };
        let first = self.log_formats.names.get(name).copied();
        let built_in = BUILT_IN.iter().any(|(known, _)| *known == name);
        if built_in || first.is_some_and(|first| first != statement.place(0)) {
            let mut problem = Problem::error(statement.place(0), format!("a second log format \"{name}\""));
            problem = match first.filter(|_| !built_in) {
                Some(first) => problem.note(first, "the first one is here"),
                None => problem.help("this one is built in"),
            };
            self.findings.push(problem);
        } else if self.log_formats.defined.len() + BUILT_IN.len() >= FORMATS_MAX {
            let text =
                format!("more than {FORMATS_MAX} log formats, {} built-in ones among them", BUILT_IN.len());
            self.error(statement.place(0), text);
        } else {
            match log_format::parse(name, text, statement.has(Switch::Json)) {
                Ok(format) => self.log_formats.defined.push(format),
                Err(reason) => self.error(statement.place(1), reason),
            }
        }
    }

    /// `LogTag`: what stands before a colon or between blanks in messages must hold neither.
    pub(super) fn log_tag(&mut self, statement: &Statement) -> Option<String> {
        let tag = statement.text(0)?;
        let sound = tag.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b':' | b'[' | b']'));
        if tag.is_empty() || tag.len() > TAG_MAX || !sound {
            let problem = Problem::error(statement.place(0), "this cannot be the tag of a syslog message");
            let wanted =
                format!("1 to {TAG_MAX} letters, digits and signs, but no colons, brackets or blanks");
            self.findings.push(problem.expected(wanted));
            return None;
        }
        Some(tag.to_owned())
    }

    /// `LogFile`.
    pub(super) fn log_file(statement: &Statement) -> Option<LogFile> {
        // It is opened again and again, wherever the process stands then. Only an empty path has no absolute form.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let requests = absolute(statement.file(0)?);
        let problems = statement.file(1).map_or_else(|| requests.clone(), absolute);
        Some(LogFile { requests, problems })
    }

    /// `LogServer`.
    pub(super) fn log_server(&mut self, statement: &Statement) -> Option<LogServer> {
        let (text, place) = (statement.text(0)?, statement.place(0));
        let network = |scheme| text.strip_prefix(scheme);
        let place = match (network("udp://"), network("tcp://"), network("unix:")) {
            (Some(rest), _, _) => LogPlace::Udp(self.log_address(rest, place)?),
            (_, Some(rest), _) => LogPlace::Tcp(self.log_address(rest, place)?),
            (_, _, Some(path)) => LogPlace::Unix(self.socket_path(path, place)),
            _ => {
                let problem = Problem::error(place, "this is no place of a log server");
                self.findings.push(problem.expected("udp://HOST:PORT, tcp://HOST:PORT or unix:PATH"));
                return None;
            }
        };
        let syntax = if statement.word(1) == Some(1) { SyslogSyntax::Ietf } else { SyslogSyntax::Bsd };
        Some(LogServer { place, syntax })
    }

    /// A host, in brackets if it is an IPv6 address, and a port, 514 without one.
    fn log_address(&mut self, text: &str, place: Span) -> Option<SocketAddr> {
        let bracketed = text.starts_with('[') && text.contains(']');
        let (host, port) = match text.strip_prefix('[').and_then(|open| open.split_once(']')) {
            Some((host, "")) => (host, SYSLOG_PORT),
            Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or_default()),
            None => text.rsplit_once(':').unwrap_or((text, SYSLOG_PORT)),
        };
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = port.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
        let Some(port) = port.filter(|_| !host.is_empty() && (bracketed || !host.contains([':', '['])))
        else {
            let problem = Problem::error(place, "this is no address of a log server");
            self.findings.push(problem.expected("HOST:PORT, or [ADDRESS]:PORT for IPv6"));
            return None;
        };
        match self.look_up(host, port, Family::Any) {
            Ok(address) => Some(address),
            Err(reason) => {
                self.error(place, format!("cannot look up {host}: {reason}"));
                None
            }
        }
    }

    /// Lines go to one place: two of these directives contradict each other.
    pub(super) fn check_log_places(&mut self, tree: &[Statement]) {
        let named = |name| super::find(tree, name).filter(|statement| statement.sound);
        let standard = named("LogFacility").filter(|facility| facility.text(0) == Some("-"));
        let places = [standard, named("LogFile"), named("LogServer")];
        let mut places = places.into_iter().flatten();
        if let Some(first) = places.next() {
            for other in places {
                let shown = if first.row.name == "LogFacility" { "LogFacility -" } else { first.row.name };
                let text = format!("{} cannot stand beside {shown}", other.row.name);
                self.findings.push(Problem::error(other.keyword, text).note(first.keyword, "which is here"));
            }
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
