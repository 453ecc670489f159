//! How a diagnostic is printed: Pound's line, or that line with the user's own text under it.

use crate::diag::{Diagnostic, Level};
use crate::source::Place;
use annotate_snippets::{AnnotationKind, Group, Renderer, Snippet};
use std::fmt::Write as _;

impl Diagnostic {
    /// Pound's form, `NAME: FILE:LINE.COL1-COL2: text`, with a line for each note after it; no line end.
    ///
    /// `name` is the program's name (the basename of `argv[0]`).
    pub fn line(&self, name: &str) -> String {
        let mut out = self.headline(name);
        if let Some(expected) = &self.expected {
            let _ = write!(out, "; expected {expected}");
        }
        if let Some(help) = &self.help {
            let _ = write!(out, " ({help})");
        }
        for note in &self.notes {
            let _ = write!(out, "\n{name}: {}: {}", note.place.locus(), note.text);
        }
        out
    }

    /// Pound's form, and under it the line of the file with what was expected there; no line end.
    pub fn snippet(&self, name: &str) -> String {
        let Some(place) = &self.place else { return self.line(name) };
        let level = match self.level {
            Level::Error => annotate_snippets::Level::ERROR,
            Level::Warning => annotate_snippets::Level::WARNING,
        };
        let expected = self.expected.as_ref().map(|expected| format!("expected {expected}"));
        let primary = AnnotationKind::Primary.span(place.characters()).label(expected);
        let mut group = Group::with_level(level).element(place.lines().annotation(primary));
        for note in &self.notes {
            let at = AnnotationKind::Context.span(note.place.characters()).label(&note.text);
            group = group.element(note.place.lines().annotation(at));
        }
        if let Some(help) = &self.help {
            group = group.element(annotate_snippets::Level::HELP.message(help));
        }
        format!("{}\n{}", self.headline(name), Renderer::plain().render(&[group]))
    }

    fn headline(&self, name: &str) -> String {
        let mut out = format!("{name}: ");
        if let Some(place) = &self.place {
            let _ = write!(out, "{}: ", place.locus());
        }
        if self.level == Level::Warning {
            out.push_str("warning: ");
        }
        out.push_str(&self.text);
        out
    }
}

impl Place {
    /// `FILE:LINE.COL1-COL2`, `FILE:LINE.COL` for a single column, `FILE:LINE.COL-LINE.COL` over lines.
    pub fn locus(&self) -> String {
        let (start, end) = (self.start, self.end);
        if start.line != end.line {
            format!("{}:{}.{}-{}.{}", self.file, start.line, start.column, end.line, end.column)
        } else if start.column != end.column {
            format!("{}:{}.{}-{}", self.file, start.line, start.column, end.column)
        } else {
            format!("{}:{}.{}", self.file, start.line, start.column)
        }
    }

    /// The range in whole characters: a word may end inside one that no word may hold.
    fn characters(&self) -> std::ops::Range<usize> {
        let (start, end) = (self.range.start, self.range.end);
        self.excerpt.floor_char_boundary(start)..self.excerpt.ceil_char_boundary(end)
    }

    fn lines<'a, T: Clone>(&'a self) -> Snippet<'a, T> {
        Snippet::source(&*self.excerpt).line_start(self.start.line as usize).path(&*self.file)
    }
}
