//! Certificates themselves: what is said of them, in handshakes and to their owner.

use ounce_tests::papers::{Papers, mirror, s_client, start};
use ounce_tests::proxy::Setup;
use ounce_tests::tool;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// An OCSP response about `a` in `a.resp`, signed by itself.
fn respond(papers: &Papers) {
    let serial = tool::run("openssl", ["x509", "-noout", "-serial", "-in", &shown(papers, "a.crt")]);
    let serial = String::from_utf8_lossy(&serial.stdout).trim().replace("serial=", "");
    let index = format!("V\t391231235959Z\t\t{serial}\tunknown\t/CN=a.test\n");
    fs::write(papers.path("index"), index).expect("a file");
    papers.openssl(&["ocsp", "-no_nonce"], &["-issuer", "a.crt", "-cert", "a.crt", "-reqout", "a.req"]);
    papers.openssl(
        &["ocsp", "-ndays", "3"],
        &[
            "-index", "index", "-rsigner", "a.crt", "-rkey", "a.key", "-CA", "a.crt", "-reqin", "a.req",
            "-respout", "a.resp",
        ],
    );
}

fn shown(papers: &Papers, name: &str) -> String {
    papers.path(name).display().to_string()
}

/// The same response, as of years ago.
fn outdate(papers: &Papers, name: &str) {
    let mut bytes = fs::read(papers.path("a.resp")).expect("a response");
    // All its times are GeneralizedTime of 15 letters.
    for at in 0..bytes.len() - 6 {
        if bytes[at..].starts_with(b"\x18\x0f20") {
            bytes[at + 4..at + 6].copy_from_slice(b"20");
        }
    }
    fs::write(papers.path(name), bytes).expect("a file");
}

/// What `ounce -c` says of a listener.
fn check(inside: &str) -> (bool, String) {
    let listener = format!("ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{inside}End\n");
    let output = Setup::new().text(&listener).arguments(&["-c"]).command().output().expect("the program");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A response in the file that `OCSP` names, or beside the certificate, goes out to who asks; a reload brings the next
/// one; one that is past stays here.
#[test]
fn ocsp_responses_go_out_with_their_certificates() {
    let papers = Papers::new();
    respond(&papers);
    let stapled = "OCSP Response Status: successful";
    let proxy = start(&papers, &papers.line("OCSP", "a.resp"), &mirror());
    for version in ["-tls1_2", "-tls1_3"] {
        let told = s_client(&proxy, &[version, "-status"]);
        assert!(told.contains(stapled) && told.contains("Cert Status: good"), "{told}");
    }
    assert!(!s_client(&proxy, &[]).contains(stapled), "nobody asked");
    let proxy = start(&papers, "", &mirror());
    assert!(s_client(&proxy, &["-status"]).contains("OCSP response: no response sent"));
    fs::copy(papers.path("a.resp"), papers.path("a.pem.ocsp")).expect("a copy");
    proxy.reload().expect("a reload");
    assert!(s_client(&proxy, &["-status"]).contains(stapled), "beside the certificate");
    outdate(&papers, "a.pem.ocsp");
    proxy.reload().expect("a reload");
    assert!(s_client(&proxy, &["-status"]).contains("OCSP response: no response sent"), "past");
}

/// What is wrong with a response is told with its file: one of no use stops, one that is past is warned of.
#[test]
fn bad_ocsp_responses_are_reported() {
    let papers = Papers::new();
    respond(&papers);
    let (passed, told) = check(&(papers.line("Cert", "b.pem") + &papers.line("OCSP", "a.resp")));
    assert!(!passed && told.contains("a.resp: it is not about this certificate"), "{told}");
    let (passed, told) = check(&(papers.line("Cert", "a.pem") + &papers.line("OCSP", "a.crt")));
    assert!(!passed && told.contains("a.crt: no OCSP response in DER"), "{told}");
    outdate(&papers, "past.resp");
    let (passed, told) = check(&(papers.line("Cert", "a.pem") + &papers.line("OCSP", "past.resp")));
    assert!(passed && told.contains("past.resp: this OCSP response is not valid now"), "{told}");
}

/// The end of each certificate is in the metrics and in what the control socket says of the listener; one that is past is
/// warned of and served.
#[test]
fn ends_of_certificates_are_known() {
    let papers = Papers::new();
    papers.signed("past", "DNS:past.test", &["-days", "-1"]);
    let (passed, told) = check(&papers.line("Cert", "past.pem"));
    assert!(passed && told.contains("past.pem: the certificate has expired on "), "{told}");
    let proxy = start(&papers, &papers.line("Cert", "past.pem"), &mirror());
    proxy.problems().wait_for("a warning", |line| line.contains("past.pem: the certificate has expired"));
    let (_, listener) = proxy.control("GET", "/listener/1");
    let certificates = listener["certificates"].as_array().expect("a list").clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let now = i64::try_from(now).expect("a year before the end of time");
    let ends: Vec<i64> = certificates.iter().filter_map(|of| of["not_after"].as_i64()).collect();
    let day = 24 * 3600;
    assert!((ends[0] - now - 30 * day).abs() < day, "{certificates:?}");
    assert!((ends[1] - now + day).abs() < day, "{certificates:?}");
    assert_eq!(certificates[0]["names"][1], "*.a.test");
    assert_eq!(certificates[1]["file"], shown(&papers, "past.pem"));
    let socket = proxy.folder().join("control").display().to_string();
    let metrics = tool::run("curl", ["-sS", "--unix-socket", &socket, "http://h/metrics"]);
    let metrics = String::from_utf8_lossy(&metrics.stdout).into_owned();
    let line = metrics.lines().find(|line| {
        line.starts_with("ounce_tls_certificate_not_after_seconds{") && line.contains("past.test")
    });
    assert!(line.is_some_and(|line| line.ends_with(&format!(" {}", ends[1]))), "{metrics}");
}
