//! Keeps the rooms in order: what the house style says about files, checked on every file of the repository.

use ounce_tests::program::workspace;
use ounce_tests::tool;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The longest that a file may be: above this it holds two ideas.
const LINES_MAX: usize = 600;
/// Where `unsafe` may stand, with its proofs.
const UNSAFE_ROOMS: [&str; 3] = ["engine/mem/", "engine/sys/", "engine/src/tls/ffi/"];
/// Directions in which crates may depend on each other: the arrow has one way.
const DEPENDENCIES: [(&str, &[&str]); 10] = [
    ("conf", &[]),
    ("conf/manual", &["ounce-conf"]),
    ("engine/mem", &[]),
    ("engine/sys", &["ounce-mem"]),
    ("engine/core", &["ounce-conf", "ounce-mem"]),
    ("engine", &["ounce-conf", "ounce-core", "ounce-mem", "ounce-sys"]),
    ("ctl", &["ounce-conf"]),
    ("supervisor", &["ounce-conf", "ounce-core", "ounce-ctl", "ounce-engine", "ounce-mem", "ounce-sys"]),
    ("tests", &["ounce-conf", "ounce-core", "ounce-engine", "ounce-manual", "ounce-mem"]),
    ("perf", &["ounce-conf", "ounce-core", "ounce-sys", "ounce-tests"]),
];

struct File {
    path: String,
    text: String,
}

/// The text files under version control, and those that are about to be.
fn files() -> Vec<File> {
    let root = workspace();
    let words = ["-C", &root.to_string_lossy(), "ls-files", "--cached", "--others", "--exclude-standard"];
    let output = tool::run("git", words);
    assert!(output.status.success(), "not a checkout: {output:?}");
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    // What cannot be read as text, or is about to be deleted, is none of ours.
    let read = |path: &str| Some(File { path: path.into(), text: fs::read_to_string(root.join(path)).ok()? });
    list.lines().filter_map(read).collect()
}

fn sources() -> impl Iterator<Item = File> {
    files().into_iter().filter(|file| file.path.ends_with(".rs"))
}

/// Fails with everything that was found, not with the first of it.
fn report(rule: &str, found: impl IntoIterator<Item = String>) {
    let mut list = String::new();
    for line in found {
        let _ = writeln!(list, "  {line}");
    }
    assert!(list.is_empty(), "{rule}:\n{list}");
}

/// The code of a source: strings are emptied and comments removed, lines stay where they are.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => string(rest),
            'r' if !is_word(before) && (rest.starts_with("r\"") || rest.starts_with("r#")) => {
                raw_string(rest)
            }
            '\'' => character(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(first);
            before = first;
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().filter(|letter| *letter == '\n'));
            code.push(' ');
            before = ' ';
            rest = &rest[skipped..];
        }
    }
    code
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The length of the string that begins here.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, letter)| {
        let ends = *letter == '"' && !escaped;
        escaped = *letter == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The length of the raw string that begins here, or 0 if it is a raw identifier.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|letter| *letter == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let open = hashes + 2;
    text[open..].find(&end).map_or(text.len(), |at| open + at + end.len())
}

/// The length of the character that is quoted here, or 0 if it is a lifetime.
fn character(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match (letters.next(), letters.next()) {
        (Some((_, '\\')), Some((at, _))) => text[at + 1..].find('\'').map_or(0, |end| at + 1 + end + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// The lines of a source on which one of these words stands in its code.
fn lines_with(file: &File, words: &[&str]) -> Vec<String> {
    let code = code(&file.text);
    let has = |line: &str, word: &str| {
        line.match_indices(word).any(|(at, _)| {
            let apart = |letter: Option<char>| !letter.is_some_and(is_word);
            apart(line[..at].chars().next_back()) && apart(line[at + word.len()..].chars().next())
        })
    };
    let lines = code.lines().enumerate();
    let found = lines.filter(|(_, line)| words.iter().any(|word| has(line, word)));
    found.map(|(at, line)| format!("{}:{}: {}", file.path, at + 1, line.trim())).collect()
}

#[test]
fn every_source_says_what_it_is() {
    let silent = sources().filter(|file| !file.text.starts_with("//! "));
    report("a file begins with //! and what it is", silent.map(|file| file.path));
}

#[test]
fn no_source_is_too_long() {
    let long = sources().filter(|file| file.text.lines().count() > LINES_MAX);
    report(
        &format!("a file has {LINES_MAX} lines at most"),
        long.map(|file| format!("{}: {}", file.path, file.text.lines().count())),
    );
}

#[test]
fn nothing_is_left_to_do() {
    let code = sources().flat_map(|file| lines_with(&file, &["todo!", "unimplemented!", "dbg!", "ignore"]));
    report("unfinished code", code.filter(|line| !line.contains("ignore") || line.contains("#[ignore")));
    let marks = [concat!("FIX", "ME"), concat!("XX", "X:"), concat!("TO", "DO")];
    let marked = files().into_iter().flat_map(|file| {
        let lines =
            file.text.lines().enumerate().filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
        lines.map(|(at, line)| format!("{}:{}: {line}", file.path, at + 1)).collect::<Vec<_>>()
    });
    report("a note to oneself", marked);
}

#[test]
fn unsafe_code_has_its_rooms() {
    let outside = sources().filter(|file| !UNSAFE_ROOMS.iter().any(|room| file.path.starts_with(room)));
    let found = outside.flat_map(|file| lines_with(&file, &["unsafe"]));
    report(&format!("unsafe belongs in {UNSAFE_ROOMS:?}"), found);
}

#[test]
fn tests_wait_for_events_and_never_sleep() {
    let tests = sources().filter_map(|mut file| {
        let in_tests = file.path.starts_with("tests/")
            || file.path.contains("/tests/")
            || file.path.ends_with("tests.rs");
        if !in_tests {
            // Only what is compiled for tests: the rest of the file.
            let at = file.text.find("#[cfg(test)]")?;
            let lines = file.text[..at].matches('\n').count();
            file.text = "\n".repeat(lines) + &file.text[at..];
        }
        Some(file)
    });
    let sleeps = tests.flat_map(|file| lines_with(&file, &["sleep", "sleep_ms", "sleep_until"]));
    report("a sleep is a guess about time", sleeps);
}

#[test]
fn crates_depend_on_each_other_in_one_direction() {
    let mut wrong = Vec::new();
    let manifests = files().into_iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    for manifest in manifests.filter(|file| !file.path.starts_with("tests/fuzz/")) {
        let folder = manifest.path.trim_end_matches("/Cargo.toml");
        let Some((_, allowed)) = DEPENDENCIES.iter().find(|(name, _)| *name == folder) else {
            wrong.push(format!("{folder}: a new crate has no place here yet"));
            continue;
        };
        let mut in_dependencies = false;
        for line in manifest.text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            }
            let name: String = line.chars().take_while(|letter| is_word(*letter) || *letter == '-').collect();
            if in_dependencies && name.starts_with("ounce-") && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{folder} depends on {name}"));
            }
        }
        if !manifest.text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{folder} does not take the workspace's lints"));
        }
    }
    report("dependencies", wrong);
}

/// A decision that looks at a clock, a socket or a file cannot be driven by events.
#[test]
fn the_core_sees_no_world() {
    let core = sources().filter(|file| file.path.starts_with("engine/core/src/")).map(|mut file| {
        // Its tests may do what they like.
        file.text.truncate(file.text.find("#[cfg(test)]").unwrap_or(file.text.len()));
        file
    });
    let worldly = [
        "Instant::now",
        "SystemTime::now",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "std::fs",
        "File",
        "std::thread",
        "std::process",
        "println!",
        "eprintln!",
        "fastrand",
    ];
    report("the core is sans-IO", core.flat_map(|file| lines_with(&file, &worldly)));
}

#[test]
fn names_are_nouns_of_the_domain() {
    let vague =
        ["utils.rs", "util.rs", "common.rs", "helpers.rs", "helper.rs", "misc.rs", "manager.rs", "types.rs"];
    let named = sources().filter(|file| {
        let name = Path::new(&file.path).file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| vague.contains(&name))
    });
    report("a name that says nothing", named.map(|file| file.path));
}

#[test]
fn nothing_names_the_machine_it_was_made_on() {
    let places =
        [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/tmp", "/target")];
    let found = files().into_iter().filter(|file| file.path != "Cargo.lock").flat_map(|file| {
        let lines =
            file.text.lines().enumerate().filter(|(_, line)| places.iter().any(|place| line.contains(place)));
        lines.map(|(at, line)| format!("{}:{}: {line}", file.path, at + 1)).collect::<Vec<_>>()
    });
    report("a path of one machine", found);
}

#[test]
fn lines_end_as_they_should() {
    let wrong =
        files().into_iter().filter(|file| !file.path.contains("/corpus/") && !file.path.contains("/golden/"));
    let wrong = wrong.flat_map(|file| {
        let mut found = Vec::new();
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            found.push(format!("{}: no newline at the end", file.path));
        }
        let trailing = file.text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
        found.extend(trailing.map(|(at, _)| format!("{}:{}: blanks at the end", file.path, at + 1)));
        found
    });
    report("line ends", wrong);
}

#[test]
fn the_scanner_sees_code_alone() {
    let text = "let a = \"unsafe \\\" unsafe\"; // unsafe\n/* unsafe\n */ let b = 'x'; let c = '\"'; let d: &'a str = r#\"unsafe\"#;\nunsafe {}\n";
    let file = File { path: "x.rs".into(), text: text.into() };
    assert_eq!(lines_with(&file, &["unsafe"]), ["x.rs:4: unsafe {}"]);
    assert_eq!(code(text).lines().count(), text.lines().count());
}
