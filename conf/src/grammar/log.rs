//! Rows about logs.

use super::{GLOBAL, Kind, Repeat, Row, SERVICE, Scope, Switch};
use super::{many, one, optional, row};

pub(super) const ROWS: &[Row] = &[
    row("LogFacility", GLOBAL, "syslog facility, or - for standard output and error (daemon)")
        .takes(&[one(Kind::Name, "facility")]),
    row(
        "LogLevel",
        &[Scope::Global, Scope::Http, Scope::Https],
        "format of request lines, 0 (none) to 5 (1)",
    )
    .takes(&[one(Kind::LogFormat, "format")]),
    row("LogFormat", GLOBAL, "a request log format with a name; -json makes an object of it")
        .takes(&[one(Kind::Text, "name"), one(Kind::Text, "format")])
        .switches(&[Switch::Json])
        .repeat(Repeat::Many),
    row("LogTag", GLOBAL, "tag of syslog messages (the program's name)").takes(&[one(Kind::Text, "tag")]),
    row("LogFile", GLOBAL, "log to a file, problems to another if one is named; USR1 reopens")
        .takes(&[one(Kind::File, "file"), optional(Kind::File, "file for problems")]),
    row("LogServer", GLOBAL, "where syslog messages go: udp://HOST:PORT, tcp://HOST:PORT, unix:PATH")
        .takes(&[one(Kind::Text, "place"), optional(Kind::Word(&["rfc3164", "rfc5424"]), "syntax")]),
    row("LogSuppress", SERVICE, "log no requests that were answered with these classes of status")
        .takes(&[many(
            Kind::Word(&["all", "info", "1", "success", "2", "redirect", "3", "clterr", "4", "srverr", "5"]),
            "class",
        )])
        .repeat(Repeat::Many),
    row("Anonymise", GLOBAL, "log the last octet or group of client addresses as 0").also(&["Anonymize"]),
];
