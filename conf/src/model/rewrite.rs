//! Changes to requests and responses (pound.md section 6).

use super::{Condition, Pattern};

/// One `Rewrite`: the first branch whose condition holds is carried out.
///
/// Directives outside any `Rewrite` that follow each other make a rule of one branch without a condition.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The part before the first `Else`, and one for each `Else`.
    pub branches: Vec<Branch>,
}

/// A part of a [`Rule`].
#[derive(Debug, Clone)]
pub struct Branch {
    /// When it is carried out; an empty `All` always holds.
    pub condition: Condition,
    /// What it does, in this order; each sees what those before it have done.
    pub operations: Vec<Operation>,
}

/// One change. Texts may hold expansions.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Replace the first field of this name, or add it.
    SetHeader {
        /// Field name as written.
        name: String,
        /// Field value.
        value: String,
    },
    /// Remove each field whose whole line `Name: value` matches.
    DeleteHeader(Pattern),
    /// Replace path and query.
    SetUrl(String),
    /// Replace the path.
    SetPath {
        /// The new path.
        path: String,
        /// Percent-encode it first.
        encode: bool,
    },
    /// Replace or add the query.
    SetQuery(String),
    /// Set a parameter of the query.
    SetQueryParam {
        /// Its name.
        name: String,
        /// Its value; none removes it.
        value: Option<String>,
        /// Percent-encode the value first.
        encode: bool,
    },
    /// Remove the query.
    DeleteQuery,
    /// A rule in a rule.
    Rewrite(Rule),
}
