//! `ounce`: a reverse proxy and load balancer that reads Pound's configuration and serves it on one ring per CPU.
//!
//! This binary is three kinds of process. The *supervisor* reads the configuration, binds the sockets, owns the shared
//! segment, forks the others and replaces them; *workers* carry all traffic (crate `ounce_engine`); the *warden*
//! ([`warden`]) probes, logs and answers the control socket.
//!
//! | file | what |
//! |---|---|
//! | `args` | the command line |
//! | `boot` | the order of a start |
//! | `source` | the configuration and what follows from it alone |
//! | `fleet` | every decision about children, without a process or a clock |
//! | `supervisor` | the loop that carries the decisions out; reloads; replacing the program |
//! | `handover`, `takeover` | what one program leaves to the next, and how that one begins |
//! | `reload`, `known` | a changed configuration is checked in a child, which passes on what it asked the system |
//! | `preprocess` | a command that makes the configuration |
//! | `house` | the way from workers to the warden, for what the program answers itself |
//! | `proof` | keys on cards are tried out in a child |
//! | `listen` | the listening sockets and who gets which |
//! | `rows` | rows of the segment: claimed, kept, swept |
//! | `child`, `worker` | fork, and what a child does first |
//! | `children`, `inheritance` | what supervisor and children say to each other |
//! | `events`, `log`, `logs`, `pidfile`, `daemon` | waiting, words, log sockets, the pid file, leaving the terminal |
//!
//! Invariants:
//! 1. The supervisor has one thread and reads no byte that a client sent.
//! 2. A listening socket lives as long as its address is configured; no death of a child closes one.
//! 3. A generation drains only after the next one said READY with every member; a reload that fails changes nothing.
//! 4. What a child says is checked, and no child can make the supervisor wait.
//! 5. Every state of a child but `Ready` has a limit in time.

#![forbid(unsafe_code)]

mod args;
mod boot;
mod child;
mod children;
mod daemon;
mod demo;
mod events;
mod feeds;
mod fleet;
mod handover;
mod house;
mod inheritance;
mod known;
mod listen;
mod log;
mod logs;
mod pidfile;
mod preprocess;
mod proof;
mod reload;
mod rows;
mod source;
mod supervisor;
mod takeover;
mod warden;
mod worker;

use args::Request;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = args::program_name(words.next().as_deref());
    let status = match args::parse(words) {
        Ok(Request::Run(settings)) => boot::run(&name, &settings),
        Ok(Request::Help) => print(&args::help(&name)),
        Ok(Request::Version) => print(&args::version(&name)),
        Ok(Request::CanTakeOver(settings)) => takeover::can_take_over(&name, &settings),
        Ok(Request::Upgrade { settings, file, included }) => {
            boot::upgrade(&name, &settings, &file, included.as_deref())
        }
        Ok(Request::Directives) => print(&ounce_conf::help_directives()),
        Err(error) => {
            eprintln!("{name}: {error}\nTry '{name} -h' for more.");
            1
        }
    };
    ExitCode::from(status)
}

/// Prints an answer; a reader that has seen enough is no failure.
pub(crate) fn print(text: &str) -> u8 {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
    0
}
