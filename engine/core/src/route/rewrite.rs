//! Rules that change requests and responses (pound.md section 6).
//!
//! Rules run in their order, operation by operation; each sees what those before it have done. What comes out is a head
//! that the sanitizer would take: targets and values hold no byte that may not stand there, and no rule touches what
//! frames a message.

use super::auth::Asked;
use super::captures::Captures;
use super::expand::{ExpandError, Template};
use super::limit::Till;
use super::matcher::Matcher;
use super::pattern::Pattern;
use super::plan::HeaderRule;
use super::request::Request;
use super::trust::Trust;
use crate::Peer;
use crate::http::Known;
use crate::http::edit::{self, TooLong};
use crate::http::fields::Fields;
use crate::http::head::{RequestHead, ResponseHead};
use crate::http::target::{self, Form};

/// A `Rewrite`, or a run of directives outside any: the first branch whose condition holds is carried out.
#[derive(Debug)]
pub struct RulePlan {
    pub(crate) branches: Vec<BranchPlan>,
}

/// A part of a rule.
#[derive(Debug)]
pub(crate) struct BranchPlan {
    pub(crate) condition: Matcher,
    pub(crate) operations: Vec<OperationPlan>,
}

/// One change.
#[derive(Debug)]
pub(crate) enum OperationPlan {
    Header(HeaderRule),
    SetUrl(Template),
    SetPath { path: Template, encode: bool },
    SetQuery(Template),
    SetQueryParam { name: Box<[u8]>, value: Option<Template>, encode: bool },
    DeleteQuery,
    Rewrite(RulePlan),
}

impl RulePlan {
    /// Adds the files of users that its conditions look at.
    pub(crate) fn asks(&self, into: &mut Vec<Asked>) {
        for branch in &self.branches {
            branch.condition.asks(into);
            for operation in &branch.operations {
                if let OperationPlan::Rewrite(rule) = operation {
                    rule.asks(into);
                }
            }
        }
    }

    /// Whether some text in it refers to groups of what matched before.
    pub(crate) fn has_groups(&self) -> bool {
        let in_operation = |operation: &OperationPlan| match operation {
            OperationPlan::Header(HeaderRule::Set { value: text, .. })
            | OperationPlan::SetUrl(text)
            | OperationPlan::SetPath { path: text, .. }
            | OperationPlan::SetQuery(text)
            | OperationPlan::SetQueryParam { value: Some(text), .. } => text.has_groups(),
            OperationPlan::Rewrite(rule) => rule.has_groups(),
            _ => false,
        };
        self.branches
            .iter()
            .any(|branch| branch.condition.has_groups() || branch.operations.iter().any(in_operation))
    }
}

/// Why a message could not be changed. The request is answered 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RewriteFault {
    Expand(ExpandError),
    /// The new path is empty.
    Path,
    /// The target of CONNECT is no URL.
    Authority,
    TooLong,
}

impl std::fmt::Display for RewriteFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RewriteFault::Expand(error) => error.fmt(formatter),
            RewriteFault::Path => formatter.write_str("the rewritten path is empty"),
            RewriteFault::Authority => formatter.write_str("the target of CONNECT cannot be rewritten"),
            RewriteFault::TooLong => formatter.write_str("the rewritten head is too long"),
        }
    }
}

impl From<ExpandError> for RewriteFault {
    fn from(error: ExpandError) -> RewriteFault {
        RewriteFault::Expand(error)
    }
}

impl From<TooLong> for RewriteFault {
    fn from(_: TooLong) -> RewriteFault {
        RewriteFault::TooLong
    }
}

/// A request as its backend will see it.
#[derive(Debug)]
pub(crate) struct RequestDraft {
    pub(crate) head: RequestHead,
    pub(crate) bytes: Vec<u8>,
    /// How many matches there were before rules looked at it.
    pub(crate) mark: usize,
}

/// A response as its client will see it.
#[derive(Debug)]
pub(crate) struct ResponseDraft<'r> {
    pub(crate) head: ResponseHead,
    pub(crate) bytes: Vec<u8>,
    /// What it answers, as the backend saw it.
    pub(crate) request: Request<'r>,
}

/// Who sent a request, and whose word about that is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) peer: Peer,
    pub(crate) trust: Option<Trust<'a>>,
    /// Its certificate, PEM without line ends.
    pub(crate) certificate: Option<&'a str>,
    /// Where tokens are taken.
    pub(crate) till: Option<Till<'a>>,
}

/// A message in the making.
pub(crate) trait Draft {
    /// The message as conditions and expansions see it now.
    fn view<'a>(&'a self, sender: Sender<'a>) -> Request<'a>;

    /// Gives the first field of this name another value, or adds it.
    fn set_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), RewriteFault>;

    /// Removes each field whose whole line matches.
    fn delete_headers(&mut self, pattern: &Pattern);

    /// Puts a path and query in place of those that are there; a slash before them if they begin with none.
    fn set_target(&mut self, text: &[u8]) -> Result<(), RewriteFault>;
}

impl Draft for RequestDraft {
    fn view<'a>(&'a self, sender: Sender<'a>) -> Request<'a> {
        let Sender { peer, trust, certificate, till } = sender;
        Request { head: &self.head, bytes: &self.bytes, peer, response: None, trust, certificate, till }
    }

    fn set_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), RewriteFault> {
        let field = edit::set(&mut self.bytes, &mut self.head.fields, name, value)?;
        if field.known == Known::Host {
            self.head.host = Some(field.value);
        }
        Ok(())
    }

    fn delete_headers(&mut self, pattern: &Pattern) {
        edit::delete(&self.bytes, &mut self.head.fields, |line| pattern.is_match(line));
        if !self.head.fields.has(Known::Host) {
            self.head.host = None;
        }
    }

    fn set_target(&mut self, text: &[u8]) -> Result<(), RewriteFault> {
        if text == self.head.target.of(&self.bytes) {
            return Ok(());
        }
        if self.head.form == Form::Authority {
            return Err(RewriteFault::Authority);
        }
        let mut legal = Vec::with_capacity(text.len() + 1);
        match text.first() {
            Some(b'/') => {}
            // What is left of a path by a match is often written without the slash: `SetPath "$1"`.
            Some(_) => legal.push(b'/'),
            None => return Err(RewriteFault::Path),
        }
        target::put_legal(text, &mut legal);
        self.head.target = edit::append(&mut self.bytes, &[&legal])?;
        self.head.form = Form::Origin;
        Ok(())
    }
}

impl Draft for ResponseDraft<'_> {
    fn view<'a>(&'a self, _: Sender<'a>) -> Request<'a> {
        Request { response: Some((&self.head.fields, &self.bytes)), ..self.request }
    }

    fn set_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), RewriteFault> {
        edit::set(&mut self.bytes, &mut self.head.fields, name, value)?;
        Ok(())
    }

    fn delete_headers(&mut self, pattern: &Pattern) {
        edit::delete(&self.bytes, &mut self.head.fields, |line| pattern.is_match(line));
    }

    /// Responses have none; the grammar keeps such operations out.
    fn set_target(&mut self, _: &[u8]) -> Result<(), RewriteFault> {
        Ok(())
    }
}

impl ResponseDraft<'_> {
    /// One field of this name in place of all of them.
    pub(crate) fn replace_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), RewriteFault> {
        let bytes = &self.bytes;
        self.head.fields.retain(|field| !field.name.of(bytes).eq_ignore_ascii_case(name));
        self.set_header(name, value)
    }
}

/// Fields of a message that is about to be changed.
pub(crate) fn replace_all(
    bytes: &mut Vec<u8>,
    fields: &mut Fields,
    known: Known,
    value: &[u8],
) -> Result<(), RewriteFault> {
    for place in 0..fields.len() {
        let Some(field) = fields.iter().nth(place).filter(|field| field.known == known && !field.hop) else {
            continue;
        };
        let name = field.name.of(bytes).to_vec();
        let field = edit::field(bytes, &name, value)?;
        fields.put(Some(place), field);
    }
    Ok(())
}

/// Changes messages of one exchange.
pub(crate) struct Rewriter<'c> {
    pub(crate) sender: Sender<'c>,
    pub(crate) captures: &'c mut Captures,
}

impl Rewriter<'_> {
    /// Carries out rules in their order.
    ///
    /// # Errors
    /// The first change that cannot be made; the message is then of no use.
    pub(crate) fn run(&mut self, rules: &[RulePlan], draft: &mut impl Draft) -> Result<(), RewriteFault> {
        rules.iter().try_for_each(|rule| self.rule(rule, draft))
    }

    /// The same for a service that let the request fall through, with the matches that it saw.
    pub(crate) fn run_until(
        &mut self,
        mark: Option<usize>,
        rules: &[RulePlan],
        draft: &mut impl Draft,
    ) -> Result<(), RewriteFault> {
        match mark {
            Some(mark) if !rules.is_empty() => {
                let mut earlier = self.captures.until(mark);
                let ran = Rewriter { sender: self.sender, captures: &mut earlier }.run(rules, draft);
                self.captures.tokens = earlier.tokens;
                ran
            }
            _ => self.run(rules, draft),
        }
    }

    fn rule(&mut self, rule: &RulePlan, draft: &mut impl Draft) -> Result<(), RewriteFault> {
        for branch in &rule.branches {
            let holds = branch.condition.holds(&draft.view(self.sender), Some(self.captures));
            // Passwords that came with the request were looked at before; one that a rule has put there is nobody's.
            self.captures.question = None;
            if let Some(fault) = self.captures.fault.take() {
                return Err(RewriteFault::Expand(fault));
            }
            if holds {
                return branch.operations.iter().try_for_each(|operation| self.operation(operation, draft));
            }
        }
        Ok(())
    }

    fn operation(&mut self, operation: &OperationPlan, draft: &mut impl Draft) -> Result<(), RewriteFault> {
        match operation {
            OperationPlan::Header(rule) => self.header(rule, draft),
            OperationPlan::SetUrl(url) => {
                let url = self.expand(url, draft)?;
                draft.set_target(&url)
            }
            OperationPlan::SetPath { path, encode } => {
                let path = self.expand(path, draft)?;
                let mut target = Vec::new();
                if *encode {
                    target::put_percent_encoded(&path, b"/", &mut target);
                } else {
                    target.extend_from_slice(&path);
                }
                // Also where the query follows: that is no path.
                if target.is_empty() {
                    return Err(RewriteFault::Path);
                }
                put_query(draft.view(self.sender).query(), &mut target);
                draft.set_target(&target)
            }
            OperationPlan::SetQuery(query) => {
                let query = self.expand(query, draft)?;
                self.set_query(Some(&query), draft)
            }
            OperationPlan::SetQueryParam { name, value, encode } => {
                let value = match value {
                    Some(value) => Some(self.expand(value, draft)?),
                    None => None,
                };
                let query = draft.view(self.sender).query().unwrap_or_default().to_vec();
                let query = with_parameter(&query, name, value.as_deref(), *encode);
                self.set_query(Some(&query), draft)
            }
            OperationPlan::DeleteQuery => self.set_query(None, draft),
            OperationPlan::Rewrite(rule) => self.rule(rule, draft),
        }
    }

    /// Carries out a change of header fields.
    pub(crate) fn header(&self, rule: &HeaderRule, draft: &mut impl Draft) -> Result<(), RewriteFault> {
        match rule {
            HeaderRule::Set { name, value } => {
                let value = self.expand(value, draft)?;
                draft.set_header(name.as_bytes(), &value)
            }
            HeaderRule::Delete(pattern) => {
                draft.delete_headers(pattern);
                Ok(())
            }
        }
    }

    fn set_query(&self, query: Option<&[u8]>, draft: &mut impl Draft) -> Result<(), RewriteFault> {
        let mut target = draft.view(self.sender).path().to_vec();
        put_query(query.filter(|query| !query.is_empty()), &mut target);
        draft.set_target(&target)
    }

    fn expand(&self, text: &Template, draft: &impl Draft) -> Result<Vec<u8>, RewriteFault> {
        let mut out = Vec::new();
        text.expand(&draft.view(self.sender), self.captures, &mut out)?;
        Ok(out)
    }
}

fn put_query(query: Option<&[u8]>, target: &mut Vec<u8>) {
    if let Some(query) = query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
}

/// A query with another value for the first parameter of this name, or with that added; without a value, with no
/// parameter of this name.
fn with_parameter(query: &[u8], name: &[u8], value: Option<&[u8]>, encode: bool) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(query.len() + name.len() + value.map_or(0, <[u8]>::len) + 2);
    let put = |out: &mut Vec<u8>, value: &[u8]| {
        out.extend_from_slice(name);
        out.push(b'=');
        if encode {
            target::put_percent_encoded(value, &[], out);
        } else {
            out.extend_from_slice(value);
        }
    };
    let mut value = value.map(Some);
    for parameter in query.split(|&byte| byte == b'&').filter(|_| !query.is_empty()) {
        let named = parameter.split(|&byte| byte == b'=').next() == Some(name);
        // `None` removes; `Some(None)` has been put already.
        let mut now = None;
        if named {
            match &mut value {
                None => continue,
                Some(value) => now = value.take(),
            }
        }
        if !out.is_empty() {
            out.push(b'&');
        }
        match now {
            Some(value) => put(&mut out, value),
            None => out.extend_from_slice(parameter),
        }
    }
    if let Some(Some(value)) = value {
        if !out.is_empty() {
            out.push(b'&');
        }
        put(&mut out, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_set_in_their_place() {
        let with = |query: &str, name: &str, value: Option<&str>| {
            let text = with_parameter(query.as_bytes(), name.as_bytes(), value.map(str::as_bytes), false);
            String::from_utf8(text).expect("text")
        };
        for (query, value, expected) in [
            ("", Some("1"), "a=1"),
            ("b=2", Some("1"), "b=2&a=1"),
            ("a=0&b=2", Some("1"), "a=1&b=2"),
            ("b=2&a&c", Some("1"), "b=2&a=1&c"),
            ("a=0&a=3", Some("1"), "a=1&a=3"),
            ("aa=0", Some(""), "aa=0&a="),
            ("a=0&b=2&a", None, "b=2"),
            ("a=0", None, ""),
            ("b&&c", None, "b&&c"),
            ("", None, ""),
        ] {
            assert_eq!(with(query, "a", value), expected, "{query} {value:?}");
        }
        assert_eq!(with_parameter(b"", b"a", Some(b"b c&/"), true), b"a=b%20c%26%2F");
    }
}
