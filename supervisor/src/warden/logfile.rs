//! Log lines in files of our own (`LogFile`).
//!
//! A thread writes, since a disk may stall, and has a bounded queue before it ([`Stream`]). It appends, so that two
//! wardens can write to one file during a reload and a file that is cut to nothing goes on from there. USR1 makes it open
//! the file anew under its name. A file that cannot be opened is tried again and again; what cannot be written meanwhile
//! is counted, and so is what a full disk does not take.

use super::lost::Lost;
use super::stream::Stream;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// For the owner to write, for the group to read: lines tell who asked for what.
const MODE: u32 = 0o640;
/// The wait between two attempts to open a file.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the thread that writes to the file of this name.
///
/// # Errors
/// When the thread cannot be had.
pub(super) fn start(path: PathBuf, lost: Lost) -> io::Result<Stream> {
    Stream::run(lost, move |batches, reopen, lost| {
        let mut log = Log { path, file: None, torn: false, tried: None };
        // Whoever looks finds the file from the start, and problems with it are told at the terminal.
        log.open();
        for batch in batches {
            if reopen.swap(false, Ordering::Acquire) {
                (log.file, log.tried) = (None, None);
                log.open();
            }
            if !batch.is_empty() {
                log.write(&batch, lost);
            }
        }
    })
}

struct Log {
    path: PathBuf,
    file: Option<File>,
    /// A line was begun and could not be ended.
    torn: bool,
    /// When opening failed.
    tried: Option<Instant>,
}

impl Log {
    fn open(&mut self) {
        if self.file.is_some() || self.tried.is_some_and(|tried| tried.elapsed() < RETRY) {
            return;
        }
        match OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path) {
            Ok(file) => {
                // What was torn may have been moved away.
                self.torn &= file.metadata().is_ok_and(|metadata| metadata.len() > 0);
                (self.file, self.tried) = (Some(file), None);
            }
            Err(error) => {
                if self.tried.is_none() {
                    let told = format!("log file {}: {error}\n", self.path.display());
                    // There may be no terminal; the count of lost lines tells it too.
                    let _ = io::stderr().write_all(told.as_bytes());
                }
                self.tried = Some(Instant::now());
            }
        }
    }

    fn write(&mut self, batch: &[u8], lost: &Lost) {
        self.open();
        let Some(file) = &mut self.file else { return lost.lines(batch) };
        // The beginning of a line that is lost must not become that of another.
        if self.torn && !matches!(file.write(b"\n"), Ok(1)) {
            return lost.lines(batch);
        }
        self.torn = false;
        let mut rest = batch;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(count) if count > 0 => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The disk is full, or worse. The next batch may fare better.
                _ => {
                    lost.lines(rest);
                    let written = batch.len() - rest.len();
                    self.torn = written > 0 && batch[written - 1] != b'\n';
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn finish(stream: Stream) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(stream.finish());
    }

    /// Waits until the thread has done what was asked before.
    fn wait_for(what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(10), "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn lines_are_appended_and_a_file_that_was_moved_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        fs::write(&path, "before\n").unwrap();
        let (lost, count) = Lost::counted();
        let stream = start(path.clone(), lost).unwrap();
        stream.put(b"one\n".to_vec());
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
        wait_for("the first line", || read(&path) == "before\none\n");
        fs::rename(&path, &moved).unwrap();
        stream.put(b"two\n".to_vec());
        wait_for("a line in the moved file", || read(&moved) == "before\none\ntwo\n");
        stream.reopen();
        // Without a line: the new file is there at once.
        wait_for("the new file", || path.exists());
        stream.put(b"three\n".to_vec());
        finish(stream);
        assert_eq!((read(&path), read(&moved)), ("three\n".to_owned(), "before\none\ntwo\n".to_owned()));
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_full_disk_costs_lines_that_are_counted() {
        let (lost, count) = Lost::counted();
        let stream = start("/dev/full".into(), lost).unwrap();
        stream.put(b"one\ntwo\n".to_vec());
        stream.put(b"three\n".to_vec());
        finish(stream);
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("log");
        let (lost, count) = Lost::counted();
        let stream = start(path.clone(), lost).unwrap();
        stream.put(b"one\ntwo\n".to_vec());
        wait_for("two lost lines", || count.load(Ordering::Relaxed) == 2);
        fs::create_dir(folder.path().join("missing")).unwrap();
        stream.reopen();
        wait_for("the file", || path.exists());
        stream.put(b"three\n".to_vec());
        finish(stream);
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    /// A disk that takes half a line, and later the rest of the lines.
    #[test]
    fn a_torn_line_is_ended_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "half a li").unwrap();
        let (lost, count) = Lost::counted();
        let mut log = Log { path: path.clone(), file: None, torn: true, tried: None };
        log.write(b"whole\n", &lost);
        assert_eq!(fs::read_to_string(&path).unwrap(), "half a li\nwhole\n");
        assert!(!log.torn);
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
