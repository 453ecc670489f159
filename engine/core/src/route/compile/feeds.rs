//! Files that may change become cells.

use super::Compiler;
use crate::route::acl::{Acl, Networks};
use crate::route::auth::{Asked, Users};
use crate::route::expand::Template;
use crate::route::feed::{self, Cell, FeedPlan, PatternReader, Reader};
use crate::route::matcher::Matcher;
use crate::route::trust::Proxies;
use ounce_conf::listing::{self, Fault, Text};
use ounce_conf::model::{self, Condition, Config, FeedKind, Originator};
use std::sync::Arc;

/// The feeds of a configuration, which nothing is part of yet.
pub(super) fn of(config: &Config) -> Vec<FeedPlan> {
    let plan = |feed: &model::Feed| FeedPlan {
        path: feed.path.clone(),
        kind: feed.kind,
        watched: feed.watched,
        readers: Vec::new(),
    };
    config.feeds.iter().map(plan).collect()
}

impl Compiler<'_> {
    pub(super) fn networks(&mut self, written: &model::Networks) -> Networks {
        let feed = match written {
            model::Networks::Listed(networks) => return Networks::Fixed(Arc::new(Acl::new(networks))),
            model::Networks::Feed(feed) => feed.index,
        };
        if let Some(cell) = self.networks.get(&feed) {
            return Networks::Watched(Arc::clone(cell));
        }
        let networks = listing::networks(self.bytes(feed)).unwrap_or_else(|faults| {
            self.faults(feed, &faults);
            Vec::new()
        });
        let cell = Cell::new(Acl::new(&networks));
        self.networks.insert(feed, Arc::clone(&cell));
        self.read_by(feed, Reader::Networks(Arc::clone(&cell)));
        Networks::Watched(cell)
    }

    pub(super) fn basic_auth(&mut self, feed: usize) -> Matcher {
        if let Some(users) = self.users.get(&feed) {
            return Matcher::BasicAuth(Asked { feed: feed as u32, users: Arc::clone(users) });
        }
        let users = listing::users(self.bytes(feed)).unwrap_or_else(|faults| {
            self.faults(feed, &faults);
            Vec::new()
        });
        let users = Cell::new(Users::new(users));
        self.users.insert(feed, Arc::clone(&users));
        self.read_by(feed, Reader::Users(Arc::clone(&users)));
        Matcher::BasicAuth(Asked { feed: feed as u32, users })
    }

    /// A text to be expanded, watched files connected.
    pub(super) fn template(&mut self, text: &str) -> Template {
        let mut template = Template::parse(text);
        self.connect(&mut template);
        template
    }

    /// Connects what stands for watched files in a text.
    pub(super) fn connect(&mut self, template: &mut Template) {
        template.connect(|feed| self.text(feed));
    }

    fn text(&mut self, feed: usize) -> Option<Arc<Cell<Text>>> {
        if let Some(text) = self.texts.get(&feed) {
            return Some(Arc::clone(text));
        }
        let FeedKind::Text { trim } = self.written.get(feed)?.kind else { return None };
        match listing::text(self.bytes(feed), trim) {
            Ok(text) => {
                let cell = Cell::new(text);
                self.texts.insert(feed, Arc::clone(&cell));
                self.read_by(feed, Reader::Text { cell: Arc::clone(&cell), trim });
                Some(cell)
            }
            Err(fault) => {
                self.faults(feed, &[fault]);
                None
            }
        }
    }

    pub(super) fn watched_patterns(&mut self, feed: usize, of: &Condition) -> Matcher {
        let groups = self.groups;
        let now = feed::one_of(self.bytes(feed), of, groups, &self.plan.effort).unwrap_or_else(|faults| {
            self.faults(feed, &faults);
            Matcher::Any(Vec::new())
        });
        let cell = Cell::new(now);
        let reader = PatternReader { cell: Arc::clone(&cell), of: of.clone(), groups };
        self.read_by(feed, Reader::Patterns(reader));
        let subject = if let Condition::StringMatch { subject, .. } = of { subject } else { "" };
        Matcher::Patterns { cell, groups: Template::parse(subject).has_groups() }
    }

    pub(super) fn proxies(&mut self, written: &Originator) -> Proxies {
        let trusted = written.trusted.as_ref().map(|trusted| self.networks(trusted));
        Proxies::new(written.header.as_deref(), trusted)
    }

    /// What was in a file when the configuration was loaded.
    fn bytes(&self, feed: usize) -> &[u8] {
        self.written.get(feed).map_or(&[], |feed| &feed.bytes)
    }

    fn read_by(&mut self, feed: usize, reader: Reader) {
        if let Some(plan) = self.plan.feeds.get_mut(feed) {
            plan.readers.push(reader);
        }
    }

    fn faults(&mut self, feed: usize, faults: &[Fault]) {
        let path = self.written.get(feed).map_or_else(String::new, |feed| feed.path.display().to_string());
        self.errors.extend(faults.iter().map(|fault| format!("{path}{fault}")));
    }
}
