//! How a diagnostic is printed: Pound's line, or that line with the user's own text under it.

use crate::diag::{Diagnostic, Level, Place};
use std::fmt::Write as _;

impl Diagnostic {
    /// Pound's form, `NAME: FILE:LINE.COL1-COL2: text`, a line for each note after it; no line end.
    ///
    /// `name` is the program's name (the basename of `argv[0]`).
    pub fn line(&self, name: &str) -> String {
        let mut out = format!("{name}: ");
        if let Some(place) = &self.place {
            let _ = write!(out, "{}: ", place.locus());
        }
        if self.level == Level::Warning {
            out.push_str("warning: ");
        }
        out.push_str(&self.text);
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
}
