//! Log lines from the workers' sockets to where `LogFacility`, `LogServer` or `LogFile` says.
//!
//! A datagram is a batch: one byte that says of what (`R` requests, `P` problems), then lines, each with its line end.
//! The sockets are read as fast as batches come; where they go has a queue that drops and counts what it cannot hold,
//! so that neither a stalled terminal nor a log daemon that sleeps holds up anything else in this process.

use super::logfile;
use super::lost::Lost;
use super::stream::Stream;
use super::syslog::{self, Severity, Source, Syslog};
use ounce_conf::model::{Global, LogPlace, LogServer, LogTarget, SyslogSyntax};
use ounce_core::observe::problem::notice;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use tokio::net::UnixDatagram;

/// Longest batch: more than a worker sends, since the kernel cuts what does not fit.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// What a batch's lines are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// Requests.
    Request,
    /// Problems.
    Problem,
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    /// Requests to one stream, problems to another.
    Streams {
        /// For requests.
        requests: Stream,
        /// For problems, if that is another one.
        problems: Option<Stream>,
    },
    /// To a log daemon.
    Syslog(Syslog),
}

impl Sink {
    /// A sink for this configuration. `standard` sends lines to the standard streams whatever it says.
    ///
    /// # Errors
    /// When a stream cannot be had.
    pub(super) fn open(
        global: &Global,
        standard: bool,
        name: &str,
        pid: u32,
        lost: Lost,
    ) -> io::Result<Sink> {
        if standard {
            return Sink::streams(io::stdout().as_fd(), io::stderr().as_fd(), lost);
        }
        if let Some(files) = &global.log_file {
            let another = (files.problems != files.requests).then(|| files.problems.clone());
            let problems = another.map(|path| logfile::start(path, lost.clone())).transpose()?;
            return Ok(Sink::Streams { requests: logfile::start(files.requests.clone(), lost)?, problems });
        }
        let LogTarget::Syslog(facility) = global.log_target else {
            return Sink::streams(io::stdout().as_fd(), io::stderr().as_fd(), lost);
        };
        let here = LogServer { place: LogPlace::Unix(syslog::SOCKET.into()), syntax: SyslogSyntax::Bsd };
        let LogServer { place, syntax } = global.log_server.clone().unwrap_or(here);
        let tag = global.log_tag.clone().unwrap_or_else(|| syslog::word(name));
        let source = Source { place, syntax, host: syslog::host(), facility, tag, pid };
        Ok(Sink::Syslog(Syslog::start(source, lost)))
    }

    /// A sink on these two streams.
    ///
    /// # Errors
    /// As [`Sink::open`].
    pub(super) fn streams(
        requests: BorrowedFd<'_>,
        problems: BorrowedFd<'_>,
        lost: Lost,
    ) -> io::Result<Sink> {
        let requests = Stream::start(requests, lost.clone())?;
        Ok(Sink::Streams { requests, problems: Some(Stream::start(problems, lost)?) })
    }

    /// Takes lines, each ended by a line end.
    pub(super) fn put(&self, topic: Topic, lines: Vec<u8>) {
        match (self, topic) {
            (Sink::Streams { requests, .. }, Topic::Request) => requests.put(lines),
            (Sink::Streams { requests, problems }, Topic::Problem) => {
                problems.as_ref().unwrap_or(requests).put(lines);
            }
            (Sink::Syslog(syslog), Topic::Request) => syslog.put(Severity::Info, lines),
            (Sink::Syslog(syslog), Topic::Problem) => syslog.put(Severity::Notice, lines),
        }
    }

    /// Takes one problem of this process itself.
    pub(super) fn problem(&self, text: &str) {
        let mut line = Vec::new();
        notice(std::process::id(), text, &mut line);
        self.put(Topic::Problem, line);
    }

    /// Opens anew what can be opened anew.
    pub(super) fn reopen(&self) {
        match self {
            Sink::Streams { requests, problems } => {
                requests.reopen();
                problems.iter().for_each(Stream::reopen);
            }
            Sink::Syslog(syslog) => syslog.reopen(),
        }
    }

    /// Waits until all that was taken has been written.
    pub(super) async fn finish(self) {
        match self {
            Sink::Streams { requests, problems } => {
                requests.finish().await;
                if let Some(problems) = problems {
                    problems.finish().await;
                }
            }
            Sink::Syslog(syslog) => syslog.finish().await,
        }
    }
}

/// Reads one worker's socket for ever.
pub(super) async fn read(socket: Arc<UnixDatagram>, sink: Arc<Sink>, lost: Lost) {
    loop {
        if socket.readable().await.is_err() {
            // Only a runtime that is being shut down says so.
            return;
        }
        drain(&socket, &sink, &lost);
        // A worker that logs without end must not keep this process from its other work.
        tokio::task::yield_now().await;
    }
}

/// Takes what is queued in a worker's socket now, up to a bound. Returns how many batches that was.
pub(super) fn drain(socket: &UnixDatagram, sink: &Sink, lost: &Lost) -> usize {
    const TURN: usize = 16;
    for taken in 0..TURN {
        let mut batch = Vec::with_capacity(BATCH_BYTES_MAX);
        match socket.try_recv_buf(&mut batch) {
            Ok(_) => take(batch, sink, lost),
            // Nothing more, as a rule. Any other error of a datagram socket concerns one datagram that is gone.
            Err(_) => return taken,
        }
    }
    TURN
}

/// Passes one batch on. What has not the form of a batch is counted as one line that was dropped.
fn take(mut batch: Vec<u8>, sink: &Sink, lost: &Lost) {
    let topic = match batch.first() {
        Some(b'R') => Topic::Request,
        Some(b'P') => Topic::Problem,
        _ => return lost.count(1),
    };
    batch.remove(0);
    if batch.last().is_some_and(|&last| last != b'\n') {
        batch.push(b'\n');
    }
    // A queue of short batches must not hold the room of long ones.
    batch.shrink_to_fit();
    sink.put(topic, batch);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read};
    use std::sync::atomic::Ordering;

    /// A sink whose streams the test reads.
    fn piped(lost: Lost) -> (Sink, PipeReader, PipeReader) {
        let (requests, requests_in) = io::pipe().unwrap();
        let (problems, problems_in) = io::pipe().unwrap();
        let sink = Sink::streams(requests_in.as_fd(), problems_in.as_fd(), lost).unwrap();
        (sink, requests, problems)
    }

    fn text(mut pipe: PipeReader) -> String {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn requests_and_problems_go_apart() {
        let (lost, count) = Lost::counted();
        let (sink, requests, problems) = piped(lost.clone());
        let (worker, warden) = UnixDatagram::pair().unwrap();
        worker.send(b"Rone\ntwo\n").await.unwrap();
        worker.send(b"Pbad\n").await.unwrap();
        worker.send(b"Rthree\n").await.unwrap();
        worker.send(b"Rno end").await.unwrap();
        worker.send(b"?what\n").await.unwrap();
        sink.problem("worse");
        warden.readable().await.unwrap();
        assert_eq!(drain(&warden, &sink, &lost), 5);
        sink.finish().await;
        assert_eq!(text(requests), "one\ntwo\nthree\nno end\n");
        assert_eq!(text(problems), format!("({}) worse\nbad\n", std::process::id()));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    /// Nobody reads the requests; problems are written all the same, and the workers' sockets are emptied.
    #[tokio::test]
    async fn a_stalled_stream_holds_up_nothing_else() {
        let (lost, count) = Lost::counted();
        let (sink, requests, problems) = piped(lost.clone());
        let sink = Arc::new(sink);
        let (worker, warden) = UnixDatagram::pair().unwrap();
        let reader = tokio::spawn(read(Arc::new(warden), Arc::clone(&sink), lost));
        let batch = [b"R".as_slice(), &b"0123456789abcde\n".repeat(2048)].concat();
        for _ in 0..256 {
            worker.send(&batch).await.unwrap();
        }
        worker.send(b"Pstill here\n").await.unwrap();
        let mut problems = problems;
        let line = tokio::task::spawn_blocking(move || {
            let mut line = [0; 11];
            problems.read_exact(&mut line).unwrap();
            line
        });
        assert_eq!(&line.await.unwrap(), b"still here\n");
        assert!(count.load(Ordering::Relaxed) > 0);
        reader.abort();
        drop(requests);
    }
}
