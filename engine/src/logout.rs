//! Log lines on their way out of a worker: batched, and never waited for.
//!
//! A batch is one datagram: the byte [`REQUESTS`] or [`PROBLEMS`], then whole lines. What the socket does not take at
//! once is dropped and counted: a log reader that sleeps must cost lines, not requests.

use ounce_mem::{Counter, CounterPage};

/// First byte of a batch of request lines.
pub const REQUESTS: u8 = b'R';

/// First byte of a batch of problem lines.
pub const PROBLEMS: u8 = b'P';

/// Longest batch, in bytes: well under what a datagram of a UNIX socket may hold by default.
pub const BATCH_MAX: usize = 60 * 1024;

/// Takes batches; false if it could not.
pub trait Sink {
    /// Takes one batch whole, or not at all.
    fn put(&mut self, batch: &[u8]) -> bool;
}

impl<F: FnMut(&[u8]) -> bool> Sink for F {
    fn put(&mut self, batch: &[u8]) -> bool {
        self(batch)
    }
}

/// Sends what has gathered in `lines`, in batches of at most [`BATCH_MAX`] bytes that end at line ends, and
/// leaves it empty.
pub(crate) fn flush(
    kind: u8,
    lines: &mut Vec<u8>,
    batch: &mut Vec<u8>,
    sink: &mut dyn Sink,
    counters: &CounterPage,
) {
    let mut rest = lines.as_slice();
    while !rest.is_empty() {
        let part = whole_lines(rest, BATCH_MAX - 1);
        batch.clear();
        batch.push(kind);
        batch.extend_from_slice(&rest[..part]);
        if !sink.put(batch) {
            let dropped = rest[..part].iter().filter(|&&byte| byte == b'\n').count();
            counters.add(Counter::LogLinesDropped, dropped as u64);
        }
        rest = &rest[part..];
    }
    lines.clear();
}

/// How many of the first `max` bytes are whole lines; all `max` if a single line is longer.
fn whole_lines(bytes: &[u8], max: usize) -> usize {
    if bytes.len() <= max {
        return bytes.len();
    }
    bytes[..max].iter().rposition(|&byte| byte == b'\n').map_or(max, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch never ends inside a line, so that a dropped batch drops whole lines.
    #[test]
    fn batches_end_at_line_ends() {
        assert_eq!(whole_lines(b"ab\ncd\nef", 7), 6);
        assert_eq!(whole_lines(b"ab\ncd\n", 6), 6);
        assert_eq!(whole_lines(b"abcdefgh", 4), 4);
    }
}
