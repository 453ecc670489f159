//! Mutilated configurations: whatever a file holds, loading it ends, without a panic, with a sound answer.
//!
//! Each case is made from one seed, which a failure prints.

use fastrand::Rng;
use ounce_conf::{Diagnostic, Level, Options, help_directives, load_text, load_text_ahead, upgrade_text};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Cases of a normal run: a few seconds of one CPU in a debug build. `OUNCE_CASES` asks for more, and `OUNCE_SEED` for
/// others: the first one.
const CASES: u64 = 4000;

/// Text that has meant trouble to parsers.
const ODD: [&str; 24] = [
    "\"",
    "\\",
    "\\\"",
    "#",
    "\n",
    "\r\n",
    "\t",
    "\u{b}",
    "\0",
    "\u{feff}",
    "é",
    "\u{1b}[0m",
    "-",
    "--",
    "-icase",
    "End",
    "end",
    "0",
    "-1",
    "4294967296",
    "18446744073709551616",
    "99999999999d",
    "$1",
    "%[",
];

#[test]
fn mutilated_configurations_are_answered() {
    let inputs = inputs();
    let words = words();
    let asked = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = asked("OUNCE_SEED").unwrap_or(0);
    for seed in first..first + asked("OUNCE_CASES").unwrap_or(CASES) {
        let text = mutilated(&inputs, &words, &mut Rng::with_seed(seed));
        let answer = catch_unwind(AssertUnwindSafe(|| check(&text, seed % 2 == 0)));
        assert!(answer.is_ok(), "seed {seed} of:\n{text}");
    }
}

/// Loads a text and looks at all that is said about it.
fn check(text: &str, ahead: bool) {
    let options = Options {
        include_dir: Some(PathBuf::from("tests/golden/files")),
        resolve_dns: false,
        ..Options::default()
    };
    let load = if ahead { load_text_ahead } else { load_text };
    match load("mutilated.conf", text, &options) {
        Ok(loaded) => {
            // What loads can be said in today's words, and is the same then.
            let new =
                upgrade_text("mutilated.conf", text, &options).expect("a configuration that loads").text;
            let again = load("mutilated.conf", &new, &options);
            let same =
                again.is_ok_and(|again| format!("{:?}", again.config) == format!("{:?}", loaded.config));
            assert!(same, "in today's words:\n{new}");
            assert!(loaded.warnings.iter().all(|warning| warning.level == Level::Warning));
            loaded.warnings.iter().for_each(is_sound);
        }
        Err(diagnostics) => {
            assert!(diagnostics.iter().any(|diagnostic| diagnostic.level == Level::Error));
            diagnostics.iter().for_each(is_sound);
        }
    }
}

/// A diagnostic can be printed, and points into its line.
fn is_sound(diagnostic: &Diagnostic) {
    let line = diagnostic.line("ounce");
    assert_eq!(line.lines().count(), 1 + diagnostic.notes.len(), "{line}");
    assert!(!diagnostic.snippet("ounce").is_empty());
    let notes = diagnostic.notes.iter().map(|note| &note.place);
    for place in diagnostic.place.iter().chain(notes) {
        assert!(place.start.line >= 1 && place.start.column >= 1, "{place:?}");
        assert!(place.start <= place.end, "{place:?}");
        assert!(place.excerpt.get(place.range.clone()).is_some(), "{place:?}");
    }
}

/// The inputs of the goldens.
fn inputs() -> Vec<String> {
    let mut inputs = Vec::new();
    let folders =
        ["tests/golden", "tests/golden/ahead"].map(|folder| fs::read_dir(folder).expect("a folder"));
    for entry in folders.into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "conf") {
            let text = fs::read_to_string(&path).expect("a golden");
            let cases = text.split("==========\n").filter_map(|case| case.split("----------\n").next());
            inputs.extend(cases.map(str::to_owned));
        }
    }
    // The order of a folder is not that of the next run.
    inputs.sort();
    inputs
}

/// All directives, and the odd ones.
fn words() -> Vec<String> {
    let help = help_directives();
    let rows = help.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = rows.filter_map(|row| row.split_whitespace().next());
    names.chain(ODD).map(str::to_owned).collect()
}

fn mutilated(inputs: &[String], words: &[String], rng: &mut Rng) -> String {
    let mut lines: Vec<String> = pick(inputs, rng).lines().map(str::to_owned).collect();
    for _ in 0..rng.usize(0..8) {
        let at = rng.usize(0..=lines.len());
        match rng.u8(0..8) {
            0 if at < lines.len() => drop(lines.remove(at)),
            1 if at < lines.len() => lines.insert(at, lines[at].clone()),
            2 => lines.insert(at, pick(words, rng).to_owned()),
            3 => lines.insert(at, format!("{} {}", pick(words, rng), pick(words, rng))),
            4 => {
                // Part of another configuration, which brings sections that belong elsewhere.
                let other: Vec<&str> = pick(inputs, rng).lines().collect();
                let from = rng.usize(0..=other.len());
                lines.splice(at..at, other[from..].iter().take(9).map(|line| (*line).to_owned()));
            }
            5 => lines.truncate(at),
            _ if at < lines.len() => lines[at] = torn(&lines[at], words, rng),
            _ => {}
        }
    }
    let end = if rng.bool() { "\n" } else { "" };
    lines.join("\n") + end
}

/// A line with one change: a word, a character, or its end.
fn torn(line: &str, words: &[String], rng: &mut Rng) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    let at = rng.usize(0..=chars.len());
    match rng.u8(0..4) {
        0 if at < chars.len() => drop(chars.remove(at)),
        1 => chars.truncate(at),
        2 => {
            chars.splice(at..at, pick(words, rng).chars());
        }
        _ => {
            let mut parts: Vec<&str> = line.split(' ').collect();
            let at = rng.usize(0..parts.len());
            parts[at] = pick(words, rng);
            return parts.join(" ");
        }
    }
    chars.into_iter().collect()
}

fn pick<'a>(from: &'a [String], rng: &mut Rng) -> &'a str {
    &from[rng.usize(0..from.len())]
}
