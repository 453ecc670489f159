//! Rows about logs.

use super::{GLOBAL, Kind, Repeat, Row, SERVICE, Scope};
use super::{many, one, row};

pub(super) const ROWS: &[Row] = &[
    row("LogFacility", GLOBAL, "syslog facility, or - for standard output and error (daemon)")
        .takes(&[one(Kind::Name, "facility")]),
    row(
        "LogLevel",
        &[Scope::Global, Scope::Http, Scope::Https],
        "format of request lines, 0 (none) to 5 (1)",
    )
    .takes(&[one(Kind::LogFormat, "format")]),
    row("LogFormat", GLOBAL, "a request log format with a name")
        .takes(&[one(Kind::Text, "name"), one(Kind::Text, "format")])
        .repeat(Repeat::Many)
        .ahead(),
    row("LogTag", GLOBAL, "tag of syslog lines (the program's name)")
        .takes(&[one(Kind::Text, "tag")])
        .ahead(),
    row("LogSuppress", SERVICE, "log no requests that were answered with these classes of status")
        .takes(&[many(
            Kind::Word(&["all", "info", "1", "success", "2", "redirect", "3", "clterr", "4", "srverr", "5"]),
            "class",
        )])
        .repeat(Repeat::Many)
        .ahead(),
    row("Anonymise", GLOBAL, "log the last octet or group of client addresses as 0").also(&["Anonymize"]),
];
