//! The pid file: written whole or not at all, removed only while it is ours.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A pid file that names this process. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    pid: u32,
}

impl PidFile {
    /// The file that this process has written under an earlier program.
    pub(crate) fn adopt(path: PathBuf) -> PidFile {
        PidFile { path, pid: std::process::id() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the number of this process.
    ///
    /// # Errors
    /// What could not be written.
    pub(crate) fn write(path: &Path) -> Result<PidFile, String> {
        let pid = std::process::id();
        let write = || -> io::Result<()> {
            // A reader must never see a file that is still empty, so it appears under its name when it is whole.
            let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
            name.push(format!(".{pid}"));
            let draft = path.with_file_name(name);
            let written = fs::File::create(&draft).and_then(|mut file| writeln!(file, "{pid}"));
            let placed = written.and_then(|()| fs::rename(&draft, path));
            if placed.is_err() {
                let _ = fs::remove_file(&draft);
            }
            placed
        };
        match write() {
            Ok(()) => Ok(PidFile { path: path.to_owned(), pid }),
            Err(error) => Err(format!("cannot write the pid file {}: {error}", path.display())),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let ours = fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == self.pid.to_string());
        // Children are copies of the supervisor, and what they drop must not take its file away.
        if ours && std::process::id() == self.pid {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_this_process_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ounce.pid");
        fs::write(&path, "1\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn another_process_s_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ounce.pid");
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = PidFile::write(Path::new("/nonexistent/ounce.pid")).unwrap_err();
        assert!(error.starts_with("cannot write the pid file /nonexistent/ounce.pid: "), "{error}");
    }
}
