//! Constants: texts with names, put in place of `%[const NAME]` when the configuration is loaded. For one whose file is
//! watched the engine puts in what is in the file at the time.

use super::Lowering;
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::listing;
use crate::model::{FeedKind, FeedName};
use crate::source::Span;
use crate::tree::Statement;
use std::collections::HashMap;

/// The constants of the sections around a statement, the innermost last.
#[derive(Default)]
pub(super) struct Constants {
    sections: Vec<HashMap<String, (Content, Span)>>,
}

/// What a constant stands for.
#[derive(Debug, Clone)]
enum Content {
    Text(String),
    /// Whatever is in this file.
    Feed(FeedName),
}

/// How a constant is put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    None,
    /// RFC 3986 2.1: all but unreserved characters as `%XX`.
    Url,
    /// RFC 4648 4.
    Base64,
}

impl Lowering<'_> {
    /// Takes up the constants of a section. They hold in all of it, wherever in it they stand.
    pub(super) fn enter(&mut self, block: &[Statement]) {
        let mut constants: HashMap<String, (Content, Span)> = HashMap::new();
        for statement in block.iter().filter(|statement| statement.row.name == "Constant" && statement.sound)
        {
            let Some(name) = statement.text(0).map(str::to_owned) else { continue };
            let place = statement.place(0);
            let Some(text) = self.constant_content(statement) else { continue };
            if let Some((_, before)) = constants.insert(name, (text, place)) {
                let problem = Problem::warning(before, "this Constant is overridden");
                self.findings.push(problem.note(place, "by this one"));
            }
        }
        self.constants.sections.push(constants);
    }

    /// Leaves the section that was entered last.
    pub(super) fn leave(&mut self) {
        self.constants.sections.pop();
    }

    /// The text of a constant as an expansion stands for it, ready to be expanded to itself.
    pub(super) fn constant(&self, name: &str, encoding: Encoding) -> Result<String, String> {
        let sections = self.constants.sections.iter().rev();
        let Some((content, _)) = sections.filter_map(|section| section.get(name)).next() else {
            return Err(format!("no Constant is named \"{name}\""));
        };
        let text = match (content, encoding) {
            (Content::Feed(feed), encoding) => return Ok(watched(feed, encoding)),
            (Content::Text(text), Encoding::None) => text.clone(),
            (Content::Text(text), Encoding::Url) => listing::percent_encoded(text.as_bytes()),
            (Content::Text(text), Encoding::Base64) => listing::base64(text.as_bytes()),
        };
        if text.chars().any(char::is_control) {
            return Err(format!("Constant \"{name}\" holds control characters, such as the end of a line"));
        }
        Ok(text.replace('$', "$$").replace('%', "$%"))
    }

    fn constant_content(&mut self, statement: &Statement) -> Option<Content> {
        let trim = statement.has(Switch::Trim);
        if let Some(path) = statement.file(1) {
            let (place, watched) = (statement.place(1), statement.has(Switch::FileWatch));
            let bytes = self.bytes_of_file(path, place, watched)?;
            if watched {
                if let Err(fault) = listing::text(&bytes, trim) {
                    self.faults(path, place, &[fault]);
                    return None;
                }
                return Some(Content::Feed(self.feed(path, FeedKind::Text { trim }, true, bytes)));
            }
            let Ok(text) = String::from_utf8(bytes) else {
                self.error(place, format!("cannot read {}: not UTF-8 text", path.display()));
                return None;
            };
            return Some(Content::Text(if trim {
                text.trim_end_matches(listing::WHITE).to_owned()
            } else {
                text
            }));
        }
        if trim {
            self.error(statement.keyword, "-trim stands without -file");
        }
        statement.text(1).map(|text| Content::Text(text.to_owned()))
    }
}

/// What the engine knows a watched constant by. No text of a configuration says this: there it would stand for itself.
fn watched(feed: &FeedName, encoding: Encoding) -> String {
    let encoding = match encoding {
        Encoding::None => "none",
        Encoding::Url => "url",
        Encoding::Base64 => "base64",
    };
    format!("%[feed {} {encoding}]", feed.index)
}
