//! Rows of services but their conditions.

use super::listener::PAGE_CODES;
use super::session::BALANCERS;
use super::{Kind, Repeat, Row, SERVICE, Scope};
use super::{any, one, optional, row};

pub(super) const ROWS: &[Row] = &[
    row("Disabled", SERVICE, "skip this service (no)").takes(&[one(Kind::Flag, "value")]),
    row("Backend", SERVICE, "a server that answers; with the name of a global backend, that one")
        .takes(&[optional(Kind::Text, "name")])
        .section(Scope::Backend),
    row("Emergency", SERVICE, "a server that answers while no other one can").section(Scope::Backend),
    row("UseBackend", SERVICE, "use a global backend").takes(&[one(Kind::Text, "name")]).repeat(Repeat::Many),
    row("Redirect", SERVICE, "answer with another place (302)")
        .takes(&[optional(Kind::Code(&[301, 302, 303, 307, 308]), "code"), one(Kind::Text, "URL")])
        .repeat(Repeat::Many),
    row("Error", SERVICE, "answer with an error")
        .takes(&[one(PAGE_CODES, "code"), optional(Kind::File, "file")])
        .repeat(Repeat::Many),
    row("Session", SERVICE, "send requests of one session to one backend")
        .section(Scope::Session)
        .repeat(Repeat::Once),
    row("Balancer", SERVICE, "how a backend is chosen").takes(&[one(BALANCERS, "algorithm")]),
    row("Metrics", SERVICE, "answer with metrics").repeat(Repeat::Many),
    row("SendFile", SERVICE, "answer with files of this directory")
        .takes(&[one(Kind::File, "directory")])
        .repeat(Repeat::Many),
    row("Success", SERVICE, "answer 200 without a body").repeat(Repeat::Many),
    row("LuaBackend", SERVICE, "answer in Lua")
        .takes(&[one(Kind::Text, "function"), any(Kind::Text, "argument")])
        .repeat(Repeat::Many)
        .later(),
    row("ContentCapture", SERVICE, "keep so many bytes of a request's body for Lua")
        .takes(&[one(Kind::Size { min: 0, max: u64::MAX }, "size")])
        .later(),
];
