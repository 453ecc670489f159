//! What the supervisor itself has to say: to the terminal, or to the system's log once it has left the terminal.
//!
//! Request lines and problems of workers are the warden's business; this is for the few words about processes and
//! configurations. They are sent from here, since the warden may be what they are about, and never waited for: the C
//! library's syslog(3) would wait for a log daemon that does not read.

use crate::warden::calendar::syslog_time;
use crate::warden::syslog;
use ounce_conf::model::{Global, LogTarget};
use ounce_sys::clock;
use std::io::Write;
use std::os::unix::net::UnixDatagram;

/// Where the system's log listens.
const SOCKET: &str = "/dev/log";
/// The facility of a configuration that has none (RFC 3164 4.1.1: system daemons).
const DAEMON: u8 = 3;
/// Most bytes of a text that came from a child.
const FOREIGN_BYTES_MAX: usize = 1000;

/// How much a word matters (RFC 3164 4.1.1).
#[derive(Debug, Clone, Copy)]
enum Severity {
    Error = 3,
    Notice = 5,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Log {
    name: String,
    verbose: bool,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Standard,
    Syslog { facility: u8, tag: String, socket: UnixDatagram },
}

impl Log {
    /// Writes to standard error under the program's name; notices only if `verbose`.
    pub(crate) fn standard(name: &str, verbose: bool) -> Log {
        Log { name: name.into(), verbose, sink: Sink::Standard }
    }

    /// Writes to the system's log from now on.
    pub(crate) fn use_syslog(&mut self, global: &Global) {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        // Without a socket the words go to standard error, that is, nowhere: there is nobody to tell.
        if let Ok(socket) = socket {
            self.sink = Sink::Syslog { facility: facility(global), tag: tag(&self.name, global), socket };
        }
    }

    /// The configuration that serves now names its facility and tag. Changes nothing on a terminal.
    pub(crate) fn follow(&mut self, global: &Global) {
        let new_tag = tag(&self.name, global);
        if let Sink::Syslog { facility: current, tag, .. } = &mut self.sink {
            (*current, *tag) = (facility(global), new_tag);
        }
    }

    /// Something is wrong.
    pub(crate) fn problem(&self, text: &str) {
        self.write(Severity::Error, text);
    }

    /// Something happened.
    pub(crate) fn notice(&self, text: &str) {
        if self.verbose || matches!(self.sink, Sink::Syslog { .. }) {
            self.write(Severity::Notice, text);
        }
    }

    fn write(&self, severity: Severity, text: &str) {
        match &self.sink {
            Sink::Standard => {
                // In one call, so that lines of several processes do not mix. A terminal that is gone is no reason to end.
                let line = format!("{}: {text}\n", self.name);
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
            Sink::Syslog { facility, tag, socket } => {
                for line in text.lines() {
                    let line = message(*facility, severity, tag, line);
                    // A log daemon that is away or does not read loses this line.
                    let _ = socket.send_to(line.as_bytes(), SOCKET);
                }
            }
        }
    }
}

/// A message in the local form of RFC 3164, which has no host name.
fn message(facility: u8, severity: Severity, name: &str, line: &str) -> String {
    let now_s = i64::try_from(clock::wall_us() / 1_000_000).unwrap_or(0);
    let (priority, pid) = (facility * 8 + severity as u8, std::process::id());
    format!("<{priority}>{} {name}[{pid}]: {line}", syslog_time(now_s))
}

fn facility(global: &Global) -> u8 {
    match global.log_target {
        LogTarget::Syslog(facility) => facility,
        LogTarget::Standard => DAEMON,
    }
}

/// `LogTag`, or the program's name.
fn tag(name: &str, global: &Global) -> String {
    global.log_tag.clone().unwrap_or_else(|| syslog::word(name))
}

/// A text of another process, made fit for a log line.
pub(crate) fn foreign(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(FOREIGN_BYTES_MAX)];
    let text = String::from_utf8_lossy(cut);
    text.trim().chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_a_child_is_one_clean_line_of_bounded_length() {
        assert_eq!(foreign(b"two\nlines \x1b[2J\xff\n"), "two lines  [2J\u{fffd}");
        assert_eq!(foreign(&[b'x'; 10_000]).len(), FOREIGN_BYTES_MAX);
    }

    #[test]
    fn the_tag_is_the_programs_name_or_the_configurations() {
        let mut global = Global::default();
        assert_eq!(tag("oun ce", &global), "oun_ce");
        global.log_tag = Some("web".to_owned());
        assert_eq!((tag("ounce", &global), facility(&global)), ("web".to_owned(), 3));
    }

    #[test]
    fn a_message_has_the_form_of_the_local_syslog_socket() {
        // The 15 characters between are the time: `Nov  2 12:34:56`.
        let around_time = |message: String| (message[..4].to_owned(), message[4 + 15..].to_owned());
        let pid = std::process::id();
        let error = around_time(message(3, Severity::Error, "ounce", "x"));
        assert_eq!(error, ("<27>".into(), format!(" ounce[{pid}]: x")));
        let notice = around_time(message(9, Severity::Notice, "pound", "y"));
        assert_eq!(notice, ("<77>".into(), format!(" pound[{pid}]: y")));
    }
}
