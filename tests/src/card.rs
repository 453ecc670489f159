//! A crypto card that is none: `data/card.c`, an engine of OpenSSL up to 3 with a fixed time for each answer.

use crate::program::workspace;
use crate::token::self_signed;
use crate::tool;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Builds a module of OpenSSL from `tests/data/NAME.c`.
///
/// # Panics
/// When a C compiler, OpenSSL or its headers are not installed.
pub fn module(name: &str, into: &Path) {
    let source = workspace().join(format!("tests/data/{name}.c")).display().to_string();
    let into = into.display().to_string();
    let words = ["-O1", "-Wall", "-shared", "-fPIC", "-o", &into, &source, "-lcrypto", "-lpthread"];
    let output = tool::run("cc", words);
    assert!(output.status.success(), "{output:?}");
}

/// A card, with certificates beside it: `rsa.crt` and `ec.crt`, their keys in `.key`, both in `.pem`.
#[derive(Debug)]
pub struct Card(TempDir);

impl Card {
    /// Builds it.
    ///
    /// # Panics
    /// When a C compiler, OpenSSL or its headers are not installed.
    #[must_use]
    pub fn new() -> Card {
        let card = Card(tempfile::tempdir().expect("a temporary directory"));
        module("card", &card.path("card.so"));
        self_signed(card.folder(), "rsa", &["-newkey", "rsa:2048"]);
        self_signed(card.folder(), "ec", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        card
    }

    /// Where the certificates are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// A file beside it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// From now on it fails (`fail`), falls silent (`hang`, or in jobs alone: `late`), or works.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn becomes(&self, state: &str) {
        // Whole at once: it is read all the time.
        fs::write(self.path("next"), state).expect("a file");
        fs::rename(self.path("next"), self.path("state")).expect("a file");
    }

    /// Its section, with this inside.
    #[must_use]
    pub fn section(&self, inside: &str) -> String {
        let (module, state) = (self.path("card.so"), self.path("state"));
        let (module, state) = (module.display(), state.display());
        format!("SSLEngine \"card\"\nPath \"{module}\"\nPreCommand \"STATE\" \"{state}\"\n{inside}\nEnd\n")
    }

    /// A certificate with its key in a file, such as `ec.pem`.
    #[must_use]
    pub fn certificate(&self, name: &str) -> String {
        format!("Cert \"{}\"", self.path(name).display())
    }

    /// A certificate whose key the card holds, `rsa` or `ec`.
    #[must_use]
    pub fn held(&self, name: &str) -> String {
        let key = self.path(&format!("{name}.key"));
        format!("{}\nKey \"{}\" \"card\"", self.certificate(&format!("{name}.crt")), key.display())
    }
}

impl Default for Card {
    fn default() -> Card {
        Card::new()
    }
}
