//! A configuration becomes a [`Plan`].

use super::acl::Acl;
use super::expand::Template;
use super::hosts::HostIndex;
use super::identity::Identities;
use super::matcher::Matcher;
use super::pattern::{Groups, Pattern};
use super::plan::{
    BackendKind, BackendPlan, HeaderRule, ListenerPlan, Plan, ServiceIx, ServicePlan, SessionPlan,
};
use super::redirect;
use ounce_conf::model::{
    self, Address, Backend, Condition, Config, Kind, Listen, Listener, Pattern as Written, Service,
};
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
    };
    let mut compiler = Compiler {
        plan,
        ids,
        identities: Identities::default(),
        groups: Groups::Unwanted,
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
    errors: Vec<String>,
}

impl Compiler<'_> {
    fn config(&mut self, config: &Config) {
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
        for (listener, mut services) in self.plan.listeners.iter_mut().zip(own) {
            services.extend_from_slice(&global);
            listener.services = services.iter().map(|&(ix, _)| ix).collect();
            listener.hosts = HostIndex::build(&services);
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
        let check_url = listener.check_url.as_ref().and_then(|check| self.pattern(&shown, "CheckURL", check));
        let header_rules: Vec<HeaderRule> =
            listener.header_rules.iter().filter_map(|rule| self.header_rule(&shown, rule)).collect();
        let captures = header_rules
            .iter()
            .any(|rule| matches!(rule, HeaderRule::Set { value, .. } if value.has_groups()));
        self.plan.listeners.push(ListenerPlan {
            row,
            name: listener.label.clone().unwrap_or_default(),
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
            header_option: listener.header_option,
            rewrite_location: listener.rewrite_location,
            rewrite_destination: listener.rewrite_destination,
            log_level: listener.log_level,
            services: Vec::new(),
            captures,
            hosts: None,
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

    fn header_rule(&mut self, shown: &str, rule: &model::HeaderRule) -> Option<HeaderRule> {
        match rule {
            model::HeaderRule::Set { name, value } => {
                if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                    self.errors.push(format!("{shown}: header {name:?} cannot hold control characters"));
                    return None;
                }
                Some(HeaderRule::Set { name: name.clone(), value: Template::parse(value) })
            }
            model::HeaderRule::Delete(pattern) => {
                self.pattern(shown, "DeleteHeader", pattern).map(HeaderRule::Delete)
            }
        }
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
        let captures = service.backends.iter().chain(&service.emergency).any(refers_to_groups);
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
            condition,
            backends: start..middle,
            emergency: middle..end,
            session: service
                .session
                .as_ref()
                .map(|session| SessionPlan { kind: session.kind.clone(), ttl_ms: millis(session.ttl) }),
            balancer: service.balancer,
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
                let kind = BackendKind::Server {
                    address: server.address.clone(),
                    timeout_ms: millis(server.timeout),
                    connect_ms: millis(server.connect_timeout),
                    ws_ms: millis(server.ws_timeout),
                };
                (kind, server_name(&server.address))
            }
            model::BackendKind::Redirect { code, url } => match redirect::compile(*code, url) {
                Ok(redirect) => (BackendKind::Redirect(redirect), format!("redirect:{url}")),
                Err(error) => return self.errors.push(format!("{shown}: {error}")),
            },
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
            name,
        });
    }

    fn condition(&mut self, shown: &str, condition: &Condition) -> Matcher {
        match condition {
            Condition::All(all) => Matcher::All(all.iter().map(|one| self.condition(shown, one)).collect()),
            Condition::Any(any) => Matcher::Any(any.iter().map(|one| self.condition(shown, one)).collect()),
            Condition::Not(inner) => Matcher::Not(Box::new(self.condition(shown, inner))),
            Condition::Acl(networks) => Matcher::Acl(Acl::new(networks)),
            leaf => self.leaf(shown, leaf).unwrap_or(Matcher::Any(Vec::new())),
        }
    }

    /// A condition with a pattern; `None` after an error, which is recorded.
    fn leaf(&mut self, shown: &str, condition: &Condition) -> Option<Matcher> {
        Some(match condition {
            Condition::Url(pattern) => Matcher::Url(self.pattern(shown, "URL", pattern)?),
            Condition::Path(pattern) => Matcher::Path(self.pattern(shown, "Path", pattern)?),
            Condition::Query(pattern) => Matcher::Query(self.pattern(shown, "Query", pattern)?),
            Condition::QueryParam { name, pattern } => {
                let pattern = self.pattern(shown, "QueryParam", pattern)?;
                Matcher::QueryParam { name: name.as_bytes().into(), pattern }
            }
            Condition::HeaderLine(pattern) => Matcher::HeaderLine(self.pattern(shown, "Header", pattern)?),
            Condition::HeaderValue { name, pattern } => {
                let pattern = self.pattern(shown, "Header", pattern)?;
                Matcher::HeaderValue { name: name.as_bytes().into(), pattern }
            }
            Condition::Host(written) => {
                let pattern = self.pattern(shown, "Host", written)?;
                Matcher::Host { pattern, portless: written.kind == Kind::Exact }
            }
            Condition::Method(pattern) => Matcher::Method(self.pattern(shown, "Method", pattern)?),
            Condition::All(_) | Condition::Any(_) | Condition::Not(_) | Condition::Acl(_) => return None,
        })
    }

    fn pattern(&mut self, shown: &str, directive: &str, written: &Written) -> Option<Pattern> {
        match Pattern::compile(written, self.groups) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.errors.push(format!("{shown}: {directive} {:?}: {error}", written.text));
                None
            }
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

fn refers_to_groups(backend: &Backend) -> bool {
    matches!(&backend.kind, model::BackendKind::Redirect { url, .. } if Template::parse(url).has_groups())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn server_name(address: &Address) -> String {
    match address {
        Address::Inet(address) => address.to_string(),
        Address::Unix(path) => path.display().to_string(),
    }
}

fn address_text(listen: &Listen) -> String {
    match listen {
        Listen::Inet(address) if address.is_ipv6() => format!("[{}]", address.ip()),
        Listen::Inet(address) => address.ip().to_string(),
        Listen::Unix(path) | Listen::Received(path) => path.display().to_string(),
    }
}
