//! The tree to the model: what directives mean with others.
//!
//! Statements are read in file order, because defaults hold for what follows them. One section a file.

mod acl;
mod address;
mod backend;
mod card;
mod client_certificate;
mod constant;
mod control;
mod expansion;
mod feed;
mod global;
mod header;
mod house;
mod listener;
mod log;
mod log_format;
mod matching;
mod names;
mod old_rules;
mod originator;
mod page;
mod pattern;
mod resolver;
mod rewrite;
mod service;
mod session;
mod ticket;
mod time_format;
mod tls;
mod tunnel;

pub(crate) use listener::methods;
pub use tls::certificate_files;

use crate::diag::{Findings, Problem};
use crate::grammar::{Repeat, Row, Status};
use crate::model::{Ahead, Balancer, Config, Feed, Flavour, HeaderOption, Listen, LogFormat};
use crate::source::{Sources, Span};
use crate::tree::{Inner, Statement};
use crate::{Names, Options, Subject, Unserved};
use std::collections::HashMap;
use std::time::Duration;

/// What a tree says.
pub(crate) struct Lowered {
    pub(crate) config: Config,
    /// What is ahead of the engine.
    pub(crate) ahead: Ahead,
    /// The names that were looked up.
    pub(crate) names: Names,
    /// Where stands what others judge.
    pub(crate) noted: Vec<(Subject, Span)>,
}

/// Lowers a whole tree.
pub(crate) fn lower(
    tree: &[Statement],
    sources: &Sources,
    options: &Options,
    unserved: Unserved,
    findings: &mut Findings,
) -> Lowered {
    let mut lowering = Lowering {
        sources,
        options,
        unserved,
        findings,
        defaults: Defaults::default(),
        acls: HashMap::new(),
        conditions: HashMap::new(),
        backends: backend::Named::new(tree),
        services: address::Services::default(),
        constants: constant::Constants::default(),
        names: names::Resolver::new(options),
        listening: Vec::new(),
        feeds: Vec::new(),
        log_formats: log::Formats::new(tree),
        https: None,
        engines: Vec::new(),
        ahead: Ahead::default(),
        noted: Vec::new(),
        servers: 0,
    };
    let config = lowering.config(tree);
    let Lowering { ahead, names, noted, .. } = lowering;
    Lowered { config, ahead, names: names.into_names(), noted }
}

/// A service's place: its listener's position, or `None` for a global one, and its own position there.
type Seat = (Option<usize>, usize);

struct Lowering<'a> {
    sources: &'a Sources,
    options: &'a Options,
    unserved: Unserved,
    findings: &'a mut Findings,
    defaults: Defaults,
    acls: HashMap<String, acl::Named>,
    /// Places of named conditions among those of the configuration, and in the text.
    conditions: HashMap<String, (usize, Span)>,
    backends: backend::Named,
    services: address::Services,
    constants: constant::Constants,
    names: names::Resolver<'a>,
    /// Where listeners listen, and the statement of each.
    listening: Vec<(Listen, Span)>,
    /// Files that the model refers to by their places.
    feeds: Vec<Feed>,
    log_formats: log::Formats,
    /// The `ListenHTTPS` that is being read.
    https: Option<tls::Reading>,
    /// The names of the cards that are engines, by their places among the cards.
    engines: Vec<String>,
    ahead: Ahead,
    /// Where stands what others judge.
    noted: Vec<(Subject, Span)>,
    /// How many backends speak TLS so far.
    servers: u32,
}

/// What global directives set for what follows them.
struct Defaults {
    client: Duration,
    timeout: Duration,
    connect_timeout: Duration,
    ws_timeout: Duration,
    line_max: u32,
    header_option: HeaderOption,
    balancer: Balancer,
    dyn_scale: bool,
    flavour: Flavour,
    ignore_case: bool,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            client: Duration::from_secs(10),
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(15),
            ws_timeout: Duration::from_secs(600),
            line_max: 4096,
            header_option: HeaderOption { forwarded: true, ssl: true },
            balancer: Balancer::Random,
            dyn_scale: false,
            flavour: Flavour::Posix,
            ignore_case: false,
        }
    }
}

impl Lowering<'_> {
    fn error(&mut self, span: Span, text: impl Into<String>) {
        self.findings.push(Problem::error(span, text));
    }

    /// Where a statement stands, for people.
    fn locus(&self, statement: &Statement) -> String {
        self.sources.place(statement.keyword).locus()
    }

    fn warn(&mut self, span: Span, text: impl Into<String>) {
        self.findings.push(Problem::warning(span, text));
    }

    /// The statements of a section that have a meaning: reports those that are not supported or repeated, and
    /// leaves out those whose line was wrong, but not their sections.
    fn meant<'t>(&mut self, block: &'t [Statement]) -> Vec<&'t Statement> {
        let mut seen: HashMap<*const Row, &Statement> = HashMap::new();
        let mut meant = Vec::new();
        for statement in block {
            if !self.supported(statement) {
                continue;
            }
            if statement.sound
                && let Some(before) = seen.insert(statement.row, statement)
            {
                self.repeated(before, statement);
            }
            if statement.sound || !matches!(statement.inner, Inner::None) {
                meant.push(statement);
            }
        }
        meant
    }

    fn supported(&mut self, statement: &Statement) -> bool {
        let refused = match statement.row.status {
            Status::Works | Status::NoEffect(_) => false,
            Status::Ahead => self.unserved == Unserved::Refuse,
            Status::Later => true,
        };
        if refused {
            self.error(statement.keyword, format!("{} is not supported yet", statement.word));
            return false;
        }
        true
    }

    fn repeated(&mut self, before: &Statement, now: &Statement) {
        let name = now.row.name;
        let problem = match now.row.repeat {
            Repeat::Many | Repeat::FromHere => return,
            Repeat::Once => Problem::error(now.keyword, format!("a second {name}"))
                .note(before.keyword, "the first one is here"),
            Repeat::Last => Problem::warning(before.keyword, format!("this {name} is overridden"))
                .note(now.keyword, "by this one"),
        };
        self.findings.push(problem);
    }
}

/// The built-in log format of this number, 0 to 5 (pound.md section 12).
pub fn built_in_log_format(level: usize) -> Option<LogFormat> {
    log_format::built_in(level)
}

/// The directive of this name in a section, whether or not its line is right.
fn find<'t>(block: &'t [Statement], name: &str) -> Option<&'t Statement> {
    block.iter().rfind(|statement| statement.row.name == name)
}
