//! Rows of the control interface.

use super::{Body, GLOBAL, Kind, Repeat, Row, SERVICE, Scope};
use super::{one, optional, row};

const CONTROL: &[Scope] = &[Scope::Control];

pub(super) const ROWS: &[Row] = &[
    row("Control", GLOBAL, "the control socket: its path, or a section")
        .takes(&[optional(Kind::Text, "path")])
        .body(Body::Section { of: Scope::Control, unless: 1 })
        .repeat(Repeat::Once),
    row("Socket", CONTROL, "path of the control socket")
        .takes(&[one(Kind::Text, "path")])
        .repeat(Repeat::Once),
    row("Mode", CONTROL, "permission bits of the control socket (600)").takes(&[one(Kind::Octal, "bits")]),
    row("ChangeOwner", CONTROL, "give the control socket to User and Group (no)")
        .takes(&[one(Kind::Flag, "value")]),
    row("Control", SERVICE, "answer with the control interface").repeat(Repeat::Many),
];
