//! A configuration in a few lines: what differs from what holds when a file says nothing.

mod ahead;
mod rules;

use ounce_conf::built_in_log_format;
use ounce_conf::model::{
    Address, Ahead, Backend, BackendKind, Balancer, Condition, Config, DynamicName, ErrorPage, Families,
    Flavour, Global, HeaderRule, HouseWork, Kind, Listener, LogLine, LogPiece, Networks, Originator, Pattern,
    Protocol, RewriteLocation, Server, Service,
};
use std::fmt::{Debug, Write as _};
use std::time::Duration;

/// The whole configuration.
pub(crate) fn summary(config: &Config, ahead: &Ahead) -> String {
    let mut out = global(&config.global);
    for named in &config.conditions {
        let _ = writeln!(out, "condition {:?} if {}", named.name, condition(&named.condition));
    }
    for listener in &config.listeners {
        self::listener(&mut out, listener);
        for service in &listener.services {
            self::service(&mut out, service, "  ");
        }
    }
    for service in &config.services {
        self::service(&mut out, service, "");
    }
    for tunnel in &ahead.tunnels {
        ahead::tunnel(&mut out, tunnel);
    }
    for (index, feed) in config.feeds.iter().enumerate() {
        let watched = if feed.watched { " watched" } else { "" };
        let _ = writeln!(out, "feed {index} {:?} {:?}{watched}", feed.kind, feed.path);
    }
    if out.is_empty() { "(defaults)\n".to_owned() } else { out }
}

/// Adds ` NAME VALUE` when the value is not the default.
fn add<T: PartialEq + Debug>(out: &mut String, name: &str, value: &T, default: &T) {
    if value != default {
        let _ = write!(out, " {name} {value:?}");
    }
}

fn global(global: &Global) -> String {
    let none = Global::default();
    let mut out = String::new();
    add(&mut out, "user", &global.user, &none.user);
    add(&mut out, "group", &global.group, &none.group);
    add(&mut out, "root_jail", &global.root_jail, &none.root_jail);
    add(&mut out, "daemon", &global.daemon, &none.daemon);
    add(&mut out, "supervisor", &global.supervisor, &none.supervisor);
    add(&mut out, "log_target", &global.log_target, &none.log_target);
    add(&mut out, "log_tag", &global.log_tag, &None);
    add(&mut out, "log_file", &global.log_file, &None);
    add(&mut out, "log_server", &global.log_server, &None);
    add(&mut out, "alive", &global.alive, &none.alive);
    add(&mut out, "watcher_ttl", &global.watcher_ttl, &none.watcher_ttl);
    add(&mut out, "grace", &global.grace, &none.grace);
    add(&mut out, "control", &global.control, &none.control);
    add(&mut out, "pid_file", &global.pid_file, &none.pid_file);
    add(&mut out, "workers", &global.workers, &none.workers);
    add(&mut out, "io_engine", &global.io_engine, &none.io_engine);
    add(&mut out, "ticket_lifetime", &global.ticket_lifetime, &none.ticket_lifetime);
    add(&mut out, "ticket_keys", &global.ticket_keys, &none.ticket_keys);
    add(&mut out, "backend_stats", &global.backend_stats, &none.backend_stats);
    add(&mut out, "anonymise", &global.anonymise, &none.anonymise);
    add(&mut out, "combine_headers", &global.combine_headers, &none.combine_headers);
    originator(&mut out, &global.originator);
    let (resolver, default) = (&global.resolver, &none.resolver);
    add(&mut out, "name_servers", &resolver.servers, &default.servers);
    add(&mut out, "debug", &resolver.debug, &default.debug);
    add(&mut out, "cname_chain", &resolver.cname_chain, &default.cname_chain);
    add(&mut out, "retry", &resolver.retry, &default.retry);
    let mut out = if out.is_empty() { out } else { format!("global{out}\n") };
    for card in &global.cards {
        let _ = writeln!(out, "card {card:?}");
    }
    out
}

fn listener(out: &mut String, listener: &Listener) {
    let _ = write!(out, "listener {:?}", listener.listen);
    add(out, "label", &listener.label, &None);
    add(out, "protocol", &listener.protocol, &Protocol::Http);
    add(out, "methods", &listener.methods, &0);
    add(out, "client", &listener.client, &Duration::from_secs(10));
    add(out, "check_url", &listener.check_url.as_ref().map(pattern), &None);
    add(out, "max_request", &listener.max_request, &None);
    add(out, "max_uri", &listener.max_uri, &None);
    add(out, "line_max", &listener.line_max, &4096);
    add(out, "forwarded", &listener.header_option.forwarded, &true);
    add(out, "ssl", &listener.header_option.ssl, &true);
    add(out, "rewrite_location", &listener.rewrite_location, &RewriteLocation::On);
    add(out, "rewrite_destination", &listener.rewrite_destination, &false);
    add(out, "rewrite_errors", &listener.rewrite_errors, &false);
    originator(out, &listener.originator);
    let level = (0..6).find(|level| built_in_log_format(*level).as_ref() == Some(&listener.log_format));
    let names = ["Null", "Regular", "Extended", "VhostCombined", "Combined", "Detailed"];
    let built_in = level.map_or("", |level| names[level]);
    if !["Regular", ""].contains(&built_in) {
        let _ = write!(out, " log_level {built_in}");
    }
    out.push('\n');
    if let Some(tls) = &listener.tls {
        let _ = writeln!(out, "  {tls:?}");
    }
    if level.is_none() {
        let _ = writeln!(
            out,
            "  log_format {:?} {}",
            listener.log_format.name,
            log_line(&listener.log_format.line)
        );
    }
    for (code, page) in &listener.error_pages {
        let _ = writeln!(out, "  page {code} {}", self::page(page));
    }
    for rule in &listener.header_rules {
        let _ = match rule {
            HeaderRule::Set { name, value } => writeln!(out, "  set {name:?} to {value:?}"),
            HeaderRule::Delete(lines) => writeln!(out, "  delete {}", pattern(lines)),
        };
    }
    rules::rules(out, "request", &listener.request_rules, "  ");
    rules::rules(out, "response", &listener.response_rules, "  ");
}

fn originator(out: &mut String, originator: &Originator) {
    add(out, "header", &originator.header, &None);
    if let Some(trusted) = &originator.trusted {
        let _ = write!(out, " trusted [{}]", networks(trusted));
    }
}

fn log_line(line: &LogLine) -> String {
    let parts: Vec<String> = match line {
        LogLine::Text(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                LogPiece::Text(text) => format!("{text:?}"),
                LogPiece::Field(field) => format!("{field:?}"),
            })
            .collect(),
        LogLine::Json(members) => {
            members.iter().map(|(name, field)| format!("{name:?}: {field:?}")).collect()
        }
    };
    parts.join(" ")
}

fn service(out: &mut String, service: &Service, indent: &str) {
    let _ = write!(out, "{indent}service");
    add(out, "label", &service.name.label, &None);
    add(out, "disabled", &service.disabled, &false);
    add(out, "fall_through", &service.fall_through, &false);
    add(out, "rewrite_errors", &service.rewrite_errors, &None);
    originator(out, &service.originator);
    add(out, "log_suppress", &service.log_suppress, &Vec::new());
    add(out, "balancer", &service.balancer, &Balancer::Random);
    add(out, "dyn_scale", &service.dyn_scale, &false);
    if let Some(session) = &service.session {
        let ttl = session.ttl.map_or("hashed".to_owned(), |ttl| format!("{ttl:?}"));
        let _ = write!(out, " session {:?} {ttl}", session.kind);
    }
    match &service.condition {
        Condition::All(all) if all.is_empty() => {}
        condition => {
            let _ = write!(out, " if {}", self::condition(condition));
        }
    }
    out.push('\n');
    let inside = format!("{indent}  ");
    rules::rules(out, "request", &service.request_rules, &inside);
    rules::rules(out, "response", &service.response_rules, &inside);
    for backend in &service.backends {
        let _ = writeln!(out, "{indent}  {}", self::backend(backend));
    }
    for backend in &service.emergency {
        let _ = writeln!(out, "{indent}  emergency {}", self::backend(backend));
    }
}

fn backend(backend: &Backend) -> String {
    let mut out = match &backend.kind {
        BackendKind::Server(server) => {
            let mut out = self::server(server);
            add(&mut out, "priority", &backend.priority, &5);
            out
        }
        BackendKind::Redirect { code, url } => format!("redirect {code} {url:?}"),
        BackendKind::Success => "success".to_owned(),
        BackendKind::House { work, timeout } => {
            let mut out = match work {
                HouseWork::Metrics => "metrics".to_owned(),
                HouseWork::Control => "control".to_owned(),
                HouseWork::SendFile(path) => format!("files of {path:?}"),
                HouseWork::Acme(path) => format!("challenges of {path:?}"),
            };
            add(&mut out, "timeout", timeout, &Duration::from_secs(15));
            out
        }
        BackendKind::Error { code, page } => {
            format!("error {code} {}", page.as_ref().map(self::page).unwrap_or_default())
                .trim_end()
                .to_owned()
        }
    };
    add(&mut out, "label", &backend.label, &None);
    add(&mut out, "disabled", &backend.disabled, &false);
    out
}

fn server(server: &Server) -> String {
    let mut out = match &server.address {
        Address::Inet(address) => format!("server {address}"),
        Address::Unix(path) => format!("server {path:?}"),
        Address::Name(name) => dynamic(name),
    };
    add(&mut out, "timeout", &server.timeout, &Duration::from_secs(15));
    add(&mut out, "connect", &server.connect_timeout, &Duration::from_secs(15));
    add(&mut out, "websocket", &server.ws_timeout, &Duration::from_secs(600));
    add(&mut out, "server_name", &server.server_name, &None);
    add(&mut out, "ha_port", &server.ha_port, &None);
    add(&mut out, "tls", &server.tls, &None);
    out
}

fn dynamic(name: &DynamicName) -> String {
    let mut out = format!("{:?} {}:{}", name.mode, name.host, name.port).to_lowercase();
    add(&mut out, "family", &name.family, &Families::Any);
    add(&mut out, "retry", &name.retry, &None);
    add(&mut out, "ttl", &name.override_ttl, &None);
    add(&mut out, "ignore_weight", &name.ignore_weight, &false);
    out
}

fn page(page: &ErrorPage) -> String {
    format!("{:?} {:?}", page.header_lines, String::from_utf8_lossy(&page.body))
}

fn condition(condition: &Condition) -> String {
    let group = |all: &[Condition], word: &str| {
        let parts: Vec<String> = all.iter().map(self::condition).collect();
        match parts.as_slice() {
            [only] => only.clone(),
            _ => format!("({})", parts.join(word)),
        }
    };
    match condition {
        Condition::All(all) => group(all, " and "),
        Condition::Any(all) => group(all, " or "),
        Condition::Not(inner) => format!("not {}", self::condition(inner)),
        Condition::Url(text) => format!("url {}", pattern(text)),
        Condition::Path(text) => format!("path {}", pattern(text)),
        Condition::Query(text) => format!("query {}", pattern(text)),
        Condition::QueryParam { name, pattern: text } => format!("param {name:?} {}", pattern(text)),
        Condition::HeaderLine(text) => format!("header {}", pattern(text)),
        Condition::HeaderValue { name, pattern: text } => format!("header {name:?} {}", pattern(text)),
        Condition::Host(text) => format!("host {}", pattern(text)),
        Condition::Method(text) => format!("method {}", pattern(text)),
        Condition::StringMatch { subject, pattern: text } => format!("text {subject:?} {}", pattern(text)),
        Condition::Eval { name, index } => format!("condition {index} {name:?}"),
        Condition::ClientCertificate(pem) => format!("client certificate of {} letters", pem.len()),
        Condition::Acl(list) => format!("peer in [{}]", networks(list)),
        Condition::BasicAuth(feed) => format!("user of feed {}", feed.index),
        Condition::Tokens { key, limit } => {
            format!("tokens of {key:?}: {} in {} us, {} at once", limit.tokens, limit.period_us, limit.burst)
        }
        Condition::Patterns { feed, of } => format!("any of feed {}: {}", feed.index, self::condition(of)),
        Condition::Forwarded(list) => format!("originator in [{}]", networks(list)),
    }
}

fn networks(networks: &Networks) -> String {
    match networks {
        Networks::Listed(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Networks::Feed(feed) => format!("feed {}", feed.index),
    }
}

fn pattern(pattern: &Pattern) -> String {
    let kind = match pattern.kind {
        Kind::Exact => "is",
        Kind::Prefix => "begins",
        Kind::Suffix => "ends",
        Kind::Contain => "contains",
        Kind::Regex(Flavour::Posix) => "~",
        Kind::Regex(Flavour::Pcre) => "~pcre",
    };
    let case = if pattern.ignore_case { " icase" } else { "" };
    let mut out = format!("{kind} {:?}{case}", pattern.text);
    add(&mut out, "tag", &pattern.tag, &None);
    add(&mut out, "decoded", &pattern.decode, &false);
    out
}
