//! Runs `golden/*.conf`: configurations and what is said about them.
//!
//! A file holds cases with `==========` between them; a case is an input, `----------`, and the diagnostics and
//! the summary of the model expected from it. `BLESS=1` rewrites what is expected.

mod summary;

use ounce_conf::{Loaded, Options, help_directives, load_text, load_text_ahead, model};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const GOLDEN: &str = "tests/golden";

/// Goldens of what is read but not served yet.
const AHEAD: &str = "tests/golden/ahead";

const CASE: &str = "==========";
const EXPECTED: &str = "----------";

/// What a run over an input prints; with `ahead`, also what the engine does not serve yet.
fn run(name: &str, input: &str, ahead: bool) -> String {
    let options = Options {
        include_dir: Some(PathBuf::from("tests/golden/files")),
        warn_deprecated: true,
        resolve_dns: false,
        check_pattern: Some(balanced),
        ..Options::default()
    };
    let mut out = String::new();
    let load = if ahead { load_text_ahead } else { load_text };
    let (diagnostics, loaded) = match load(name, input, &options) {
        Ok(Loaded { config, ahead, warnings, .. }) => (warnings, Some((config, ahead))),
        Err(diagnostics) => (diagnostics, None),
    };
    for diagnostic in diagnostics {
        out.push_str(&diagnostic.line("ounce"));
        out.push('\n');
        // The snippet holds the same; that it can be drawn is all there is to see.
        let _ = diagnostic.snippet("ounce");
    }
    if let Some((config, ahead)) = loaded {
        out.push_str(&summary::summary(&config, &ahead));
    }
    out
}

/// Stands for the engine's compiler: a regular expression with as many closing as opening parentheses.
fn balanced(pattern: &model::Pattern) -> Result<(), String> {
    let count = |c| pattern.text.matches(c).count();
    if count('(') == count(')') { Ok(()) } else { Err("unclosed group".to_owned()) }
}

/// Whether this run rewrites the goldens, which nothing else should then read.
fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// The goldens of a folder in the order of their names.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of goldens")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .collect();
    files.sort();
    files
}

/// The inputs of a golden file with what is expected of each.
fn cases(text: &str) -> Vec<(String, String)> {
    let mut cases = vec![(String::new(), String::new())];
    let mut answer = false;
    for line in text.split_inclusive('\n') {
        match line.trim_end_matches('\n') {
            CASE => cases.push((String::new(), String::new())),
            EXPECTED => {}
            _ => {
                if let Some((input, expected)) = cases.last_mut() {
                    (if answer { expected } else { input }).push_str(line);
                }
            }
        }
        answer = (answer || line.starts_with(EXPECTED)) && !line.starts_with(CASE);
    }
    cases
}

#[test]
fn goldens_hold() {
    let bless = blessing();
    let mut wrong = String::new();
    for path in files(GOLDEN).into_iter().chain(files(AHEAD)) {
        let ahead = path.starts_with(AHEAD);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = fs::read_to_string(&path).expect("a golden");
        let mut blessed = Vec::new();
        for (number, (input, expected)) in cases(&text).into_iter().enumerate() {
            let found = run(&name, &input, ahead);
            if found != expected {
                wrong.push_str(&format!(
                    "== {name}, case {}\nexpected:\n{expected}found:\n{found}",
                    number + 1
                ));
            }
            blessed.push(format!("{input}{EXPECTED}\n{found}"));
        }
        if bless {
            fs::write(&path, blessed.join(&format!("{CASE}\n"))).expect("the golden is written");
        }
    }
    assert!(bless || wrong.is_empty(), "{wrong}");
}

/// Supporting a directive without showing what it accepts and refuses is half of the work.
#[test]
fn each_directive_has_a_golden() {
    if blessing() {
        return;
    }
    let goldens: BTreeSet<String> = files(GOLDEN)
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().to_lowercase()))
        .collect();
    let later = fs::read_to_string("tests/golden/later.conf").expect("the golden of what is not supported");
    let later: BTreeSet<String> = later.split_whitespace().map(str::to_lowercase).collect();
    let mut missing = BTreeSet::new();
    for (name, help) in rows(&help_directives()) {
        let shown = if help.contains("(not supported yet)") {
            later.contains(&name)
        } else {
            goldens.contains(&name)
        };
        if !shown {
            missing.insert(name);
        }
    }
    assert!(missing.is_empty(), "no golden for {missing:?}");
}

/// A golden shows what is accepted and, with the words that are said of it, what is not.
#[test]
fn each_golden_shows_a_right_form_and_a_wrong_one() {
    if blessing() {
        return;
    }
    let mut wanting = Vec::new();
    for path in files(GOLDEN) {
        let text = fs::read_to_string(&path).expect("a golden");
        let said = |line: &str| line.starts_with("ounce: ");
        let lines: Vec<String> = cases(&text)
            .iter()
            .flat_map(|(_, expected)| expected.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let shown = lines.iter().any(|line| said(line)) && lines.iter().any(|line| !said(line));
        if !shown && !path.ends_with("later.conf") {
            wanting.push(path);
        }
    }
    assert!(wanting.is_empty(), "{wanting:?}");
}

/// Directives and their help.
fn rows(help: &str) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in help.lines().filter(|line| line.starts_with("  ")) {
        match rows.last_mut() {
            Some((_, help)) if line.starts_with("   ") => {
                help.push(' ');
                help.push_str(line.trim());
            }
            _ => {
                let (name, help) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
                rows.push((name.to_lowercase(), help.to_owned()));
            }
        }
    }
    rows
}

/// The files that goldens name must be those that are there.
#[test]
fn no_file_of_the_goldens_is_forgotten() {
    if blessing() {
        return;
    }
    let text: String = files(GOLDEN)
        .iter()
        .chain(&files(AHEAD))
        .map(|path| fs::read_to_string(path).expect("a golden"))
        .collect();
    for entry in fs::read_dir("tests/golden/files").expect("the folder of files") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let matched = text.contains(&name) || (Path::new(&name).extension().is_some_and(|e| e == "inc"));
        assert!(matched, "{name} is named in no golden");
    }
}
