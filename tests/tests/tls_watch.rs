//! Certificates, keys and OCSP responses that change while the program runs: by watched files, without a reload and
//! without a connection that ends for it.

use nix::sys::signal::Signal;
use openssl::ssl::SslVersion;
use ounce_tests::hand::Hand;
use ounce_tests::origin::Origin;
use ounce_tests::papers::{Papers, mirror, respond, s_client};
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup, service};
use ounce_tests::tool;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A proxy with one HTTPS listener with these certificates.
fn setup(certificates: &str, origin: &Origin) -> Setup {
    Setup::new().text(&format!(
        "ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{certificates}{}End\n",
        service(&[origin.address()])
    ))
}

fn watched(papers: &Papers, name: &str) -> String {
    format!("Cert -filewatch \"{}\"\n", papers.path(name).display())
}

/// Puts a file in the place of another, and waits until the program says what it makes of that.
fn replace(proxy: &Proxy, papers: &Papers, from: &str, to: &str, says: &str) {
    let said = proxy.problems().len();
    fs::copy(papers.path(from), papers.path("new")).expect("a copy");
    fs::rename(papers.path("new"), papers.path(to)).expect("a file in the place of another");
    wait(proxy, said, says);
}

fn wait(proxy: &Proxy, said: usize, text: &str) {
    proxy.problems().wait(text, |all| all[said..].iter().any(|line| line.contains(text)).then_some(()));
}

/// Whose certificate a client gets, on connections of their own, as many as meet every worker.
fn subject(proxy: &Proxy, words: &[&str]) -> String {
    let ask = || {
        let told = s_client(proxy, words);
        let subject = told.lines().find_map(|line| line.strip_prefix("subject=CN = ")).map(str::to_owned);
        subject.unwrap_or_else(|| panic!("{told}"))
    };
    let first = ask();
    for _ in 0..8 {
        assert_eq!(ask(), first, "workers disagree");
    }
    first
}

/// Another certificate is served to who comes; who is there stays, and nobody is replaced. The warden tells of the new one.
#[test]
fn a_certificate_changes_without_a_dropped_connection() {
    let papers = Papers::new();
    let origin = Origin::named("a");
    papers.self_signed("next", "/CN=next.test", "DNS:next.test");
    let proxy = setup(&watched(&papers, "a.pem"), &origin).start();
    let workers = proxy.workers();
    let mut there: Vec<Hand> = [SslVersion::TLS1_2, SslVersion::TLS1_3]
        .iter()
        .cycle()
        .take(8)
        .map(|version| Hand::reach(proxy.address(), *version))
        .collect();
    for hand in &mut there {
        hand.shake();
        assert_eq!(hand.get(), 200);
    }
    assert_eq!(subject(&proxy, &[]), "a.test");
    replace(&proxy, &papers, "next.pem", "a.pem", "a.pem has changed: its new contents are in use");
    assert_eq!(subject(&proxy, &[]), "next.test");
    for hand in &mut there {
        assert_eq!(hand.get(), 200, "a connection from before");
    }
    assert_eq!(proxy.workers(), workers, "nobody was replaced");
    let (_, listener) = proxy.control("GET", "/listener/1");
    assert_eq!(listener["certificates"][0]["names"][0], "next.test", "{listener}");
    // A session from before is resumed with the new certificate.
    let session = papers.path("session").display().to_string();
    assert!(s_client(&proxy, &["-tls1_3", "-sess_out", &session]).contains("New, TLSv1"));
    papers.self_signed("last", "/CN=last.test", "DNS:last.test");
    replace(&proxy, &papers, "last.pem", "a.pem", "a.pem has changed: its new contents are in use");
    assert!(s_client(&proxy, &["-tls1_3", "-sess_in", &session]).contains("Reused, TLSv1"));
}

/// Without the word nothing is followed; a reload brings what has changed.
#[test]
fn what_is_not_watched_waits_for_a_reload() {
    let papers = Papers::new();
    papers.self_signed("next", "/CN=next.test", "DNS:next.test");
    let proxy = setup(&(papers.line("Cert", "a.pem") + &watched(&papers, "b.pem")), &mirror()).start();
    fs::copy(papers.path("next.pem"), papers.path("a.pem")).expect("a copy");
    // What is watched has been looked at since.
    papers.self_signed("b2", "/CN=b2.test", "DNS:b.test");
    replace(&proxy, &papers, "b2.pem", "b.pem", "b.pem has changed: its new contents are in use");
    assert_eq!(subject(&proxy, &["-servername", "b.test"]), "b2.test");
    assert_eq!(subject(&proxy, &[]), "a.test");
    proxy.reload().expect("a reload");
    assert_eq!(subject(&proxy, &[]), "next.test");
}

/// While a certificate and its key are being written, the pair before serves; so it does in a worker that starts
/// meanwhile.
#[test]
fn half_a_pair_is_not_used() {
    let papers = Papers::new();
    papers.self_signed("next", "/CN=next.test", "DNS:next.test");
    let key = papers.line("Key", "a.key");
    let proxy = setup(&(watched(&papers, "a.crt") + &key), &mirror()).start();
    replace(&proxy, &papers, "next.crt", "a.crt", "a.crt: what was read before stays in use");
    assert!(
        proxy.problems().all().iter().any(|line| line.contains("a.crt: the key in ")),
        "{:?}",
        proxy.problems().all()
    );
    assert_eq!(subject(&proxy, &[]), "a.test");
    for pid in proxy.workers() {
        assert!(process::signal(pid, Signal::SIGKILL), "a worker that lives");
    }
    proxy.wait_workers(2);
    assert_eq!(subject(&proxy, &[]), "a.test");
    replace(&proxy, &papers, "next.key", "a.key", "a.crt has changed: its new contents are in use");
    assert_eq!(subject(&proxy, &[]), "next.test");
    for (bad, why) in [("ca.crt", "a.crt: the key in "), ("index", "a.crt: there is no certificate in it")] {
        fs::write(papers.path("index"), "nothing").expect("a file");
        replace(&proxy, &papers, bad, "a.crt", why);
    }
    let said = proxy.problems().len();
    fs::remove_file(papers.path("a.crt")).expect("a file to remove");
    wait(&proxy, said, "a.crt: No such file or directory");
    assert_eq!(subject(&proxy, &[]), "next.test");
    for pid in proxy.workers() {
        assert!(process::signal(pid, Signal::SIGKILL), "a worker that lives");
    }
    proxy.wait_workers(2);
    assert_eq!(subject(&proxy, &[]), "next.test", "what was newest and good");
}

/// The jail holds no certificates, and its inmates have no right to read them. Lists that are not followed stay as they are.
#[test]
fn files_out_of_reach_of_workers_are_watched() {
    let papers = Papers::new();
    let origin = mirror();
    papers.self_signed("next", "/CN=next.test", "DNS:next.test");
    let lists = papers.line("VerifyList", "ca.crt") + &papers.line("CAlist", "ca.crt");
    let inside = format!("{}ClientCert 2\n{lists}", watched(&papers, "a.pem"));
    let setup = setup(&inside, &origin).global("User", "\"nobody\"").global("RootJail", "\"{folder}/jail\"");
    fs::create_dir(setup.folder().join("jail")).expect("a directory");
    for name in ["a.pem", "next.pem"] {
        fs::set_permissions(papers.path(name), PermissionsExt::from_mode(0o600)).expect("its mode");
    }
    let proxy = setup.start();
    let key = papers.path("client.key").display().to_string();
    let identity = ["-cert", &papers.path("client.crt").display().to_string(), "-key", &key];
    assert_eq!(subject(&proxy, &identity), "a.test");
    replace(&proxy, &papers, "next.pem", "a.pem", "a.pem has changed: its new contents are in use");
    assert_eq!(subject(&proxy, &identity), "next.test");
    let told = s_client(&proxy, &identity);
    assert!(told.contains("HTTP/1.1 200") && told.contains("CN = ca\n"), "{told}");
    assert!(!s_client(&proxy, &[]).contains("HTTP/1.1 200"), "a client without a certificate");
}

/// A directory gets another certificate, loses one, and holds one that is bad.
#[test]
fn directories_are_followed() {
    let papers = Papers::new();
    papers.self_signed("c", "/CN=c.test", "DNS:c.test");
    fs::create_dir(papers.path("all")).expect("a directory");
    for name in ["a.pem", "b.pem"] {
        fs::copy(papers.path(name), papers.path("all").join(name)).expect("a copy");
    }
    let proxy = setup(&watched(&papers, "all"), &mirror()).start();
    let of = |name: &str| subject(&proxy, &["-servername", name]);
    assert_eq!((of("b.test"), of("c.test")), ("b.test".into(), "a.test".into()));
    replace(&proxy, &papers, "c.pem", "all/c.pem", "all/c.pem has changed: its new contents are in use");
    assert_eq!((of("b.test"), of("c.test")), ("b.test".into(), "c.test".into()));
    replace(&proxy, &papers, "a.crt", "all/d.pem", "all/d.pem: it is left out");
    let said = proxy.problems().len();
    fs::remove_file(papers.path("all/b.pem")).expect("a file to remove");
    wait(&proxy, said, "all/b.pem has changed: its new contents are in use");
    assert_eq!((of("b.test"), of("c.test")), ("a.test".into(), "c.test".into()));
    let said = proxy.problems().len();
    fs::remove_dir_all(papers.path("all")).expect("a directory to remove");
    wait(&proxy, said, "what was read before stays in use");
    assert_eq!((of("b.test"), of("c.test")), ("a.test".into(), "c.test".into()));
}

/// The serial number of the response that a client is sent.
fn response(proxy: &Proxy) -> Option<String> {
    let told = s_client(proxy, &["-status"]);
    let at = told.lines().find_map(|line| line.trim().strip_prefix("Produced At: ").map(str::to_owned));
    assert!(at.is_some() || told.contains("OCSP response: no response sent"), "{told}");
    at
}

/// A response takes the place of the one before it; one that is wrong does not, and a new certificate does not go out with
/// the response of the old one.
#[test]
fn responses_are_refreshed() {
    let papers = Papers::new();
    respond(&papers, "b", "b.resp");
    for lines in [
        papers.line("Cert", "a.pem") + &papers.line("OCSP -filewatch", "now.resp"),
        watched(&papers, "a.pem") + &papers.line("OCSP", "now.resp"),
        watched(&papers, "a.pem"),
    ] {
        let file = if lines.contains("OCSP") { "now.resp" } else { "a.pem.ocsp" };
        respond(&papers, "a", "first.resp");
        fs::copy(papers.path("first.resp"), papers.path(file)).expect("a copy");
        let proxy = setup(&lines, &mirror()).start();
        let first = response(&proxy).expect("a response");
        // Another second, since responses tell no less.
        ounce_tests::barrier::until("another second", || {
            respond(&papers, "a", "next.resp");
            let told = |name: &str| {
                let words = ["ocsp", "-noverify", "-text", "-respin"];
                let file = papers.path(name).display().to_string();
                tool::run("openssl", [words.as_slice(), &[&file]].concat()).stdout
            };
            let made = |text: Vec<u8>| {
                let text = String::from_utf8_lossy(&text).into_owned();
                text.lines().find(|line| line.contains("Produced At")).map(str::to_owned)
            };
            (made(told("next.resp")) != made(told("first.resp"))).then_some(())
        });
        let used = format!("{file} has changed: its new contents are in use");
        replace(&proxy, &papers, "next.resp", file, &used);
        let newer = response(&proxy).expect("a response");
        assert_ne!(newer, first);
        replace(&proxy, &papers, "b.resp", file, &format!("{file}: it is not about this certificate"));
        assert_eq!(response(&proxy), Some(newer.clone()));
        replace(&proxy, &papers, "a.crt", file, &format!("{file}: no OCSP response in DER"));
        assert_eq!(response(&proxy), Some(newer));
    }
    // A new certificate, and then its response.
    papers.self_signed("c", "/CN=c.test", "DNS:c.test");
    respond(&papers, "c", "c.resp");
    respond(&papers, "a", "a.pem.ocsp");
    let proxy = setup(&watched(&papers, "a.pem"), &mirror()).start();
    assert!(response(&proxy).is_some());
    replace(&proxy, &papers, "c.pem", "a.pem", "a.pem has changed: its new contents are in use");
    assert_eq!((subject(&proxy, &[]), response(&proxy)), ("c.test".into(), None));
    let used = "a.pem.ocsp has changed: its new contents are in use";
    replace(&proxy, &papers, "c.resp", "a.pem.ocsp", used);
    assert!(response(&proxy).is_some());
}

/// Whether a client with this certificate is let in, on connections of its own, as many as meet every worker; with
/// `words` it may try to resume a session.
fn gets_in(proxy: &Proxy, papers: &Papers, name: &str, words: &[&str]) -> bool {
    let [crt, key] =
        ["crt", "key"].map(|ending| papers.path(&format!("{name}.{ending}")).display().to_string());
    let words = [&["-cert", &crt, "-key", &key], words].concat();
    let ask = || s_client(proxy, &words).contains("HTTP/1.1 200");
    let first = ask();
    for _ in 0..4 {
        assert_eq!(ask(), first, "workers disagree");
    }
    first
}

/// A fresh list keeps out whom it revokes, at once, with every name and with sessions from before; one that is none
/// changes nothing, and neither does one that is gone.
#[test]
fn lists_of_revoked_certificates_are_followed() {
    let papers = Papers::new();
    let origin = mirror();
    for name in ["one", "two"] {
        papers.signed(name, "DNS:client.test", &["-days", "30"]);
    }
    for name in ["one", "two"] {
        papers.revoke(name, &format!("{name}.crl"));
    }
    fs::copy(papers.path("two.crl"), papers.path("now.crl")).expect("a copy");
    let lists = papers.line("VerifyList", "ca.crt") + &papers.line("CRLlist -filewatch", "now.crl");
    let certificates = papers.line("Cert", "a.pem") + &papers.line("Cert", "b.pem");
    let inside = format!("{certificates}ClientCert 2\n{lists}");
    let setup = setup(&inside, &origin).global("User", "\"nobody\"").global("RootJail", "\"{folder}/jail\"");
    fs::create_dir(setup.folder().join("jail")).expect("a directory");
    let proxy = setup.start();
    let workers = proxy.workers();
    let session = papers.path("session").display().to_string();
    let of_b = ["-servername", "b.test"];
    let both = |name: &str| [gets_in(&proxy, &papers, name, &[]), gets_in(&proxy, &papers, name, &of_b)];
    assert_eq!((both("one"), both("two")), ([true; 2], [false; 2]));
    assert!(gets_in(&proxy, &papers, "one", &["-tls1_2", "-sess_out", &session]));
    assert!(gets_in(&proxy, &papers, "one", &["-tls1_2", "-sess_in", &session]));
    replace(&proxy, &papers, "one.crl", "now.crl", "now.crl has changed: its new contents are in use");
    assert_eq!((both("one"), both("two")), ([false; 2], [true; 2]));
    assert!(!gets_in(&proxy, &papers, "one", &["-tls1_2", "-sess_in", &session]), "a session from before");
    replace(&proxy, &papers, "ca.crt", "now.crl", "now.crl: there is no list of revoked certificates in it");
    let said = proxy.problems().len();
    fs::remove_file(papers.path("now.crl")).expect("a file to remove");
    wait(&proxy, said, "now.crl: what was read before stays in use");
    assert_eq!((both("one"), both("two")), ([false; 2], [true; 2]));
    assert_eq!(proxy.workers(), workers, "nobody was replaced");
    for pid in workers {
        assert!(process::signal(pid, Signal::SIGKILL), "a worker that lives");
    }
    proxy.wait_workers(2);
    assert_eq!((both("one"), both("two")), ([false; 2], [true; 2]), "what was newest and good");
}

/// Other authorities: whom they have signed gets in, and clients are told their names. A connection that is there stays.
#[test]
fn lists_of_authorities_are_followed() {
    let papers = Papers::new();
    let origin = Origin::named("a");
    papers.self_signed("other", "/CN=other", "DNS:other.test");
    fs::copy(papers.path("ca.crt"), papers.path("known.crt")).expect("a copy");
    fs::copy(papers.path("ca.crt"), papers.path("told.crt")).expect("a copy");
    let lists =
        papers.line("VerifyList -filewatch", "known.crt") + &papers.line("CAlist -filewatch", "told.crt");
    let inside = format!("{}ClientCert 1\n{lists}", papers.line("Cert", "a.pem"));
    let proxy = setup(&inside, &origin).start();
    let told = |name: &str| s_client(&proxy, &[]).contains(&format!("CN = {name}\n"));
    let of = |name: &str| gets_in(&proxy, &papers, name, &[]);
    assert_eq!((of("client"), of("other"), told("ca"), told("other")), (true, false, true, false));
    let mut there = Hand::reach(proxy.address(), SslVersion::TLS1_3);
    there.shake();
    assert_eq!(there.get(), 200);
    replace(&proxy, &papers, "other.crt", "known.crt", "known.crt has changed: its new contents are in use");
    assert_eq!(there.get(), 200, "a connection from before");
    assert_eq!((of("client"), of("other"), told("ca"), told("other")), (false, true, true, false));
    replace(&proxy, &papers, "other.crt", "told.crt", "told.crt has changed: its new contents are in use");
    assert_eq!((told("ca"), told("other")), (false, true));
    for name in ["known.crt", "told.crt"] {
        replace(&proxy, &papers, "a.key", name, &format!("{name}: there is no certificate in it"));
    }
    assert_eq!((of("client"), of("other"), told("ca"), told("other")), (false, true, false, true));
}
