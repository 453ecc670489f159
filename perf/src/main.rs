//! `ounce-perf`: one command that compares ounce with nginx and HAProxy. See the crate and its README.

#![forbid(unsafe_code)]

use ounce_perf::contest::{self, Extent};
use std::process::ExitCode;

const HELP: &str = "\
Usage: ounce-perf [OPTION]...
Compares what a request costs ounce, nginx and HAProxy in CPU time, in one run of some minutes.

  --rounds N   rounds in which each has its turn (3)
  --seconds N  seconds of load in each turn (3)
  --idle N     idle connections for the memory of one (5000)
  --epoll      ounce once more, on epoll
  --other FILE ounce once more, as another build has it
  --only NAME  only scenarios whose names begin with NAME, such as TLS; or cards alone
  --help       print this

nginx, haproxy and wrk must be installed, and nothing else should run on the machine.
";

fn main() -> ExitCode {
    let extent = match read(std::env::args().skip(1)) {
        Ok(Some(extent)) => extent,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("ounce-perf: {wrong} (try --help)");
            return ExitCode::FAILURE;
        }
    };
    match contest::run(&extent) {
        Ok(tables) => {
            for table in tables {
                println!("\n{table}");
            }
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("ounce-perf: {wrong}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments; `None` asks for help.
fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Extent>, String> {
    let mut extent = Extent::default();
    while let Some(word) = words.next() {
        if word == "--only" {
            extent.only = words.next().ok_or("--only takes a name")?;
            continue;
        }
        if word == "--other" {
            extent.other = Some(words.next().ok_or("--other takes a file")?.into());
            continue;
        }
        let mut number = || -> Result<u32, String> {
            let value = words.next().and_then(|value| value.parse().ok()).filter(|value| *value > 0);
            value.ok_or_else(|| format!("{word} takes a number"))
        };
        match word.as_str() {
            "--rounds" => extent.rounds = number()?,
            "--seconds" => extent.seconds = number()?,
            "--idle" => extent.idle = number()? as usize,
            "--epoll" => extent.epoll = true,
            "-h" | "--help" => return Ok(None),
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(Some(extent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(words: &[&str]) -> Result<Option<Extent>, String> {
        read(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn arguments_are_read() {
        assert_eq!(extent(&[]), Ok(Some(Extent::default())));
        let small = Extent {
            rounds: 1,
            seconds: 2,
            idle: 10,
            epoll: true,
            other: Some("/b/ounce".into()),
            only: "TLS".into(),
        };
        let words = [
            "--rounds",
            "1",
            "--seconds",
            "2",
            "--idle",
            "10",
            "--epoll",
            "--only",
            "TLS",
            "--other",
            "/b/ounce",
        ];
        assert_eq!(extent(&words), Ok(Some(small)));
        assert_eq!(extent(&["--help"]), Ok(None));
        assert!(
            extent(&["--rounds"]).is_err() && extent(&["--rounds", "0"]).is_err() && extent(&["x"]).is_err()
        );
    }
}
