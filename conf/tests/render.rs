//! The form of diagnostics, and loading from files.

use ounce_conf::{Diagnostic, Level, Options, help_directives, load, load_text};
use std::path::Path;

fn options() -> Options {
    Options { resolve_dns: false, ..Options::default() }
}

fn errors(text: &str) -> Vec<Diagnostic> {
    load_text("test.cfg", text, &options()).expect_err("a wrong configuration")
}

fn line(text: &str) -> String {
    errors(text).first().map(|diagnostic| diagnostic.line("pound")).unwrap_or_default()
}

/// Scripts that drive editors were written for Pound's form, so each part of it counts.
#[test]
fn places_are_counted_as_pound_counts() {
    let said = |text: &str| line(text).split(": ").nth(1).unwrap_or_default().to_owned();
    assert_eq!(said("Bogus 1"), "test.cfg:1.1-5");
    assert_eq!(said("\n  Bogus"), "test.cfg:2.3-7");
    assert_eq!(said("\tBogus"), "test.cfg:1.9-13", "a TAB is eight columns");
    assert_eq!(said("a"), "test.cfg:1.1", "one column is named once");
    assert_eq!(said("User \"a\nb\" \"c\nd\""), "test.cfg:2.4-3.2", "a range over lines");
}

#[test]
fn the_program_speaks_under_its_name() {
    assert_eq!(
        line("TimeOut x"),
        "pound: test.cfg:1.9: x is no limit for TimeOut; \
         expected at least 1 second, or a time such as 90s, 2m, 1h or 1d"
    );
}

#[test]
fn the_snippet_shows_the_line_and_what_was_expected() {
    let found = errors("# one\n  Timeout soon # two\n");
    let expected = "\
pound: test.cfg:2.11-14: soon is no limit for Timeout
 --> test.cfg:2:11
  |
2 |   Timeout soon # two
  |           ^^^^ expected at least 1 second, or a time such as 90s, 2m, 1h or 1d";
    assert_eq!(found[0].snippet("pound"), expected);
}

#[test]
fn notes_are_shown_at_their_places() {
    let found = errors("Control \"a\"\nControl \"b\"\n");
    assert_eq!(
        found[0].line("pound"),
        "pound: test.cfg:2.1-7: a second Control\npound: test.cfg:1.1-7: the first one is here"
    );
    let snippet = found[0].snippet("pound");
    assert!(snippet.contains("2 | Control \"b\""), "{snippet}");
    assert!(snippet.contains("------- the first one is here"), "{snippet}");
}

/// All of a run's errors are told, so that one correction is enough.
#[test]
fn every_error_of_a_run_is_told_in_file_order() {
    let lines: Vec<u32> = errors("Alive x\nUser y\nListenHTTP\n  xHTTP 9\nEnd\nBogus\n")
        .iter()
        .filter_map(|diagnostic| Some(diagnostic.place.as_ref()?.start.line))
        .collect();
    assert_eq!(lines, [1, 2, 4, 6]);
}

#[test]
fn errors_beyond_a_bound_are_counted() {
    let found = errors(&"Bogus\n".repeat(1000));
    assert_eq!(found.last().map(|last| last.text.as_str()), Some("800 more errors are not shown"));
}

#[test]
fn a_file_that_is_not_there_is_an_error_without_a_place() {
    let found = load(Path::new("tests/golden/files/missing.cfg"), &options()).expect_err("no file");
    assert_eq!(
        found[0].line("ounce"),
        "ounce: cannot open tests/golden/files/missing.cfg: No such file or directory"
    );
}

/// Without an include directory, what a file names is looked for beside it.
#[test]
fn relative_names_start_at_the_main_file() {
    let loaded = load(Path::new("tests/golden/files/b.inc"), &options()).expect("b.inc includes a.inc");
    assert_eq!(loaded.config.global.alive.as_secs(), 5);
}

#[test]
fn old_spellings_are_warned_of_unless_told_not_to() {
    let text = "IgnoreCase 0\nThreads 5\n";
    let loaded = load_text("t", text, &options()).expect("a configuration");
    assert_eq!(loaded.warnings.len(), 2);
    assert!(loaded.warnings.iter().all(|warning| warning.level == Level::Warning));
    let quiet = Options { warn_deprecated: false, ..options() };
    assert!(load_text("t", text, &quiet).expect("a configuration").warnings.is_empty());
}

#[test]
fn names_are_looked_up_when_asked() {
    let text = "ListenHTTP\n  Address localhost\n  Port 80\nEnd\n";
    assert!(load_text("t", text, &options()).is_err());
    let loaded = load_text("t", text, &Options::default()).expect("localhost is known");
    assert_eq!(format!("{:?}", loaded.config.listeners[0].listen), "Inet(127.0.0.1:80)");
}

#[test]
fn the_help_names_each_section_and_what_is_not_supported() {
    let help = help_directives();
    assert!(help.contains("In ListenHTTP:\n"));
    assert!(help.contains("\n  TTL TIME|-1 "));
    assert!(help.contains("(not supported yet)"));
}
