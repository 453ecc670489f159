//! Tokens to the tree: finds each directive's row, checks its arguments against it, reads included files.
//!
//! Never fails: what is wrong is reported and skipped to the end of its line. A section that lacks its `End` is
//! closed where a directive stands that only an outer section knows.

mod include;
mod line;
#[cfg(test)]
mod tests;

use crate::diag::{Findings, Problem};
use crate::grammar::{self, Body, Count, Row, Scope};
use crate::lex::{self, Kind, Token};
use crate::source::{FileId, Sources, Span};
use crate::suggest;
use crate::tree::{Inner, Statement, Value};
use line::Line;
use std::path::PathBuf;

/// Deepest nesting of sections: `Match` in `Match` is the only one without a natural end.
const NESTING_MAX: usize = 64;

/// Reads a file and all that it includes.
pub(crate) fn parse(
    sources: &mut Sources,
    file: FileId,
    base: PathBuf,
    findings: &mut Findings,
) -> Vec<Statement> {
    let mut parser = Parser { sources, findings, base, open: Vec::new(), floor: 0, gave_up: false };
    let mut statements = Vec::new();
    parser.file(file, Scope::Global, &mut statements);
    statements
}

struct Parser<'a> {
    sources: &'a mut Sources,
    findings: &'a mut Findings,
    /// Where relative file names start.
    base: PathBuf,
    /// The scopes around the sections that are open.
    open: Vec<Scope>,
    /// How many of them were open when the file in hand began: its `End`s close none of those.
    floor: usize,
    /// Sections are nested too deep; what follows is not read, so nothing is said of missing `End`s.
    gave_up: bool,
}

/// The tokens of a file and how far they were read.
struct Cursor {
    tokens: Vec<Token>,
    at: usize,
    /// What the lexer found; text that is no statements is excused from it.
    problems: Vec<(Span, Problem)>,
}

/// Why a block ended.
enum Stop {
    End,
    FileEnd,
    /// A directive stands here that only an outer section knows.
    Outer,
}

impl Parser<'_> {
    fn file(&mut self, file: FileId, scope: Scope, into: &mut Vec<Statement>) {
        let mut cursor = self.lex(file);
        let floor = std::mem::replace(&mut self.floor, self.open.len());
        self.block(&mut cursor, scope, into);
        self.floor = floor;
        self.close(cursor);
    }

    fn lex(&mut self, file: FileId) -> Cursor {
        if let Some(place) = self.sources.foreign(file) {
            let problem = Problem::warning(place, "this is not UTF-8 and taken for Latin-1");
            self.findings.push(problem);
        }
        let (tokens, problems) = lex::tokens(file, self.sources.text(file));
        Cursor { tokens, at: 0, problems }
    }

    /// Reports what the lexer found in a file that is read.
    fn close(&mut self, cursor: Cursor) {
        for (_, problem) in cursor.problems {
            self.findings.push(problem);
        }
    }

    /// Statements up to `End` or the end of the file.
    fn block(&mut self, cursor: &mut Cursor, scope: Scope, into: &mut Vec<Statement>) -> Stop {
        loop {
            let token = cursor.peek().clone();
            match token.kind {
                Kind::LineEnd => cursor.skip(),
                Kind::FileEnd => return Stop::FileEnd,
                Kind::Word if token.text.eq_ignore_ascii_case("End") => {
                    cursor.skip();
                    self.nothing_more(cursor, "End");
                    if self.open.len() > self.floor {
                        return Stop::End;
                    }
                    self.findings
                        .push(Problem::error(token.span, "End without a section that it would close"));
                }
                Kind::Word => match grammar::find(scope, &token.text) {
                    Some(row) => {
                        cursor.skip();
                        self.statement(cursor, scope, row, token, into);
                    }
                    None if self.belongs_outside(cursor) => return Stop::Outer,
                    None => {
                        if self.unknown(cursor, scope) && self.open.len() > self.floor {
                            return Stop::End;
                        }
                    }
                },
                Kind::Literal | Kind::Text => {
                    let problem = Problem::error(token.span, format!("{} is not a directive", shown(&token)));
                    self.findings.push(problem.expected("a directive or End"));
                    cursor.skip_line();
                }
            }
        }
    }

    /// Whether a directive opens a section in one of the sections around this one, so that an `End` is missing.
    fn belongs_outside(&self, cursor: &Cursor) -> bool {
        let word = &cursor.peek().text;
        let bare = cursor.tokens.get(cursor.at + 1).is_none_or(|next| next.kind == Kind::LineEnd);
        // `Backend` without a name belongs in a service, not in the global scope.
        let fits =
            |row: &Row| row.opens_section() && !(bare && row.arguments.iter().any(|a| a.count == Count::One));
        self.open[self.floor..].iter().any(|scope| grammar::find(*scope, word).is_some_and(fits))
    }

    /// Reports a directive that has no row here. Its section, if it seems to open one, is read all the same, so
    /// that its `End` closes nothing else. Returns whether it was meant to be an `End` itself.
    fn unknown(&mut self, cursor: &mut Cursor, scope: Scope) -> bool {
        let token = cursor.take();
        let elsewhere: Vec<&'static Row> = grammar::elsewhere(&token.text).collect();
        let (problem, meant, end) = if let Some(row) = elsewhere.first() {
            let text = format!("{} cannot stand in {}", row.name, scope.name());
            let mut scopes: Vec<&str> = Vec::new();
            for name in elsewhere.iter().flat_map(|row| row.scopes).map(|scope| scope.name()) {
                if !scopes.contains(&name) {
                    scopes.push(name);
                }
            }
            (
                Problem::error(token.span, text).help(format!("it belongs in {}", list(&scopes))),
                Some(*row),
                false,
            )
        } else {
            let problem = Problem::error(token.span, format!("unknown directive {}", shown(&token)));
            let near = if self.findings.is_full() { None } else { nearest(scope, &token.text) };
            match near {
                Some(near) => {
                    let row = grammar::find(scope, near).or_else(|| grammar::elsewhere(near).next());
                    (problem.help(format!("did you mean {near}?")), row, near == "End")
                }
                None => (problem, None, false),
            }
        };
        self.findings.push(problem);
        match meant {
            Some(row) if row.opens_section() => {
                cursor.skip_line();
                let line = Line { tokens: Vec::new(), names_file: false, sound: false };
                self.inner(cursor, scope, row, &line, token.span);
            }
            _ => cursor.skip_line(),
        }
        end
    }

    /// Reads a directive after its keyword; adds it, or what it includes, to `into`.
    fn statement(
        &mut self,
        cursor: &mut Cursor,
        scope: Scope,
        row: &'static Row,
        keyword: Token,
        into: &mut Vec<Statement>,
    ) {
        if row.body == Body::Prefix {
            into.extend(self.prefixed(cursor, scope, row, keyword));
            return;
        }
        let mut line = Line::rest(cursor);
        let switches = self.switches(row, &mut line);
        let values = self.values(row, &switches, &mut line, &keyword);
        match row.name {
            "Include" => self.include(scope, &values, into),
            "IncludeDir" => {
                if let Some(Value::File(directory)) = values.first().map(|given| &given.value) {
                    self.base.clone_from(directory);
                }
            }
            _ => {
                let inner = self.inner(cursor, scope, row, &line, keyword.span);
                let Token { span, text, .. } = keyword;
                let sound = line.sound;
                into.push(Statement { row, word: text, keyword: span, switches, values, inner, sound });
            }
        }
    }

    /// `Not` and the condition after it. Repeated `Not`s are counted rather than nested.
    fn prefixed(
        &mut self,
        cursor: &mut Cursor,
        scope: Scope,
        row: &'static Row,
        keyword: Token,
    ) -> Option<Statement> {
        let mut turns = 1;
        loop {
            let token = cursor.peek().clone();
            let inner = match token.kind {
                Kind::Word => grammar::find(scope, &token.text)
                    .filter(|inner| inner.is_condition() && inner.name != "Include"),
                _ => None,
            };
            let Some(inner) = inner else {
                let at = if token.kind == Kind::LineEnd { keyword.span } else { token.span };
                let problem = Problem::error(at, format!("{} needs a condition", row.name));
                self.findings.push(problem.expected("a condition such as Host or Path on the same line"));
                cursor.skip_line();
                return None;
            };
            cursor.skip();
            if inner.body == Body::Prefix {
                turns += 1;
                continue;
            }
            let mut of = Vec::new();
            self.statement(cursor, scope, inner, token, &mut of);
            if turns % 2 == 0 {
                return of.pop();
            }
            return Some(Statement {
                row,
                word: keyword.text,
                keyword: keyword.span,
                switches: Vec::new(),
                values: Vec::new(),
                inner: Inner::Block(of),
                sound: true,
            });
        }
    }

    /// What stands in the section that a directive opens.
    fn inner(&mut self, cursor: &mut Cursor, scope: Scope, row: &Row, line: &Line, keyword: Span) -> Inner {
        let given = line.tokens.len();
        let of = match row.body {
            Body::Section { of, unless } if given < unless => of,
            Body::Perhaps(of) if cursor.is_followed_by(of, scope) => of,
            Body::ByWord(scopes) => {
                let word = line.tokens.first().map(|token| token.text.to_ascii_lowercase());
                let response = word.as_deref() == Some("response");
                scopes[if response { scopes.len() - 1 } else { 0 }]
            }
            Body::List { unless } if given < unless && !line.names_file => {
                return self.list(cursor, row, keyword);
            }
            Body::Raw => {
                return Inner::Raw(self.raw(cursor, row, keyword));
            }
            Body::Section { .. } | Body::Perhaps(_) | Body::List { .. } | Body::None | Body::Prefix => {
                return Inner::None;
            }
        };
        let mut statements = Vec::new();
        if self.open.len() >= NESTING_MAX {
            let text = format!("sections are nested more than {NESTING_MAX} deep");
            self.findings.push(Problem::error(keyword, text));
            self.gave_up = true;
            cursor.skip_file();
            return Inner::Block(statements);
        }
        self.open.push(scope);
        let stop = self.block(cursor, of, &mut statements);
        self.open.pop();
        if !matches!(stop, Stop::End) {
            self.not_closed(cursor, row, keyword);
        }
        Inner::Block(statements)
    }

    /// Reports a section without `End`, and what stands where the `End` should.
    fn not_closed(&mut self, cursor: &Cursor, row: &Row, keyword: Span) {
        if self.gave_up {
            return;
        }
        let problem = Problem::error(keyword, format!("{} is not closed", row.name));
        let problem = problem.expected("End on a line by itself");
        let next = cursor.peek();
        self.findings.push(match next.kind {
            Kind::FileEnd => problem,
            _ => problem.note(next.span, "before this directive, which cannot stand in it"),
        });
    }

    /// Any text up to a line that says `End`.
    fn raw(&mut self, cursor: &mut Cursor, row: &Row, keyword: Span) -> Span {
        let from = cursor.peek().span;
        let end = self.skip_raw(cursor, row, keyword);
        let behind = cursor.peek().span.start;
        cursor.problems.retain(|(span, _)| span.start < from.start || span.start > behind);
        Span { end: end.max(from.start), ..from }
    }

    /// Skips it; returns where it ends.
    fn skip_raw(&mut self, cursor: &mut Cursor, row: &Row, keyword: Span) -> u32 {
        loop {
            cursor.skip_line();
            match cursor.peek().kind {
                Kind::LineEnd => cursor.skip(),
                Kind::FileEnd => {
                    let end = cursor.peek().span.start;
                    self.not_closed(cursor, row, keyword);
                    return end;
                }
                _ => {}
            }
            if cursor.peek().text.eq_ignore_ascii_case("End") && cursor.peek().kind == Kind::Word {
                let end = cursor.peek().span.start;
                cursor.skip();
                return end;
            }
        }
    }

    /// Reports what stands on the line after `what`, and skips it.
    fn nothing_more(&mut self, cursor: &mut Cursor, what: &str) {
        let token = cursor.peek();
        if !matches!(token.kind, Kind::LineEnd | Kind::FileEnd) {
            let problem = Problem::error(token.span, format!("{} stands after {what}", shown(token)));
            self.findings.push(problem.expected("the end of the line"));
        }
        cursor.skip_line();
    }
}

impl Cursor {
    fn peek(&self) -> &Token {
        // The lexer ends every file with a FileEnd, which nothing moves past.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    /// Whether what comes next belongs in a section of this scope and not in the one around it.
    fn is_followed_by(&self, of: Scope, around: Scope) -> bool {
        let next = self.tokens[self.at.min(self.tokens.len() - 1)..].iter();
        let next = next.clone().find(|token| token.kind != Kind::LineEnd);
        next.filter(|token| token.kind == Kind::Word).is_some_and(|token| {
            let known = |scope| grammar::find(scope, &token.text).is_some();
            token.text.eq_ignore_ascii_case("End") || (known(of) && !known(around))
        })
    }

    fn skip(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.skip();
        token
    }

    fn skip_line(&mut self) {
        while !matches!(self.peek().kind, Kind::LineEnd | Kind::FileEnd) {
            self.skip();
        }
    }

    fn skip_file(&mut self) {
        self.at = self.tokens.len() - 1;
    }
}

/// The directive that was probably meant: one of this section, or else of another.
fn nearest(scope: Scope, word: &str) -> Option<&'static str> {
    let here = grammar::rows().filter(|row| row.scopes.contains(&scope)).flat_map(Row::spellings);
    suggest::nearest(word, here.chain(std::iter::once("End")))
        .or_else(|| suggest::nearest(word, grammar::rows().flat_map(Row::spellings)))
}

/// A token as messages show it: as written but on one line, and not without end.
fn shown(token: &Token) -> String {
    const SHOWN_MAX: usize = 60;
    let mut text: String =
        token.text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if token.text.chars().nth(SHOWN_MAX).is_some() {
        text.push_str("...");
    }
    if token.kind == Kind::Text { format!("\"{text}\"") } else { text }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
