//! Rows of the global scope: the process, defaults for what follows, and the sections.

use super::listener::{HEADER_OPTIONS, LINE_SIZE};
use super::session::BALANCERS;
use super::{Body, GLOBAL, Kind, Repeat, Row, SERVICE, Scope, Switch};
use super::{many, one, optional, row};

const EVERYWHERE: &[Scope] = &Scope::ALL;
const SETTINGS: &[Scope] = &[Scope::Global, Scope::Service];
const WITH_FORWARDED: &[Scope] = &[Scope::Global, Scope::Http, Scope::Https, Scope::Service];

const COUNT: Kind = Kind::Number { min: 1, max: 65535 };
const WORKER_THREADS: &str = "there are no worker threads; Workers says how many processes serve";
const WORKER_QUEUE: &str = "connections wait in the kernel, not in a queue for worker threads";

pub(super) const ROWS: &[Row] = &[
    row("User", GLOBAL, "switch to this user after the sockets are bound").takes(&[one(Kind::Text, "user")]),
    row("Group", GLOBAL, "switch to this group after the sockets are bound")
        .takes(&[one(Kind::Text, "group")]),
    row("RootJail", GLOBAL, "chroot of the serving processes").takes(&[one(Kind::Text, "directory")]),
    row("Daemon", GLOBAL, "detach from the terminal (yes)").takes(&[one(Kind::Flag, "value")]),
    row("Supervisor", GLOBAL, "accepted; workers are always supervised").takes(&[one(Kind::Flag, "value")]),
    row("PIDFile", GLOBAL, "write the process id to this file; \"-\" for none")
        .takes(&[one(Kind::Text, "file")]),
    row("Workers", GLOBAL, "how many processes serve (one for each CPU)")
        .takes(&[one(Kind::Number { min: 1, max: 256 }, "count")]),
    row("IoEngine", GLOBAL, "how workers talk to the kernel (auto)")
        .takes(&[one(Kind::Word(&["auto", "io_uring", "epoll"]), "engine")]),
    row("Alive", GLOBAL, "delay between probes of a dead backend (30 s)")
        .takes(&[one(Kind::Time { min: 1 }, "delay")]),
    row("Client", GLOBAL, "how long a client may be silent, for listeners that follow (10 s)")
        .takes(&[one(Kind::Time { min: 1 }, "limit")])
        .repeat(Repeat::FromHere),
    row("TimeOut", GLOBAL, "how long a backend may be silent, for backends that follow (15 s)")
        .takes(&[one(Kind::Time { min: 1 }, "limit")])
        .repeat(Repeat::FromHere),
    row("ConnTO", GLOBAL, "how long connecting may take, for backends that follow (15 s)")
        .takes(&[one(Kind::Time { min: 1 }, "limit")])
        .repeat(Repeat::FromHere),
    row(
        "WSTimeOut",
        GLOBAL,
        "how long an upgraded connection may be silent, for backends that follow (600 s)",
    )
    .takes(&[one(Kind::Time { min: 1 }, "limit")])
    .repeat(Repeat::FromHere),
    row("Grace", GLOBAL, "how long a drain waits for active requests (30 s)")
        .takes(&[one(Kind::Time { min: 0 }, "limit")]),
    row("BackendStats", GLOBAL, "keep request counts and times of each backend (no)")
        .takes(&[one(Kind::Flag, "value")]),
    row("Balancer", GLOBAL, "how services that follow choose a backend (random)")
        .takes(&[one(BALANCERS, "algorithm")])
        .repeat(Repeat::FromHere),
    row("HeaderOption", GLOBAL, "which headers requests get, for listeners that follow (forwarded ssl)")
        .takes(&[many(HEADER_OPTIONS, "option")])
        .repeat(Repeat::FromHere),
    row("LineBufferSize", GLOBAL, "longest request, status or header line, for listeners that follow (4096)")
        .takes(&[one(LINE_SIZE, "size")])
        .repeat(Repeat::FromHere),
    row("RegexType", GLOBAL, "language of the regular expressions that follow (posix)")
        .takes(&[one(Kind::Word(&["posix", "pcre", "perl"]), "language")])
        .repeat(Repeat::FromHere),
    row(
        "IgnoreCase",
        SETTINGS,
        "compare URL, Path, Query, QueryParam, CheckURL and DeleteHeader patterns without case from here on",
    )
    .takes(&[one(Kind::Flag, "value")])
    .repeat(Repeat::FromHere)
    .instead("-icase before the pattern"),
    row(
        "DynScale",
        SETTINGS,
        "rescale the priorities of backends as they answer, towards equal response times, from here on (no)",
    )
    .takes(&[one(Kind::Flag, "value")])
    .repeat(Repeat::FromHere),
    row("Include", EVERYWHERE, "read another file here; a pattern reads all files that match, in order")
        .takes(&[one(Kind::File, "file")])
        .repeat(Repeat::Many),
    row("IncludeDir", GLOBAL, "where relative file names start from here on")
        .takes(&[one(Kind::File, "directory")])
        .repeat(Repeat::FromHere),
    row("ACL", GLOBAL, "a named list of networks, one in quotes on each line; or -file and its name")
        .takes(&[one(Kind::Text, "name"), optional(Kind::Text, "file")])
        .switches(&[Switch::File, Switch::FileWatch])
        .body(Body::List { unless: 2 }),
    row("Backend", GLOBAL, "a backend that services use by its name")
        .takes(&[one(Kind::Text, "name")])
        .section(Scope::Backend),
    row("Service", &[Scope::Global, Scope::Http, Scope::Https], "which requests go to which backends")
        .takes(&[optional(Kind::Text, "label")])
        .section(Scope::Service),
    row("ListenHTTP", GLOBAL, "listen for HTTP").takes(&[optional(Kind::Text, "label")]).section(Scope::Http),
    row("ListenHTTPS", GLOBAL, "listen for HTTP over TLS")
        .takes(&[optional(Kind::Text, "label")])
        .section(Scope::Https),
    row("Tunnel", GLOBAL, "pass bytes both ways between a client and a backend")
        .takes(&[optional(Kind::Text, "label")])
        .section(Scope::Tunnel)
        .ahead(),
    row("Condition", GLOBAL, "a condition with a name, for Eval")
        .takes(&[one(Kind::Text, "name"), optional(Kind::Word(&["and", "or"]), "operation")])
        .section(Scope::Condition),
    row("CombineHeaders", GLOBAL, "join repeated headers of these names, one in quotes on each line")
        .body(Body::List { unless: super::ALWAYS }),
    row("ForwardedHeader", WITH_FORWARDED, "the header that names the client's address (X-Forwarded-For)")
        .takes(&[one(Kind::Text, "name")]),
    row("TrustedIP", WITH_FORWARDED, "networks of proxies whose ForwardedHeader is believed")
        .takes(&[optional(Kind::Text, "ACL or file")])
        .switches(&[Switch::File, Switch::FileWatch])
        .body(Body::List { unless: 1 })
        .repeat(Repeat::Last),
    row("Constant", WITH_FORWARDED, "a named text for %[const NAME]")
        .takes(&[one(Kind::Text, "name"), one(Kind::Text, "value or file")])
        .switches(&[Switch::Trim, Switch::File, Switch::FileWatch])
        .repeat(Repeat::Many),
    row("Resolver", GLOBAL, "how names of dynamic backends are looked up")
        .section(Scope::Resolver)
        .repeat(Repeat::Once),
    row("ConfigFile", &[Scope::Resolver], "a file in the form of resolv.conf (/etc/resolv.conf)")
        .takes(&[one(Kind::File, "file")]),
    row("ConfigText", &[Scope::Resolver], "text in the form of resolv.conf")
        .body(Body::Raw)
        .repeat(Repeat::Last),
    row("Debug", &[Scope::Resolver], "log lookups (no)").takes(&[one(Kind::Flag, "value")]),
    row("CNAMEChain", &[Scope::Resolver], "most CNAME records between a name and its addresses (8)")
        .takes(&[one(Kind::Number { min: 0, max: 255 }, "count")]),
    row("RetryInterval", &[Scope::Resolver], "delay after a failed lookup (600 s)")
        .takes(&[one(Kind::Time { min: 1 }, "delay")]),
    row("WatcherTTL", GLOBAL, "how often watched files are looked at where the kernel does not tell (60 s)")
        .takes(&[one(Kind::Time { min: 1 }, "interval")]),
    row("Lua", GLOBAL, "Lua sources").section(Scope::Lua).repeat(Repeat::Many).later(),
    row("Load", &[Scope::Lua], "load a Lua source in each worker")
        .takes(&[one(Kind::File, "file")])
        .repeat(Repeat::Many)
        .later(),
    row("LoadGlobal", &[Scope::Lua], "load a Lua source once")
        .takes(&[one(Kind::File, "file")])
        .repeat(Repeat::Many)
        .later(),
    row("Path", &[Scope::Lua], "add to package.path")
        .takes(&[one(Kind::Text, "path")])
        .repeat(Repeat::Many)
        .later(),
    row("CPath", &[Scope::Lua], "add to package.cpath")
        .takes(&[one(Kind::Text, "path")])
        .repeat(Repeat::Many)
        .later(),
    row(
        "TicketLifetime",
        GLOBAL,
        "how long TLS sessions can be resumed, and how long a ticket key seals (2 h)",
    )
    .takes(&[one(Kind::Time { min: 1 }, "time")]),
    row("TicketKeyFile", GLOBAL, "a ticket key of 48 or 80 bytes; the first one seals, others are accepted")
        .takes(&[one(Kind::File, "file")])
        .repeat(Repeat::Many),
    row("ECDHCurve", GLOBAL, "accepted; curves are negotiated")
        .takes(&[one(Kind::Text, "curve")])
        .idle("curves are negotiated"),
    row("WorkerMinCount", GLOBAL, "accepted; see Workers").takes(&[one(COUNT, "count")]).idle(WORKER_THREADS),
    row("WorkerMaxCount", GLOBAL, "accepted; see Workers").takes(&[one(COUNT, "count")]).idle(WORKER_THREADS),
    row("WorkerIdleTimeout", GLOBAL, "accepted; see Workers")
        .takes(&[one(Kind::Time { min: 0 }, "limit")])
        .idle(WORKER_THREADS),
    row("WorkerStackSize", GLOBAL, "accepted; see Workers")
        .takes(&[one(Kind::Size { min: 1, max: u64::MAX }, "size")])
        .idle(WORKER_THREADS),
    row("Threads", GLOBAL, "accepted; see Workers").takes(&[one(COUNT, "count")]).idle(WORKER_THREADS),
    row("ConnectionQueueSize", GLOBAL, "accepted; connections wait in the kernel")
        .takes(&[one(Kind::Number { min: 1, max: u64::MAX }, "count")])
        .idle(WORKER_QUEUE),
    row("ReserveFD", GLOBAL, "accepted; connections wait in the kernel")
        .takes(&[one(Kind::Number { min: 0, max: 1 << 20 }, "count")])
        .switches(&[Switch::Watcher])
        .repeat(Repeat::Many)
        .idle(WORKER_QUEUE),
    row("FallThrough", SERVICE, "apply this service's changes and go on selecting"),
];
