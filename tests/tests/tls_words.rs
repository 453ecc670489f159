//! Pound's own directives about TLS that have no other test: each changes what a real client or server sees.

use ounce_tests::origin::Origin;
use ounce_tests::papers::{Papers, curl, mirror, s_client, start, text};
use ounce_tests::port::Port;
use ounce_tests::proxy::{Setup, backend, service};
use ounce_tests::tool::Server;
use std::fs;

/// Whether the client of this name is let in.
fn gets_in(papers: &Papers, inside: &str, origin: &Origin, name: &str) -> bool {
    let proxy = start(papers, inside, origin);
    let words = papers.identity(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    curl(&proxy, "/", &words).status.success()
}

/// `Cert` takes all certificates of a directory, and those that a pattern names.
#[test]
fn certificates_come_from_directories_and_patterns() {
    let papers = Papers::new();
    let folder = papers.path("all");
    fs::create_dir(&folder).expect("a directory");
    for name in ["a.pem", "b.pem"] {
        fs::copy(papers.path(name), folder.join(name)).expect("a file");
    }
    let origin = mirror();
    for named in ["all", "all/*.pem"] {
        let cert = papers.line("Cert", named);
        let listener = format!(
            "ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{cert}{}End\n",
            service(&[origin.address()])
        );
        let proxy = Setup::new().text(&listener).start();
        for name in ["a.test", "b.test"] {
            let told = s_client(&proxy, &["-servername", name]);
            assert!(told.contains(&format!("subject=CN = {name}")), "{named}: {told}");
        }
    }
}

/// RSA and ECDSA for one name: what the client can verify decides, and each goes out with the chain of its own file.
#[test]
fn both_kinds_of_keys_serve_one_name() {
    let papers = Papers::new();
    papers.signed("a.test", "DNS:a.test,DNS:*.a.test", &["-days", "30"]);
    let part = |name: &str| fs::read(papers.path(name)).expect("a file");
    fs::write(papers.path("long.pem"), [part("a.test.pem"), part("ca.crt")].concat()).expect("a file");
    let proxy = start(&papers, &(papers.line("Cert", "long.pem") + &papers.line("Cert", "b.pem")), &mirror());
    for (words, signs, chain) in [
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"][..], "Peer signature type: RSA", 1),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "Peer signature type: ECDSA", 2),
        (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], "Peer signature type: RSA-PSS", 1),
        (&["-tls1_3", "-sigalgs", "ECDSA+SHA256"], "Peer signature type: ECDSA", 2),
    ] {
        let told = s_client(&proxy, &[&["-servername", "www.a.test", "-showcerts"], words].concat());
        assert!(told.contains(signs) && told.contains("subject=CN = a.test"), "{words:?}: {told}");
        assert_eq!(told.matches("BEGIN CERTIFICATE").count(), chain, "{words:?}: {told}");
    }
}

/// A certificate may have no common name, and several others; one that has a common name alone goes by that.
#[test]
fn names_of_certificates_are_where_they_are() {
    let papers = Papers::new();
    papers.self_signed("several", "/O=several", "DNS:one.test,DNS:two.test,DNS:*.three.test,IP:127.0.0.1");
    papers.openssl(
        &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/O=old/CN=old.test"],
        &["-keyout", "old.key", "-out", "old.crt"],
    );
    let lines = ["several.pem", "old.crt"].map(|name| papers.line("Cert", name)).concat();
    let proxy = start(&papers, &(lines + &papers.line("Key", "old.key")), &mirror());
    for (asked, subject) in [
        ("one.test", "O = several\n"),
        ("two.test", "O = several\n"),
        ("x.three.test", "O = several\n"),
        ("three.test", "CN = a.test\n"),
        ("old.test", "O = old, CN = old.test\n"),
    ] {
        let told = s_client(&proxy, &["-servername", asked]);
        assert!(told.contains(&format!("subject={subject}")), "{asked}: {told}");
    }
}

/// `Disable` and `MinProto` also keep versions out that the library would speak if its own limits are lifted.
#[test]
fn old_versions_are_kept_out_one_by_one() {
    let papers = Papers::new();
    let origin = mirror();
    let weak = "DEFAULT@SECLEVEL=0";
    for (oldest, spoken) in [
        ("MinProto TLSv1", ["TLSv1.2", "TLSv1.1", "TLSv1"].as_slice()),
        ("Disable SSLv3", &["TLSv1.2", "TLSv1.1", "TLSv1"]),
        ("Disable TLSv1", &["TLSv1.2", "TLSv1.1"]),
        ("MinProto TLSv1_1", &["TLSv1.2", "TLSv1.1"]),
        ("Disable TLSv1_1", &["TLSv1.2"]),
        ("MinProto TLSv1_2\nDisable SSLv2", &["TLSv1.2"]),
    ] {
        let proxy = start(&papers, &format!("Ciphers \"{weak}\"\n{oldest}"), &origin);
        for (word, version) in [("-tls1", "TLSv1"), ("-tls1_1", "TLSv1.1"), ("-tls1_2", "TLSv1.2")] {
            let told = s_client(&proxy, &[word, "-cipher", weak]);
            let is_spoken =
                told.contains("HTTP/1.1 200") && told.contains(&format!("Protocol  : {version}\n"));
            assert_eq!(is_spoken, spoken.contains(&version), "{oldest}, {version}: {told}");
        }
    }
}

/// `HSTS` says what it is told to say.
#[test]
fn hsts_has_its_words() {
    let papers = Papers::new();
    let origin = mirror();
    for (words, said) in [
        ("0", "max-age=0"),
        ("1h preload", "max-age=3600; preload"),
        ("2d preload includeSubDomains", "max-age=172800; includeSubDomains; preload"),
    ] {
        let told = text(&curl(&start(&papers, &format!("HSTS {words}"), &origin), "/", &["-i"]));
        assert!(told.contains(&format!("Strict-Transport-Security: {said}\r\n")), "{told}");
    }
}

/// Without `Ciphers` every exchange of keys has forward secrecy; with it the list is the operator's.
#[test]
fn keys_are_exchanged_with_forward_secrecy_unless_ciphers_say_otherwise() {
    let papers = Papers::new();
    let origin = mirror();
    let theirs = ["-tls1_2", "-cipher", "AES128-GCM-SHA256"];
    let proxy = start(&papers, "", &origin);
    assert!(s_client(&proxy, &theirs).contains("Cipher is (NONE)"));
    assert!(s_client(&proxy, &["-tls1_2"]).contains("Cipher is ECDHE-"));
    let proxy = start(&papers, "Ciphers \"AES128-GCM-SHA256\"", &origin);
    assert!(s_client(&proxy, &theirs).contains("Cipher is AES128-GCM-SHA256"));
}

/// `CAlist` names authorities to the client.
#[test]
fn clients_are_told_whose_certificates_are_wanted() {
    let papers = Papers::new();
    let origin = mirror();
    let lists = |inside: &str| format!("ClientCert 1\n{}{inside}", papers.line("VerifyList", "ca.crt"));
    let told = s_client(&start(&papers, &lists(&papers.line("CAlist", "ca.crt")), &origin), &[]);
    assert!(
        told.contains("Acceptable client certificate CA names\nC = FR, O = \"a, b\", CN = ca\n"),
        "{told}"
    );
    let told = s_client(&start(&papers, &lists(""), &origin), &[]);
    assert!(told.contains("No client certificate CA names sent"), "{told}");
}

/// `CRLlist` keeps a client out whose certificate was revoked, and no other of the same authority.
#[test]
fn revoked_clients_stay_outside() {
    let papers = Papers::new();
    papers.signed("other", "DNS:other.test", &["-days", "30"]);
    papers.revoke("client", "ca.crl");
    let origin = mirror();
    let open = format!("ClientCert 2\n{}", papers.line("VerifyList", "ca.crt"));
    let strict = format!("{open}{}", papers.line("CRLlist", "ca.crl"));
    assert!(gets_in(&papers, &open, &origin, "client"));
    assert!(!gets_in(&papers, &strict, &origin, "client"));
    assert!(gets_in(&papers, &strict, &origin, "other"));
}

/// The depth of `ClientCert` says how many authorities may stand in between.
#[test]
fn chains_of_clients_are_as_long_as_allowed() {
    let papers = Papers::new();
    let key = ["req", "-newkey", "rsa:2048", "-nodes", "-subj"];
    papers.openssl(&[&key[..], &["/CN=middle"]].concat(), &["-keyout", "middle.key", "-out", "middle.csr"]);
    papers.openssl(&[&key[..], &["/CN=far"]].concat(), &["-keyout", "far.key", "-out", "far.csr"]);
    fs::write(papers.path("middle.ext"), "basicConstraints=critical,CA:TRUE\n").expect("a file");
    let sign = ["x509", "-req", "-days", "30", "-CAcreateserial"];
    papers.openssl(
        &sign,
        &[
            "-in",
            "middle.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-extfile",
            "middle.ext",
            "-out",
            "middle.crt",
        ],
    );
    papers.openssl(
        &sign,
        &["-in", "far.csr", "-CA", "middle.crt", "-CAkey", "middle.key", "-out", "far-alone.crt"],
    );
    let part = |name: &str| fs::read(papers.path(name)).expect("a file");
    fs::write(papers.path("far.crt"), [part("far-alone.crt"), part("middle.crt")].concat()).expect("a file");
    let origin = mirror();
    let list = papers.line("VerifyList", "ca.crt");
    for (depth, far) in [(0, false), (1, true)] {
        let inside = format!("ClientCert 2 {depth}\n{list}");
        assert!(gets_in(&papers, &inside, &origin, "client"), "depth {depth}");
        assert_eq!(gets_in(&papers, &inside, &origin, "far"), far, "depth {depth}");
    }
}

/// `XSSLHeaders`, the old word, sends the headers or does not.
#[test]
fn the_old_word_for_headers_about_tls_works() {
    let papers = Papers::new();
    let origin = mirror();
    let told = |inside: &str| text(&curl(&start(&papers, inside, &origin), "/", &[]));
    assert!(told("XSSLHeaders 1").contains("X-SSL-cipher: "));
    assert!(!told("XSSLHeaders 0").contains("X-SSL-"));
}

/// A backend gets our certificate when it asks, in the old form and in the new one.
#[test]
fn backends_learn_who_we_are() {
    let papers = Papers::new();
    let origin = mirror();
    let part = |name: &str| fs::read(papers.path(name)).expect("a file");
    fs::write(papers.path("client.pem"), [part("client.crt"), part("client.key")].concat()).expect("a file");
    let inner = start(&papers, &format!("ClientCert 2\n{}", papers.line("VerifyList", "ca.crt")), &origin);
    let status = |inside: &str| {
        let inside = backend(inner.address(), inside);
        Setup::new().listener(&format!("Service\n{inside}End")).start().client().get("/").status
    };
    assert_eq!(status("HTTPS"), 503);
    assert_eq!(status(&format!("HTTPS\n{}", papers.line("Cert", "client.pem"))), 200);
    assert_eq!(status(&papers.line("HTTPS", "client.pem")), 200);
}

/// `Ciphers`, `Disable`, `MinProto` and `Groups` of a backend hold, against a server that speaks TLS 1.2 alone and says what was agreed on.
#[test]
fn what_is_spoken_with_a_backend_is_as_configured() {
    let papers = Papers::new();
    let port = Port::reserve();
    let (address, pem) = (port.address(), papers.path("b.pem").display().to_string());
    let words =
        ["openssl", "s_server", "-quiet", "-tls1_2", "-www", "-accept", &address.to_string(), "-cert", &pem];
    let _server = Server::start(port, words.map(str::to_owned).to_vec());
    let answer = |inside: &str| {
        let inside = backend(address, &format!("HTTPS\n{inside}"));
        Setup::new().listener(&format!("Service\n{inside}End")).start().client().get("/")
    };
    for cipher in ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"] {
        let answer = answer(&format!("Ciphers \"{cipher}\""));
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(&format!("Cipher is {cipher}")), "{}", answer.text());
    }
    assert_eq!(answer("Disable TLSv1_1").status, 200);
    assert_eq!(answer("Disable TLSv1_2").status, 503);
    assert_eq!(answer("MinProto TLSv1_2").status, 200);
    assert_eq!(answer("MinProto TLSv1_3").status, 503);
    for (group, name) in [("P-384", "secp384r1"), ("X25519", "x25519")] {
        let told = answer(&format!("Groups \"{group}\"")).text().to_lowercase();
        assert!(told.contains(&format!("shared groups: {name}\n")), "{group}: {told}");
    }
}
