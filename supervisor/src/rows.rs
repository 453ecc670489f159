//! Rows of the shared segment: who claims them, when they are free again, how their switches stand at first.
//!
//! A row belongs to every generation that named its identity and is not over yet. When one is over, the living ones
//! claim theirs again under a new number, and what was left out is swept: so a configuration that failed half-way
//! occupies nothing for long. The numbers of claims are counted here and are no numbers of generations.

use ounce_core::Plan;
use ounce_core::route::compile::Ids;
use ounce_mem::{BackendId, Segment, ServiceId};
use std::collections::BTreeMap;
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

    /// The tables as an earlier program has left them, with the last number under which it claimed rows.
    pub(crate) fn adopt(segment: Arc<Segment>, number: u32) -> Rows {
        Rows { segment, number }
    }

    /// The last number under which rows were claimed.
    pub(crate) fn number(&self) -> u32 {
        self.number
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

    /// Sets the switches of rows that the serving generation does not have, before anybody looks at them.
    pub(crate) fn set_new_switches(&self, before: Option<&Said>, now: &Said) {
        let nothing = Said::default();
        let before = before.unwrap_or(&nothing);
        self.set_services(now.services.iter().filter(|(row, _)| !before.services.contains_key(row)));
        self.set_backends(now.backends.iter().filter(|(row, _)| !before.backends.contains_key(row)));
    }

    /// Sets the switches of which the two files say different things. Where both say the same, an operator's word since
    /// then counts.
    pub(crate) fn set_changed_switches(&self, before: &Said, now: &Said) {
        let differs = |before: Option<&bool>, now: &bool| before.is_some_and(|before| before != now);
        self.set_services(now.services.iter().filter(|(row, now)| differs(before.services.get(row), now)));
        self.set_backends(now.backends.iter().filter(|(row, now)| differs(before.backends.get(row), now)));
    }

    fn set_services<'a>(&self, switches: impl Iterator<Item = (&'a u32, &'a bool)>) {
        for (row, disabled) in switches {
            self.segment.services().set_disabled(ServiceId(*row), *disabled);
        }
    }

    fn set_backends<'a>(&self, switches: impl Iterator<Item = (&'a u32, &'a bool)>) {
        for (row, disabled) in switches {
            self.segment.backends().set_disabled(BackendId(*row), *disabled);
        }
    }
}

/// Rows, and whether they are disabled.
pub(crate) type Switches = BTreeMap<u32, bool>;

/// What a file says about switches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Of services.
    pub(crate) services: Switches,
    /// Of backends.
    pub(crate) backends: Switches,
}

impl Said {
    /// What the file of this plan says.
    pub(crate) fn by(plan: &Plan) -> Said {
        Said {
            services: plan.services.iter().map(|service| (service.row, service.disabled)).collect(),
            backends: plan.backends.iter().map(|backend| (backend.row, backend.disabled)).collect(),
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
        rows.set_new_switches(None, &Said::by(&first));
        assert!(!is_disabled(&rows, &first, 0));
        assert!(is_disabled(&rows, &first, 1));
        // The operator turns both around; the next file says the same of them and brings another.
        rows.segment().backends().set_disabled(BackendId(first.backends[0].row), true);
        rows.segment().backends().set_disabled(BackendId(first.backends[1].row), false);
        let (second, _) = compile(&mut rows, "a b- c-");
        rows.set_new_switches(Some(&Said::by(&first)), &Said::by(&second));
        rows.set_changed_switches(&Said::by(&first), &Said::by(&second));
        let switched = |at| is_disabled(&rows, &second, at);
        assert_eq!([switched(0), switched(1), switched(2)], [true, false, true]);
    }

    #[test]
    fn a_file_that_changed_its_mind_is_obeyed_when_it_serves() {
        let mut rows = rows(8);
        let (first, _) = compile(&mut rows, "a");
        rows.set_new_switches(None, &Said::by(&first));
        let (second, _) = compile(&mut rows, "a-");
        rows.set_new_switches(Some(&Said::by(&first)), &Said::by(&second));
        assert!(!is_disabled(&rows, &second, 0));
        rows.set_changed_switches(&Said::by(&first), &Said::by(&second));
        assert!(is_disabled(&rows, &second, 0));
    }
}
