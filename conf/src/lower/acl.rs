//! Lists of networks.

use super::Lowering;
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::listing;
use crate::model::{FeedKind, Networks};
use crate::source::Span;
use crate::suggest;
use crate::tree::{Inner, Statement};
use std::path::Path;

/// A list that conditions use by its name.
pub(super) struct Named {
    networks: Networks,
    place: Span,
}

impl Lowering<'_> {
    /// `ACL "name"` of the global scope.
    pub(super) fn named_acl(&mut self, statement: &Statement) {
        let networks = self.networks(statement, 1);
        let Some(name) = statement.text(0) else { return };
        let place = statement.place(0);
        if let Some(first) = self.acls.insert(name.to_owned(), Named { networks, place }) {
            let problem = Problem::error(place, format!("a second ACL \"{name}\""));
            self.findings.push(problem.note(first.place, "the first one is here"));
        }
    }

    /// The networks of a condition: a named list, a list in place, or a file.
    pub(super) fn acl(&mut self, statement: &Statement) -> Networks {
        let Some(name) = statement.text(0) else { return self.networks(statement, 0) };
        if let Some(named) = self.acls.get(name) {
            return named.networks.clone();
        }
        let mut problem =
            Problem::error(statement.place(0), format!("no ACL is named \"{name}\" before this line"));
        if let Some(near) = suggest::nearest(name, self.acls.keys().map(String::as_str)) {
            problem = problem.help(format!("did you mean \"{near}\"?"));
        }
        self.findings.push(problem);
        Networks::Listed(Vec::new())
    }

    /// The networks in a statement's section, or in the file that is its argument `file`.
    fn networks(&mut self, statement: &Statement, file: usize) -> Networks {
        if let Some(path) = statement.file(file) {
            return self.networks_of_file(path, statement.place(file), statement.has(Switch::FileWatch));
        }
        if file > 0 && statement.text(file).is_some() {
            let problem = Problem::error(statement.place(file), "a file is named without -file");
            self.findings.push(problem.expected("-file before the file's name, or the end of the line"));
        }
        let Inner::List(items) = &statement.inner else { return Networks::Listed(Vec::new()) };
        let mut networks = Vec::new();
        for (text, place) in items {
            match listing::network(text) {
                Some(network) => networks.push(network),
                None => {
                    let problem = Problem::error(*place, format!("\"{text}\" is no network"));
                    self.findings
                        .push(problem.expected("an address, or one with a length such as 10.0.0.0/8"));
                }
            }
        }
        Networks::Listed(networks)
    }

    /// The networks in a file; where it is watched, they may become others.
    fn networks_of_file(&mut self, path: &Path, place: Span, watched: bool) -> Networks {
        let none = Networks::Listed(Vec::new());
        let Some(bytes) = self.bytes_of_file(path, place, watched) else { return none };
        match listing::networks(&bytes) {
            Ok(_) if watched => Networks::Feed(self.feed(path, FeedKind::Networks, true, bytes)),
            Ok(networks) => Networks::Listed(networks),
            Err(faults) => {
                self.faults(path, place, &faults);
                none
            }
        }
    }
}
