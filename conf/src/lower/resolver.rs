//! Names that are looked up while the program runs: `Resolver`, and what backends say of theirs.

use super::Lowering;
use super::address::Family;
use crate::model::{Address, DynamicName, Families, NameServers, ResolveMode, Resolver};
use crate::resolv_conf;
use crate::source::{self, Span};
use crate::tree::{Inner, Statement};
use std::net::IpAddr;

/// Bytes of a host name, and of one of its labels (RFC 1035 2.3.4).
const NAME_BYTES_MAX: (usize, usize) = (253, 63);

/// What a backend says of how its name is looked up.
#[derive(Default)]
pub(super) struct Lookup<'a> {
    pub(super) resolve: Option<&'a Statement>,
    pub(super) family: Option<&'a Statement>,
    pub(super) retry: Option<&'a Statement>,
    pub(super) override_ttl: Option<&'a Statement>,
    pub(super) ignore_weight: Option<&'a Statement>,
}

impl<'a> Lookup<'a> {
    /// Takes a statement; false if it is about something else.
    pub(super) fn take(&mut self, statement: &'a Statement) -> bool {
        let field = match statement.row.name {
            "Resolve" => &mut self.resolve,
            "Family" => &mut self.family,
            "RetryInterval" => &mut self.retry,
            "OverrideTTL" => &mut self.override_ttl,
            "IgnoreSRVWeight" => &mut self.ignore_weight,
            _ => return false,
        };
        *field = Some(statement);
        true
    }

    /// The family that is asked for.
    pub(super) fn family(&self) -> Family {
        match self.family.and_then(|family| family.word(0)) {
            Some(1) => Family::Inet,
            Some(2) => Family::Inet6,
            Some(3) => Family::Unix,
            _ => Family::Any,
        }
    }

    fn mode(&self) -> Option<ResolveMode> {
        match self.resolve.and_then(|resolve| resolve.word(0)) {
            Some(1) => Some(ResolveMode::First),
            Some(2) => Some(ResolveMode::All),
            Some(3) => Some(ResolveMode::Srv),
            _ => None,
        }
    }
}

impl Lowering<'_> {
    /// `Resolver`.
    pub(super) fn resolver(&mut self, statement: &Statement, resolver: &mut Resolver) {
        for inner in self.meant(statement.block()) {
            match inner.row.name {
                "ConfigFile" => resolver.servers = self.name_servers_of_file(inner),
                "ConfigText" => {
                    let Inner::Raw(span) = inner.inner else { continue };
                    let text = self.sources.text(span.file);
                    let text = text.get(span.start as usize..span.end as usize).unwrap_or("").to_owned();
                    let (servers, faults) = resolv_conf::parse(&text);
                    for (place, fault) in faults {
                        let at = |offset: usize| span.start.saturating_add(offset as u32);
                        let place = Span { start: at(place.start), end: at(place.end), ..span };
                        self.error(place, fault);
                    }
                    resolver.servers = Some(servers);
                }
                "Debug" => resolver.debug = inner.flag(),
                "CNAMEChain" => {
                    let count = inner.number(0).and_then(|count| u8::try_from(count).ok());
                    resolver.cname_chain = count.unwrap_or(resolver.cname_chain);
                }
                "RetryInterval" => resolver.retry = inner.time(),
                _ => {}
            }
        }
    }

    fn name_servers_of_file(&mut self, statement: &Statement) -> Option<NameServers> {
        let (path, place) = (statement.file(0)?, statement.place(0));
        let text = match source::read_regular(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                let reason = source::reason(&error);
                self.error(place, format!("cannot read {}: {reason}", path.display()));
                return None;
            }
        };
        let (servers, faults) = resolv_conf::parse(&text);
        for (at, fault) in faults {
            let line = text.get(..at.start).unwrap_or("").lines().count().max(1);
            self.error(place, format!("{}:{line}: {fault}", path.display()));
        }
        Some(servers)
    }

    /// The address of a backend that is looked up while the program runs; none if this one is not, or cannot be, which is
    /// reported.
    pub(super) fn dynamic_address(
        &mut self,
        address: &Statement,
        port: u16,
        lookup: &Lookup<'_>,
    ) -> Option<Address> {
        let (text, place) = (address.text(0)?, address.place(0));
        let Some(mode) = lookup.mode() else {
            for statement in [lookup.retry, lookup.override_ttl, lookup.ignore_weight].into_iter().flatten() {
                let name = statement.row.name;
                self.warn(
                    statement.keyword,
                    format!("{name} has no effect without Resolve first, all or srv"),
                );
            }
            return None;
        };
        if let Some(weight) = lookup.ignore_weight.filter(|_| mode != ResolveMode::Srv) {
            self.warn(weight.keyword, "IgnoreSRVWeight has no effect without Resolve srv");
        }
        let digits = text.parse::<IpAddr>().is_ok();
        if mode == ResolveMode::Srv && (digits || text.contains('/')) {
            self.error(place, format!("{text} is no name that could have SRV records"));
            return None;
        }
        if digits || text.contains('/') {
            self.warn(place, format!("{text} is no name: it is not looked up"));
            return None;
        }
        let family = match (lookup.family(), lookup.family) {
            (Family::Any, _) => Families::Any,
            (Family::Inet, _) => Families::Inet,
            (Family::Inet6, _) => Families::Inet6,
            (Family::Unix, family) => {
                let place = family.map_or(place, |family| family.place(0));
                self.error(place, "name servers know no UNIX sockets");
                Families::Any
            }
        };
        if !is_host(text) {
            self.error(place, format!("\"{text}\" cannot be the name of a host"));
            return None;
        }
        Some(Address::Name(Box::new(DynamicName {
            host: text.strip_suffix('.').unwrap_or(text).to_owned(),
            port,
            mode,
            family,
            retry: lookup.retry.map(Statement::time),
            override_ttl: lookup.override_ttl.map(Statement::time),
            ignore_weight: lookup.ignore_weight.is_some_and(Statement::flag),
        })))
    }
}

/// Whether a name server can be asked for it. Labels of services begin with an underscore.
fn is_host(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        (1..=NAME_BYTES_MAX.1).contains(&label.len()) && label.chars().all(good)
    };
    text.len() <= NAME_BYTES_MAX.0 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_have_labels_of_a_length() {
        for name in ["a", "a.example.", "_http._tcp.a-b.example", "b\u{fc}cher.example", &"a.".repeat(126)] {
            assert!(is_host(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in ["", ".", "a..b", "a b", "a:b", "*.example", &long, &"a.".repeat(128)] {
            assert!(!is_host(name), "{name}");
        }
    }
}
