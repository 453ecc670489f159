//! Rows of rewriting.

use super::{Body, Kind, Repeat, Row, Scope};
use super::{optional, row};

const REQUESTS: &[Scope] = &[Scope::Http, Scope::Https, Scope::Service, Scope::Rewrite];
const INSIDE: &[Scope] = &[Scope::Rewrite, Scope::RewriteResponse];

pub(super) const ROWS: &[Row] = &[
    row("Rewrite", REQUESTS, "change requests or responses that fulfil conditions")
        .takes(&[optional(Kind::Word(&["request", "response"]), "direction")])
        .body(Body::ByWord(&[Scope::Rewrite, Scope::RewriteResponse])),
    row("Rewrite", &[Scope::RewriteResponse], "change responses that fulfil conditions")
        .takes(&[optional(Kind::Word(&["response"]), "direction")])
        .body(Body::ByWord(&[Scope::RewriteResponse])),
    row("Else", INSIDE, "what to do when the conditions before do not hold").repeat(Repeat::Many),
];
