//! Text to tokens: words, literals, strings in double quotes, line ends.
//!
//! A `#` outside quotes starts a comment. In a string `\"` and `\\` stand for the second character; before any
//! other character the backslash is dropped with a warning, as Pound does. A line end inside a string is part
//! of it.

use crate::diag::Problem;
use crate::source::{FileId, Span};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A letter or `_`, then letters, digits and `_`: the only form of a directive.
    Word,
    /// Anything else that stands without quotes: numbers, addresses, options.
    Literal,
    /// A string; its text is without quotes and escapes.
    Text,
    /// The end of a line that holds a token.
    LineEnd,
    /// The end of the file.
    FileEnd,
}

/// A token and its place.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
    pub(crate) text: String,
}

/// All tokens of a file, and what is wrong with them where. The last token is [`Kind::FileEnd`]; a
/// [`Kind::LineEnd`] stands before it.
pub(crate) fn tokens(file: FileId, text: &str) -> (Vec<Token>, Vec<(Span, Problem)>) {
    let mut lexer =
        Lexer { file, text, bytes: text.as_bytes(), at: 0, problems: Vec::new(), tokens: Vec::new() };
    lexer.run();
    (lexer.tokens, lexer.problems)
}

struct Lexer<'a> {
    file: FileId,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    problems: Vec<(Span, Problem)>,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        // A byte order mark is invisible to who wrote the file.
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' => {
                    self.end_line(self.at);
                    self.at += 1;
                }
                byte if byte.is_ascii_whitespace() || byte == 0x0b => self.at += 1,
                b'#' => self.at = self.next_line(self.at),
                b'"' => self.string(),
                _ => self.bare(),
            }
        }
        self.end_line(self.bytes.len());
        self.push(Kind::FileEnd, self.bytes.len(), self.bytes.len(), String::new());
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, text: String) {
        self.tokens.push(Token { kind, span: self.span(start, end), text });
    }

    fn report(&mut self, span: Span, problem: Problem) {
        self.problems.push((span, problem));
    }

    fn span(&self, start: usize, end: usize) -> Span {
        // Files are at most 16 MiB (source.rs), so offsets fit.
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    fn end_line(&mut self, at: usize) {
        if self.tokens.last().is_some_and(|last| last.kind != Kind::LineEnd) {
            self.push(Kind::LineEnd, at, at, String::new());
        }
    }

    /// The offset of the line end at or after `from`.
    fn next_line(&self, from: usize) -> usize {
        self.bytes[from..].iter().position(|b| *b == b'\n').map_or(self.bytes.len(), |n| from + n)
    }

    /// A word or a literal.
    fn bare(&mut self) {
        let start = self.at;
        let ends = |b: &u8| b.is_ascii_whitespace() || *b == b'#' || *b == b'"' || *b == 0x0b;
        self.at = self.bytes[start..].iter().position(ends).map_or(self.bytes.len(), |n| start + n);
        let text = &self.text[start..self.at];
        let mut letters = text.bytes();
        let first = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let kind = if first && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            Kind::Word
        } else {
            Kind::Literal
        };
        self.push(kind, start, self.at, text.to_owned());
        if self.bytes.get(self.at) == Some(&b'"') {
            let span = self.span(self.at, self.at + 1);
            self.report(span, Problem::error(span, "no blank before the quote").expected("a blank"));
        }
    }

    fn string(&mut self) {
        let start = self.at;
        let mut text = String::new();
        let mut escapes = Vec::new();
        let mut from = start + 1;
        let closed = loop {
            let Some(found) = self.bytes[from..].iter().position(|b| matches!(b, b'"' | b'\\')) else {
                break None;
            };
            let at = from + found;
            text.push_str(&self.text[from..at]);
            if self.bytes[at] == b'"' {
                break Some(at + 1);
            }
            match self.bytes.get(at + 1) {
                Some(next @ (b'"' | b'\\')) => {
                    text.push(char::from(*next));
                    from = at + 2;
                }
                _ => {
                    escapes.push(at);
                    from = at + 1;
                }
            }
        };
        let first_line = self.next_line(start);
        match closed {
            Some(end) if end <= first_line || self.separated(end) => {
                self.warn_escapes(&escapes);
                self.push(Kind::Text, start, end, text);
                self.at = end;
                if !self.separated(end) {
                    // The whole character, which may be several bytes.
                    let next = self.text[end..].chars().next().map_or(1, char::len_utf8);
                    let span = self.span(end, end + next);
                    self.report(span, Problem::error(span, "no blank after the quote").expected("a blank"));
                }
            }
            // A quote that was forgotten swallows text up to the next string's opening quote, which is then
            // followed by that string's text. Only the first line can be meant.
            _ => {
                let line = self.span(start, self.trimmed(start, first_line));
                let problem = Problem::error(line, "this string is not closed");
                self.report(line, problem.expected("a double quote before the end of the line"));
                let text = self.text[start + 1..line.end as usize].to_owned();
                self.push(Kind::Text, start, line.end as usize, text);
                self.at = first_line;
            }
        }
    }

    fn separated(&self, at: usize) -> bool {
        self.bytes.get(at).is_none_or(|b| b.is_ascii_whitespace() || *b == b'#' || *b == 0x0b)
    }

    /// `end` without the white space before it, but not before `start + 1`.
    fn trimmed(&self, start: usize, end: usize) -> usize {
        let kept = self.bytes[start + 1..end].trim_ascii_end().len();
        start + 1 + kept
    }

    fn warn_escapes(&mut self, escapes: &[usize]) {
        for &at in escapes {
            let Some(next) = self.text[at + 1..].chars().next() else { continue };
            let span = self.span(at, at + 1 + next.len_utf8());
            let shown = if next == '\n' { "line end".to_owned() } else { format!("\"{next}\"") };
            let problem = Problem::warning(span, format!("the backslash before {shown} is dropped"));
            self.report(span, problem.help("write \\\\ for a backslash"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    fn lex(text: &str) -> (Vec<(Kind, String)>, usize) {
        let mut sources = Sources::default();
        let file = sources.add_text("t", text);
        let (all, problems) = tokens(file, text);
        (all.into_iter().map(|t| (t.kind, t.text)).collect(), problems.len())
    }

    fn text(kind: Kind, text: &str) -> (Kind, String) {
        (kind, text.to_owned())
    }

    #[test]
    fn words_literals_and_strings_are_told_apart() {
        let (tokens, errors) = lex("Port 80 -icase \"a b\"#c\n\n# d\nEnd");
        assert_eq!(errors, 0);
        assert_eq!(
            tokens,
            [
                text(Kind::Word, "Port"),
                text(Kind::Literal, "80"),
                text(Kind::Literal, "-icase"),
                text(Kind::Text, "a b"),
                text(Kind::LineEnd, ""),
                text(Kind::Word, "End"),
                text(Kind::LineEnd, ""),
                text(Kind::FileEnd, ""),
            ]
        );
    }

    #[test]
    fn escapes_keep_quotes_and_backslashes_and_drop_others() {
        assert_eq!(lex(r#""a\"b\\c\.d""#).0[0], text(Kind::Text, r#"a"b\c.d"#));
    }

    #[test]
    fn a_line_end_in_a_string_is_kept() {
        let (tokens, errors) = lex("\"a\nb\"\n");
        assert_eq!((&tokens[0], errors), (&text(Kind::Text, "a\nb"), 0));
    }

    /// A place must not end within a character, or it cannot be shown.
    #[test]
    fn what_follows_a_quote_is_pointed_at_as_a_whole() {
        let mut sources = Sources::default();
        let text = "Backend \"b\"é\n";
        let file = sources.add_text("t", text);
        let (_, problems) = tokens(file, text);
        let spans: Vec<&str> =
            problems.iter().map(|(span, _)| &text[span.start as usize..span.end as usize]).collect();
        assert_eq!(spans, ["é"]);
    }

    /// The statement after a forgotten quote must still be read.
    #[test]
    fn a_forgotten_quote_costs_its_line_only() {
        let (tokens, errors) = lex("User \"nobody\nGroup \"x\"\n");
        assert_eq!(errors, 1);
        assert_eq!(tokens[1], text(Kind::Text, "nobody"));
        assert_eq!(tokens[3], text(Kind::Word, "Group"));
        assert_eq!(tokens[4], text(Kind::Text, "x"));
    }
}
