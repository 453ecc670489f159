//! Header rules of a listener, applied while a request head is written (pound.md section 6): after the canned headers
//! were added, in file order, each seeing what those before it have done.

use super::captures::Captures;
use super::expand::ExpandError;
use super::plan::HeaderRule;
use super::request::Request;
use crate::http::h1::write::{Edit, Line, Lines, Sink};
use std::cell::{Cell, RefCell};

/// The rules of one listener with the values that they have for one request.
#[derive(Debug)]
pub(crate) struct Rewriter<'p> {
    rules: &'p [HeaderRule],
    /// By rule: the expanded value of a `Set`, and whether it has replaced a line.
    values: Vec<(Vec<u8>, Cell<bool>)>,
    /// A whole line for patterns to look at.
    line: RefCell<Vec<u8>>,
}

impl<'p> Rewriter<'p> {
    /// Expands what is to be set.
    ///
    /// # Errors
    /// What cannot be expanded for this request.
    pub(crate) fn new(
        rules: &'p [HeaderRule],
        request: &Request<'_>,
        captures: &Captures,
    ) -> Result<Rewriter<'p>, ExpandError> {
        let mut values = Vec::with_capacity(rules.len());
        for rule in rules {
            let mut value = Vec::new();
            if let HeaderRule::Set { value: template, .. } = rule {
                template.expand(request, captures, &mut value)?;
            }
            values.push((value, Cell::new(false)));
        }
        Ok(Rewriter { rules, values, line: RefCell::new(Vec::new()) })
    }

    /// There is nothing to apply.
    pub(crate) fn is_idle(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many bytes the rules can add to a head at most.
    pub(crate) fn added_bytes(&self) -> usize {
        let name = |rule: &HeaderRule| match rule {
            HeaderRule::Set { name, .. } => name.len(),
            HeaderRule::Delete(_) => 0,
        };
        self.rules.iter().zip(&self.values).map(|(rule, (value, _))| name(rule) + value.len() + 4).sum()
    }

    /// A head is about to be written.
    pub(crate) fn begin(&self) {
        self.values.iter().for_each(|(_, used)| used.set(false));
    }

    /// What becomes of a line.
    pub(crate) fn edit(&self, line: Line<'_>) -> Edit<'_> {
        let mut now: Option<&[u8]> = None;
        for (rule, (value, used)) in self.rules.iter().zip(&self.values) {
            match rule {
                HeaderRule::Set { name, .. } => {
                    if !used.get() && name.as_bytes().eq_ignore_ascii_case(line.name) {
                        used.set(true);
                        now = Some(value);
                    }
                }
                HeaderRule::Delete(pattern) => {
                    if self.matches(pattern, line.name, now.unwrap_or(line.value)) {
                        return Edit::Drop;
                    }
                }
            }
        }
        now.map_or(Edit::Keep, Edit::Value)
    }

    /// Adds what was to be set and stood in no line, unless a later rule deletes it again.
    pub(crate) fn finish<S: Sink>(&self, lines: &mut Lines<'_, S>) {
        for (at, (rule, (value, used))) in self.rules.iter().zip(&self.values).enumerate() {
            let HeaderRule::Set { name, .. } = rule else { continue };
            let deleted = self.rules[at + 1..].iter().any(
                |later| matches!(later, HeaderRule::Delete(pattern) if self.matches(pattern, name.as_bytes(), value)),
            );
            // A second rule for the same name replaces what the first would add.
            let replaced = self.rules[at + 1..].iter().any(
                |later| matches!(later, HeaderRule::Set { name: other, .. } if other.eq_ignore_ascii_case(name)),
            );
            if !used.get() && !deleted && !replaced {
                lines.field(name.as_bytes(), value);
            }
        }
    }

    fn matches(&self, pattern: &super::pattern::Pattern, name: &[u8], value: &[u8]) -> bool {
        let mut line = self.line.borrow_mut();
        line.clear();
        line.extend_from_slice(name);
        line.extend_from_slice(b": ");
        line.extend_from_slice(value);
        pattern.is_match(&line)
    }
}
