//! What the program answers itself: `Metrics`, `Control`, `SendFile`, `ACME`.

use super::Lowering;
use super::backend::PRIORITY_OWN;
use crate::model::{
    Backend, BackendKind, Condition, Flavour, HouseWork, Kind, Originator, Pattern, Service, ServiceName,
};
use crate::source;
use crate::tree::Statement;
use std::path::PathBuf;

/// The requests that `ACME` answers (RFC 8555 8.3); the rest of the path is the file's name.
const CHALLENGES: &str = r"^/\.well-known/acme-challenge/(.+)";

impl Lowering<'_> {
    /// A directive that makes a backend of the program itself; false if it is none.
    pub(super) fn house(&mut self, statement: &Statement, backends: &mut Vec<Backend>) -> bool {
        let work = match statement.row.name {
            "Metrics" => Some(HouseWork::Metrics),
            "Control" => Some(HouseWork::Control),
            "SendFile" => self.directory(statement).map(HouseWork::SendFile),
            _ => return false,
        };
        backends.extend(work.map(|work| self.house_backend(statement, work)));
        true
    }

    /// `ACME` of a listener: a service in its place.
    pub(super) fn acme(&mut self, statement: &Statement) -> Option<Service> {
        let directory = self.directory(statement)?;
        let pattern = Pattern {
            kind: Kind::Regex(Flavour::Posix),
            text: CHALLENGES.to_owned(),
            ignore_case: false,
            tag: None,
            decode: false,
        };
        Some(Service {
            name: ServiceName { label: None },
            disabled: false,
            condition: Condition::All(vec![Condition::Url(pattern)]),
            fall_through: false,
            rewrite_errors: None,
            originator: Originator::default(),
            request_rules: Vec::new(),
            response_rules: Vec::new(),
            backends: vec![self.house_backend(statement, HouseWork::Acme(directory))],
            emergency: Vec::new(),
            session: None,
            balancer: self.defaults.balancer,
            dyn_scale: false,
            log_suppress: Vec::new(),
            locus: self.locus(statement),
        })
    }

    fn house_backend(&self, statement: &Statement, work: HouseWork) -> Backend {
        Backend {
            label: None,
            kind: BackendKind::House { work, timeout: self.defaults.timeout },
            priority: PRIORITY_OWN,
            disabled: false,
            locus: self.locus(statement),
        }
    }

    fn directory(&mut self, statement: &Statement) -> Option<PathBuf> {
        let path = statement.file(0)?;
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => return Some(path.to_owned()),
            Ok(_) => self.error(statement.place(0), format!("{} is no directory", path.display())),
            Err(error) => {
                let reason = source::reason(&error);
                self.error(statement.place(0), format!("cannot read {}: {reason}", path.display()));
            }
        }
        None
    }
}
