//! Log lines to the system's log: RFC 3164 messages over the datagram socket `/dev/log`.
//!
//! One task owns the socket and a bounded queue of batches. A log daemon that restarts is reconnected to, with a
//! growing wait between attempts; one that stops reading fills the queue. Lines that find it full are dropped and
//! counted, and nobody waits.
//!
//! The local form of the protocol has no host name: `<PRI>Mmm dd hh:mm:ss TAG[PID]: text`.

use super::calendar::syslog_time;
use super::lost::Lost;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Where the system's log listens.
pub(super) const SOCKET: &str = "/dev/log";
/// Batches that wait: 64 of at most 64 KiB are 4 MiB.
const QUEUE_BATCHES: usize = 64;
/// Longest text of a message, in bytes; what common daemons take in one datagram. The rest of a longer line is cut.
const TEXT_BYTES_MAX: usize = 8000;
/// The wait after a first failed attempt to connect, and the longest one.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

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
    /// The socket of the log daemon.
    pub(super) socket: PathBuf,
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
    Lines { severity: Severity, received_s: i64, lines: Vec<u8> },
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
        let connection = Connection { source, socket: None, lost: lost.clone(), items, ending };
        Syslog { queue, end, task: tokio::spawn(connection.run()), lost }
    }

    /// Queues lines, each ended by a line end, or drops and counts them.
    pub(super) fn put(&self, severity: Severity, lines: Vec<u8>) {
        let received_s = i64::try_from(ounce_sys::clock::wall_us() / 1_000_000).unwrap_or(0);
        self.queue_item(Item::Lines { severity, received_s, lines });
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
    socket: Option<UnixDatagram>,
    lost: Lost,
    items: Receiver<Item>,
    /// Ends when the queue is closed.
    ending: oneshot::Receiver<()>,
}

impl Connection {
    async fn run(mut self) {
        while let Some(item) = self.items.recv().await {
            match item {
                Item::Reopen => self.socket = None,
                Item::Lines { severity, received_s, lines } => {
                    let head = self.source.head(severity, received_s);
                    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                        self.send_line(&head, line).await;
                    }
                }
            }
        }
    }

    async fn send_line(&mut self, head: &str, line: &[u8]) {
        let line = &line[..line.len().min(TEXT_BYTES_MAX)];
        let message = [head.as_bytes(), line].concat();
        // A send that fails on a connection that stood tells of a daemon that restarted: the second attempt is on a
        // new connection. A third would not be better off.
        for _ in 0..2 {
            let Some(socket) = self.connected().await else { break };
            match socket.send(&message).await {
                Ok(_) => return,
                // Too long for this daemon (EMSGSIZE), or no memory for it: the connection is good.
                Err(error) if !is_broken(&error) => break,
                Err(_) => self.socket = None,
            }
        }
        self.lost.count(1);
    }

    /// The socket, connected, however long that takes; `None` when the log is being ended and no daemon is there.
    async fn connected(&mut self) -> Option<&UnixDatagram> {
        let mut wait = WAITS.0;
        while self.socket.is_none() {
            let socket = UnixDatagram::unbound();
            match socket.and_then(|socket| socket.connect(&self.source.socket).map(|()| socket)) {
                Ok(socket) => self.socket = Some(socket),
                Err(_) if self.items.is_closed() => return None,
                Err(_) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = &mut self.ending => {}
                },
            }
            wait = (wait * 2).min(WAITS.1);
        }
        self.socket.as_ref()
    }
}

fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotFound
    )
}

impl Source {
    /// What stands before the text of a message.
    fn head(&self, severity: Severity, epoch_s: i64) -> String {
        let priority = u32::from(self.facility) * 8 + severity as u32;
        format!("<{priority}>{} {}[{}]: ", syslog_time(epoch_s), self.tag, self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::atomic::Ordering;
    use tempfile::TempDir;

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
            Source { socket: self.path(), facility: 3, tag: "ounce".to_owned(), pid: 42 }
        }
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
        let source = Source { socket: Path::new("/nonexistent/log").into(), ..Daemon::new().source() };
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
}
