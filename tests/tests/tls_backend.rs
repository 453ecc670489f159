//! TLS towards backends: whose certificates are taken, and what an end without close_notify means.

use ounce_tests::papers::{Papers, mirror};
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup, backend, service};
use ounce_tests::tool::Server;
use std::fs;
use std::net::SocketAddr;

/// Certificates for backends: two names, an address, and one that is past.
fn papers() -> Papers {
    let papers = Papers::new();
    papers.signed("right", "DNS:right.test", &["-days", "30"]);
    papers.signed("address", "IP:127.0.0.1", &["-days", "30"]);
    papers.signed("past", "DNS:right.test", &["-days", "-1"]);
    papers
}

fn inner_text(papers: &Papers, name: &str, origin: SocketAddr) -> String {
    let cert = papers.line("Cert", &format!("{name}.pem"));
    format!("ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{cert}{}End\n", service(&[origin]))
}

fn outer(address: SocketAddr, inside: &str) -> Proxy {
    let inside = backend(address, &format!("HTTPS\n{inside}"));
    Setup::new().listener(&format!("Service\n{inside}End")).start()
}

/// Each way in which a certificate can be wrong refuses the backend, in words; without `VerifyPeer` none does.
#[test]
fn certificates_of_backends_are_verified() {
    let papers = papers();
    let origin = mirror();
    let list = papers.line("VerifyList", "ca.crt");
    let right = "ServerName \"right.test\"\n";
    for (shown, inside, complaint) in [
        ("right", format!("VerifyPeer yes\n{list}{right}"), None),
        ("address", format!("VerifyPeer yes\n{list}"), None),
        ("b", right.to_owned(), None),
        ("past", format!("VerifyPeer no\n{right}"), None),
        ("address", format!("VerifyPeer yes\n{list}{right}"), Some("hostname mismatch")),
        ("right", format!("VerifyPeer yes\n{list}"), Some("IP address mismatch")),
        ("past", format!("VerifyPeer yes\n{list}{right}"), Some("certificate has expired")),
        ("b", format!("VerifyPeer yes\n{list}ServerName \"b.test\"\n"), Some("self-signed certificate")),
        ("right", format!("VerifyPeer yes\n{right}"), Some("unable to get local issuer certificate")),
    ] {
        let inner = Setup::new().text(&inner_text(&papers, shown, origin.address())).start();
        let outer = outer(inner.address(), &inside);
        let answer = outer.client().get("/");
        let Some(complaint) = complaint else {
            assert_eq!(answer.status, 200, "{shown} {inside}");
            continue;
        };
        assert_eq!(answer.status, 503, "{shown} {inside}");
        let words = format!("its certificate is not trusted: {complaint}");
        outer.problems().wait_for(&words, |line| line.contains("is dead") && line.contains(&words));
    }
}

/// A backend that does not want us is alive, as long as nobody asked whether it is the right one: whatever its certificate.
#[test]
fn backends_that_turn_us_away_are_alive() {
    let papers = papers();
    let port = Port::reserve();
    let (address, pem) = (port.address(), papers.path("b.pem").display().to_string());
    let words = ["openssl", "s_server", "-quiet", "-tls1_2", "-www", "-Verify", "1", "-accept"];
    let files = [&address.to_string(), "-cert", &pem];
    let words = words.into_iter().chain(files).map(str::to_owned).collect();
    let _server = Server::start(port, words);
    let outer = outer(address, "");
    for _ in 0..3 {
        assert_eq!(outer.client().get("/").status, 503);
    }
    let said = outer.problems().all();
    assert!(said.iter().filter(|line| line.contains("link: TLS failed")).count() == 3, "{said:?}");
}

/// `CRLlist` refuses a backend whose certificate was revoked, and no other.
#[test]
fn revoked_backends_are_refused() {
    let papers = papers();
    let origin = mirror();
    papers.revoke("right", "ca.crl");
    let lists = papers.line("VerifyList", "ca.crt") + &papers.line("CRLlist", "ca.crl");
    for (shown, name, status) in [("right", "ServerName \"right.test\"\n", 503), ("address", "", 200)] {
        let inner = Setup::new().text(&inner_text(&papers, shown, origin.address())).start();
        let outer = outer(inner.address(), &format!("VerifyPeer yes\n{lists}{name}"));
        assert_eq!(outer.client().get("/").status, status, "{shown}");
        if status == 503 {
            outer.problems().wait_for("why", |line| line.contains("certificate revoked"));
        }
    }
}

/// A backend that shows the wrong certificate is passed over, stays dead while it does, and comes back with the right one.
#[test]
fn probes_look_at_certificates_too() {
    let papers = papers();
    let origin = mirror();
    let mut inner = Setup::new().text(&inner_text(&papers, "past", origin.address())).start();
    let verified =
        format!("HTTPS\nVerifyPeer yes\nServerName \"right.test\"\n{}", papers.line("VerifyList", "ca.crt"));
    let both = backend(inner.address(), &verified) + &backend(origin.address(), "");
    let outer = Setup::new().listener(&format!("Service\n{both}End")).start();
    for _ in 0..20 {
        assert_eq!(outer.client().get("/").status, 200);
    }
    outer.problems().wait_for("a death", |line| line.contains("is dead: its certificate is not trusted"));
    inner.setup().set_text(&inner_text(&papers, "right", origin.address()));
    assert!(!outer.problems().all().iter().any(|line| line.contains("alive again")));
    inner.reload().expect("a reload");
    outer.problems().wait_for("a return", |line| line.contains("is alive again"));
    assert_eq!(outer.client().get("/").status, 200);
}

/// A server over TLS that says `answer` to each request and ends, with close_notify or without.
const SERVER: &str = r#"
import socket, ssl, sys
port, pem, notify, answer = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "yes", sys.argv[4].encode().decode("unicode_escape").encode()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(pem)
listener = socket.create_server(("127.0.0.1", port), reuse_port=True)
while True:
    plain, _ = listener.accept()
    try:
        link = context.wrap_socket(plain, server_side=True)
        while b"\r\n\r\n" not in link.recv(65536): pass
        link.sendall(answer)
        if notify: link.unwrap()
        link.close()
    except OSError:
        pass
"#;

fn server(papers: &Papers, notify: bool, answer: &str) -> Server {
    let port = Port::reserve();
    let script = papers.path("server.py");
    fs::write(&script, SERVER).expect("a file");
    let [script, pem] = [script, papers.path("b.pem")].map(|path| path.display().to_string());
    let (number, notify) = (port.number().to_string(), if notify { "yes" } else { "no" });
    let words = ["python3", &script, &number, &pem, notify, answer];
    Server::start(port, words.map(str::to_owned).to_vec())
}

/// A body that ends where its connection does is complete only with close_notify; one with a length is either way
/// (RFC 9112 9.8).
#[test]
fn an_end_without_close_notify_cuts_a_body_short() {
    let papers = Papers::new();
    let whole = |notify: bool, answer: &str, request: &str| {
        let server = server(&papers, notify, answer);
        let outer = outer(server.port().address(), "");
        let mut client = outer.client();
        client.send(request);
        client.read_answer(false).map(|answer| answer.body).ok()
    };
    let until_close = "HTTP/1.1 200 OK\\r\\n\\r\\nbody";
    let with_length = "HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nbody";
    for version in ["1.1", "1.0"] {
        let request = format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n");
        assert_eq!(whole(true, until_close, &request).as_deref(), Some(&b"body"[..]), "{version}");
        assert_eq!(whole(false, until_close, &request), None, "{version}");
        assert_eq!(whole(false, with_length, &request).as_deref(), Some(&b"body"[..]), "{version}");
    }
}
