//! The state of the proxy as the control API shows it: objects of Pound's shape, each with its `kind`.

use super::calendar::api_time;
use super::objects::{Door, Found, Objects, shown};
use crate::inheritance::Inheritance;
use ounce_conf::model::{DynamicName, Families, HouseWork, Protocol, ResolveMode, SessionKind};
use ounce_core::observe::level;
use ounce_core::route::plan::{BackendIx, BackendKind, BackendPlan, ListenerPlan, ServiceIx, ServicePlan};
use ounce_ctl::api::Name;
use ounce_engine::tls::Paper;
use ounce_mem::{BackendId, ListenerId, Member, Phase, ServiceId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// `weight` of an emergency backend; regular ones have 0.
const EMERGENCY_WEIGHT: u32 = 65535;

/// A moment on both clocks: the segment's and the wall's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Milliseconds of the monotonic clock.
    pub(super) mono_ms: u64,
    /// Microseconds since the UNIX epoch.
    pub(super) wall_us: u64,
}

impl Moment {
    /// This moment.
    pub(super) fn now() -> Moment {
        let now = ounce_sys::clock::now();
        Moment { mono_ms: now.mono_us / 1000, wall_us: now.wall_us }
    }

    /// A moment of the monotonic clock as local time.
    fn local(self, mono_ms: u64) -> String {
        let mono_us = i128::from(mono_ms) - i128::from(self.mono_ms);
        let wall_us = i128::from(self.wall_us) + mono_us * 1000;
        api_time(i64::try_from(wall_us).unwrap_or(i64::MAX))
    }
}

/// Everything that can be shown, and what it is shown from.
pub(super) struct View<'a> {
    /// Configuration, plan and segment.
    pub(super) of: &'a Inheritance,
    /// Their objects, numbered.
    pub(super) objects: &'a Objects,
    /// What is known of certificates.
    pub(super) papers: Arc<Vec<Paper>>,
    /// When it is looked at.
    pub(super) at: Moment,
}

/// How many workers there are, in Pound's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Workers {
    /// Those that accept connections.
    pub(super) active: usize,
    /// Those that live.
    pub(super) count: usize,
    /// How many there should be.
    pub(super) wanted: u16,
}

impl View<'_> {
    /// An object that was found.
    pub(super) fn object(&self, found: Found<'_>) -> Value {
        match found {
            Found::Everything => self.everything(),
            Found::Control(path) => control(&path.to_string_lossy()),
            Found::ControlService => control_service(),
            Found::ControlBackend => control_backend(),
            Found::Listener(listener) => self.listener(listener),
            Found::Service(service) => self.service(service),
            Found::Backend(backend) => self.backend(backend),
        }
    }

    fn everything(&self) -> Value {
        let listeners: Vec<Value> = self
            .objects
            .doors()
            .iter()
            .map(|door| match door {
                Door::Control(path) => control(&path.to_string_lossy()),
                Door::Listener(listener) => self.listener(*listener),
            })
            .collect();
        json!({
            "kind": "pound",
            "core": self.core(),
            "listeners": listeners,
            "services": self.services(self.objects.global()),
        })
    }

    /// The process and its workers. `fleet` is ours; all else is Pound's, where `workers` are threads and there is a
    /// queue of connections before them: ours is the kernel's.
    pub(super) fn core(&self) -> Value {
        let workers = self.workers();
        let fleet: Vec<Value> = self
            .members()
            .map(|member| {
                json!({
                    "slot": member.owner.worker,
                    "pid": member.pid,
                    "generation": member.generation,
                    "phase": match member.phase {
                        Phase::Gone => "gone",
                        Phase::Starting => "starting",
                        Phase::Ready => "ready",
                        Phase::Draining => "draining",
                    },
                })
            })
            .collect();
        json!({
            "kind": "core",
            "version": env!("CARGO_PKG_VERSION"),
            "pid": self.of.supervisor,
            "uptime": self.uptime_us(),
            "timestamp": self.at.local(self.at.mono_ms),
            "queue": {"len": 0, "max": 0},
            "queue_len": 0,
            "workers": {
                "active": workers.active,
                "count": workers.count,
                "max": workers.wanted,
                "min": workers.wanted,
                "timeout": 0,
            },
            "fleet": fleet,
        })
    }

    /// Microseconds since the program was started.
    pub(super) fn uptime_us(&self) -> u64 {
        let started = self.of.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.at.wall_us.saturating_sub(u64::try_from(started.as_micros()).unwrap_or(u64::MAX))
    }

    /// The workers of this generation.
    pub(super) fn workers(&self) -> Workers {
        let ours = || self.members().filter(|member| member.generation == self.of.generation);
        Workers {
            active: ours().filter(|member| member.phase == Phase::Ready).count(),
            count: ours().count(),
            wanted: self.of.workers,
        }
    }

    /// Who lives, but for this process.
    fn members(&self) -> impl Iterator<Item = Member> {
        let own = self.of.owner.worker;
        let fleet = self.of.segment.fleet();
        fleet.iter().filter(move |member| member.phase != Phase::Gone && member.owner.worker != own)
    }

    /// Whether a listener is switched on.
    pub(super) fn listener_enabled(&self, listener: &ListenerPlan) -> bool {
        !self.of.segment.listeners().disabled(ListenerId(listener.row))
    }

    /// Whether a service is switched on.
    pub(super) fn service_enabled(&self, service: &ServicePlan) -> bool {
        !self.of.segment.services().disabled(ServiceId(service.row))
    }

    fn listener(&self, listener: usize) -> Value {
        let plan = &self.of.plan.listeners[listener];
        let mut value = json!({
            "kind": "listener",
            "name": label(&plan.name),
            "address": listener_address(plan),
            "protocol": protocol(plan),
            "enabled": self.listener_enabled(plan),
            "services": self.services(self.objects.services(listener)),
        });
        if plan.tls.is_some() {
            value["certificates"] = self.papers(listener).map(certificate).collect();
        }
        value
    }

    /// The certificates of a listener.
    pub(super) fn papers(&self, listener: usize) -> impl Iterator<Item = &Paper> {
        self.papers.iter().filter(move |paper| paper.listener == listener)
    }

    /// How request lines are written, by a listener or by all without a level of their own.
    pub(super) fn log(&self, listener: Option<&ListenerPlan>, asked: Option<&Name>) -> Value {
        let (plan, segment) = (&self.of.plan, &self.of.segment);
        let chosen = level::chosen(plan, segment, listener);
        let written = listener.map_or(&plan.log_level, |listener| &listener.log_level);
        let global = listener.is_none_or(|listener| {
            listener.follows_log_level && segment.listeners().log_level(Some(ListenerId(listener.row))) == 0
        });
        let mut object = json!({
            "kind": "log",
            "level": chosen.map_or(written, |chosen| &plan.log_formats[chosen].0),
            "global": global,
        });
        match asked {
            Some(Name::Index(index)) => object["listener_index"] = (*index).into(),
            Some(Name::Label(label)) => object["listener_name"] = label.as_str().into(),
            None => {}
        }
        object
    }

    fn services(&self, services: &[ServiceIx]) -> Vec<Value> {
        services.iter().map(|service| self.service(*service)).collect()
    }

    fn service(&self, ix: ServiceIx) -> Value {
        let service = self.of.plan.service(ix);
        let session_type = match service.session.as_ref().map(|session| &session.kind) {
            None => "NONE",
            Some(SessionKind::Ip) => "IP",
            Some(SessionKind::Basic) => "BASIC",
            Some(SessionKind::Url(_)) => "URL",
            Some(SessionKind::Parm) => "PARM",
            Some(SessionKind::Cookie(_)) => "COOKIE",
            Some(SessionKind::Header(_)) => "HEADER",
        };
        json!({
            "kind": "service",
            "name": label(&service.name),
            "enabled": self.service_enabled(service),
            "session_type": session_type,
            "sessions": self.sessions(ix),
            "backends": self.backends(ix),
        })
    }

    /// The sessions of a service that have not expired, the next to expire first; null if it has none at all.
    fn sessions(&self, ix: ServiceIx) -> Value {
        let (plan, segment) = (&self.of.plan, &self.of.segment);
        let service = plan.service(ix);
        // Where keys themselves say where they belong, none is kept either.
        if service.session.as_ref().is_none_or(|session| session.ttl_ms.is_none()) {
            return Value::Null;
        }
        let shown = shown(plan, segment, ix);
        let mut found: Vec<(u64, String, usize)> = Vec::new();
        segment.sessions().for_each(ServiceId(service.row), |key, backend, expiry_ms| {
            let position = shown.iter().position(|&ix| plan.backend(ix).row == backend.0);
            // A backend that a reload has removed has no number any more.
            if let (Some(position), true) = (position, expiry_ms > self.at.mono_ms) {
                found.push((expiry_ms, String::from_utf8_lossy(key).into_owned(), position));
            }
        });
        found.sort_unstable();
        let entry = |(expiry_ms, key, backend)| {
            let expire = self.at.local(expiry_ms);
            json!({"key": key, "backend": backend, "expire": expire})
        };
        found.into_iter().map(entry).collect()
    }

    /// Whether a backend is alive and whether it is enabled. What is not a server never dies; a name is alive while it
    /// leads somewhere. A server is switched off with its name.
    pub(super) fn backend_state(&self, backend: &BackendPlan) -> (bool, bool) {
        let disabled = |row: u32| self.of.segment.backends().status(BackendId(row)).disabled;
        let status = self.of.segment.backends().status(BackendId(backend.row));
        let alive = match backend.kind {
            BackendKind::Server { .. } => status.alive,
            BackendKind::Name(_) => self.of.segment.places().occupied(BackendId(backend.row)) != 0,
            _ => true,
        };
        let of_name = backend.place.is_some_and(|place| disabled(self.of.plan.backend(place.name).row));
        (alive, !(status.disabled || of_name))
    }

    /// The backends of a service, each with its number.
    fn backends(&self, service: ServiceIx) -> Vec<Value> {
        let shown = shown(&self.of.plan, &self.of.segment, service);
        let mut objects: Vec<Value> = shown.iter().map(|&ix| self.backend(ix)).collect();
        for (object, &ix) in objects.iter_mut().zip(&shown) {
            let name = self.of.plan.backend(ix).place.map(|place| place.name);
            if let Some(parent) = name.and_then(|name| shown.iter().position(|&ix| ix == name)) {
                object["parent"] = parent.into();
            }
        }
        objects
    }

    /// What is said of a name.
    fn name(&self, name: &DynamicName, row: u32, object: &mut Value) {
        object["type"] = "matrix".into();
        object["hostname"] = name.host.as_str().into();
        object["resolve_mode"] = match name.mode {
            ResolveMode::First => "first",
            ResolveMode::All => "all",
            ResolveMode::Srv => "srv",
        }
        .into();
        object["family"] = match name.family {
            Families::Any => libc::AF_UNSPEC,
            Families::Inet => libc::AF_INET,
            Families::Inet6 => libc::AF_INET6,
        }
        .into();
        let expiry = self.of.segment.places().expiry(BackendId(row));
        object["expire"] = expiry.map(|expiry_ms| self.at.local(expiry_ms)).into();
    }

    /// What is said of a place besides.
    fn place(&self, id: BackendId, emergency: bool, object: &mut Value) {
        let places = self.of.segment.places();
        if let Some(placed) = places.at(id) {
            object["address"] = placed.address.to_string().into();
        }
        let share = places.share(id);
        if share.weight != 0 {
            object["priority"] = share.weight.into();
        }
        if !emergency {
            object["weight"] = share.group.into();
        }
    }

    fn backend(&self, ix: BackendIx) -> Value {
        let plan = &self.of.plan;
        let backend = plan.backend(ix);
        let emergency = plan.service(backend.service).emergency.contains(&ix.0);
        let (alive, enabled) = self.backend_state(backend);
        let mut object = json!({
            "kind": "backend",
            "priority": backend.priority,
            "alive": alive,
            "enabled": enabled,
            "weight": if emergency { EMERGENCY_WEIGHT } else { 0 },
        });
        match &backend.kind {
            BackendKind::Name(name) => self.name(&name.name, backend.row, &mut object),
            BackendKind::Server { timeout_ms, connect_ms, ws_ms, server_name, .. } => {
                object["type"] = "backend".into();
                object["address"] = backend.name.as_str().into();
                if backend.place.is_some() {
                    self.place(BackendId(backend.row), emergency, &mut object);
                }
                object["protocol"] = "http".into();
                object["io_to"] = (timeout_ms / 1000).into();
                object["conn_to"] = (connect_ms / 1000).into();
                object["ws_to"] = (ws_ms / 1000).into();
                object["servername"] = server_name.as_deref().into();
            }
            BackendKind::Redirect(redirect) => {
                object["type"] = "redirect".into();
                object["code"] = redirect.code.into();
                object["url"] = backend.name.strip_prefix("redirect:").unwrap_or(&backend.name).into();
                object["has_uri"] = (!redirect.append_target).into();
            }
            BackendKind::House { work, .. } => {
                object["type"] = match work {
                    HouseWork::Metrics => "metrics",
                    HouseWork::Control => "control",
                    HouseWork::SendFile(_) => "file",
                    HouseWork::Acme(_) => "acme",
                }
                .into();
                if let HouseWork::SendFile(path) | HouseWork::Acme(path) = work {
                    object["path"] = path.to_string_lossy().into();
                }
            }
            BackendKind::Success => object["type"] = "success".into(),
            BackendKind::Error { code, page } => {
                object["type"] = "error".into();
                object["status"] = (*code).into();
                object["text"] =
                    page.as_ref().map(|page| String::from_utf8_lossy(&page.body).into_owned()).into();
            }
        }
        if plan.backend_stats {
            let stats = self.of.segment.backends().stats(BackendId(backend.row));
            object["stats"] = json!({
                "request_count": stats.count,
                "request_time_avg": whole(stats.mean_ns),
                "request_time_stddev": whole(stats.stddev_ns),
            });
        }
        object
    }
}

/// Where a listener listens, as `ip:port` or a path.
pub(super) fn listener_address(listener: &ListenerPlan) -> String {
    match listener.address {
        Some(address) => address.to_string(),
        None => listener.address_text.clone(),
    }
}

/// `http` or `https`.
pub(super) fn protocol(listener: &ListenerPlan) -> &'static str {
    match listener.protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    }
}

/// Nanoseconds without their fraction.
pub(super) fn whole(nanoseconds: f64) -> u64 {
    // A cast of a float ends at the bounds of the integer, and makes 0 of what is no number.
    nanoseconds.round() as u64
}

fn certificate(paper: &Paper) -> Value {
    json!({ "file": paper.file.to_string_lossy(), "names": paper.names, "not_after": paper.ends_s })
}

fn label(name: &str) -> Value {
    if name.is_empty() { Value::Null } else { name.into() }
}

fn control(path: &str) -> Value {
    json!({
        "kind": "listener",
        "name": null,
        "address": path,
        "protocol": "http",
        "enabled": true,
        "services": [control_service()],
    })
}

fn control_service() -> Value {
    json!({
        "kind": "service",
        "name": null,
        "enabled": true,
        "session_type": "NONE",
        "sessions": null,
        "backends": [control_backend()],
    })
}

fn control_backend() -> Value {
    json!({
        "kind": "backend",
        "type": "control",
        "priority": 1,
        "alive": true,
        "enabled": true,
        "weight": 0,
    })
}
