//! Files whose contents are part of the configuration.

use super::Lowering;
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::listing::{self, Fault};
use crate::model::{Feed, FeedKind, FeedName};
use crate::source::{self, Span};
use crate::tree::Statement;
use std::io::ErrorKind;
use std::path::Path;

impl Lowering<'_> {
    /// What is in a file; none when it cannot be read, which is reported. One that is watched may come later.
    pub(super) fn bytes_of_file(&mut self, path: &Path, place: Span, watched: bool) -> Option<Vec<u8>> {
        let bytes = source::read_regular(path);
        let reason = match bytes {
            Ok(bytes) => return Some(bytes),
            Err(error) if watched && error.kind() == ErrorKind::NotFound => {
                let text = format!("{} is not there", path.display());
                self.findings.push(Problem::warning(place, text).help("it counts as empty until it is"));
                return Some(Vec::new());
            }
            Err(error) => source::reason(&error),
        };
        self.error(place, format!("cannot read {}: {reason}", path.display()));
        None
    }

    /// The users of `BasicAuth`, whose changes are followed unless it says `-file`.
    pub(super) fn users(&mut self, statement: &Statement) -> Option<FeedName> {
        let (path, place) = (statement.file(0)?, statement.place(0));
        let watched = !statement.has(Switch::File);
        let bytes = self.bytes_of_file(path, place, watched)?;
        if let Err(faults) = listing::users(&bytes) {
            self.faults(path, place, &faults);
            return None;
        }
        Some(self.feed(path, FeedKind::Users, watched, bytes))
    }

    /// Reports what is wrong with a file where it is named.
    pub(super) fn faults(&mut self, path: &Path, place: Span, faults: &[Fault]) {
        for fault in faults {
            self.error(place, format!("{}{fault}", path.display()));
        }
    }

    /// Takes up a file whose contents are found good, and tells its name. One that is there for the
    /// same purpose already stands for this one too.
    pub(super) fn feed(&mut self, path: &Path, kind: FeedKind, watched: bool, bytes: Vec<u8>) -> FeedName {
        let path = path.to_owned();
        let feed = Feed { path: path.clone(), kind, watched, bytes };
        let known = self.feeds.iter().position(|known| *known == feed);
        let index = known.unwrap_or_else(|| {
            self.feeds.push(feed);
            self.feeds.len() - 1
        });
        FeedName { index, path }
    }
}
