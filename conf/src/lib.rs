//! The configuration language: Pound's, read into plain data.
//!
//! [`load`] is the only door: a path goes in, a [`model::Config`] with warnings or every error of the run
//! comes out.

#![forbid(unsafe_code)]

mod diag;
mod grammar;
mod lex;
mod lower;
pub mod model;
mod parse;
mod render;
mod source;
mod suggest;
mod tree;

pub use diag::{Diagnostic, Level, Note, Place, Position};
pub use grammar::help_directives;

use diag::{Findings, Problem};
use model::{Config, Pattern};
use source::{FileId, Sources};
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
    pub check_pattern: Option<CheckPattern>,
}

/// Says why a pattern does not compile.
pub type CheckPattern = fn(&Pattern) -> Result<(), String>;

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
        Ok(file) => read(sources, file, path.parent().unwrap_or(Path::new("")).to_owned(), options),
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
    read(sources, file, PathBuf::new(), options)
}

/// Reads a file that is open into the model.
fn read(
    mut sources: Sources,
    file: FileId,
    base: PathBuf,
    options: &Options,
) -> Result<Loaded, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let base = options.include_dir.clone().unwrap_or(base);
    let tree = parse::parse(&mut sources, file, base, options.warn_deprecated, &mut findings);
    let config = lower::lower(&tree, options, &mut findings);
    let failed = findings.errors() > 0;
    let diagnostics = findings.resolve(&sources);
    if failed { Err(diagnostics) } else { Ok(Loaded { config, warnings: diagnostics }) }
}
