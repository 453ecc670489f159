//! A token of PKCS#11 in software, with keys of the test's, and the certificates that belong to them.

use crate::tool;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Where Debian's architectures have their libraries.
const LIBRARIES: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// What opens the token.
pub const PIN: &str = "1234";

/// The kinds of keys, as `openssl req` takes them.
const KINDS: [(&str, &[&str]); 2] =
    [("rsa", &["-newkey", "rsa:2048"]), ("ec", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])];

/// A token named `ounce` that holds the keys `rsa` and `ec`.
#[derive(Debug)]
pub struct Token {
    folder: TempDir,
}

impl Token {
    /// A fresh token.
    ///
    /// # Panics
    /// When SoftHSM or OpenSSL is not installed, or does not do as it is told.
    #[must_use]
    pub fn new() -> Token {
        let token = Token { folder: tempfile::tempdir().expect("a temporary directory") };
        fs::create_dir(token.path("tokens")).expect("a directory");
        let config =
            format!("directories.tokendir = {}\nlog.level = ERROR\n", token.path("tokens").display());
        fs::write(token.configuration(), config).expect("a file");
        token.softhsm(&["--init-token", "--free", "--label", "ounce", "--so-pin", "12345678", "--pin", PIN]);
        for (id, (name, kind)) in ["01", "02"].iter().zip(KINDS) {
            self_signed(token.folder(), name, kind);
            let key = token.path(&format!("{name}.key"));
            let key = key.to_str().expect("a path that is text");
            token.softhsm(&["--import", key, "--token", "ounce", "--label", name, "--id", id, "--pin", PIN]);
        }
        token
    }

    /// What SoftHSM reads; the variable `SOFTHSM2_CONF` names it.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.path("softhsm2.conf")
    }

    /// Where `rsa.crt` and `ec.crt` are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file beside the token.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The module through which programs reach the token.
    ///
    /// # Panics
    /// When it is not installed.
    #[must_use]
    pub fn module() -> PathBuf {
        library("softhsm/libsofthsm2.so")
    }

    fn softhsm(&self, words: &[&str]) {
        let output = Command::new(tool::path("softhsm2-util"))
            .args(words)
            .env("SOFTHSM2_CONF", self.configuration())
            .output()
            .expect("a program that is installed");
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
}

impl Default for Token {
    fn default() -> Token {
        Token::new()
    }
}

/// A file among this system's libraries.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn library(name: &str) -> PathBuf {
    let found = LIBRARIES.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed; scripts/test installs what the tests need"))
}

/// Makes `NAME.key`, `NAME.crt`, and both in `NAME.pem`; `kind` says what kind of key, to `openssl req`.
///
/// # Panics
/// When that fails.
pub fn self_signed(folder: &Path, name: &str, kind: &[&str]) {
    let file = |ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
    let (key, crt) = (file("key"), file("crt"));
    let subject = format!("/CN={name}.test");
    let words = ["req", "-x509", "-nodes", "-days", "30", "-subj", &subject, "-keyout", &key, "-out", &crt];
    let output = tool::run("openssl", [&words[..], kind].concat());
    assert!(output.status.success(), "{output:?}");
    let both = [fs::read(&crt).expect("a file"), fs::read(&key).expect("a file")].concat();
    fs::write(file("pem"), both).expect("a file");
}
