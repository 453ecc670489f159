//! Rules that change requests and responses become plans.

use super::Compiler;
use crate::http::Known;
use crate::route::matcher::Matcher;
use crate::route::pattern::Groups;
use crate::route::plan::HeaderRule;
use crate::route::rewrite::{BranchPlan, OperationPlan, RulePlan};
use ounce_conf::model::{self, Listener, Operation, Rule};

impl Compiler<'_> {
    pub(super) fn rules(&mut self, shown: &str, rules: &[Rule]) -> Vec<RulePlan> {
        // What matched in a rule is there for the texts behind it.
        let around = std::mem::replace(&mut self.groups, Groups::Wanted);
        let rules = rules.iter().map(|rule| self.rule(shown, rule)).collect();
        self.groups = around;
        rules
    }

    /// A listener's changes to requests: those that are made while the head is written, and those that need it whole.
    pub(super) fn listener_rules(
        &mut self,
        shown: &str,
        listener: &Listener,
    ) -> (Vec<HeaderRule>, Vec<RulePlan>) {
        let header_rules: Vec<HeaderRule> =
            listener.header_rules.iter().filter_map(|rule| self.header_rule(shown, rule)).collect();
        let mut rules = self.rules(shown, &listener.request_rules);
        if can_stream(&header_rules) {
            return (header_rules, rules);
        }
        let operations = header_rules.into_iter().map(OperationPlan::Header).collect();
        let branch = BranchPlan { condition: Matcher::All(Vec::new()), operations };
        rules.insert(0, RulePlan { branches: vec![branch] });
        (Vec::new(), rules)
    }

    fn rule(&mut self, shown: &str, rule: &Rule) -> RulePlan {
        let branches = rule.branches.iter().map(|branch| BranchPlan {
            condition: self.condition(shown, &branch.condition),
            operations: branch.operations.iter().filter_map(|one| self.operation(shown, one)).collect(),
        });
        RulePlan { branches: branches.collect() }
    }

    fn operation(&mut self, shown: &str, operation: &Operation) -> Option<OperationPlan> {
        Some(match operation {
            Operation::SetHeader { name, value } => {
                let rule = model::HeaderRule::Set { name: name.clone(), value: value.clone() };
                OperationPlan::Header(self.header_rule(shown, &rule)?)
            }
            Operation::DeleteHeader(pattern) => {
                let pattern = self.pattern(shown, "DeleteHeader", pattern)?;
                OperationPlan::Header(HeaderRule::Delete(pattern))
            }
            Operation::SetUrl(url) => OperationPlan::SetUrl(self.template(url)),
            Operation::SetPath { path, encode } => {
                OperationPlan::SetPath { path: self.template(path), encode: *encode }
            }
            Operation::SetQuery(query) => OperationPlan::SetQuery(self.template(query)),
            Operation::SetQueryParam { name, value, encode } => OperationPlan::SetQueryParam {
                name: name.as_bytes().into(),
                value: value.as_deref().map(|value| self.template(value)),
                encode: *encode,
            },
            Operation::DeleteQuery => OperationPlan::DeleteQuery,
            Operation::Rewrite(rule) => OperationPlan::Rewrite(self.rule(shown, rule)),
        })
    }

    pub(super) fn header_rule(&mut self, shown: &str, rule: &model::HeaderRule) -> Option<HeaderRule> {
        match rule {
            model::HeaderRule::Set { name, value } => {
                if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                    self.errors.push(format!("{shown}: header {name:?} cannot hold control characters"));
                    return None;
                }
                if ends_here(name) {
                    self.errors.push(format!("{shown}: header {name:?} cannot be set"));
                    return None;
                }
                Some(HeaderRule::Set { name: name.clone(), value: self.template(value) })
            }
            model::HeaderRule::Delete(pattern) => {
                self.pattern(shown, "DeleteHeader", pattern).map(HeaderRule::Delete)
            }
        }
    }
}

/// Fields that frame a message or concern one connection.
fn ends_here(name: &str) -> bool {
    matches!(
        Known::of(name.as_bytes()),
        Known::ContentLength
            | Known::TransferEncoding
            | Known::Disguised
            | Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::Trailer
            | Known::Upgrade
    )
}

/// Whether header rules can be applied while a head is written: no text depends on what rules before it, or the canned
/// headers, have made of the fields.
pub(super) fn can_stream(rules: &[HeaderRule]) -> bool {
    rules.iter().enumerate().all(|(at, rule)| {
        let HeaderRule::Set { value, .. } = rule else { return true };
        value
            .headers()
            .all(|header| !is_canned(header) && !rules[..at].iter().any(|rule| touches(rule, header)))
    })
}

fn touches(rule: &HeaderRule, header: &str) -> bool {
    match rule {
        HeaderRule::Set { name, .. } => name.eq_ignore_ascii_case(header),
        HeaderRule::Delete(_) => true,
    }
}

fn is_canned(header: &str) -> bool {
    matches!(
        Known::of(header.as_bytes()),
        Known::XForwardedFor
            | Known::XForwardedProto
            | Known::XForwardedPort
            | Known::XSsl
            | Known::Destination
    )
}
