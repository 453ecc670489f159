//! HTTPS with curl and OpenSSL's own client: each directive, resumption, and what a bad peer gets.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ounce_tests::answer::Broken;
use ounce_tests::client::Client;
use ounce_tests::origin::Origin;
use ounce_tests::papers::{Papers, curl, mirror, s_client, start, text};
use ounce_tests::proxy::{Setup, backend};
use std::fs;

/// Requests and bodies of all sizes pass, on one connection and on many.
#[test]
fn requests_and_bodies_pass() {
    let papers = Papers::new();
    let origin = Origin::echo();
    let proxy = start(&papers, "xHTTP 1", &origin);
    assert_eq!(text(&curl(&proxy, "/x", &[])), "GET /x\n");
    assert_eq!(text(&curl(&proxy, "/n?[1-50]", &[])).lines().count(), 50);
    assert!(text(&curl(&proxy, "/", &["-I"])).starts_with("HTTP/1.1 200"));
    assert!(text(&curl(&proxy, "/", &["-0"])).starts_with("GET /"));
    let large = papers.path("large");
    fs::write(&large, vec![b'x'; 3_000_000]).expect("a file");
    let sent = format!("@{}", large.display());
    let answer = curl(&proxy, "/up", &["--data-binary", &sent]);
    assert_eq!(text(&answer).len(), "POST /up\n".len() + 3_000_000);
    let answer =
        curl(&proxy, "/put", &["-T", large.to_str().expect("text"), "-H", "Transfer-Encoding: chunked"]);
    assert_eq!(text(&answer).len(), "PUT /put\n".len() + 3_000_000);
}

/// The client's name for us chooses the certificate: exact before wildcard, the first for names that nobody has.
#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let papers = Papers::new();
    let proxy = start(&papers, &papers.line("Cert", "b.pem"), &mirror());
    for (asked, subject) in
        [("a.test", "a.test"), ("www.a.test", "a.test"), ("B.test", "b.test"), ("no", "a.test")]
    {
        let told = s_client(&proxy, &["-servername", asked]);
        assert!(told.contains(&format!("subject=CN = {subject}")), "{asked}: {told}");
    }
}

/// A session made with one worker is resumed by any, after a reload, and after a worker's death.
#[test]
fn sessions_resume_everywhere() {
    let papers = Papers::new();
    let origin = mirror();
    let proxy = start(&papers, "", &origin);
    let file = papers.path("session");
    let file = file.to_str().expect("text");
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(s_client(&proxy, &[version, "-sess_out", file]).contains("New, TLSv1"), "{version}");
        let resumed =
            || (0..8).all(|_| s_client(&proxy, &[version, "-sess_in", file]).contains("Reused, TLSv1"));
        assert!(resumed(), "{version}: by any worker");
        proxy.reload().expect("a reload");
        assert!(resumed(), "{version}: after a reload");
        let workers = proxy.workers();
        kill(Pid::from_raw(workers[0]), Signal::SIGKILL).expect("a worker to kill");
        proxy.wait_workers(2);
        assert!(resumed(), "{version}: after a death");
    }
}

/// Versions, ciphers and their order are as configured.
#[test]
fn versions_and_ciphers_are_as_configured() {
    let papers = Papers::new();
    let origin = mirror();
    let proxy = start(&papers, "Disable TLSv1_2", &origin);
    assert!(s_client(&proxy, &["-tls1_3"]).contains("New, TLSv1.3"));
    assert!(s_client(&proxy, &["-tls1_2"]).contains("Cipher is (NONE)"));
    let ciphers = "Ciphers \"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256\" -ciphersuites \"TLS_AES_128_GCM_SHA256\"";
    let theirs = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"];
    let proxy = start(&papers, ciphers, &origin);
    assert!(s_client(&proxy, &["-tls1_3"]).contains("Cipher is TLS_AES_128_GCM_SHA256"));
    assert!(
        s_client(&proxy, &theirs).contains("Cipher is ECDHE-RSA-AES128-GCM-SHA256"),
        "the client's order"
    );
    assert!(
        s_client(&proxy, &["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"]).contains("Cipher is (NONE)")
    );
    let proxy = start(&papers, &format!("{ciphers}\nSSLHonorCipherOrder 1"), &origin);
    assert!(s_client(&proxy, &theirs).contains("Cipher is ECDHE-RSA-AES256-GCM-SHA384"), "our order");
}

/// The backend learns of the connection and of the client's certificate, and of nothing that a client made up.
#[test]
fn the_backend_learns_who_the_client_is() {
    let papers = Papers::new();
    let origin = mirror();
    let lists = papers.line("VerifyList", "ca.crt") + &papers.line("CAlist", "ca.crt");
    let proxy = start(&papers, &format!("ClientCert 1\n{lists}"), &origin);
    let forged = ["-H", "X-SSL-Subject: me", "-H", "X-SSL-certificate: mine"];
    let told = text(&curl(&proxy, "/", &forged));
    assert!(told.contains("X-Forwarded-Proto: https\n"), "{told}");
    assert!(told.contains("X-SSL-cipher: TLSv1.3/TLS_AES"), "{told}");
    assert!(!told.contains("me") && !told.contains("mine") && !told.contains("X-SSL-Subject"), "{told}");
    let (certificate, key) = (papers.path("client.crt"), papers.path("client.key"));
    let identity = ["--cert", certificate.to_str().expect("text"), "--key", key.to_str().expect("text")];
    let told = text(&curl(&proxy, "/", &[&forged[..], &identity].concat()));
    for line in [
        "X-SSL-Subject: C = FR, O = \"a, b\", CN = client\n",
        "X-SSL-Issuer: C = FR, O = \"a, b\", CN = ca\n",
        "X-SSL-serial: 340282366920938463463374607431768211455\n",
        "X-SSL-notBefore: ",
        " GMT\nX-SSL-serial",
        "X-SSL-certificate: -----BEGIN CERTIFICATE-----MII",
        "-----END CERTIFICATE-----\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let plain = start(&papers, &format!("ClientCert 1\n{lists}HeaderOption no-ssl"), &origin);
    assert!(!text(&curl(&plain, "/", &identity)).contains("X-SSL"));
}

/// `ClientCert 2` lets nobody in without a certificate, 3 takes one that nobody signed, 1 does not.
#[test]
fn client_certificates_are_demanded_and_verified() {
    let papers = Papers::new();
    let origin = mirror();
    let list = papers.line("VerifyList", "ca.crt");
    let identity = |name: &str| -> [String; 4] {
        let file = |ending: &str| papers.path(&format!("{name}.{ending}")).display().to_string();
        ["--cert".into(), file("crt"), "--key".into(), file("key")]
    };
    let gets_in = |mode: u8, name: Option<&str>| {
        let proxy = start(&papers, &format!("ClientCert {mode}\n{list}"), &origin);
        let words = name.map(|name| identity(name).to_vec()).unwrap_or_default();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        curl(&proxy, "/", &words).status.success()
    };
    for (mode, nobody, signed, stranger) in
        [(0, true, true, true), (1, true, true, false), (2, false, true, false), (3, true, true, true)]
    {
        assert_eq!(gets_in(mode, None), nobody, "{mode} without one");
        assert_eq!(gets_in(mode, Some("client")), signed, "{mode} with a signed one");
        assert_eq!(gets_in(mode, Some("b")), stranger, "{mode} with a stranger's");
    }
}

/// `NoHTTPS11 1` ends each connection after one request, 2 those of old browsers.
#[test]
fn one_request_a_connection() {
    let papers = Papers::new();
    let origin = mirror();
    let closes = |inside: &str, words: &[&str]| {
        let proxy = start(&papers, inside, &origin);
        text(&curl(&proxy, "/", &[&["-i"], words].concat())).contains("Connection: close\r\n")
    };
    assert!(!closes("", &[]));
    assert!(closes("NoHTTPS11 1", &[]));
    assert!(!closes("NoHTTPS11 2", &[]));
    assert!(closes("NoHTTPS11 2", &["-A", "Mozilla/4.0 (compatible; MSIE 6.0)"]));
}

/// A backend is spoken to over TLS, by the name that the file gives it.
#[test]
fn backends_over_tls() {
    let papers = Papers::new();
    let origin = mirror();
    let inner = start(&papers, &papers.line("Cert", "b.pem"), &origin);
    let inside = backend(inner.address(), "HTTPS\nServerName \"b.test\"");
    let outer = Setup::new().listener(&format!("Service\n{inside}End")).start();
    let mut client = outer.client();
    for _ in 0..20 {
        let answer = client.get("/");
        let told = String::from_utf8_lossy(&answer.body);
        assert!(told.contains("Host: b.test\n") && told.contains("X-Forwarded-Proto: https\n"), "{told}");
    }
    // No port answers TLS here: the client is told, and the backend is not taken for dead.
    let plain = backend(origin.address(), "HTTPS");
    let broken = Setup::new().listener(&format!("Service\n{plain}End")).start();
    assert_eq!(broken.client().get("/").status, 503);
}

/// What is wrong with a certificate is told with its file before anything is touched.
#[test]
fn a_bad_pair_is_reported_with_its_file() {
    let papers = Papers::new();
    let mixed =
        [fs::read(papers.path("a.crt")).expect("a file"), fs::read(papers.path("b.key")).expect("a file")];
    fs::write(papers.path("mixed.pem"), mixed.concat()).expect("a file");
    fs::write(papers.path("empty.pem"), "nothing").expect("a file");
    for name in ["mixed.pem", "empty.pem"] {
        let listener =
            format!("ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{}End\n", papers.line("Cert", name));
        let setup = Setup::new().text(&listener).arguments(&["-c"]);
        let output = setup.command().output().expect("the program");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(name), "{told}");
    }
}

/// The connection ends, whatever is said before.
fn ends(client: &mut Client) {
    let rest = client.link().rest();
    assert!(!matches!(rest, Err(Broken::Silence)), "{rest:?}");
}

/// A peer that does not speak TLS is told so and let go; the next one is served.
#[test]
fn bad_peers_get_an_alert_and_an_end() {
    let papers = Papers::new();
    let proxy = start(&papers, "Client 3", &mirror());
    for bytes in [&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0], &[0; 9000]] {
        let mut client = Client::connect(proxy.address());
        client.send(bytes);
        ends(&mut client);
    }
    // Half a hello, and then silence: the client's limit ends it.
    let mut client = Client::connect(proxy.address());
    client.send([0x16, 3, 1, 2, 0, 1, 0]);
    ends(&mut client);
    assert!(curl(&proxy, "/", &[]).status.success());
}
