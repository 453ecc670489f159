//! Changes to requests and responses.

use super::Lowering;
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::model::{Branch, Condition, HeaderRule, Operation, Rule};
use crate::tree::Statement;

/// The rules of a section in the making.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) requests: Vec<Rule>,
    pub(super) responses: Vec<Rule>,
    /// The last request rule is a run of directives outside any `Rewrite`, which the next one joins.
    running: bool,
}

impl Rules {
    fn push(&mut self, operation: Operation) {
        match self.requests.last_mut().and_then(|rule| rule.branches.last_mut()) {
            Some(branch) if self.running => branch.operations.push(operation),
            _ => {
                let branch = Branch { condition: Condition::All(Vec::new()), operations: vec![operation] };
                self.requests.push(Rule { branches: vec![branch] });
                self.running = true;
            }
        }
    }

    /// The request rules as header rules, if that is all they are.
    pub(super) fn as_header_rules(&self) -> Option<Vec<HeaderRule>> {
        let [rule] = self.requests.as_slice() else { return None };
        let [branch] = rule.branches.as_slice() else { return None };
        let plain = |operation: &Operation| match operation {
            Operation::SetHeader { name, value } => {
                Some(HeaderRule::Set { name: name.clone(), value: value.clone() })
            }
            Operation::DeleteHeader(pattern) => Some(HeaderRule::Delete(pattern.clone())),
            _ => None,
        };
        if !self.running {
            return None;
        }
        branch.operations.iter().map(plain).collect()
    }
}

impl Lowering<'_> {
    /// A directive that changes requests or responses; false if it is none.
    pub(super) fn rewriting(&mut self, statement: &Statement, rules: &mut Rules) -> bool {
        if statement.row.name == "Rewrite" {
            let rule = self.rule(statement);
            if statement.word(0) == Some(1) {
                rules.responses.push(rule);
            } else {
                rules.requests.push(rule);
                rules.running = false;
            }
            return true;
        }
        let Some(operation) = self.operation(statement) else { return false };
        if let Some(operation) = operation {
            rules.push(operation);
        }
        true
    }

    /// `Rewrite`: conditions and operations, with `Else` between its branches.
    fn rule(&mut self, statement: &Statement) -> Rule {
        let mut branches = Vec::new();
        let (mut conditions, mut operations) = (Vec::new(), Vec::new());
        for inner in self.meant(statement.block()) {
            match inner.row.name {
                "Else" => branches.push(Branch {
                    condition: Condition::All(std::mem::take(&mut conditions)),
                    operations: std::mem::take(&mut operations),
                }),
                "Rewrite" => operations.push(Operation::Rewrite(self.rule(inner))),
                _ if inner.row.is_condition() => conditions.extend(self.condition(inner)),
                _ => operations.extend(self.operation(inner).flatten()),
            }
        }
        branches.push(Branch { condition: Condition::All(conditions), operations });
        Rule { branches }
    }

    /// One change; the outer `None` says that the directive is none, the inner one that it is wrong.
    fn operation(&mut self, statement: &Statement) -> Option<Option<Operation>> {
        let encode = statement.has(Switch::Encode);
        Some(match statement.row.name {
            "SetHeader" | "AddHeader" => self.set_header(statement).map(Operation::from),
            "DeleteHeader" | "HeadRemove" => self.delete_header(statement).map(Operation::from),
            "SetURL" => self.filled(statement, 0).map(Operation::SetUrl),
            "SetPath" => self.filled(statement, 0).map(|path| Operation::SetPath { path, encode }),
            "SetQuery" => self.expanded(statement, 0).map(Operation::SetQuery),
            "SetQueryParam" => self.query_param(statement, encode),
            "DeleteQuery" => Some(Operation::DeleteQuery),
            _ => return None,
        })
    }

    fn query_param(&mut self, statement: &Statement, encode: bool) -> Option<Operation> {
        let name = statement.text(0)?.to_owned();
        if name.is_empty() || name.contains(|c: char| c.is_control() || "&=?#".contains(c)) {
            let problem = Problem::error(statement.place(0), format!("{name:?} is no name of a parameter"));
            self.findings.push(problem.expected("a name without &, =, ? and #"));
            return None;
        }
        let value = match statement.text(1) {
            Some(_) => Some(self.expanded(statement, 1)?),
            None => None,
        };
        Some(Operation::SetQueryParam { name, value, encode })
    }

    fn expanded(&mut self, statement: &Statement, index: usize) -> Option<String> {
        let (text, place) = (statement.text(index)?, statement.place(index));
        if text.chars().any(char::is_control) {
            self.error(place, "a URL holds no control characters");
            return None;
        }
        self.expansions(text, place)
    }

    /// A text that must not be empty: a request needs a path.
    fn filled(&mut self, statement: &Statement, index: usize) -> Option<String> {
        if statement.text(index) == Some("") {
            self.error(
                statement.place(index),
                format!("{} would leave a request without a path", statement.word),
            );
            return None;
        }
        self.expanded(statement, index)
    }
}

impl From<HeaderRule> for Operation {
    fn from(rule: HeaderRule) -> Operation {
        match rule {
            HeaderRule::Set { name, value } => Operation::SetHeader { name, value },
            HeaderRule::Delete(pattern) => Operation::DeleteHeader(pattern),
        }
    }
}
