//! Patterns and their options.

use super::{Lowering, expansion};
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::listing::{self, Fault};
use crate::model::{FeedKind, FeedName, Flavour, Kind, Pattern};
use crate::source::Span;
use crate::tree::{Statement, Switched};
use std::path::Path;

/// How a directive compares when no option says otherwise.
#[derive(Clone, Copy)]
pub(super) struct Default {
    pub(super) exact: bool,
    pub(super) ignore_case: bool,
}

/// Where the patterns of a statement stand.
pub(super) enum Written {
    /// On its line.
    Here(Pattern),
    /// In a file: these.
    InFile(Vec<Pattern>),
    /// In a file whose changes are followed: patterns like this one, each with a text of its own.
    Watched { feed: FeedName, like: Pattern },
}

impl Lowering<'_> {
    /// The pattern that is the argument `index` of a statement, or all patterns of the file named there.
    pub(super) fn patterns(&mut self, statement: &Statement, index: usize, default: Default) -> Written {
        let (kind, ignore_case) = compared(statement, self.defaults.flavour, default);
        let (tag, decode) = (self.tag(statement), statement.has(Switch::Decode));
        let (place, watched) = (statement.place(index), statement.has(Switch::FileWatch));
        let of = |text: &str| Pattern { kind, text: text.to_owned(), ignore_case, tag: tag.clone(), decode };
        match (statement.text(index), statement.file(index)) {
            (Some(text), _) => {
                let mut pattern = of(text);
                if pattern.kind == Kind::Regex(Flavour::Posix) && text.contains("(?") {
                    // POSIX gives this no meaning, and Pound was often built with Perl's patterns.
                    pattern.kind = Kind::Regex(Flavour::Pcre);
                    let problem = Problem::warning(place, "this is a pattern of Perl's");
                    self.findings.push(problem.help("write -pcre before it"));
                }
                if let Err(reason) = self.check_pattern(&pattern) {
                    self.error(place, reason);
                }
                Written::Here(pattern)
            }
            (None, Some(path)) => match self.patterns_of_file(path, place, watched, of) {
                Some((bytes, _)) if watched => {
                    let feed = self.feed(path, FeedKind::Patterns, true, bytes);
                    Written::Watched { feed, like: of("") }
                }
                Some((_, patterns)) => Written::InFile(patterns),
                None => Written::InFile(Vec::new()),
            },
            (None, None) => Written::InFile(Vec::new()),
        }
    }

    /// The patterns of a file, one a line, and its bytes; none when something is wrong with it, which is reported.
    fn patterns_of_file(
        &mut self,
        path: &Path,
        place: Span,
        watched: bool,
        of: impl Fn(&str) -> Pattern,
    ) -> Option<(Vec<u8>, Vec<Pattern>)> {
        let bytes = self.bytes_of_file(path, place, watched)?;
        let (mut patterns, mut faults) = (Vec::new(), Vec::new());
        match listing::lines(&bytes) {
            Ok(lines) => {
                for (number, line) in lines {
                    let pattern = of(line);
                    match self.check_pattern(&pattern) {
                        Ok(()) => patterns.push(pattern),
                        Err(reason) => faults.push(Fault::at(number, reason)),
                    }
                }
            }
            Err(fault) => faults.push(fault),
        }
        self.faults(path, place, &faults);
        faults.is_empty().then_some((bytes, patterns))
    }

    /// The one pattern of a directive that takes no `-file`.
    pub(super) fn pattern(&mut self, statement: &Statement, default: Default) -> Option<Pattern> {
        match self.patterns(statement, 0, default) {
            Written::Here(pattern) => Some(pattern),
            Written::InFile(_) | Written::Watched { .. } => None,
        }
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

    /// Why a pattern does not compile, if so.
    fn check_pattern(&self, pattern: &Pattern) -> Result<(), String> {
        let Some(check) = self.options.check_pattern else { return Ok(()) };
        if !matches!(pattern.kind, Kind::Regex(_)) {
            return Ok(());
        }
        check(pattern).map_err(|reason| {
            let mut lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
            // Pattern errors of some libraries are drawings of several lines; the last line says what is wrong.
            format!("bad regular expression: {}", lines.next_back().unwrap_or("it does not compile"))
        })
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
