//! The example configurations of the manual, running: `tests/data/examples/`.
//!
//! An example names addresses and files as an operator would. Here each address of a listener becomes a reserved port,
//! each address of a backend an origin that answers with that address, and files stand in the test's directory. Nothing
//! else is changed, but that the process keeps its user and its root.

use crate::answer::Answer;
use crate::client::Client;
use crate::origin::{Exchange, Origin};
use crate::port::Port;
use crate::program;
use crate::proxy::{Proxy, Setup};
use crate::tool;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Directories that examples name, and where they are in the test's directory.
const FOLDERS: [(&str, &str); 2] = [("/etc/ounce", "etc"), ("/var/lib/ounce", "lib")];

/// `Aladdin` with the password `open sesame`, by bcrypt.
const USERS: &str = "Aladdin:$2y$05$saltsaltsaltsaltsaltse4kA2isQqvtsOWjUdVwT0P5YMJUrcwGW\n";

/// Directives that concern the process alone.
const PROCESS: [&str; 3] = ["User", "Group", "RootJail"];

/// What an origin does with a request when it is not only to give its name.
pub type Behave = fn(&mut Exchange<'_>) -> io::Result<()>;

/// An example with everything that it names.
#[derive(Debug)]
pub struct Example {
    /// The program.
    pub proxy: Proxy,
    origins: BTreeMap<String, Origin>,
    listeners: BTreeMap<String, Arc<Port>>,
}

impl Example {
    /// Checks an example as it stands, and starts it with origins that answer with their address.
    ///
    /// # Panics
    /// When it does not load or start.
    #[must_use]
    pub fn start(name: &str) -> Example {
        Example::start_with(name, |_| None)
    }

    /// As [`Example::start`], with these origins in place of those that give their address.
    ///
    /// # Panics
    /// As [`Example::start`].
    #[must_use]
    pub fn start_with(name: &str, behave: impl Fn(&str) -> Option<Behave>) -> Example {
        let setup = Setup::new();
        let text = with_files(&text(name), setup.folder());
        check(name, &text, setup.folder());
        let (mut origins, mut listeners) = (BTreeMap::new(), BTreeMap::new());
        let text = with_addresses(&text, |listens, address| {
            let port = if listens {
                Arc::clone(listeners.entry(address.to_owned()).or_insert_with(|| Arc::new(Port::reserve())))
            } else {
                let origin = || match behave(address) {
                    Some(behave) => Origin::start(behave),
                    None => Origin::named(address),
                };
                origins.entry(address.to_owned()).or_insert_with(origin).port()
            };
            port.address()
        });
        let proxy = setup.text(&text).start();
        Example { proxy, origins, listeners }
    }

    /// Where a listener of the example listens here.
    ///
    /// # Panics
    /// When there is none at this address.
    #[must_use]
    pub fn listener(&self, address: &str) -> SocketAddr {
        self.listeners.get(address).expect("a listener of the example").address()
    }

    /// The origin that stands for a backend's address.
    ///
    /// # Panics
    /// When there is none at this address.
    #[must_use]
    pub fn origin(&self, address: &str) -> &Origin {
        self.origins.get(address).expect("a backend of the example")
    }

    /// Asks the listener at 203.0.113.1:80.
    #[must_use]
    pub fn ask(&self, method: &str, target: &str, fields: &[&str]) -> Answer {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let mut client = Client::connect(self.listener("203.0.113.1:80"));
        client.ask(format!("{method} {target} HTTP/1.1\r\n{fields}\r\n"))
    }

    /// Which backend a GET comes to, or the status of what it gets instead.
    #[must_use]
    pub fn backend_of(&self, target: &str, fields: &[&str]) -> String {
        let answer = self.ask("GET", target, fields);
        answer.fields.get("X-Origin").map_or_else(|| answer.status.to_string(), str::to_owned)
    }

    /// As [`Example::backend_of`], over TLS, at 203.0.113.1:443.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn backend_of_https(&self, target: &str) -> String {
        let port = self.listener("203.0.113.1:443").port();
        let output = tool::run("curl", ["-sSk", &format!("https://127.0.0.1:{port}{target}")]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The examples, by their names.
///
/// # Panics
/// When they cannot be read.
#[must_use]
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the examples").map(|entry| entry.expect("a file").path());
    let mut names: Vec<String> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "cfg"))
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    names.sort_unstable();
    names
}

/// The text of an example.
///
/// # Panics
/// When there is none of this name.
#[must_use]
pub fn text(name: &str) -> String {
    let path = folder().join(format!("{name}.cfg"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    program::workspace().join("tests/data/examples")
}

/// Makes the files that an example may name, and has it name them.
///
/// # Panics
/// When they cannot be made.
#[must_use]
pub fn with_files(text: &str, below: &Path) -> String {
    let mut text = text.to_owned();
    for (named, here) in FOLDERS {
        let here = below.join(here);
        fs::create_dir_all(&here).expect("a directory");
        text = text.replace(named, &here.to_string_lossy());
    }
    let etc = below.join("etc");
    for page in ["missing", "sorry"] {
        fs::write(etc.join(format!("{page}.html")), format!("<h1>{page}</h1>")).expect("a page");
    }
    for folder in ["challenges", "files"] {
        let folder = below.join("lib").join(folder);
        fs::create_dir_all(&folder).expect("a directory");
        fs::write(folder.join("file.txt"), "from a file").expect("a file");
    }
    fs::write(etc.join("401.html"), "WWW-Authenticate: Basic realm=\"inner part\"\n\n<h1>who are you?</h1>")
        .expect("a page");
    fs::write(etc.join("users"), USERS).expect("a file of users");
    let pem = etc.join("server.pem");
    if text.contains(".pem") && !pem.exists() {
        let path = |name: &str| below.join(name).to_string_lossy().into_owned();
        let (key, crt) = (path("key"), path("crt"));
        let words =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=example.com"];
        let output = tool::run("openssl", words.into_iter().chain(["-keyout", &key, "-out", &crt]));
        assert!(output.status.success(), "{output:?}");
        fs::copy(&crt, etc.join("authority.pem")).expect("a file");
        let both = [fs::read(crt).expect("a file"), fs::read(key).expect("a file")].concat();
        fs::write(pem, both).expect("a file");
    }
    text
}

/// `ounce -c`: an example loads, and says nothing unless it is an old one, which may be warned of.
///
/// # Panics
/// When it does not.
pub fn check(name: &str, text: &str, folder: &Path) {
    let path = folder.join("example.cfg");
    fs::write(&path, text).expect("a file");
    let output = Command::new(program::ounce()).arg("-c").arg("-f").arg(&path).output().expect("ounce");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {said}\n{text}");
    let warned = said.lines().all(|line| line.contains(": warning: "));
    assert!(if name.starts_with("old-") { warned } else { said.is_empty() }, "{name}: {said}");
}

/// Replaces the pairs of `Address` and `Port`, and leaves out what concerns the process.
fn with_addresses(text: &str, mut address_of: impl FnMut(bool, &str) -> SocketAddr) -> String {
    let mut out = String::new();
    let mut listens = false;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or_default();
        if word.starts_with("Listen") {
            listens = true;
        } else if word.eq_ignore_ascii_case("BackEnd") || word == "Emergency" {
            listens = false;
        }
        if word == "Address" {
            let port =
                lines.next_if(|line| line.trim_start().starts_with("Port")).expect("a Port below an Address");
            let number = port.split_whitespace().nth(1).unwrap_or_default();
            let address = address_of(listens, &format!("{}:{number}", words.next().unwrap_or_default()));
            out.push_str(&format!("Address {}\nPort {}\n", address.ip(), address.port()));
        } else if !PROCESS.contains(&word) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}
