//! A configuration becomes a [`Plan`].

pub(crate) mod conditions;
mod feeds;
mod rules;

use super::acl::Acl;
use super::auth::{Asked, Users};
use super::expand::Template;
use super::feed::Cell;
use super::identity::Identities;
use super::index::Services;
use super::matcher::Matcher;
use super::pattern::Groups;
use super::plan::{
    BackendIx, BackendKind, BackendPlan, HeaderRule, ListenerPlan, NamePlan, PlacePlan, Plan, ServiceIx,
    ServicePlan, SessionPlan,
};
use super::redirect;
use super::rewrite::RulePlan;
use super::trust::Proxies;
use crate::observe::Format;
use ounce_conf::listing::Text;
use ounce_conf::model::{
    self, Address, Backend, Condition, Config, DynamicName, HouseWork, Listen, Listener, OneRequest,
    ResolveMode, Server, Service,
};
use ounce_mem::PLACES_MAX;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Rows of the shared segment by identity. `None` means that the table is full.
pub trait Ids {
    /// The row of a listener.
    fn listener(&mut self, identity: &str) -> Option<u32>;
    /// The row of a service.
    fn service(&mut self, identity: &str) -> Option<u32>;
    /// The row of a backend.
    fn backend(&mut self, identity: &str) -> Option<u32>;
}

/// Compiles `config`.
///
/// # Errors
/// All reasons why it cannot run, each naming the object it is about: patterns that do not compile, redirect
/// URLs that name no place, tables of the shared segment that are full.
pub fn compile(config: &Config, ids: &mut dyn Ids) -> Result<Plan, Vec<String>> {
    let plan = Plan {
        listeners: Vec::with_capacity(config.listeners.len()),
        services: Vec::new(),
        backends: Vec::new(),
        grace_ms: millis(config.global.grace),
        alive_ms: millis(config.global.alive),
        backend_stats: config.global.backend_stats,
        anonymise: config.global.anonymise,
        log_formats: config
            .global
            .log_formats
            .iter()
            .map(|format| (format.name.clone(), Format::compile(format)))
            .collect(),
        log_level: config.global.log_level.clone(),
        combine: config.global.combine_headers.iter().map(|name| name.as_str().into()).collect(),
        feeds: feeds::of(config),
        trusts: false,
        effort: Arc::default(),
        proxies: Proxies::default(),
    };
    let mut compiler = Compiler {
        plan,
        ids,
        identities: Identities::default(),
        groups: Groups::Unwanted,
        conditions: Vec::new(),
        networks: HashMap::new(),
        users: HashMap::new(),
        texts: HashMap::new(),
        limits: 0,
        written: &config.feeds,
        errors: Vec::new(),
    };
    compiler.config(config);
    if compiler.errors.is_empty() { Ok(compiler.plan) } else { Err(compiler.errors) }
}

struct Compiler<'a> {
    plan: Plan,
    ids: &'a mut dyn Ids,
    identities: Identities,
    /// Whether the patterns being compiled are referred to.
    groups: Groups,
    /// Conditions with names.
    conditions: Vec<Arc<Matcher>>,
    /// Cells of networks by the feeds that fill them.
    networks: HashMap<usize, Arc<Cell<Acl>>>,
    /// The same of users.
    users: HashMap<usize, Arc<Cell<Users>>>,
    /// The same of texts.
    texts: HashMap<usize, Arc<Cell<Text>>>,
    /// How many limits there are so far.
    limits: u32,
    /// Files as they were read with the configuration.
    written: &'a [model::Feed],
    errors: Vec<String>,
}

impl Compiler<'_> {
    fn config(&mut self, config: &Config) {
        self.plan.proxies = self.proxies(&config.global.originator);
        self.groups = Groups::Wanted;
        for named in &config.conditions {
            let condition = self.condition(&format!("condition {:?}", named.name), &named.condition);
            self.conditions.push(Arc::new(condition));
        }
        self.groups = Groups::Unwanted;
        let mut own = Vec::new();
        for (index, listener) in config.listeners.iter().enumerate() {
            own.push(self.listener(index, listener));
        }
        let global: Vec<(ServiceIx, &Condition)> = config
            .services
            .iter()
            .enumerate()
            .map(|(index, service)| {
                let groups = self.plan.listeners.iter().any(|listener| listener.captures);
                let place = Place { listener: None, scope: None, index, groups, shown: "service".to_owned() };
                (self.service(&place, service), &service.condition)
            })
            .collect();
        let plan = &mut self.plan;
        plan.trusts = plan.proxies.has_trusted()
            || plan.listeners.iter().any(|listener| listener.proxies.has_trusted())
            || plan.services.iter().any(|service| service.proxies.has_trusted());
        let global = Arc::new(Services::new(&global, &config.conditions));
        for (listener, services) in self.plan.listeners.iter_mut().zip(own) {
            listener.own = Services::new(&services, &config.conditions);
            listener.global = Arc::clone(&global);
        }
    }

    /// Compiles a listener and its own services, which are returned in file order.
    fn listener<'c>(&mut self, index: usize, listener: &'c Listener) -> Vec<(ServiceIx, &'c Condition)> {
        let identity = self.identities.listener(listener);
        let row = self.ids.listener(&identity);
        let row = self.row(row, "listeners");
        let address = match &listener.listen {
            Listen::Inet(address) => Some(*address),
            Listen::Unix(_) | Listen::Received(_) => None,
        };
        let shown = match &listener.label {
            Some(label) => format!("listener {label:?}"),
            None => identity.clone(),
        };
        let proxies = self.proxies(&listener.originator);
        let check_url = listener.check_url.as_ref().and_then(|check| self.pattern(&shown, "CheckURL", check));
        let (header_rules, request_rules) = self.listener_rules(&shown, listener);
        let response_rules = self.rules(&shown, &listener.response_rules);
        let captures = header_rules
            .iter()
            .any(|rule| matches!(rule, HeaderRule::Set { value, .. } if value.has_groups()))
            || request_rules.iter().chain(&response_rules).any(RulePlan::has_groups);
        self.plan.listeners.push(ListenerPlan {
            row,
            name: listener.label.clone().unwrap_or_default(),
            tls: listener.tls.clone(),
            one_request: listener.tls.as_ref().map_or(OneRequest::No, |tls| tls.one_request),
            protocol: listener.protocol,
            address,
            address_text: address_text(&listener.listen),
            port: address.map_or(0, |address| address.port()),
            methods: listener.methods,
            line_max: listener.line_max,
            max_uri: listener.max_uri,
            max_request: listener.max_request,
            client_ms: millis(listener.client),
            check_url,
            error_pages: listener.error_pages.clone(),
            header_rules,
            asks: asks([&request_rules, &response_rules]),
            request_rules,
            response_rules,
            header_option: listener.header_option,
            rewrite_location: listener.rewrite_location,
            rewrite_destination: listener.rewrite_destination,
            rewrite_errors: listener.rewrite_errors,
            proxies,
            log_format: Format::compile(&listener.log_format),
            log_level: listener.log_format.name.clone(),
            follows_log_level: listener.follows_log_level,
            locus: listener.locus.clone(),
            own: Services::default(),
            global: Arc::default(),
            captures,
        });
        let scope = listener.label.clone().unwrap_or(identity);
        let mut services = Vec::with_capacity(listener.services.len());
        for (number, service) in listener.services.iter().enumerate() {
            let shown = format!("{shown}, service");
            let listener = Some(index as u32);
            let place = Place { listener, scope: Some(&scope), index: number, groups: captures, shown };
            services.push((self.service(&place, service), &service.condition));
        }
        services
    }

    fn service(&mut self, place: &Place<'_>, service: &Service) -> ServiceIx {
        let ix = ServiceIx(self.plan.services.len() as u32);
        let identity = self.identities.service(place.scope, service);
        let shown = match &service.name.label {
            Some(label) => format!("{} {label:?}", place.shown),
            None => format!("{} {}", place.shown, place.index),
        };
        let row = self.ids.service(&identity);
        let row = self.row(row, "services");
        let proxies = self.proxies(&service.originator);
        let request_rules = self.rules(&shown, &service.request_rules);
        let response_rules = self.rules(&shown, &service.response_rules);
        let captures = service.backends.iter().chain(&service.emergency).any(refers_to_groups)
            || request_rules.iter().chain(&response_rules).any(RulePlan::has_groups)
            || conditions::needs_captures(&service.condition);
        self.groups = if captures || place.groups { Groups::Wanted } else { Groups::Unwanted };
        let condition = self.condition(&shown, &service.condition);
        self.groups = Groups::Unwanted;
        let start = self.plan.backends.len() as u32;
        for backend in &service.backends {
            self.backend(ix, &identity, &shown, backend);
        }
        let middle = self.plan.backends.len() as u32;
        for backend in &service.emergency {
            self.backend(ix, &identity, &shown, backend);
        }
        let end = self.plan.backends.len() as u32;
        self.plan.services.push(ServicePlan {
            row,
            name: service.name.label.clone().unwrap_or_default(),
            index: place.index as u32,
            listener: place.listener,
            disabled: service.disabled,
            fall_through: service.fall_through,
            rewrite_errors: service.rewrite_errors,
            proxies,
            condition,
            asks: asks([&request_rules, &response_rules]),
            request_rules,
            response_rules,
            backends: start..middle,
            emergency: middle..end,
            session: service
                .session
                .as_ref()
                .map(|session| SessionPlan { kind: session.kind.clone(), ttl_ms: session.ttl.map(millis) }),
            balancer: service.balancer,
            dyn_scale: service.dyn_scale,
            log_suppress: service.log_suppress.iter().fold(0, |bits, class| bits | 1 << (class & 7)),
            locus: service.locus.clone(),
            captures,
        });
        ix
    }

    fn backend(&mut self, service: ServiceIx, scope: &str, shown: &str, backend: &Backend) {
        let identity = self.identities.backend(scope, backend);
        let row = self.ids.backend(&identity);
        let row = self.row(row, "backends");
        let (kind, name) = match &backend.kind {
            model::BackendKind::Server(server) => {
                if let Address::Name(name) = &server.address {
                    return self.dynamic(row, &identity, Named { name, server, backend, service });
                }
                (server_kind(server), server_name(&server.address))
            }
            model::BackendKind::Redirect { code, url } => match redirect::compile(*code, url) {
                Ok(mut redirect) => {
                    self.connect(&mut redirect.url);
                    (BackendKind::Redirect(redirect), format!("redirect:{url}"))
                }
                Err(error) => return self.errors.push(format!("{shown}: {error}")),
            },
            model::BackendKind::Success => (BackendKind::Success, "success".to_owned()),
            model::BackendKind::House { work, timeout } => {
                let name = match work {
                    HouseWork::Metrics => "metrics".to_owned(),
                    HouseWork::Control => "control".to_owned(),
                    HouseWork::SendFile(path) => format!("file:{}", path.display()),
                    HouseWork::Acme(path) => format!("acme:{}", path.display()),
                };
                (BackendKind::House { work: work.clone(), timeout_ms: millis(*timeout) }, name)
            }
            model::BackendKind::Error { code, page } => {
                let text = if page.is_some() { ":text" } else { "" };
                (BackendKind::Error { code: *code, page: page.clone() }, format!("error:{code}{text}"))
            }
        };
        self.plan.backends.push(BackendPlan {
            row,
            kind,
            // A weight of 0 was legal once and would never be chosen.
            priority: backend.priority.max(1),
            disabled: backend.disabled,
            service,
            place: None,
            name,
            locus: backend.locus.clone(),
        });
    }

    /// A backend for a name, and one for each address that it can have at a time.
    fn dynamic(&mut self, row: u32, identity: &str, named: Named<'_>) {
        let Named { name, server, backend, service } = named;
        let ix = BackendIx(self.plan.backends.len() as u32);
        let places = match name.mode {
            // The second is for the next address, while the first is in use.
            ResolveMode::First => 2,
            ResolveMode::All | ResolveMode::Srv => PLACES_MAX,
        };
        let plan = |row, kind, place: Option<PlacePlan>| BackendPlan {
            row,
            kind,
            priority: backend.priority.max(1),
            disabled: backend.disabled && place.is_none(),
            service,
            place,
            name: server_name(&server.address),
            locus: backend.locus.clone(),
        };
        let kind = NamePlan { name: name.clone(), places: ix.0 + 1..ix.0 + 1 + places };
        self.plan.backends.push(plan(row, BackendKind::Name(kind), None));
        for number in 0..places {
            let row = self.ids.backend(&format!("place {number} of {identity}"));
            let row = self.row(row, "backends");
            let place = Some(PlacePlan { name: ix, number });
            self.plan.backends.push(plan(row, server_kind(server), place));
        }
    }

    fn row(&mut self, row: Option<u32>, what: &str) -> u32 {
        row.unwrap_or_else(|| {
            let error = format!("there are more {what} than the shared table of {what} has rows");
            if !self.errors.contains(&error) {
                self.errors.push(error);
            }
            0
        })
    }
}

/// Where a service stands.
struct Place<'a> {
    listener: Option<u32>,
    /// The label of its listener, or else its identity.
    scope: Option<&'a str>,
    index: usize,
    /// A listener that has it refers to groups of what selected it.
    groups: bool,
    /// Its kind and listener, for messages.
    shown: String,
}

/// What a name and its places are made from.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a DynamicName,
    server: &'a Server,
    backend: &'a Backend,
    service: ServiceIx,
}

fn server_kind(server: &Server) -> BackendKind {
    BackendKind::Server {
        address: server.address.clone(),
        timeout_ms: millis(server.timeout),
        connect_ms: millis(server.connect_timeout),
        ws_ms: millis(server.ws_timeout),
        tls: server.tls.clone(),
        server_name: server.server_name.clone(),
        ha_port: server.ha_port,
    }
}

fn refers_to_groups(backend: &Backend) -> bool {
    matches!(&backend.kind, model::BackendKind::Redirect { url, .. } if Template::parse(url).has_groups())
}

/// The files of users that rules look at, each once.
fn asks(rules: [&[RulePlan]; 2]) -> Vec<Asked> {
    let mut asks = Vec::new();
    rules.into_iter().flatten().for_each(|rule| rule.asks(&mut asks));
    asks.sort_unstable_by_key(|asked| asked.feed);
    asks.dedup_by_key(|asked| asked.feed);
    asks
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn server_name(address: &Address) -> String {
    match address {
        Address::Inet(address) => address.to_string(),
        Address::Unix(path) => path.display().to_string(),
        Address::Name(name) if name.mode == ResolveMode::Srv => name.host.clone(),
        Address::Name(name) => format!("{}:{}", name.host, name.port),
    }
}

fn address_text(listen: &Listen) -> String {
    match listen {
        Listen::Inet(address) if address.is_ipv6() => format!("[{}]", address.ip()),
        Listen::Inet(address) => address.ip().to_string(),
        Listen::Unix(path) | Listen::Received(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::sample::{self, Rows, config, host, listener, plan, posix, redirect, server, service};
    use ounce_conf::model::{Kind, Networks, ServiceName};
    use std::collections::HashSet;

    fn backends() -> Vec<Backend> {
        vec![server("10.0.0.1:80", 5), server("10.0.0.2:80", 5)]
    }

    #[test]
    fn services_and_backends_stand_in_file_order() {
        let mut first = service(Some("a"), Vec::new(), backends());
        first.emergency = vec![redirect("http://sorry.example")];
        let listeners = vec![
            listener("127.0.0.1:80", vec![first, service(Some("b"), Vec::new(), backends())]),
            listener("127.0.0.1:81", vec![service(Some("c"), Vec::new(), Vec::new())]),
        ];
        let plan = plan(&config(listeners, vec![service(Some("d"), Vec::new(), backends())]));
        let names = |listener: usize| -> Vec<&str> {
            plan.listeners[listener].services().map(|ix| plan.service(ix).name.as_str()).collect()
        };
        assert_eq!(names(0), ["a", "b", "d"]);
        assert_eq!(names(1), ["c", "d"]);
        let first = plan.service(ServiceIx(0));
        assert_eq!((first.backends.clone(), first.emergency.clone()), (0..2, 2..3));
        assert_eq!(first.all_backends().map(|ix| first.position(ix)).collect::<Vec<_>>(), [0, 1, 2]);
        let shown: Vec<&str> = plan.backends.iter().map(|backend| backend.name.as_str()).collect();
        assert_eq!(&shown[..3], ["10.0.0.1:80", "10.0.0.2:80", "redirect:http://sorry.example"]);
        for (index, backend) in plan.backends.iter().enumerate() {
            let ix = BackendIx(index as u32);
            assert!(plan.service(backend.service).all_backends().any(|of_service| of_service == ix));
        }
    }

    #[test]
    fn all_errors_are_reported_and_name_their_object() {
        let bad = vec![Condition::Path(posix("(")), Condition::Url(posix("*"))];
        let mut listener =
            listener("127.0.0.1:80", vec![service(Some("shop"), bad, vec![redirect("/nowhere")])]);
        listener.check_url = Some(posix("[z-a]"));
        let errors = compile(&config(vec![listener], Vec::new()), &mut Rows::default()).expect_err("errors");
        assert_eq!(errors.len(), 4, "{errors:?}");
        assert!(errors[0].starts_with("listener 127.0.0.1:80: CheckURL \"[z-a]\": "), "{errors:?}");
        assert!(errors[1].starts_with("listener 127.0.0.1:80, service \"shop\": Path \"(\": "), "{errors:?}");
        assert!(errors[3].contains("/nowhere"), "{errors:?}");
    }

    #[test]
    fn a_full_table_is_an_error_that_names_it() {
        let services = (0..5).map(|_| service(None, Vec::new(), backends())).collect();
        let mut rows = Rows { limit: Some(3), ..Rows::default() };
        let errors = compile(&config(Vec::new(), services), &mut rows).expect_err("errors");
        assert_eq!(errors.len(), 2, "each table once: {errors:?}");
        assert!(errors.iter().any(|error| error.contains("backends")), "{errors:?}");
    }

    #[test]
    fn a_weight_of_zero_counts_as_one() {
        let zero = server("10.0.0.1:80", 0);
        let plan = plan(&config(Vec::new(), vec![service(None, Vec::new(), vec![zero])]));
        assert_eq!(plan.backends[0].priority, 1);
    }

    #[test]
    fn addresses_are_shown_to_people() {
        let mut received = listener("127.0.0.1:80", Vec::new());
        received.listen = Listen::Received("/run/socket".into());
        let plan = plan(&config(vec![listener("[::1]:8080", Vec::new()), received], Vec::new()));
        let shown = |index: usize| (plan.listeners[index].address_text.as_str(), plan.listeners[index].port);
        assert_eq!(shown(0), ("[::1]", 8080));
        assert_eq!(shown(1), ("/run/socket", 0));
    }

    /// Rows of `services` after a run over `rows`, which remember earlier runs.
    fn rows_of(rows: &mut Rows, services: Vec<Service>) -> Vec<(u32, Vec<u32>)> {
        let config = config(vec![listener("127.0.0.1:80", services)], Vec::new());
        let plan = compile(&config, rows).expect("a plan");
        let rows_of = |service: &ServicePlan| {
            service.all_backends().map(|backend| plan.backend(backend).row).collect::<Vec<_>>()
        };
        plan.services.iter().map(|service| (service.row, rows_of(service))).collect()
    }

    /// A reload keeps health, sessions and switches of everything that is still there, wherever it moved.
    #[test]
    fn neighbours_may_come_and_go_without_touching_a_row() {
        let named = || service(Some("shop"), vec![host("shop.example")], backends());
        let plain = || service(None, vec![host("plain.example")], backends());
        let other = || service(None, vec![host("other.example")], vec![server("10.0.0.9:80", 5)]);
        let mut rows = Rows::default();
        let before = rows_of(&mut rows, vec![named(), plain()]);
        let after = rows_of(&mut rows, vec![other(), plain(), named()]);
        assert_eq!((&after[1], &after[2]), (&before[1], &before[0]));

        let mut edited = named();
        edited.condition = Condition::All(vec![host("new.example")]);
        edited.backends.insert(0, server("10.0.0.7:80", 1));
        edited.backends.reverse();
        edited.backends[0].priority = 9;
        let after = rows_of(&mut rows, vec![edited]);
        assert_eq!(after[0].0, before[0].0, "a label survives every edit");
        assert_eq!(after[0].1[..2], [before[0].1[1], before[0].1[0]], "backends are known by address");
    }

    #[test]
    fn the_same_address_twice_has_two_rows() {
        let twice = || vec![server("10.0.0.1:80", 5), server("10.0.0.1:80", 5)];
        let mut rows = Rows::default();
        let services = vec![service(None, Vec::new(), twice()), service(None, Vec::new(), twice())];
        let mut seen = HashSet::new();
        for (service, backends) in rows_of(&mut rows, services) {
            assert!(seen.insert(("service", service)));
            assert!(backends.into_iter().all(|backend| seen.insert(("backend", backend))));
        }
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn different_conditions_never_share_an_identity() {
        let with = |kind, text: &str, ignore_case| {
            let mut pattern = sample::pattern(kind, text);
            pattern.ignore_case = ignore_case;
            pattern
        };
        let conditions = vec![
            Condition::Url(posix("a")),
            Condition::Path(posix("a")),
            Condition::Path(with(Kind::Exact, "a", false)),
            Condition::Path(with(Kind::Exact, "a", true)),
            Condition::Path(with(Kind::Exact, "a\" exact \"", false)),
            Condition::HeaderValue { name: "a".to_owned(), pattern: posix("b") },
            Condition::HeaderValue { name: "a\" posix \"b".to_owned(), pattern: posix("") },
            Condition::QueryParam { name: "a".to_owned(), pattern: posix("b") },
            Condition::Not(Box::new(Condition::Path(posix("a")))),
            Condition::Any(vec![Condition::Path(posix("a"))]),
            Condition::Any(vec![Condition::Path(posix("a")), Condition::Path(posix("a"))]),
            Condition::Acl(Networks::Listed(vec!["10.0.0.0/8".parse().expect("a network")])),
            Condition::Acl(Networks::Listed(Vec::new())),
        ];
        let mut rows = Rows::default();
        let services = conditions.iter().map(|condition| service(None, vec![condition.clone()], Vec::new()));
        rows_of(&mut rows, services.collect());
        assert_eq!(rows.services.len(), conditions.len());
        assert!(rows.services.keys().all(|identity| !identity.contains('#')), "{:?}", rows.services);
        let mut labelled = service(None, Vec::new(), Vec::new());
        labelled.name = ServiceName { label: Some("all(".to_owned()) };
        rows_of(&mut rows, vec![labelled, service(None, Vec::new(), Vec::new())]);
        assert_eq!(rows.services.len(), conditions.len() + 2);
    }
}
