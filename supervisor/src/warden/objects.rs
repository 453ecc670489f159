//! What the control API can name: listeners, services and backends, numbered as Pound numbers them.
//!
//! `Control` counts as a listener where it stands in the file, with one service that has one backend, so that the
//! numbers of all that follow are those that scripts written for Pound use. It can be looked at and not switched.

use ounce_conf::model::{Config, HouseWork};
use ounce_core::Plan;
use ounce_core::route::plan::{BackendIx, BackendKind, ServiceIx};
use ounce_ctl::api::{Name, Object, Place, ServicePath};
use ounce_mem::Segment;
use std::path::{Path, PathBuf};

/// A listener, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Door {
    /// The control socket.
    Control(PathBuf),
    /// The listener at this place of the plan.
    Listener(usize),
}

/// Something that the API named, found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// The whole proxy.
    Everything,
    /// The control socket as a listener.
    Control(&'a Path),
    /// The service of the control socket.
    ControlService,
    /// The backend of that service.
    ControlBackend,
    /// A listener, by its place in the plan.
    Listener(usize),
    /// A service.
    Service(ServiceIx),
    /// A backend.
    Backend(BackendIx),
}

/// Everything that has a name.
#[derive(Debug)]
pub(super) struct Objects {
    doors: Vec<Door>,
    /// The own services of each listener of the plan.
    own: Vec<Vec<ServiceIx>>,
    global: Vec<ServiceIx>,
}

impl Objects {
    /// Numbers what a configuration and its plan hold.
    pub(super) fn new(config: &Config, plan: &Plan) -> Objects {
        let mut doors: Vec<Door> = (0..plan.listeners.len()).map(Door::Listener).collect();
        if let Some(control) = &config.global.control {
            doors.insert(control.position.min(doors.len()), Door::Control(control.path.clone()));
        }
        let mut own = vec![Vec::new(); plan.listeners.len()];
        let mut global = Vec::new();
        for (service, ix) in plan.services.iter().zip((0..).map(ServiceIx)) {
            match service.listener.and_then(|listener| own.get_mut(listener as usize)) {
                Some(services) => services.push(ix),
                None => global.push(ix),
            }
        }
        Objects { doors, own, global }
    }

    /// All listeners in file order.
    pub(super) fn doors(&self) -> &[Door] {
        &self.doors
    }

    /// The own services of a listener of the plan, in file order.
    pub(super) fn services(&self, listener: usize) -> &[ServiceIx] {
        &self.own[listener]
    }

    /// The services outside any listener, in file order.
    pub(super) fn global(&self) -> &[ServiceIx] {
        &self.global
    }

    /// What `object` names, if it is there.
    pub(super) fn find(&self, plan: &Plan, segment: &Segment, object: &Object) -> Option<Found<'_>> {
        match object {
            Object::Everything => Some(Found::Everything),
            Object::Listener(name) => Some(self.door(plan, name)?.into()),
            Object::Service(path) => self.service(plan, path),
            Object::Backend(path, backend) => match self.service(plan, path)? {
                Found::Service(service) => {
                    Some(Found::Backend(*shown(plan, segment, service).get(*backend)?))
                }
                _ if *backend == 0 => Some(Found::ControlBackend),
                _ => None,
            },
        }
    }

    /// The service that `path` names: [`Found::Service`] or [`Found::ControlService`].
    pub(super) fn service(&self, plan: &Plan, path: &ServicePath) -> Option<Found<'_>> {
        let services = match &path.place {
            Place::Global => &self.global,
            Place::Listener(name) => match self.door(plan, name)? {
                Door::Listener(listener) => self.own.get(*listener)?,
                Door::Control(_) => {
                    return (path.service == Name::Index(0)).then_some(Found::ControlService);
                }
            },
        };
        let service = match &path.service {
            Name::Index(index) => services.get(*index),
            Name::Label(label) => services.iter().find(|ix| plan.service(**ix).name == *label),
        };
        service.map(|ix| Found::Service(*ix))
    }

    /// Whether the control interface is this, or is answered by a backend in it: whoever switched it off could not
    /// switch it on again.
    pub(super) fn controls(&self, plan: &Plan, found: Found<'_>) -> bool {
        let backend = |ix: BackendIx| {
            matches!(plan.backend(ix).kind, BackendKind::House { work: HouseWork::Control, .. })
        };
        let service = |ix: ServiceIx| plan.service(ix).all_backends().any(backend);
        match found {
            Found::Everything | Found::Control(_) | Found::ControlService | Found::ControlBackend => true,
            Found::Listener(listener) => self.own[listener].iter().any(|ix| service(*ix)),
            Found::Service(ix) => service(ix),
            Found::Backend(ix) => backend(ix),
        }
    }

    fn door(&self, plan: &Plan, name: &Name) -> Option<&Door> {
        match name {
            Name::Index(index) => self.doors.get(*index),
            Name::Label(label) => self.doors.iter().find(|door| match door {
                Door::Listener(listener) => plan.listeners[*listener].name == *label,
                Door::Control(_) => false,
            }),
        }
    }
}

/// The backends of a service as they are numbered: those of the file in its order, then the places of names that have an
/// address, so that what is looked up moves no other number.
pub(super) fn shown(plan: &Plan, segment: &Segment, service: ServiceIx) -> Vec<BackendIx> {
    let all = || plan.service(service).all_backends();
    let of_file = all().filter(|&ix| plan.backend(ix).place.is_none());
    of_file.chain(all().flat_map(|ix| plan.occupied(ix, segment))).collect()
}

impl<'a> From<&'a Door> for Found<'a> {
    fn from(door: &'a Door) -> Found<'a> {
        match door {
            Door::Control(path) => Found::Control(path),
            Door::Listener(listener) => Found::Listener(*listener),
        }
    }
}
