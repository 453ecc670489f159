//! Conditions become matchers.

use super::Compiler;
use crate::route::acl::Acl;
use crate::route::expand::Template;
use crate::route::lines::LinePattern;
use crate::route::matcher::Matcher;
use crate::route::pattern::Pattern;
use ounce_conf::model::{Condition, Kind, Pattern as Written};
use std::sync::Arc;

impl Compiler<'_> {
    pub(super) fn condition(&mut self, shown: &str, condition: &Condition) -> Matcher {
        match condition {
            Condition::All(all) => Matcher::All(all.iter().map(|one| self.condition(shown, one)).collect()),
            Condition::Any(any) => Matcher::Any(any.iter().map(|one| self.condition(shown, one)).collect()),
            Condition::Not(inner) => Matcher::Not(Box::new(self.condition(shown, inner))),
            Condition::Acl(networks) => Matcher::Acl(Acl::new(networks)),
            Condition::ClientCertificate(pem) => Matcher::ClientCertificate(pem.as_str().into()),
            Condition::Forwarded(networks) => Matcher::Forwarded(Acl::new(networks)),
            // Conditions refer to those before them only, so this one is there.
            Condition::Eval { index, .. } => match self.conditions.get(*index) {
                Some(condition) => Matcher::Eval { index: *index as u32, condition: Arc::clone(condition) },
                None => Matcher::Any(Vec::new()),
            },
            leaf => self.leaf(shown, leaf).unwrap_or(Matcher::Any(Vec::new())),
        }
    }

    /// A condition with a pattern; `None` after an error, which is recorded.
    fn leaf(&mut self, shown: &str, condition: &Condition) -> Option<Matcher> {
        Some(match condition {
            Condition::Url(pattern) => Matcher::Url(self.pattern(shown, "URL", pattern)?),
            Condition::Path(pattern) => Matcher::Path(self.pattern(shown, "Path", pattern)?),
            Condition::Query(pattern) => Matcher::Query(self.pattern(shown, "Query", pattern)?),
            Condition::QueryParam { name, pattern } => {
                let pattern = self.pattern(shown, "QueryParam", pattern)?;
                Matcher::QueryParam { name: name.as_bytes().into(), pattern }
            }
            Condition::HeaderLine(written) => {
                let lines =
                    LinePattern::compile(written, self.groups).map(|lines| lines.sharing(&self.plan.effort));
                Matcher::HeaderLine(self.compiled(shown, "Header", written, lines)?)
            }
            Condition::HeaderValue { name, pattern } => {
                let pattern = self.pattern(shown, "Header", pattern)?;
                Matcher::HeaderValue { name: name.as_bytes().into(), pattern }
            }
            Condition::Host(written) => {
                let pattern = self.pattern(shown, "Host", written)?;
                Matcher::Host { pattern, portless: written.kind == Kind::Exact }
            }
            Condition::Method(pattern) => Matcher::Method(self.pattern(shown, "Method", pattern)?),
            Condition::StringMatch { subject, pattern } => {
                let pattern = self.pattern(shown, "StringMatch", pattern)?;
                Matcher::StringMatch { subject: Template::parse(subject), pattern }
            }
            Condition::All(_)
            | Condition::Any(_)
            | Condition::Not(_)
            | Condition::Eval { .. }
            | Condition::ClientCertificate(_)
            | Condition::Acl(_)
            | Condition::Forwarded(_) => return None,
        })
    }

    pub(super) fn pattern(&mut self, shown: &str, directive: &str, written: &Written) -> Option<Pattern> {
        let pattern = Pattern::compile(written, self.groups).map(|one| one.sharing(&self.plan.effort));
        self.compiled(shown, directive, written, pattern)
    }
}

/// Whether a condition keeps what it finds out: texts that may fail, and answers that hold for the whole request.
pub(super) fn needs_captures(condition: &Condition) -> bool {
    match condition {
        Condition::All(several) | Condition::Any(several) => several.iter().any(needs_captures),
        Condition::Not(inner) => needs_captures(inner),
        Condition::StringMatch { .. } | Condition::Eval { .. } => true,
        _ => false,
    }
}
