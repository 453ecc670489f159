//! The other way to begin: in the place of an earlier program of the same process (USR2).
//!
//! Sockets, segment, log sockets and children are there already; see [`crate::handover`]. The configuration is read
//! afterwards, as a reload.

use crate::args::Settings;
use crate::boot::{invocation, make_absolute, prepare_process, source};
use crate::children::Child;
use crate::handover::{self, Handover};
use crate::listen::Bindings;
use crate::log::Log;
use crate::logs::Logs;
use crate::pidfile::PidFile;
use crate::rows::Rows;
use crate::source::Findings;
use crate::supervisor::{Inherited, Setup, Supervisor};
use ounce_conf::model::Global;
use ounce_mem::Segment;
use ounce_sys::process;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Goes on where an earlier program of this process has stopped. Returns the exit status.
///
/// # Errors
/// What could not be taken over; the children end with this process.
pub(crate) fn resume(name: &str, settings: &Settings, handover: Handover) -> Result<u8, String> {
    let mut source = source(name, settings, None)?;
    make_absolute(&mut source, &handover.folder);
    let pid_file = handover.pid_file.clone().map(PidFile::adopt);
    let detached = handover.detached;
    let started = UNIX_EPOCH + Duration::from_secs(handover.started_s);
    // First of all that opens anything: what it does not know, it closes.
    let adopted = adopt_all(handover).map_err(|error| format!("cannot take over: {error}"))?;
    let mut log = Log::standard(name, settings.verbose);
    if detached {
        // Until a configuration is read that says better.
        log.use_syslog(&Global::default());
    }
    prepare_process()?;
    let setup = Setup {
        name: name.to_owned(),
        invocation: invocation(&source.folder),
        source,
        log,
        rows: adopted.rows,
        standard_streams: settings.to_stderr,
        detached,
        demo: None,
        started,
    };
    let supervisor = Supervisor::new(setup, adopted.bindings, None, pid_file);
    let supervisor = supervisor.map_err(|error| format!("cannot take signals: {error}"))?;
    Ok(supervisor.resume(adopted.inherited))
}

/// What an earlier program of this very process has left.
pub(crate) fn left_to_us() -> Option<Handover> {
    let text = std::env::var(handover::VARIABLE).ok()?;
    Handover::parse(&text).filter(|handover| handover.pid == std::process::id())
}

struct Adopted {
    rows: Rows,
    bindings: Bindings,
    inherited: Inherited,
}

/// Takes over all descriptors, and closes every other.
fn adopt_all(left: Handover) -> io::Result<Adopted> {
    let mut kept = Vec::new();
    let mut adopt = |fd: RawFd| {
        let adopted = handover::adopt(fd)?;
        kept.push(adopted.as_raw_fd());
        Ok(adopted)
    };
    let segment = Segment::attach(adopt(left.segment)?)?;
    let mut held = Vec::new();
    for (place, fds) in left.sockets {
        held.push((place, fds.into_iter().map(&mut adopt).collect::<io::Result<Vec<OwnedFd>>>()?));
    }
    let mut logs = Vec::new();
    for (read, write) in left.logs {
        logs.push((adopt(read)?, adopt(write)?));
    }
    let mut children = Vec::new();
    for ward in left.wards {
        let orders = ward.orders.map(&mut adopt).transpose()?;
        children.push(Child::new(ward.slot, ward.generation, ward.role, ward.pid, orders));
    }
    process::close_fds_except(&kept)?;
    Ok(Adopted {
        rows: Rows::adopt(Arc::new(segment), left.claims),
        bindings: Bindings::adopt(held),
        inherited: Inherited {
            children,
            logs: Logs::adopt(logs),
            number: left.number,
            serving: left.serving,
            grace_ms: left.grace_ms,
            said: left.said,
        },
    })
}

/// Answers a running program that is to be replaced by this one: could this one take over what the environment
/// describes, and read the configuration? Returns the exit status.
pub(crate) fn can_take_over(name: &str, settings: &Settings) -> u8 {
    let log = Log::standard(name, true);
    match try_take_over(name, settings) {
        Ok(()) => 0,
        Err(findings) => {
            findings.iter().for_each(|line| log.problem(line));
            1
        }
    }
}

fn try_take_over(name: &str, settings: &Settings) -> Result<(), Findings> {
    let text = std::env::var(handover::VARIABLE).ok();
    let left = text.as_deref().and_then(Handover::parse);
    let left = left.ok_or_else(|| vec!["what would be handed over is of another form".to_owned()])?;
    let attached = handover::adopt(left.segment).and_then(Segment::attach);
    attached.map_err(|error| vec![format!("the shared segment is another: {error}")])?;
    let mut source = source(name, settings, None).map_err(|error| vec![error])?;
    make_absolute(&mut source, &left.folder);
    source.check().map(drop)
}
