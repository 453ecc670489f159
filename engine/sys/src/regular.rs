//! Regular files, read whole: for paths that an operator chose, behind which may be anything.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads a regular file of at most so many bytes.
///
/// # Errors
/// What the calls report, that it is no regular file, or that it is longer.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let status = fs::metadata(path)?;
    if !status.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    // One that has become a pipe meanwhile must not hold this up.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // Of the right size from the start: bytes that move leave a copy behind, and there may be keys among them.
    let expected = usize::try_from(status.len().min(bytes_max)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(expected.saturating_add(1));
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("longer than {} MiB", bytes_max >> 20)));
    }
    Ok(bytes)
}
