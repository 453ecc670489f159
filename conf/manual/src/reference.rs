//! The entries of the directives, made from their rows and from `chapters/directives.md`.

use ounce_conf::{Directive, Group, directives as rows};

/// What there is to say besides: paragraphs under the name of a directive.
const MORE: &str = include_str!("../chapters/directives.md");

/// Markdown of the whole reference.
pub(crate) fn directives() -> String {
    let mut out = String::new();
    for group in Group::ALL {
        let of_group: Vec<Directive> = rows().into_iter().filter(|row| row.group == group).collect();
        if of_group.is_empty() {
            continue;
        }
        out.push_str(&format!("\n# {}\n\n", group.title()));
        for row in &of_group {
            out.push_str(&entry(row));
        }
    }
    out
}

/// One entry: the syntax as a heading, the line of help, and what else is to be known.
fn entry(row: &Directive) -> String {
    let mut out = format!("### `{}`\n\n{}.", row.syntax, capital(row.help));
    if row.not_yet {
        out.push_str(" **Not supported yet:** a configuration with it is refused.");
    }
    if let Some(why) = row.no_effect {
        out.push_str(&format!(" *Accepted without effect:* {why}."));
    }
    out.push_str("\n\n");
    let mut facts = Vec::new();
    facts.push(match row.sections.as_slice() {
        [] => "Stands in any section.".to_owned(),
        sections => format!("Stands in {}.", list(sections)),
    });
    if row.options.len() > 4 {
        facts.push(format!("Options: {}.", code(&row.options)));
    }
    // What only repeats its own word, such as a text for a text, need not be told.
    let telling = |(_, expected): &&(&str, String)| !expected.contains("double quotes");
    for (what, expected) in row.arguments.iter().filter(telling) {
        facts.push(format!("{}: {expected}.", capital(what)));
    }
    if !row.also.is_empty() {
        facts.push(format!("Also spelt {}.", code(&row.also)));
    }
    if let Some((old, write)) = &row.old {
        facts.push(format!("Out of date: {}; write `{write}`.", code(old)));
    }
    out.push_str(&facts.join(" "));
    out.push_str("\n\n");
    if let Some(more) = more(row) {
        out.push_str(more.trim());
        out.push_str("\n\n");
    }
    out
}

/// The paragraphs under `# Name`, or under `# Name in Section` for one of several directives of the name.
fn more(row: &Directive) -> Option<&'static str> {
    let parts = MORE.split("\n# ").skip(1);
    for part in parts {
        let (heading, text) = part.split_once('\n')?;
        let meant = match heading.split_once(" in ") {
            Some((name, section)) => name == row.name && row.sections.contains(&section),
            None => heading == row.name,
        };
        if meant {
            return Some(text);
        }
    }
    None
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

fn code(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<String>>().join(", ")
}

fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directive_has_an_entry() {
        let text = directives();
        for row in rows() {
            assert!(text.contains(&format!("### `{}", row.name)), "{}", row.name);
        }
    }

    #[test]
    fn each_paragraph_belongs_to_a_directive() {
        let rows = rows();
        for part in MORE.split("\n# ").skip(1) {
            let heading = part.lines().next().unwrap_or_default();
            let (name, section) = heading.split_once(" in ").unwrap_or((heading, ""));
            let meant = |row: &&Directive| {
                row.name == name && (section.is_empty() || row.sections.contains(&section))
            };
            assert!(rows.iter().any(|row| meant(&row)), "{heading} is no directive");
        }
    }
}
