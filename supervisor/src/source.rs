//! Where the configuration comes from, and what one reading of it makes.

use crate::listen::Place;
use crate::rows::{Identity, Rows};
use ounce_conf::model::Config;
use ounce_conf::{Diagnostic, Options};
use ounce_core::Plan;
use ounce_mem::{Limits, Segment};
use ounce_sys::privilege::{self, Descent};
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
    /// How many workers serve it.
    pub(crate) workers: u16,
    /// Where each listener of the plan listens.
    pub(crate) places: Vec<Place>,
    /// Where the control socket is.
    pub(crate) control: Option<Place>,
    /// What a worker keeps of its rights; the warden keeps its root directory as well.
    pub(crate) descent: Descent,
    /// Its rows in the segment.
    pub(crate) identities: Vec<Identity>,
}

/// What a reading came to: lines for the log, without the program's name.
pub(crate) type Findings = Vec<String>;

impl Source {
    /// Reads the configuration and makes generation `number` of it.
    ///
    /// # Errors
    /// Everything that is wrong. In either case the findings are the lines to be printed.
    pub(crate) fn read(&self, rows: &mut Rows, number: u32) -> Result<(Generation, Findings), Findings> {
        let loaded = match &self.text {
            Some(text) => ounce_conf::load_text(&self.file.to_string_lossy(), text, &self.options),
            None => ounce_conf::load(&self.file, &self.options),
        };
        let loaded = loaded.map_err(|found| lines(&found))?;
        let mut findings = lines(&loaded.warnings);
        let config = loaded.config;
        match self.prepare(config, rows, number) {
            Ok(generation) => Ok((generation, findings)),
            Err(errors) => {
                findings.extend(errors);
                Err(findings)
            }
        }
    }

    /// Reads the configuration for its faults alone.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(crate) fn check(&self) -> Result<Findings, Findings> {
        let segment = create_segment().map_err(|error| vec![error])?;
        self.read(&mut Rows::new(Arc::new(segment)), 1).map(|(_, findings)| findings)
    }

    fn prepare(&self, config: Config, rows: &mut Rows, number: u32) -> Result<Generation, Findings> {
        let mut errors = Vec::new();
        let slots = rows.segment().limits().workers;
        let mut claims = rows.claims();
        let plan = ounce_core::route::compile(&config, &mut claims);
        let identities = claims.into_identities();
        let descent = descent(&config, &mut errors);
        let workers = workers(&config, slots, &mut errors);
        match plan {
            Ok(plan) if errors.is_empty() => Ok(Generation {
                number,
                plan: Arc::new(plan),
                workers,
                places: config.listeners.iter().map(|of| Place::of(&of.listen, &self.folder)).collect(),
                control: config.global.control.as_ref().map(|of| Place::of_control(of, &self.folder)),
                descent,
                identities,
                config: Arc::new(config),
            }),
            Ok(_) => Err(errors),
            Err(mut faults) => {
                faults.extend(errors);
                Err(faults)
            }
        }
    }
}

impl Generation {
    /// Everything that is listened on.
    pub(crate) fn all_places(&self) -> Vec<Place> {
        self.places.iter().chain(&self.control).cloned().collect()
    }
}

/// Names are looked up here, since the children's jail may hold no user database.
fn descent(config: &Config, errors: &mut Findings) -> Descent {
    let global = &config.global;
    let user = global.user.as_deref().map(privilege::lookup_user).transpose();
    let group = global.group.as_deref().map(privilege::lookup_group).transpose();
    if let Some(root) = &global.root_jail
        && !Path::is_dir(root)
    {
        errors.push(format!("RootJail \"{}\" is no directory", root.display()));
    }
    if let Err(error) = &user {
        errors.push(format!("User: {error}"));
    }
    if let Err(error) = &group {
        errors.push(format!("Group: {error}"));
    }
    Descent { root: global.root_jail.clone(), user: user.ok().flatten(), group: group.ok().flatten() }
}

/// How many workers serve: as configured, or one for each CPU.
fn workers(config: &Config, slots: u32, errors: &mut Findings) -> u16 {
    // Two generations overlap in a reload, each with its warden.
    let max = (slots as usize / 2).saturating_sub(1);
    let workers = config.global.workers.map_or_else(|| cpus().min(max), usize::from);
    if !(1..=max).contains(&workers) {
        errors.push(format!("Workers {workers} is not between 1 and {max}"));
    }
    workers as u16
}

/// Diagnostics as lines without the program's name, which whoever prints them puts before each.
fn lines(found: &[Diagnostic]) -> Findings {
    let with_name = |diagnostic: &Diagnostic| diagnostic.line("");
    found.iter().flat_map(|diagnostic| strip(&with_name(diagnostic))).collect()
}

fn strip(text: &str) -> Findings {
    text.lines().map(|line| line.strip_prefix(": ").unwrap_or(line).to_owned()).collect()
}
