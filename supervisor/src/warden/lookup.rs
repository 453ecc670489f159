//! Questions to name servers, by way of a resolver library: it sends, waits, follows aliases and tells forged answers
//! from true ones. What an answer may cost is bounded here: its time, its addresses, its targets, how long it holds.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use ounce_conf::model::{DynamicName, Families, NameServers, ResolveMode};
use ounce_mem::Share;
use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a name may take, with all questions that follow from it.
const LOOKUP_MAX: Duration = Duration::from_secs(30);
/// Most targets of SRV records that are looked up, the best first.
const TARGETS_MAX: usize = 32;
/// Most addresses that are taken from an answer. More than are used, so that those in use are found among them.
const ADDRESSES_MAX: usize = 1024;
/// The highest group of a record; the next is that of emergencies.
const GROUP_MAX: u16 = 65534;

/// Where a server is, and how it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its address.
    pub(super) address: SocketAddr,
    /// What its record says.
    pub(super) share: Share,
}

/// What name servers say of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its servers, the best first, none twice. Never empty.
    pub(super) found: Vec<Found>,
    /// How long that holds, in seconds, as its records have it.
    pub(super) ttl_s: u32,
    /// Nothing is missing: no part of the question was left open.
    pub(super) whole: bool,
}

/// Who is asked, and how much is believed.
#[derive(Clone)]
pub(super) struct Asker {
    resolver: TokioResolver,
    /// Most aliases between a name and its addresses.
    chain_max: usize,
}

/// Addresses of one name.
struct Addresses {
    found: Vec<IpAddr>,
    ttl_s: u32,
    whole: bool,
}

impl Asker {
    /// Asks these servers.
    ///
    /// # Errors
    /// Why the library cannot.
    pub(super) fn new(servers: &NameServers, chain_max: u8) -> Result<Asker, String> {
        let connection = |mut connection: ConnectionConfig, port: u16| {
            connection.port = port;
            connection
        };
        let configured = servers.servers.iter().map(|server| {
            let tcp = connection(ConnectionConfig::tcp(), server.port());
            let udp = connection(ConnectionConfig::udp(), server.port());
            NameServerConfig::new(server.ip(), true, if servers.tcp { vec![tcp] } else { vec![udp, tcp] })
        });
        let search = servers.search.iter().filter_map(|name| Name::from_utf8(name).ok());
        let config = ResolverConfig::from_parts(None, search.collect(), configured.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.ndots = usize::from(servers.ndots);
        options.timeout = servers.timeout;
        options.attempts = usize::from(servers.attempts);
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        // Name servers are asked, and each time: how long an answer holds is kept here.
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Asker { resolver, chain_max: usize::from(chain_max.max(1)) })
    }

    /// Asks for the servers of a name.
    ///
    /// # Errors
    /// Why none is known.
    pub(super) async fn ask(&self, name: &DynamicName) -> Result<Answer, String> {
        let asked = async {
            match name.mode {
                ResolveMode::First | ResolveMode::All => self.hosts(name).await,
                ResolveMode::Srv => self.services(name).await,
            }
        };
        let answered = tokio::time::timeout(LOOKUP_MAX, asked).await;
        let answer = answered.unwrap_or_else(|_| Err("no answer in time".to_owned()))?;
        if answer.found.is_empty() { Err("it has no address of use".to_owned()) } else { Ok(answer) }
    }

    async fn hosts(&self, name: &DynamicName) -> Result<Answer, String> {
        let of_name = Name::from_utf8(&name.host).map_err(|error| error.to_string())?;
        let Addresses { found, ttl_s, whole } = self.addresses(of_name, name.family).await?;
        let found = found.into_iter().map(|ip| {
            let address = SocketAddr::new(ip, name.port);
            Found { address, share: Share::default() }
        });
        Ok(Answer { found: found.collect(), ttl_s, whole })
    }

    /// The servers of each SRV record (RFC 2782), those of the lowest priority first.
    async fn services(&self, name: &DynamicName) -> Result<Answer, String> {
        let of_name = Name::from_utf8(&name.host).map_err(|error| error.to_string())?;
        let lookup = self.resolver.lookup(of_name, RecordType::SRV).await.map_err(|error| reason(&error))?;
        let mut ttl_s = self.ttl_s(&lookup)?;
        let mut records: Vec<(u16, Reverse<u16>, Name, u16)> = Vec::new();
        for record in lookup.answers().iter().take(ADDRESSES_MAX) {
            // A target that is the root says that there is no such service.
            if let RData::SRV(srv) = &record.data
                && !srv.target.is_root()
                && srv.port != 0
            {
                let priority = srv.priority.min(GROUP_MAX);
                records.push((priority, Reverse(srv.weight), srv.target.clone(), srv.port));
            }
        }
        records.sort();
        records.dedup();
        let whole_list = records.len() <= TARGETS_MAX;
        records.truncate(TARGETS_MAX);
        if records.is_empty() {
            return Err("it has no SRV record of use".to_owned());
        }
        let mut targets: Vec<Name> = records.iter().map(|(_, _, target, _)| target.clone()).collect();
        targets.sort();
        targets.dedup();
        let mut lookups = JoinSet::new();
        for target in targets {
            let (asker, family) = (self.clone(), name.family);
            lookups.spawn(async move { (target.clone(), asker.addresses(target, family).await) });
        }
        let (mut known, mut whole, mut failure) = (Vec::new(), whole_list, None);
        while let Some(joined) = lookups.join_next().await {
            match joined {
                Ok((target, Ok(addresses))) => known.push((target, addresses)),
                Ok((target, Err(why))) => {
                    whole = false;
                    failure = Some(format!("{}: {why}", target.to_ascii()));
                }
                Err(_) => whole = false,
            }
        }
        let mut found: Vec<Found> = Vec::new();
        for (group, Reverse(weight), target, port) in records {
            let Some((_, addresses)) = known.iter().find(|(of, _)| *of == target) else { continue };
            (ttl_s, whole) = (ttl_s.min(addresses.ttl_s), whole && addresses.whole);
            let weight = if name.ignore_weight { 0 } else { weight.max(1) };
            for ip in &addresses.found {
                let address = SocketAddr::new(*ip, port);
                if found.len() < ADDRESSES_MAX && found.iter().all(|other| other.address != address) {
                    found.push(Found { address, share: Share { weight, group } });
                }
            }
        }
        match (found.is_empty(), failure) {
            (true, Some(failure)) => Err(failure),
            _ => Ok(Answer { found, ttl_s, whole }),
        }
    }

    /// The addresses of a name, those of IPv4 first.
    async fn addresses(&self, name: Name, families: Families) -> Result<Addresses, String> {
        let four = async {
            match families {
                Families::Any | Families::Inet => {
                    Some(self.resolver.lookup(name.clone(), RecordType::A).await)
                }
                Families::Inet6 => None,
            }
        };
        let six = async {
            match families {
                Families::Any | Families::Inet6 => {
                    Some(self.resolver.lookup(name.clone(), RecordType::AAAA).await)
                }
                Families::Inet => None,
            }
        };
        let (four, six) = tokio::join!(four, six);
        let mut all = Addresses { found: Vec::new(), ttl_s: u32::MAX, whole: true };
        let mut failure = None;
        for answered in [four, six].into_iter().flatten() {
            let lookup = match answered {
                Ok(lookup) => lookup,
                Err(error) => {
                    // That there are none of a family is an answer, and the one of the other family counts.
                    let open = !error.is_no_records_found();
                    all.whole &= !open;
                    if open || failure.is_none() {
                        failure = Some(reason(&error));
                    }
                    continue;
                }
            };
            match self.ttl_s(&lookup) {
                Ok(ttl_s) => all.ttl_s = all.ttl_s.min(ttl_s),
                Err(why) => {
                    all.whole = false;
                    failure = Some(why);
                    continue;
                }
            }
            for record in lookup.answers().iter().take(ADDRESSES_MAX) {
                let ip = match &record.data {
                    RData::A(address) => IpAddr::V4(address.0),
                    RData::AAAA(address) => IpAddr::V6(address.0).to_canonical(),
                    _ => continue,
                };
                if is_of_use(ip) && all.found.len() < ADDRESSES_MAX && !all.found.contains(&ip) {
                    all.found.push(ip);
                }
            }
        }
        match (all.found.is_empty(), failure) {
            (true, Some(failure)) => Err(failure),
            _ => Ok(all),
        }
    }

    /// How long an answer holds: as long as all of its records do.
    fn ttl_s(&self, lookup: &Lookup) -> Result<u32, String> {
        let aliases = lookup.answers().iter().filter(|record| matches!(record.data, RData::CNAME(_))).count();
        if aliases > self.chain_max {
            return Err(format!("a chain of {aliases} CNAME records"));
        }
        Ok(lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0))
    }
}

/// A server can have it: no name leads to nobody, to everybody, or to a link of which nothing is said.
fn is_of_use(ip: IpAddr) -> bool {
    let odd = match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(odd || ip.is_unspecified() || ip.is_multicast())
}

fn reason(error: &NetError) -> String {
    match error {
        error if error.is_nx_domain() => "no such name".to_owned(),
        error if error.is_no_records_found() => "it has no such records".to_owned(),
        NetError::Timeout => "no answer in time".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_server_has_are_of_no_use() {
        for ip in ["127.0.0.1", "10.0.0.1", "192.0.2.1", "::1", "2001:db8::1", "fd00::1"] {
            assert!(is_of_use(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "fe80::1"] {
            assert!(!is_of_use(ip.parse().unwrap()), "{ip}");
        }
    }
}
