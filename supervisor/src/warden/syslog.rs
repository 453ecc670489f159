//! Log lines to a log daemon: of this machine over the datagram socket `/dev/log`, or of another one (`LogServer`).
//!
//! One task owns the connection and a bounded queue of batches. A log daemon that restarts is reconnected to, with a
//! growing wait between attempts; one that stops reading fills the queue. Lines that find it full are dropped and
//! counted, and nobody waits.
//!
//! Messages have one of three forms:
//!
//! ```text
//! local     <PRI>Mmm dd hh:mm:ss TAG[PID]: text
//! RFC 3164  <PRI>Mmm dd hh:mm:ss HOST TAG[PID]: text
//! RFC 5424  <PRI>1 yyyy-mm-ddThh:mm:ss.ffffff+hh:mm HOST TAG PID request|problem - text
//! ```
//!
//! On a stream a line feed ends one of RFC 3164, and its length in octets stands before one of RFC 5424 (RFC 6587 3.4).

use super::calendar::{ietf_time, syslog_time};
use super::link::Link;
use super::lost::Lost;
use ounce_conf::model::{LogPlace, SyslogSyntax};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Where the system's log listens.
pub(super) const SOCKET: &str = "/dev/log";
/// Batches that wait: 64 of at most 64 KiB are 4 MiB.
const QUEUE_BATCHES: usize = 64;
/// Longest text of a message, in bytes; what common daemons take in one datagram. The rest of a longer line is cut.
const TEXT_BYTES_MAX: usize = 8000;
/// Longest name of a program in a message (RFC 5424 6.2.5).
const WORD_MAX: usize = 48;
/// The wait after a first failed attempt to connect, and the longest one.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The name of this machine, fit for a message; `-` if it has none.
pub(super) fn host() -> String {
    word(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim())
}

/// A text made fit for the head of a message, where it stands between blanks and before a colon.
pub(crate) fn word(text: &str) -> String {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, ':' | '[' | ']');
    let word: String = text.chars().map(|c| if fits(c) { c } else { '_' }).take(WORD_MAX).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// How much a message matters (RFC 3164 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Normal but worth a look: problems.
    Notice = 5,
    /// Information: requests.
    Info = 6,
}

/// What a message says about its sender.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Where the log daemon is.
    pub(super) place: LogPlace,
    /// The form of messages.
    pub(super) syntax: SyslogSyntax,
    /// The name of this machine.
    pub(super) host: String,
    /// Facility code (RFC 3164 4.1.1), 0 to 23.
    pub(super) facility: u8,
    /// Program name.
    pub(super) tag: String,
    /// Process number.
    pub(super) pid: u32,
}

/// The queue before the system's log.
#[derive(Debug)]
pub(super) struct Syslog {
    queue: Sender<Item>,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
    lost: Lost,
}

#[derive(Debug)]
enum Item {
    Lines { severity: Severity, received_us: i64, lines: Vec<u8> },
    Reopen,
}

impl Item {
    fn lose(self, lost: &Lost) {
        if let Item::Lines { lines, .. } = self {
            lost.lines(&lines);
        }
    }
}

impl Syslog {
    /// Starts the task. It connects when there is something to say.
    pub(super) fn start(source: Source, lost: Lost) -> Syslog {
        let (queue, items) = channel(QUEUE_BATCHES);
        let (end, ending) = oneshot::channel();
        let connection = Connection { source, link: None, lost: lost.clone(), items, ending };
        Syslog { queue, end, task: tokio::spawn(connection.run()), lost }
    }

    /// Queues lines, each ended by a line end, or drops and counts them.
    pub(super) fn put(&self, severity: Severity, lines: Vec<u8>) {
        let received_us = i64::try_from(ounce_sys::clock::wall_us()).unwrap_or(0);
        self.queue_item(Item::Lines { severity, received_us, lines });
    }

    /// Connects anew before the next line.
    pub(super) fn reopen(&self) {
        self.queue_item(Item::Reopen);
    }

    fn queue_item(&self, item: Item) {
        match self.queue.try_send(item) {
            Ok(()) => {}
            Err(TrySendError::Full(item) | TrySendError::Closed(item)) => item.lose(&self.lost),
        }
    }

    /// Waits until all that is queued has been sent or, without a log daemon, dropped. May wait as long as the daemon
    /// does not read.
    pub(super) async fn finish(self) {
        drop(self.queue);
        // After the queue, so that whoever this wakes finds it closed.
        drop(self.end);
        // An error means that the task has ended, which is what is waited for.
        let _ = self.task.await;
    }
}

struct Connection {
    source: Source,
    link: Option<Link>,
    lost: Lost,
    items: Receiver<Item>,
    /// Ends when the queue is closed.
    ending: oneshot::Receiver<()>,
}

impl Connection {
    async fn run(mut self) {
        while let Some(item) = self.items.recv().await {
            match item {
                Item::Reopen => self.link = None,
                Item::Lines { severity, received_us, lines } => {
                    // Lets the runtime look at the connection: a daemon that has ended must be known to have.
                    tokio::task::yield_now().await;
                    let head = self.source.head(severity, received_us);
                    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                        self.send_line(&head, line).await;
                    }
                }
            }
        }
    }

    async fn send_line(&mut self, head: &str, line: &[u8]) {
        let message = self.source.message(head, cut(line));
        // A send that fails on a connection that stood tells of a daemon that restarted: the second attempt is on a
        // new connection. A third would not be better off.
        for _ in 0..2 {
            let Some(link) = self.connected().await else { break };
            match link.send(&message).await {
                Ok(()) => return,
                // Too long for this daemon (EMSGSIZE), or no memory for it: the connection is good.
                Err(error) if link.outlives(&error) => break,
                Err(_) => self.link = None,
            }
        }
        self.lost.count(1);
    }

    /// The connection, however long that takes; `None` when the log is being ended and no daemon is there.
    async fn connected(&mut self) -> Option<&mut Link> {
        let mut wait = WAITS.0;
        while self.link.is_none() {
            match Link::connect(&self.source.place).await {
                Ok(link) => self.link = Some(link),
                Err(_) if self.items.is_closed() => return None,
                Err(_) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = &mut self.ending => {}
                },
            }
            wait = (wait * 2).min(WAITS.1);
        }
        self.link.as_mut()
    }
}

/// The first part of a line that is too long, without half a character at its end.
fn cut(line: &[u8]) -> &[u8] {
    if line.len() <= TEXT_BYTES_MAX {
        return line;
    }
    let continues = |at: usize| line[at] & 0xC0 == 0x80;
    let mut end = TEXT_BYTES_MAX;
    while end > TEXT_BYTES_MAX - 3 && continues(end) {
        end -= 1;
    }
    &line[..end]
}

impl Source {
    /// What stands before the text of a message.
    fn head(&self, severity: Severity, epoch_us: i64) -> String {
        let priority = u32::from(self.facility) * 8 + severity as u32;
        let Source { host, tag, pid, .. } = self;
        let local = matches!(self.place, LogPlace::Unix(_));
        match self.syntax {
            SyslogSyntax::Ietf => {
                let about = if severity == Severity::Info { "request" } else { "problem" };
                format!("<{priority}>1 {} {host} {tag} {pid} {about} - ", ietf_time(epoch_us))
            }
            SyslogSyntax::Bsd => {
                let time = syslog_time(epoch_us.div_euclid(1_000_000));
                let host = if local { String::new() } else { format!("{host} ") };
                format!("<{priority}>{time} {host}{tag}[{pid}]: ")
            }
        }
    }

    /// A message as it is sent.
    fn message(&self, head: &str, line: &[u8]) -> Vec<u8> {
        let (head, length) = (head.as_bytes(), head.len() + line.len());
        match (&self.place, self.syntax) {
            (LogPlace::Tcp(_), SyslogSyntax::Bsd) => [head, line, b"\n"].concat(),
            (LogPlace::Tcp(_), SyslogSyntax::Ietf) => [format!("{length} ").as_bytes(), head, line].concat(),
            _ => [head, line].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::atomic::Ordering;
    use tempfile::TempDir;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};

    /// A log daemon of the test's own, and what a process would say to it.
    struct Daemon {
        directory: TempDir,
    }

    impl Daemon {
        fn new() -> Daemon {
            Daemon { directory: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("log")
        }

        fn listen(&self) -> UnixDatagram {
            UnixDatagram::bind(self.path()).unwrap()
        }

        fn source(&self) -> Source {
            source(LogPlace::Unix(self.path()), SyslogSyntax::Bsd)
        }
    }

    fn source(place: LogPlace, syntax: SyslogSyntax) -> Source {
        let (host, tag) = ("here".to_owned(), "ounce".to_owned());
        Source { place, syntax, host, facility: 3, tag, pid: 42 }
    }

    async fn receive(socket: &UnixDatagram) -> String {
        let mut message = vec![0; 64 * 1024];
        let length = socket.recv(&mut message).await.unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    fn lines(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    #[tokio::test]
    async fn each_line_is_a_message_with_its_priority() {
        let daemon = Daemon::new();
        let socket = daemon.listen();
        let (lost, count) = Lost::counted();
        let syslog = Syslog::start(daemon.source(), lost);
        syslog.put(Severity::Info, lines("first\nsecond\n"));
        syslog.put(Severity::Notice, lines("third\n"));
        let messages = [receive(&socket).await, receive(&socket).await, receive(&socket).await];
        // daemon (3) times 8, plus info (6) or notice (5); then 15 characters of time.
        for (message, (priority, text)) in
            messages.iter().zip([("<30>", "first"), ("<30>", "second"), ("<29>", "third")])
        {
            assert!(message.starts_with(priority), "{message}");
            assert_eq!(&message[priority.len() + 15..], format!(" ounce[42]: {text}"));
        }
        syslog.finish().await;
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    /// Lines that come while no daemon is there wait for it; a daemon that restarts is found again.
    #[tokio::test]
    async fn a_daemon_that_comes_late_or_restarts_gets_the_lines() {
        let daemon = Daemon::new();
        let (lost, count) = Lost::counted();
        let syslog = Syslog::start(daemon.source(), lost);
        syslog.put(Severity::Info, lines("before\n"));
        tokio::task::yield_now().await;
        let socket = daemon.listen();
        assert!(receive(&socket).await.ends_with(": before"));
        drop(socket);
        std::fs::remove_file(daemon.path()).unwrap();
        syslog.put(Severity::Info, lines("between\n"));
        tokio::task::yield_now().await;
        let socket = daemon.listen();
        assert!(receive(&socket).await.ends_with(": between"));
        syslog.reopen();
        syslog.put(Severity::Info, lines("after\n"));
        assert!(receive(&socket).await.ends_with(": after"));
        syslog.finish().await;
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    /// A daemon that never reads costs lines: what its socket and the queue hold comes out, all else is counted.
    #[tokio::test]
    async fn a_daemon_that_does_not_read_costs_lines_and_no_time() {
        let daemon = Daemon::new();
        let socket = daemon.listen();
        let (lost, count) = Lost::counted();
        let syslog = Syslog::start(daemon.source(), lost);
        let batches = 4 * QUEUE_BATCHES;
        for _ in 0..batches {
            syslog.put(Severity::Info, lines("one\ntwo\nthree\nfour\n"));
            tokio::task::yield_now().await;
        }
        let dropped = count.load(Ordering::Relaxed) as usize;
        assert!(dropped > 0);
        let finished = tokio::spawn(syslog.finish());
        for _ in 0..4 * batches - dropped {
            receive(&socket).await;
        }
        finished.await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed) as usize, dropped);
    }

    #[tokio::test]
    async fn without_a_daemon_the_end_does_not_wait() {
        let (lost, count) = Lost::counted();
        let source = source(LogPlace::Unix("/nonexistent/log".into()), SyslogSyntax::Bsd);
        let syslog = Syslog::start(source, lost);
        syslog.put(Severity::Notice, lines("one\ntwo\n"));
        syslog.put(Severity::Notice, lines("three\n"));
        tokio::task::yield_now().await;
        syslog.finish().await;
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_cut() {
        let daemon = Daemon::new();
        let socket = daemon.listen();
        let (lost, _) = Lost::counted();
        let syslog = Syslog::start(daemon.source(), lost);
        syslog.put(Severity::Info, [vec![b'x'; 60_000], vec![b'\n']].concat());
        let message = receive(&socket).await;
        assert_eq!(message.bytes().filter(|&byte| byte == b'x').count(), TEXT_BYTES_MAX);
        syslog.finish().await;
    }

    /// Takes the time out of a message: so many bytes from this one on.
    fn without_time(message: &str, from: usize, length: usize) -> String {
        format!("{}TIME{}", &message[..from], &message[from + length..])
    }

    #[tokio::test]
    async fn datagrams_carry_one_message_in_either_syntax() {
        let (lost, count) = Lost::counted();
        for (syntax, from, length, expected) in [
            (SyslogSyntax::Bsd, 4, 15, "<30>TIME here ounce[42]: line"),
            (SyslogSyntax::Ietf, 6, 32, "<30>1 TIME here ounce 42 request - line"),
        ] {
            let daemon = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let place = LogPlace::Udp(daemon.local_addr().unwrap());
            let syslog = Syslog::start(source(place, syntax), lost.clone());
            syslog.put(Severity::Info, lines("line\n"));
            let mut message = [0; 1024];
            let length_all = daemon.recv(&mut message).await.unwrap();
            let message = std::str::from_utf8(&message[..length_all]).unwrap();
            assert_eq!(without_time(message, from, length), expected);
            syslog.finish().await;
        }
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    async fn read(stream: &mut TcpStream, bytes: usize) -> String {
        let mut message = vec![0; bytes];
        stream.read_exact(&mut message).await.unwrap();
        String::from_utf8(message).unwrap()
    }

    #[tokio::test]
    async fn messages_on_a_stream_say_where_they_end() {
        let (lost, _) = Lost::counted();
        for (syntax, from, length, expected) in [
            (SyslogSyntax::Bsd, 4, 15, "<29>TIME here ounce[42]: one\n"),
            (SyslogSyntax::Ietf, 9, 32, "66 <29>1 TIME here ounce 42 problem - one"),
        ] {
            let daemon = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let place = LogPlace::Tcp(daemon.local_addr().unwrap());
            let syslog = Syslog::start(source(place, syntax), lost.clone());
            syslog.put(Severity::Notice, lines("one\ntwo\n"));
            let (mut stream, _) = daemon.accept().await.unwrap();
            for text in ["one", "two"] {
                let message = read(&mut stream, expected.len() - 4 + length).await;
                assert_eq!(without_time(&message, from, length), expected.replace("one", text));
            }
            syslog.finish().await;
        }
    }

    /// A daemon that ends is connected to again, with the line that was to be sent.
    #[tokio::test]
    async fn a_stream_that_ends_is_begun_anew() {
        let daemon = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (lost, count) = Lost::counted();
        let place = LogPlace::Tcp(daemon.local_addr().unwrap());
        let syslog = Syslog::start(source(place, SyslogSyntax::Bsd), lost);
        let message_bytes = "<30>Nov 20 12:00:00 here ounce[42]: one\n".len();
        syslog.put(Severity::Info, lines("one\n"));
        let (mut first, _) = daemon.accept().await.unwrap();
        assert!(read(&mut first, message_bytes).await.ends_with(": one\n"));
        drop(first);
        syslog.put(Severity::Info, lines("two\n"));
        let (mut second, _) = daemon.accept().await.unwrap();
        assert!(read(&mut second, message_bytes).await.ends_with(": two\n"));
        syslog.finish().await;
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_line_is_cut_between_characters() {
        let long = "\u{e9}".repeat(TEXT_BYTES_MAX);
        let odd = format!("x{long}");
        assert_eq!(cut(long.as_bytes()).len(), TEXT_BYTES_MAX);
        assert_eq!(cut(odd.as_bytes()).len(), TEXT_BYTES_MAX - 1);
        assert_eq!(cut(b"short"), b"short");
    }
}
