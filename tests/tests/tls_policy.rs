//! What a listener asks of TLS and says about it, with curl and OpenSSL's own client: each directive shows.

use ounce_tests::origin::Origin;
use ounce_tests::papers::{Papers, curl, mirror, s_client, start, text};
use ounce_tests::proxy::{Proxy, Setup, backend, service};
use ounce_tests::renegotiation::renegotiates;

/// What `ounce -c` says about a listener.
fn check(papers: &Papers, inside: &str) -> (bool, String) {
    let listener = format!(
        "ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{}{inside}\nEnd\n",
        papers.line("Cert", "a.pem")
    );
    let output = Setup::new().text(&listener).arguments(&["-c"]).command().output().expect("the program");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// `StrictSNI` refuses a name that no certificate has, and nobody else.
#[test]
fn unknown_names_are_refused_when_asked_for() {
    let papers = Papers::new();
    let proxy = start(&papers, &format!("{}StrictSNI yes", papers.line("Cert", "b.pem")), &mirror());
    for (asked, subject) in [("a.test", "a.test"), ("x.a.test", "a.test"), ("b.test", "b.test")] {
        let told = s_client(&proxy, &["-servername", asked]);
        assert!(told.contains(&format!("subject=CN = {subject}")), "{asked}: {told}");
    }
    assert!(s_client(&proxy, &["-noservername"]).contains("subject=CN = a.test"));
    for version in ["-tls1_2", "-tls1_3"] {
        let told = s_client(&proxy, &[version, "-servername", "c.test"]);
        assert!(told.contains("alert number 112") && told.contains("Cipher is (NONE)"), "{told}");
    }
    let proxy = start(&papers, "StrictSNI yes", &mirror());
    assert!(s_client(&proxy, &["-servername", "c.test"]).contains("alert number 112"), "one certificate");
}

/// `MinProto` and `Groups` hold, and a group that the library does not have is named.
#[test]
fn versions_and_groups_are_as_configured() {
    let papers = Papers::new();
    let proxy = start(&papers, "MinProto TLSv1_3\nGroups \"P-384:X25519\"", &mirror());
    assert!(s_client(&proxy, &["-tls1_2"]).contains("Cipher is (NONE)"));
    assert!(s_client(&proxy, &["-groups", "P-384"]).contains("secp384r1"));
    assert!(s_client(&proxy, &["-groups", "P-256:X25519"]).contains("X25519"));
    assert!(s_client(&proxy, &["-groups", "P-256"]).contains("Cipher is (NONE)"));
    let (passed, told) = check(&papers, "Groups \"X25519:no-group:P-256\"");
    assert!(!passed && told.contains("Groups: no-group is not known to OpenSSL"), "{told}");
    // Whether a post-quantum group is there depends on the library; it is served or named.
    let (passed, told) = check(&papers, "Groups \"X25519MLKEM768:X25519\"");
    assert!(passed || told.contains("Groups: X25519MLKEM768 is not known to OpenSSL"), "{told}");
}

/// `Disable TLSv1_3` is about that version alone, towards clients; the word of a patched Pound is taken for today's.
#[test]
fn the_newest_version_can_be_left_out() {
    let papers = Papers::new();
    let proxy = start(&papers, "DisableSSLv3\nDisable TLSv1_3", &mirror());
    assert!(s_client(&proxy, &["-tls1_3"]).contains("Cipher is (NONE)"));
    assert!(s_client(&proxy, &[]).contains("Protocol  : TLSv1.2"));
    let (passed, told) = check(&papers, "Disable TLSv1_3\nMinProto TLSv1_3");
    assert!(!passed && told.contains("no version of TLS is left"), "{told}");
}

/// `HSTS` is in each response, once: in those of backends, of rules, and in our own pages.
#[test]
fn responses_say_that_the_site_is_to_be_reached_over_tls() {
    let papers = Papers::new();
    let origin = Origin::start(|exchange| {
        exchange.answer(200, &[("strict-transport-security", "max-age=1"), ("X-Of-Backend", "yes")], b"body")
    });
    let said = |proxy: &Proxy, path: &str| -> Vec<String> {
        let told = text(&curl(proxy, path, &["-i"]));
        let lines = told.lines().map(str::to_ascii_lowercase);
        lines.filter(|line| line.starts_with("strict-transport-security")).collect()
    };
    let hsts = "HSTS 365d includeSubDomains\n";
    let only = ["strict-transport-security: max-age=31536000; includesubdomains"];
    let redirect = "Service\nPath \"^/old\"\nRedirect 301 \"https://a.test/new\"\nEnd\n";
    let proxy = start(&papers, &format!("{hsts}CheckURL \"^/[a-z]*$\"\n{redirect}"), &origin);
    assert_eq!(said(&proxy, "/"), only);
    assert_eq!(said(&proxy, "/old"), only, "a redirect");
    assert_eq!(said(&proxy, "/9"), only, "an error page");
    let rules = "Rewrite response\nSetHeader \"X-Rule: yes\"\nEnd\n";
    assert_eq!(said(&start(&papers, &format!("{hsts}{rules}"), &origin), "/"), only, "with rules");
    let rules = "Rewrite response\nDeleteHeader \"^Strict\"\nEnd\n";
    assert!(said(&start(&papers, &format!("{hsts}{rules}"), &origin), "/").is_empty(), "rules come after");
    assert_eq!(said(&start(&papers, "", &origin), "/"), ["strict-transport-security: max-age=1"]);
}

/// A service looks for one certificate; nobody is refused at the handshake, and no other certificate is told of.
#[test]
fn a_service_takes_the_client_with_its_certificate() {
    let papers = Papers::new();
    let (friend, anybody) = (mirror(), Origin::named("anybody"));
    let with = papers.line("ClientCert", "b.crt");
    let listener = format!(
        "ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{}Service\n{with}{}End\n{}End\n",
        papers.line("Cert", "a.pem"),
        backend(friend.address(), ""),
        service(&[anybody.address()])
    );
    let proxy = Setup::new().text(&listener).start();
    let ask = |identity: Option<&str>| {
        let words = identity.map(|name| papers.identity(name)).unwrap_or_default();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        text(&curl(&proxy, "/", &words))
    };
    let told = ask(Some("b"));
    assert!(told.contains("X-SSL-cipher") && !told.contains("X-SSL-Subject"), "{told}");
    for other in [None, Some("a"), Some("client")] {
        assert!(ask(other).starts_with("anybody"), "{other:?}");
    }
}

/// Rules of either kind see the X-SSL lines and have the last word about them.
#[test]
fn rules_come_after_the_lines_about_tls() {
    let papers = Papers::new();
    let origin = mirror();
    let told =
        |inside: &str| text(&curl(&start(&papers, inside, &origin), "/", &["-H", "X-SSL-cipher: mine"]));
    assert!(told("").contains("X-SSL-cipher: TLSv1"));
    for rule in [
        "DeleteHeader \"^X-SSL-cipher\"\n",
        "Rewrite\nDeleteHeader \"^X-SSL-cipher\"\nEnd\n",
        "HeadRemove \"^X-SSL-\"\nSetURL \"/other\"\n",
    ] {
        assert!(!told(rule).contains("X-SSL"), "{rule}: {}", told(rule));
    }
    let set =
        "Rewrite\nSetHeader \"X-SSL-cipher: hidden\"\nSetHeader \"X-Seen: %[header X-SSL-cipher]\"\nEnd\n";
    let heads = told(set);
    assert!(heads.contains("X-SSL-cipher: hidden\n") && heads.contains("X-Seen: hidden\n"), "{heads}");
    let copy = "Rewrite\nSetHeader \"X-Seen: %[header X-SSL-cipher]\"\nEnd\n";
    assert!(told(copy).contains("X-Seen: TLSv1"), "{}", told(copy));
}

/// The lengths of the records with application data that a client gets.
fn records(proxy: &Proxy, words: &[&str]) -> Vec<usize> {
    let told = s_client(proxy, &[&["-msg", "-tls1_3"], words].concat());
    let mut lines = told.lines().map(str::trim);
    let mut lengths = Vec::new();
    while let Some(line) = lines.next() {
        if !(line.contains("<<<") && line.contains("RecordHeader")) {
            continue;
        }
        let bytes: Vec<usize> = lines
            .next()
            .unwrap_or_default()
            .split(' ')
            .filter_map(|byte| usize::from_str_radix(byte, 16).ok())
            .collect();
        if let [0x17, _, _, high, low] = bytes[..] {
            lengths.push(256 * high + low);
        }
    }
    lengths
}

/// Records fit into one packet at first, and are as large as they may be later on.
#[test]
fn records_start_small_and_grow() {
    let papers = Papers::new();
    let origin = Origin::start(|exchange| exchange.answer(200, &[], &vec![b'x'; 300_000]));
    let lengths = records(&start(&papers, "", &origin), &[]);
    let large = lengths.iter().position(|length| *length > 8000);
    let (small, large) = lengths.split_at(large.expect("a large record"));
    assert!(small.iter().rev().take(20).all(|length| *length <= 1400), "{lengths:?}");
    let before: usize = small.iter().rev().take(35).sum();
    assert!((36_000..60_000).contains(&before), "{lengths:?}");
    assert!(large.iter().all(|length| *length <= 16 * 1024 + 22), "{lengths:?}");
    assert!(large.len() < 40, "{lengths:?}");
}

/// No session lets a client send before its handshake is over.
#[test]
fn there_is_no_early_data() {
    let papers = Papers::new();
    let proxy = start(&papers, "", &mirror());
    let session = papers.path("session");
    let session = session.to_str().expect("text");
    let told = s_client(&proxy, &["-tls1_3", "-sess_out", session]);
    assert!(told.contains("Max Early Data: 0"), "{told}");
    let early = papers.path("early");
    std::fs::write(&early, "GET /early HTTP/1.1\r\nHost: a.test\r\n\r\n").expect("a file");
    let early = early.to_str().expect("text");
    let told = s_client(&proxy, &["-tls1_3", "-sess_in", session, "-early_data", early]);
    assert!(!told.contains("Early data was accepted"), "{told}");
}

/// Clients renegotiate only where they may.
#[test]
fn renegotiation_is_as_configured() {
    let papers = Papers::new();
    let origin = mirror();
    assert!(!renegotiates(start(&papers, "", &origin).address()));
    assert!(!renegotiates(start(&papers, "SSLAllowClientRenegotiation 0", &origin).address()));
    assert!(renegotiates(start(&papers, "SSLAllowClientRenegotiation 1", &origin).address()));
}

/// A session of a listener that asks for nothing opens no listener that asks for a certificate.
#[test]
fn sessions_do_not_stand_in_for_certificates() {
    let papers = Papers::new();
    let origin = mirror();
    let lists = papers.line("VerifyList", "ca.crt");
    let session = papers.path("session");
    let session = session.to_str().expect("text");
    let inside = |asked: &str| {
        format!(
            "ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{}{asked}{}End\n",
            papers.line("Cert", "a.pem"),
            service(&[origin.address()])
        )
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let mut proxy = Setup::new().text(&inside("")).start();
        assert!(s_client(&proxy, &[version, "-sess_out", session]).contains("HTTP/1.1 200"));
        proxy.setup().set_text(&inside(&format!("ClientCert 2\n{lists}")));
        proxy.reload().expect("a reload");
        let told = s_client(&proxy, &[version, "-sess_in", session]);
        assert!(!told.contains("HTTP/1.1 200"), "{version}: {told}");
    }
}
