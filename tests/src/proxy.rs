//! The program under test, running on a configuration of the test's.

use crate::barrier::{Journal, until};
use crate::client::Client;
use crate::port::Port;
use crate::process::{self, Running};
use crate::program;
use crate::wire;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use tempfile::TempDir;

/// Names the `IoEngine` on which to run all tests that do not choose one.
const ENGINE: &str = "OUNCE_TEST_ENGINE";

/// A configuration and a directory for its files. In texts, `{port}` stands for the reserved port and `{folder}` for
/// the directory.
#[derive(Debug)]
pub struct Setup {
    globals: Vec<(String, String)>,
    text: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    program: Option<PathBuf>,
    folder: TempDir,
    port: Port,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup::new()
    }
}

impl Setup {
    /// Two workers, a control socket, no request lines, and nothing else yet.
    ///
    /// # Panics
    /// When there is no directory or no port.
    #[must_use]
    pub fn new() -> Setup {
        let folder = tempfile::tempdir().expect("a temporary directory");
        // Children of the proxy that have given up their rights pass through here too.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("an own directory");
        let mut setup = Setup {
            globals: Vec::new(),
            text: String::new(),
            arguments: vec!["-e".into(), "-v".into()],
            environment: Vec::new(),
            program: None,
            folder,
            port: Port::reserve(),
        };
        for (directive, value) in [
            ("LogFacility", "-"),
            ("LogLevel", "0"),
            ("Workers", "2"),
            ("Alive", "1"),
            ("Grace", "10"),
            ("Control", "\"{folder}/control\""),
        ] {
            setup = setup.global(directive, value);
        }
        if let Ok(engine) = std::env::var(ENGINE) {
            setup = setup.global("IoEngine", &engine);
        }
        setup
    }

    /// Sets a global directive, in place of an earlier value.
    #[must_use]
    pub fn global(mut self, directive: &str, value: &str) -> Setup {
        self.set_global(directive, value);
        self
    }

    /// As [`Setup::global`], for a later reload.
    pub fn set_global(&mut self, directive: &str, value: &str) {
        self.remove_global(directive);
        self.globals.push((directive.into(), value.into()));
    }

    /// Leaves a global directive out.
    pub fn remove_global(&mut self, directive: &str) {
        self.globals.retain(|(set, _)| set != directive);
    }

    /// Replaces everything after the global directives, for a later reload.
    pub fn set_text(&mut self, text: &str) {
        self.text = text.into();
    }

    /// Adds to the configuration, after the global directives.
    #[must_use]
    pub fn text(mut self, text: &str) -> Setup {
        self.text.push_str(text);
        self.text.push('\n');
        self
    }

    /// Adds a listener on the reserved port, with this inside.
    #[must_use]
    pub fn listener(self, inside: &str) -> Setup {
        self.text(&listener("{port}", inside))
    }

    /// Adds a listener on the reserved port that balances between these backends.
    #[must_use]
    pub fn backends(self, addresses: &[SocketAddr]) -> Setup {
        self.listener(&service(addresses))
    }

    /// Replaces the arguments, to which `-f` and `-p` are added.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Setup {
        self.arguments = arguments.iter().map(|&argument| argument.into()).collect();
        self
    }

    /// Runs this program instead of the one that is tested.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Setup {
        self.program = Some(program.to_owned());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The port for its listener.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Writes the configuration and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn write(&self) -> PathBuf {
        let globals: String =
            self.globals.iter().map(|(directive, value)| format!("{directive} {value}\n")).collect();
        fs::write(self.folder.path().join("wire.pem"), wire::pem()).expect("a file in the test's directory");
        let text = format!("{globals}{}", wire::listeners(&self.text))
            .replace("{port}", &self.port.number().to_string())
            .replace("{folder}", &self.folder.path().to_string_lossy());
        let path = self.folder.path().join("ounce.cfg");
        fs::write(&path, text).expect("a file in the test's directory");
        path
    }

    /// The program on this configuration, not started yet.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program.as_deref().unwrap_or_else(|| program::ounce()));
        command.args(&self.arguments).arg("-f").arg(self.write()).arg("-p").arg(self.pid_file());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start(self) -> Proxy {
        Proxy::start(self, true)
    }

    /// As [`Setup::start`], but nobody reads its standard output until the test does.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_unread(self) -> Proxy {
        Proxy::start(self, false)
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("ounce.pid")
    }
}

/// A listener of the configuration language on 127.0.0.1.
#[must_use]
pub fn listener(port: &str, inside: &str) -> String {
    format!("ListenHTTP\nAddress 127.0.0.1\nPort {port}\n{inside}\nEnd\n")
}

/// A service that balances between these backends.
#[must_use]
pub fn service(addresses: &[SocketAddr]) -> String {
    let backends: String = addresses.iter().map(|address| backend(*address, "")).collect();
    format!("Service\n{backends}End\n")
}

/// A backend that is what the wire of the test is, with this inside.
#[must_use]
pub fn backend(address: SocketAddr, inside: &str) -> String {
    let wire = wire::backend();
    format!("BackEnd\nAddress {}\nPort {}\n{wire}{inside}\nEnd\n", address.ip(), address.port())
}

/// The running program. It ends with this value, and a panic of any of its processes fails the test then.
#[derive(Debug)]
pub struct Proxy {
    setup: Setup,
    running: Running,
    lines: Journal<String>,
    problems: Journal<String>,
}

impl Proxy {
    /// The program in front of these backends.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn before(addresses: &[SocketAddr]) -> Proxy {
        Setup::new().backends(addresses).start()
    }

    fn start(setup: Setup, read: bool) -> Proxy {
        let mut command = setup.command();
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        let mut running = Running::new(child);
        let lines = Journal::default();
        if read && let Some(pipe) = running.child().stdout.take() {
            collect(pipe, &lines);
        }
        let problems = Journal::default();
        if let Some(pipe) = running.child().stderr.take() {
            collect(pipe, &problems);
        }
        let proxy = Proxy { setup, running, lines, problems };
        proxy
            .problems
            .wait("the proxy to start", |all| all.iter().find(|line| line.contains(": started")).cloned());
        proxy
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.setup.port.address()
    }

    /// A new connection to it.
    ///
    /// # Panics
    /// When it does not listen.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.setup.folder()
    }

    /// The supervisor.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    /// The child, for its pipes.
    pub fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    /// What it printed to standard output: request lines.
    #[must_use]
    pub fn lines(&self) -> &Journal<String> {
        &self.lines
    }

    /// What it printed to standard error: problems, and what happens to its processes.
    #[must_use]
    pub fn problems(&self) -> &Journal<String> {
        &self.problems
    }

    /// Its children of this name: `ounce-worker` or `ounce-warden`.
    #[must_use]
    pub fn children(&self, name: &str) -> Vec<i32> {
        process::children(self.pid()).into_iter().filter(|pid| process::name(*pid) == name).collect()
    }

    /// Its workers, those that drain included.
    #[must_use]
    pub fn workers(&self) -> Vec<i32> {
        self.children("ounce-worker")
    }

    /// Its warden.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn warden(&self) -> i32 {
        until("a warden", || self.children("ounce-warden").first().copied())
    }

    /// Waits until it has so many workers, and every one of them serves.
    ///
    /// # Panics
    /// When it does not get them.
    pub fn wait_workers(&self, count: usize) {
        until(&format!("{count} workers that serve"), || {
            let (_, core) = self.try_control("GET", "/core")?;
            let fleet = core["fleet"].as_array()?;
            let ready = fleet.iter().filter(|member| member["phase"] == "ready").count();
            (ready == count && fleet.len() == count).then_some(())
        });
    }

    /// Sends the supervisor a signal.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// What it is to run on after the next reload.
    pub fn setup(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// Writes its configuration, asks it to reload, and waits until it has.
    ///
    /// # Errors
    /// What it said when it did not.
    ///
    /// # Panics
    /// When it says nothing.
    pub fn reload(&self) -> Result<(), Vec<String>> {
        let _ = self.setup.write();
        let before = self.problems.len();
        self.signal(Signal::SIGHUP);
        self.problems.wait("a reload", |all| {
            let new = &all[before..];
            let has = |text: &str| new.iter().any(|line| line.contains(text));
            match () {
                () if has(": reloaded") => Some(Ok(())),
                () if has("not reloaded") => Some(Err(new.to_vec())),
                () => None,
            }
        })
    }

    /// Asks its control socket. Status and JSON.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn control(&self, method: &str, path: &str) -> (u16, Value) {
        until("an answer of the control socket", || self.try_control(method, path))
    }

    /// Asks its control socket; `None` if there is no answer, as while the warden is being replaced.
    #[must_use]
    pub fn try_control(&self, method: &str, path: &str) -> Option<(u16, Value)> {
        let mut stream = UnixStream::connect(self.folder().join("control")).ok()?;
        stream.set_read_timeout(Some(crate::barrier::DEADLINE)).ok()?;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    /// A figure of its metrics.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let mut stream = UnixStream::connect(self.folder().join("control")).expect("the control socket");
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("metrics");
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {answer}"))
    }

    /// Ends it with this signal and returns its status.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.running.wait()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let family = process::family(self.pid());
        if self.running.ended().is_none() {
            self.signal(Signal::SIGTERM);
            let _ = crate::barrier::until_within(std::time::Duration::from_secs(10), || self.running.ended());
        }
        self.running.kill();
        // Its children end with it. One that does not must not outlive the test.
        for pid in family.into_iter().skip(1).filter(|pid| process::name(*pid).starts_with("ounce")) {
            let _ = process::signal(pid, Signal::SIGKILL);
        }
        let problems = self.problems.all();
        if thread::panicking() {
            eprintln!("the proxy had said:\n{}", problems.join("\n"));
        } else if let Some(line) = problems.iter().find(|line| line.contains("panic")) {
            panic!("a process of the proxy failed: {line}");
        }
    }
}

/// Writes the lines of a pipe down, until it ends.
fn collect(pipe: impl Read + Send + 'static, into: &Journal<String>) {
    let into = into.clone();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            into.push(String::from_utf8_lossy(&line).into_owned());
        }
        into.end();
    });
}
