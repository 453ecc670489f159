//! Processes: those that a test started, and what the kernel tells about them.

use crate::barrier::{DEADLINE, until, until_within};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, ExitStatus};

/// A child of the test, ended with this value if it has not ended before.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Takes a child over.
    #[must_use]
    pub fn new(child: Child) -> Running {
        Running { child }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("a signal to a child");
    }

    /// How it ended, or `None` if it has not.
    ///
    /// # Panics
    /// When it was reaped by somebody else.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended in time.
    pub fn wait(&mut self) -> ExitStatus {
        until("the end of a child", || self.ended())
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a descendant of a child of the test. Whether it was still there.
#[must_use]
pub fn signal(pid: i32, signal: Signal) -> bool {
    kill(Pid::from_raw(pid), signal) != Err(Errno::ESRCH)
}

/// Whether a process lives. One that has ended and was not reaped does not.
#[must_use]
pub fn lives(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// Waits until a process is gone.
///
/// # Panics
/// When it is not gone in time.
pub fn wait_gone(pid: i32) {
    assert!(until_within(DEADLINE, || (!lives(pid)).then_some(())).is_some(), "process {pid} is still there");
}

/// The children of a process, lowest number first.
#[must_use]
pub fn children(parent: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<i32> = pids
        .filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent && stat.state != 'Z'))
        .collect();
    found.sort_unstable();
    found
}

/// A process, its children, theirs and so on.
#[must_use]
pub fn family(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        found.extend(children(found[at]));
        at += 1;
    }
    found
}

/// The name of a process as lists of processes show it; empty if it is gone.
#[must_use]
pub fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// A field of `/proc/PID/status`, such as `Uid`.
#[must_use]
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_owned()))
}

/// How many descriptors a process has open.
#[must_use]
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What it has of physical memory, shared pages counted whole.
    pub resident: u64,
    /// The same with each shared page divided among those who share it.
    pub proportional: u64,
    /// What is its own alone and written. Pages of a library that nobody else has any more are not: they come and go with
    /// other programs.
    pub private: u64,
}

/// Memory of a process; `None` if it is gone.
#[must_use]
pub fn memory(pid: i32) -> Option<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let bytes = |field: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Some(Memory { resident: bytes("Rss:"), proportional: bytes("Pss:"), private: bytes("Private_Dirty:") })
}

/// Nanoseconds that a process and its threads, the kernel's on its behalf included, have had a CPU.
#[must_use]
pub fn cpu_ns(pid: i32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of = |path: std::path::PathBuf| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    tasks.filter_map(|task| of(task.ok()?.path())).sum()
}

/// The sockets that listen on a port of 127.0.0.1, by the kernel's numbers for them.
///
/// # Panics
/// When the kernel does not tell.
#[must_use]
pub fn listening(port: u16) -> BTreeSet<u64> {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's sockets");
    let local = format!("0100007F:{port:04X}");
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        // State 0A is LISTEN.
        (columns.get(1) == Some(&local.as_str()) && columns.get(3) == Some(&"0A")).then_some(())?;
        columns.get(9)?.parse().ok()
    };
    table.lines().filter_map(inode).collect()
}

struct Stat {
    state: char,
    parent: i32,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses included.
    let mut rest = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    Some(Stat { state: rest.next()?.chars().next()?, parent: rest.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_is_known_by_its_parent_and_goes_with_its_value() {
        let mut command = Command::new("cat");
        let mut running = Running::new(command.stdin(Stdio::piped()).spawn().unwrap());
        let pid = running.pid();
        assert!(children(std::process::id().cast_signed()).contains(&pid));
        until("the name of a child", || (name(pid) == "cat").then_some(()));
        assert!(memory(pid).unwrap().resident > 0);
        assert!(running.ended().is_none());
        drop(running);
        assert!(!lives(pid));
    }

    #[test]
    fn a_listening_socket_is_known_by_its_number() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening(port).len(), 1);
        drop(listener);
        assert!(listening(port).is_empty());
    }

    #[test]
    fn time_on_a_cpu_grows() {
        let own = std::process::id().cast_signed();
        let before = cpu_ns(own);
        let mut sum = 0_u64;
        while cpu_ns(own) <= before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
