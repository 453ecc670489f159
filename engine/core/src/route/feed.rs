//! What files hold whose changes are followed: put into a plan that serves, between two requests.
//!
//! A plan is immutable but for its cells. A cell holds what was made of a file, and is read by whatever the file is part
//! of: a condition, the trust in proxies. When the file changes, its bytes come here ([`Plan::read_feed`]), become for
//! each of its cells what they are to hold, or faults and nothing else; then all cells are filled ([`Plan::put`]). What
//! is being looked at meanwhile stays until nobody looks at it any more.

use super::acl::Acl;
use super::auth::Users;
use super::beyond::Effort;
use super::compile::conditions;
use super::matcher::Matcher;
use super::pattern::Groups;
use super::plan::Plan;
use arc_swap::{ArcSwap, Guard};
use ounce_conf::listing::{self, Fault, Text};
use ounce_conf::model::{Condition, FeedKind};
use std::path::PathBuf;
use std::sync::Arc;

/// A value that others may take the place of.
#[derive(Debug)]
pub struct Cell<T>(ArcSwap<T>);

impl<T> Cell<T> {
    pub(crate) fn new(value: T) -> Arc<Cell<T>> {
        Arc::new(Cell(ArcSwap::from_pointee(value)))
    }

    /// The value at present. It stays as it is while the guard lives, which should be short.
    #[inline]
    pub fn get(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    fn put(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

/// A file of the configuration and what it is part of.
#[derive(Debug)]
pub struct FeedPlan {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub kind: FeedKind,
    /// Its changes are followed.
    pub watched: bool,
    pub(crate) readers: Vec<Reader>,
}

/// A cell that a file fills.
#[derive(Debug)]
pub(crate) enum Reader {
    Networks(Arc<Cell<Acl>>),
    Patterns(PatternReader),
    Users(Arc<Cell<Users>>),
    Text { cell: Arc<Cell<Text>>, trim: bool },
}

/// Makes one condition of a file of patterns: that one of them matches.
#[derive(Debug)]
pub(crate) struct PatternReader {
    pub(crate) cell: Arc<Cell<Matcher>>,
    /// What is asked of each.
    pub(crate) of: Condition,
    pub(crate) groups: Groups,
}

/// What a file's cells are to hold.
#[derive(Debug)]
pub struct Fresh {
    feed: usize,
    contents: Vec<Content>,
}

#[derive(Debug)]
enum Content {
    Networks(Acl),
    Matcher(Matcher),
    Users(Users),
    Text(Text),
}

impl Plan {
    /// Makes what the cells of the feed at this place are to hold of its file's bytes.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read_feed(&self, feed: usize, bytes: &[u8]) -> Result<Fresh, Vec<Fault>> {
        let Some(plan) = self.feeds.get(feed) else { return Ok(Fresh { feed, contents: Vec::new() }) };
        let mut contents = Vec::with_capacity(plan.readers.len());
        for reader in &plan.readers {
            contents.push(match reader {
                Reader::Networks(_) => Content::Networks(Acl::new(&listing::networks(bytes)?)),
                Reader::Text { trim, .. } => {
                    Content::Text(listing::text(bytes, *trim).map_err(|fault| vec![fault])?)
                }
                Reader::Users(_) => Content::Users(Users::new(listing::users(bytes)?)),
                Reader::Patterns(patterns) => {
                    Content::Matcher(one_of(bytes, &patterns.of, patterns.groups, &self.effort)?)
                }
            });
        }
        Ok(Fresh { feed, contents })
    }

    /// Puts it in place.
    pub fn put(&self, fresh: Fresh) {
        let Some(plan) = self.feeds.get(fresh.feed) else { return };
        for (reader, content) in plan.readers.iter().zip(fresh.contents) {
            match (reader, content) {
                (Reader::Networks(cell), Content::Networks(acl)) => cell.put(acl),
                (Reader::Patterns(patterns), Content::Matcher(matcher)) => patterns.cell.put(matcher),
                (Reader::Users(cell), Content::Users(users)) => cell.put(users),
                (Reader::Text { cell, .. }, Content::Text(text)) => cell.put(text),
                _ => debug_assert!(false, "a feed was read for another reader"),
            }
        }
    }
}

/// That one of the patterns in a file matches.
pub(crate) fn one_of(
    bytes: &[u8],
    of: &Condition,
    groups: Groups,
    effort: &Arc<Effort>,
) -> Result<Matcher, Vec<Fault>> {
    let (mut matchers, mut faults) = (Vec::new(), Vec::new());
    let mut of = of.clone();
    for (number, line) in listing::lines(bytes).map_err(|fault| vec![fault])? {
        if let Some(pattern) = of.pattern_mut() {
            line.clone_into(&mut pattern.text);
        }
        match conditions::leaf(&of, groups, effort) {
            Ok(matcher) => matchers.push(matcher),
            Err(reason) => faults.push(Fault::at(number, reason)),
        }
    }
    if faults.is_empty() { Ok(Matcher::Any(matchers)) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::captures::Captures;
    use crate::route::matcher::select;
    use crate::route::sample::{Sample, config, host, listener, plan, posix, redirect, service};
    use ounce_conf::model::{Config, Feed, FeedName, Networks, Originator};

    fn feed(kind: FeedKind, bytes: &str) -> Feed {
        Feed { path: "f".into(), kind, watched: true, bytes: bytes.into() }
    }

    fn name() -> FeedName {
        FeedName { index: 0, path: "f".into() }
    }

    fn with(condition: Condition, feed: Feed) -> Config {
        let service = service(Some("it"), vec![condition], vec![redirect("http://$1.example/")]);
        let mut config = config(vec![listener("127.0.0.1:80", vec![service])], Vec::new());
        config.feeds.push(feed);
        config
    }

    fn taken(plan: &Plan, sample: &Sample) -> Option<Vec<u8>> {
        let mut captures = Captures::new();
        select(plan, 0, &sample.request(), &|_| false, &mut captures)?;
        Some(captures.group(0, 1).unwrap_or_default().to_vec())
    }

    fn change(plan: &Plan, bytes: &str) {
        plan.put(plan.read_feed(0, bytes.as_bytes()).expect("a good file"));
    }

    #[test]
    fn networks_change_and_a_faulty_file_changes_nothing() {
        let of = feed(FeedKind::Networks, "10.0.0.0/8");
        let plan = plan(&with(Condition::Acl(Networks::Feed(name())), of));
        let sample = Sample::get("/", &["Host: h"]);
        assert_eq!(taken(&plan, &sample), None);
        change(&plan, "192.0.2.0/24 # ours\n");
        assert!(taken(&plan, &sample).is_some());
        let faults = plan.read_feed(0, b"10.0.0.0/8\nnowhere\n").unwrap_err();
        assert_eq!(faults, [Fault::at(2, "nowhere is no network")]);
        assert!(taken(&plan, &sample).is_some());
        change(&plan, "");
        assert_eq!(taken(&plan, &sample), None);
    }

    #[test]
    fn patterns_change_and_their_groups_are_kept() {
        let of = Box::new(Condition::Path(posix("")));
        let condition = Condition::Patterns { feed: name(), of };
        let plan = plan(&with(condition, feed(FeedKind::Patterns, "^/a/(.*)\n")));
        let (a, b) = (Sample::get("/a/x", &["Host: h"]), Sample::get("/b/y", &["Host: h"]));
        assert_eq!((taken(&plan, &a), taken(&plan, &b)), (Some(b"x".to_vec()), None));
        change(&plan, "# two\n^/b/(.*)\n^/c/(.*)\n");
        assert_eq!((taken(&plan, &a), taken(&plan, &b)), (None, Some(b"y".to_vec())));
        let faults = plan.read_feed(0, b"fine\n(\n").unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].line, Some(2));
        assert_eq!(taken(&plan, &b), Some(b"y".to_vec()));
    }

    /// One file may be part of several things, and a host that is in it is in no index.
    #[test]
    fn a_file_fills_every_cell_that_it_is_for() {
        let of = || Condition::Patterns { feed: name(), of: Box::new(host("")) };
        let both = Condition::All(vec![of(), Condition::Not(Box::new(Condition::Not(Box::new(of()))))]);
        let mut config = with(both, feed(FeedKind::Patterns, "a.example\n"));
        let more = (0..20).map(|n| service(None, vec![host(&format!("h{n}"))], Vec::new()));
        config.listeners[0].services.extend(more);
        let plan = plan(&config);
        let sample = Sample::get("/", &["Host: b.example"]);
        assert_eq!(taken(&plan, &sample), None);
        change(&plan, "b.example\n");
        assert!(taken(&plan, &sample).is_some());
    }

    #[test]
    fn trusted_proxies_change() {
        let forwarded = Condition::Forwarded(Networks::Listed(vec![
            "203.0.113.9".parse::<std::net::IpAddr>().expect("an address").into(),
        ]));
        let mut config = with(forwarded, feed(FeedKind::Networks, "10.0.0.0/8"));
        config.global.originator = Originator { header: None, trusted: Some(Networks::Feed(name())) };
        let plan = plan(&config);
        let sample = Sample::get("/", &["Host: h", "X-Forwarded-For: 203.0.113.9"]);
        assert_eq!(taken(&plan, &sample), None);
        change(&plan, "192.0.2.7\n");
        assert!(taken(&plan, &sample).is_some());
    }

    #[test]
    fn a_feed_that_is_not_there_is_no_fault() {
        let plan = plan(&config(Vec::new(), Vec::new()));
        plan.put(plan.read_feed(7, b"x").expect("nothing to read it for"));
    }
}
