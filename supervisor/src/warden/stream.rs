//! Log lines on standard output or standard error.
//!
//! A descriptor that others share (a terminal, a pipe) must not be made non-blocking, so each stream has a thread that
//! may block on it and a bounded queue before it. When the reader of a pipe stops, the queue fills and lines are
//! dropped and counted; nobody waits.

use super::lost::Lost;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// Batches that wait for one stream: 64 of at most 64 KiB are 4 MiB.
const QUEUE_BATCHES: usize = 64;
/// How long to wait when somebody else has made the stream non-blocking and it is full.
const FULL_WAIT: Duration = Duration::from_millis(10);

/// A stream for log lines.
#[derive(Debug)]
pub(super) struct Stream {
    queue: SyncSender<Vec<u8>>,
    ended: oneshot::Receiver<()>,
    lost: Lost,
    /// Asks the thread for a reopening; the standard streams were opened by whoever started the program.
    reopen: Arc<AtomicBool>,
}

impl Stream {
    /// Starts the thread that writes to a duplicate of `to`.
    ///
    /// # Errors
    /// When the descriptor or the thread cannot be had.
    pub(super) fn start(to: BorrowedFd<'_>, lost: Lost) -> io::Result<Stream> {
        let file = File::from(to.try_clone_to_owned()?);
        Stream::run(lost, move |batches, _, lost| write_batches(file, batches, lost))
    }

    /// Starts a thread that takes batches until there will be no more.
    ///
    /// # Errors
    /// When the thread cannot be had.
    pub(super) fn run(
        lost: Lost,
        write: impl FnOnce(&Receiver<Vec<u8>>, &AtomicBool, &Lost) + Send + 'static,
    ) -> io::Result<Stream> {
        let (queue, batches) = sync_channel(QUEUE_BATCHES);
        let (end, ended) = oneshot::channel();
        let reopen = Arc::new(AtomicBool::new(false));
        let (writer_reopen, writer_lost) = (Arc::clone(&reopen), lost.clone());
        thread::Builder::new().name("ounce-log".to_owned()).spawn(move || {
            write(&batches, &writer_reopen, &writer_lost);
            // Nobody listens when the warden ends in a hurry.
            let _ = end.send(());
        })?;
        Ok(Stream { queue, ended, lost, reopen })
    }

    /// Opens the file anew before the next batch.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // An empty batch wakes the thread; one that is behind comes to it by itself.
        let _ = self.queue.try_send(Vec::new());
    }

    /// Queues lines, each ended by a line end, or drops and counts them.
    pub(super) fn put(&self, batch: Vec<u8>) {
        match self.queue.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => self.lost.lines(&batch),
        }
    }

    /// Waits until all that is queued has been written. May wait as long as the stream is stalled.
    pub(super) async fn finish(self) {
        drop(self.queue);
        // An error means that the thread has ended, which is what is waited for.
        let _ = self.ended.await;
    }
}

fn write_batches(mut file: File, batches: &Receiver<Vec<u8>>, lost: &Lost) {
    for batch in batches {
        let mut rest = batch.as_slice();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(count) if count > 0 => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(FULL_WAIT),
                // The reader is gone, or the disk is full. The next batch may fare better.
                _ => {
                    lost.lines(rest);
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn lines_come_out_whole_and_in_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (lost, _) = Lost::counted();
        let stream = Stream::start(writer.as_fd(), lost).unwrap();
        drop(writer);
        stream.put(b"one\n".to_vec());
        stream.put(b"two\nthree\n".to_vec());
        runtime().block_on(stream.finish());
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\nthree\n");
    }

    /// A pipe that nobody reads takes what the queue holds; the rest is counted, and putting never waits.
    #[test]
    fn a_stalled_reader_costs_lines_and_no_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (lost, count) = Lost::counted();
        let stream = Stream::start(writer.as_fd(), lost).unwrap();
        drop(writer);
        let batch = [[b'x'; 1023].as_slice(), b"\n"].concat().repeat(64);
        let batches = 4 * QUEUE_BATCHES;
        for _ in 0..batches {
            stream.put(batch.clone());
        }
        let dropped = count.load(Ordering::Relaxed);
        assert!(dropped >= 64 * (3 * QUEUE_BATCHES as u64 - 8), "only {dropped} lines were dropped");
        // Once it is read again, all that was not dropped comes out.
        let read = thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text.len() / 1024
        });
        runtime().block_on(stream.finish());
        assert_eq!(read.join().unwrap() as u64 + dropped, 64 * batches as u64);
    }

    #[test]
    fn a_reader_that_is_gone_is_counted() {
        let (reader, writer) = io::pipe().unwrap();
        let (lost, count) = Lost::counted();
        let stream = Stream::start(writer.as_fd(), lost).unwrap();
        drop((reader, writer));
        stream.put(b"one\ntwo\n".to_vec());
        runtime().block_on(stream.finish());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
