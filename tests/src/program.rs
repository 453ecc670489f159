//! The programs under test: those of this workspace, built when they are first asked for.
//!
//! Cargo hands a test only the binaries of its own package, so the harness asks Cargo to build the others, as a release
//! is built. What is built already costs a moment. `OUNCE_BIN_DIR` names a directory with finished binaries instead.

use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where the binaries are when they need not be built.
const DIRECTORY: &str = "OUNCE_BIN_DIR";

#[derive(Debug)]
struct Programs {
    ounce: PathBuf,
    ouncectl: PathBuf,
}

/// The proxy.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn ounce() -> &'static Path {
    &programs().ounce
}

/// The program that speaks to its control socket.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn ouncectl() -> &'static Path {
    &programs().ouncectl
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| match std::env::var_os(DIRECTORY) {
        Some(directory) => finished(Path::new(&directory)),
        None => build(),
    })
}

fn finished(directory: &Path) -> Programs {
    let programs = Programs { ounce: directory.join("ounce"), ouncectl: directory.join("ouncectl") };
    for program in [&programs.ounce, &programs.ouncectl] {
        assert!(program.is_file(), "{DIRECTORY} is set, but {} is not there", program.display());
    }
    programs
}

fn build() -> Programs {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .current_dir(workspace())
        .args(["build", "--release", "--package", "ounce", "--package", "ounce-ctl", "--bins"])
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    assert!(output.status.success(), "cargo cannot build the programs under test");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let find = |name: &str| {
        let found = messages.lines().find_map(|line| executable(line, name));
        found.unwrap_or_else(|| panic!("cargo has built no binary {name}"))
    };
    Programs { ounce: find("ounce"), ouncectl: find("ouncectl") }
}

/// The path in one of Cargo's messages, if it tells of the binary `name`.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    (message["target"]["name"] == name).then_some(())?;
    message["executable"].as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_binary_is_read_from_cargo_s_messages() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"ounce","kind":["bin"]},"executable":"/x/ounce"}"#;
        assert_eq!(executable(message, "ounce"), Some(PathBuf::from("/x/ounce")));
        assert_eq!(executable(message, "ouncectl"), None);
        assert_eq!(executable(r#"{"target":{"name":"ounce"},"executable":null}"#, "ounce"), None);
        assert_eq!(executable("not json", "ounce"), None);
    }
}
