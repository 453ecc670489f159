//! Bytes sent to another process: a sealed piece of memory that has a descriptor and can be read and never changed.

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Most bytes of a parcel.
pub const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Packs bytes. The descriptor closes on exec.
///
/// # Errors
/// What memfd_create(2), write(2) or fcntl(2) reports; that there are more than [`BYTES_MAX`].
pub fn seal(bytes: &[u8]) -> io::Result<OwnedFd> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("more than {} MiB", BYTES_MAX >> 20)));
    }
    let mut file =
        File::from(memfd_create(c"ounce-parcel", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(bytes)?;
    let seals =
        SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// Reads a parcel. Others who hold it read the same: no position is shared.
///
/// # Errors
/// What fcntl(2) or pread(2) reports; `InvalidData` for what is longer than [`BYTES_MAX`].
pub fn open(parcel: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let file = File::from(parcel.try_clone_to_owned()?);
    let length = file.metadata()?.len();
    if length > BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// [`open`] for a parcel that this process inherited and knows by its number.
///
/// # Errors
/// As [`open`], EBADF if the number names nothing.
pub fn open_inherited(parcel: i32) -> io::Result<Vec<u8>> {
    use std::os::fd::AsFd;
    open(crate::fdpass::duplicate(parcel)?.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn what_is_sealed_is_read_by_many_and_changed_by_nobody() {
        let parcel = seal(b"networks").unwrap();
        assert_eq!(open(parcel.as_fd()).unwrap(), b"networks");
        assert_eq!(open_inherited(parcel.as_raw_fd()).unwrap(), b"networks");
        let file = File::from(parcel);
        assert!((&file).write_all(b"x").is_err());
        assert!(file.set_len(3).is_err());
        assert_eq!(open(seal(b"").unwrap().as_fd()).unwrap(), b"");
    }
}
