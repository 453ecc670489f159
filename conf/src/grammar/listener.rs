//! Rows of listeners and of the changes to requests that listeners and services share.

use super::{Kind, LISTENER, Repeat, Row, Scope, Switch};
use super::{any, many, one, optional, row};

/// Words of `HeaderOption`, in the order that lowering knows.
pub(super) const HEADER_OPTIONS: Kind =
    Kind::Word(&["none", "all", "forwarded", "no-forwarded", "ssl", "no-ssl"]);

/// `LineBufferSize`.
pub(super) const LINE_SIZE: Kind = Kind::Size { min: 4096, max: 0xffff_ffff };

/// Codes that have an error page.
pub(super) const PAGE_CODES: Kind = Kind::Code(&[400, 401, 403, 404, 405, 413, 414, 429, 500, 501, 503]);

const BOUND: &[Scope] = &[Scope::Http, Scope::Https, Scope::Tunnel];
const CHANGES: &[Scope] = &[Scope::Http, Scope::Https, Scope::Service, Scope::Rewrite];
/// Where header changes stand besides listeners.
const HEADERS: &[Scope] = &[Scope::Service, Scope::Rewrite, Scope::RewriteResponse];

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
];

const OLD_PAGES: &[&str] =
    &["Err401", "Err403", "Err404", "Err405", "Err413", "Err414", "Err429", "Err500", "Err501", "Err503"];

pub(super) const ROWS: &[Row] = &[
    row("Address", BOUND, "where to listen: an address or the path of a UNIX socket (all addresses)")
        .takes(&[one(Kind::Address, "address")])
        .repeat(Repeat::Once),
    row("Port", BOUND, "port to listen on (80, or 443 with TLS)")
        .takes(&[one(Kind::Port, "port")])
        .repeat(Repeat::Once),
    row("SocketFrom", BOUND, "receive a listening socket over this UNIX socket")
        .takes(&[one(Kind::Text, "path")])
        .repeat(Repeat::Once),
    row("xHTTP", LISTENER, "which methods are allowed: 0 to 4, each with those before (0)")
        .takes(&[one(Kind::Number { min: 0, max: 4 }, "level")]),
    row("WebDAV", LISTENER, "allow the methods of WebDAV, as xHTTP 2 does (no)")
        .takes(&[one(Kind::Flag, "value")])
        .instead("xHTTP 2"),
    row("MSDAV", LISTENER, "allow the methods of WebDAV and Microsoft's, as xHTTP 3 does (no)")
        .takes(&[one(Kind::Flag, "value")])
        .instead("xHTTP 3"),
    row("Client", LISTENER, "how long a client may be silent").takes(&[one(Kind::Time { min: 1 }, "limit")]),
    row("CheckURL", LISTENER, "what each request's URL must match, else 501")
        .takes(&[one(Kind::Text, "pattern")])
        .switches(PATTERN)
        .repeat(Repeat::Once),
    row("ErrorFile", LISTENER, "page for answers with this code")
        .takes(&[one(PAGE_CODES, "code"), one(Kind::File, "file")])
        .repeat(Repeat::Many),
    row("Err400", LISTENER, "page for answers with this code")
        .also(OLD_PAGES)
        .takes(&[one(Kind::File, "file")])
        .repeat(Repeat::Many)
        .instead("ErrorFile CODE \"FILE\""),
    row("MaxRequest", LISTENER, "largest request body, else 413; 0 for no limit (0)")
        .takes(&[one(Kind::Size { min: 0, max: u64::MAX }, "size")]),
    row("MaxURI", LISTENER, "longest URL, else 414 (no limit but LineBufferSize)")
        .takes(&[one(Kind::Size { min: 1, max: 0xffff_ffff }, "size")]),
    row("LineBufferSize", LISTENER, "longest request, status or header line")
        .takes(&[one(LINE_SIZE, "size")]),
    row("SetHeader", LISTENER, "set a request header: \"Name: value\"")
        .takes(&[one(Kind::Text, "header")])
        .repeat(Repeat::Many),
    row("AddHeader", LISTENER, "set a request header: \"Name: value\"")
        .also(&["HeaderAdd"])
        .takes(&[one(Kind::Text, "header")])
        .repeat(Repeat::Many)
        .instead("SetHeader"),
    row("DeleteHeader", LISTENER, "remove request headers whose line matches")
        .takes(&[one(Kind::Text, "pattern")])
        .switches(PATTERN)
        .repeat(Repeat::Many),
    row("HeadRemove", LISTENER, "remove request headers whose line matches, without case")
        .also(&["HeaderRemove"])
        .takes(&[one(Kind::Text, "pattern")])
        .switches(PATTERN)
        .repeat(Repeat::Many)
        .instead("DeleteHeader -icase"),
    row("HeaderOption", LISTENER, "which headers requests get")
        .takes(&[many(HEADER_OPTIONS, "option")])
        .repeat(Repeat::Many),
    row(
        "RewriteLocation",
        LISTENER,
        "rewrite Location: 0 never, 1 if it names us or the backend, 2 if the backend (1)",
    )
    .also(&["Change30x"])
    .takes(&[one(Kind::Number { min: 0, max: 2 }, "mode")])
    .instead_of(&["Change30x"], "RewriteLocation"),
    row("RewriteDestination", LISTENER, "rewrite the request's Destination to the backend (no)")
        .takes(&[one(Kind::Flag, "value")]),
    row(
        "RewriteErrors",
        &[Scope::Http, Scope::Https, Scope::Service],
        "replace bodies of backends' errors by ErrorFile (no)",
    )
    .takes(&[one(Kind::Flag, "value")]),
    row("ACME", &[Scope::Http], "answer ACME challenges from files of this directory")
        .takes(&[one(Kind::File, "directory")])
        .repeat(Repeat::Many),
    row("SetHeader", HEADERS, "set a header: \"Name: value\"")
        .also(&["AddHeader", "HeaderAdd"])
        .takes(&[one(Kind::Text, "header")])
        .repeat(Repeat::Many)
        .instead_of(&["AddHeader", "HeaderAdd"], "SetHeader"),
    row("DeleteHeader", HEADERS, "remove headers whose line matches")
        .also(&["HeadRemove", "HeaderRemove"])
        .takes(&[one(Kind::Text, "pattern")])
        .switches(PATTERN)
        .repeat(Repeat::Many)
        .instead_of(&["HeadRemove", "HeaderRemove"], "DeleteHeader -icase"),
    row("SetURL", CHANGES, "set the request's URL").takes(&[one(Kind::Text, "URL")]).repeat(Repeat::Many),
    row("SetPath", CHANGES, "set the URL's path")
        .takes(&[one(Kind::Text, "path")])
        .switches(&[Switch::Encode])
        .repeat(Repeat::Many),
    row("SetQuery", CHANGES, "set the URL's query").takes(&[one(Kind::Text, "query")]).repeat(Repeat::Many),
    row("SetQueryParam", CHANGES, "set a parameter of the URL's query, or remove it")
        .takes(&[one(Kind::Text, "name"), optional(Kind::Text, "value")])
        .switches(&[Switch::Encode])
        .repeat(Repeat::Many),
    row("DeleteQuery", CHANGES, "remove the URL's query").repeat(Repeat::Many),
    row(
        "LuaModify",
        &[Scope::Http, Scope::Https, Scope::Service, Scope::Rewrite, Scope::RewriteResponse],
        "change the message in Lua",
    )
    .takes(&[one(Kind::Text, "function"), any(Kind::Text, "argument")])
    .repeat(Repeat::Many)
    .later(),
];
