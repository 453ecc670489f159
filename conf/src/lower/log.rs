//! Log formats and facilities.

use super::Lowering;
use crate::diag::Problem;
use crate::model::{LogLevel, LogTarget};
use crate::suggest;
use crate::tree::Statement;

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

impl Lowering<'_> {
    /// The format that a `LogLevel` names.
    pub(super) fn log_level(&mut self, statement: &Statement) -> Option<LogLevel> {
        if let Some(number) = statement.number(0) {
            return LEVELS.get(number as usize).map(|(_, level)| *level);
        }
        let name = statement.text(0)?;
        let known = LEVELS.iter().find(|(known, _)| *known == name);
        if known.is_none() {
            let names = LEVELS.map(|(name, _)| name);
            let mut problem =
                Problem::error(statement.place(0), format!("no log format is named \"{name}\""));
            problem = problem.expected(names.join(", "));
            if let Some(near) = suggest::nearest(name, names.into_iter()) {
                problem = problem.help(format!("did you mean \"{near}\"?"));
            }
            self.findings.push(problem);
        }
        known.map(|(_, level)| *level)
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
