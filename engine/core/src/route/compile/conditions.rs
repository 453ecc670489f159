//! Conditions become matchers.

use super::Compiler;
use crate::route::beyond::Effort;
use crate::route::expand::Template;
use crate::route::limit::Limit;
use crate::route::lines::LinePattern;
use crate::route::matcher::Matcher;
use crate::route::pattern::{Groups, Pattern};
use ounce_conf::model::{Condition, Kind, Pattern as Written, TokenLimit};
use ounce_mem::Rate;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

impl Compiler<'_> {
    pub(super) fn condition(&mut self, shown: &str, condition: &Condition) -> Matcher {
        match condition {
            Condition::All(all) => Matcher::All(all.iter().map(|one| self.condition(shown, one)).collect()),
            Condition::Any(any) => Matcher::Any(any.iter().map(|one| self.condition(shown, one)).collect()),
            Condition::Not(inner) => Matcher::Not(Box::new(self.condition(shown, inner))),
            Condition::ClientCertificate(pem) => Matcher::ClientCertificate(pem.as_str().into()),
            Condition::Acl(networks) => Matcher::Acl(self.networks(networks)),
            Condition::Forwarded(networks) => Matcher::Forwarded(self.networks(networks)),
            Condition::BasicAuth(feed) => self.basic_auth(feed.index),
            Condition::Tokens { key, limit } => Matcher::Tokens(self.limit(key, limit)),
            Condition::Patterns { feed, of } => self.watched_patterns(feed.index, of),
            // Conditions refer to those before them only, so this one is there.
            Condition::Eval { index, .. } => match self.conditions.get(*index) {
                Some(condition) => Matcher::Eval { index: *index as u32, condition: Arc::clone(condition) },
                None => Matcher::Any(Vec::new()),
            },
            leaf => match self::leaf(leaf, self.groups, &self.plan.effort) {
                Ok(mut matcher) => {
                    if let Matcher::StringMatch { subject, .. } = &mut matcher {
                        self.connect(subject);
                    }
                    matcher
                }
                Err(error) => {
                    self.errors.push(format!("{shown}: {error}"));
                    Matcher::Any(Vec::new())
                }
            },
        }
    }

    fn limit(&mut self, key: &str, limit: &TokenLimit) -> Limit {
        let mut hasher = DefaultHasher::new();
        self.identities.tokens(key, limit).hash(&mut hasher);
        let number = self.limits;
        self.limits += 1;
        let TokenLimit { tokens, period_us, burst } = *limit;
        let rate = Rate::new(tokens, period_us, burst);
        Limit { number, id: hasher.finish(), key: self.template(key), rate }
    }

    pub(super) fn pattern(&mut self, shown: &str, directive: &str, written: &Written) -> Option<Pattern> {
        let compiled = compiled(directive, written, Pattern::compile(written, self.groups))
            .map(|one| one.sharing(&self.plan.effort));
        compiled.map_err(|error| self.errors.push(format!("{shown}: {error}"))).ok()
    }
}

/// A condition with a pattern.
///
/// # Errors
/// Why the pattern does not compile.
pub(crate) fn leaf(condition: &Condition, groups: Groups, effort: &Arc<Effort>) -> Result<Matcher, String> {
    let pattern = |directive, written| {
        compiled(directive, written, Pattern::compile(written, groups)).map(|one| one.sharing(effort))
    };
    Ok(match condition {
        Condition::Url(written) => Matcher::Url(pattern("URL", written)?),
        Condition::Path(written) => Matcher::Path(pattern("Path", written)?),
        Condition::Query(written) => Matcher::Query(pattern("Query", written)?),
        Condition::QueryParam { name, pattern: written } => {
            Matcher::QueryParam { name: name.as_bytes().into(), pattern: pattern("QueryParam", written)? }
        }
        Condition::HeaderLine(written) => {
            let lines = compiled("Header", written, LinePattern::compile(written, groups))?;
            Matcher::HeaderLine(lines.sharing(effort))
        }
        Condition::HeaderValue { name, pattern: written } => {
            Matcher::HeaderValue { name: name.as_bytes().into(), pattern: pattern("Header", written)? }
        }
        Condition::Host(written) => {
            Matcher::Host { pattern: pattern("Host", written)?, portless: written.kind == Kind::Exact }
        }
        Condition::Method(written) => Matcher::Method(pattern("Method", written)?),
        Condition::StringMatch { subject, pattern: written } => Matcher::StringMatch {
            subject: Template::parse(subject),
            pattern: pattern("StringMatch", written)?,
        },
        _ => return Err("no condition on one subject".to_owned()),
    })
}

/// What came of a pattern; an error names the directive.
fn compiled<T>(directive: &str, written: &Written, pattern: Result<T, String>) -> Result<T, String> {
    pattern.map_err(|error| format!("{directive} {:?}: {error}", written.text))
}

/// Whether a condition keeps what it finds out: texts that may fail, and answers that hold for the whole request.
pub(super) fn needs_captures(condition: &Condition) -> bool {
    match condition {
        Condition::All(several) | Condition::Any(several) => several.iter().any(needs_captures),
        Condition::Not(inner) => needs_captures(inner),
        Condition::Patterns { of, .. } => needs_captures(of),
        Condition::StringMatch { .. } | Condition::Eval { .. } => true,
        Condition::BasicAuth(_) | Condition::Tokens { .. } => true,
        _ => false,
    }
}
