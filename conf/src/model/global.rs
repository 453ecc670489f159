//! Settings of the whole process.

use super::{
    Card, Feed, Listener, LogFile, LogFormat, LogServer, NamedCondition, Networks, Resolver, Service,
};
use std::path::PathBuf;
use std::time::Duration;

/// One configuration: what a file and everything it includes say.
#[derive(Debug, Clone)]
pub struct Config {
    /// Settings of the whole process.
    pub global: Global,
    /// Conditions with names, in file order.
    pub conditions: Vec<NamedCondition>,
    /// Listeners in file order; the control socket is not among them (see [`Global::control`]).
    pub listeners: Vec<Listener>,
    /// Services outside any listener, tried after a listener's own.
    pub services: Vec<Service>,
    /// Files that the rest refers to by their places.
    pub feeds: Vec<Feed>,
}

/// Settings of the whole process.
#[derive(Debug, Clone)]
pub struct Global {
    /// `User`: switch to this user after binding.
    pub user: Option<String>,
    /// `Group`: switch to this group after binding.
    pub group: Option<String>,
    /// `RootJail`: chroot of the serving processes.
    pub root_jail: Option<PathBuf>,
    /// `Daemon`: detach from the terminal.
    pub daemon: bool,
    /// `Supervisor`: accepted for compatibility; ounce always supervises its workers.
    pub supervisor: bool,
    /// `LogFacility`.
    pub log_target: LogTarget,
    /// `LogTag`: tag of syslog messages; the program's name when not given.
    pub log_tag: Option<String>,
    /// `LogLevel`: the name of the format of listeners that have none of their own.
    pub log_level: String,
    /// Every format that has a name, the built-in ones first and in their order.
    pub log_formats: Vec<LogFormat>,
    /// `LogFile`: in place of the target.
    pub log_file: Option<LogFile>,
    /// `LogServer`.
    pub log_server: Option<LogServer>,
    /// `Alive`: delay between probes of a dead backend.
    pub alive: Duration,
    /// `WatcherTTL`: how often watched files are looked at, told or not.
    pub watcher_ttl: Duration,
    /// `Grace`: how long a drain waits for active requests.
    pub grace: Duration,
    /// `Control`: the control socket.
    pub control: Option<Control>,
    /// `PIDFile`; `None` when not given or `"-"`.
    pub pid_file: Option<PathBuf>,
    /// `Workers`: how many workers; `None` is one per CPU the process may run on.
    pub workers: Option<u16>,
    /// `IoEngine`.
    pub io_engine: IoEngine,
    /// `TicketLifetime`: how long TLS sessions can be resumed.
    pub ticket_lifetime: Duration,
    /// `TicketKeyFile`: what tickets are sealed with; drawn by the supervisor when empty.
    pub ticket_keys: Vec<TicketKey>,
    /// `BackendStats`: keep request counts and times per backend.
    pub backend_stats: bool,
    /// `Anonymise`: the last octet or group of client addresses in logs is 0.
    pub anonymise: bool,
    /// `CombineHeaders`: names of fields whose repetitions are joined.
    pub combine_headers: Vec<String>,
    /// How the client's address is found behind other proxies.
    pub originator: Originator,
    /// `SSLEngine` and `SSLProvider`, in file order.
    pub cards: Vec<Card>,
    /// How the names of dynamic backends are looked up.
    pub resolver: Resolver,
}

/// A key that TLS session tickets are sealed with: 48 or 80 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey(pub Vec<u8>);

impl std::fmt::Debug for TicketKey {
    /// Without the secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TicketKey({} bytes)", self.0.len())
    }
}

impl Default for Global {
    /// What holds when a file says nothing.
    fn default() -> Global {
        Global {
            user: None,
            group: None,
            root_jail: None,
            daemon: true,
            supervisor: true,
            log_target: LogTarget::Syslog(3),
            log_tag: None,
            log_level: String::new(),
            log_formats: Vec::new(),
            log_file: None,
            log_server: None,
            alive: Duration::from_secs(30),
            watcher_ttl: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            control: None,
            pid_file: None,
            workers: None,
            io_engine: IoEngine::Auto,
            ticket_lifetime: Duration::from_secs(2 * 3600),
            ticket_keys: Vec::new(),
            backend_stats: false,
            anonymise: false,
            combine_headers: Vec::new(),
            originator: Originator::default(),
            cards: Vec::new(),
            resolver: Resolver::default(),
        }
    }
}

/// How the client's address is found behind other proxies; what is `None` is as further out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Originator {
    /// `ForwardedHeader`; `X-Forwarded-For` when given nowhere.
    pub header: Option<String>,
    /// `TrustedIP`: proxies whose word is taken; none when given nowhere.
    pub trusted: Option<Networks>,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// `LogFacility -`: request lines to standard output, problems to standard error.
    Standard,
    /// Syslog with this facility code (RFC 3164 4.1.1; `daemon` is 3).
    Syslog(u8),
}

/// The control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Path of the UNIX socket.
    pub path: PathBuf,
    /// Permission bits of the socket, 0o600 unless told.
    pub mode: u32,
    /// Give the socket to `User`/`Group`.
    pub change_owner: bool,
    /// How many listeners stand before `Control` in the file.
    pub position: usize,
}

/// How a worker talks to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoEngine {
    /// io_uring when the kernel allows it, else epoll.
    Auto,
    /// io_uring or refuse to start.
    Uring,
    /// epoll.
    Epoll,
}

/// How a backend is chosen among several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balancer {
    /// Weighted random.
    Random,
    /// Interleaved weighted round robin.
    Iwrr,
}

/// `HeaderOption`: which canned headers requests get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderOption {
    /// `X-Forwarded-For`, `-Proto`, `-Port`.
    pub forwarded: bool,
    /// `X-SSL-*`.
    pub ssl: bool,
}
