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
