//! The example configurations in the words of Pound 2.6: each loads unchanged and does what its comment says.

use ounce_tests::example::Example;
use std::collections::BTreeSet;

const HOST: &str = "Host: example.com";

#[test]
fn https_in_front_of_http() {
    let example = Example::start("old-https");
    assert_eq!(example.backend_of_https("/"), "127.0.0.1:80");
    let sent = example.origin("127.0.0.1:80").received().wait_len("a request", 1).remove(0);
    assert_eq!(sent.fields.get("X-Forwarded-Proto"), Some("https"));
}

#[test]
fn three_servers() {
    let example = Example::start("old-three-servers");
    for _ in 0..150 {
        let _ = example.backend_of("/", &[HOST]);
    }
    let count = |address: &str| example.origin(address).count();
    let (first, second, third) = (count("192.0.2.10:80"), count("192.0.2.11:80"), count("192.0.2.12:80"));
    assert_eq!(first + second + third, 150);
    // Nine parts of nineteen are 71; five are 39.
    assert!(third > 45 && first > 10 && second > 10, "{first} {second} {third}");
    assert!(example.backend_of_https("/").starts_with("192.0.2.1"));
}

#[test]
fn images_a_redirect_and_a_session() {
    let example = Example::start("old-images");
    assert_eq!(example.backend_of("/a/b.gif", &[HOST]), "192.0.2.12:80");
    let answer = example.ask("GET", "/forbidden/x?y", &[HOST]);
    assert_eq!(
        (answer.status, answer.fields.get("Location")),
        (302, Some("https://elsewhere.example/forbidden/x?y"))
    );
    let user = "Authorization: Basic dXNlcjpwYXNz";
    let first = example.backend_of("/", &[HOST, user]);
    assert!(["192.0.2.10:80", "192.0.2.11:80"].contains(&first.as_str()), "{first}");
    let all: BTreeSet<String> = (0..10).map(|_| example.backend_of("/", &[HOST, user])).collect();
    assert_eq!(all, BTreeSet::from([first]));
}

#[test]
fn a_whole_site() {
    let example = Example::start("old-complex");
    assert_eq!(example.backend_of("/x.jpg", &[HOST]), "192.0.2.10:80");
    let host = "Host: www.myserver.example";
    let first = example.backend_of("/a?sessid=1", &[host]);
    assert!(["192.0.2.11:80", "192.0.2.12:80"].contains(&first.as_str()), "{first}");
    let all: BTreeSet<String> =
        (0..10).map(|n| example.backend_of(&format!("/{n}?sessid=1"), &[host])).collect();
    assert_eq!(all, BTreeSet::from([first]));
    let cookie = "Cookie: userid=ann";
    let first = example.backend_of("/", &[HOST, cookie]);
    assert!(first.starts_with("192.0.2.2"), "{first}");
    let all: BTreeSet<String> = (0..10).map(|_| example.backend_of("/", &[HOST, cookie])).collect();
    assert_eq!(all, BTreeSet::from([first]));
    assert!(example.backend_of_https("/").starts_with("192.0.2.2"));
    assert!(example.proxy.lines().is_empty(), "LogLevel 0");
}

#[test]
fn virtual_hosts() {
    let example = Example::start("old-virtual-hosts");
    let shop = "Host: shop.example.com:80";
    assert_eq!(example.backend_of("/", &[shop]), "192.0.2.10:8080");
    assert_eq!(example.backend_of("/", &[shop, "User-Agent: BadBot/2"]), "503");
    assert_eq!(example.backend_of("/pictures/1", &["Host: WWW.example.com"]), "192.0.2.11:8080");
    assert_eq!(example.ask("GET", "/", &["Host: www.example.com"]).text(), "<h1>sorry</h1>");
    let sent = example.origin("192.0.2.10:8080").received().wait_len("a request", 1).remove(0);
    assert_eq!(sent.fields.get("Front-End-Https"), Some("off"));
    assert_eq!(sent.fields.get("X-Forwarded-For"), None);
}

#[test]
fn webdav() {
    let example = Example::start("old-webdav");
    let fields = [HOST, "Destination: http://example.com/b"];
    assert_eq!(example.ask("MOVE", "/a", &fields).status, 200);
    let origin = example.origin("192.0.2.10:80");
    let sent = origin.received().wait_len("a request", 1).remove(0);
    assert_eq!(sent.fields.get("Destination"), Some(format!("http://{}/b", origin.address()).as_str()));
    assert_eq!(example.ask("SUBSCRIBE", "/a", &[HOST]).status, 405);
    assert_eq!(example.ask("PUT", "/a", &[HOST, "Content-Length: 1048577"]).status, 413);
}

#[test]
fn an_emergency() {
    let example = Example::start("old-emergency");
    assert!(example.backend_of("/", &[HOST]).starts_with("192.0.2.1"));
    for address in ["192.0.2.10:80", "192.0.2.11:80"] {
        example.origin(address).stop();
    }
    assert_eq!(example.backend_of("/", &[HOST]), "192.0.2.99:80");
    example.origin("192.0.2.99:80").stop();
    let answer = example.ask("GET", "/", &[HOST]);
    assert_eq!((answer.status, answer.text()), (503, "<h1>sorry</h1>".to_owned()));
}
