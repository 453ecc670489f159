//! From one configuration to the next: checked, read, staged, risen, and then committed or rolled back.
//!
//! Until the commit nothing of the serving generation is touched.

use super::{Supervisor, now};
use crate::children::{ACCEPT, CHANGED};
use crate::fleet::{Role, Slot};
use crate::house::House;
use crate::known::{Known, Lookup};
use crate::listen::{Bindings, Staged, open_control};
use crate::reload::Checker;
use crate::rows::{Rows, Said};
use crate::source::{Findings, Generation};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// How long a reload that serves waits for the workers of the old generation before it is announced.
const NEWS_MS: u64 = 2_000;

/// A reload whose generation serves. It is announced when no worker of the old one accepts any more: whoever reads that
/// it is done will meet the new configuration and no other.
#[derive(Debug)]
pub(super) struct News {
    number: u32,
    accepting: BTreeSet<Slot>,
    until: u64,
}

impl News {
    /// When it is announced in any case.
    pub(super) fn deadline(&self) -> u64 {
        self.until
    }
}

impl std::fmt::Display for News {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "reloaded: generation {} serves", self.number)
    }
}

/// Binds what a generation needs and sets the switches that are new with it. `before` is what the serving generation's file
/// says of them.
///
/// # Errors
/// What cannot be bound; nothing has changed then.
pub(crate) fn stage(
    bindings: &mut Bindings,
    rows: &Rows,
    serving: Option<&Generation>,
    before: Option<&Said>,
    generation: &Generation,
    folder: &Path,
) -> Result<Staged, String> {
    let staged = bindings.stage(generation.all_places(), generation.workers)?;
    let kept = serving.is_some_and(|serving| serving.control == generation.control);
    if !kept && let Err(error) = give_control(generation, folder) {
        bindings.roll_back(staged);
        return Err(error);
    }
    rows.set_new_switches(before, &generation.said);
    Ok(staged)
}

/// Sets mode and owner of the control socket.
fn give_control(generation: &Generation, folder: &Path) -> Result<(), String> {
    let Some(control) = &generation.config.global.control else { return Ok(()) };
    let user = generation.descent.user.as_ref();
    let gid = generation.descent.group.or(user.map(|user| user.gid));
    open_control(control, folder, user.map(|user| user.uid), gid)
}

impl Supervisor {
    /// Forks a staged generation.
    pub(super) fn rise(&mut self, mut generation: Generation, staged: Staged) -> Result<(), String> {
        match House::for_plan(&generation.plan) {
            Ok(house) => generation.house = house,
            Err(error) => {
                self.bindings.roll_back(staged);
                return Err(format!("cannot make a way to the warden: {error}"));
            }
        }
        let grace_ms = u64::try_from(generation.config.global.grace.as_millis()).unwrap_or(u64::MAX / 2);
        let mut out = Vec::new();
        let raised = self.fleet.raise(generation.number, generation.workers, grace_ms, now(), &mut out);
        if let Err(error) = raised {
            self.bindings.roll_back(staged);
            return Err(error);
        }
        self.actions.extend(out);
        self.staged = Some(staged);
        self.generations.insert(generation.number, generation);
        Ok(())
    }

    /// Starts a reload, or notes that one more is wanted after the one under way.
    pub(super) fn request_reload(&mut self) {
        if self.fleet.is_ending() {
            return;
        }
        if self.checker.is_some() || self.fleet.is_rising() {
            self.again = true;
            return;
        }
        match Checker::start(&self.setup.source, self.setup.detached, now()) {
            Ok(checker) => self.checker = Some(checker),
            Err(error) => self.refuse(&vec![format!("its check cannot be started: {error}")]),
        }
    }

    /// Goes on with a reload whose configuration has been checked.
    pub(super) fn take_verdict(&mut self) {
        if self.fleet.is_ending() {
            return;
        }
        let Some(checker) = self.checker.take_if(|checker| checker.is_over()) else { return };
        let changed = checker.verdict().and_then(|(warnings, known)| {
            warnings.iter().for_each(|line| self.setup.log.problem(line));
            self.change(known)
        });
        if let Err(findings) = changed {
            self.refuse(&findings);
            self.sweep();
            self.reload_again();
        }
    }

    /// Reads the configuration, which was found good a moment ago, and lets its generation rise.
    fn change(&mut self, known: Known) -> Result<(), Findings> {
        self.number += 1;
        // The check has passed the warnings on already.
        let reading = self.setup.source.read(&mut self.setup.rows, self.number, Lookup::Recall(known))?;
        let generation = reading.generation;
        let serving = self.fleet.serving().and_then(|number| self.generations.get(&number));
        let before = serving.map(|serving| &serving.said).or(self.left.as_ref());
        let folder = &self.setup.source.folder;
        let staged = stage(&mut self.bindings, &self.setup.rows, serving, before, &generation, folder)
            .map_err(|error| vec![error])?;
        self.rise(generation, staged).map_err(|error| vec![error])
    }

    fn refuse(&self, findings: &Findings) {
        findings.iter().for_each(|line| self.setup.log.problem(line));
        self.setup.log.problem("the configuration was not reloaded: the running one stays");
    }

    /// The rising generation serves.
    pub(super) fn committed(&mut self, number: u32, retired: Option<u32>) {
        if let Some(staged) = self.staged.take() {
            self.bindings.commit(&staged);
        }
        if let Some(generation) = self.generations.get(&number) {
            self.tickets.follow(&generation.config.global, self.setup.rows.segment(), now());
        }
        match retired {
            Some(retired) => self.succeed(retired, number),
            None => self.begin(number),
        }
        self.watch_files(number);
        self.children.order_workers(CHANGED);
        self.reload_again();
    }

    /// One generation follows another. Of one that an earlier program has left, no more than its children is known.
    fn succeed(&mut self, retired: u32, number: u32) {
        let Some(generation) = self.generations.get(&number) else { return };
        let setup = &mut self.setup;
        let (control, said) = match self.generations.get(&retired) {
            Some(retired) => (retired.config.global.control.as_ref(), Some(&retired.said)),
            None => (None, self.left.as_ref()),
        };
        if let Some(said) = said {
            setup.rows.set_changed_switches(said, &generation.said);
        }
        if control != generation.config.global.control.as_ref()
            && let Err(error) = give_control(generation, &setup.source.folder)
        {
            setup.log.problem(&error);
        }
        setup.log.follow(&generation.config.global);
        let of_retired = self.children.iter().filter(|child| child.generation == retired);
        let accepting = of_retired.filter(|child| child.role != Role::Warden).map(|child| child.slot);
        let news = News { number, accepting: accepting.collect(), until: now() + NEWS_MS };
        if let Some(overtaken) = self.news.replace(news) {
            setup.log.notice(&overtaken.to_string());
        }
    }

    /// The first generation serves: the start has succeeded.
    fn begin(&mut self, number: u32) {
        let Some(generation) = self.generations.get(&number) else { return };
        let setup = &mut self.setup;
        if let Some(starter) = self.starter.take() {
            setup.log.use_syslog(&generation.config.global);
            if let Err(error) = starter.started() {
                setup.log.problem(&format!("cannot leave the terminal: {error}"));
            }
        }
        if let Some(demo) = &setup.demo {
            // A terminal that is gone is no reason to end.
            let _ = std::io::stdout().write_all(demo.introduction(&setup.name).as_bytes());
        }
        for place in generation.all_places() {
            setup.log.notice(&format!("listening on {place}"));
        }
        setup.log.notice(&format!("started: {} workers", generation.workers));
    }

    /// The rising generation has failed. If it was the first, so has the start.
    pub(super) fn rolled_back(&mut self, reason: &str) {
        if let Some(staged) = self.staged.take() {
            self.bindings.roll_back(staged);
        }
        if self.fleet.is_ending() {
            return;
        }
        if self.fleet.serving().is_some() {
            self.refuse(&vec![reason.to_owned()]);
            self.reload_again();
        } else {
            self.setup.log.problem(reason);
            self.failed = true;
            let mut out = Vec::new();
            self.fleet.stop(now(), &mut out);
            self.actions.extend(out);
        }
    }

    /// A worker accepts nothing any more, or is dead. The kernel may have waked that one, and nobody else, for a connection
    /// that it did not take: the others look into the queues.
    pub(super) fn has_left(&mut self, slot: Slot) {
        self.children.order_workers(ACCEPT);
        if let Some(news) = &mut self.news {
            news.accepting.remove(&slot);
        }
    }

    /// Tells that a reload is done, if it is.
    pub(super) fn announce(&mut self, now: u64) {
        if let Some(news) = self.news.take_if(|news| news.accepting.is_empty() || news.until <= now) {
            self.setup.log.notice(&news.to_string());
        }
    }

    fn reload_again(&mut self) {
        if std::mem::take(&mut self.again) {
            self.request_reload();
        }
    }

    /// Frees the rows of the segment that no living generation names.
    pub(super) fn sweep(&mut self) {
        // Which rows the children of an earlier program use is not known, so none may be freed while they live.
        if self.children.iter().any(|child| !self.generations.contains_key(&child.generation)) {
            return;
        }
        let living = self.generations.values().flat_map(|generation| &generation.identities);
        self.setup.rows.sweep(living);
    }
}
