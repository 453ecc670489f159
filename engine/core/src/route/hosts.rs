//! Which services can match a host at all: a listener with hundreds of name-based services asks a few.

use super::expand::split_port;
use super::plan::ServiceIx;
use ounce_conf::model::{Condition, Kind};
use std::collections::{BTreeMap, HashMap};

/// Listeners with fewer services are searched in order.
const SERVICES_MIN: usize = 8;

/// Longest host name that is looked up; longer ones (no DNS name is) find the services for any host.
const HOST_BYTES_MAX: usize = 255;

/// Candidates by host name.
///
/// Each list is in matching order and holds the services that ask for this host and those that do not ask
/// for any; conditions are still evaluated in full.
#[derive(Debug)]
pub(crate) struct HostIndex {
    /// By name without port, in lower case.
    by_name: HashMap<Box<[u8]>, Vec<ServiceIx>>,
    /// The services that may match any host.
    open: Vec<ServiceIx>,
}

impl HostIndex {
    /// Builds the index over services in matching order, unless it would not help.
    pub(crate) fn build(services: &[(ServiceIx, &Condition)]) -> Option<HostIndex> {
        let names: Vec<Option<Vec<Box<[u8]>>>> =
            services.iter().map(|(_, condition)| names(condition)).collect();
        if names.iter().flatten().count() < SERVICES_MIN {
            return None;
        }
        let mut wanted: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        let mut open = Vec::new();
        for (position, names) in names.iter().enumerate() {
            match names {
                None => open.push(position),
                Some(names) => {
                    for name in names {
                        let list = wanted.entry(name).or_default();
                        if list.last() != Some(&position) {
                            list.push(position);
                        }
                    }
                }
            }
        }
        let services_of =
            |positions: &[usize]| positions.iter().map(|&position| services[position].0).collect();
        let by_name = wanted
            .into_iter()
            .map(|(name, mut positions)| {
                positions.extend_from_slice(&open);
                positions.sort_unstable();
                (name.into(), services_of(&positions))
            })
            .collect();
        Some(HostIndex { by_name, open: services_of(&open) })
    }

    /// The services that a request for `host` may match, in order.
    pub(crate) fn candidates(&self, host: Option<&[u8]>) -> &[ServiceIx] {
        let Some(host) = host else { return &self.open };
        let name = split_port(host).0;
        let mut lower = [0; HOST_BYTES_MAX];
        let Some(lower) = lower.get_mut(..name.len()) else { return &self.open };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).unwrap_or(&self.open)
    }
}

/// The hosts that a request must name for the condition to hold; `None` if it may name any.
fn names(condition: &Condition) -> Option<Vec<Box<[u8]>>> {
    match condition {
        Condition::Host(pattern) if pattern.kind == Kind::Exact => {
            let name = split_port(pattern.text.as_bytes()).0.to_ascii_lowercase();
            // A name too long to be looked up stays with the services for any host.
            (name.len() <= HOST_BYTES_MAX).then(|| vec![name.into()])
        }
        Condition::All(all) => all.iter().find_map(names),
        Condition::Any(any) if !any.is_empty() => {
            let each: Option<Vec<_>> = any.iter().map(names).collect();
            each.map(|lists| lists.into_iter().flatten().collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::captures::Captures;
    use crate::route::matcher::select;
    use crate::route::plan::Plan;
    use crate::route::sample::{Sample, config, host, listener, plan, posix, service};
    use ounce_conf::model::Service;

    /// Twenty named services among services for any host and for several.
    fn services() -> Vec<Service> {
        let mut services: Vec<Service> = (0..20)
            .map(|number| {
                let name = format!("h{number}.example");
                service(Some(&name), vec![Condition::Method(posix("GET")), host(&name)], Vec::new())
            })
            .collect();
        services.insert(5, service(Some("early"), vec![Condition::Path(posix("^/early"))], Vec::new()));
        let both = Condition::Any(vec![host("h7.example"), host("port.example:8080")]);
        services.insert(0, service(Some("both"), vec![both, Condition::Path(posix("^/both"))], Vec::new()));
        services.push(service(Some("rest"), Vec::new(), Vec::new()));
        services
    }

    fn name<'p>(plan: &'p Plan, host: &str, path: &str) -> Option<&'p str> {
        let line = format!("Host: {host}");
        let sample = if host.is_empty() { Sample::get(path, &[]) } else { Sample::get(path, &[&line]) };
        let ix = select(plan, 0, &sample.request(), &|_| false, &mut Captures::new())?;
        Some(&plan.service(ix).name)
    }

    /// The index may only leave out what cannot match.
    #[test]
    fn the_index_selects_what_a_search_in_order_selects() {
        let indexed = plan(&config(vec![listener("127.0.0.1:80", services())], Vec::new()));
        assert!(indexed.listeners[0].hosts.is_some());
        let mut searched = plan(&config(vec![listener("127.0.0.1:80", services())], Vec::new()));
        searched.listeners[0].hosts = None;
        let hosts =
            ["", "h0.example", "H7.EXAMPLE:99", "h19.example", "port.example:8080", "port.example", "x.y"];
        for host in hosts {
            for path in ["/", "/early", "/both"] {
                assert_eq!(name(&indexed, host, path), name(&searched, host, path), "{host} {path}");
            }
        }
        assert_eq!(name(&indexed, "H7.EXAMPLE:99", "/both"), Some("both"));
        assert_eq!(name(&indexed, "h19.example", "/early"), Some("early"));
        assert_eq!(name(&indexed, "h3.example", "/early"), Some("h3.example"), "file order decides");
        assert_eq!(name(&indexed, "", "/"), Some("rest"));
    }

    #[test]
    fn names_of_any_length_are_looked_up_safely() {
        let indexed = plan(&config(vec![listener("127.0.0.1:80", services())], Vec::new()));
        assert_eq!(name(&indexed, &"a".repeat(255), "/"), Some("rest"));
        assert_eq!(name(&indexed, &"a".repeat(2000), "/"), Some("rest"));
    }

    #[test]
    fn few_services_have_no_index() {
        let plan = plan(&config(
            vec![listener("127.0.0.1:80", vec![service(None, vec![host("a")], Vec::new())])],
            Vec::new(),
        ));
        assert!(plan.listeners[0].hosts.is_none());
    }
}
