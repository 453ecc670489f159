//! Names that are looked up while the program runs, and who is asked.

use std::net::SocketAddr;
use std::time::Duration;

/// A name that stands for servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DynamicName {
    /// The name, without its final dot.
    pub host: String,
    /// The port of its servers; records of services name their own.
    pub port: u16,
    /// `Resolve`.
    pub mode: ResolveMode,
    /// `Family`.
    pub family: Families,
    /// `RetryInterval`: delay after a lookup that failed, unless [`Resolver::retry`] holds.
    pub retry: Option<Duration>,
    /// `OverrideTTL`: how long answers hold, whatever they say themselves.
    pub override_ttl: Option<Duration>,
    /// `IgnoreSRVWeight`: weights of records are not looked at.
    pub ignore_weight: bool,
}

/// What is made of a name's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResolveMode {
    /// A server at one of its addresses.
    First,
    /// A server at each of its addresses.
    All,
    /// Servers at the addresses of each of its SRV records.
    Srv,
}

/// Which addresses of a name are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Families {
    /// Both; IPv4 is preferred where one is wanted.
    Any,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

/// `Resolver`: how names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// `ConfigFile` or `ConfigText`; `None` is the system's `/etc/resolv.conf`, read when it is needed.
    pub servers: Option<NameServers>,
    /// `Debug`: what was asked and answered is logged.
    pub debug: bool,
    /// `CNAMEChain`: most CNAME records between a name and its addresses.
    pub cname_chain: u8,
    /// `RetryInterval`, where a backend has none.
    pub retry: Duration,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver { servers: None, debug: false, cname_chain: 8, retry: Duration::from_secs(600) }
    }
}

/// What resolv.conf(5) says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameServers {
    /// Who is asked, in this order.
    pub servers: Vec<SocketAddr>,
    /// Domains that are tried after a name.
    pub search: Vec<String>,
    /// A name with so many dots is tried as it is first.
    pub ndots: u8,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// How often all are asked.
    pub attempts: u8,
    /// Over TCP only.
    pub tcp: bool,
}
