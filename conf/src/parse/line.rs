//! A directive's line: its options and arguments, checked against its row.

use super::{Cursor, Parser, list, shown};
use crate::diag::Problem;
use crate::grammar::{self, Count, Row, Switch};
use crate::lex::{Kind, Token};
use crate::suggest;
use crate::tree::{Given, Switched, Value};

/// What follows a directive on its line.
pub(super) struct Line {
    pub(super) tokens: Vec<Token>,
    /// An option says that the last argument is a file, which stands for what a section would list.
    pub(super) names_file: bool,
    /// Nothing about it was reported.
    pub(super) sound: bool,
}

impl Line {
    /// The rest of the line in hand.
    pub(super) fn rest(cursor: &mut Cursor) -> Line {
        let mut tokens = Vec::new();
        while !matches!(cursor.peek().kind, Kind::LineEnd | Kind::FileEnd) {
            tokens.push(cursor.take());
        }
        Line { tokens, names_file: false, sound: true }
    }
}

impl Parser<'_> {
    /// Takes the options out of a line.
    pub(super) fn switches(&mut self, row: &Row, line: &mut Line) -> Vec<Switched> {
        let mut switches = Vec::new();
        if row.switches.is_empty() {
            return switches;
        }
        let mut kept: Vec<Token> = Vec::new();
        let mut tokens = std::mem::take(&mut line.tokens).into_iter();
        while let Some(token) = tokens.next() {
            if token.kind != Kind::Literal || !token.text.starts_with('-') {
                kept.push(token);
                continue;
            }
            let spelt =
                |switch: &&Switch| switch.spellings().iter().any(|s| s.eq_ignore_ascii_case(&token.text));
            let Some(&switch) = row.switches.iter().find(spelt) else {
                let names = || row.switches.iter().flat_map(|switch| switch.spellings().iter().copied());
                let mut problem =
                    Problem::error(token.span, format!("{} has no option {}", row.name, token.text));
                problem = match suggest::nearest(&token.text, names()) {
                    Some(near) => problem.help(format!("did you mean {near}?")),
                    None => problem.help(format!("its options are {}", list(&names().collect::<Vec<_>>()))),
                };
                self.findings.push(problem);
                line.sound = false;
                continue;
            };
            let value = if switch.takes_value() { tokens.next() } else { None };
            if switch.takes_value() && value.is_none() {
                let problem = Problem::error(token.span, format!("{} needs a value", token.text));
                self.findings.push(problem);
                line.sound = false;
            }
            let value = value.map(|token| (token.text, token.span));
            switches.push(Switched { switch, span: token.span, value });
        }
        line.tokens = kept;
        switches
    }

    /// Reads the arguments as the row asks.
    pub(super) fn values(
        &mut self,
        row: &Row,
        switches: &[Switched],
        line: &mut Line,
        keyword: &Token,
    ) -> Vec<Given> {
        let needed = row.arguments.iter().filter(|a| matches!(a.count, Count::One | Count::Many)).count();
        let Some(mut spare) = line.tokens.len().checked_sub(needed) else {
            // Only complain of what is missing when nothing else is wrong: an unknown option hides its value.
            if line.sound {
                self.findings.push(missing(row, keyword, line.tokens.len()));
            }
            line.sound = false;
            return Vec::new();
        };
        let file_switch = switches.iter().find(|switched| switched.switch.names_file());
        line.names_file = file_switch.is_some();
        let mut values = Vec::new();
        let mut tokens = line.tokens.iter().peekable();
        for (index, argument) in row.arguments.iter().enumerate() {
            let here = match argument.count {
                Count::One => 1,
                Count::Optional => spare.min(1),
                Count::Many => 1 + spare,
                Count::Any => spare,
            };
            if argument.count != Count::One {
                spare -= if argument.count == Count::Many { here - 1 } else { here };
            }
            let last = index + 1 == row.arguments.len();
            let kind = if line.names_file && last { grammar::Kind::File } else { argument.kind };
            for token in tokens.by_ref().take(here) {
                match grammar::read(kind, token, &self.base) {
                    Ok(value) => values.push(Given { value, span: token.span }),
                    Err(expected) => {
                        let text = format!("{} is no {} for {}", shown(token), argument.what, keyword.text);
                        self.findings.push(Problem::error(token.span, text).expected(expected));
                        values.push(Given { value: Value::Absent, span: token.span });
                        line.sound = false;
                    }
                }
            }
            if here == 0 && argument.count == Count::Optional {
                values.push(Given { value: Value::Absent, span: keyword.span });
            }
        }
        if let (Some(switched), Some(Value::Absent)) = (file_switch, values.last().map(|given| &given.value))
            && line.sound
        {
            let problem = Problem::error(switched.span, format!("{} lacks the file's name", keyword.text));
            self.findings.push(problem.expected(grammar::Kind::File.expected()));
            line.sound = false;
        }
        if let Some(first) = tokens.next() {
            let span = line.tokens.last().map_or(first.span, |last| first.span.to(last.span));
            let takes = match row.arguments.len() {
                0 => "no arguments".to_owned(),
                1 => "one argument".to_owned(),
                n => format!("{n} arguments"),
            };
            let problem = Problem::error(span, format!("{} takes {takes}", keyword.text));
            self.findings.push(problem.expected("the end of the line"));
            line.sound = false;
        }
        values
    }
}

/// What a directive's line lacks.
fn missing(row: &Row, keyword: &Token, given: usize) -> Problem {
    match row.arguments.iter().filter(|a| matches!(a.count, Count::One | Count::Many)).nth(given) {
        Some(argument) => {
            let text = format!("{} lacks its {}", keyword.text, argument.what);
            Problem::error(keyword.span, text).expected(argument.kind.expected())
        }
        None => Problem::error(keyword.span, format!("{} lacks an argument", keyword.text)),
    }
}
