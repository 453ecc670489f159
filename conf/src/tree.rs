//! The statements of a configuration as written: rows of the grammar with values, not yet related to each other.

use crate::grammar::{Row, Switch};
use crate::source::Span;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directive with its arguments and, for a section, what stands in it.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) row: &'static Row,
    /// The keyword as written.
    pub(crate) word: String,
    /// The place of the keyword.
    pub(crate) keyword: Span,
    /// `-icase` and its like, in order.
    pub(crate) switches: Vec<Switched>,
    /// One for each argument of the row; a row that ends in a repeated argument has as many as were given.
    pub(crate) values: Vec<Given>,
    pub(crate) inner: Inner,
    /// False when a diagnostic about its line was reported: its values are not to be used.
    pub(crate) sound: bool,
}

/// What stands in a section.
#[derive(Debug)]
pub(crate) enum Inner {
    /// It is not a section.
    None,
    /// Statements.
    Block(Vec<Statement>),
    /// Strings, one a line.
    List(Vec<(String, Span)>),
    /// Any text.
    Raw(Span),
}

/// An option and its place.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) switch: Switch,
    pub(crate) span: Span,
    /// What follows it, if it takes a value.
    pub(crate) value: Option<(String, Span)>,
}

/// An argument and its place.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// What an argument says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// An optional argument that is not there.
    Absent,
    Text(String),
    Number(u64),
    Flag(bool),
    Time(Duration),
    /// A number below 0.
    Negative,
    /// Which of the row's words, counted from 0.
    Word(usize),
    /// A file name, made absolute or relative to the working directory.
    File(PathBuf),
    /// What may be a file name: as written, and as one.
    Source(String, PathBuf),
}

impl Statement {
    /// The statements of a section; none for others.
    pub(crate) fn block(&self) -> &[Statement] {
        match &self.inner {
            Inner::Block(statements) => statements,
            Inner::None | Inner::List(_) | Inner::Raw(_) => &[],
        }
    }

    /// The place of an argument, or of the keyword when it is not there.
    pub(crate) fn place(&self, argument: usize) -> Span {
        match self.values.get(argument) {
            Some(given) if given.value != Value::Absent => given.span,
            _ => self.keyword,
        }
    }

    // The parser has checked each value against its row, so the fallbacks below stand for absent arguments only.

    pub(crate) fn text(&self, argument: usize) -> Option<&str> {
        match self.values.get(argument).map(|given| &given.value) {
            Some(Value::Text(text) | Value::Source(text, _)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, argument: usize) -> Option<u64> {
        match self.values.get(argument).map(|given| &given.value) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn flag(&self) -> bool {
        matches!(self.values.first().map(|given| &given.value), Some(Value::Flag(true)))
    }

    pub(crate) fn time(&self) -> Duration {
        match self.values.first().map(|given| &given.value) {
            Some(Value::Time(time)) => *time,
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn word(&self, argument: usize) -> Option<usize> {
        match self.values.get(argument).map(|given| &given.value) {
            Some(Value::Word(index)) => Some(*index),
            _ => None,
        }
    }

    pub(crate) fn file(&self, argument: usize) -> Option<&Path> {
        match self.values.get(argument).map(|given| &given.value) {
            Some(Value::File(path) | Value::Source(_, path)) => Some(path),
            _ => None,
        }
    }

    /// Whether this option was given.
    pub(crate) fn has(&self, switch: Switch) -> bool {
        self.switches.iter().any(|switched| switched.switch == switch)
    }
}
