//! Included files, and sections that list strings, which files may be included in too.

use super::line::Line;
use super::{Cursor, Parser, shown};
use crate::diag::Problem;
use crate::grammar::{self, Row, Scope};
use crate::lex::{Kind, Token};
use crate::source::{self, FileId, Span};
use crate::tree::{Given, Inner, Statement, Value};

impl Parser<'_> {
    pub(super) fn include(&mut self, scope: Scope, values: &[Given], into: &mut Vec<Statement>) {
        for (file, _) in self.included(values) {
            self.file(file, scope, into);
        }
    }

    /// Opens the files that an `Include` names.
    fn included(&mut self, values: &[Given]) -> Vec<(FileId, Span)> {
        let Some(Given { value: Value::File(name), span }) = values.first() else { return Vec::new() };
        let paths = match source::expand(name) {
            Ok(paths) => paths,
            Err(text) => {
                self.findings.push(Problem::error(*span, text));
                return Vec::new();
            }
        };
        let mut files = Vec::new();
        for path in paths {
            match self.sources.open(&path, Some(*span)) {
                Ok(file) => files.push((file, *span)),
                Err(text) => self.findings.push(Problem::error(*span, text)),
            }
        }
        files
    }

    /// Strings, one a line, up to `End`; `Include` brings those of another file.
    pub(super) fn list(&mut self, cursor: &mut Cursor, row: &Row, keyword: Span) -> Inner {
        let mut items = Vec::new();
        if !self.items(cursor, row, &mut items) {
            self.not_closed(cursor, row, keyword);
        }
        Inner::List(items)
    }

    /// Whether `End` was found.
    fn items(&mut self, cursor: &mut Cursor, row: &Row, items: &mut Vec<(String, Span)>) -> bool {
        loop {
            let token = cursor.peek().clone();
            match token.kind {
                Kind::LineEnd => cursor.skip(),
                Kind::FileEnd => return false,
                Kind::Text => {
                    cursor.skip();
                    self.nothing_more(cursor, "a string");
                    items.push((token.text, token.span));
                }
                Kind::Word if token.text.eq_ignore_ascii_case("End") => {
                    cursor.skip();
                    self.nothing_more(cursor, "End");
                    return true;
                }
                Kind::Word if token.text.eq_ignore_ascii_case("Include") => {
                    cursor.skip();
                    self.include_items(cursor, row, &token, items);
                }
                // No directive can stand here, so the End is missing.
                Kind::Word if grammar::elsewhere(&token.text).next().is_some() => return false,
                Kind::Word | Kind::Literal => {
                    let text = format!("{} cannot stand in {}", shown(&token), row.name);
                    let problem = Problem::error(token.span, text);
                    self.findings.push(problem.expected("a string in double quotes, Include or End"));
                    cursor.skip_line();
                }
            }
        }
    }

    fn include_items(
        &mut self,
        cursor: &mut Cursor,
        row: &Row,
        keyword: &Token,
        items: &mut Vec<(String, Span)>,
    ) {
        let Some(include) = grammar::find(Scope::Global, "Include") else { return };
        let mut line = Line::rest(cursor);
        let values = self.values(include, &[], &mut line, keyword);
        for (file, at) in self.included(&values) {
            let mut inner = self.lex(file);
            if self.items(&mut inner, row, items) {
                let text = format!("the file included here has an End that would close {}", row.name);
                self.findings.push(Problem::error(at, text));
            }
            self.close(inner);
        }
    }
}
