//! Changes to requests and responses.

use super::{condition, pattern};
use ounce_conf::model::{Operation, Rule};
use std::fmt::Write as _;

pub(super) fn rules(out: &mut String, of: &str, rules: &[Rule], indent: &str) {
    for rule in rules {
        let _ = writeln!(out, "{indent}{of}");
        branches(out, rule, &format!("{indent}  "));
    }
}

fn branches(out: &mut String, rule: &Rule, indent: &str) {
    for branch in &rule.branches {
        let _ = writeln!(out, "{indent}if {}", condition(&branch.condition));
        for operation in &branch.operations {
            match operation {
                Operation::Rewrite(rule) => branches(out, rule, &format!("{indent}  ")),
                Operation::DeleteHeader(lines) => {
                    let _ = writeln!(out, "{indent}  delete {}", pattern(lines));
                }
                _ => {
                    let _ = writeln!(out, "{indent}  {operation:?}");
                }
            }
        }
    }
}
