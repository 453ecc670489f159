//! `wrk` as a crowd of clients that never waits, and what it reports.

use crate::barrier::until;
use crate::process::Running;
use crate::{tool, wire};
use nix::sys::signal::Signal;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// `wrk` at work.
#[derive(Debug)]
pub struct Wrk {
    running: Running,
}

/// What it has seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Answers.
    pub requests: u64,
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Answers other than 2xx and 3xx.
    pub refused: u64,
    /// Connects that failed.
    pub connect_errors: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Answers that took longer than the limit.
    pub timeouts: u64,
    /// All that it printed.
    pub text: String,
}

impl Wrk {
    /// Starts it with these arguments, for a time that ends when the test wants.
    ///
    /// # Panics
    /// When it is not installed.
    #[must_use]
    pub fn start(address: SocketAddr, arguments: &[&str]) -> Wrk {
        Wrk::start_for(address, 600, arguments)
    }

    /// Starts it for so many seconds.
    ///
    /// # Panics
    /// When it is not installed.
    #[must_use]
    pub fn start_for(address: SocketAddr, seconds: u32, arguments: &[&str]) -> Wrk {
        Wrk::start_with(wire::scheme(), address, seconds, arguments)
    }

    /// Starts it for so many seconds, over `http` or `https`.
    ///
    /// # Panics
    /// When it is not installed.
    #[must_use]
    pub fn start_with(scheme: &str, address: SocketAddr, seconds: u32, arguments: &[&str]) -> Wrk {
        let child = Command::new(tool::path("wrk"))
            .args(["--duration", &format!("{seconds}s"), "--timeout", "20s"])
            .args(arguments)
            .arg(format!("{scheme}://{address}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program that is installed");
        Wrk { running: Running::new(child) }
    }

    /// Ends it and returns what it has seen.
    ///
    /// # Panics
    /// When it does not end as it should.
    #[must_use]
    pub fn stop(self) -> Report {
        self.running.signal(Signal::SIGINT);
        self.report()
    }

    /// Waits until its time is over and returns what it has seen.
    ///
    /// # Panics
    /// When it does not end as it should.
    #[must_use]
    pub fn report(mut self) -> Report {
        let mut text = String::new();
        let stdout = self.running.child().stdout.take();
        stdout.expect("a pipe").read_to_string(&mut text).expect("a report");
        until("the end of wrk", || self.running.ended());
        read(&text).unwrap_or_else(|| panic!("wrk reports:\n{text}"))
    }
}

impl Report {
    /// Failures of any kind.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.refused + self.connect_errors + self.read_errors + self.write_errors + self.timeouts
    }

    /// Answers in each second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

fn read(text: &str) -> Option<Report> {
    let mut report = Report { text: text.into(), ..Report::default() };
    let mut complete = false;
    for line in text.lines().map(str::trim) {
        if let Some((requests, rest)) = line.split_once(" requests in ") {
            report.requests = requests.parse().ok()?;
            report.seconds = seconds(rest.split(',').next()?)?;
            complete = true;
        } else if let Some(errors) = line.strip_prefix("Socket errors: ") {
            for error in errors.split(", ") {
                let (kind, count) = error.split_once(' ')?;
                let count = count.parse().ok()?;
                match kind {
                    "connect" => report.connect_errors = count,
                    "read" => report.read_errors = count,
                    "write" => report.write_errors = count,
                    "timeout" => report.timeouts = count,
                    _ => return None,
                }
            }
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            report.refused = count.parse().ok()?;
        }
    }
    complete.then_some(report)
}

/// A time as `wrk` prints it: `2.01s`, `1.50m`.
fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|letter: char| letter.is_ascii_alphabetic())?);
    let unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let text = "Running 1s test @ http://127.0.0.1:1/\n  2 threads and 4 connections\n\
                    \x20 1234 requests in 1.50m, 1.00MB read\n\
                    \x20 Socket errors: connect 1, read 2, write 3, timeout 4\n\
                    \x20 Non-2xx or 3xx responses: 5\nRequests/sec: 1\n";
        let report = read(text).unwrap();
        assert_eq!((report.requests, report.seconds, report.failures()), (1234, 90.0, 15));
        assert_eq!(read("unable to connect"), None);
    }
}
