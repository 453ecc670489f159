//! Rows of the shared segment: who claims them, when they are free again, how their switches stand at first.
//!
//! A row belongs to every generation that named its identity and is not over yet. When one is over, the living ones
//! claim theirs again under a new number, and what was left out is swept: so a configuration that failed half-way
//! occupies nothing for long.

use ounce_core::Plan;
use ounce_core::route::compile::Ids;
use ounce_mem::{BackendId, Segment, ServiceId};
use std::collections::HashMap;

/// What a generation has rows for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A listener.
    Listener(String),
    /// A service.
    Service(String),
    /// A backend.
    Backend(String),
}

impl Identity {
    fn claim(&self, segment: &Segment, number: u32) -> Option<u32> {
        match self {
            Identity::Listener(name) => segment.listeners().claim(name, number).map(|id| id.0),
            Identity::Service(name) => segment.services().claim(name, number).map(|id| id.0),
            Identity::Backend(name) => segment.backends().claim(name, number).map(|id| id.0),
        }
    }
}

/// The rows of one generation while it is compiled.
#[derive(Debug)]
pub(crate) struct Claims<'a> {
    segment: &'a Segment,
    number: u32,
    made: Vec<Identity>,
}

impl<'a> Claims<'a> {
    /// Claims under this number, which no earlier claim had.
    pub(crate) fn new(segment: &'a Segment, number: u32) -> Claims<'a> {
        Claims { segment, number, made: Vec::new() }
    }

    /// What was claimed.
    pub(crate) fn into_identities(self) -> Vec<Identity> {
        self.made
    }

    fn claim(&mut self, identity: Identity) -> Option<u32> {
        let row = identity.claim(self.segment, self.number)?;
        self.made.push(identity);
        Some(row)
    }
}

impl Ids for Claims<'_> {
    fn listener(&mut self, identity: &str) -> Option<u32> {
        self.claim(Identity::Listener(identity.into()))
    }

    fn service(&mut self, identity: &str) -> Option<u32> {
        self.claim(Identity::Service(identity.into()))
    }

    fn backend(&mut self, identity: &str) -> Option<u32> {
        self.claim(Identity::Backend(identity.into()))
    }
}

/// Frees every row that none of `living` names. `number` is one that no earlier claim had.
pub(crate) fn sweep<'a>(segment: &Segment, number: u32, living: impl Iterator<Item = &'a Identity>) {
    for identity in living {
        // The row is there: it is found again, so no table can be full for it.
        let _ = identity.claim(segment, number);
    }
    segment.listeners().sweep(number);
    segment.services().sweep(number);
    segment.backends().sweep(number);
}

/// Which switches to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switches {
    /// Those of rows that the serving plan does not have: before anybody looks at them.
    New,
    /// Those of which the two files say different things: when the plan begins to serve. Where both say the same, an
    /// operator's word since then counts.
    Changed,
}

/// Sets switches as `plan`'s file says.
pub(crate) fn set_switches(segment: &Segment, serving: Option<&Plan>, plan: &Plan, which: Switches) {
    let before = serving.map(Said::by).unwrap_or_default();
    let now = Said::by(plan);
    let is_due = |before: Option<&bool>, disabled: bool| match which {
        Switches::New => before.is_none(),
        Switches::Changed => before.is_some_and(|before| *before != disabled),
    };
    for (row, disabled) in now.services {
        if is_due(before.services.get(&row), disabled) {
            segment.services().set_disabled(ServiceId(row), disabled);
        }
    }
    for (row, disabled) in now.backends {
        if is_due(before.backends.get(&row), disabled) {
            segment.backends().set_disabled(BackendId(row), disabled);
        }
    }
}

/// What a file says about switches, by row.
#[derive(Debug, Default)]
struct Said {
    services: HashMap<u32, bool>,
    backends: HashMap<u32, bool>,
}

impl Said {
    fn by(plan: &Plan) -> Said {
        Said {
            services: plan.services.iter().map(|service| (service.row, service.disabled)).collect(),
            backends: plan.backends.iter().map(|backend| (backend.row, backend.disabled)).collect(),
        }
    }
}
