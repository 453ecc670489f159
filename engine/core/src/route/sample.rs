//! Requests and configurations for tests.

use super::compile::{Ids, compile};
use super::plan::Plan;
use super::request::Request;
use crate::Peer;
use crate::http::h1::parse;
use crate::http::head::{RequestHead, ResponseHead};
use crate::http::rules::{ResponseRules, Rules};
use ounce_conf::built_in_log_format;
use ounce_conf::model::{
    Address, Backend, BackendKind, Balancer, Condition, Config, Flavour, Global, HeaderOption, IoEngine,
    Kind, Listen, Listener, LogTarget, Originator, Pattern, Protocol, RewriteLocation, Server, Service,
    ServiceName,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A parsed request and its bytes.
pub(crate) struct Sample {
    bytes: Vec<u8>,
    head: RequestHead,
    peer: Peer,
}

impl Sample {
    /// `GET target` with these header lines; a Host line is among them or the version is 1.0.
    pub(crate) fn get(target: &str, lines: &[&str]) -> Sample {
        let version = if lines.iter().any(|line| line.starts_with("Host:")) { "1.1" } else { "1.0" };
        let mut text = format!("GET {target} HTTP/{version}\r\n");
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        let bytes = text.into_bytes();
        let mut head = RequestHead::default();
        let rules = Rules { line_max: 4096, methods: 3, max_uri: None };
        parse::request(&bytes, &rules, &mut head).expect("a request that the sanitizer takes");
        Sample { bytes, head, peer: Peer::Inet("192.0.2.7:4711".parse().expect("an address")) }
    }

    pub(crate) fn from(mut self, peer: &str) -> Sample {
        self.peer = Peer::Inet(peer.parse().expect("an address and port"));
        self
    }

    pub(crate) fn over_unix(mut self) -> Sample {
        self.peer = Peer::Unix;
        self
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            head: &self.head,
            bytes: &self.bytes,
            peer: self.peer,
            response: None,
            trust: None,
            certificate: None,
            till: None,
        }
    }
}

/// A parsed `200` response with these header lines, and its bytes.
pub(crate) fn response(lines: &[&str]) -> (ResponseHead, Vec<u8>) {
    let mut text = "HTTP/1.1 200 OK\r\n".to_owned();
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut head = ResponseHead::default();
    let rules = ResponseRules {
        line_max: 4096,
        request_is_head: false,
        request_is_connect: false,
        upgrade_offered: false,
    };
    parse::response(text.as_bytes(), &rules, &mut head).expect("a response that is taken");
    (head, text.into_bytes())
}

pub(crate) fn pattern(kind: Kind, text: &str) -> Pattern {
    Pattern { kind, text: text.to_owned(), ignore_case: false, tag: None, decode: false }
}

pub(crate) fn posix(text: &str) -> Pattern {
    pattern(Kind::Regex(Flavour::Posix), text)
}

/// `Host "text"`.
pub(crate) fn host(text: &str) -> Condition {
    Condition::Host(Pattern { ignore_case: true, ..pattern(Kind::Exact, text) })
}

pub(crate) fn server(address: &str, priority: u16) -> Backend {
    let address = Address::Inet(address.parse().expect("an address and port"));
    let server = Server {
        address,
        timeout: Duration::from_secs(15),
        ws_timeout: Duration::from_secs(600),
        tls: None,
        server_name: None,
        ha_port: None,
        connect_timeout: Duration::from_secs(15),
    };
    Backend {
        label: None,
        kind: BackendKind::Server(server),
        priority,
        disabled: false,
        locus: String::new(),
    }
}

pub(crate) fn redirect(url: &str) -> Backend {
    let kind = BackendKind::Redirect { code: 302, url: url.to_owned() };
    Backend { label: None, kind, priority: 5, disabled: false, locus: String::new() }
}

pub(crate) fn service(label: Option<&str>, conditions: Vec<Condition>, backends: Vec<Backend>) -> Service {
    Service {
        name: ServiceName { label: label.map(str::to_owned) },
        disabled: false,
        condition: Condition::All(conditions),
        fall_through: false,
        rewrite_errors: None,
        originator: Originator::default(),
        request_rules: Vec::new(),
        response_rules: Vec::new(),
        backends,
        emergency: Vec::new(),
        session: None,
        balancer: Balancer::Iwrr,
        dyn_scale: false,
        log_suppress: Vec::new(),
        locus: String::new(),
    }
}

pub(crate) fn listener(address: &str, services: Vec<Service>) -> Listener {
    Listener {
        label: None,
        protocol: Protocol::Http,
        tls: None,
        listen: Listen::Inet(address.parse::<SocketAddr>().expect("an address and port")),
        methods: 0,
        client: Duration::from_secs(10),
        check_url: None,
        error_pages: Vec::new(),
        max_request: None,
        max_uri: None,
        line_max: 4096,
        header_rules: Vec::new(),
        request_rules: Vec::new(),
        response_rules: Vec::new(),
        header_option: HeaderOption { forwarded: true, ssl: true },
        rewrite_location: RewriteLocation::On,
        rewrite_destination: false,
        rewrite_errors: false,
        originator: Originator::default(),
        follows_log_level: true,
        log_format: built_in_log_format(1).expect("a built-in format"),
        locus: String::new(),
        services,
    }
}

pub(crate) fn config(listeners: Vec<Listener>, services: Vec<Service>) -> Config {
    let global = Global {
        log_level: String::new(),
        log_formats: Vec::new(),
        user: None,
        group: None,
        root_jail: None,
        daemon: false,
        supervisor: true,
        log_target: LogTarget::Standard,
        log_tag: None,
        log_file: None,
        log_server: None,
        alive: Duration::from_secs(30),
        watcher_ttl: Duration::from_secs(60),
        grace: Duration::from_secs(30),
        control: None,
        pid_file: None,
        workers: None,
        io_engine: IoEngine::Auto,
        ticket_lifetime: Duration::from_secs(7200),
        ticket_keys: Vec::new(),
        backend_stats: false,
        anonymise: false,
        combine_headers: Vec::new(),
        originator: Originator::default(),
        cards: Vec::new(),
        resolver: ounce_conf::model::Resolver::default(),
    };
    Config { global, conditions: Vec::new(), listeners, services, feeds: Vec::new() }
}

/// Rows as the segment would hand them out, bounded by `limit` for each kind.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) listeners: HashMap<String, u32>,
    pub(crate) services: HashMap<String, u32>,
    pub(crate) backends: HashMap<String, u32>,
    pub(crate) limit: Option<u32>,
}

impl Rows {
    fn row(table: &mut HashMap<String, u32>, limit: Option<u32>, identity: &str) -> Option<u32> {
        let next = table.len() as u32;
        if let Some(row) = table.get(identity) {
            return Some(*row);
        }
        if limit.is_some_and(|limit| next >= limit) {
            return None;
        }
        table.insert(identity.to_owned(), next);
        Some(next)
    }
}

impl Ids for Rows {
    fn listener(&mut self, identity: &str) -> Option<u32> {
        Rows::row(&mut self.listeners, self.limit, identity)
    }

    fn service(&mut self, identity: &str) -> Option<u32> {
        Rows::row(&mut self.services, self.limit, identity)
    }

    fn backend(&mut self, identity: &str) -> Option<u32> {
        Rows::row(&mut self.backends, self.limit, identity)
    }
}

pub(crate) fn plan(config: &Config) -> Plan {
    compile(config, &mut Rows::default()).expect("a configuration that compiles")
}
