//! Rows of backends.

use super::{Kind, Repeat, Row, Scope};
use super::{one, optional, row};

const BACKEND: &[Scope] = &[Scope::Backend];
const BOTH: &[Scope] = &[Scope::Backend, Scope::TunnelBackend];

pub(super) const ROWS: &[Row] = &[
    row("Backend", &[Scope::Tunnel], "where the bytes go")
        .section(Scope::TunnelBackend)
        .repeat(Repeat::Once)
        .ahead(),
    row("Use", BACKEND, "be the global backend of this name; Priority and Disabled may stand beside it")
        .takes(&[one(Kind::Text, "name")])
        .repeat(Repeat::Once),
    row("Address", BOTH, "its address, host name, or the path of its UNIX socket")
        .takes(&[one(Kind::Address, "address")])
        .repeat(Repeat::Once),
    row("Port", BOTH, "its port (80)").takes(&[one(Kind::Port, "port")]).repeat(Repeat::Once),
    row("Priority", BACKEND, "its weight among the backends of the service (5)")
        .takes(&[one(Kind::Number { min: 0, max: 65535 }, "weight")]),
    row("TimeOut", BOTH, "how long it may be silent").takes(&[one(Kind::Time { min: 1 }, "limit")]),
    row("ConnTO", BOTH, "how long connecting to it may take").takes(&[one(Kind::Time { min: 1 }, "limit")]),
    row("WSTimeOut", BACKEND, "how long an upgraded connection may be silent")
        .takes(&[one(Kind::Time { min: 1 }, "limit")]),
    row("Disabled", BOTH, "use it only when it is enabled at run time (no)")
        .takes(&[one(Kind::Flag, "value")]),
    row("HAport", BACKEND, "a port that must answer too, and is asked every Alive while the backend is used")
        .takes(&[optional(Kind::Address, "address"), one(Kind::Port, "port")]),
    row("Resolve", BACKEND, "when its name is looked up (immediate)")
        .takes(&[one(Kind::Word(&["immediate", "first", "all", "srv"]), "mode")]),
    row("Family", BACKEND, "which addresses of its name are used (any)")
        .takes(&[one(Kind::Word(&["any", "inet", "inet6", "unix"]), "family")]),
    row("RetryInterval", BACKEND, "delay after a failed lookup (600 s)")
        .takes(&[one(Kind::Time { min: 1 }, "delay")]),
    row("OverrideTTL", BACKEND, "how long an answer of the DNS holds")
        .takes(&[one(Kind::Time { min: 1 }, "time")]),
    row("IgnoreSRVWeight", BACKEND, "give all records of Resolve srv the same weight (no)")
        .takes(&[one(Kind::Flag, "value")]),
];
