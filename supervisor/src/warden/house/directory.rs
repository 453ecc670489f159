//! A directory whose files may be asked for, and how a request names one of them.
//!
//! The directory is opened once, with the rights of the supervisor. Files are opened with those of the warden (`User`
//! and `Group`): what these may not read is not sent, wherever it lies.
//!
//! The kernel sees to it that no name leads out of the directory, whatever symbolic links stand in it and whoever
//! renames what meanwhile (`RESOLVE_BENEATH` of openat2(2)). Links to directories inside are followed; a link in the
//! place of the file is not, as in Pound.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Lookups that are repeated when something was renamed meanwhile.
const TRIES: usize = 8;

/// A directory that is open.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

/// Why there is no file to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    /// There is none of this name.
    Absent,
    /// It must not be read.
    Forbidden,
    /// There are no descriptors left.
    Exhausted,
    /// The disk or the kernel failed.
    Failed,
}

impl Directory {
    /// Opens a directory.
    ///
    /// # Errors
    /// What open(2) reports.
    pub(super) fn open(path: &Path) -> io::Result<Directory> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Directory(open(path, flags, Mode::empty())?))
    }

    /// Opens the regular file of this name. Does not wait for the writer of a FIFO, nor touch a device.
    pub(super) fn file(&self, name: &Path) -> Result<(File, Metadata), Denial> {
        // A final link is opened as itself, and is no regular file.
        let looked = File::from(self.look_up(name, OFlag::O_PATH)?);
        if !looked.metadata().map_err(|_| Denial::Failed)?.is_file() {
            return Err(Denial::Absent);
        }
        let file = File::from(self.look_up(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        let metadata = file.metadata().map_err(|_| Denial::Failed)?;
        // It may have been replaced between the two.
        if metadata.is_file() { Ok((file, metadata)) } else { Err(Denial::Absent) }
    }

    fn look_up(&self, name: &Path, flags: OFlag) -> Result<OwnedFd, Denial> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        for _ in 0..TRIES {
            match openat2(&self.0, name, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                outcome => return outcome.map_err(Denial::of),
            }
        }
        Err(Denial::Failed)
    }
}

impl Denial {
    fn of(errno: Errno) -> Denial {
        match errno {
            // EXDEV: it would lead out of the directory.
            Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EXDEV
            | Errno::ELOOP
            | Errno::ENAMETOOLONG
            | Errno::ENXIO => Denial::Absent,
            Errno::EACCES | Errno::EPERM => Denial::Forbidden,
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Denial::Exhausted,
            _ => Denial::Failed,
        }
    }
}

/// The file that a path names, relative to its directory; `None` if it can name none.
///
/// Each part is decoded once. One that is empty, `.` or `..`, or holds a slash or NUL, names nothing: so neither an
/// absolute name nor one that climbs is ever looked up.
pub(super) fn name(path: &str) -> Option<PathBuf> {
    let mut name = Vec::with_capacity(path.len());
    for part in path.strip_prefix('/')?.split('/') {
        let part = ounce_ctl::api::unescape(part)?;
        if matches!(&part[..], b"" | b"." | b"..") || part.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return None;
        }
        if !name.is_empty() {
            name.push(b'/');
        }
        name.extend_from_slice(&part);
    }
    Some(PathBuf::from(OsString::from_vec(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::mkfifo;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_is_decoded_once() {
        for (path, expected) in [
            ("/a", "a"),
            ("/a/b.txt", "a/b.txt"),
            ("/a%20b", "a b"),
            ("/%252e%252e/a", "%2e%2e/a"),
            ("/...", "..."),
            ("/a%5C..%5Cb", "a\\..\\b"),
        ] {
            assert_eq!(name(path).as_deref(), Some(Path::new(expected)), "{path}");
        }
    }

    #[test]
    fn names_that_climb_or_are_absolute_are_none() {
        for path in [
            "",
            "/",
            "a",
            "*",
            "//etc/passwd",
            "/a//b",
            "/a/",
            "/..",
            "/../a",
            "/a/../../b",
            "/%2e%2e/a",
            "/.%2e/a",
            "/%2E./a",
            "/./a",
            "/%2fetc/passwd",
            "/..%2fa",
            "/a%2f..%2fb",
            "/a%00b",
            "/a%",
            "/a%zz",
            "/%c0%ae%c0%ae/%00",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[test]
    fn no_link_leads_out_and_only_regular_files_are_sent() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("inner")).unwrap();
        std::fs::write(at("inner/file"), "content").unwrap();
        mkfifo(&at("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        symlink("inner", at("inside")).unwrap();
        symlink("inner/file", at("final")).unwrap();
        symlink(outside.path(), at("absolute")).unwrap();
        symlink(Path::new("..").join(outside.path().file_name().unwrap()), at("climbing")).unwrap();
        symlink(at("inner"), at("absolute-inside")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/proc/self/root", at("magic")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        let mut text = String::new();
        for good in ["inner/file", "inside/file"] {
            text.clear();
            let (mut file, metadata) = directory.file(Path::new(good)).unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), metadata.len()), ("content", 7));
        }
        for bad in [
            "inner",
            "fifo",
            "socket",
            "final",
            "absent",
            "inner/file/more",
            "absolute/secret",
            "climbing/secret",
            "absolute-inside/file",
            "loop/file",
            "magic/etc/passwd",
        ] {
            assert_eq!(directory.file(Path::new(bad)).unwrap_err(), Denial::Absent, "{bad}");
        }
        let long = "x".repeat(5000);
        assert_eq!(directory.file(Path::new(&long)).unwrap_err(), Denial::Absent);
    }

    /// Whoever replaces it finds the new one after a reload; until then the old one is answered from.
    #[test]
    fn a_directory_stays_the_one_that_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("files");
        std::fs::create_dir(&path).unwrap();
        let directory = Directory::open(&path).unwrap();
        std::fs::write(path.join("later"), "x").unwrap();
        assert!(directory.file(Path::new("later")).is_ok());
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(directory.file(Path::new("later")).is_ok());
        assert!(Directory::open(&path).is_err());
        assert!(Directory::open(&folder.path().join("moved/later")).is_err());
    }
}
