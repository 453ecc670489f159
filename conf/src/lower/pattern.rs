//! Patterns and their options.

use super::{Lowering, expansion};
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::model::{Flavour, Kind, Pattern};
use crate::source::Span;
use crate::tree::{Statement, Switched};

/// How a directive compares when no option says otherwise.
#[derive(Clone, Copy)]
pub(super) struct Default {
    pub(super) exact: bool,
    pub(super) ignore_case: bool,
}

impl Lowering<'_> {
    /// The pattern that is the argument `index` of a statement, or all patterns of the file named there.
    pub(super) fn patterns(&mut self, statement: &Statement, index: usize, default: Default) -> Vec<Pattern> {
        let (kind, ignore_case) = compared(statement, self.defaults.flavour, default);
        let (tag, decode) = (self.tag(statement), statement.has(Switch::Decode));
        let place = statement.place(index);
        let texts = match (statement.text(index), statement.file(index)) {
            (Some(text), _) => vec![text.to_owned()],
            (None, Some(path)) => {
                let path = path.to_owned();
                self.lines_of_file(&path, place).into_iter().map(|(_, line)| line).collect()
            }
            (None, None) => Vec::new(),
        };
        let patterns: Vec<Pattern> = texts
            .into_iter()
            .map(|text| Pattern { kind, text, ignore_case, tag: tag.clone(), decode })
            .collect();
        for pattern in &patterns {
            self.check_pattern(pattern, place);
        }
        patterns
    }

    /// The one pattern of a directive that takes no `-file`.
    pub(super) fn pattern(&mut self, statement: &Statement, default: Default) -> Option<Pattern> {
        self.patterns(statement, 0, default).pop()
    }

    /// The last tag of a statement.
    fn tag(&mut self, statement: &Statement) -> Option<String> {
        let given = |switched: &&Switched| switched.switch == Switch::Tag;
        let switched = statement.switches.iter().rfind(given)?;
        let (tag, place) = switched.value.clone()?;
        if expansion::is_tag(&tag) {
            return Some(tag);
        }
        let problem = Problem::error(place, format!("\"{tag}\" is no tag"));
        self.findings.push(problem.expected("a letter, then letters, digits and underscores"));
        None
    }

    fn check_pattern(&mut self, pattern: &Pattern, place: Span) {
        let Some(check) = self.options.check_pattern else { return };
        if matches!(pattern.kind, Kind::Regex(_))
            && let Err(reason) = check(pattern)
        {
            let mut lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
            // Pattern errors of some libraries are drawings of several lines; the last line says what is wrong.
            let reason = lines.next_back().unwrap_or("it does not compile").to_owned();
            self.findings.push(Problem::error(place, format!("bad regular expression: {reason}")));
        }
    }
}

/// The last option of each group holds.
fn compared(statement: &Statement, flavour: Flavour, default: Default) -> (Kind, bool) {
    let mut kind = if default.exact { Kind::Exact } else { Kind::Regex(flavour) };
    let mut ignore_case = default.ignore_case;
    for switched in &statement.switches {
        match switched.switch {
            Switch::Re => kind = Kind::Regex(flavour),
            Switch::Posix => kind = Kind::Regex(Flavour::Posix),
            Switch::Pcre => kind = Kind::Regex(Flavour::Pcre),
            Switch::Exact => kind = Kind::Exact,
            Switch::Beg => kind = Kind::Prefix,
            Switch::End => kind = Kind::Suffix,
            Switch::Contain => kind = Kind::Contain,
            Switch::Icase => ignore_case = true,
            Switch::Case => ignore_case = false,
            _ => {}
        }
    }
    (kind, ignore_case)
}
