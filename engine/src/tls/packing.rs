//! How what is known of certificates travels between processes of one program: fields with their lengths before them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Packs fields, one after the other. What it holds is wiped when it goes.
#[derive(Default)]
pub(super) struct Packer(Vec<u8>);

impl Packer {
    pub(super) fn number(&mut self, number: u64) {
        self.make_room(8);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.make_room(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_bytes());
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// A vector that grows by itself would leave its old place as it was.
    fn make_room(&mut self, more: usize) {
        let needed = self.0.len().saturating_add(more);
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.saturating_mul(2));
            larger.extend_from_slice(&self.0);
            std::mem::swap(&mut self.0, &mut larger);
            wipe(&mut larger);
        }
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Writes zeroes over what nobody needs any more.
pub(super) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Else the compiler might find that nobody reads them.
    std::hint::black_box(bytes);
}

/// Unpacks what [`Packer`] has packed; `None` where that is something else.
pub(super) struct Unpacker<'b>(pub(super) &'b [u8]);

impl<'b> Unpacker<'b> {
    pub(super) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    pub(super) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        Some(str::from_utf8(self.bytes()?).ok()?.to_owned())
    }

    pub(super) fn path(&mut self) -> Option<PathBuf> {
        Some(PathBuf::from(OsStr::from_bytes(self.bytes()?)))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_nothing_else_is() {
        let mut packer = Packer::default();
        packer.number(7);
        packer.path(Path::new("/a"));
        packer.bytes(&[0; 300]);
        packer.text("über");
        let mut unpacker = Unpacker(packer.as_slice());
        assert_eq!(unpacker.number(), Some(7));
        assert_eq!(unpacker.path(), Some("/a".into()));
        assert_eq!(unpacker.bytes(), Some(&[0; 300][..]));
        assert_eq!(unpacker.text().as_deref(), Some("über"));
        assert!(unpacker.is_over());
        assert_eq!(unpacker.number(), None);
        assert_eq!(Unpacker(&[9, 0, 0, 0, 0, 0, 0, 0, 1]).bytes(), None);
        assert_eq!(Unpacker(&[255; 20]).bytes(), None);
    }
}
