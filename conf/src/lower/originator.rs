//! How the client's address is found behind other proxies.

use super::Lowering;
use crate::diag::Problem;
use crate::model::Originator;
use crate::tree::{Inner, Statement};

/// Headers that are one value, or several that a comma does not part.
const SINGLE: [&str; 4] = ["Content-Length", "Host", "Set-Cookie", "Transfer-Encoding"];

impl Lowering<'_> {
    /// `ForwardedHeader` or `TrustedIP`; false if the statement is neither.
    pub(super) fn originator(&mut self, statement: &Statement, originator: &mut Originator) -> bool {
        match statement.row.name {
            "ForwardedHeader" => originator.header = self.field_name(statement.text(0), statement),
            "TrustedIP" => originator.trusted = Some(self.acl(statement)),
            _ => return false,
        }
        true
    }

    /// The names that `CombineHeaders` lists.
    pub(super) fn field_names(&mut self, statement: &Statement) -> Vec<String> {
        let Inner::List(items) = &statement.inner else { return Vec::new() };
        let mut names = Vec::new();
        for (name, place) in items {
            if SINGLE.iter().any(|single| single.eq_ignore_ascii_case(name)) {
                self.warn(*place, format!("{name} is no list; its repetitions are not joined"));
            } else if super::header::is_token(name) {
                names.push(name.clone());
            } else {
                let problem = Problem::error(*place, format!("\"{name}\" is no header name"));
                self.findings.push(problem.expected("a name such as \"Accept\""));
            }
        }
        names
    }

    fn field_name(&mut self, name: Option<&str>, statement: &Statement) -> Option<String> {
        let name = name?;
        if !super::header::is_token(name) {
            let problem = Problem::error(statement.place(0), format!("\"{name}\" is no header name"));
            self.findings.push(problem.expected("a name such as \"X-Forwarded-For\""));
            return None;
        }
        Some(name.to_owned())
    }
}
