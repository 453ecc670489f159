//! Tokens to the tree: finds each directive's row, checks its arguments against it, reads included files.
//!
//! Never fails: what is wrong is reported and skipped to the end of its line. A section that lacks its `End` is
//! closed where a directive stands that only an outer section knows.

use crate::diag::{Findings, Problem};
use crate::grammar::{self, Body, Count, Row, Scope, Switch};
use crate::lex::{self, Kind, Token};
use crate::source::{FileId, Sources, Span};
use crate::suggest;
use crate::tree::{Given, Inner, Statement, Switched, Value};
use std::path::{Path, PathBuf};

/// Deepest nesting of sections: `Match` in `Match` is the only one without a natural end.
const NESTING_MAX: usize = 64;

/// Reads a file and all that it includes.
pub(crate) fn parse(
    sources: &mut Sources,
    file: FileId,
    base: PathBuf,
    warn_deprecated: bool,
    findings: &mut Findings,
) -> Vec<Statement> {
    let mut parser = Parser { sources, findings, base, warn_deprecated, open: Vec::new(), floor: 0 };
    let mut statements = Vec::new();
    parser.file(file, Scope::Global, &mut statements);
    statements
}

struct Parser<'a> {
    sources: &'a mut Sources,
    findings: &'a mut Findings,
    /// Where relative file names start.
    base: PathBuf,
    warn_deprecated: bool,
    /// The scopes around the sections that are open.
    open: Vec<Scope>,
    /// How many of them were open when the file in hand began: its `End`s close none of those.
    floor: usize,
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

/// What follows a directive on its line.
struct Line {
    tokens: Vec<Token>,
    /// An option says that the last argument is a file, which stands for what a section would list.
    names_file: bool,
    /// Nothing about it was reported.
    sound: bool,
}

impl Parser<'_> {
    fn file(&mut self, file: FileId, scope: Scope, into: &mut Vec<Statement>) {
        let mut cursor = self.lex(file);
        let floor = std::mem::replace(&mut self.floor, self.open.len());
        self.block(&mut cursor, scope, into);
        self.floor = floor;
        self.close(cursor);
    }

    fn lex(&self, file: FileId) -> Cursor {
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
                    None if self.belongs_outside(&token.text) => return Stop::Outer,
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

    /// Whether a word opens a section in one of the sections around this one, so that an `End` is missing.
    fn belongs_outside(&self, word: &str) -> bool {
        let outer = &self.open[self.floor..];
        outer.iter().any(|scope| grammar::find(*scope, word).is_some_and(Row::opens_section))
    }

    /// Reports a directive that has no row here. Its section, if it seems to open one, is read all the same, so
    /// that its `End` closes nothing else. Returns whether it was meant to be an `End` itself.
    fn unknown(&mut self, cursor: &mut Cursor, scope: Scope) -> bool {
        let token = cursor.take();
        let elsewhere: Vec<&'static Row> = grammar::elsewhere(&token.text).collect();
        let (problem, meant) = if let Some(row) = elsewhere.first() {
            let text = format!("{} cannot stand in {}", row.name, scope.name());
            let mut scopes: Vec<&str> = Vec::new();
            for name in elsewhere.iter().flat_map(|row| row.scopes).map(|scope| scope.name()) {
                if !scopes.contains(&name) {
                    scopes.push(name);
                }
            }
            (Problem::error(token.span, text).help(format!("it belongs in {}", list(&scopes))), Some(*row))
        } else {
            let problem = Problem::error(token.span, format!("unknown directive {}", shown(&token)));
            let here = suggest::nearest(&token.text, spellings_in(scope));
            match here.or_else(|| suggest::nearest(&token.text, grammar::rows().flat_map(Row::spellings))) {
                Some(near) => {
                    let row = grammar::find(scope, near).or_else(|| grammar::elsewhere(near).next());
                    (problem.help(format!("did you mean {near}?")), row)
                }
                None => (problem, None),
            }
        };
        let end = meant.is_none() && suggest::nearest(&token.text, spellings_in(scope)) == Some("End");
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
        self.advise(row, &keyword);
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

    /// Warns of a spelling that is out of date and of a directive without effect.
    fn advise(&mut self, row: &Row, keyword: &Token) {
        if !self.warn_deprecated {
            return;
        }
        if let Some(write) = row.advice(&keyword.text) {
            let problem = Problem::warning(keyword.span, format!("{} is out of date", keyword.text));
            self.findings.push(problem.help(format!("write {write}")));
        }
        if let grammar::Status::NoEffect(why) = row.status {
            let text = format!("{} has no effect: {why}", row.name);
            self.findings.push(Problem::warning(keyword.span, text));
        }
    }

    /// Takes the options out of a line.
    fn switches(&mut self, row: &Row, line: &mut Line) -> Vec<Switched> {
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
            if switch.takes_value() && tokens.next().is_none() {
                let problem = Problem::error(token.span, format!("{} needs a value", token.text));
                self.findings.push(problem);
                line.sound = false;
            }
            switches.push(Switched { switch, span: token.span });
        }
        line.tokens = kept;
        switches
    }

    /// Reads the arguments as the row asks.
    fn values(&mut self, row: &Row, switches: &[Switched], line: &mut Line, keyword: &Token) -> Vec<Given> {
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
                        let text = format!("{} is no {} for {}", shown(token), argument.what, row.name);
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
            let problem = Problem::error(switched.span, format!("{} lacks the file's name", row.name));
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
            let problem = Problem::error(span, format!("{} takes {takes}", row.name));
            self.findings.push(problem.expected("the end of the line"));
            line.sound = false;
        }
        values
    }

    /// What stands in the section that a directive opens.
    fn inner(&mut self, cursor: &mut Cursor, scope: Scope, row: &Row, line: &Line, keyword: Span) -> Inner {
        let given = line.tokens.len();
        let of = match row.body {
            Body::Section { of, unless } if given < unless => of,
            Body::ByWord(scopes) => {
                let word = line.tokens.first().map(|token| token.text.to_ascii_lowercase());
                let response = word.as_deref() == Some("response");
                scopes[if response { scopes.len() - 1 } else { 0 }]
            }
            Body::List { unless } if given < unless && !line.names_file => {
                return self.list(cursor, row, keyword);
            }
            Body::Raw => {
                self.raw(cursor, row, keyword);
                return Inner::None;
            }
            Body::Section { .. } | Body::List { .. } | Body::None | Body::Prefix => return Inner::None,
        };
        let mut statements = Vec::new();
        if self.open.len() >= NESTING_MAX {
            let text = format!("sections are nested more than {NESTING_MAX} deep");
            self.findings.push(Problem::error(keyword, text));
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
        let problem = Problem::error(keyword, format!("{} is not closed", row.name));
        let problem = problem.expected("End on a line by itself");
        let next = cursor.peek();
        self.findings.push(match next.kind {
            Kind::FileEnd => problem,
            _ => problem.note(next.span, "before this directive, which cannot stand in it"),
        });
    }

    /// Strings, one a line, up to `End`; `Include` brings those of another file.
    fn list(&mut self, cursor: &mut Cursor, row: &Row, keyword: Span) -> Inner {
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

    /// Any text up to a line that says `End`.
    fn raw(&mut self, cursor: &mut Cursor, row: &Row, keyword: Span) {
        let start = cursor.peek().span.start;
        self.skip_raw(cursor, row, keyword);
        let end = cursor.peek().span.start;
        cursor.problems.retain(|(span, _)| span.start < start || span.start > end);
    }

    fn skip_raw(&mut self, cursor: &mut Cursor, row: &Row, keyword: Span) {
        loop {
            cursor.skip_line();
            match cursor.peek().kind {
                Kind::LineEnd => cursor.skip(),
                Kind::FileEnd => {
                    self.not_closed(cursor, row, keyword);
                    return;
                }
                _ => {}
            }
            if cursor.peek().text.eq_ignore_ascii_case("End") && cursor.peek().kind == Kind::Word {
                cursor.skip();
                return;
            }
        }
    }

    fn include(&mut self, scope: Scope, values: &[Given], into: &mut Vec<Statement>) {
        for (file, _) in self.included(values) {
            self.file(file, scope, into);
        }
    }

    /// Opens the files that an `Include` names.
    fn included(&mut self, values: &[Given]) -> Vec<(FileId, Span)> {
        let Some(Given { value: Value::File(name), span }) = values.first() else { return Vec::new() };
        let paths = match expand(name) {
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

impl Line {
    /// The rest of the line in hand.
    fn rest(cursor: &mut Cursor) -> Line {
        let mut tokens = Vec::new();
        while !matches!(cursor.peek().kind, Kind::LineEnd | Kind::FileEnd) {
            tokens.push(cursor.take());
        }
        Line { tokens, names_file: false, sound: true }
    }
}

impl Cursor {
    fn peek(&self) -> &Token {
        // The lexer ends every file with a FileEnd, which nothing moves past.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
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

/// The files that a name stands for: itself, or in order those that match it as a pattern.
fn expand(name: &Path) -> Result<Vec<PathBuf>, String> {
    let Some(pattern) = name.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Ok(vec![name.to_owned()]);
    };
    let found = glob::glob(pattern).map_err(|e| format!("{pattern} is no pattern for files: {}", e.msg))?;
    // A directory that cannot be read hides files that the owner meant; say so rather than load the rest.
    let mut paths =
        found.collect::<Result<Vec<_>, _>>().map_err(|e| format!("cannot read {}", e.path().display()))?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// What a directive's line lacks.
fn missing(row: &Row, keyword: &Token, given: usize) -> Problem {
    match row.arguments.iter().filter(|a| matches!(a.count, Count::One | Count::Many)).nth(given) {
        Some(argument) => {
            let text = format!("{} lacks its {}", row.name, argument.what);
            Problem::error(keyword.span, text).expected(argument.kind.expected())
        }
        None => Problem::error(keyword.span, format!("{} lacks an argument", row.name)),
    }
}

fn spellings_in(scope: Scope) -> impl Iterator<Item = &'static str> {
    let names = grammar::rows().filter(move |row| row.scopes.contains(&scope)).flat_map(Row::spellings);
    names.chain(std::iter::once("End"))
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
