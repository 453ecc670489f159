//! The global scope.

use super::Lowering;
use super::log;
use crate::diag::Problem;
use crate::model::{Balancer, Config, Flavour, Global, HeaderOption, IoEngine};
use crate::source::Span;
use crate::tree::Statement;
use crate::{Setting, Subject};
use std::collections::HashMap;
use std::path::PathBuf;

/// Labels and the place of each.
type Labels = HashMap<String, Span>;

/// Bytes of a line at most: those of a whole head, which the engine holds in one page.
const LINE_MAX: u32 = 16 * 1024;

impl Lowering<'_> {
    pub(super) fn config(&mut self, tree: &[Statement]) -> Config {
        let mut config = Config {
            global: Global::default(),
            conditions: Vec::new(),
            listeners: Vec::new(),
            services: Vec::new(),
            feeds: Vec::new(),
        };
        let mut listener_labels = Labels::new();
        let mut service_labels = Labels::new();
        let mut log_format = log::built_in(1);
        self.enter(tree);
        config.global.cards = self.cards(tree);
        for statement in self.meant(tree) {
            match statement.row.name {
                "ListenHTTP" | "ListenHTTPS" => {
                    self.label(statement, &mut listener_labels);
                    let listener = self.listener(statement, config.listeners.len());
                    config.listeners.push(listener);
                }
                "Service" => {
                    self.label(statement, &mut service_labels);
                    let service = self.service(statement, (None, config.services.len()));
                    config.services.push(service);
                }
                "Backend" => self.named_backend(statement),
                "ACL" => self.named_acl(statement),
                "Condition" => self.named_condition(statement, &mut config.conditions),
                "Control" => config.global.control = self.control(statement, config.listeners.len()),
                "Tunnel" => {
                    self.label(statement, &mut listener_labels);
                    let tunnel = self.tunnel(statement, config.listeners.len());
                    self.ahead.tunnels.extend(tunnel);
                }
                "LogFormat" => self.log_format(statement),
                "LogLevel" => log_format = self.log_level(statement).unwrap_or(log_format),
                // Read before everything else, since keys name them.
                "SSLEngine" | "SSLProvider" => {}
                _ if self.default(statement) => {}
                _ => self.setting(statement, &mut config.global),
            }
        }
        // Listeners that say nothing of their log follow the global setting wherever it stands.
        for listener in config.listeners.iter_mut().filter(|listener| listener.follows_log_level) {
            listener.log_format.clone_from(&log_format);
        }
        config.global.log_level = log_format.name;
        config.global.log_formats = self.all_log_formats();
        self.check_log_places(tree);
        self.leave();
        self.use_named_backends(&mut config);
        self.check_worker_counts(tree);
        config.feeds = std::mem::take(&mut self.feeds);
        config.feeds.extend(super::tls::certificate_feeds(&config.listeners));
        config
    }

    /// Checks whether a section's label is taken.
    pub(super) fn label(&mut self, statement: &Statement, taken: &mut Labels) {
        let Some(label) = statement.text(0) else { return };
        let place = statement.place(0);
        if let Some(first) = taken.insert(label.to_owned(), place) {
            let text = format!("a second {} \"{label}\"", statement.row.name);
            // Names of services said nothing before 4.6, and files of then have some twice.
            let problem = match statement.row.name {
                "Service" => Problem::warning(place, text).help("by its name only the first one is found"),
                _ => Problem::error(place, text),
            };
            self.findings.push(problem.note(first, "the first one is here"));
        }
    }

    /// A setting for what follows; false if the statement is none.
    fn default(&mut self, statement: &Statement) -> bool {
        let defaults = &mut self.defaults;
        match statement.row.name {
            "Client" => defaults.client = statement.time(),
            "TimeOut" => defaults.timeout = statement.time(),
            "ConnTO" => defaults.connect_timeout = statement.time(),
            "WSTimeOut" => defaults.ws_timeout = statement.time(),
            "LineBufferSize" => self.defaults.line_max = self.line_max(statement),
            "HeaderOption" => defaults.header_option = header_option(defaults.header_option, statement),
            "Balancer" => defaults.balancer = balancer(statement),
            "DynScale" => defaults.dyn_scale = statement.flag(),
            "RegexType" => {
                defaults.flavour = if statement.word(0) == Some(0) { Flavour::Posix } else { Flavour::Pcre };
            }
            "IgnoreCase" => defaults.ignore_case = statement.flag(),
            _ => return false,
        }
        true
    }

    /// `LineBufferSize`, cut to what the engine can hold.
    pub(super) fn line_max(&mut self, statement: &Statement) -> u32 {
        let line_max = narrow(statement.number(0), LINE_MAX);
        if line_max > LINE_MAX {
            self.warn(statement.place(0), format!("{LINE_MAX} bytes are taken: a whole head is no longer"));
        }
        line_max.min(LINE_MAX)
    }

    fn setting(&mut self, statement: &Statement, global: &mut Global) {
        let text = || statement.text(0).map(str::to_owned);
        match statement.row.name {
            "CombineHeaders" => global.combine_headers.extend(self.field_names(statement)),
            _ if self.originator(statement, &mut global.originator) => {}
            "User" => {
                self.note(Setting::User, statement);
                global.user = text();
            }
            "Group" => {
                self.note(Setting::Group, statement);
                global.group = text();
            }
            "RootJail" => {
                self.note(Setting::RootJail, statement);
                global.root_jail = text().map(PathBuf::from);
            }
            "Daemon" => global.daemon = statement.flag(),
            "Supervisor" => global.supervisor = statement.flag(),
            "PIDFile" => global.pid_file = text().filter(|path| path != "-").map(PathBuf::from),
            "Workers" => {
                self.note(Setting::Workers, statement);
                global.workers = statement.number(0).and_then(|n| u16::try_from(n).ok());
            }
            "IoEngine" => {
                global.io_engine = match statement.word(0) {
                    Some(1) => IoEngine::Uring,
                    Some(2) => IoEngine::Epoll,
                    _ => IoEngine::Auto,
                };
            }
            "Alive" => global.alive = statement.time(),
            "WatcherTTL" => global.watcher_ttl = statement.time(),
            "Grace" => global.grace = statement.time(),
            "BackendStats" => global.backend_stats = statement.flag(),
            "Anonymise" => global.anonymise = true,
            "LogFacility" => {
                if let Some(target) = self.log_target(statement) {
                    global.log_target = target;
                }
            }
            "LogTag" => global.log_tag = self.log_tag(statement),
            "LogFile" => global.log_file = Self::log_file(statement),
            "LogServer" => global.log_server = self.log_server(statement),
            "TicketLifetime" => global.ticket_lifetime = self.ticket_lifetime(statement),
            "TicketKeyFile" => self.ticket_key(statement, &mut global.ticket_keys),
            "Resolver" => self.resolver(statement, &mut global.resolver),
            // What is left has no effect, and was warned of where it stands.
            _ => {}
        }
    }

    /// Remembers where a setting stands that others judge.
    fn note(&mut self, setting: Setting, statement: &Statement) {
        self.noted.push((Subject::Global(setting), statement.place(0)));
    }

    /// The counts have no effect, but Pound refuses to start on a contradiction, which is a mistake here too.
    fn check_worker_counts(&mut self, tree: &[Statement]) {
        let count = |name| super::find(tree, name).filter(|s| s.sound).and_then(|s| Some((s, s.number(0)?)));
        if let (Some((min, least)), Some((max, most))) = (count("WorkerMinCount"), count("WorkerMaxCount"))
            && least > most
        {
            let problem = Problem::error(min.place(0), "WorkerMinCount is greater than WorkerMaxCount");
            self.findings.push(problem.note(max.place(0), "which is set here"));
        }
    }
}

/// The algorithm that a `Balancer` names.
pub(super) fn balancer(statement: &Statement) -> Balancer {
    if statement.word(0) == Some(1) { Balancer::Iwrr } else { Balancer::Random }
}

/// Applies the words of a `HeaderOption` from left to right.
pub(super) fn header_option(mut option: HeaderOption, statement: &Statement) -> HeaderOption {
    for index in 0..statement.values.len() {
        match statement.word(index) {
            Some(0) => option = HeaderOption { forwarded: false, ssl: false },
            Some(1) => option = HeaderOption { forwarded: true, ssl: true },
            Some(2) => option.forwarded = true,
            Some(3) => option.forwarded = false,
            Some(4) => option.ssl = true,
            Some(5) => option.ssl = false,
            _ => {}
        }
    }
    option
}

/// A number that its row keeps below 2^32.
pub(super) fn narrow(number: Option<u64>, otherwise: u32) -> u32 {
    number.and_then(|n| u32::try_from(n).ok()).unwrap_or(otherwise)
}
