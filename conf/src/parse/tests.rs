//! What the goldens show, looked at from the rows.

use super::*;
use std::collections::HashSet;
use std::fs;

/// Whether a row is of a language that is refused as a whole: its one golden shows the refusal.
fn is_refused(row: &Row) -> bool {
    matches!(row.status, grammar::Status::Later | grammar::Status::Ahead)
}

/// Every row with a line that is right, and every spelling, stands in some golden: the parser and the reader of the
/// goldens see what is accepted. What is said of wrong lines is in the goldens of the same name.
#[test]
fn each_row_and_spelling_is_used_by_a_golden() {
    let mut used: HashSet<(*const Row, String)> = HashSet::new();
    for folder in ["tests/golden", "tests/golden/ahead"] {
        for entry in fs::read_dir(folder).expect("a folder of goldens") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|e| e == "conf") {
                note(&fs::read_to_string(&path).expect("a golden"), &mut used);
            }
        }
    }
    let mut missing = Vec::new();
    for row in grammar::rows().filter(|row| !is_refused(row)) {
        for word in row.spellings() {
            // Included files are read in place of the statement, which is in no tree.
            let known = ["Include", "IncludeDir"].contains(&row.name);
            if !known && !used.contains(&(std::ptr::from_ref(row), word.to_lowercase())) {
                missing.push(format!("{word} in {}", row.scopes[0].name()));
            }
        }
    }
    assert!(missing.is_empty(), "no golden uses {missing:?}");
}

/// Notes the rows of a golden's statements.
fn note(golden: &str, used: &mut HashSet<(*const Row, String)>) {
    for case in golden.split("==========\n") {
        let input = case.split("----------\n").next().unwrap_or_default();
        let mut sources = Sources::default();
        let file = sources.add_text("golden", input);
        let mut findings = Findings::default();
        let tree = parse(&mut sources, file, "tests/golden/files".into(), &mut findings);
        let mut rest: Vec<&Statement> = tree.iter().collect();
        while let Some(statement) = rest.pop() {
            if statement.sound {
                used.insert((std::ptr::from_ref(statement.row), statement.word.to_lowercase()));
            }
            rest.extend(statement.block());
        }
    }
}
