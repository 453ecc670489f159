//! What tests of TLS have in common: certificates, clients, a proxy with one HTTPS listener.

use crate::origin::Origin;
use crate::proxy::{Proxy, Setup, service};
use crate::tool;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Certificates of one test: an authority, two servers and a client.
#[derive(Debug)]
pub struct Papers(TempDir);

impl Default for Papers {
    fn default() -> Papers {
        Papers::new()
    }
}

impl Papers {
    /// `a` for a.test and *.a.test, `b` for b.test, and `client`, which `ca` has signed.
    ///
    /// # Panics
    /// When `openssl` does not make them.
    #[must_use]
    pub fn new() -> Papers {
        let papers = Papers(tempfile::tempdir().expect("a directory"));
        papers.self_signed("a", "/CN=a.test", "DNS:a.test,DNS:*.a.test");
        papers.self_signed("b", "/CN=b.test", "DNS:b.test");
        papers.self_signed("ca", "/C=FR/O=a, b/CN=ca", "DNS:ca.test");
        papers.openssl(
            &["req", "-newkey", "rsa:2048", "-nodes", "-utf8", "-subj", "/C=FR/O=a, b/CN=client"],
            &["-keyout", "client.key", "-out", "client.csr"],
        );
        papers.openssl(
            &["x509", "-req", "-days", "30", "-set_serial", "340282366920938463463374607431768211455"],
            &["-in", "client.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-out", "client.crt"],
        );
        papers
    }

    /// A certificate and key in `name.crt`, `name.key` and both in `name.pem`.
    ///
    /// # Panics
    /// As [`Papers::new`].
    pub fn self_signed(&self, name: &str, subject: &str, names: &str) {
        let names = format!("subjectAltName={names}");
        let words = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", subject, "-addext",
            &names,
        ];
        let (key, crt) = (format!("{name}.key"), format!("{name}.crt"));
        self.openssl(&words, &["-keyout", &key, "-out", &crt]);
        self.join(name);
    }

    fn join(&self, name: &str) {
        let part = |ending| fs::read(self.path(&format!("{name}.{ending}"))).expect("a file");
        fs::write(self.path(&format!("{name}.pem")), [part("crt"), part("key")].concat()).expect("a file");
    }

    /// As [`Papers::self_signed`], but `ca` signs, and `words` say for how long.
    ///
    /// # Panics
    /// As [`Papers::new`].
    pub fn signed(&self, name: &str, names: &str, words: &[&str]) {
        let [key, csr, crt, ext] = ["key", "csr", "crt", "ext"].map(|ending| format!("{name}.{ending}"));
        fs::write(self.path(&ext), format!("subjectAltName={names}\n")).expect("a file");
        let subject = format!("/CN={name}");
        self.openssl(
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-subj",
                &subject,
            ],
            &["-keyout", &key, "-out", &csr],
        );
        self.openssl(
            &[&["x509", "-req", "-CAcreateserial"], words].concat(),
            &["-in", &csr, "-CA", "ca.crt", "-CAkey", "ca.key", "-extfile", &ext, "-out", &crt],
        );
        self.join(name);
    }

    /// A list of `ca` that revokes the certificate of this name.
    ///
    /// # Panics
    /// As [`Papers::new`].
    pub fn revoke(&self, name: &str, list: &str) {
        let [index, number] = ["index", "crlnumber"].map(|name| self.path(name));
        fs::write(&index, "").expect("a file");
        fs::write(&number, "01\n").expect("a file");
        let config = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {}\ncrlnumber = {}\ndefault_md = sha256\ndefault_crl_days = 30\n",
            index.display(),
            number.display()
        );
        fs::write(self.path("ca.cnf"), config).expect("a file");
        let files = ["-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.crt"];
        let crt = format!("{name}.crt");
        self.openssl(&["ca"], &[files.as_slice(), &["-revoke", &crt]].concat());
        self.openssl(&["ca", "-gencrl"], &[files.as_slice(), &["-out", list]].concat());
    }

    /// Runs `openssl`; of `files`, each second word is a file of this directory.
    ///
    /// # Panics
    /// When it fails.
    pub fn openssl(&self, words: &[&str], files: &[&str]) {
        let files = files.iter().map(|word| {
            if word.starts_with('-') { (*word).to_owned() } else { self.path(word).display().to_string() }
        });
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).chain(files).collect();
        let output = tool::run("openssl", &words);
        assert!(output.status.success(), "{output:?}");
    }

    /// A file of this directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The certificate and key of a name, as curl is given them.
    #[must_use]
    pub fn identity(&self, name: &str) -> Vec<String> {
        let file = |ending: &str| self.path(&format!("{name}.{ending}")).display().to_string();
        vec!["--cert".into(), file("crt"), "--key".into(), file("key")]
    }

    /// A statement with a file of this directory.
    #[must_use]
    pub fn line(&self, directive: &str, name: &str) -> String {
        format!("{directive} \"{}\"\n", self.path(name).display())
    }
}

/// An OCSP response about a certificate that has signed itself, which has signed this too.
///
/// # Panics
/// When `openssl` does not make it.
pub fn respond(papers: &Papers, name: &str, response: &str) {
    let crt = format!("{name}.crt");
    let key = format!("{name}.key");
    let shown = papers.path(&crt).display().to_string();
    let serial = tool::run("openssl", ["x509", "-noout", "-serial", "-in", &shown]);
    let serial = String::from_utf8_lossy(&serial.stdout).trim().replace("serial=", "");
    let index = format!("V\t391231235959Z\t\t{serial}\tunknown\t/CN={name}.test\n");
    fs::write(papers.path("index"), index).expect("a file");
    papers.openssl(&["ocsp", "-no_nonce"], &["-issuer", &crt, "-cert", &crt, "-reqout", "request"]);
    papers.openssl(
        &["ocsp", "-ndays", "3"],
        &[
            "-index", "index", "-rsigner", &crt, "-rkey", &key, "-CA", &crt, "-reqin", "request", "-respout",
            response,
        ],
    );
}

/// A proxy with one HTTPS listener.
#[must_use]
pub fn start(papers: &Papers, inside: &str, origin: &Origin) -> Proxy {
    let listener = format!(
        "ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{}{inside}\n{}End\n",
        papers.line("Cert", "a.pem"),
        service(&[origin.address()])
    );
    Setup::new().text(&listener).start()
}

/// An origin that answers with the head it got.
#[must_use]
pub fn mirror() -> Origin {
    Origin::start(|exchange| {
        let head: String =
            exchange.request.fields.0.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        exchange.skip_body()?;
        exchange.answer(200, &[], head.as_bytes())
    })
}

/// One request of curl, which does not look at the certificate.
#[must_use]
pub fn curl(proxy: &Proxy, path: &str, words: &[&str]) -> Output {
    let url = format!("https://{}{path}", proxy.address());
    tool::run("curl", [&["-sSk", "--max-time", "30", &url], words].concat())
}

/// What a program said that succeeded.
///
/// # Panics
/// When it failed.
#[must_use]
pub fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `openssl s_client`, led by pipes.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn spawn_s_client(address: SocketAddr, words: &[&str]) -> Child {
    let address = address.to_string();
    Command::new(tool::path("openssl"))
        .args([["s_client", "-connect", &address].as_slice(), words].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program that is installed")
}

/// What it says about one request on a connection of its own.
///
/// # Panics
/// As [`spawn_s_client`].
#[must_use]
pub fn s_client(proxy: &Proxy, words: &[&str]) -> String {
    let mut client = spawn_s_client(proxy.address(), &[&["-ign_eof"], words].concat());
    let mut input = client.stdin.take().expect("a pipe");
    // A handshake that fails closes the pipe first.
    let _ = input.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    drop(input);
    let output = client.wait_with_output().expect("its end");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
