//! What one supervisor leaves to the next when it replaces its own program (USR2).
//!
//! The process stays the same, and with it its children; the program begins anew. What it must know travels as text in
//! the environment, and the descriptors that the text names stay open over the exec. The text is from a trusted hand,
//! the process itself, and is checked all the same: another version may have written it.

use crate::fleet::{Role, Slot};
use crate::listen::Place;
use crate::rows::{Said, Switches};
use ounce_sys::fdpass::duplicate;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The variable of the environment that holds the text.
pub(crate) const VARIABLE: &str = "OUNCE_HANDOVER";
/// In place of a descriptor: there is none.
const NONE: RawFd = -1;
/// The first line. A change of what follows changes its number.
const FORM: &str = "ounce-handover\t1";

/// A child that goes on under the new program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ward {
    /// Where it stands.
    pub(crate) slot: Slot,
    /// Whose configuration it serves.
    pub(crate) generation: u32,
    /// What it is for.
    pub(crate) role: Role,
    /// Its process.
    pub(crate) pid: i32,
    /// Our end of its orders socket, unless it has closed its own.
    pub(crate) orders: Option<RawFd>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handover {
    /// The process that this is for.
    pub(crate) pid: u32,
    /// When it was started, in seconds since the epoch.
    pub(crate) started_s: u64,
    /// It has left the terminal.
    pub(crate) detached: bool,
    /// The shared segment.
    pub(crate) segment: RawFd,
    /// The last number under which rows were claimed.
    pub(crate) claims: u32,
    /// The last number given to a generation.
    pub(crate) number: u32,
    /// The generation that serves.
    pub(crate) serving: u32,
    /// Its `Grace`, and that of all others.
    pub(crate) grace_ms: u64,
    /// What its file says about switches.
    pub(crate) said: Said,
    /// Where the program was started.
    pub(crate) folder: PathBuf,
    /// The pid file.
    pub(crate) pid_file: Option<PathBuf>,
    /// The listening sockets.
    pub(crate) sockets: Vec<(Place, Vec<RawFd>)>,
    /// The workers' log sockets in slot order: reading and writing end.
    pub(crate) logs: Vec<(RawFd, RawFd)>,
    /// The children.
    pub(crate) wards: Vec<Ward>,
}

impl Handover {
    /// The text; `None` if a path cannot stand in it.
    pub(crate) fn to_text(&self) -> Option<String> {
        let mut lines = vec![FORM.to_owned()];
        let mut put = |words: &[&dyn ToString]| {
            lines.push(words.iter().map(|word| word.to_string()).collect::<Vec<String>>().join("\t"));
        };
        put(&[&"process", &self.pid, &self.started_s, &u8::from(self.detached)]);
        put(&[&"segment", &self.segment, &self.claims]);
        put(&[&"generation", &self.number, &self.serving, &self.grace_ms]);
        put(&[&"services", &switches(&self.said.services)]);
        put(&[&"backends", &switches(&self.said.backends)]);
        put(&[&"folder", &plain(&self.folder)?]);
        if let Some(path) = &self.pid_file {
            put(&[&"pidfile", &plain(path)?]);
        }
        for (place, fds) in &self.sockets {
            let (kind, name) = match place {
                Place::Inet(address) => ("inet", address.to_string()),
                Place::Unix(path) => ("unix", plain(path)?.to_owned()),
                Place::Received(path) => ("received", plain(path)?.to_owned()),
                Place::Control(path) => ("control", plain(path)?.to_owned()),
            };
            let fds: Vec<String> = fds.iter().map(RawFd::to_string).collect();
            put(&[&kind, &name, &fds.join("\t")]);
        }
        for (read, write) in &self.logs {
            put(&[&"log", read, write]);
        }
        for ward in &self.wards {
            let (kind, position) = match ward.role {
                Role::Worker { position } => ("worker", position),
                Role::Warden => ("warden", 0),
            };
            let orders = ward.orders.unwrap_or(NONE);
            put(&[&kind, &position, &ward.slot, &ward.generation, &ward.pid, &orders]);
        }
        Some(lines.join("\n"))
    }

    /// Reads the text; `None` if it is not of this form.
    pub(crate) fn parse(text: &str) -> Option<Handover> {
        let mut lines: VecDeque<Words<'_>> = text.lines().map(Words::of).collect();
        if text.lines().next() != Some(FORM) {
            return None;
        }
        lines.pop_front();
        let mut process = lines.pop_front()?.expect("process")?;
        let mut segment = lines.pop_front()?.expect("segment")?;
        let mut generation = lines.pop_front()?.expect("generation")?;
        let services = lines.pop_front()?.expect("services")?;
        let backends = lines.pop_front()?.expect("backends")?;
        let mut folder = lines.pop_front()?.expect("folder")?;
        let mut handover = Handover {
            pid: process.next()?,
            started_s: process.next()?,
            detached: process.next::<u8>()? != 0,
            segment: segment.next()?,
            claims: segment.next()?,
            number: generation.next()?,
            serving: generation.next()?,
            grace_ms: generation.next()?,
            said: Said { services: services.switches()?, backends: backends.switches()? },
            folder: folder.next()?,
            pid_file: None,
            sockets: Vec::new(),
            logs: Vec::new(),
            wards: Vec::new(),
        };
        lines.into_iter().try_for_each(|line| handover.take_line(line))?;
        Some(handover)
    }

    fn take_line(&mut self, mut line: Words<'_>) -> Option<()> {
        let kind: String = line.next()?;
        match &kind[..] {
            "pidfile" => self.pid_file = Some(line.next()?),
            "log" => self.logs.push((line.next()?, line.next()?)),
            "worker" | "warden" => {
                let position = line.next()?;
                let role = if kind == "worker" { Role::Worker { position } } else { Role::Warden };
                let (slot, generation) = (line.next()?, line.next()?);
                let (pid, orders) = (line.next()?, Some(line.next()?).filter(|orders| *orders != NONE));
                self.wards.push(Ward { slot, generation, role, pid, orders });
            }
            _ => {
                let place = match &kind[..] {
                    "inet" => Place::Inet(line.next()?),
                    "unix" => Place::Unix(line.next()?),
                    "received" => Place::Received(line.next()?),
                    "control" => Place::Control(line.next()?),
                    _ => return None,
                };
                self.sockets.push((place, line.rest()?));
            }
        }
        Some(())
    }
}

/// Takes over a descriptor by its number. The number itself stays open until the caller closes what is not its own.
///
/// # Errors
/// What fcntl(2) reports.
pub(crate) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    duplicate(fd)
}

/// The words of a line.
struct Words<'a> {
    words: std::str::Split<'a, char>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        Words { words: line.split('\t') }
    }

    fn expect(mut self, kind: &str) -> Option<Words<'a>> {
        (self.words.next()? == kind).then_some(self)
    }

    fn next<T: FromStr>(&mut self) -> Option<T> {
        self.words.next()?.parse().ok()
    }

    /// Rows; those that are disabled end with `-`.
    fn switches(self) -> Option<Switches> {
        let words = self.words.filter(|word| !word.is_empty());
        let switch = |word: &str| {
            let row = word.strip_suffix('-');
            Some((row.unwrap_or(word).parse().ok()?, row.is_some()))
        };
        words.map(switch).collect()
    }

    fn rest<T: FromStr>(self) -> Option<Vec<T>> {
        self.words.map(|word| word.parse().ok()).collect()
    }
}

fn switches(switches: &Switches) -> String {
    let word = |(row, disabled): (&u32, &bool)| format!("{row}{}", if *disabled { "-" } else { "" });
    switches.iter().map(word).collect::<Vec<String>>().join("\t")
}

/// A path that can stand between tabs.
fn plain(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| !text.contains(['\t', '\n', '\0']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handover() -> Handover {
        Handover {
            pid: 7,
            started_s: 1_700_000_000,
            detached: true,
            segment: 3,
            claims: 9,
            number: 4,
            serving: 3,
            grace_ms: 30_000,
            said: Said { services: Switches::from([(0, false), (7, true)]), backends: Switches::new() },
            folder: "/a folder".into(),
            pid_file: Some("/run/x.pid".into()),
            sockets: vec![
                (Place::Inet("[::1]:80".parse().unwrap()), vec![4, 5]),
                (Place::Unix("/run/s".into()), vec![6]),
                (Place::Received("/run/r".into()), vec![7]),
                (Place::Control("/run/c".into()), vec![8]),
            ],
            logs: vec![(9, 10), (11, 12)],
            wards: vec![
                Ward {
                    slot: 0,
                    generation: 3,
                    role: Role::Worker { position: 1 },
                    pid: 70,
                    orders: Some(13),
                },
                Ward { slot: 2, generation: 3, role: Role::Warden, pid: 71, orders: None },
            ],
        }
    }

    #[test]
    fn what_is_handed_over_survives_its_text() {
        let handover = handover();
        assert_eq!(Handover::parse(&handover.to_text().unwrap()), Some(handover.clone()));
        let without = Handover { pid_file: None, ..handover };
        assert_eq!(Handover::parse(&without.to_text().unwrap()), Some(without));
    }

    #[test]
    fn a_text_of_another_form_is_refused() {
        let text = handover().to_text().unwrap();
        assert_eq!(Handover::parse(""), None);
        assert_eq!(Handover::parse(&text.replace("handover\t1", "handover\t2")), None);
        assert_eq!(Handover::parse(&format!("{text}\nmore\t1")), None);
        // Whatever is cut off, it is refused or makes sense, and nothing panics.
        for end in 0..text.len() {
            let _ = Handover::parse(&text[..end]);
        }
    }

    #[test]
    fn a_path_that_would_break_the_text_is_not_written() {
        for path in ["/a\tb", "/a\nb"] {
            assert_eq!(Handover { folder: path.into(), ..handover() }.to_text(), None);
        }
    }
}
