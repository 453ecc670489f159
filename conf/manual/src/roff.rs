//! Markdown to a man page, in the macros of man(7), which every reader of man pages knows.

use crate::pages::Page;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// A man page.
pub(crate) fn render(page: &Page) -> String {
    let mut out = Writer::default();
    let title = page.name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    out.line(&format!(
        ".TH \"{title}\" \"{}\" \"\" \"ounce {version}\" \"System Manager's Manual\"",
        page.section
    ));
    out.line(".SH NAME");
    out.line(&format!("{} \\- {}", escaped(page.name), escaped(page.about)));
    for event in Parser::new_ext(&page.text, Options::ENABLE_TABLES) {
        out.event(event);
    }
    out.end_line();
    out.text
}

#[derive(Debug, Default)]
struct Writer {
    text: String,
    /// Inside a block that is set as it stands.
    verbatim: bool,
    /// Lists that are open: the number of the next item, or none for bullets.
    lists: Vec<Option<u64>>,
    /// An item has begun and its first paragraph has not.
    item: bool,
    /// The words of a table's head, its rows until it ends, and whether its head is being read.
    table: Table,
    heading: Option<HeadingLevel>,
    /// Below a heading that is set as a tag: whether its first paragraph has begun.
    entry: Option<bool>,
}

#[derive(Debug, Default)]
struct Table {
    open: bool,
    in_head: bool,
    head: Vec<String>,
    row: Vec<String>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.verbatim => self.verbatim(&text),
            Event::Text(text) if self.heading == Some(HeadingLevel::H1) => {
                self.words(&escaped(&text.to_uppercase()));
            }
            Event::Text(text) => self.words(&escaped(&text)),
            Event::Code(text) if self.heading.is_some() => self.words(&escaped(&text)),
            Event::Code(text) => self.words(&format!("\\fB{}\\fR", escaped(&text))),
            Event::SoftBreak | Event::HardBreak => self.words("\n"),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.end_line();
                self.heading = Some(*level);
                self.entry = (*level > HeadingLevel::H2).then_some(false);
                self.text.push_str(match level {
                    HeadingLevel::H1 => ".SH \"",
                    HeadingLevel::H2 => ".SS \"",
                    _ => ".TP\n\\fB",
                });
            }
            Tag::Paragraph if self.item => self.item = false,
            Tag::Paragraph if self.table.open => {}
            Tag::Paragraph if self.entry == Some(false) => self.entry = Some(true),
            Tag::Paragraph => {
                self.end_line();
                self.line(if self.lists.is_empty() && self.entry.is_none() { ".PP" } else { ".IP" });
            }
            Tag::CodeBlock(_) => {
                self.end_line();
                self.line(".PP\n.RS 4\n.nf");
                self.verbatim = true;
            }
            Tag::List(first) => {
                self.end_line();
                if !self.lists.is_empty() {
                    self.line(".RS");
                }
                self.lists.push(*first);
            }
            Tag::Item => {
                self.end_line();
                self.item = true;
                match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let line = format!(".IP {number}. 4");
                        *number += 1;
                        self.line(&line);
                    }
                    _ => self.line(".IP \\(bu 2"),
                }
            }
            Tag::Table(_) => {
                self.end_line();
                if self.entry.is_some() {
                    self.line(".RS");
                }
                self.table = Table { open: true, ..Table::default() };
            }
            Tag::TableHead => self.table.in_head = true,
            Tag::TableCell => self.table.row.push(String::new()),
            Tag::Emphasis => self.words("\\fI"),
            Tag::Strong => self.words("\\fB"),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => {
                self.heading = None;
                self.text.push_str(if matches!(level, HeadingLevel::H1 | HeadingLevel::H2) {
                    "\""
                } else {
                    "\\fR"
                });
                self.end_line();
            }
            TagEnd::Paragraph => self.end_line(),
            TagEnd::CodeBlock => {
                self.verbatim = false;
                self.end_line();
                self.line(".fi\n.RE");
            }
            TagEnd::List(_) => {
                self.end_line();
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.line(".RE");
                }
            }
            TagEnd::Item => {
                self.item = false;
                self.end_line();
            }
            TagEnd::TableHead => {
                self.table.in_head = false;
                self.table.head = std::mem::take(&mut self.table.row);
            }
            TagEnd::TableRow => self.row(),
            TagEnd::Table => {
                self.table.open = false;
                if self.entry.is_some() {
                    self.line(".RE");
                }
            }
            TagEnd::Emphasis | TagEnd::Strong => self.words("\\fR"),
            _ => {}
        }
    }

    /// A row of a table: its first cell as a tag, the others under it, each named when there are several.
    fn row(&mut self) {
        let cells = std::mem::take(&mut self.table.row);
        let Some((first, rest)) = cells.split_first() else { return };
        self.line(&format!(".TP\n{first}"));
        let several = rest.len() > 1;
        for (cell, name) in rest.iter().zip(self.table.head.clone().iter().skip(1)) {
            match (several, name.is_empty()) {
                (true, false) => self.line(&format!("\\fI{name}:\\fR {cell}\n.br")),
                _ => self.line(&guarded(cell)),
            }
        }
    }

    fn words(&mut self, words: &str) {
        if self.table.open {
            if let Some(cell) = self.table.row.last_mut() {
                cell.push_str(words);
            }
            return;
        }
        let fresh = self.text.ends_with('\n') || self.text.is_empty();
        self.text.push_str(&if fresh { guarded(words) } else { words.to_owned() });
    }

    fn verbatim(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            let line = guarded(&escaped(line));
            self.text.push_str(&line);
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn end_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

/// Text without characters that mean something to roff, but for those at the start of a line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '"' => out.push_str("\\(dq"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '\t' => out.push_str("    "),
            other => out.push(other),
        }
    }
    out
}

/// A line that is no request to roff.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        let page = Page { file: "x.8", name: "x", section: 8, about: "y", text: text.to_owned() };
        let all = render(&page);
        all[all.find("y\n").unwrap_or(0) + 2..].to_owned()
    }

    #[test]
    fn text_is_never_a_request() {
        assert_eq!(rendered(".so /etc/passwd\n"), ".PP\n\\&.so /etc/passwd\n");
        assert_eq!(rendered("```\n.so x\n\\n\n```\n"), ".PP\n.RS 4\n.nf\n\\&.so x\n\\en\n.fi\n.RE\n");
        assert_eq!(rendered("a\n.b\n"), ".PP\na\n\\&.b\n");
    }

    #[test]
    fn tables_become_tagged_paragraphs() {
        let text = "| a | b | c |\n|---|---|---|\n| 1 | `2` | 3 |\n";
        assert_eq!(rendered(text), ".TP\n1\n\\fIb:\\fR \\fB2\\fR\n.br\n\\fIc:\\fR 3\n.br\n");
    }
}
