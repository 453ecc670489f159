//! `ounce --demo`: a whole installation without a file, for a first look.
//!
//! [`Demo::prepare`] binds the origins to free ports and fills them into the embedded configuration; the supervisor
//! loads that text as if it were a file, and forks one more child, which runs [`origin::serve`].

pub(crate) mod origin;

use origin::Origin;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where the demo listens.
const ADDRESS: &str = "127.0.0.1";
const PORT: u16 = 8080;
const CONFIG: &str = include_str!("demo.cfg");
const ORIGIN_NAMES: [&str; 3] = ["alder", "birch", "cedar"];

/// A demo that is ready to be loaded. Its directory, which holds the control socket, goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Demo {
    origins: Vec<Origin>,
    directory: PathBuf,
    process: u32,
}

impl Demo {
    /// Binds the origins and makes a private directory for the control socket.
    ///
    /// # Errors
    /// What the system says about either.
    pub(crate) fn prepare() -> io::Result<Demo> {
        let origins = ORIGIN_NAMES
            .iter()
            .map(|&name| Ok(Origin { name, listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))? }))
            .collect::<io::Result<Vec<Origin>>>()?;
        let process = std::process::id();
        let directory = std::env::temp_dir().join(format!("ounce-demo-{process}"));
        // A directory that is there already is somebody else's, or was left by a process of the same number that was
        // killed; an empty one of ours may be taken over, anything else may not.
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let _ = fs::remove_file(directory.join("control"));
                fs::remove_dir(&directory)?;
                DirBuilder::new().mode(0o700).create(&directory)?;
            }
            other => other?,
        }
        Ok(Demo { origins, directory, process })
    }

    /// The configuration, for `ounce_conf::load_text`.
    ///
    /// # Errors
    /// When a port of an origin cannot be read back.
    pub(crate) fn config(&self) -> io::Result<String> {
        let mut backends = String::new();
        for origin in &self.origins {
            let port = origin.listener.local_addr()?.port();
            backends.push_str(&format!("\t\tBackEnd\n\t\t\tAddress {ADDRESS}\n\t\t\tPort {port}\n\t\tEnd\n"));
        }
        let text = CONFIG
            .replace("{control}", &self.control().to_string_lossy())
            .replace("{address}", ADDRESS)
            .replace("{port}", &PORT.to_string())
            .replace("{origins}", backends.trim_end());
        Ok(text)
    }

    /// Hands the origins over to the child that serves them, in place of the configuration's owner.
    pub(crate) fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// What to try, for the terminal.
    ///
    /// `name` is the program's name.
    pub(crate) fn introduction(&self, name: &str) -> String {
        let url = format!("http://{ADDRESS}:{PORT}");
        let control = self.control();
        let names = ORIGIN_NAMES.join(", ");
        format!(
            "\
{name} listens on {url} and balances between three origins of its own: {names}.
In another terminal, try:

  curl {url}/                     each request is answered by the next origin, which shows what it received
  curl {url}/sticky               the same origin each time, for a minute
  curl {url}/slow                 an answer that takes two seconds
  curl {url}/large -o /dev/null   100 MB
  curl -i {url}/fail              an origin that fails
  curl -i {url}/moved             a redirect that is made by {name} itself
  ouncectl -s {socket}                          what it knows of its origins
  ouncectl -s {socket} off /demo/origins/0      take one out of the round; on puts it back

Requests are logged below. Ctrl-C stops everything.
",
            socket = control.display()
        )
    }

    fn control(&self) -> PathBuf {
        control_socket(&self.directory)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // A forked child drops its copy too; the directory is the parent's.
        if std::process::id() == self.process {
            let _ = fs::remove_file(self.control());
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

fn control_socket(directory: &Path) -> PathBuf {
    directory.join("control")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the directory is named after the process, so two demos of one process would share it.
    #[test]
    fn the_configuration_names_every_origin_and_the_directory_goes_with_the_demo() {
        let demo = Demo::prepare().unwrap();
        let text = demo.config().unwrap();
        assert!(!text.contains(['{', '}']), "{text}");
        for origin in demo.origins() {
            let port = origin.listener.local_addr().unwrap().port();
            assert_eq!(text.matches(&format!("Port {port}\n")).count(), 2, "{text}");
        }
        assert!(demo.introduction("ounce").contains("http://127.0.0.1:8080/large"));
        let directory = demo.directory.clone();
        fs::write(demo.control(), b"").unwrap();
        assert!(directory.is_dir());
        drop(demo);
        assert!(!directory.exists());
    }
}
