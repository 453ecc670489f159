//! Diagnostics: what is wrong with a configuration, where, and what was expected there.
//!
//! A [`Diagnostic`] carries everything needed to print it, so it outlives the files it speaks of.

use crate::source::{Place, Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The configuration loads.
    Warning,
    /// The configuration does not load.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// Where; `None` when it concerns no text (a file that cannot be opened from the command line).
    pub place: Option<Place>,
    /// What is wrong, one line, lower case, no full stop.
    pub text: String,
    /// What was expected at `place`.
    pub expected: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that belong to the finding.
    pub notes: Vec<Note>,
}

/// Another place of a [`Diagnostic`], such as that of an earlier definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// What is there.
    pub text: String,
}

/// A finding whose place is still a span, as parser and lowering report it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    level: Level,
    span: Option<Span>,
    text: String,
    expected: Option<String>,
    help: Option<String>,
    notes: Vec<(Span, String)>,
}

impl Problem {
    pub(crate) fn error(span: Span, text: impl Into<String>) -> Problem {
        Problem::new(Level::Error, Some(span), text.into())
    }

    pub(crate) fn warning(span: Span, text: impl Into<String>) -> Problem {
        Problem::new(Level::Warning, Some(span), text.into())
    }

    /// An error that concerns no text.
    pub(crate) fn nowhere(text: impl Into<String>) -> Problem {
        Problem::new(Level::Error, None, text.into())
    }

    fn new(level: Level, span: Option<Span>, text: String) -> Problem {
        Problem { level, span, text, expected: None, help: None, notes: Vec::new() }
    }

    /// Says what was expected at the place.
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Problem {
        self.expected = Some(expected.into());
        self
    }

    /// Says what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Points at another place.
    pub(crate) fn note(mut self, span: Span, text: impl Into<String>) -> Problem {
        self.notes.push((span, text.into()));
        self
    }
}

/// What was found so far in a run.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    problems: Vec<Problem>,
    errors: usize,
}

impl Findings {
    /// More errors than this are counted, not kept: the rest of a file of another kind says nothing new.
    const KEPT_MAX: usize = 200;

    pub(crate) fn push(&mut self, problem: Problem) {
        if problem.level == Level::Error {
            self.errors += 1;
        }
        if self.problems.len() < Self::KEPT_MAX {
            self.problems.push(problem);
        }
    }

    /// Nothing that is found now is kept, so it need not be said well.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= Self::KEPT_MAX
    }

    /// Errors so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// All findings with their places, in the order of the text.
    pub(crate) fn resolve(mut self, sources: &Sources) -> Vec<Diagnostic> {
        self.problems.sort_by_key(|problem| problem.span.map(|span| sources.reading_order(span)));
        let dropped = self.errors.saturating_sub(Self::KEPT_MAX);
        let mut all: Vec<Diagnostic> =
            self.problems.into_iter().map(|problem| problem.resolve(sources)).collect();
        all.dedup();
        if dropped > 0 {
            all.push(Problem::nowhere(format!("{dropped} more errors are not shown")).resolve(sources));
        }
        all
    }
}

impl Problem {
    fn resolve(self, sources: &Sources) -> Diagnostic {
        Diagnostic {
            level: self.level,
            place: self.span.map(|span| sources.place(span)),
            text: printable(&self.text),
            expected: self.expected.as_deref().map(printable),
            help: self.help.as_deref().map(printable),
            notes: self
                .notes
                .iter()
                .map(|(span, text)| Note { place: sources.place(*span), text: printable(text) })
                .collect(),
        }
    }
}

/// A message on one line: what a file holds must not end the line or speak to the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
