//! `LogFormat`, `LogLevel` by name and `LogSuppress`: what a line says of a request.

use ounce_tests::client::Client;
use ounce_tests::origin::Origin;
use ounce_tests::papers::{Papers, curl, text};
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup, backend, listener, service};
use serde_json::Value;

/// The program with one format, in front of one backend.
fn start(switch: &str, format: &str) -> (Origin, Proxy) {
    let origin = Origin::named("hello");
    let inside = format!("LogLevel \"own\"\nService \"main\"\n{}End\n", backend(origin.address(), ""));
    let format = format!("{switch} \"own\" \"{format}\"");
    (origin, Setup::new().global("LogFormat", &format).listener(&inside).start())
}

fn first_line(proxy: &Proxy) -> String {
    proxy.lines().wait_len("a request line", 1).remove(0)
}

#[test]
fn a_line_says_what_its_format_asks_for() {
    let (origin, proxy) = start("", "%m %U%q '%{X-Own}i' '%{X-None}I' %s %B %{request}B %A %H %u %%");
    let request = "POST /a?b HTTP/1.1\r\nHost: h\r\nX-Own: x\r\nContent-Length: 3\r\n\
                   Authorization: Basic dXNlcjpwYXNz\r\n\r\nabc";
    assert_eq!(proxy.client().ask(request).text(), "hello");
    assert_eq!(first_line(&proxy), "POST /a?b 'x' '-' 200 5 3 127.0.0.1 http user %");
    drop(origin);
}

/// Each conversion that the test above leaves out, a word each.
#[test]
fn every_other_conversion_says_its_part() {
    let format = "%a %h %l %p %P %q %r %v %b %>s | %{%Y}t %{begin:sec}t %{end:msec}t %{end:usec_frac}t %D %T %{f}T %{s}T \
                  %{ms}T %{us}T %{response}B %{link:ms}T %t";
    let (_origin, proxy) = start("", format);
    assert_eq!(proxy.client().ask("GET /a?b=c HTTP/1.1\r\nHost: h.example:81\r\n\r\n").status, 200);
    let line = first_line(&proxy);
    let (first, second) = line.split_once(" | ").expect("two parts");
    let port = proxy.address().port();
    let words: Vec<&str> = first.split(' ').collect();
    let port = port.to_string();
    assert_eq!(words[..4], ["127.0.0.1", "127.0.0.1", "-", port.as_str()], "{line}");
    assert!(proxy.workers().contains(&words[4].parse().expect("a process")), "{line}");
    let rest = words[5..].join(" ");
    assert_eq!(rest, "?b=c GET /a?b=c HTTP/1.1 h.example 5 HTTP/1.1 200 OK");
    let words: Vec<&str> = second.splitn(13, ' ').collect();
    assert!(words[0].len() == 4 && words[0].starts_with("20"), "{line}");
    let number = |at: usize| words[at].parse::<u64>().unwrap_or_else(|_| panic!("{at}: {line}"));
    assert!(number(2) / 1000 - number(1) <= number(4) / 1_000_000 + 1, "{line}");
    assert_eq!(words[3].len(), 6, "{line}");
    assert!(words[6].contains('.') && words[6].parse::<f64>().is_ok(), "{line}");
    assert_eq!((number(5), number(7)), (number(4) / 1_000_000, number(4) / 1_000_000), "{line}");
    assert_eq!((number(8), number(9), number(10)), (number(4) / 1000, number(4), 5), "{line}");
    assert!(number(11) <= number(8), "{line}");
    assert!(words[12].starts_with('[') && words[12].ends_with(']'), "{line}");
}

/// What a client's TLS is: of this connection, not of what the listener can.
#[test]
fn version_and_cipher_are_those_of_the_connection() {
    let (papers, origin) = (Papers::new(), Origin::named("a"));
    let cert = papers.line("Cert", "a.pem");
    let inside = format!("{cert}LogLevel \"own\"\n{}", service(&[origin.address()]));
    let plain = Port::reserve();
    let proxy = Setup::new()
        .global("LogFormat", "-json \"own\" \"%q %{SSL_PROTOCOL}x %{SSL_CIPHER}x text=%H\"")
        .text(&format!("ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{inside}End\n"))
        .text(&listener(&plain.number().to_string(), &inside.replace(&cert, "")))
        .start();
    for (words, version, cipher) in [
        ("--tlsv1.3 --tls13-ciphers TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"),
        ("--tls-max 1.2 --ciphers ECDHE-RSA-AES256-GCM-SHA384", "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let output = curl(&proxy, &format!("/?{version}"), &words);
        assert_eq!(text(&output), "a");
        let line = proxy.lines().wait_for("its line", |line| line.contains(version));
        let object: Value = serde_json::from_str(&line).expect("an object");
        assert_eq!(
            (object["tls"].as_str(), object["tls_cipher"].as_str()),
            (Some(version), Some(cipher)),
            "{line}"
        );
    }
    assert_eq!(Client::connect(plain.address()).get("/?plain").status, 200);
    let line = proxy.lines().wait_for("its line", |line| line.contains("plain"));
    let object: Value = serde_json::from_str(&line).expect("an object");
    assert_eq!((&object["tls"], &object["tls_cipher"]), (&Value::Null, &Value::Null), "{line}");
}

#[test]
fn names_and_places_are_those_of_the_file() {
    let (origin, proxy) = start("", "%{listener}N %{service}N %{backend}N %{service}L %{backend}L");
    assert_eq!(proxy.client().get("/").status, 200);
    let line = first_line(&proxy);
    let mut words = line.split(' ');
    assert_eq!((words.next(), words.next()), (Some("-"), Some("main")));
    assert_eq!(words.next(), Some(&*origin.address().to_string()));
    let text = std::fs::read_to_string(proxy.folder().join("ounce.cfg")).expect("the configuration");
    for word in ["Service", "BackEnd"] {
        let number = text.lines().position(|line| line.starts_with(word)).expect("a section") + 1;
        let place = words.next().expect("a place");
        assert!(place.contains(&format!("ounce.cfg:{number}.1-7")), "{place}");
    }
}

/// A whole exchange: nobody ended it, and its time is that of its steps.
#[test]
fn the_times_of_the_steps_add_up() {
    let steps = ["receive", "route", "pick", "link", "ask", "answer", "relay", "tunnel"];
    let times: String = steps.iter().map(|step| format!(" %{{{step}}}T")).collect();
    let (_origin, proxy) = start("", &format!("%{{side}}E %{{step}}E %{{retries}}E %D{times}"));
    assert_eq!(proxy.client().get("/").status, 200);
    let line = first_line(&proxy);
    let numbers = line.strip_prefix("- relay 0 ").expect("a whole exchange");
    let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().expect("a number")).collect();
    assert_eq!(numbers.len(), 1 + steps.len());
    assert_eq!(numbers[0], numbers[1..].iter().sum::<u64>(), "{line}");
}

#[test]
fn a_line_says_who_ended_an_exchange_and_where() {
    let (_origin, proxy) = start("", "%s %{side}E %{step}E %{retries}E");
    assert_eq!(proxy.client().ask("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n").status, 400);
    assert_eq!(first_line(&proxy), "400 proxy receive 0");

    let port = Port::reserve();
    let inside = format!("LogLevel \"own\"\nService\n{}End\n", backend(port.address(), ""));
    let own = "\"own\" \"%s %{side}E %{step}E %{retries}E %>s\"";
    let proxy = Setup::new().global("LogFormat", own).listener(&inside).start();
    assert_eq!(proxy.client().get("/").status, 503);
    assert_eq!(first_line(&proxy), "503 backend pick 1 503 Service Unavailable");
}

/// Every line is an object, and says what was asked, whatever that was.
#[test]
fn an_object_holds_whatever_a_client_sends() {
    let (_origin, proxy) = start("-json", "%r code=%s %{User-Agent}i %{X-None}i ms=%{ms}T %{service}N %t");
    let agents: [&[u8]; 5] = [b"plain", b"a\"b\\c", b"x\ty", b"caf\xc3\xa9", b"caf\xe9 \"}"];
    for (number, agent) in agents.into_iter().enumerate() {
        let target = format!("GET /{number} HTTP/1.1\r\nHost: a\r\nUser-Agent: ");
        assert_eq!(proxy.client().ask([target.as_bytes(), agent, b"\r\n\r\n"].concat()).status, 200);
        let line = proxy.lines().wait_len("a line", number + 1).remove(number);
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(object["request"], format!("GET /{number} HTTP/1.1"));
        assert_eq!(object["user_agent"], String::from_utf8_lossy(agent).as_ref());
        assert_eq!((&object["code"], &object["service"]), (&Value::from(200), &Value::from("main")));
        assert!(object["x_none"].is_null() && object["ms"].is_u64() && object["time"].is_string(), "{line}");
    }
}

#[test]
fn a_service_may_keep_classes_of_status_out_of_the_log() {
    let origin = Origin::named("hello");
    let quiet =
        format!("Service\nPath -beg \"/quiet\"\nLogSuppress success\n{}End\n", backend(origin.address(), ""));
    let silent = "Service\nPath -beg \"/silent\"\nLogSuppress all\nError 503\nEnd\n";
    let plain = format!(
        "Service\nPath -beg \"/plain\"\nLogSuppress 3 srverr\n{}End\n",
        backend(origin.address(), "")
    );
    let inside = format!("LogLevel 1\n{quiet}{silent}{plain}");
    let proxy = Setup::new().listener(&inside).start();
    for (path, status) in [("/quiet", 200), ("/silent", 503), ("/none", 503), ("/plain", 200)] {
        assert_eq!(proxy.client().get(path).status, status, "{path}");
    }
    // With the end of the proxy everything is written that ever will be.
    let lines = proxy.lines().clone();
    drop(proxy);
    lines.find(|_| None::<()>);
    let mut lines = lines.all();
    lines.sort();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("/none") && lines[1].contains("/plain"), "{lines:?}");
}
