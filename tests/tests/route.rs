//! Which service gets a request, and what it does with it.

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use ounce_tests::answer::Answer;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup, backend};
use ounce_tests::script::{play, say};
use ounce_tests::wire;
use std::io::IoSlice;
use std::os::fd::AsRawFd;

const HOST: &str = "Host: example.org\r\n";

/// A service that matches on `conditions` and answers with its name by a redirect: no origin is needed.
fn named(name: &str, conditions: &str) -> String {
    format!("Service \"{name}\"\n{conditions}\nRedirect \"http://{name}.test/x\"\nEnd\n")
}

fn start(inside: &str) -> Proxy {
    Setup::new().listener(inside).start()
}

fn ask(proxy: &Proxy, target: &str, fields: &str) -> Answer {
    proxy.client().ask(format!("GET {target} HTTP/1.1\r\n{fields}\r\n"))
}

/// The name of the service that a request came to, or the status of what it got instead.
fn service_of(proxy: &Proxy, target: &str, fields: &str) -> String {
    let answer = ask(proxy, target, fields);
    let location = answer.fields.get("Location").and_then(|url| url.strip_prefix("http://"));
    let name = location.and_then(|url| url.strip_suffix(".test/x"));
    name.map_or_else(|| answer.status.to_string(), str::to_owned)
}

#[test]
fn every_condition_selects() {
    let rows: [(&str, &str, &str, &str, &str); 20] = [
        // conditions, a target and fields that match, and a pair that does not
        ("URL \"^/a\\\\?b=\"", "/a?b=c", HOST, "/a?c=b", HOST),
        ("Path \"/a$\"", "/a?x", HOST, "/ab?x=/a", HOST),
        ("Path -beg \"/static/\"", "/static/x", HOST, "/x/static/", HOST),
        ("Path -end \".png\"", "/x.png", HOST, "/x.png/", HOST),
        ("Path -exact \"/one\"", "/one?x", HOST, "/one/", HOST),
        ("Path -contain \"mid\"", "/amide", HOST, "/a?mid", HOST),
        ("Path -icase \"^/ABC\"", "/abc", HOST, "/ab", HOST),
        ("IgnoreCase 1\nPath \"^/ABC\"", "/abc", HOST, "/ab", HOST),
        ("Query \"^x=1\"", "/?x=1", HOST, "/x=1", HOST),
        ("QueryParam \"id\" \"^[0-9]+$\"", "/?a=b&id=42", HOST, "/?id=4x", HOST),
        (
            "Header \"X-Kind:.*good\"",
            "/",
            "Host: a\r\nx-kind: very GOOD\r\n",
            "/",
            "Host: a\r\nx-kind: bad\r\n",
        ),
        ("HeadRequire \"Host:.*example.org.*\"", "/", HOST, "/", "Host: example.com\r\n"),
        ("HeadDeny \"User-Agent:.*bot\"", "/", HOST, "/", "Host: a\r\nUser-Agent: somebot\r\n"),
        ("Host \"example.org\"", "/", "Host: EXAMPLE.org:8080\r\n", "/", "Host: www.example.org\r\n"),
        ("Host -end \".example.org\"", "/", "Host: www.example.org\r\n", "/", HOST),
        ("Not Host \"example.com\"", "/", HOST, "/", "Host: example.com\r\n"),
        ("Match or\nPath \"^/a\"\nPath \"^/b\"\nEnd", "/b", HOST, "/c", HOST),
        ("Path \"^/a\"\nHost \"example.org\"", "/a", HOST, "/a", "Host: b\r\n"),
        ("Not Match and\nPath \"^/a\"\nQuery \"x\"\nEnd", "/a", HOST, "/a?x", HOST),
        ("Method \"^GET$\"", "/", HOST, "/", ""),
    ];
    for (conditions, target, fields, other_target, other_fields) in rows {
        let proxy = start(&(named("first", conditions) + &named("rest", "")));
        assert_eq!(service_of(&proxy, target, fields), "first", "{conditions}: {target} {fields}");
        if !other_fields.is_empty() {
            assert_eq!(
                service_of(&proxy, other_target, other_fields),
                "rest",
                "{conditions}: {other_target}"
            );
        }
    }
}

#[test]
fn networks_select() {
    let proxy = start(&(named("inside", "ACL\n\"127.0.0.0/8\"\nEnd") + &named("outside", "")));
    assert_eq!(service_of(&proxy, "/", HOST), "inside");
    let acl = "ACL \"far\"\n\"192.0.2.0/24\"\nEnd\n";
    let inside = named("far", "ACL \"far\"") + &named("near", "");
    let proxy = Setup::new().text(acl).listener(&inside).start();
    assert_eq!(service_of(&proxy, "/", HOST), "near");
}

/// On a socket of both families an IPv4 client has an address of IPv6 that holds its own, and is known by its own.
#[test]
fn a_client_that_comes_mapped_is_the_one_it_is() {
    let origin = Origin::named("a");
    let services = format!(
        "Service\nACL\n\"127.0.0.0/8\"\nEnd\nNot ACL\n\"::/0\"\nEnd\n{}End\n",
        backend(origin.address(), "")
    );
    let proxy = Setup::new().text(&format!("ListenHTTP\nAddress ::\nPort {{port}}\n{services}End\n")).start();
    assert_eq!(ask(&proxy, "/", HOST).text(), "a");
    let sent = origin.received().wait_len("a request", 1).remove(0);
    assert_eq!(sent.fields.get("X-Forwarded-For"), Some("127.0.0.1"));
}

#[test]
fn a_listener_s_services_come_before_the_global_ones_in_their_order() {
    let text = named("global", "");
    let inside = named("off", "Disabled 1") + &named("a", "Path \"^/a\"") + &named("ab", "Path \"^/ab\"");
    let proxy = Setup::new().text(&text).listener(&inside).start();
    assert_eq!(service_of(&proxy, "/ab", HOST), "a");
    assert_eq!(service_of(&proxy, "/c", HOST), "global");
}

#[test]
fn a_request_that_no_service_wants_is_answered_503() {
    let proxy = start(&named("a", "Path \"^/a\""));
    assert_eq!(ask(&proxy, "/b", HOST).status, 503);
}

#[test]
fn redirects_take_what_was_asked_for_and_what_was_matched() {
    let redirect = |conditions: &str, words: &str| {
        let proxy = start(&format!("Service\n{conditions}\nRedirect {words}\nEnd\n"));
        let answer = ask(&proxy, "/some/path?q=1", HOST);
        (answer.status, answer.fields.get("Location").unwrap_or_default().to_owned())
    };
    let to = |status: u16, url: &str| (status, url.to_owned());
    assert_eq!(redirect("", "\"http://new.test\""), to(302, "http://new.test/some/path?q=1"));
    assert_eq!(redirect("", "301 \"https://new.test/\""), to(301, "https://new.test"));
    assert_eq!(redirect("", "308 \"https://new.test/fixed\""), to(308, "https://new.test/fixed"));
    let path = "Path \"^/([^/]+)/(.*)$\"";
    assert_eq!(redirect(path, "307 \"http://$1.test/$2\""), to(307, "http://some.test/path"));
    let both = "Host \"^(.+)\\\\.org$\"";
    let two = format!("{path}\n{}", both.replace("Host", "Host -re"));
    assert_eq!(redirect(&two, "303 \"http://$1.test/$2(1)\""), to(303, "http://example.test/path"));
}

#[test]
fn errors_are_answered_with_the_listener_s_page_or_the_service_s() {
    let setup = Setup::new().listener(
        "ErrorFile 404 \"{folder}/listener.html\"\nErr503 \"{folder}/old.html\"\n\
         Service\nPath \"^/a\"\nError 404\nEnd\n\
         Service\nPath \"^/b\"\nError 404 \"{folder}/service.html\"\nEnd\n\
         Service\nPath \"^/c\"\nError 403\nEnd\n",
    );
    for name in ["listener", "old", "service"] {
        std::fs::write(setup.folder().join(format!("{name}.html")), format!("<p>{name}</p>"))
            .expect("a page");
    }
    let proxy = setup.start();
    let page = |target: &str| {
        let answer = ask(&proxy, target, HOST);
        (answer.status, answer.text())
    };
    assert_eq!(page("/a"), (404, "<p>listener</p>".into()));
    assert_eq!(page("/b"), (404, "<p>service</p>".into()));
    assert_eq!(page("/d"), (503, "<p>old</p>".into()));
    let (status, text) = page("/c");
    assert!(status == 403 && text.contains("403 Forbidden"), "{text}");
    // Pound sends the page after HEAD too (pound.md section 8).
    let answer = proxy.client().ask("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.fields.get("Content-Length")), (404, Some("15")));
}

#[test]
fn a_built_in_page_says_what_pound_s_says() {
    let answer = ask(&start(&named("a", "Path \"^/a\"")), "/b", HOST);
    for (name, value) in [
        ("Content-Type", "text/html"),
        ("Connection", "close"),
        ("Expires", "now"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache,no-store"),
    ] {
        assert_eq!(answer.fields.get(name), Some(value), "{name}");
    }
    let text = answer.text();
    assert!(
        text.contains("503 Service Unavailable") && text.contains("<h1>Service Unavailable</h1>"),
        "{text}"
    );
}

#[test]
fn a_listener_s_limits_refuse() {
    let origin = Origin::named("a");
    let inside =
        format!("CheckURL \"^/[a-z?=]*$\"\nMaxURI 20\nService\n{}End\n", backend(origin.address(), ""));
    let proxy = start(&inside);
    assert_eq!(ask(&proxy, "/abc?d=e", HOST).status, 200);
    assert_eq!(ask(&proxy, "/ABC", HOST).status, 501);
    assert_eq!(ask(&proxy, "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", HOST).status, 414);
    let method = |method: &str| {
        proxy.client().ask(format!("{method} /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).status
    };
    assert_eq!([method("POST"), method("PUT"), method("PROPFIND"), method("NONSENSE")], [200, 405, 405, 400]);
    assert_eq!(origin.count(), 2);
}

#[test]
fn each_level_of_methods_holds_those_below() {
    let rows: [(&str, &[&str], &[&str]); 6] = [
        ("xHTTP 0", &["GET", "POST"], &["PUT", "DELETE", "PATCH"]),
        ("xHTTP 1", &["PUT", "DELETE", "PATCH"], &["PROPFIND", "OPTIONS"]),
        (
            "xHTTP 2",
            &["LOCK", "UNLOCK", "PROPFIND", "MKCOL", "OPTIONS", "TRACE", "REPORT"],
            &["SUBSCRIBE", "BPROPFIND"],
        ),
        ("xHTTP 3", &["SUBSCRIBE", "NOTIFY", "BPROPFIND", "POLL", "OPTIONS"], &[]),
        // Of 2.0 and 2.1.
        ("WebDAV 1\nxHTTP 1", &["PUT", "PROPFIND", "REPORT"], &["SUBSCRIBE", "BPROPFIND"]),
        ("WebDAV 1\nMSDAV 1", &["PROPFIND", "SUBSCRIBE", "BPROPFIND"], &[]),
    ];
    let origin = Origin::named("a");
    for (level, allowed, refused) in rows {
        let proxy = start(&format!("{level}\nService\n{}End\n", backend(origin.address(), "")));
        let ask = |method: &str| proxy.client().ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).status;
        for method in allowed {
            assert_eq!(ask(method), 200, "{method} with {level}");
        }
        for method in refused {
            assert_eq!(ask(method), 405, "{method} with {level}");
        }
    }
}

#[test]
fn headers_are_set_and_removed_on_the_way_to_the_origin() {
    let origin = Origin::named("a");
    let inside = format!(
        "SetHeader \"X-Set: new\"\nAddHeader \"X-Added: yes\"\nHeaderAdd \"X-Too: yes\"\n\
         DeleteHeader \"^X-Gone:\"\nHeadRemove \"x-old.*\"\nHeaderRemove \"X-Forwarded-Port\"\n\
         Service\n{}End\n",
        backend(origin.address(), "")
    );
    let proxy = start(&inside);
    ask(&proxy, "/", "Host: a\r\nX-Set: old\r\nX-Gone: 1\r\nX-Old-One: 2\r\nX-Kept: 3\r\n");
    let fields = origin.received().wait_len("a request", 1).remove(0).fields;
    let all = |name: &str| fields.all(name).collect::<Vec<_>>();
    assert_eq!((all("X-Set"), all("X-Added"), all("X-Too")), (vec!["new"], vec!["yes"], vec!["yes"]));
    assert_eq!(
        (fields.get("X-Gone"), fields.get("X-Old-One"), fields.get("X-Forwarded-Port")),
        (None, None, None)
    );
    assert_eq!((fields.get("X-Kept"), fields.get("X-Forwarded-For")), (Some("3"), Some("127.0.0.1")));
}

#[test]
fn locations_that_name_us_or_the_backend_are_rewritten_and_foreign_ones_never() {
    let origin = Origin::start(|exchange| {
        let location = exchange.request.fields.get("X-Location").unwrap_or_default().to_owned();
        exchange.answer(302, &[("Location", &location)], b"")
    });
    let own = origin.address().to_string();
    let (scheme, other) = if wire::is_tls() { ("https", "http") } else { ("http", "https") };
    let rows = [
        (1, format!("{scheme}://{own}/x?y"), format!("{scheme}://example.org/x?y")),
        (1, format!("{other}://example.org/x"), format!("{scheme}://example.org/x")),
        (1, "http://foreign.test/x".into(), "http://foreign.test/x".into()),
        (1, "/relative".into(), "/relative".into()),
        (2, format!("{scheme}://{own}/x"), format!("{scheme}://example.org/x")),
        (2, format!("{other}://example.org/x"), format!("{other}://example.org/x")),
        (0, format!("{scheme}://{own}/x"), format!("{scheme}://{own}/x")),
    ];
    for (mode, location, wanted) in rows {
        let inside = format!("RewriteLocation {mode}\nService\n{}End\n", backend(origin.address(), ""));
        let answer = ask(&start(&inside), "/", &format!("{HOST}X-Location: {location}\r\n"));
        assert_eq!(answer.fields.get("Location"), Some(wanted.as_str()), "mode {mode}, {location}");
    }
}

#[test]
fn a_destination_is_rewritten_to_the_backend() {
    let origin = Origin::named("a");
    let inside = format!("xHTTP 2\nRewriteDestination 1\nService\n{}End\n", backend(origin.address(), ""));
    let proxy = start(&inside);
    let request = "MOVE /a HTTP/1.1\r\nHost: example.org\r\nDestination: http://example.org/b?c\r\n\r\n";
    assert_eq!(proxy.client().ask(request).status, 200);
    let sent = origin.received().wait_len("a request", 1).remove(0);
    assert_eq!(
        sent.fields.get("Destination"),
        Some(format!("{}://{}/b?c", wire::scheme(), origin.address()).as_str())
    );
}

#[test]
fn a_backend_may_be_a_unix_socket_and_so_may_a_listener() {
    let setup = Setup::new()
        .text("ListenHTTP\nAddress \"{folder}/front\"\nService\nBackEnd\nAddress \"{folder}/back\"\nEnd\nEnd\nEnd\n");
    let back = std::os::unix::net::UnixListener::bind(setup.folder().join("back")).expect("a socket");
    let proxy = setup.start();
    let origin = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = back.accept().expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            request.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix").expect("an answer");
        String::from_utf8_lossy(&request).into_owned()
    });
    let output = ounce_tests::tool::run(
        "curl",
        [
            "-sSk",
            "--unix-socket",
            &proxy.folder().join("front").to_string_lossy(),
            &format!("{}://a/x", wire::scheme()),
        ],
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "unix", "{output:?}");
    let request = origin.join().expect("an origin");
    assert!(!request.contains("X-Forwarded-Port"), "a UNIX socket has no port: {request}");
}

#[test]
fn included_files_are_part_of_the_configuration() {
    let origin = Origin::start(play([say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]));
    let setup = Setup::new().text("Include \"{folder}/conf.d/*.cfg\"\n");
    let folder = setup.folder().join("conf.d");
    std::fs::create_dir(&folder).expect("a directory");
    let port = setup.port().number();
    std::fs::write(
        folder.join("a.cfg"),
        format!(
            "{}Address 127.0.0.1\nPort {port}\nInclude \"{}\"\nEnd\n",
            wire::listeners("ListenHTTP\n").replace("{folder}", &setup.folder().to_string_lossy()),
            folder.join("service.inc").display()
        ),
    )
    .expect("a file");
    std::fs::write(folder.join("service.inc"), format!("Service\n{}End\n", backend(origin.address(), "")))
        .expect("a file");
    assert_eq!(setup.start().client().get("/").status, 200);
}

/// `SocketFrom`: another process listens, and hands its socket over.
#[test]
fn a_listening_socket_may_be_received_from_another_process() {
    let origin = Origin::named("a");
    let given = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = given.local_addr().expect("an address");
    let inside = format!("SocketFrom \"{{folder}}/giver\"\nService\n{}End\n", backend(origin.address(), ""));
    let setup = Setup::new().text(&format!("ListenHTTP\n{inside}End\n"));
    let giver = std::os::unix::net::UnixListener::bind(setup.folder().join("giver")).expect("a socket");
    let thread = std::thread::spawn(move || {
        let (stream, _) = giver.accept().expect("a proxy that asks");
        let rights = [given.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&rights)];
        let data = [IoSlice::new(b"x")];
        sendmsg::<()>(stream.as_raw_fd(), &data, &message, MsgFlags::empty(), None).expect("a socket sent");
    });
    let proxy = setup.start();
    thread.join().expect("a giver");
    for _ in 0..20 {
        assert_eq!(ounce_tests::client::Client::connect(address).get("/").text(), "a");
    }
    // Nobody gives any more: what was received is kept.
    proxy.reload().expect("a reload");
    assert_eq!(ounce_tests::client::Client::connect(address).get("/").text(), "a");
}
