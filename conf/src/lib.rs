//! The configuration language: Pound's, read into plain data.
//!
//! [`load`] is the only door: a path goes in, a [`model::Config`] with warnings or every error of the run
//! comes out.

#![forbid(unsafe_code)]

mod diag;
pub mod model;
mod render;
mod source;

pub use diag::{Diagnostic, Level, Note, Place, Position};

use diag::{Findings, Problem};
use model::{Config, Pattern};
use source::{FileId, Sources, Span};
use std::path::{Path, PathBuf};

/// What the command line says about loading.
#[derive(Debug, Clone)]
pub struct Options {
    /// `-W include-dir=DIR`: base of relative file names; `None` is the directory of the main file.
    pub include_dir: Option<PathBuf>,
    /// `-W warn-deprecated`: warn about old spellings and about statements that have no effect.
    pub warn_deprecated: bool,
    /// `-W dns`: look host names up; without it only addresses in digits and socket paths are known.
    pub resolve_dns: bool,
    /// Says whether a pattern compiles, so that one that does not is reported at its place.
    pub check_pattern: Option<fn(&Pattern) -> Result<(), String>>,
}

impl Default for Options {
    fn default() -> Options {
        Options { include_dir: None, warn_deprecated: true, resolve_dns: true, check_pattern: None }
    }
}

/// A configuration that loads.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What its owner may want to change, in file order.
    pub warnings: Vec<Diagnostic>,
}

/// Loads a file and everything it includes.
///
/// # Errors
/// Every error of the run and the warnings between them, in file order.
pub fn load(path: &Path, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    match sources.open(path, None) {
        Ok(file) => read(sources, file, options),
        Err(text) => {
            let mut findings = Findings::default();
            findings.push(Problem::nowhere(text));
            Err(findings.resolve(&sources))
        }
    }
}

/// Loads text that is not in a file; `name` stands for the file in messages.
///
/// # Errors
/// As [`load`].
pub fn load_text(name: &str, text: &str, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let file = sources.add_text(name, text);
    read(sources, file, options)
}

/// Reads the tree of `file` into the model.
fn read(sources: Sources, file: FileId, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let mut at = 0;
    for line in sources.text(file).split_inclusive('\n') {
        let words = line.trim_ascii();
        if !words.is_empty() && !words.starts_with('#') {
            let start = at + (line.len() - line.trim_ascii_start().len()) as u32;
            let span = Span { file, start, end: start + words.len() as u32 };
            findings.push(Problem::error(span, format!("{words} is not supported yet")));
        }
        at += line.len() as u32;
    }
    let _ = options;
    if findings.errors() > 0 {
        return Err(findings.resolve(&sources));
    }
    let config = Config { global: model::Global::default(), listeners: Vec::new(), services: Vec::new() };
    Ok(Loaded { config, warnings: findings.resolve(&sources) })
}

/// The text of `--help-directives`: every directive, where it may stand and what it does.
pub fn help_directives() -> String {
    String::new()
}
