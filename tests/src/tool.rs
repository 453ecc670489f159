//! Programs of other people that a test needs. One that is not installed fails the test: a test that was not run shows
//! nothing.

use crate::barrier::until;
use crate::port::Port;
use crate::process::{self, Running};
use crate::wire;
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where daemons are, which is not in everybody's `PATH`.
const DAEMONS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The path of a program.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(DAEMONS.map(PathBuf::from));
    let found = directories.map(|directory| directory.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed; scripts/test installs what the tests need"))
}

/// Runs a program to its end.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn run<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(path(name))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("a program that is installed")
}

/// A server of other people, ended with this value.
#[derive(Debug)]
pub struct Server {
    port: Port,
    command: Vec<String>,
    running: Running,
}

impl Server {
    /// nginx as one process that serves what is below `root` (1.1, keep-alive), as the wire of the test is. `inside` goes into its `server` block,
    /// and its own files go to `folder`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn nginx(folder: &Path, root: &Path, inside: &str) -> Server {
        let port = Port::reserve();
        let folder = folder.to_str().expect("a path that is text");
        let pem = format!("{folder}/wire.pem");
        fs::write(&pem, wire::pem()).expect("a file in the test's directory");
        let tls = match wire::is_tls() {
            true => format!(" ssl; ssl_certificate {pem}; ssl_certificate_key {pem}"),
            false => String::new(),
        };
        let config = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.error warn;\n\
             worker_rlimit_nofile 8192;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n  access_log off; keepalive_requests 1000000; client_max_body_size 0;\n  \
             client_body_temp_path {folder}/nginx.body; proxy_temp_path {folder}/nginx.proxy;\n  \
             fastcgi_temp_path {folder}/nginx.fastcgi; uwsgi_temp_path {folder}/nginx.uwsgi;\n  \
             scgi_temp_path {folder}/nginx.scgi;\n  \
             server {{ listen {address}{tls}; root {root};\n{inside}\n  }}\n}}\n",
            address = port.address(),
            tls = tls,
            root = root.display(),
        );
        let file = format!("{folder}/nginx.conf");
        fs::write(&file, config).expect("a file in the test's directory");
        Server::start(port, vec!["nginx".into(), "-p".into(), folder.into(), "-c".into(), file])
    }

    /// Python's `http.server` on what is below `root` (1.1).
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn python(root: &Path) -> Server {
        let port = Port::reserve();
        let number = port.number().to_string();
        let root = root.to_str().expect("a path that is text");
        let words = [
            "python3",
            "-m",
            "http.server",
            &number,
            "--bind",
            "127.0.0.1",
            "--protocol",
            "HTTP/1.1",
            "-d",
            root,
        ];
        Server::start(port, words.map(String::from).to_vec())
    }

    /// Any program that listens on `port` and stays in the foreground.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(port: Port, command: Vec<String>) -> Server {
        let running = spawn(&port, &command);
        Server { port, command, running }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    /// Ends it at once, with everything it has under way and every process that it has started: nginx's workers outlive
    /// a master that is killed, and go on listening.
    pub fn kill(&mut self) {
        let family = if self.running.ended().is_none() { process::family(self.pid()) } else { Vec::new() };
        self.running.kill();
        for pid in family.into_iter().filter(|&pid| pid != self.running.pid()) {
            // It may have gone with the one above it.
            let _ = process::signal(pid, Signal::SIGKILL);
        }
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.running = spawn(&self.port, &self.command);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a server and waits until it accepts connections.
fn spawn(port: &Port, command: &[String]) -> Running {
    let (name, arguments) = command.split_first().expect("the name of a program");
    let program = if name.contains('/') { PathBuf::from(name) } else { path(name) };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program that is installed");
    let mut running = Running::new(child);
    until(&format!("{name} to listen"), || {
        if let Some(status) = running.ended() {
            panic!("{name} has ended with {status} before it listened");
        }
        TcpStream::connect(port.address()).ok()
    });
    running
}
