//! The supervisor at work: one loop that carries events to the fleet and its decisions to the processes.
//!
//! It runs on one thread, since it forks, and waits for nothing but its own events: what could take time, such as reading
//! a changed configuration, happens in a child with a limit.

mod change;
mod feed;
mod tickets;
mod upgrade;

pub(crate) use change::stage;
pub(crate) use upgrade::{CAN_TAKE_OVER, Inherited, Invocation};

use crate::child::{Outfit, fork};
use crate::children::{CHANGED, Child, Children, DRAIN, Message, REOPEN, STOP};
use crate::daemon::Starter;
use crate::demo::{Demo, origin};
use crate::events::{Events, Watch};
use crate::feeds::Feeds;
use crate::fleet::{Action, Event, Fleet, Role, Slot};
use crate::house::House;
use crate::inheritance::{Inheritance, Papers};
use crate::listen::{Bindings, Staged};
use crate::log::Log;
use crate::logs::Logs;
use crate::pidfile::PidFile;
use crate::reload::Checker;
use crate::rows::{Rows, Said};
use crate::source::{Generation, Source};
use crate::worker::{Birth, fork_warden, fork_worker};
use change::News;
use ounce_sys::process::{self, Ended};
use ounce_sys::{clock, pairs};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::SystemTime;
use tickets::Tickets;
use upgrade::Trial;

/// What the start has decided once and for all.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The program's name.
    pub(crate) name: String,
    /// How it was called.
    pub(crate) invocation: Invocation,
    /// Where the configuration comes from.
    pub(crate) source: Source,
    /// The supervisor's own words.
    pub(crate) log: Log,
    /// The shared segment.
    pub(crate) rows: Rows,
    /// Request lines go to standard output and problems to standard error.
    pub(crate) standard_streams: bool,
    /// The terminal was left.
    pub(crate) detached: bool,
    /// `--demo`.
    pub(crate) demo: Option<Demo>,
    /// When the program was started.
    pub(crate) started: SystemTime,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Supervisor {
    setup: Setup,
    events: Events,
    fleet: Fleet,
    /// What the fleet has decided and nobody has carried out yet.
    actions: VecDeque<Action>,
    children: Children,
    generations: BTreeMap<u32, Generation>,
    /// The last number given to a generation.
    number: u32,
    bindings: Bindings,
    /// The sockets of the rising generation.
    staged: Option<Staged>,
    logs: Logs,
    /// Files that are watched.
    feeds: Feeds,
    cpus: Vec<usize>,
    checker: Option<Checker>,
    /// What the file of a generation that an earlier program has left says about switches.
    left: Option<Said>,
    /// When TLS tickets get another key.
    tickets: Tickets,
    /// A reload that is not announced yet.
    news: Option<News>,
    /// Another reload was asked for while one was under way.
    again: bool,
    origins: Option<i32>,
    starter: Option<Starter>,
    /// A new program that is being tried.
    trial: Option<Trial>,
    /// Goes when the supervisor goes.
    pid_file: Option<PidFile>,
    failed: bool,
}

impl Supervisor {
    /// Takes the signals. Everything else begins with [`Supervisor::run`].
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn new(
        setup: Setup,
        bindings: Bindings,
        starter: Option<Starter>,
        pid_file: Option<PidFile>,
    ) -> io::Result<Supervisor> {
        let slots = setup.rows.segment().limits().workers.min(u32::from(Slot::MAX)) as Slot;
        Ok(Supervisor {
            events: Events::new()?,
            fleet: Fleet::new(slots),
            actions: VecDeque::new(),
            children: Children::default(),
            generations: BTreeMap::new(),
            number: 1,
            bindings,
            staged: None,
            logs: Logs::default(),
            feeds: Feeds::default(),
            cpus: process::allowed_cpus()?,
            checker: None,
            left: None,
            tickets: Tickets::default(),
            news: None,
            again: false,
            origins: None,
            starter,
            trial: None,
            pid_file,
            failed: false,
            setup,
        })
    }

    /// Serves the first generation, whose sockets are staged, and what follows it. Returns the exit status.
    pub(crate) fn run(mut self, first: Generation, staged: Staged) -> u8 {
        if let Err(error) = self.start_origins().and_then(|()| self.rise(first, staged)) {
            self.setup.log.problem(&error);
            return 1;
        }
        self.carry_out();
        self.serve()
    }

    fn serve(mut self) -> u8 {
        while !self.fleet.is_finished() {
            if let Err(error) = self.turn() {
                // Without poll(2) there is nothing to wait with. The children end with this process.
                self.setup.log.problem(&format!("cannot wait for events: {error}"));
                return 1;
            }
        }
        if let Some(pid) = self.origins.take() {
            // They end with this process anyway, but the shell should find them gone.
            let _ = process::kill(pid, libc::SIGKILL).and_then(|()| process::wait(pid));
        }
        u8::from(self.failed)
    }

    fn start_origins(&mut self) -> Result<(), String> {
        let Some(demo) = &self.setup.demo else { return Ok(()) };
        let keep = demo.origins().iter().map(|origin| origin.listener.as_raw_fd()).collect();
        let outfit = Outfit { name: "ounce-origins", cpu: None, keep, orders: None, detached: false };
        let pid = fork(&outfit, || origin::serve(demo.origins()));
        self.origins = Some(pid.map_err(|error| format!("cannot start the origins: {error}"))?);
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        let checked = self.checker.as_ref().and_then(Checker::deadline);
        let (news, trial) =
            (self.news.as_ref().map(News::deadline), self.trial.as_ref().map(Trial::deadline));
        let due =
            [self.fleet.deadline(), checked, news, trial, self.tickets.deadline(), self.feeds.deadline()];
        let wait_ms = due.into_iter().flatten().min().map(|at| at.saturating_sub(now()));
        let orders =
            self.children.iter().filter_map(|child| Some((Watch::Orders(child.slot), child.orders()?)));
        let findings = self.checker.iter().filter_map(|checker| Some((Watch::Findings, checker.line()?)));
        let notify = self.feeds.notify().map(|fd| (Watch::Notify, fd));
        let look = self.feeds.line().map(|fd| (Watch::Look, fd));
        let watched = orders.chain(findings).chain(notify).chain(look);
        let happened = self.events.wait(watched, wait_ms)?;
        for watch in happened.readable {
            match watch {
                Watch::Orders(slot) => {
                    for message in self.children.hear(slot) {
                        self.on_message(slot, message);
                    }
                }
                Watch::Findings => self.checker.iter_mut().for_each(Checker::hear),
                Watch::Notify => self.feeds.notified(now()),
                Watch::Look => self.hear_of_files(),
            }
        }
        happened.signals.into_iter().for_each(|signal| self.on_signal(signal));
        while let Some(ended) = process::reap()? {
            self.on_end(ended);
        }
        let now = now();
        if let Some(checker) = &mut self.checker {
            checker.tick(now);
        }
        if let Some(trial) = &mut self.trial {
            trial.tick(now);
        }
        if let Err(error) = self.tickets.tick(self.setup.rows.segment(), now) {
            self.setup.log.problem(&error);
        }
        self.tend_feeds(now);
        let fleet = self.setup.rows.segment().fleet();
        let mut out = Vec::new();
        self.fleet.tick(now, |slot| fleet.member(slot).heartbeat_ms, &mut out);
        self.actions.extend(out);
        self.take_verdict();
        self.carry_out();
        self.announce(now);
        self.conclude_trial();
        Ok(())
    }

    fn on_signal(&mut self, signal: i32) {
        let mut out = Vec::new();
        match signal {
            SIGHUP => self.request_reload(),
            SIGINT if !self.fleet.is_ending() => {
                self.setup.log.notice("draining");
                // From now on another instance may have the addresses; the workers serve what is queued.
                self.bindings.close_listeners();
                self.fleet.drain(now(), &mut out);
            }
            SIGINT | SIGTERM | SIGQUIT => {
                self.setup.log.notice("stopping");
                self.fleet.stop(now(), &mut out);
            }
            SIGUSR1 => self.children.order_wardens(REOPEN),
            SIGUSR2 => self.request_upgrade(),
            _ => {}
        }
        self.actions.extend(out);
    }

    fn on_message(&mut self, slot: Slot, message: Message) {
        match message {
            Message::Ready => self.tell_fleet(Event::Ready(slot)),
            Message::Changed if self.fleet.role(slot) == Some(Role::Warden) => {
                self.children.order_workers(CHANGED);
            }
            Message::Changed => {}
            Message::Left => self.has_left(slot),
            Message::Fed(feed, fault) => self.fed(slot, feed, &fault),
        }
    }

    fn on_end(&mut self, ended: Ended) {
        if let Some(checker) = self.checker.as_mut().filter(|checker| checker.pid() == ended.pid) {
            checker.hear();
            checker.ended(ended.how);
        } else if let Some(trial) = self.trial.as_mut().filter(|trial| trial.pid() == ended.pid) {
            trial.ended(ended.how);
        } else if self.origins == Some(ended.pid) {
            self.origins = None;
            if !self.fleet.is_ending() {
                self.setup.log.problem("the demo's origins are gone");
            }
        } else if self.has_looked(ended) {
        } else if let Some((child, last_words)) = self.children.remove(ended.pid) {
            for message in last_words {
                self.on_message(child.slot, message);
            }
            self.setup.rows.segment().fleet().ended(child.slot);
            if child.role != Role::Warden {
                self.has_left(child.slot);
            }
            self.feeds_nobody(child.slot);
            self.tell_fleet(Event::Exited(child.slot, child.epitaph(ended.how)));
        }
    }

    fn tell_fleet(&mut self, event: Event) {
        let mut out = Vec::new();
        self.fleet.on(event, now(), &mut out);
        self.actions.extend(out);
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Fork { slot, generation, role } => self.fork(slot, generation, role),
                Action::Drain(slot) => self.children.order(slot, DRAIN),
                Action::Stop(slot) => self.children.order(slot, STOP),
                Action::Kill(slot) => self.children.kill(slot),
                Action::Committed { generation, retired } => self.committed(generation, retired),
                Action::RolledBack { reason, .. } => self.rolled_back(&reason),
                Action::Over(generation) => {
                    self.generations.remove(&generation);
                    self.sweep();
                }
                Action::Lost { role, reason, wait_ms, .. } => {
                    let when = if wait_ms == 0 { String::new() } else { format!(" in {wait_ms} ms") };
                    self.setup.log.problem(&format!("{role} is gone ({reason}); starting another{when}"));
                }
                Action::Stuck(_, role) => self.setup.log.problem(&format!("{role} is stuck and is killed")),
                Action::Dark => self.setup.log.problem("no worker is serving"),
                Action::Bright => self.setup.log.problem("a worker is serving again"),
                Action::Finished => {}
            }
        }
    }

    fn fork(&mut self, slot: Slot, generation: u32, role: Role) {
        match self.try_fork(slot, generation, role) {
            Ok(child) => self.children.insert(child),
            Err(error) => {
                self.setup.rows.segment().fleet().ended(slot);
                self.tell_fleet(Event::Exited(slot, format!("cannot be forked: {error}")));
            }
        }
    }

    fn try_fork(&mut self, slot: Slot, number: u32, role: Role) -> io::Result<Child> {
        let unknown = || io::Error::other("its configuration was an earlier program's");
        let generation = self.generations.get(&number).ok_or_else(unknown)?;
        let segment = self.setup.rows.segment();
        let owner = segment.fleet().begin(slot, number);
        let (ours, theirs) = pairs::seqpacket()?;
        let detached = self.setup.detached;
        let birth = Birth { generation, segment, owner, orders: theirs.as_raw_fd(), detached };
        let log = self.logs.writer(slot)?;
        let known = number == self.feeds.generation();
        let pid = match role {
            Role::Worker { position } => {
                let feeds = if known { self.feeds.newest() } else { generation.all_wallets() };
                fork_worker(birth, position, &self.bindings, &self.cpus, log, feeds)?
            }
            Role::Warden => {
                let control = generation.control.as_ref().map(|place| self.bindings.deal(place, 0, 1));
                let inheritance = Inheritance {
                    config: Arc::clone(&generation.config),
                    plan: Arc::clone(&generation.plan),
                    greeters: Vec::new(),
                    papers: Papers::new(&generation.papers),
                    newest_papers: if known { self.feeds.newest_papers() } else { Vec::new() },
                    segment: Arc::clone(segment),
                    owner,
                    generation: number,
                    log: self.logs.readers(),
                    orders: theirs.as_raw_fd(),
                    control: control.and_then(|fds| fds.first().copied()),
                    house: generation.house.as_ref().map(House::warden_end),
                    folder: self.setup.source.folder.clone(),
                    standard_streams: self.setup.standard_streams,
                    name: self.setup.name.clone(),
                    workers: generation.workers,
                    supervisor: std::process::id(),
                    started: self.setup.started,
                };
                fork_warden(birth, inheritance)?
            }
        };
        segment.fleet().set_pid(slot, pid as u32);
        Ok(Child::new(slot, number, role, pid, Some(ours)))
    }
}

/// Monotonic milliseconds, the time of the fleet and the segment.
fn now() -> u64 {
    clock::monotonic_ms()
}
