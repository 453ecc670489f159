//! What answers a request.

use super::{DynamicName, ServerTls};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `BackEnd`, `Emergency` or what else answers the requests of a service.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Its name, if it has one: its label, or the name of the global backend that it is.
    pub label: Option<String>,
    /// What it is.
    pub kind: BackendKind,
    /// `Priority`: weight, 1 to 65535.
    pub priority: u16,
    /// `Disabled`.
    pub disabled: bool,
    /// Where it stands: `FILE:LINE.COLUMN-COLUMN`.
    pub locus: String,
}

/// The kinds of backend.
#[derive(Debug, Clone)]
pub enum BackendKind {
    /// A server that is connected to.
    Server(Server),
    /// An answer that names another place.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        code: u16,
        /// The URL; it may hold expansions (pound.md section 6), and section 9 says what is appended.
        url: String,
    },
    /// An answer made here.
    Error {
        /// Its status.
        code: u16,
        /// Its page, or the listener's or built-in one.
        page: Option<ErrorPage>,
    },
    /// 200 without a body.
    Success,
    /// Answered by the program itself, beside its workers.
    House {
        /// With what.
        work: HouseWork,
        /// `TimeOut`: inactivity limit.
        timeout: Duration,
    },
}

/// What the program itself answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HouseWork {
    /// `Metrics`: counters and states in the OpenMetrics text format.
    Metrics,
    /// `Control`: the control interface.
    Control,
    /// `SendFile`: the files below this directory, by the path of the request.
    SendFile(PathBuf),
    /// `ACME`: answers to challenges of certificate authorities, files of this directory.
    Acme(PathBuf),
}

/// A server that is connected to.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// `TimeOut`: inactivity limit.
    pub timeout: Duration,
    /// `WSTimeOut`: inactivity limit after an upgrade.
    pub ws_timeout: Duration,
    /// `ConnTO`: connect limit.
    pub connect_timeout: Duration,
    /// `HTTPS`: TLS to this server.
    pub tls: Option<Box<ServerTls>>,
    /// `ServerName`: sent as SNI and in place of Host.
    pub server_name: Option<String>,
    /// `HAport`: where somebody must answer too, or the backend is taken for dead.
    pub ha_port: Option<SocketAddr>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port.
    Inet(SocketAddr),
    /// A UNIX stream socket.
    Unix(PathBuf),
    /// Wherever name servers say, while it runs.
    Name(Box<DynamicName>),
}

/// A page, read when the configuration is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// Header lines of the page, each `Name: value` without line end.
    pub header_lines: Vec<String>,
    /// Its body.
    pub body: Vec<u8>,
}
