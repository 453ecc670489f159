//! Rows of sessions.

use super::{Kind, Row, Scope};
use super::{one, row};

const SESSION: &[Scope] = &[Scope::Session];

/// Words of `Balancer`, in the order that lowering knows.
pub(super) const BALANCERS: Kind = Kind::Word(&["random", "iwrr"]);

/// Words of `Type`, in the order of [`super::SessionType::ALL`].
const TYPES: Kind = Kind::Word(&["IP", "BASIC", "URL", "PARM", "COOKIE", "HEADER"]);

pub(super) const ROWS: &[Row] = &[
    row("Type", SESSION, "where the key of a session is found").takes(&[one(TYPES, "type")]),
    row(
        "TTL",
        SESSION,
        "how long a session may be idle; -1 keeps none: the key itself says which backend it is",
    )
    .takes(&[one(Kind::TimeOrNegative { min: 1 }, "time")]),
    row("ID", SESSION, "name of the parameter, cookie or header that holds the key")
        .takes(&[one(Kind::Text, "name")]),
];
