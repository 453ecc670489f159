//! The headers that tell a backend who asks (`HeaderOption`, pound.md section 10), with real requests. What is told of
//! TLS and of client certificates stands in `tls`.

use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup, backend};
use ounce_tests::wire;
use std::io::{Read, Write};

const NAMES: [&str; 3] = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port"];

/// All lines of the canned headers that the backend is sent, for a request with these fields.
fn sent(proxy: &Proxy, origin: &Origin, fields: &str) -> Vec<String> {
    let before = origin.count();
    proxy.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let request = origin.received().wait_len("a request", before + 1).remove(before);
    let is_canned = |name: &str| NAMES.iter().any(|canned| canned.eq_ignore_ascii_case(name));
    let lines = request.fields.0.iter().filter(|(name, _)| is_canned(name));
    lines.map(|(name, value)| format!("{name}: {value}")).collect()
}

/// What is added to a request without any, in this program.
fn ours(proxy: &Proxy) -> [String; 3] {
    let port = proxy.address().port();
    [
        "X-Forwarded-For: 127.0.0.1".to_owned(),
        format!("X-Forwarded-Proto: {}", wire::scheme()),
        format!("X-Forwarded-Port: {port}"),
    ]
}

#[test]
fn a_request_is_told_of_once() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    assert_eq!(sent(&proxy, &origin, ""), ours(&proxy));
}

/// Who asked before us stays, however often it was said; what was said of protocol and port does not.
#[test]
fn the_client_is_appended_and_everything_else_replaced() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    let [_, proto, port] = ours(&proxy);
    for (fields, told) in [
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1, 127.0.0.1"),
        ("x-forwarded-FOR: unknown, 192.0.2.1\r\n", "unknown, 192.0.2.1, 127.0.0.1"),
        ("X-Forwarded-For:\r\n", "127.0.0.1"),
    ] {
        let fields = format!(
            "{fields}X-Forwarded-Proto: gopher\r\nX-Forwarded-Proto: wais\r\nx-forwarded-port: 1\r\nX-Forwarded-Port: 2\r\n"
        );
        let mut lines = sent(&proxy, &origin, &fields);
        let at = lines
            .iter()
            .position(|line| line.to_lowercase().starts_with("x-forwarded-for:"))
            .expect("a line");
        assert_eq!(lines.remove(at).split_once(": ").map(|(_, value)| value), Some(told), "{fields}");
        assert!(lines.len() == 2 && lines.contains(&proto) && lines.contains(&port), "{fields}: {lines:?}");
    }
}

/// Two lines are one list in their order (RFC 9110 5.3): the last address is ours whatever a backend reads.
#[test]
fn the_client_comes_last_of_several_lines() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    let lines = sent(&proxy, &origin, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n");
    let values: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("X-Forwarded-For: "))
        .flat_map(|value| value.split(", "))
        .collect();
    assert_eq!(values, ["192.0.2.1", "192.0.2.2", "127.0.0.1"]);
}

/// Words apply from left to right, and a listener's in place of the global ones.
#[test]
fn header_option_chooses() {
    let forged = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Port: 1\r\n";
    let left = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Port: 1"];
    for (global, listener, added) in [
        ("none", "", false),
        ("no-forwarded", "", false),
        ("forwarded no-forwarded", "", false),
        ("none forwarded", "", true),
        ("all", "", true),
        ("no-forwarded all", "", true),
        ("none", "HeaderOption forwarded\n", true),
        ("all", "HeaderOption none\n", false),
        ("ssl", "", true),
        ("no-ssl", "", true),
    ] {
        let origin = Origin::named("a");
        let inside = format!("{listener}Service\n{}End\n", backend(origin.address(), ""));
        let proxy = Setup::new().global("HeaderOption", global).listener(&inside).start();
        let lines = sent(&proxy, &origin, forged);
        let wanted = format!("X-Forwarded-Port: {}", proxy.address().port());
        assert_eq!(lines.contains(&wanted), added, "{global}, {listener}: {lines:?}");
        if !added {
            assert_eq!(lines, left, "{global}, {listener}");
        }
    }
}

/// A peer without an address has no port that it came to, and is called by no address.
#[test]
fn over_a_unix_socket_there_is_no_port_to_tell() {
    let origin = Origin::named("a");
    let setup = Setup::new();
    let path = setup.folder().join("front.socket");
    let proxy = setup
        .backends(&[origin.address()])
        .text(&format!(
            "ListenHTTP\nAddress \"{}\"\nService\n{}End\nEnd\n",
            path.display(),
            backend(origin.address(), "")
        ))
        .start();
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("a listener");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 1\r\nConnection: close\r\n\r\n")
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = origin.received().wait_len("a request", 1).remove(0);
    assert_eq!(request.fields.all("X-Forwarded-Port").count(), 0, "{:?}", request.fields);
    assert_eq!(request.fields.get("X-Forwarded-Proto"), Some("http"));
    drop(proxy);
}
