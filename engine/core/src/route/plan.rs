//! What a configuration means to the workers of one generation: immutable, shared, with no names to look up.

use super::auth::Asked;
use super::beyond::Effort;
use super::expand::Template;
use super::feed::FeedPlan;
use super::index::Services;
use super::matcher::Matcher;
use super::pattern::Pattern;
use super::rewrite::RulePlan;
use super::trust::{Proxies, Trust};
use crate::observe::Format;
use ounce_conf::model::{
    Address, Balancer, DynamicName, ErrorPage, HeaderOption, HouseWork, ListenerTls, OneRequest, Protocol,
    RewriteLocation, ServerTls, SessionKind,
};
use ounce_mem::{BackendId, Segment};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// A service's place in [`Plan::services`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceIx(pub u32);

/// A backend's place in [`Plan::backends`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIx(pub u32);

/// One generation's plan.
#[derive(Debug)]
pub struct Plan {
    /// Listeners in file order.
    pub listeners: Vec<ListenerPlan>,
    /// All services: each listener's own in file order, then the global ones.
    pub services: Vec<ServicePlan>,
    /// All backends; those of a service stand together, regular ones first.
    pub backends: Vec<BackendPlan>,
    /// How long a drain waits for active requests.
    pub grace_ms: u64,
    /// Delay between probes of a dead backend.
    pub alive_ms: u64,
    /// Keep request counts and times per backend.
    pub backend_stats: bool,
    /// The last octet or group of client addresses in logs is 0.
    pub anonymise: bool,
    /// Every log format by its name, the built-in ones first and in their order.
    pub log_formats: Vec<(String, Format)>,
    /// The name of that of listeners without one of their own.
    pub log_level: String,
    /// Names of fields whose repetitions are joined, in requests and responses.
    pub combine: Vec<Box<str>>,
    /// Searches for patterns that were given up.
    pub(crate) effort: Arc<Effort>,
    /// Files that may change, in the order of the configuration's.
    pub feeds: Vec<FeedPlan>,
    /// Some proxy's word is taken somewhere.
    pub(crate) trusts: bool,
    /// Whose, where nothing else is said.
    pub(crate) proxies: Proxies,
}

impl Plan {
    /// Some service is answered by the program itself.
    pub fn has_house(&self) -> bool {
        self.backends.iter().any(|backend| matches!(backend.kind, BackendKind::House { .. }))
    }

    /// The service at `ix`, which this plan handed out.
    pub fn service(&self, ix: ServiceIx) -> &ServicePlan {
        &self.services[ix.0 as usize]
    }

    /// Whose word about the origin of requests is taken in a listener and service.
    #[inline]
    pub(crate) fn trust<'a>(
        &'a self,
        listener: &'a ListenerPlan,
        service: Option<&'a ServicePlan>,
    ) -> Option<Trust<'a>> {
        if !self.trusts {
            return None;
        }
        Trust::of([service.map(|service| &service.proxies), Some(&listener.proxies), Some(&self.proxies)])
    }

    /// The places of a name that hold an address now, in their order; none for other backends.
    pub fn occupied<'a>(
        &self,
        ix: BackendIx,
        segment: &'a Segment,
    ) -> impl Iterator<Item = BackendIx> + use<'a> {
        let backend = self.backend(ix);
        let (places, mut left) = match &backend.kind {
            BackendKind::Name(name) => {
                (name.places.clone(), segment.places().occupied(BackendId(backend.row)))
            }
            _ => (0..0, 0),
        };
        std::iter::from_fn(move || {
            let next = places.start + left.trailing_zeros();
            left &= left.wrapping_sub(1);
            places.contains(&next).then_some(BackendIx(next))
        })
    }

    /// Whether a backend can be used at all now: a place of a name that holds an address, or any other.
    pub fn is_there(&self, backend: &BackendPlan, segment: &Segment) -> bool {
        backend.place.is_none_or(|place| {
            let name = BackendId(self.backend(place.name).row);
            segment.places().occupied(name) >> place.number & 1 != 0
        })
    }

    /// The backend at `ix`, which this plan handed out.
    pub fn backend(&self, ix: BackendIx) -> &BackendPlan {
        &self.backends[ix.0 as usize]
    }
}

/// A listener and what is asked of every request there.
#[derive(Debug)]
pub struct ListenerPlan {
    /// Its row in the shared segment.
    pub row: u32,
    /// Its label; empty without one.
    pub name: String,
    /// HTTP or HTTPS.
    pub protocol: Protocol,
    /// TLS, of an HTTPS listener.
    pub tls: Option<ListenerTls>,
    /// Whether connections end after one request (`NoHTTPS11`).
    pub one_request: OneRequest,
    /// Where it listens, unless that is a UNIX socket or a received one.
    pub address: Option<SocketAddr>,
    /// Where it listens, for people: address without port (IPv6 in brackets) or path.
    pub address_text: String,
    /// For `X-Forwarded-Port` and logs; 0 for UNIX and received sockets.
    pub port: u16,
    /// The cumulative method groups that are allowed (`xHTTP`).
    pub methods: u8,
    /// Longest request, status or header line in bytes.
    pub line_max: u32,
    /// Longest request target in bytes.
    pub max_uri: Option<u32>,
    /// Largest request body in bytes.
    pub max_request: Option<u64>,
    /// Inactivity limit on the client side.
    pub client_ms: u64,
    /// What the raw request target must match.
    pub check_url: Option<Pattern>,
    /// Custom pages by status code.
    pub error_pages: Vec<(u16, ErrorPage)>,
    /// Changes to the header fields of requests, in file order.
    pub header_rules: Vec<HeaderRule>,
    /// Changes to requests, after those.
    pub request_rules: Vec<RulePlan>,
    /// Changes to responses, after those of the service.
    pub response_rules: Vec<RulePlan>,
    /// Which canned headers requests get.
    pub header_option: HeaderOption,
    /// Which Location and Content-Location values are rewritten.
    pub rewrite_location: RewriteLocation,
    /// Rewrite the Destination field of requests.
    pub rewrite_destination: bool,
    /// Bodies of backends' errors are replaced by the pages above.
    pub rewrite_errors: bool,
    /// How request lines are written.
    pub log_format: Format,
    /// The name of that format.
    pub log_level: String,
    /// It is the one of all listeners without one of their own.
    pub follows_log_level: bool,
    /// Where it stands in the file.
    pub locus: String,
    /// Its own services, which are asked first.
    pub(crate) own: Services,
    /// The global ones.
    pub(crate) global: Arc<Services>,
    /// Some rule refers to groups of what selected the service.
    pub(crate) captures: bool,
    /// The users that its rules ask for.
    pub(crate) asks: Vec<Asked>,
    pub(crate) proxies: Proxies,
}

impl ListenerPlan {
    /// The services tried, in this order: its own, then the global ones.
    pub fn services(&self) -> impl Iterator<Item = ServiceIx> + '_ {
        self.own.list().iter().chain(self.global.list()).copied()
    }

    /// The custom page for `status`, if there is one.
    pub fn error_page(&self, status: u16) -> Option<&ErrorPage> {
        self.error_pages.iter().find(|(code, _)| *code == status).map(|(_, page)| page)
    }
}

/// A change to a request's header fields, made after the canned headers were added.
#[derive(Debug)]
pub enum HeaderRule {
    /// Replace the first field of this name, or add it.
    Set {
        /// Field name as written.
        name: String,
        /// Field value, to be expanded for each request.
        value: Template,
    },
    /// Remove each field whose whole line `Name: value` matches.
    Delete(Pattern),
}

/// A service.
#[derive(Debug)]
pub struct ServicePlan {
    /// Its row in the shared segment.
    pub row: u32,
    /// Its label; empty without one (logs print `-`).
    pub name: String,
    /// Its number among the services of its listener, or among the global ones, from 0.
    pub index: u32,
    /// The listener it belongs to; `None` for a global service.
    pub listener: Option<u32>,
    /// Disabled in the file: how the row's switch stands at first.
    pub disabled: bool,
    /// Its changes are made, and another service is looked for.
    pub fall_through: bool,
    /// In place of the listener's.
    pub rewrite_errors: Option<bool>,
    pub(crate) proxies: Proxies,
    /// What a request must satisfy.
    pub condition: Matcher,
    /// Changes to requests, after those of the listener.
    pub request_rules: Vec<RulePlan>,
    /// Changes to responses, before those of the listener.
    pub response_rules: Vec<RulePlan>,
    /// Regular backends.
    pub backends: Range<u32>,
    /// Emergency backends; they follow the regular ones.
    pub emergency: Range<u32>,
    /// Sticky sessions.
    pub session: Option<SessionPlan>,
    /// How a backend is chosen.
    pub balancer: Balancer,
    /// Weights follow response times.
    pub dyn_scale: bool,
    /// Bit N: requests answered with a status of N hundred are not logged.
    pub log_suppress: u8,
    /// Where it stands in the file.
    pub locus: String,
    /// Some redirect or rule of this service refers to groups of what selected it.
    pub(crate) captures: bool,
    /// The users that its rules ask for.
    pub(crate) asks: Vec<Asked>,
}

impl ServicePlan {
    /// Its regular and emergency backends.
    pub fn all_backends(&self) -> impl Iterator<Item = BackendIx> + use<> {
        (self.backends.start..self.emergency.end).map(BackendIx)
    }

    /// The number of `backend` within this service, from 0: regular ones first.
    pub fn position(&self, backend: BackendIx) -> u32 {
        debug_assert!((self.backends.start..self.emergency.end).contains(&backend.0));
        backend.0 - self.backends.start
    }
}

/// Sticky sessions of a service.
#[derive(Debug, Clone)]
pub struct SessionPlan {
    /// Where the key is found.
    pub kind: SessionKind,
    /// Idle life of a session; `None`: none is kept, and the key itself says which backend it belongs to.
    pub ttl_ms: Option<u64>,
}

/// A backend of one service.
#[derive(Debug)]
pub struct BackendPlan {
    /// Its row in the shared segment.
    pub row: u32,
    /// What it is.
    pub kind: BackendKind,
    /// Its weight, at least 1.
    pub priority: u16,
    /// Disabled in the file: how the row's switch stands at first.
    pub disabled: bool,
    /// The service it belongs to.
    pub service: ServiceIx,
    /// The name whose addresses it has, one at a time.
    pub place: Option<PlacePlan>,
    /// For logs: `ip:port`, a path, `redirect:URL`, `error:CODE`, `error:CODE:text`, `success`, `metrics`, `control`,
    /// `file:DIRECTORY` or `acme:DIRECTORY`.
    pub name: String,
    /// Where it stands in the file.
    pub locus: String,
}

impl BackendPlan {
    /// It answers with files.
    pub(crate) fn has_files(&self) -> bool {
        let BackendKind::House { work, .. } = &self.kind else { return false };
        matches!(work, HouseWork::SendFile(_) | HouseWork::Acme(_))
    }

    /// Its requests come as they were sent: what they ask for was seen when the service was chosen.
    pub(crate) fn wants_original(&self) -> bool {
        matches!(self.kind, BackendKind::House { work: HouseWork::Acme(_), .. })
    }
}

/// A backend that is wherever an address of a name is: its place among those of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacePlan {
    /// The backend that stands for the name.
    pub name: BackendIx,
    /// Its bit in [`ounce_mem::Places::occupied`] of that backend.
    pub number: u32,
}

/// A backend that stands for a name and is never connected to: its places are.
#[derive(Debug)]
pub struct NamePlan {
    /// What is looked up.
    pub name: DynamicName,
    /// The backends that take its addresses; they follow this one.
    pub places: Range<u32>,
}

/// The kinds of backend.
#[derive(Debug)]
pub enum BackendKind {
    /// A name that stands for servers.
    Name(NamePlan),
    /// A server that is connected to.
    Server {
        /// Where it is; a name for a place of it.
        address: Address,
        /// Inactivity limit.
        timeout_ms: u64,
        /// Connect limit.
        connect_ms: u64,
        /// Inactivity limit after an upgrade.
        ws_ms: u64,
        /// TLS to it.
        tls: Option<Box<ServerTls>>,
        /// Sent as SNI and in place of Host.
        server_name: Option<String>,
        /// Where somebody must answer too.
        ha_port: Option<SocketAddr>,
    },
    /// An answer that names another place: see [`super::redirect::location`].
    Redirect(RedirectPlan),
    /// An answer made here.
    Error {
        /// Its status.
        code: u16,
        /// Its own page; the listener's or built-in one otherwise.
        page: Option<ErrorPage>,
    },
    /// 200 without a body.
    Success,
    /// Answered by the program itself, beside its workers: reached like a server, but it cannot die.
    House {
        /// With what.
        work: HouseWork,
        /// Inactivity limit.
        timeout_ms: u64,
    },
}

/// A redirect.
#[derive(Debug)]
pub struct RedirectPlan {
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
    /// Where to, to be expanded for each request.
    pub url: Template,
    /// The request's path and query follow.
    pub append_target: bool,
}
