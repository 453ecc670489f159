//! Listeners.

use super::Lowering;
use super::address::Family;
use super::global::header_option;
use super::log;
use super::pattern::Default;
use super::rewrite::Rules;
use super::tls;
use crate::diag::Problem;
use crate::model::{ClientCertificate, Listen, Listener, Originator, Protocol, RewriteLocation};
use crate::source::Span;
use crate::tree::Statement;
use crate::{Clause, Subject};
use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr};

impl Lowering<'_> {
    /// A listener.
    pub(super) fn listener(&mut self, statement: &Statement, position: usize) -> Listener {
        let https = statement.row.name == "ListenHTTPS";
        let mut listener = Listener {
            label: statement.text(0).map(str::to_owned),
            tls: https.then(tls::listener_default),
            protocol: if https { Protocol::Https } else { Protocol::Http },
            listen: Listen::Inet(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80))),
            methods: 0,
            client: self.defaults.client,
            check_url: None,
            error_pages: Vec::new(),
            max_request: None,
            max_uri: None,
            line_max: self.defaults.line_max,
            header_rules: Vec::new(),
            request_rules: Vec::new(),
            response_rules: Vec::new(),
            header_option: self.defaults.header_option,
            rewrite_location: RewriteLocation::On,
            rewrite_destination: false,
            rewrite_errors: false,
            originator: Originator::default(),
            log_format: log::built_in(1),
            follows_log_level: true,
            locus: self.locus(statement),
            services: Vec::new(),
        };
        let mut labels = HashMap::new();
        let mut pages = HashMap::new();
        let mut rules = Rules::default();
        if https {
            self.noted.push((Subject::Listener(position, Clause::Whole), statement.keyword));
        }
        listener.methods = methods(statement.block());
        self.enter(statement.block());
        self.https = https.then(|| tls::Reading::of(statement, position));
        for inner in self.meant(statement.block()) {
            match inner.row.name {
                "Service" => {
                    self.label(inner, &mut labels);
                    let service = self.service(inner, (Some(position), listener.services.len()));
                    listener.services.push(service);
                }
                "ACME" => listener.services.extend(self.acme(inner)),
                "LogLevel" => {
                    listener.follows_log_level = false;
                    if let Some(format) = self.log_level(inner) {
                        listener.log_format = format;
                    }
                }
                "ErrorFile" | "Err400" => self.page(inner, &mut pages, &mut listener),
                _ if self.rewriting(inner, &mut rules) => {}
                _ if self.listener_tls_setting(inner, &mut listener) => {}
                _ if self.originator(inner, &mut listener.originator) => {}
                _ => self.listener_setting(inner, &mut listener),
            }
        }
        self.leave();
        if let (Some(tls), Some(reading)) = (&mut listener.tls, self.https.take())
            && reading.asks_for_services()
        {
            tls.client = ClientCertificate::ForServices;
        }
        let unspecified = Listen::Inet(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
        listener.listen = self.listen(statement, if https { 443 } else { 80 }).unwrap_or(unspecified);
        if https {
            self.check_listener_tls(statement);
        }
        self.check_old_rules(statement.block(), &listener);
        match rules.as_header_rules() {
            Some(header_rules) => listener.header_rules = header_rules,
            None => listener.request_rules = rules.requests,
        }
        listener.response_rules = rules.responses;
        listener
    }

    /// A directive about TLS; false if it is none.
    fn listener_tls_setting(&mut self, statement: &Statement, listener: &mut Listener) -> bool {
        if let Some(tls) = &mut listener.tls
            && self.listener_tls(statement, tls)
        {
            return true;
        }
        // 2.8a's word for what HeaderOption says today.
        let old = statement.row.name == "XSSLHeaders";
        if old {
            listener.header_option.ssl = statement.number(0) != Some(0);
        }
        old
    }

    fn listener_setting(&mut self, statement: &Statement, listener: &mut Listener) {
        let url = Default { exact: false, ignore_case: self.defaults.ignore_case };
        match statement.row.name {
            "Client" => listener.client = statement.time(),
            "CheckURL" => listener.check_url = self.pattern(statement, url),
            // Pound's own way to say that there is no limit.
            "MaxRequest" => listener.max_request = statement.number(0).filter(|bytes| *bytes > 0),
            "MaxURI" => listener.max_uri = statement.number(0).and_then(|n| u32::try_from(n).ok()),
            "LineBufferSize" => listener.line_max = self.line_max(statement),
            "HeaderOption" => listener.header_option = header_option(listener.header_option, statement),
            "RewriteLocation" => {
                listener.rewrite_location = match statement.number(0) {
                    Some(0) => RewriteLocation::Off,
                    Some(2) => RewriteLocation::BackendOnly,
                    _ => RewriteLocation::On,
                };
            }
            "RewriteErrors" => listener.rewrite_errors = statement.flag(),
            "RewriteDestination" => listener.rewrite_destination = statement.flag(),
            // Address, Port and SocketFrom mean something only together, and so do xHTTP, WebDAV and MSDAV.
            _ => {}
        }
    }

    /// `ErrorFile CODE FILE` or `ErrCODE FILE`; the last page of a code holds.
    fn page(&mut self, statement: &Statement, seen: &mut HashMap<u16, Span>, listener: &mut Listener) {
        let old = statement.word.get(3..).and_then(|digits| digits.parse::<u64>().ok());
        let (code, file) = match statement.row.name {
            "Err400" => (old, 0),
            _ => (statement.number(0), 1),
        };
        let Some(code) = code.and_then(|code| u16::try_from(code).ok()) else { return };
        let Some(path) = statement.file(file) else { return };
        if let Some(first) = seen.insert(code, statement.keyword) {
            let problem = Problem::warning(first, format!("this page for {code} is overridden"));
            self.findings.push(problem.note(statement.keyword, "by this one"));
        }
        if let Some(page) = self.error_page(path, statement.place(file)) {
            listener.error_pages.retain(|(known, _)| *known != code);
            listener.error_pages.push((code, page));
        }
    }

    /// Where a listener listens, if that can be told; what is wrong with it is reported.
    pub(super) fn listen(&mut self, statement: &Statement, default_port: u16) -> Option<Listen> {
        let listen = self.listening_place(statement, default_port)?;
        self.listens(&listen, statement.keyword);
        Some(listen)
    }

    fn listening_place(&mut self, statement: &Statement, default_port: u16) -> Option<Listen> {
        let [address, port, from] =
            ["Address", "Port", "SocketFrom"].map(|name| super::find(statement.block(), name));
        if let Some(from) = from {
            for other in [address, port].into_iter().flatten() {
                let text = format!("{} cannot stand beside SocketFrom", other.row.name);
                let problem = Problem::error(other.keyword, text);
                self.findings.push(problem.note(from.keyword, "which is here"));
            }
            return Some(Listen::Received(self.socket_path(from.text(0)?, from.place(0))));
        }
        let number = match port {
            Some(port) => self.port(port)?,
            None => default_port,
        };
        let Some(address) = address else {
            return Some(Listen::Inet(SocketAddr::from((Ipv6Addr::UNSPECIFIED, number))));
        };
        let (text, place) = (address.text(0)?, address.place(0));
        if text.contains('/') {
            if let Some(port) = port {
                let problem = Problem::error(port.keyword, "a UNIX socket has no port");
                self.findings.push(problem.note(place, "this is the path of one"));
            }
            return Some(Listen::Unix(self.socket_path(text, place)));
        }
        match self.look_up(text, number, Family::Any) {
            Ok(found) => Some(Listen::Inet(found)),
            Err(reason) => {
                self.error(place, format!("cannot look up {text}: {reason}"));
                None
            }
        }
    }
}

/// The group of methods that a listener's `xHTTP` allows, and `WebDAV` and `MSDAV` of 2.0 and 2.1 beside it.
pub(crate) fn methods(block: &[Statement]) -> u8 {
    let sound = || block.iter().filter(|statement| statement.sound);
    let level = |statement: &Statement| match statement.row.name {
        "xHTTP" => statement.number(0).and_then(|level| u8::try_from(level).ok()),
        "WebDAV" => statement.flag().then_some(2),
        "MSDAV" => statement.flag().then_some(3),
        _ => None,
    };
    let last = |name: &str| sound().rfind(|statement| statement.row.name == name).and_then(level);
    ["xHTTP", "WebDAV", "MSDAV"].into_iter().filter_map(last).max().unwrap_or(0)
}
