//! `ouncectl`: shows and changes the state of a running proxy through its control socket.
//!
//! Speaks under the name that it was called by, so that a link named `poundctl` serves the scripts that expect one.
//! The status is 0 when the request was granted, 1 otherwise, with the reason on standard error.

#![forbid(unsafe_code)]

mod args;
mod settings;
mod templates;

use args::{Command, Question};
use ounce_ctl::api::Request;
use ounce_ctl::client::Client;
use ounce_ctl::place::Place;
use ounce_ctl::render;
use settings::Settings;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let called = arguments.next().unwrap_or_default();
    let name =
        Path::new(&called).file_name().map_or("ouncectl".into(), |name| name.to_string_lossy().into_owned());
    let outcome = match args::parse(arguments) {
        Ok(Command::Help) => {
            Ok(format!("Usage: {name} [OPTIONS] [COMMAND [OBJECT [KEY]]]\n\n{}", args::HELP))
        }
        Ok(Command::Version) => Ok(version(&name)),
        Ok(Command::Ask(question)) => ask(&name, &question),
        Err(reason) => Err(format!("{reason} (try {name} -h)")),
    };
    match outcome.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{name}: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn version(name: &str) -> String {
    let file = args::default_file(name).display();
    format!("{name} {}\nconfiguration file: {file}\n", env!("CARGO_PKG_VERSION"))
}

/// Asks the proxy and renders what it answers.
fn ask(name: &str, question: &Question) -> Result<String, String> {
    let settings = Settings::load()?.for_question(question);
    let place = place(name, question, &settings)?;
    if question.verbose {
        let request = &question.request;
        eprintln!("{name}: {} {} on {}", request.method(), request.target(None), place);
    }
    let client = Client::at(place, settings.trust.clone());
    let answer = client.ask(&question.request, None).map_err(|error| error.to_string())?;
    if question.verbose {
        eprintln!("{name}: {} {}", answer.status, answer.reason);
    }
    if !answer.is_ok() {
        return Err(if answer.reason.is_empty() { answer.status.to_string() } else { answer.reason });
    }
    let value =
        serde_json::from_slice(&answer.body).map_err(|error| format!("the answer is no JSON: {error}"))?;
    Ok(match question.request {
        _ if question.json => render::json::render(&value, question.indent),
        Request::Switch { .. } => String::new(),
        _ if settings.has_template() => templates::render(&settings, &value)?,
        _ => render::text::render(&value),
    })
}

/// The control interface: what `-s` says, or the operator's file, or the `Control` statement of the configuration.
fn place(name: &str, question: &Question, settings: &Settings) -> Result<Place, String> {
    if let Some(url) = &settings.url {
        return Place::parse(url);
    }
    let path = question.config.clone().unwrap_or_else(|| args::default_file(name).to_owned());
    // Warnings are the proxy's to give; here only the one statement matters.
    let options = ounce_conf::Options { warn_deprecated: false, ..ounce_conf::Options::default() };
    let loaded = ounce_conf::load(&path, &options).map_err(|findings| {
        for finding in findings {
            eprintln!("{}", finding.line(name));
        }
        format!("{} cannot be used; -s names the control socket without it", path.display())
    })?;
    let control = loaded.config.global.control;
    control
        .map(|control| Place::Unix(control.path))
        .ok_or_else(|| format!("{} has no Control statement", path.display()))
}

fn print(text: &str) -> Result<(), String> {
    match io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().lock().flush()) {
        // The reader has seen enough, as in `ouncectl list | head -1`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| format!("cannot write: {error}")),
    }
}
