//! The pages as Markdown, with everything in place that is made.

use crate::reference;
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// A page of the manual.
#[derive(Debug)]
pub(crate) struct Page {
    /// The file of its man page.
    pub(crate) file: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its section.
    pub(crate) section: u8,
    /// One line.
    pub(crate) about: &'static str,
    /// Markdown.
    pub(crate) text: String,
}

const OUNCE: &[&str] = &[include_str!("../chapters/ounce.md")];
const OUNCECTL: &[&str] = &[include_str!("../chapters/ouncectl.md")];
const OUNCE_CFG: &[&str] = &[
    include_str!("../chapters/syntax.md"),
    include_str!("../chapters/matching.md"),
    include_str!("../chapters/rewriting.md"),
    include_str!("../chapters/backends.md"),
    include_str!("../chapters/tls.md"),
    include_str!("../chapters/logging.md"),
    include_str!("../chapters/reference.md"),
    include_str!("../chapters/migrating.md"),
    include_str!("../chapters/security.md"),
];

/// The documentation of the language's crate, of which the manual takes two tables.
const CONF: &str = include_str!("../../src/lib.rs");

macro_rules! examples {
    ($($name:literal),+) => {
        [$(($name, include_str!(concat!("../../../tests/data/examples/", $name, ".cfg")))),+]
    };
}

/// The examples that tests run, by name.
const EXAMPLES: &[(&str, &str)] = &examples![
    "acl",
    "back-references",
    "balancing",
    "combine-headers",
    "conditions",
    "constants",
    "error-pages",
    "https-backends",
    "limits",
    "log-format",
    "match-not",
    "named-backends",
    "old-complex",
    "own-services",
    "passwords",
    "query",
    "rates",
    "resolve",
    "rewrite",
    "sessions",
    "simple",
    "to-https",
    "trusted-proxies",
    "virtual-hosts"
];

/// All pages.
pub(crate) fn all() -> Vec<Page> {
    vec![
        Page {
            file: "ounce.8",
            name: "ounce",
            section: 8,
            about: "reverse proxy, load balancer and TLS front end",
            text: put_together(OUNCE),
        },
        Page {
            file: "ounce.cfg.5",
            name: "ounce.cfg",
            section: 5,
            about: "configuration of ounce",
            text: put_together(OUNCE_CFG),
        },
        Page {
            file: "ouncectl.8",
            name: "ouncectl",
            section: 8,
            about: "show and change the state of a running ounce",
            text: put_together(OUNCECTL),
        },
    ]
}

/// The configurations that the manual shows: each loads.
#[must_use]
pub fn configurations() -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for page in all() {
        let mut inside = false;
        for event in Parser::new(&page.text) {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) if &*kind == "ounce" => {
                    found.push(String::new());
                    inside = true;
                }
                Event::End(TagEnd::CodeBlock) => inside = false,
                Event::Text(text) if inside => {
                    if let Some(last) = found.last_mut() {
                        last.push_str(&text);
                    }
                }
                _ => {}
            }
        }
    }
    found
}

/// Chapters one after the other, with what is made in its places.
fn put_together(chapters: &[&str]) -> String {
    let mut out = String::new();
    for line in chapters.iter().flat_map(|chapter| chapter.lines().chain([""])) {
        let made = line.strip_prefix("{{").and_then(|line| line.strip_suffix("}}"));
        match made {
            None => out.push_str(line),
            Some("directives") => out.push_str(&reference::directives()),
            Some("departures") => out.push_str(&of_conf("Departures from Pound")),
            Some("log formats") => out.push_str(&of_conf("Log formats")),
            Some(other) => {
                let name = other.strip_prefix("example ");
                let known = name.and_then(|name| EXAMPLES.iter().find(|(known, _)| *known == name));
                let (_, text) = known.unwrap_or_else(|| panic!("nobody makes {{{{{other}}}}}"));
                out.push_str(&format!("```ounce\n{text}```"));
            }
        }
        out.push('\n');
    }
    out
}

/// A part of the documentation of the language's crate, without its heading.
fn of_conf(heading: &str) -> String {
    let lines = CONF
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    let from = lines.skip_while(|line| line.strip_prefix("# ") != Some(heading)).skip(1);
    let part: Vec<&str> = from.take_while(|line| !line.starts_with("# ")).collect();
    assert!(!part.is_empty(), "conf says nothing of {heading}");
    part.join("\n")
}
