//! The example configurations of the manual: each loads as it stands and does what its comment says.

use ounce_tests::barrier::until;
use ounce_tests::client::Client;
use ounce_tests::dns::{Dns, addresses};
use ounce_tests::example::{self, Example, names};
use ounce_tests::origin::{Exchange, Origin};
use ounce_tests::papers::Papers;
use ounce_tests::port::Port;
use ounce_tests::proxy::{Setup, service};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;

const HOST: &str = "Host: example.com";

/// An example that no test below starts would be shown to people unproven.
#[test]
fn each_example_has_a_test() {
    let tests = [include_str!("examples.rs"), include_str!("examples_old.rs")].concat();
    for name in names() {
        assert!(tests.contains(&format!("(\"{name}\"")), "no test starts {name}");
    }
}

/// Answers with the request's line and fields, so that a test sees what a backend sees.
fn mirror(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.skip_body()?;
    let head = String::from_utf8_lossy(&exchange.request.raw).into_owned();
    exchange.answer(200, &[], head.as_bytes())
}

/// The lines that a backend of a mirroring example gets.
fn seen(example: &Example, target: &str, fields: &[&str]) -> Vec<String> {
    let answer = example.ask("GET", target, fields);
    assert_eq!(answer.status, 200, "{target}");
    answer.text().lines().map(str::to_owned).collect()
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|known| known == line)
}

#[test]
fn simple() {
    let example = Example::start("simple");
    assert_eq!(example.backend_of("/", &[HOST]), "192.0.2.10:8080");
}

#[test]
fn virtual_hosts() {
    let example = Example::start("virtual-hosts");
    for (host, backend) in [
        ("shop.example.com", "192.0.2.10:80"),
        ("SHOP.example.com:8080", "192.0.2.10:80"),
        ("blogs.example.com", "192.0.2.11:80"),
        ("ann.blogs.example.com", "192.0.2.11:80"),
        ("example.com", "404"),
        ("shop.example.com.evil.example", "404"),
    ] {
        assert_eq!(example.backend_of("/", &[&format!("Host: {host}")]), backend, "{host}");
    }
    assert_eq!(example.ask("GET", "/", &["Host: nobody"]).text(), "<h1>sorry</h1>");
}

#[test]
fn networks() {
    let example = Example::start("acl");
    assert_eq!(example.backend_of("/admin/users", &[HOST]), "192.0.2.10:80");
    assert_eq!(example.backend_of("/admin", &[HOST]), "404");
    assert_eq!(example.backend_of("/", &[HOST]), "192.0.2.11:80");
}

#[test]
fn passwords() {
    let example = Example::start_with("passwords", |_| Some(mirror));
    let right = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    let wrong = "Authorization: Basic QWxhZGRpbjpzaHV0";
    for fields in [&[HOST][..], &[HOST, wrong]] {
        let answer = example.ask("GET", "/inner/page", fields);
        assert_eq!((answer.status, answer.text().as_str()), (401, "<h1>who are you?</h1>"));
        assert_eq!(answer.fields.get("WWW-Authenticate"), Some("Basic realm=\"inner part\""));
    }
    let lines = seen(&example, "/inner/page", &[HOST, right]);
    assert!(has(&lines, "X-User: Aladdin"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("Authorization")), "{lines:?}");
    assert_eq!(example.ask("GET", "/page", &[HOST]).status, 200);
}

#[test]
fn rates() {
    let example = Example::start("rates");
    let statuses = |method: &str, target: &str, fields: &[&str], count: usize| {
        let fields = [&[HOST, "Content-Length: 0"], fields].concat();
        (0..count).map(|_| example.ask(method, target, &fields).status).collect::<Vec<_>>()
    };
    assert_eq!(statuses("POST", "/login", &[], 6), [200, 200, 200, 200, 200, 429]);
    assert_eq!(statuses("GET", "/login", &[], 1), [200]);
    // More come meanwhile, but not as fast as they are asked for in a row.
    let one = statuses("GET", "/api/x", &["X-Api-Key: one"], 100);
    assert!(one.iter().all(|status| *status == 200), "{one:?}");
    assert_eq!(statuses("GET", "/api/x", &["X-Api-Key: two"], 1), [200]);
}

#[test]
fn match_and_not() {
    let example = Example::start("match-not");
    let ask = |method: &str, target: &str, fields: &[&str]| {
        let fields = [&[HOST, "Content-Length: 0"], fields].concat();
        example.ask(method, target, &fields).fields.get("X-Origin").unwrap_or_default().to_owned()
    };
    let (writers, readers) = ("192.0.2.10:80", "192.0.2.11:80");
    assert_eq!(ask("PUT", "/a", &[]), writers);
    assert_eq!(ask("POST", "/a", &[]), writers);
    assert_eq!(ask("POST", "/search", &[]), readers);
    assert_eq!(ask("GET", "/a", &[]), readers);
    assert_eq!(ask("PUT", "/a", &["X-Read-Only: yes"]), readers);
    assert_eq!(ask("PUT", "/a", &["X-Read-Only: no"]), writers);
}

#[test]
fn back_references() {
    let example = Example::start_with("back-references", |_| Some(mirror));
    let lines = seen(&example, "/pictures/1", &["Host: ann.home.example.com"]);
    assert_eq!(lines[0], "GET /~ann/pictures/1 HTTP/1.1");
    assert!(has(&lines, "Host: www.example.com"), "{lines:?}");
    let lines = seen(&example, "/2006/08/summer?x", &[HOST]);
    assert_eq!(lines[0], "GET /article?year=2006&month=08&title=summer HTTP/1.1");
    let answer = example.ask("GET", "/old/a/b", &["Host: example.com:8080"]);
    assert_eq!((answer.status, answer.fields.get("Location")), (301, Some("http://example.com/new/a/b")));
}

#[test]
fn rewriting() {
    let example = Example::start_with("rewrite", |_| {
        Some(|exchange| {
            exchange.skip_body()?;
            let kind =
                if exchange.request.target.contains("script") { "text/javascript" } else { "text/html" };
            let head = exchange.request.raw.clone();
            exchange.answer(200, &[("Content-Type", kind), ("X-Powered-By", "magic")], &head)
        })
    });
    for (target, line, field) in [
        ("/api/v1/a", "GET /v1/a HTTP/1.1", "X-Api: 1"),
        ("/api/users/b", "GET /v2/users/b HTTP/1.1", "X-Api: 2"),
        ("/c", "GET /c HTTP/1.1", "X-Api: none"),
    ] {
        let lines = seen(&example, target, &[HOST]);
        assert_eq!(lines[0], line);
        assert!(has(&lines, field), "{target}: {lines:?}");
    }
    assert!(has(&seen(&example, "/c", &[HOST, "X-Api: own"]), "X-Api: own"));
    let answer = example.ask("GET", "/c", &[HOST]);
    assert_eq!(answer.fields.get("X-Powered-By"), None);
    assert_eq!(answer.fields.get("Cache-Control"), Some("no-cache"));
    let answer = example.ask("GET", "/script", &[HOST]);
    assert_eq!(answer.fields.get("Cache-Control"), Some("max-age=86400"));
}

#[test]
fn queries() {
    let example = Example::start_with("query", |_| Some(mirror));
    let line = |target: &str| seen(&example, target, &[HOST]).remove(0);
    assert_eq!(line("/a?x=1&lang=fr&y=2"), "GET /fr/a?x=1&y=2 HTTP/1.1");
    assert_eq!(line("/search?q=a"), "GET /search?q=a&from=example.com HTTP/1.1");
    assert_eq!(line("/b?session=1"), "GET /b HTTP/1.1");
}

#[test]
fn named_backends() {
    let example = Example::start("named-backends");
    assert_eq!(example.backend_of("/reports/1", &[HOST]), "192.0.2.11:8080");
    let mut counts = BTreeMap::new();
    for _ in 0..10 {
        *counts.entry(example.backend_of("/", &[HOST])).or_insert(0) += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [5, 5]);
}

#[test]
fn combined_headers() {
    let example = Example::start_with("combine-headers", |_| Some(mirror));
    let lines = seen(&example, "/", &[HOST, "X-Tags: a, b", "Accept: text/html", "X-Tags: c"]);
    assert!(has(&lines, "X-Tags: a, b, c"), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("X-Tags")).count(), 1);
}

#[test]
fn balancing() {
    let example = Example::start("balancing");
    let mut counts = BTreeMap::new();
    for _ in 0..30 {
        *counts.entry(example.backend_of("/", &[HOST])).or_insert(0) += 1;
    }
    let shares: Vec<(&str, i32)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(shares, [("192.0.2.10:80", 10), ("192.0.2.11:80", 20)]);
    for address in ["192.0.2.10:80", "192.0.2.11:80"] {
        example.origin(address).stop();
    }
    assert_eq!(example.backend_of("/", &[HOST]), "192.0.2.99:80");
}

#[test]
fn sessions() {
    let example = Example::start_with("sessions", |address| {
        (address == "192.0.2.10:80").then_some(|exchange| {
            exchange.skip_body()?;
            exchange.answer(
                200,
                &[("X-Origin", "192.0.2.10:80"), ("Set-Cookie", "JSESSIONID=one; Path=/")],
                b"",
            )
        })
    });
    // Until the first server has given its cookie away.
    for _ in 0..200 {
        if example.backend_of("/login", &[HOST]) == "192.0.2.10:80" {
            break;
        }
    }
    for _ in 0..10 {
        let cookies = "Cookie: a=b; JSESSIONID=one";
        assert_eq!(example.backend_of("/", &[HOST, cookies]), "192.0.2.10:80");
    }
}

#[test]
fn from_http_to_https() {
    let example = Example::start("to-https");
    let answer = example.ask("GET", "/a/b?c=d", &["Host: example.com"]);
    assert_eq!((answer.status, answer.fields.get("Location")), (301, Some("https://example.com/a/b?c=d")));
    assert_eq!(example.backend_of_https("/a"), "192.0.2.10:80");
}

#[test]
fn log_formats() {
    let example = Example::start("log-format");
    assert_eq!(example.ask("GET", "/health", &[HOST]).status, 200);
    let _ = example.ask("GET", "/a", &[HOST]);
    let line = example.proxy.lines().wait_len("a line", 1).remove(0);
    assert!(
        line.ends_with(|c: char| c.is_ascii_digit()) && line.contains("127.0.0.1 GET /a -> 200 0."),
        "{line}"
    );
    let mut client = Client::connect(example.listener("203.0.113.1:8080"));
    let _ = client.get("/b");
    let line = example.proxy.lines().wait_for("an object", |line| line.contains("\"/b\""));
    let object = &line[line.find('{').expect("an object")..];
    let object: serde_json::Value = serde_json::from_str(object).expect("JSON");
    assert_eq!((&object["method"], &object["status"]), (&"GET".into(), &200.into()), "{object}");
}

#[test]
fn trusted_proxies() {
    let example = Example::start_with("trusted-proxies", |_| Some(mirror));
    let _ = example.ask("GET", "/", &[HOST, "X-Forwarded-For: 198.51.100.9"]);
    assert_eq!(example.origin("192.0.2.10:80").count(), 1);
    let lines = seen(&example, "/", &[HOST, "X-Forwarded-For: 203.0.113.77"]);
    assert_eq!(example.origin("192.0.2.11:80").count(), 1);
    assert!(has(&lines, "X-Client: 203.0.113.77"), "{lines:?}");
    let line = example.proxy.lines().wait_len("two lines", 2).remove(1);
    assert!(line.contains("203.0.113.77 - - ["), "{line}");
}

#[test]
fn error_pages() {
    let example = Example::start_with("error-pages", |_| {
        Some(|exchange| exchange.answer(404, &[("Content-Type", "text/plain")], b"the server's own"))
    });
    let page = |target: &str| {
        let answer = example.ask("GET", target, &[HOST]);
        (answer.status, answer.text())
    };
    assert_eq!(page("/closed/for/ever"), (503, "<h1>sorry</h1>".to_owned()));
    assert_eq!(page("/lost"), (404, "<h1>missing</h1>".to_owned()));
}

#[test]
fn constants() {
    let example = Example::start_with("constants", |_| Some(mirror));
    assert!(has(&seen(&example, "/shop/1", &["Host: x"]), "Host: shop.example.com"));
    assert!(has(&seen(&example, "/", &["Host: x"]), "Host: example.com"));
}

#[test]
fn conditions() {
    let example = Example::start_with("conditions", |_| Some(mirror));
    let phone = "User-Agent: Mozilla (iPhone; x)";
    let _ = seen(&example, "/", &[HOST, phone]);
    assert_eq!(example.origin("192.0.2.10:80").count(), 1);
    let _ = seen(&example, "/", &["Host: example.com:8080"]);
    assert_eq!(example.origin("192.0.2.11:80").count(), 1);
    let lines = seen(&example, "/desktop", &[HOST, phone]);
    assert_eq!(example.origin("192.0.2.12:80").count(), 1);
    assert!(has(&lines, "X-Desktop: yes"), "{lines:?}");
    assert!(!has(&seen(&example, "/", &[HOST]), "X-Desktop: yes"));
}

#[test]
fn limits() {
    let example = Example::start("limits");
    assert_eq!(example.ask("GET", "/a?b=c", &[HOST]).status, 200);
    assert_eq!(example.ask("GET", "/a%20b", &[HOST]).status, 501);
    assert_eq!(example.ask("DELETE", "/a", &[HOST]).status, 405);
    assert_eq!(example.ask("GET", &format!("/{}", "a".repeat(300)), &[HOST]).status, 414);
    assert_eq!(example.ask("POST", "/a", &[HOST, "Content-Length: 2000"]).status, 413);
}

#[test]
fn own_services() {
    let example = Example::start("own-services");
    let text = |target: &str, host: &str| {
        let answer = example.ask("GET", target, &[&format!("Host: {host}")]);
        assert_eq!(answer.status, 200, "{target}");
        (answer.fields.get("Content-Type").unwrap_or_default().to_owned(), answer.text())
    };
    let site = "example.com";
    assert_eq!(text("/.well-known/acme-challenge/file.txt", site).1, "from a file");
    assert_eq!(text("/static/file.txt", site), ("text/plain".to_owned(), "from a file".to_owned()));
    let (kind, metrics) = text("/metrics", site);
    assert!(kind.starts_with("application/openmetrics-text") && metrics.ends_with("# EOF\n"), "{kind}");
    let (kind, listeners) = text("/listener/", "control.example.com");
    assert!(kind == "application/json" && listeners.contains("\"metrics\""), "{kind}: {listeners}");
    assert_eq!(example.backend_of("/listener/", &["Host: example.com"]), "192.0.2.10:8080");
    assert_eq!(example.backend_of("/static/absent", &["Host: example.com"]), "404");
}

/// As [`Example`], but what answers over TLS has certificates that the example speaks of.
#[test]
fn https_backends() {
    let papers = Papers::new();
    papers.signed("internal", "DNS:internal.example.com", &["-days", "30"]);
    let origins = ["public", "internal"].map(Origin::named);
    let secured = |origin: &Origin, certificate: &str| {
        let cert = papers.line("Cert", certificate);
        let inside = service(&[origin.address()]);
        Setup::new()
            .text(&format!("ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{cert}{inside}End\n"))
            .start()
    };
    let public = secured(&origins[0], "b.pem");
    for (certificate, answer) in [("internal.pem", (200, "internal")), ("a.pem", (503, ""))] {
        let internal = secured(&origins[1], certificate);
        let setup = Setup::new();
        let text = example::with_files(&example::text("https-backends"), setup.folder());
        fs::copy(papers.path("ca.crt"), setup.folder().join("etc/authority.pem")).expect("a file");
        example::check("https-backends", &text, setup.folder());
        let text = text
            .replace("203.0.113.1\n    Port    80", "127.0.0.1\n    Port    {port}")
            .replace(
                "192.0.2.11\n            Port       443",
                &format!("127.0.0.1\nPort {}", internal.address().port()),
            )
            .replace(
                "192.0.2.10\n            Port    443",
                &format!("127.0.0.1\nPort {}", public.address().port()),
            );
        let proxy = setup.text(&text).start();
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.get("/").text(), "public");
        let seen = client.get("/internal/a");
        assert_eq!(
            (seen.status, if seen.status == 200 { seen.text() } else { String::new() }),
            (answer.0, answer.1.into())
        );
    }
}

/// As [`Example`], but with a name server that knows the name.
#[test]
fn looked_up() {
    let (setup, dns) = (Setup::new(), Dns::start());
    let (port, spare) = (Arc::new(Port::reserve()), Origin::named("spare"));
    let origins = ["127.0.0.2", "127.0.0.3"].map(|ip| Origin::at(Arc::clone(&port), ip));
    dns.say("app.example.com", addresses(60, &["127.0.0.2", "127.0.0.3"]));
    let text = example::with_files(&example::text("resolve"), setup.folder());
    example::check("resolve", &text, setup.folder());
    let text = text
        .replace("203.0.113.1\n    Port    80", "127.0.0.1\n    Port    {port}")
        .replace("Port          8080", &format!("Port {}", port.number()))
        .replace(
            "192.0.2.10\n            Port    8080",
            &format!("127.0.0.1\nPort {}", spare.address().port()),
        );
    let proxy = setup.text(&dns.resolver()).text(&text).start();
    let mut client = Client::connect(proxy.address());
    until("both addresses to be used", || {
        let _ = client.get("/");
        origins.iter().all(|origin| origin.count() > 0).then_some(())
    });
    let before = origins.each_ref().map(Origin::count);
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(origins.each_ref().map(Origin::count), before.map(|count| count + 10));
    for origin in &origins {
        origin.stop();
    }
    until("the spare server", || (client.get("/").text() == "spare").then_some(()));
}
