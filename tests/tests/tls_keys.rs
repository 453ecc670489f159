//! Keys of certificates, ours towards clients and towards backends: in files, on cards, in tokens, and those that take a
//! password, which nobody is asked for.

use ounce_tests::barrier::until;
use ounce_tests::card::Card;
use ounce_tests::origin::Origin;
use ounce_tests::papers::{Papers, mirror, start};
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup, backend};
use ounce_tests::token::{PIN, Token};
use ounce_tests::tool::{self, Server};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

fn line(directive: &str, file: &Path) -> String {
    format!("{directive} \"{}\"\n", file.display())
}

/// A proxy in front of a backend over TLS.
fn outer(card: &str, address: SocketAddr, inside: &str) -> Setup {
    let inside = backend(address, &format!("HTTPS\n{inside}"));
    let listener = format!("ListenHTTP\nAddress 127.0.0.1\nPort {{port}}\nService\n{inside}End\nEnd\n");
    Setup::new().global("Workers", "1").text(&format!("{card}{listener}"))
}

/// A proxy that lets only the bearer of this certificate in.
fn inner(papers: &Papers, certificate: &Path, origin: &Origin) -> Proxy {
    start(papers, &format!("ClientCert 2\n{}", line("VerifyList", certificate)), origin)
}

/// What `ounce -c` says, with no terminal, and with this on its standard input.
fn check(setup: &Setup, input: &str) -> (Option<i32>, String) {
    let command = setup.command();
    let mut child = Command::new(tool::path("setsid"))
        .arg("-w")
        .arg(command.get_program())
        .args(command.get_args())
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program that is installed");
    // Who asks nobody has ended perhaps.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its end");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A password would be taken from the standard input where there is no terminal. Both forms of encrypted keys are known.
#[test]
fn nobody_is_asked_for_passwords() {
    let papers = Papers::new();
    let words = |way: &'static [&'static str]| [way, &["-passout", "pass:secret"]].concat();
    let a = ["-in", "a.key", "-out"];
    papers.openssl(&words(&["pkey", "-aes128"]), &[&a[..], &["new.key"]].concat());
    papers.openssl(&words(&["rsa", "-aes128", "-traditional"]), &[&a[..], &["old.key"]].concat());
    let pem = |name: &str| fs::read(papers.path(name)).expect("a file");
    for form in ["new", "old"] {
        let (key, both) = (format!("{form}.key"), format!("{form}.pem"));
        fs::write(papers.path(&both), [pem("a.crt"), pem(&key)].concat()).expect("a file");
        let listener = |inside: &str| {
            Setup::new().text(&format!("ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{inside}End\n"))
        };
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        for (file, setup) in [
            (&both, listener(&papers.line("Cert", &both))),
            (&key, listener(&(papers.line("Cert", "a.crt") + &papers.line("Key", &key)))),
            (&both, outer("", nowhere, &papers.line("Cert", &both))),
            (&key, outer("", nowhere, &(papers.line("Cert", "a.crt") + &papers.line("Key", &key)))),
        ] {
            let (status, told) = check(&setup, "secret\nsecret\n");
            assert_eq!(status, Some(1), "{told}");
            assert!(told.contains(&format!("{file}: the key is encrypted")), "{told}");
        }
    }
}

/// A backend is shown a certificate whose key is in a file of its own, and no other key passes for it.
#[test]
fn backends_are_shown_keys_of_other_files() {
    let (papers, origin) = (Papers::new(), mirror());
    let inner = inner(&papers, &papers.path("a.crt"), &origin);
    let certificate = papers.line("Cert", "a.crt");
    let right = outer("", inner.address(), &(certificate.clone() + &papers.line("Key", "a.key")));
    assert_eq!(right.start().client().get("/").status, 200);
    let wrong = outer("", inner.address(), &(certificate + &papers.line("Key", "b.key")));
    let (status, told) = check(&wrong, "");
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("a.crt: the key in "), "{told}");
}

/// So many requests at once, each on a connection to the backend of its own.
fn requests(proxy: &Proxy, count: u32) -> Child {
    let url = format!("http://{}/?[1-{count}]", proxy.address());
    Command::new(tool::path("curl"))
        .args(["-s", "--max-time", "60", "-Z", "--parallel-immediate", "--parallel-max", "100"])
        .args(["-o", "/dev/null", "-w", "%{http_code}\\n", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program that is installed")
}

/// How many were answered 200.
fn served(child: Child) -> usize {
    let output = child.wait_with_output().expect("its end");
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| *line == "200").count()
}

/// What a backend is to be shown by a card is waited for as clients' handshakes are: together, and beside the loop.
#[test]
fn cards_sign_for_backends() {
    let (papers, card, origin) = (Papers::new(), Card::new(), mirror());
    for (kind, version) in [("rsa", ""), ("ec", "Disable TLSv1_3\n")] {
        let inner = inner(&papers, &card.path(&format!("{kind}.crt")), &origin);
        for (mode, count, waits) in [("async", 20, 20), ("threads", 20, 20), ("sync", 4, 0)] {
            let section =
                card.section(&format!("PreCommand \"DELAY_US\" \"500000\"\nMode {mode}\nTimeOut 30"));
            let proxy = outer(&section, inner.address(), &(version.to_owned() + &card.held(kind))).start();
            let began = Instant::now();
            assert_eq!(served(requests(&proxy, count)), count as usize, "{kind}, {mode}");
            // One after the other they would take ten seconds.
            assert!(began.elapsed().as_secs() < 8, "{kind}, {mode}: {:?}", began.elapsed());
            assert_eq!(proxy.counter("ounce_card_waits_total"), waits, "{kind}, {mode}");
        }
    }
}

/// A card that fails or falls silent costs the requests that need it, and the backend is none the worse for it.
#[test]
fn a_card_that_is_out_of_order_is_not_the_backend_s_fault() {
    let (papers, card, origin) = (Papers::new(), Card::new(), mirror());
    let inner = inner(&papers, &card.path("ec.crt"), &origin);
    for mode in ["async", "threads"] {
        card.becomes("work");
        let section = card.section(&format!("PreCommand \"DELAY_US\" \"1000\"\nMode {mode}\nTimeOut 1"));
        let proxy = outer(&section, inner.address(), &card.held("ec")).start();
        card.becomes("hang");
        assert_eq!(proxy.client().get("/").status, 503, "{mode}");
        assert_eq!(proxy.counter("ounce_card_timeouts_total"), 1, "{mode}");
        card.becomes("fail");
        until("the card to answer", || {
            (proxy.client().get("/").status == 503 && proxy.counter("ounce_card_failures_total") > 0)
                .then_some(())
        });
        card.becomes("work");
        until("the card to sign", || (proxy.client().get("/").status == 200).then_some(()));
        assert!(!proxy.problems().all().iter().any(|line| line.contains("is dead")), "{mode}");
    }
}

/// The warden has no card to sign with. That the backend wants more than it can show is no reason to take it for dead.
/// In TLS 1.2 the backend says so before the handshake is over.
#[test]
fn probes_do_without_the_card() {
    let (papers, card) = (Papers::new(), Card::new());
    papers.signed("right", "DNS:right.test", &["-days", "30"]);
    let port = Port::reserve();
    let address = port.address();
    let file = |path: &Path| path.display().to_string();
    let (pem, authority) = (file(&papers.path("right.pem")), file(&card.path("ec.crt")));
    let words = ["openssl", "s_server", "-quiet", "-tls1_2", "-www", "-Verify", "1", "-verify_return_error"];
    let files = ["-CAfile", &authority, "-accept", &address.to_string(), "-cert", &pem];
    let mut server =
        Server::start(port, [&words[..], &files].concat().iter().map(ToString::to_string).collect());
    let verified =
        format!("VerifyPeer yes\nServerName \"right.test\"\n{}", papers.line("VerifyList", "ca.crt"));
    let section = card.section("PreCommand \"DELAY_US\" \"1000\"");
    let proxy = outer(&section, address, &(verified + &card.held("ec"))).start();
    assert_eq!(proxy.client().get("/").status, 200);
    server.kill();
    assert_eq!(proxy.client().get("/").status, 503);
    proxy.problems().wait_for("a death", |line| line.contains("is dead"));
    server.restart();
    proxy.problems().wait_for("a return", |line| line.contains("is alive again"));
    assert_eq!(proxy.client().get("/").status, 200);
}

/// A key in a token: over a reload, and what is wrong with it is told beforehand.
#[test]
fn tokens_sign_for_backends() {
    let (papers, token, origin) = (Papers::new(), Token::new(), mirror());
    let inner = inner(&papers, &token.path("rsa.crt"), &origin);
    let engine = format!(
        "SSLEngine \"pkcs11\"\nPreCommand \"MODULE_PATH\" \"{}\"\nPreCommand \"PIN\" \"{PIN}\"\nEnd\n",
        Token::module().display()
    );
    let configuration = token.configuration();
    let setup = |object: &str| {
        let key = format!("Key \"pkcs11:token=ounce;object={object};type=private\"\n");
        outer(&engine, inner.address(), &(line("Cert", &token.path("rsa.crt")) + &key))
            .global("Workers", "2")
            .environment("SOFTHSM2_CONF", configuration.to_str().expect("text"))
    };
    let proxy = setup("rsa").start();
    assert_eq!(served(requests(&proxy, 16)), 16);
    proxy.reload().expect("a reload");
    assert_eq!(served(requests(&proxy, 16)), 16);
    assert!(proxy.counter("ounce_card_waits_total") > 0);
    for (object, why) in [("none", "object=none"), ("ec", "it is not the key of the certificate in")] {
        let output = setup(object).arguments(&["-c"]).command().output().expect("the program");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{object}: {told}");
        assert!(told.contains(why), "{object}: {told}");
    }
}
