//! Names under which listeners, services and backends keep their rows of the shared segment over reloads.
//!
//! A row holds health, switches, statistics and sessions. Its name must not change when something else in
//! the file does: labels are preferred to numbers, and where there is no label, content to position. Equal
//! content is told apart by a number, in file order.

use ounce_conf::model::{
    Address, Backend, BackendKind, Condition, DynamicName, HouseWork, Kind, Listen, Listener, Networks,
    Service, TokenLimit,
};
use std::collections::HashMap;
use std::fmt::Write;

/// Hands out names and numbers the repeated ones.
#[derive(Default)]
pub(crate) struct Identities {
    seen: HashMap<String, u32>,
}

impl Identities {
    /// The name of a listener: its protocol-independent address, since that is what clients know it by.
    pub(crate) fn listener(&mut self, listener: &Listener) -> String {
        let name = match &listener.listen {
            Listen::Inet(address) => format!("listener {address}"),
            Listen::Unix(path) => format!("listener unix {path:?}"),
            Listen::Received(path) => format!("listener from {path:?}"),
        };
        self.unique(name)
    }

    /// The name of a service of `listener`, which is the label or else the name of a listener, or of a
    /// global service.
    pub(crate) fn service(&mut self, listener: Option<&str>, service: &Service) -> String {
        let mut name = match listener {
            Some(listener) => format!("service in {listener:?} "),
            None => "service ".to_owned(),
        };
        match &service.name.label {
            Some(label) => _ = write!(name, "{label:?}"),
            None => condition(&service.condition, &mut name),
        }
        self.unique(name)
    }

    /// The name of a backend of the service named `service`. Weight and time limits may change.
    pub(crate) fn backend(&mut self, service: &str, backend: &Backend) -> String {
        let name = match &backend.kind {
            BackendKind::Server(server) => match &server.address {
                Address::Inet(address) => format!("server {address} of {service:?}"),
                Address::Unix(path) => format!("server unix {path:?} of {service:?}"),
                // What is known of the name's addresses is of use to the same question only.
                Address::Name(name) => {
                    let DynamicName { host, port, mode, family, .. } = &**name;
                    format!("name {host:?} {port} {mode:?} {family:?} of {service:?}")
                }
            },
            BackendKind::Redirect { code, url } => format!("redirect {code} {url:?} of {service:?}"),
            BackendKind::Success => format!("success of {service:?}"),
            BackendKind::House { work, .. } => match work {
                HouseWork::Metrics => format!("metrics of {service:?}"),
                HouseWork::Control => format!("control of {service:?}"),
                HouseWork::SendFile(path) => format!("files {path:?} of {service:?}"),
                HouseWork::Acme(path) => format!("challenges {path:?} of {service:?}"),
            },
            BackendKind::Error { code, .. } => format!("error {code} of {service:?}"),
        };
        self.unique(name)
    }

    /// The name of a limit, by which its buckets are known.
    pub(crate) fn tokens(&mut self, key: &str, limit: &TokenLimit) -> String {
        self.unique(tokens(key, limit))
    }

    fn unique(&mut self, mut name: String) -> String {
        let count = self.seen.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            _ = write!(name, " #{count}");
        }
        name
    }
}

/// Writes a condition so that equal conditions, and no others, are written alike.
fn condition(condition: &Condition, out: &mut String) {
    match condition {
        Condition::All(all) => list("all", all, out),
        Condition::Any(any) => list("any", any, out),
        Condition::Not(inner) => list("not", std::slice::from_ref(inner), out),
        Condition::Url(one) => pattern("url", "", one, out),
        Condition::Path(one) => pattern("path", "", one, out),
        Condition::Query(one) => pattern("query", "", one, out),
        Condition::QueryParam { name, pattern: one } => pattern("param", name, one, out),
        Condition::HeaderLine(one) => pattern("line", "", one, out),
        Condition::HeaderValue { name, pattern: one } => pattern("header", name, one, out),
        Condition::Host(one) => pattern("host", "", one, out),
        Condition::Method(one) => pattern("method", "", one, out),
        Condition::StringMatch { subject, pattern: one } => pattern("text", subject, one, out),
        Condition::Eval { name, .. } => _ = write!(out, "eval {name:?}"),
        Condition::ClientCertificate(pem) => _ = write!(out, "certificate{pem}"),
        Condition::Acl(of) => networks("acl", of, out),
        Condition::Forwarded(of) => networks("forwarded", of, out),
        Condition::Tokens { key, limit } => _ = write!(out, "{}", tokens(key, limit)),
        Condition::BasicAuth(feed) => _ = write!(out, "user in {:?}", feed.path),
        Condition::Patterns { feed, of } => {
            _ = write!(out, "in {:?} ", feed.path);
            self::condition(of, out);
        }
    }
}

fn tokens(key: &str, limit: &TokenLimit) -> String {
    let TokenLimit { tokens, period_us, burst } = limit;
    format!("tokens {key:?} {tokens}/{period_us} {burst}")
}

fn list(word: &str, conditions: &[impl std::borrow::Borrow<Condition>], out: &mut String) {
    _ = write!(out, "{word}(");
    for inner in conditions {
        condition(inner.borrow(), out);
        out.push(',');
    }
    out.push(')');
}

fn networks(word: &str, networks: &Networks, out: &mut String) {
    _ = match networks {
        Networks::Listed(list) => write!(out, "{word}{list:?}"),
        Networks::Feed(feed) => write!(out, "{word} in {:?}", feed.path),
    };
}

fn pattern(word: &str, name: &str, pattern: &ounce_conf::model::Pattern, out: &mut String) {
    let kind = match pattern.kind {
        Kind::Exact => "exact",
        Kind::Prefix => "prefix",
        Kind::Suffix => "suffix",
        Kind::Contain => "contain",
        Kind::Regex(ounce_conf::model::Flavour::Posix) => "posix",
        Kind::Regex(ounce_conf::model::Flavour::Pcre) => "pcre",
    };
    let case = if pattern.ignore_case { "i" } else { "" };
    _ = write!(out, "{word} {name:?} {kind}{case} {:?}", pattern.text);
    // What a pattern is called changes nothing; what it looks at does.
    if pattern.decode {
        out.push_str(" decoded");
    }
}
