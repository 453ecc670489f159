//! Backends: servers, redirects, errors; named ones and their uses.

use super::address::Family;
use super::resolver::Lookup;
use super::{Lowering, Seat};
use crate::diag::Problem;
use crate::model::{Address, Backend, BackendKind, Config, Server};
use crate::source::Span;
use crate::suggest;
use crate::tree::Statement;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Weight of a server that gives none.
const PRIORITY: u16 = 5;

/// Weight of an answer that is made here.
pub(super) const PRIORITY_OWN: u16 = 1;

/// Every limit of an emergency backend that gives none of its own, whatever the global ones say.
const EMERGENCY_LIMIT: Duration = Duration::from_secs(120);

/// Global backends, which services may use before they stand in the file.
pub(super) struct Named {
    /// All names of the file, known from the start.
    names: HashMap<String, Span>,
    backends: HashMap<String, Backend>,
    uses: Vec<Use>,
}

/// A place in a service that a named backend belongs in.
struct Use {
    seat: Seat,
    position: usize,
    name: String,
    priority: Option<u16>,
    disabled: Option<bool>,
}

impl Named {
    pub(super) fn new(tree: &[Statement]) -> Named {
        let named = tree.iter().filter(|statement| statement.row.name == "Backend");
        let names = named.filter_map(|s| Some((s.text(0)?.to_owned(), s.place(0)))).collect();
        Named { names, backends: HashMap::new(), uses: Vec::new() }
    }
}

/// The limits that hold where a backend gives none.
#[derive(Clone, Copy)]
struct Limits {
    timeout: Duration,
    ws_timeout: Duration,
    connect_timeout: Duration,
}

impl Lowering<'_> {
    /// `Backend "name"` of the global scope.
    pub(super) fn named_backend(&mut self, statement: &Statement) {
        let backend = self.server(statement, self.limits());
        let Some(name) = statement.text(0) else { return };
        if self.backends.backends.contains_key(name) {
            self.error(statement.place(0), format!("a second global Backend \"{name}\""));
            return;
        }
        if let Some(backend) = backend {
            self.backends.backends.insert(name.to_owned(), backend);
        }
    }

    /// `Backend` of a service: its own, or with the name of a global one or with `Use` that one.
    pub(super) fn service_backend(
        &mut self,
        statement: &Statement,
        seat: Seat,
        position: usize,
    ) -> Option<Backend> {
        let global = statement.text(0).filter(|name| self.backends.names.contains_key(*name));
        let used = super::find(statement.block(), "Use").filter(|used| used.sound);
        let Some(name) = global.or_else(|| used?.text(0)) else {
            return self.server(statement, self.limits());
        };
        if let Some(used) = used
            && !self.is_global(used)
        {
            return None;
        }
        let mut change = Use { seat, position, name: name.to_owned(), priority: None, disabled: None };
        for inner in self.meant(statement.block()) {
            match inner.row.name {
                "Use" if global.is_none() => {}
                "Priority" => change.priority = Some(self.priority(inner)),
                "Disabled" => change.disabled = Some(inner.flag()),
                other => {
                    let text = format!("{other} cannot stand here: this is the global backend \"{name}\"");
                    let place = self.backends.names.get(name).copied().unwrap_or(statement.keyword);
                    let problem = Problem::error(inner.keyword, text).expected("Priority, Disabled or End");
                    self.findings.push(problem.note(place, "which is defined here"));
                }
            }
        }
        self.backends.uses.push(change);
        Some(stand_in())
    }

    /// `UseBackend`.
    pub(super) fn used_backend(
        &mut self,
        statement: &Statement,
        seat: Seat,
        position: usize,
    ) -> Option<Backend> {
        if !self.is_global(statement) {
            return None;
        }
        let name = statement.text(0)?.to_owned();
        self.backends.uses.push(Use { seat, position, name, priority: None, disabled: None });
        Some(stand_in())
    }

    /// Whether there is a global backend of the name that a statement gives; it is reported if not.
    fn is_global(&mut self, statement: &Statement) -> bool {
        let name = statement.text(0).unwrap_or_default();
        if self.backends.names.contains_key(name) {
            return true;
        }
        let names = self.backends.names.keys().map(String::as_str);
        let mut problem =
            Problem::error(statement.place(0), format!("no global Backend is named \"{name}\""));
        if let Some(near) = suggest::nearest(name, names) {
            problem = problem.help(format!("did you mean \"{near}\"?"));
        }
        self.findings.push(problem);
        false
    }

    /// Puts named backends where they are used.
    pub(super) fn use_named_backends(&mut self, config: &mut Config) {
        for change in std::mem::take(&mut self.backends.uses) {
            let (listener, service) = change.seat;
            let services = match listener {
                None => Some(&mut config.services),
                Some(index) => config.listeners.get_mut(index).map(|listener| &mut listener.services),
            };
            let backend = services
                .and_then(|services| services.get_mut(service))
                .and_then(|service| service.backends.get_mut(change.position));
            // A named backend that is not there was wrong itself, which is reported at its place.
            if let (Some(backend), Some(named)) = (backend, self.backends.backends.get(&change.name)) {
                *backend = named.clone();
                backend.priority = change.priority.unwrap_or(named.priority);
                backend.disabled = change.disabled.unwrap_or(named.disabled);
            }
        }
    }

    /// `Emergency` of a service.
    pub(super) fn emergency(&mut self, statement: &Statement) -> Option<Backend> {
        let (timeout, ws_timeout, connect_timeout) = (EMERGENCY_LIMIT, EMERGENCY_LIMIT, EMERGENCY_LIMIT);
        self.server(statement, Limits { timeout, ws_timeout, connect_timeout })
    }

    /// `Backend` of a tunnel.
    pub(super) fn plain_server(&mut self, statement: &Statement) -> Option<Backend> {
        self.server(statement, self.limits())
    }

    fn limits(&self) -> Limits {
        Limits {
            timeout: self.defaults.timeout,
            ws_timeout: self.defaults.ws_timeout,
            connect_timeout: self.defaults.connect_timeout,
        }
    }

    /// A server; none when it has no usable address, which is reported.
    fn server(&mut self, statement: &Statement, limits: Limits) -> Option<Backend> {
        let (mut priority, mut disabled, mut lookup) = (PRIORITY, false, Lookup::default());
        let (mut address, mut port, mut ha_port) = (None, None, None);
        let Limits { mut timeout, mut ws_timeout, mut connect_timeout } = limits;
        let block = statement.block();
        let meant = self.meant(block);
        let (tls, server_name) = self.server_tls(&meant);
        for inner in meant {
            match inner.row.name {
                "Use" => {
                    let text = "Use stands in a backend of a service only, which is neither global nor for emergencies";
                    self.error(inner.keyword, text);
                    return None;
                }
                "Address" => address = Some(inner),
                "Port" => port = Some(inner),
                "HAport" => ha_port = Some(inner),
                "Priority" => priority = self.priority(inner),
                "TimeOut" => timeout = inner.time(),
                "WSTimeOut" => ws_timeout = inner.time(),
                "ConnTO" => connect_timeout = inner.time(),
                "Disabled" => disabled = inner.flag(),
                _ => _ = lookup.take(inner),
            }
        }
        let Some(address) = address else {
            if super::find(block, "Address").or(super::find(block, "Use")).is_none() {
                let problem =
                    Problem::error(statement.keyword, format!("{} has no Address", statement.row.name));
                self.findings.push(problem.expected("Address in this section"));
            }
            return None;
        };
        let default_port = if tls.is_some() { 443 } else { 80 };
        let number = match port {
            Some(port) => self.port(port)?,
            None => default_port,
        };
        let found = self.findings.errors();
        let address = match self.dynamic_address(address, number, &lookup) {
            Some(address) => address,
            None if self.findings.errors() > found => return None,
            None => self.server_address(address, port, number, lookup.family())?,
        };
        let ha_port = ha_port.and_then(|ha_port| self.ha_port(ha_port, &address));
        let server = Server { address, timeout, ws_timeout, connect_timeout, tls, server_name, ha_port };
        let label = statement.text(0).map(str::to_owned);
        let kind = BackendKind::Server(server);
        Some(Backend { label, kind, priority, disabled, locus: self.locus(statement) })
    }

    fn server_address(
        &mut self,
        address: &Statement,
        port: Option<&Statement>,
        number: u16,
        family: Family,
    ) -> Option<Address> {
        let (text, place) = (address.text(0)?, address.place(0));
        let path = text.contains('/') || family == Family::Unix;
        if !path {
            match (self.look_up(text, number, family), port) {
                (Ok(found), _) => return Some(Address::Inet(found)),
                (Err(reason), Some(_)) => {
                    self.error(place, format!("cannot look up {text}: {reason}"));
                    return None;
                }
                // Pound takes what it cannot look up for a socket. Without a port that may be meant.
                (Err(reason), None) => {
                    let text = format!("{text} is taken for the path of a UNIX socket: {reason}");
                    self.warn(place, text);
                }
            }
        }
        if let Some(port) = port {
            let problem = Problem::error(port.keyword, "a UNIX socket has no port");
            self.findings.push(problem.note(place, "this is the path of one"));
        }
        Some(Address::Unix(self.socket_path(text, place)))
    }

    /// `HAport [ADDRESS] PORT`: without an address, one of the backend's.
    fn ha_port(&mut self, statement: &Statement, backend: &Address) -> Option<SocketAddr> {
        let port = self.port(statement)?;
        match (statement.text(0), backend) {
            (None, Address::Inet(address)) => Some(SocketAddr::new(address.ip(), port)),
            (None, Address::Unix(_)) => {
                let problem = Problem::error(statement.keyword, "a UNIX socket has no other port");
                self.findings.push(problem.expected("HAport with an address and a port"));
                None
            }
            (None, Address::Name(_)) => {
                let problem =
                    Problem::error(statement.keyword, "a name that is looked up has no one address");
                self.findings.push(problem.expected("HAport with an address and a port"));
                None
            }
            (Some(name), _) => match self.look_up(name, port, Family::Any) {
                Ok(address) => Some(address),
                Err(reason) => {
                    self.error(statement.place(0), format!("cannot look up {name}: {reason}"));
                    None
                }
            },
        }
    }

    fn priority(&mut self, statement: &Statement) -> u16 {
        let priority = statement.number(0).and_then(|n| u16::try_from(n).ok()).unwrap_or(PRIORITY);
        if priority == 0 {
            // Pound 4.6 counted from 0 and gave a backend its priority and one more.
            self.warn(
                statement.place(0),
                "Priority 0 is taken for 1; to use a backend never, write Disabled yes",
            );
        }
        priority.max(1)
    }

    /// `Redirect` of a service.
    pub(super) fn redirect(&mut self, statement: &Statement) -> Option<Backend> {
        let code = statement.number(0).and_then(|n| u16::try_from(n).ok()).unwrap_or(302);
        let (url, place) = (statement.text(1)?, statement.place(1));
        if url.chars().any(char::is_control) || !names_host(url) {
            let problem = Problem::error(place, format!("\"{url}\" is no URL to redirect to"));
            self.findings.push(problem.expected("http:// or https:// and a host"));
            return None;
        }
        let url = self.expansions(url, place)?;
        let kind = BackendKind::Redirect { code, url };
        Some(Backend {
            label: None,
            kind,
            priority: PRIORITY_OWN,
            disabled: false,
            locus: self.locus(statement),
        })
    }

    /// `Success` of a service.
    pub(super) fn success(&mut self, statement: &Statement) -> Backend {
        Backend {
            label: None,
            kind: BackendKind::Success,
            priority: PRIORITY_OWN,
            disabled: false,
            locus: self.locus(statement),
        }
    }

    /// `Error` of a service.
    pub(super) fn error_backend(&mut self, statement: &Statement) -> Option<Backend> {
        let code = statement.number(0).and_then(|n| u16::try_from(n).ok())?;
        let page = match statement.file(1) {
            Some(path) => Some(self.error_page(path, statement.place(1))?),
            None => None,
        };
        let kind = BackendKind::Error { code, page };
        Some(Backend {
            label: None,
            kind,
            priority: PRIORITY_OWN,
            disabled: false,
            locus: self.locus(statement),
        })
    }
}

/// Whether a text starts with `http://` or `https://` and something that can be a host.
fn names_host(url: &str) -> bool {
    let after = ["http://", "https://"].iter().find_map(|scheme| {
        let head = url.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
    });
    after.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']))
}

/// Keeps a place in a service until the global backend that belongs there is known.
fn stand_in() -> Backend {
    let server = Server {
        address: Address::Inet(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        timeout: Duration::ZERO,
        ws_timeout: Duration::ZERO,
        connect_timeout: Duration::ZERO,
        tls: None,
        server_name: None,
        ha_port: None,
    };
    Backend {
        label: None,
        kind: BackendKind::Server(server),
        priority: PRIORITY,
        disabled: true,
        locus: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_need_a_scheme_and_a_host() {
        for url in ["http://a", "HTTPS://a/b?c", "http://[::1]:8080/", "https://%[header X]"] {
            assert!(names_host(url), "{url}");
        }
        for url in ["", "a", "/a", "http://", "http:///a", "https://?q", "ftp://a", "hé"] {
            assert!(!names_host(url), "{url}");
        }
    }
}
