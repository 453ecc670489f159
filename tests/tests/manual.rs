//! The manual: what it shows loads, what it says of options is all there is, and readers of man pages can read it.

use ounce_tests::example::{check, with_files};
use ounce_tests::{program, tool};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

fn file(name: &str) -> String {
    let files = ounce_manual::files();
    files.into_iter().find(|(file, _)| *file == name).map(|(_, text)| text).expect("a file of the manual")
}

#[test]
fn every_configuration_in_it_loads() {
    let configurations = ounce_manual::configurations();
    assert!(configurations.len() >= 15, "{}", configurations.len());
    for text in configurations {
        let folder = tempfile::tempdir().expect("a directory");
        let text = with_files(&text, folder.path());
        // Old ones are shown to people who have such a file.
        let name = if text.contains("2.6") { "old-of-the-manual" } else { "of-the-manual" };
        check(name, &text, folder.path());
    }
}

/// Whoever adds an option and forgets the manual is told here.
#[test]
fn every_option_of_the_programs_is_in_it() {
    for (binary, page) in [(program::ounce(), "ounce.8"), (program::ouncectl(), "ouncectl.8")] {
        let output = Command::new(binary).arg("-h").output().expect("the program");
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        let text = file(page).replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ");
        let words: BTreeSet<&str> = text.split(|c: char| c.is_whitespace() || ",[]".contains(c)).collect();
        let options = help.lines().filter_map(|line| line.trim_start().split([' ', ',']).next());
        let options: BTreeSet<&str> = options.filter(|word| word.starts_with('-')).collect();
        assert!(options.len() >= 6, "{help}");
        for option in options {
            assert!(words.contains(option), "{page} says nothing of {option}");
        }
    }
}

#[test]
fn man_pages_are_set_without_a_warning() {
    let folder = tempfile::tempdir().expect("a directory");
    for (name, text) in ounce_manual::files() {
        if name.ends_with(".html") {
            continue;
        }
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        let path = path.to_string_lossy();
        let output = tool::run("groff", ["-ww", "-man", "-Kutf8", "-Tutf8", "-rLL=78n", "-P-cbou", &path]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{name}: {said}");
        let page = String::from_utf8_lossy(&output.stdout);
        assert!(page.contains("NAME") && page.contains("SEE ALSO"), "{name}");
        // No escape of the source may be left for people to see.
        assert!(!page.contains("\\f") && !page.contains("\\("), "{name}");
    }
}

#[test]
fn links_of_the_page_lead_somewhere_and_its_elements_are_closed() {
    let page = file("ounce.html");
    let places: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let unique: BTreeSet<&str> = places.iter().copied().collect();
    assert_eq!(unique.len(), places.len(), "a place has two names");
    for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(unique.contains(link), "#{link} leads nowhere");
    }
    for element in [
        "ul", "ol", "li", "p", "pre", "code", "table", "tr", "td", "h1", "h2", "h3", "h4", "nav", "main",
        "em",
    ] {
        let opened =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
    }
}
