//! A listener: where clients come in and what is asked of every request there.

use super::{ErrorPage, HeaderOption, ListenerTls, LogFormat, Originator, Pattern, Rule, Service};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `ListenHTTP` or `ListenHTTPS`.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The label in the file; unique over all listeners.
    pub label: Option<String>,
    /// HTTP or HTTPS.
    pub protocol: Protocol,
    /// TLS, of an HTTPS listener.
    pub tls: Option<ListenerTls>,
    /// Where it listens.
    pub listen: Listen,
    /// `xHTTP`: 0 to 4, the cumulative method groups that are allowed.
    pub methods: u8,
    /// `Client`: inactivity limit on the client side.
    pub client: Duration,
    /// `CheckURL`: what the raw request target must match.
    pub check_url: Option<Pattern>,
    /// Custom pages by status code, each code once.
    pub error_pages: Vec<(u16, ErrorPage)>,
    /// `MaxRequest`: largest request body in bytes.
    pub max_request: Option<u64>,
    /// `MaxURI`: longest request target in bytes.
    pub max_uri: Option<u32>,
    /// `LineBufferSize`: longest request, status or header line in bytes.
    pub line_max: u32,
    /// `AddHeader`/`SetHeader`, `HeadRemove`/`DeleteHeader`, in file order.
    pub header_rules: Vec<HeaderRule>,
    /// Changes to requests, made once a backend is chosen and the canned headers are added. When a listener says
    /// more than `header_rules` can hold, all of it is here in file order, and nothing there.
    pub request_rules: Vec<Rule>,
    /// Changes to responses, after those of the service.
    pub response_rules: Vec<Rule>,
    /// Which canned headers requests get.
    pub header_option: HeaderOption,
    /// `RewriteLocation`.
    pub rewrite_location: RewriteLocation,
    /// `RewriteDestination`.
    pub rewrite_destination: bool,
    /// `RewriteErrors`: bodies of backends' errors are replaced by the listener's pages.
    pub rewrite_errors: bool,
    /// How the client's address is found behind other proxies.
    pub originator: Originator,
    /// `LogLevel`: how request lines are written.
    pub log_format: LogFormat,
    /// It has no `LogLevel` of its own.
    pub follows_log_level: bool,
    /// Where it stands: `FILE:LINE.COLUMN-COLUMN`.
    pub locus: String,
    /// The listener's own services in file order.
    pub services: Vec<Service>,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// Where a listener takes its connections from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and port.
    Inet(SocketAddr),
    /// A UNIX stream socket.
    Unix(PathBuf),
    /// `SocketFrom`: a bound, listening socket received over this UNIX socket (SCM_RIGHTS).
    Received(PathBuf),
}

/// A change to a request's header fields.
#[derive(Debug, Clone)]
pub enum HeaderRule {
    /// Replace the first field of this name, or add it.
    Set {
        /// Field name as written.
        name: String,
        /// Field value; it may hold expansions (pound.md section 6).
        value: String,
    },
    /// Remove each field whose whole line `Name: value` matches.
    Delete(Pattern),
}

/// `RewriteLocation`: which Location and Content-Location values are rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewriteLocation {
    /// None.
    Off,
    /// Those that name the backend, or the listener with another port or scheme.
    On,
    /// Only those that name the backend.
    BackendOnly,
}
