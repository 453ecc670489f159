//! Rows of conditions on requests.

use super::{Argument, Body, Kind, Repeat, Row, Scope, Switch};
use super::{any, one, optional, row};

const REQUEST: &[Scope] = &[Scope::Service, Scope::Match, Scope::Condition, Scope::Rewrite];
const REQUEST_AND_RESPONSE: &[Scope] =
    &[Scope::Service, Scope::Match, Scope::Condition, Scope::Rewrite, Scope::RewriteResponse];

const PATTERN: &[Switch] = &[
    Switch::Re,
    Switch::Exact,
    Switch::Beg,
    Switch::End,
    Switch::Contain,
    Switch::Icase,
    Switch::Case,
    Switch::Posix,
    Switch::Pcre,
    Switch::File,
    Switch::FileWatch,
    Switch::Tag,
];

const PATTERN_DECODED: &[Switch] = &[
    Switch::Re,
    Switch::Exact,
    Switch::Beg,
    Switch::End,
    Switch::Contain,
    Switch::Icase,
    Switch::Case,
    Switch::Posix,
    Switch::Pcre,
    Switch::File,
    Switch::FileWatch,
    Switch::Tag,
    Switch::Decode,
];

const ONE_PATTERN: &[Argument] = &[one(Kind::Text, "pattern")];

/// A condition that compares one subject with a pattern.
const fn pattern(name: &'static str, help: &'static str) -> Row {
    row(name, REQUEST, help).takes(ONE_PATTERN).switches(PATTERN).repeat(Repeat::Many)
}

pub(super) const ROWS: &[Row] = &[
    pattern("URL", "the URL as sent, path and query"),
    pattern("Path", "the URL's path").switches(PATTERN_DECODED),
    pattern("Query", "the URL's query"),
    pattern("QueryParam", "the value of this parameter of the URL's query")
        .takes(&[one(Kind::Text, "name"), one(Kind::Text, "pattern")])
        .switches(PATTERN_DECODED),
    row(
        "Header",
        REQUEST_AND_RESPONSE,
        "some header line, or the value of some header of this name (without case)",
    )
    .also(&["HeadRequire"])
    .takes(&[optional(Kind::Text, "name"), one(Kind::Text, "pattern")])
    .switches(PATTERN)
    .repeat(Repeat::Many)
    .instead_of(&["HeadRequire"], "Header"),
    pattern("HeadDeny", "no header line (without case)").instead("Not Header"),
    pattern("Host", "the Host header, with or without its port (exactly, without case)"),
    pattern("Method", "the method"),
    row("StringMatch", REQUEST_AND_RESPONSE, "a text with expansions")
        .takes(&[one(Kind::Text, "subject"), one(Kind::Text, "pattern")])
        .switches(PATTERN)
        .repeat(Repeat::Many),
    row(
        "ACL",
        REQUEST,
        "the client's address is in a named ACL, in networks listed here, or in a file of them",
    )
    .takes(&[optional(Kind::Text, "name")])
    .switches(&[Switch::Forwarded, Switch::File, Switch::FileWatch])
    .body(Body::List { unless: 1 }),
    row("BasicAuth", REQUEST, "the client is a user of this file")
        .takes(&[one(Kind::File, "file")])
        .switches(&[Switch::File, Switch::FileWatch])
        .repeat(Repeat::Many),
    row("ClientCert", REQUEST, "the client has this certificate")
        .takes(&[one(Kind::File, "file")])
        .repeat(Repeat::Many),
    row(
        "TBF",
        REQUEST,
        "a token is left in the bucket of this key, where so many come in a time and so many fit",
    )
    .takes(&[
        one(Kind::Text, "key"),
        one(Kind::Name, "rate"),
        one(Kind::Number { min: 1, max: u32::MAX as u64 }, "burst"),
    ])
    .repeat(Repeat::Many),
    row("Eval", REQUEST_AND_RESPONSE, "a condition with a name")
        .takes(&[one(Kind::Text, "name")])
        .repeat(Repeat::Many),
    row("LuaMatch", REQUEST_AND_RESPONSE, "a condition in Lua")
        .takes(&[one(Kind::Text, "function"), any(Kind::Text, "argument")])
        .repeat(Repeat::Many)
        .later(),
    row("Match", REQUEST_AND_RESPONSE, "all (and) or one (or) of the conditions in it")
        .takes(&[optional(Kind::Word(&["and", "or"]), "operation")])
        .section(Scope::Match),
    row("Not", REQUEST_AND_RESPONSE, "the condition that follows on the line does not hold")
        .body(Body::Prefix),
];
