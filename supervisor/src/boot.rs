//! From the command line to a supervisor at work.
//!
//! Everything is checked before anything is touched: configuration, segment and compilation, then sockets, then the
//! terminal, then the pid file, then children. Whatever fails up to the first generation's READY ends the start with
//! status 1 and a reason on standard error.

use crate::args::{Settings, default_file};
use crate::daemon::{Side, detach, set_umask};
use crate::demo::Demo;
use crate::known::{Known, Lookup};
use crate::listen::Bindings;
use crate::log::Log;
use crate::pidfile::PidFile;
use crate::proof::prove;
use crate::rows::Rows;
use crate::source::{Generation, Reading, Source, create_segment};
use crate::supervisor::{Invocation, Setup, Supervisor, stage};
use crate::takeover;
use ounce_conf::Options;
use ounce_sys::{process, signal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Runs or checks as the settings say. Returns the exit status.
pub(crate) fn run(name: &str, settings: &Settings) -> u8 {
    let log = Log::standard(name, settings.verbose);
    let outcome = match settings {
        Settings { print: true, .. } => print_text(name, settings, &log),
        Settings { check: true, .. } => check(name, settings, &log),
        _ => serve(name, settings, &log),
    };
    outcome.unwrap_or_else(|error| {
        error.lines().for_each(|line| log.problem(line));
        1
    })
}

/// Prints what the preprocessor makes of the configuration, or the configuration if there is none.
fn print_text(name: &str, settings: &Settings, log: &Log) -> Result<u8, String> {
    let demo = prepare_demo(settings)?;
    let made = source(name, settings, demo.as_ref())?.made().map_err(|faults| faults.join("\n"))?;
    made.said.iter().for_each(|line| log.problem(line));
    Ok(crate::print(&made.text))
}

/// Prints a configuration, or a file that it includes, in today's words. Returns the exit status.
pub(crate) fn upgrade(name: &str, settings: &Settings, file: &Path, included: Option<&Path>) -> u8 {
    let log = Log::standard(name, settings.verbose);
    let options = Options { include_dir: settings.include_dir.clone(), ..Options::default() };
    let upgraded = match ounce_conf::upgrade(file, &options) {
        Ok(upgraded) => upgraded,
        Err(found) => {
            crate::source::lines(&found).iter().for_each(|line| log.problem(line));
            return 1;
        }
    };
    // Named as the configuration names it, or from here.
    let same = |name: &str, path: &Path| {
        Path::new(name) == path
            || path.canonicalize().is_ok_and(|path| Path::new(name).canonicalize().is_ok_and(|of| of == path))
    };
    match included {
        Some(path) => match upgraded.included.iter().find(|(name, _)| same(name, path)) {
            Some((_, text)) => crate::print(text),
            None => {
                log.problem(&format!("nothing of {} is out of date in {}", path.display(), file.display()));
                1
            }
        },
        None => {
            for (other, _) in &upgraded.included {
                let file = file.display();
                log.problem(&format!("{other} changes as well: {name} --upgrade-config {file} {other}"));
            }
            crate::print(&upgraded.text)
        }
    }
}

fn check(name: &str, settings: &Settings, log: &Log) -> Result<u8, String> {
    let demo = prepare_demo(settings)?;
    let source = source(name, settings, demo.as_ref())?;
    match source.check() {
        Ok(reading) => {
            reading.warnings.iter().for_each(|line| log.problem(line));
            if settings.verbose || settings.to_stderr {
                println!("{name}: Config file {} is OK", source.file.display());
            }
            Ok(0)
        }
        Err(findings) => Err(findings.join("\n")),
    }
}

fn serve(name: &str, settings: &Settings, log: &Log) -> Result<u8, String> {
    if let Some(handover) = takeover::left_to_us() {
        return takeover::resume(name, settings, handover);
    }
    let started = SystemTime::now();
    if settings.close_extra_fds {
        process::close_fds_except(&[]).map_err(|error| format!("cannot close descriptors: {error}"))?;
    }
    set_umask();
    let demo = prepare_demo(settings)?;
    let mut source = source(name, settings, demo.as_ref())?;
    let mut rows = Rows::new(Arc::new(create_segment()?));
    let reading = source.read(&mut rows, 1, Lookup::Ask(Known::default()));
    let Reading { generation, warnings, .. } = reading.map_err(|findings| findings.join("\n"))?;
    warnings.iter().for_each(|line| log.problem(line));
    prove(&generation).map_err(|findings| findings.join("\n"))?;
    prepare_process()?;
    let mut bindings = Bindings::default();
    let staged = stage(&mut bindings, &rows, None, None, &generation, &source.folder)?;

    let pid_path = pid_path(settings, &generation, &source.folder);
    let detached = generation.config.global.daemon && !stays(settings);
    let mut starter = None;
    if detached {
        let folder = source.folder.clone();
        make_absolute(&mut source, &folder);
        match detach().map_err(|error| format!("cannot leave the terminal: {error}"))? {
            Side::Daemon(line) => starter = Some(line),
            // Sockets and files are the daemon's; nothing of them may be dropped here.
            Side::Caller(serves) => process::exit_now(if serves { 0 } else { 1 }),
        }
    }
    let pid_file = pid_path.as_deref().map(PidFile::write).transpose()?;
    let setup = Setup {
        name: name.to_owned(),
        invocation: invocation(&source.folder),
        source,
        log: Log::standard(name, settings.verbose),
        rows,
        standard_streams: settings.to_stderr || settings.demo,
        detached,
        demo,
        started,
    };
    let supervisor = Supervisor::new(setup, bindings, starter, pid_file);
    let supervisor = supervisor.map_err(|error| format!("cannot take signals: {error}"))?;
    Ok(supervisor.run(generation, staged))
}

/// How this program was called. A name without a folder is found by `PATH`, any other from where it was started.
pub(crate) fn invocation(folder: &Path) -> Invocation {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let path = Path::new(&name);
    let program = if path.components().count() > 1 { folder.join(path) } else { path.to_owned() };
    Invocation { program, name, arguments: words.collect() }
}

/// Makes paths independent of the working directory, since the daemon's is another.
pub(crate) fn make_absolute(source: &mut Source, folder: &Path) {
    source.folder = folder.to_owned();
    source.file = folder.join(&source.file);
    source.options.include_dir = source.options.include_dir.take().map(|below| folder.join(below));
}

fn prepare_demo(settings: &Settings) -> Result<Option<Demo>, String> {
    if !settings.demo {
        return Ok(None);
    }
    Demo::prepare().map(Some).map_err(|error| format!("cannot prepare the demo: {error}"))
}

/// Where the settings say that the configuration comes from.
///
/// # Errors
/// Why there is none.
pub(crate) fn source(name: &str, settings: &Settings, demo: Option<&Demo>) -> Result<Source, String> {
    let text = demo.map(Demo::config).transpose();
    let text = text.map_err(|error| format!("cannot prepare the demo: {error}"))?;
    let file = match (&text, &settings.file) {
        (Some(_), _) => PathBuf::from("demo.cfg"),
        (None, Some(file)) => file.clone(),
        (None, None) => default_file(name),
    };
    let options = Options {
        include_dir: settings.include_dir.clone(),
        warn_deprecated: settings.warn_deprecated,
        resolve_dns: settings.resolve_dns,
        check_pattern: Some(ounce_core::route::pattern::check),
        ..Options::default()
    };
    let folder = std::env::current_dir().map_err(|error| format!("no working directory: {error}"))?;
    Ok(Source { file, text, preprocess: settings.preprocess.clone(), options, folder })
}

/// The terminal is not left, whatever `Daemon` says.
fn stays(settings: &Settings) -> bool {
    settings.foreground || settings.to_stderr || settings.demo
}

fn pid_path(settings: &Settings, generation: &Generation, folder: &Path) -> Option<PathBuf> {
    let path = settings.pid_file.as_ref().or(generation.config.global.pid_file.as_ref())?;
    (path.as_os_str() != "-").then(|| folder.join(path))
}

/// Sets what holds for this process and its children.
///
/// # Errors
/// What could not be set, in words.
pub(crate) fn prepare_process() -> Result<(), String> {
    // Children inherit both. Few descriptors mean few clients, not no service.
    let _ = process::raise_open_files();
    signal::ignore_pipe().map_err(|error| format!("cannot ignore SIGPIPE: {error}"))
}
