//! What the kernel tells of watched files (inotify(7)): that it is time to look, and no more.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use ounce_engine::tls::Sights;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What happens in a directory when a file in it becomes another. A file that is created has nothing in it yet.
const IN_FOLDER: AddWatchFlags = AddWatchFlags::IN_MOVED_TO
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ONLYDIR);
/// What happens to the file itself, which may lie elsewhere, behind a symbolic link.
const IN_FILE: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE.union(AddWatchFlags::IN_ATTRIB);
/// The link that is replaced where directories of files are replaced as a whole.
const DATA: &str = "..data";
/// Readings of events before others have their turn; a reading holds some hundred of them.
const READINGS_MAX: usize = 16;

/// An inotify descriptor. A look of a child sets up the watches.
#[derive(Debug)]
pub(super) struct Notify {
    inotify: Inotify,
    /// What the files are called in their directories: others there are none of our business.
    names: BTreeSet<OsString>,
    /// In some directory every file is ours.
    any: bool,
}

impl Notify {
    /// A descriptor that watches nothing yet, for these files and for directories of any files.
    ///
    /// # Errors
    /// What inotify_init1(2) reports.
    pub(super) fn new(sights: &Sights) -> io::Result<Notify> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let names = sights.files.iter().filter_map(|file| file.file_name());
        let mut names: BTreeSet<OsString> = names.map(OsStr::to_owned).collect();
        names.insert(DATA.into());
        Ok(Notify { inotify, names, any: !sights.folders.is_empty() })
    }

    /// Watches all of it; again, if it is watched already.
    pub(super) fn watch_all(&self, sights: &Sights) {
        sights.files.iter().for_each(|file| self.watch(file));
        for folder in &sights.folders {
            let _ = self.inotify.add_watch(folder, IN_FOLDER);
        }
    }

    /// Watches a file and its directory; again, if it is watched already. What cannot be watched is seen when the time
    /// comes.
    fn watch(&self, file: &Path) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = self.inotify.add_watch(folder, IN_FOLDER);
        let _ = self.inotify.add_watch(file, IN_FILE);
    }

    /// Reads what was told; whether any of it may concern a watched file.
    pub(super) fn concerns_us(&self) -> bool {
        let mut ours = false;
        for _ in 0..READINGS_MAX {
            let Ok(events) = self.inotify.read_events() else { break };
            // Events without a name are about a file, or say that others were lost.
            ours |= events
                .iter()
                .any(|event| self.any || event.name.as_ref().is_none_or(|name| self.names.contains(name)));
        }
        ours
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn notify(file: &Path) -> Notify {
        Notify::new(&Sights { files: vec![file.to_owned()], folders: Vec::new() }).unwrap()
    }

    #[test]
    fn changes_of_a_file_are_told_and_those_of_its_neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        fs::write(&file, "a").unwrap();
        let notify = notify(&file);
        notify.watch(&file);
        assert!(!notify.concerns_us());
        fs::write(folder.path().join("other"), "x").unwrap();
        assert!(!notify.concerns_us());
        fs::write(&file, "b").unwrap();
        assert!(notify.concerns_us());
        assert!(!notify.concerns_us(), "it is told once");
        fs::write(folder.path().join("new"), "c").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert!(notify.concerns_us());
        // The file of that name is another one by now.
        notify.watch(&file);
        fs::remove_file(&file).unwrap();
        assert!(notify.concerns_us());
    }

    #[test]
    fn any_file_of_a_directory_may_count() {
        let folder = tempfile::tempdir().unwrap();
        let sights = Sights { files: Vec::new(), folders: vec![folder.path().to_owned()] };
        let notify = Notify::new(&sights).unwrap();
        notify.watch_all(&sights);
        assert!(!notify.concerns_us());
        fs::write(folder.path().join("new.pem"), "x").unwrap();
        assert!(notify.concerns_us());
    }

    /// As where certificates are links into an archive.
    #[test]
    fn a_file_behind_a_link_is_watched_where_it_is() {
        let (links, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, file) = (links.path().join("cert"), archive.path().join("cert1"));
        fs::write(&file, "a").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let notify = notify(&link);
        notify.watch(&link);
        fs::write(&file, "b").unwrap();
        assert!(notify.concerns_us());
    }
}
