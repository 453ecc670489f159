//! Rows of the shared segment: who claims them, when they are free again, how their switches stand at first.
//!
//! A row belongs to every generation that named its identity and is not over yet. When one is over, the living ones
//! claim theirs again under a new number, and what was left out is swept: so a configuration that failed half-way
//! occupies nothing for long. The numbers of claims are counted here and are no numbers of generations.

use ounce_core::Plan;
use ounce_core::route::compile::Ids;
use ounce_mem::{BackendId, Segment, ServiceId};
use std::collections::HashMap;
use std::sync::Arc;

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

/// The tables of the segment, as the supervisor alone may write them.
#[derive(Debug)]
pub(crate) struct Rows {
    segment: Arc<Segment>,
    /// The last number under which rows were claimed.
    number: u32,
}

impl Rows {
    /// The tables of a segment in which nothing was claimed yet.
    pub(crate) fn new(segment: Arc<Segment>) -> Rows {
        Rows { segment, number: 0 }
    }

    /// The segment.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Begins the claims of one generation.
    pub(crate) fn claims(&mut self) -> Claims<'_> {
        self.number += 1;
        Claims { segment: &self.segment, number: self.number, made: Vec::new() }
    }

    /// Frees every row that none of `living` names.
    pub(crate) fn sweep<'a>(&mut self, living: impl Iterator<Item = &'a Identity>) {
        self.number += 1;
        for identity in living {
            // The row is there: it is found again, so no table can be full for it.
            let _ = identity.claim(&self.segment, self.number);
        }
        self.segment.listeners().sweep(self.number);
        self.segment.services().sweep(self.number);
        self.segment.backends().sweep(self.number);
    }

    /// Sets switches as `plan`'s file says.
    pub(crate) fn set_switches(&self, serving: Option<&Plan>, plan: &Plan, which: Switches) {
        let before = serving.map(Said::by).unwrap_or_default();
        let now = Said::by(plan);
        let is_due = |before: Option<&bool>, disabled: bool| match which {
            Switches::New => before.is_none(),
            Switches::Changed => before.is_some_and(|before| *before != disabled),
        };
        for (row, disabled) in now.services {
            if is_due(before.services.get(&row), disabled) {
                self.segment.services().set_disabled(ServiceId(row), disabled);
            }
        }
        for (row, disabled) in now.backends {
            if is_due(before.backends.get(&row), disabled) {
                self.segment.backends().set_disabled(BackendId(row), disabled);
            }
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

impl Claims<'_> {
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

/// Which switches to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switches {
    /// Those of rows that the serving plan does not have: before anybody looks at them.
    New,
    /// Those of which the two files say different things: when the plan begins to serve. Where both say the same, an
    /// operator's word since then counts.
    Changed,
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

#[cfg(test)]
mod tests {
    use super::*;
    use ounce_conf::Options;
    use ounce_mem::Limits;

    /// A service for each word, with one backend; a word that ends with `-` has its backend switched off.
    fn text(words: &str) -> String {
        let service = |word: &str| {
            let disabled = if word.ends_with('-') { "Disabled 1" } else { "" };
            let name = word.trim_end_matches('-');
            format!("Service \"{name}\"\nBackEnd\nAddress 127.0.0.1\nPort 1\n{disabled}\nEnd\nEnd\n")
        };
        let services: String = words.split_whitespace().map(service).collect();
        format!("ListenHTTP\nAddress 127.0.0.1\nPort 1\n{services}End\n")
    }

    fn compile(rows: &mut Rows, words: &str) -> (Plan, Vec<Identity>) {
        let loaded = ounce_conf::load_text("test", &text(words), &Options::default()).unwrap();
        let mut claims = rows.claims();
        let plan = ounce_core::route::compile(&loaded.config, &mut claims).unwrap();
        (plan, claims.into_identities())
    }

    fn rows(services: u32) -> Rows {
        Rows::new(Arc::new(Segment::create(Limits { services, ..Limits::default() }).unwrap()))
    }

    fn is_disabled(rows: &Rows, plan: &Plan, backend: usize) -> bool {
        rows.segment().backends().status(BackendId(plan.backends[backend].row)).disabled
    }

    #[test]
    fn a_row_is_kept_while_a_living_generation_names_it_and_freed_after() {
        let mut rows = rows(2);
        let (first, kept) = compile(&mut rows, "a b");
        let loaded = ounce_conf::load_text("test", &text("a c"), &Options::default()).unwrap();
        assert!(ounce_core::route::compile(&loaded.config, &mut rows.claims()).is_err(), "the table is full");
        rows.sweep(kept.iter());
        let (again, _) = compile(&mut rows, "a b");
        let of = |plan: &Plan| plan.services.iter().map(|service| service.row).collect::<Vec<u32>>();
        assert_eq!(of(&first), of(&again));
        let (_, only_a) = compile(&mut rows, "a");
        rows.sweep(only_a.iter());
        let (last, _) = compile(&mut rows, "a c");
        assert_eq!(last.services[0].row, first.services[0].row);
    }

    #[test]
    fn new_switches_stand_as_the_file_says_and_old_ones_as_the_operator_left_them() {
        let mut rows = rows(8);
        let (first, _) = compile(&mut rows, "a b-");
        rows.set_switches(None, &first, Switches::New);
        assert!(!is_disabled(&rows, &first, 0));
        assert!(is_disabled(&rows, &first, 1));
        // The operator turns both around; the next file says the same of them and brings another.
        rows.segment().backends().set_disabled(BackendId(first.backends[0].row), true);
        rows.segment().backends().set_disabled(BackendId(first.backends[1].row), false);
        let (second, _) = compile(&mut rows, "a b- c-");
        rows.set_switches(Some(&first), &second, Switches::New);
        rows.set_switches(Some(&first), &second, Switches::Changed);
        let switched = |at| is_disabled(&rows, &second, at);
        assert_eq!([switched(0), switched(1), switched(2)], [true, false, true]);
    }

    #[test]
    fn a_file_that_changed_its_mind_is_obeyed_when_it_serves() {
        let mut rows = rows(8);
        let (first, _) = compile(&mut rows, "a");
        rows.set_switches(None, &first, Switches::New);
        let (second, _) = compile(&mut rows, "a-");
        rows.set_switches(Some(&first), &second, Switches::New);
        assert!(!is_disabled(&rows, &second, 0));
        rows.set_switches(Some(&first), &second, Switches::Changed);
        assert!(is_disabled(&rows, &second, 0));
    }
}
