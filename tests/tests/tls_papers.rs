//! Certificates themselves: what is said of them, in handshakes and to their owner.

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use ounce_tests::papers::{Papers, mirror, respond, s_client, start};
use ounce_tests::proxy::Setup;
use ounce_tests::tool;
use std::fs;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

fn shown(papers: &Papers, name: &str) -> String {
    papers.path(name).display().to_string()
}

/// The same response, as of years ago, signed by this key.
fn outdate(papers: &Papers, name: &str, key: &str) {
    let mut bytes = fs::read(papers.path("a.resp")).expect("a response");
    // All its times are GeneralizedTime of 15 letters.
    for at in 0..bytes.len() - 6 {
        if bytes[at..].starts_with(b"\x18\x0f20") {
            bytes[at + 4..at + 6].copy_from_slice(b"20");
        }
    }
    let [signed, signature] = parts(&bytes);
    let key = PKey::private_key_from_pem(&fs::read(papers.path(key)).expect("a key")).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
    let fresh = signer.sign_oneshot_to_vec(&bytes[signed]).expect("a signature");
    bytes[signature.end - fresh.len()..signature.end].copy_from_slice(&fresh);
    fs::write(papers.path(name), bytes).expect("a file");
}

/// What is signed of a response, and the signature: the first and the third thing inside of the octets that it is.
fn parts(response: &[u8]) -> [Range<usize>; 2] {
    let octets = inside(response, &[0, 1, 0, 1, 0]);
    [0, 2].map(|number| inside_of(response, octets.clone(), number))
}

/// Follows a way through DER: at each step, what is inside of the thing with this number.
fn inside(der: &[u8], way: &[usize]) -> Range<usize> {
    way.iter().fold(0..der.len(), |range, number| contents(der, inside_of(der, range, *number)))
}

/// The thing with this number in a range.
fn inside_of(der: &[u8], range: Range<usize>, number: usize) -> Range<usize> {
    let mut start = range.start;
    for _ in 0..number {
        start = contents(der, start..range.end).end;
    }
    start..contents(der, start..range.end).end
}

/// What is inside of the thing that a range begins with.
fn contents(der: &[u8], range: Range<usize>) -> Range<usize> {
    let first = usize::from(der[range.start + 1]);
    let more = first.saturating_sub(0x80);
    let start = range.start + 2 + more;
    let length = der[start - more..start].iter().fold(0, |length, byte| length * 256 + usize::from(*byte));
    start..start + if more == 0 { first } else { length }
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
    respond(&papers, "a", "a.resp");
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
    outdate(&papers, "a.pem.ocsp", "a.key");
    proxy.reload().expect("a reload");
    assert!(s_client(&proxy, &["-status"]).contains("OCSP response: no response sent"), "past");
}

/// What is wrong with a response is told with its file: one of no use stops, one that is past is warned of.
#[test]
fn bad_ocsp_responses_are_reported() {
    let papers = Papers::new();
    respond(&papers, "a", "a.resp");
    let (passed, told) = check(&(papers.line("Cert", "b.pem") + &papers.line("OCSP", "a.resp")));
    assert!(!passed && told.contains("a.resp: it is not about this certificate"), "{told}");
    let (passed, told) = check(&(papers.line("Cert", "a.pem") + &papers.line("OCSP", "a.crt")));
    assert!(!passed && told.contains("a.crt: no OCSP response in DER"), "{told}");
    outdate(&papers, "past.resp", "a.key");
    let (passed, told) = check(&(papers.line("Cert", "a.pem") + &papers.line("OCSP", "past.resp")));
    assert!(passed && told.contains("past.resp: this OCSP response is not valid now"), "{told}");
    // One that the issuer has not signed, whatever it says of itself.
    outdate(&papers, "foreign.resp", "b.key");
    let mut bytes = fs::read(papers.path("a.resp")).expect("a response");
    let [_, signature] = parts(&bytes);
    bytes[signature.end - 1] ^= 1;
    fs::write(papers.path("broken.resp"), bytes).expect("a file");
    for name in ["foreign.resp", "broken.resp"] {
        let (passed, told) = check(&(papers.line("Cert", "a.pem") + &papers.line("OCSP", name)));
        assert!(!passed && told.contains(&format!("{name}: ")), "{told}");
    }
    let (_, told) = check(&(papers.line("Cert", "a.pem") + &papers.line("OCSP", "foreign.resp")));
    assert!(told.contains("foreign.resp: the issuer of the certificate has not signed it"), "{told}");
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
