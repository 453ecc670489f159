//! Where the configuration comes from, and what one reading of it makes.

use crate::house::House;
use crate::known::{Known, Lookup};
use crate::listen::Place;
use crate::preprocess::{self, Made};
use crate::proof::prove;
use crate::rows::{Identity, Rows, Said};
use ounce_conf::model::{Config, Feed, FeedKind};
use ounce_conf::{Clause, Diagnostic, Options, Setting, Subject, Written};
use ounce_core::Plan;
use ounce_engine::tls::{Opened, Paper};
use ounce_mem::{Limits, Segment};
use ounce_sys::privilege::Descent;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Children at a time, at least; see [`create_segment`].
const SLOTS_MIN: usize = 256;

/// Creates the shared segment, with room for the children of two generations of the largest fleet and for as many that
/// are still draining.
///
/// # Errors
/// What the system reports, in words.
pub(crate) fn create_segment() -> Result<Segment, String> {
    let slots = (4 * (cpus() + 1)).clamp(SLOTS_MIN, usize::from(u16::MAX));
    let limits = Limits { workers: slots as u32, ..Limits::default() };
    Segment::create(limits).map_err(|error| format!("cannot create the shared segment: {error}"))
}

/// The CPUs that this process may use, by its mask and its control group.
fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file, or the name of `text` in messages.
    pub(crate) file: PathBuf,
    /// A configuration that is not in a file.
    pub(crate) text: Option<String>,
    /// A command that makes the configuration of the file.
    pub(crate) preprocess: Option<String>,
    /// What the command line says about loading.
    pub(crate) options: Options,
    /// What paths of sockets are relative to.
    pub(crate) folder: PathBuf,
}

/// A configuration and everything that follows from it alone.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Counted from 1.
    pub(crate) number: u32,
    /// As it was written.
    pub(crate) config: Arc<Config>,
    /// As workers use it.
    pub(crate) plan: Arc<Plan>,
    /// What it says about switches.
    pub(crate) said: Said,
    /// How many workers serve it.
    pub(crate) workers: u16,
    /// Where each listener of the plan listens.
    pub(crate) places: Vec<Place>,
    /// Where the control socket is.
    pub(crate) control: Option<Place>,
    /// What a worker keeps of its rights; the warden keeps its root directory as well.
    pub(crate) descent: Descent,
    /// The way from its workers to its warden, once it rises; if there is anything to go there for.
    pub(crate) house: Option<House>,
    /// The certificates of its listeners.
    pub(crate) papers: Vec<Paper>,
    /// What was in their files, where those are watched, by the places of feeds: for workers alone, there are keys in it.
    pub(crate) wallets: Vec<(u32, OwnedFd)>,
    /// Its rows in the segment.
    pub(crate) identities: Vec<Identity>,
}

/// Lines for the log, without the program's name.
pub(crate) type Findings = Vec<String>;

/// A reading of a good configuration.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What it makes.
    pub(crate) generation: Generation,
    /// What its owner may want to change.
    pub(crate) warnings: Findings,
    /// What the system was asked about.
    pub(crate) known: Known,
}

impl Source {
    /// Reads the configuration and makes generation `number` of it.
    ///
    /// # Errors
    /// Everything that is wrong, and the warnings.
    pub(crate) fn read(&self, rows: &mut Rows, number: u32, mut lookup: Lookup) -> Result<Reading, Findings> {
        let options = Options { known_names: lookup.names(), ..self.options.clone() };
        let mut warnings = Findings::new();
        let loaded = match (&self.text, &self.preprocess) {
            (Some(text), _) => ounce_conf::load_text(&self.file.to_string_lossy(), text, &options),
            (None, None) => ounce_conf::load(&self.file, &options),
            (None, Some(_)) => {
                let made = lookup.text(|| self.made())?;
                warnings = made.said;
                ounce_conf::load_made(&self.file, &made.text, &options)
            }
        };
        let loaded = loaded.map_err(|found| [warnings.clone(), lines(&found)].concat())?;
        warnings.extend(lines(&loaded.warnings));
        match self.prepare(loaded.config, &loaded.written, rows, number, &mut lookup) {
            Ok(generation) => {
                warnings.extend(lines(&notes(&generation, &loaded.written)));
                let known = lookup.into_known(loaded.names);
                Ok(Reading { generation, warnings, known })
            }
            Err(errors) => {
                warnings.extend(errors);
                Err(warnings)
            }
        }
    }

    /// The text of the configuration, as it is read.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn made(&self) -> Result<Made, Findings> {
        match (&self.text, &self.preprocess) {
            (Some(text), _) => Ok(Made { text: text.clone(), said: Findings::new() }),
            // `cat` knows as well as we do how to read a file.
            (None, command) => preprocess::run(command.as_deref().unwrap_or("cat"), &self.file, &self.folder),
        }
    }

    /// Reads the configuration for its faults and what it asks about, with tables of its own, and tries out keys on
    /// cards.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(crate) fn check(&self) -> Result<Reading, Findings> {
        let segment = create_segment().map_err(|error| vec![error])?;
        let reading = self.read(&mut Rows::new(Arc::new(segment)), 1, Lookup::Ask(Known::default()))?;
        prove(&reading.generation).map_err(|wrong| [&reading.warnings[..], &wrong].concat())?;
        Ok(reading)
    }

    fn prepare(
        &self,
        config: Config,
        written: &Written,
        rows: &mut Rows,
        number: u32,
        lookup: &mut Lookup,
    ) -> Result<Generation, Findings> {
        let mut errors = Faults { written, found: Vec::new() };
        let slots = rows.segment().limits().workers;
        let mut claims = rows.claims();
        let plan = ounce_core::route::compile(&config, &mut claims);
        let identities = claims.into_identities();
        let descent = descent(&config, lookup, &mut errors);
        let workers = workers(&config, slots, &mut errors);
        let opened = ounce_engine::tls::open(&config).unwrap_or_else(|faults| {
            faults.into_iter().for_each(|fault| errors.add(fault.subject, &fault.text));
            Opened::default()
        });
        match plan {
            Ok(plan) if errors.found.is_empty() => Ok(Generation {
                number,
                said: Said::by(&plan),
                plan: Arc::new(plan),
                workers,
                places: config.listeners.iter().map(|of| Place::of(&of.listen, &self.folder)).collect(),
                control: config.global.control.as_ref().map(|of| Place::of_control(of, &self.folder)),
                descent,
                wallets: by_feed(&config, opened.wallets),
                papers: opened.papers,
                house: None,
                identities,
                config: Arc::new(config),
            }),
            Ok(_) => Err(errors.into_lines()),
            Err(mut faults) => {
                faults.extend(errors.into_lines());
                Err(faults)
            }
        }
    }
}

/// What listeners have in their files, by the places of the feeds that follow them.
fn by_feed(config: &Config, wallets: Vec<(usize, OwnedFd)>) -> Vec<(u32, OwnedFd)> {
    let place = |of: usize| {
        let is_it = |(feed, _): &(&Feed, u32)| feed.kind == FeedKind::Certificates { listener: of };
        config.feeds.iter().zip(0..).find(is_it).map(|(_, place)| place)
    };
    wallets.into_iter().filter_map(|(listener, wallet)| Some((place(listener)?, wallet))).collect()
}

impl Generation {
    /// What was in the files of a feed that are a listener's certificates.
    pub(crate) fn wallet(&self, feed: u32) -> Option<BorrowedFd<'_>> {
        self.wallets.iter().find(|(of, _)| *of == feed).map(|(_, wallet)| wallet.as_fd())
    }

    /// All of them, for a worker.
    pub(crate) fn all_wallets(&self) -> Vec<(u32, RawFd)> {
        self.wallets.iter().map(|(feed, wallet)| (*feed, wallet.as_raw_fd())).collect()
    }

    /// Everything that is listened on.
    pub(crate) fn all_places(&self) -> Vec<Place> {
        self.places.iter().chain(&self.control).cloned().collect()
    }
}

/// What is wrong with a configuration that was read well, each thing once: named backends stand in many services.
struct Faults<'w> {
    written: &'w Written,
    found: Vec<Diagnostic>,
}

impl Faults<'_> {
    /// As lines, in the order of the text.
    fn into_lines(mut self) -> Findings {
        let mut files: Vec<String> = Vec::new();
        self.found.sort_by_cached_key(|fault| {
            fault.place.as_ref().map(|place| {
                let known = files.iter().position(|file| *file == place.file);
                let file = known.unwrap_or_else(|| {
                    files.push(place.file.clone());
                    files.len() - 1
                });
                (file, place.start)
            })
        });
        lines(&self.found)
    }

    fn add(&mut self, subject: Subject, text: &str) {
        let fault = self.written.error(subject, text);
        if !self.found.contains(&fault) {
            self.found.push(fault);
        }
    }
}

/// What there is to say about certificates that can be used.
fn notes(generation: &Generation, written: &Written) -> Vec<Diagnostic> {
    let of_paper = |paper: &Paper| {
        let tls = generation.config.listeners.get(paper.listener).and_then(|listener| listener.tls.as_ref());
        let place = tls.and_then(|tls| tls.certificates.iter().position(|file| *file == paper.file));
        let clause = place.map_or(Clause::Whole, Clause::Cert);
        let subject = Subject::Listener(paper.listener, clause);
        paper.notes.iter().map(|note| written.warning(subject, note)).collect::<Vec<_>>()
    };
    generation.papers.iter().flat_map(of_paper).collect()
}

/// Names are looked up here, since the children's jail may hold no user database.
fn descent(config: &Config, lookup: &mut Lookup, errors: &mut Faults<'_>) -> Descent {
    let global = &config.global;
    if let Some(root) = &global.root_jail
        && !Path::is_dir(root)
    {
        let text = format!("RootJail \"{}\" is no directory", root.display());
        errors.add(Subject::Global(Setting::RootJail), &text);
    }
    let user = global.user.as_deref().map(|name| lookup.user(name)).transpose();
    let group = global.group.as_deref().map(|name| lookup.group(name)).transpose();
    if let Err(error) = &user {
        errors.add(Subject::Global(Setting::User), &format!("User: {error}"));
    }
    if let Err(error) = &group {
        errors.add(Subject::Global(Setting::Group), &format!("Group: {error}"));
    }
    Descent { root: global.root_jail.clone(), user: user.ok().flatten(), group: group.ok().flatten() }
}

/// How many workers serve: as configured, or one for each CPU.
fn workers(config: &Config, slots: u32, errors: &mut Faults<'_>) -> u16 {
    // Two generations overlap in a reload, each with its warden.
    let max = (slots as usize / 2).saturating_sub(1);
    let workers = config.global.workers.map_or_else(|| cpus().min(max), usize::from);
    if !(1..=max).contains(&workers) {
        let text = format!("Workers {workers} is not between 1 and {max}");
        errors.add(Subject::Global(Setting::Workers), &text);
    }
    workers as u16
}

/// Diagnostics as lines without the program's name, which whoever prints them puts before each.
pub(crate) fn lines(found: &[Diagnostic]) -> Findings {
    let texts: Vec<String> = found.iter().map(|diagnostic| diagnostic.line("")).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.map(|line| line.strip_prefix(": ").unwrap_or(line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            file: "test.cfg".into(),
            text: Some(text.into()),
            preprocess: None,
            options: Options::default(),
            folder: "/folder".into(),
        }
    }

    const LISTENER: &str = "ListenHTTP\nAddress 127.0.0.1\nPort 1\nEnd\n";

    #[test]
    fn all_that_is_wrong_is_told_without_the_program_s_name() {
        let findings = source("Nonsense\nAlive x\n").check().unwrap_err();
        assert!(findings.len() >= 2, "{findings:?}");
        assert!(findings.iter().all(|line| line.starts_with("test.cfg:")), "{findings:?}");
    }

    #[test]
    fn what_only_this_system_can_say_is_checked_as_well() {
        let text = format!("User \"no-such-user\"\nRootJail \"/no/such/folder\"\nWorkers 250\n{LISTENER}");
        let findings = source(&text).check().unwrap_err().join("\n");
        assert!(findings.contains("test.cfg:1.6-19: User: no user \"no-such-user\""), "{findings}");
        assert!(
            findings.contains("test.cfg:2.10-26: RootJail \"/no/such/folder\" is no directory"),
            "{findings}"
        );
        // A machine of many CPUs has room for so many workers.
        let room = create_segment().unwrap().limits().workers / 2 > 250;
        assert!(room || findings.contains("Workers 250 is not between 1 and "), "{findings}");
    }

    #[test]
    fn a_good_configuration_says_where_it_listens() {
        let text = format!("Control \"control\"\nWorkers 3\nUser \"root\"\n{LISTENER}");
        let reading = source(&text).check().unwrap();
        assert_eq!(reading.generation.workers, 3);
        assert_eq!(reading.generation.descent.user.as_ref().map(|user| user.uid), Some(0));
        let control = Place::Control("/folder/control".into());
        assert_eq!(reading.generation.all_places(), [Place::Inet("127.0.0.1:1".parse().unwrap()), control]);
    }

    #[test]
    fn a_second_reading_asks_nobody() {
        let text = format!("User \"root\"\n{LISTENER}");
        let mut rows = Rows::new(Arc::new(create_segment().unwrap()));
        let known = source(&text).check().unwrap().known;
        source(&text).read(&mut rows, 1, Lookup::Recall(known)).unwrap();
        let findings = source(&text).read(&mut rows, 2, Lookup::Recall(Known::default())).unwrap_err();
        assert_eq!(findings, ["test.cfg:1.6-11: User: no user \"root\" was found a moment ago"]);
    }
}
