//! Constants: texts with names, put in place of `%[const NAME]` when the configuration is loaded.

use super::Lowering;
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::source::{self, Span};
use crate::tree::Statement;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

/// The constants of the sections around a statement, the innermost last.
#[derive(Default)]
pub(super) struct Constants {
    sections: Vec<HashMap<String, (String, Span)>>,
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
        let mut constants: HashMap<String, (String, Span)> = HashMap::new();
        for statement in block.iter().filter(|statement| statement.row.name == "Constant" && statement.sound)
        {
            let Some(name) = statement.text(0).map(str::to_owned) else { continue };
            let place = statement.place(0);
            let Some(text) = self.constant_text(statement) else { continue };
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
        let Some((text, _)) = sections.filter_map(|section| section.get(name)).next() else {
            return Err(format!("no Constant is named \"{name}\""));
        };
        let text = match encoding {
            Encoding::None => text.clone(),
            Encoding::Url => percent_encoded(text.as_bytes()),
            Encoding::Base64 => base64(text.as_bytes()),
        };
        if text.chars().any(char::is_control) {
            return Err(format!("Constant \"{name}\" holds control characters, such as the end of a line"));
        }
        Ok(text.replace('$', "$$").replace('%', "$%"))
    }

    fn constant_text(&mut self, statement: &Statement) -> Option<String> {
        let trim = statement.has(Switch::Trim);
        if let Some(watched) = statement.switches.iter().find(|of| of.switch == Switch::FileWatch) {
            self.error(watched.span, "a Constant is not watched; expected -file");
        }
        if let Some(path) = statement.file(1) {
            let text = self.constant_file(path, statement.place(1))?;
            return Some(if trim { text.trim_end_matches(WHITE).to_owned() } else { text });
        }
        if trim {
            self.error(statement.keyword, "-trim stands without -file");
        }
        statement.text(1).map(str::to_owned)
    }

    fn constant_file(&mut self, path: &Path, place: Span) -> Option<String> {
        let text = source::read_regular(path).map_err(|e| source::reason(&e));
        match text.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())) {
            Ok(text) => Some(text),
            Err(reason) => {
                self.error(place, format!("cannot read {}: {reason}", path.display()));
                None
            }
        }
    }
}

/// What `-trim` removes from the end.
const WHITE: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

fn percent_encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 10.
    #[test]
    fn base64_of_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn all_but_unreserved_characters_are_encoded() {
        assert_eq!(percent_encoded("a-Z_0.~ /é%".as_bytes()), "a-Z_0.~%20%2F%C3%A9%25");
    }
}
