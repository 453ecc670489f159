//! Rewriting: the order of rules, back-references, accessors, and what becomes of a text that cannot be expanded
//! (pound.md section 6), against the running program.

use ounce_tests::answer::Answer;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup, backend};

/// An origin that answers with the request's head, and with the header that the request asks for.
fn mirror() -> Origin {
    Origin::start(|exchange| {
        exchange.skip_body()?;
        let head = String::from_utf8_lossy(&exchange.request.raw).into_owned();
        let asked = exchange.request.fields.get("X-Answer").unwrap_or_default().to_owned();
        match asked.split_once('=') {
            Some((name, value)) => exchange.answer(200, &[(name, value)], head.as_bytes()),
            None => exchange.answer(200, &[], head.as_bytes()),
        }
    })
}

/// The program with these directives in the listener and in its one service.
fn start(origin: &Origin, listener: &str, service: &str) -> Proxy {
    let inside = format!("{listener}\nService\n{service}\n{}End\n", backend(origin.address(), ""));
    Setup::new().listener(&inside).start()
}

fn ask(proxy: &Proxy, target: &str, fields: &str) -> Answer {
    proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: www.example.com:8080\r\n{fields}\r\n"))
}

/// What the backend is sent: the request line and the fields.
fn sent(proxy: &Proxy, target: &str, fields: &str) -> Vec<String> {
    let answer = ask(proxy, target, fields);
    assert_eq!(answer.status, 200, "{target}");
    answer.text().lines().map(str::to_owned).collect()
}

/// The value that the backend is sent of one field.
fn value(lines: &[String], name: &str) -> Option<String> {
    let line = lines.iter().find(|line| line.starts_with(&format!("{name}: ")))?;
    Some(line[name.len() + 2..].to_owned())
}

#[test]
fn the_listener_s_rules_run_before_the_service_s_and_after_the_canned_headers() {
    let origin = mirror();
    let proxy = start(
        &origin,
        "SetHeader \"X-Order: listener\"\nSetHeader \"X-Seen: %[header X-Forwarded-For]\"\n\
         DeleteHeader \"^X-Forwarded-Port:\"\nSetHeader \"X-Forwarded-Proto: gopher\"",
        "SetHeader \"X-Order: %[header X-Order], service\"",
    );
    let lines = sent(&proxy, "/", "");
    assert_eq!(value(&lines, "X-Order").as_deref(), Some("listener, service"));
    assert_eq!(value(&lines, "X-Seen").as_deref(), Some("127.0.0.1"));
    assert_eq!(value(&lines, "X-Forwarded-Port"), None);
    assert_eq!(value(&lines, "X-Forwarded-Proto").as_deref(), Some("gopher"));
}

#[test]
fn rules_do_not_decide_where_a_request_goes() {
    let origin = mirror();
    let inside = format!(
        "SetPath \"/changed\"\nService\nPath -exact \"/changed\"\nError 404\nEnd\nService\n{}End\n",
        backend(origin.address(), "")
    );
    let proxy = Setup::new().listener(&inside).start();
    assert_eq!(sent(&proxy, "/asked", "")[0], "GET /changed HTTP/1.1");
}

#[test]
fn answers_meet_the_service_s_rules_before_the_listener_s() {
    let origin = mirror();
    let proxy = start(
        &origin,
        "Rewrite response\nHeader \"X-Order\" -exact \"service\"\nSetHeader \"X-Order: service, listener\"\nEnd",
        "Rewrite response\nSetHeader \"X-Order: service\"\nEnd",
    );
    assert_eq!(ask(&proxy, "/", "").fields.get("X-Order"), Some("service, listener"));
}

#[test]
fn a_change_takes_effect_at_once() {
    let origin = mirror();
    let proxy = start(
        &origin,
        "",
        "SetPath \"/new%[path]\"\nSetHeader \"X-Path: %[path]\"\nSetQuery \"a=1\"\nSetQueryParam \"b\" \"2\"\n\
         SetHeader \"X-Url: %[url]\"",
    );
    let lines = sent(&proxy, "/old?x", "");
    assert_eq!(lines[0], "GET /new/old?a=1&b=2 HTTP/1.1");
    assert_eq!(value(&lines, "X-Path").as_deref(), Some("/new/old"));
    assert_eq!(value(&lines, "X-Url").as_deref(), Some("/new/old?a=1&b=2"));
}

#[test]
fn the_first_branch_that_matches_runs_and_rewrites_nest() {
    let origin = mirror();
    let proxy = start(
        &origin,
        "",
        "Rewrite\nPath \"^/a\"\nSetHeader \"X-Branch: a\"\n\
         Rewrite\nQuery \"^q$\"\nSetHeader \"X-Inner: q\"\nElse\nSetHeader \"X-Inner: none\"\nEnd\n\
         Else\nPath \"^/ab\"\nSetHeader \"X-Branch: ab\"\n\
         Else\nPath \"^/b\"\nNot Query \"q\"\nSetHeader \"X-Branch: b\"\n\
         Else\nSetHeader \"X-Branch: else\"\nEnd",
    );
    for (target, branch, inner) in [
        ("/ab", "a", Some("none")),
        ("/a?q", "a", Some("q")),
        ("/b", "b", None),
        ("/b?q", "else", None),
        ("/c", "else", None),
    ] {
        let lines = sent(&proxy, target, "");
        assert_eq!(value(&lines, "X-Branch").as_deref(), Some(branch), "{target}");
        assert_eq!(value(&lines, "X-Inner").as_deref(), inner, "{target}");
    }
}

/// Every condition on text pushes; eight of them are reached, and the ninth is gone.
#[test]
fn back_references_reach_eight_matches() {
    let origin = mirror();
    let conditions = "Method \"^(G)\"\nURL \"(u.*)$\"\nPath \"(p[0-9])\"\nQuery \"(q[0-9])\"\n\
                      QueryParam \"n\" \"(.*)\"\nHeader \"^X-H:[ ]*(.*)$\"\nHost -re \"^(www)\"\n\
                      Header \"X-V\" \"(.*)\"\nStringMatch \"%[path]\" \"^(/)\"";
    let all: String = (0..8).map(|depth| format!("SetHeader \"X-{depth}: $1({depth})\"\n")).collect();
    let proxy = start(&origin, "", &format!("{conditions}\n{all}"));
    let target = "/up1?q1&n=5";
    let lines = sent(&proxy, target, "X-H: h\r\nX-V: v\r\n");
    for (depth, wanted) in ["/", "v", "www", "h", "5", "q1", "p1", "up1?q1&n=5"].into_iter().enumerate() {
        assert_eq!(value(&lines, &format!("X-{depth}")).as_deref(), Some(wanted), "{depth} back");
    }

    let proxy = start(&origin, "", &format!("{conditions}\nSetHeader \"X-8: $1(8)\""));
    assert_eq!(ask(&proxy, target, "X-H: h\r\nX-V: v\r\n").status, 500);
    proxy.problems().wait_for("the place", |line| line.contains("e500") && line.contains("at byte 1 of"));
}

#[test]
fn references_are_written_in_many_ways() {
    let origin = mirror();
    let proxy = start(
        &origin,
        "",
        "Path -tag whole \"^/(a)(x)?(.*)$\"\nHost -re \"^([a-z]+)\\\\.([a-z]+)\"\n\
         SetHeader \"X-1: $0|$1|${2}|${1}2\"\nSetHeader \"X-2: %1|$1(1)|$3(whole)|${3(whole)}x\"\n\
         SetHeader \"X-3: $$1 $% %41%2f [$2(1)]\"",
    );
    let lines = sent(&proxy, "/abc", "");
    assert_eq!(value(&lines, "X-1").as_deref(), Some("www.example|www|example|www2"));
    assert_eq!(value(&lines, "X-2").as_deref(), Some("a|a|bc|bcx"));
    // A group that took no part is empty; %XX passes as it is.
    assert_eq!(value(&lines, "X-3").as_deref(), Some("$1 % %41%2f []"));
}

#[test]
fn accessors_name_parts_of_the_request() {
    let origin = mirror();
    let proxy = start(
        &origin,
        "Constant \"site\" \"a b&c\"\nTrustedIP\n\"127.0.0.0/8\"\nEnd",
        "SetHeader \"X-1: %[url]|%[path]|%[query]|%[param y]|%[param none]\"\n\
         SetHeader \"X-2: %[header x-own]|%[header none]|%[host]|%[port]\"\n\
         SetHeader \"X-3: %[remoteip 0]|%[remoteip 1]\"\n\
         SetHeader \"X-4: %[const site]|%[const site url]|%[const site base64]\"\n\
         SetHeader \"X-5: %[nothing of ours]\"",
    );
    let lines = sent(&proxy, "/p?x=1&y=%202", "X-Own: me\r\nX-Forwarded-For: 192.0.2.7\r\n");
    let first = "/p?x=1&y=%202|/p|x=1&y=%202|%202|";
    assert_eq!(value(&lines, "X-1").as_deref(), Some(first));
    assert_eq!(value(&lines, "X-2").as_deref(), Some("me||www.example.com|:8080"));
    assert_eq!(value(&lines, "X-3").as_deref(), Some("127.0.0.1|192.0.2.7"));
    assert_eq!(value(&lines, "X-4").as_deref(), Some("a b&c|a%20b%26c|YSBiJmM="));
    assert_eq!(value(&lines, "X-5").as_deref(), Some("%[nothing of ours]"));
}

/// A match that a false alternative made is not referred to.
#[test]
fn a_false_alternative_leaves_no_trace() {
    let origin = mirror();
    let proxy = start(
        &origin,
        "",
        "Path \"^/(.*)$\"\nMatch or\nMatch\nHost -re \"^(www)\"\nQuery \"never\"\nEnd\nMethod \"GET\"\nEnd\n\
         SetHeader \"X-1: $1(1)\"",
    );
    assert_eq!(value(&sent(&proxy, "/abc", ""), "X-1").as_deref(), Some("abc"));
}

#[test]
fn what_matched_in_the_request_is_known_when_the_answer_comes() {
    let origin = mirror();
    let proxy = start(
        &origin,
        "",
        "Path \"^/(.*)$\"\nRewrite response\nSetHeader \"X-Asked: $1\"\nEnd\n\
         Rewrite response\nHeader \"X-Kind\" \"^(.)\"\nSetHeader \"X-Kind: $1 of $1(1)\"\nElse\n\
         SetHeader \"X-Kind: none\"\nEnd",
    );
    let answer = ask(&proxy, "/abc", "X-Answer: X-Kind=big\r\n");
    assert_eq!((answer.fields.get("X-Asked"), answer.fields.get("X-Kind")), (Some("abc"), Some("b of abc")));
    assert_eq!(ask(&proxy, "/abc", "").fields.get("X-Kind"), Some("none"));
}

#[test]
fn a_text_that_cannot_be_expanded_is_500_and_its_place_is_logged() {
    let origin = mirror();
    for (service, place) in [
        ("SetHeader \"X-A: ab$1\"", "at byte 3 of"),
        ("Path \"^/a\"\nSetPath \"/x/$4\"", "at byte 4 of"),
        ("Path \"^/a\"\nRewrite response\nSetHeader \"X-A: $9\"\nEnd", "at byte 1 of"),
        ("StringMatch \"a$1(3)\" \"b\"", "at byte 2 of"),
    ] {
        let proxy = start(&origin, "", service);
        assert_eq!(ask(&proxy, "/a", "").status, 500, "{service}");
        let line = proxy.problems().wait_for("the place", |line| line.contains("e500"));
        assert!(line.contains(place), "{service}: {line}");
    }
}

/// What a service answers by itself is an answer like any other to rules, but for errors that nobody asked for.
#[test]
fn rules_see_the_proxy_s_own_answers() {
    let add = |name: &str, value: &str| format!("Rewrite response\nSetHeader \"{name}: {value}\"\nEnd\n");
    let inside = format!(
        "ErrorFile 401 \"{{folder}}/401.html\"\n{}\
         Service\nPath \"^/login\"\n{}Error 401\nEnd\n\
         Service\nMethod \"OPTIONS\"\n{}Success\nEnd\n\
         Service\nPath \"^/old/(.*)\"\nSetPath \"/new/$1\"\nRedirect 301 \"https://x.test%[url]\"\nEnd\n\
         Service\nPath \"^/older/(.*)\"\nSetPath \"/newer/$1\"\nRedirect \"https://x.test\"\nEnd\n\
         Service\nPath \"^/nowhere\"\nSetPath \"$7\"\nRedirect \"https://x.test\"\nEnd\n",
        add("X-Listener", "seen"),
        add("WWW-Authenticate", "Basic realm=\\\"x\\\""),
        add("Access-Control-Allow-Origin", "*"),
    );
    let setup = Setup::new().listener(&format!("xHTTP 2\n{inside}"));
    std::fs::write(setup.folder().join("401.html"), "X-Page: own\n\nwho are you?").expect("a file");
    let proxy = setup.start();
    let login = ask(&proxy, "/login", "");
    assert_eq!((login.status, login.text().as_str(), login.closes()), (401, "who are you?", true));
    for (name, value) in
        [("WWW-Authenticate", "Basic realm=\"x\""), ("X-Page", "own"), ("X-Listener", "seen")]
    {
        assert_eq!(login.fields.get(name), Some(value), "{name}");
    }
    let head = proxy.client().ask("HEAD /login HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.fields.get("Content-Length"), head.body.len()), (401, Some("12"), 0));
    assert!(head.fields.get("WWW-Authenticate").is_some());
    let options = proxy.client().ask("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((options.status, options.fields.get("Access-Control-Allow-Origin")), (200, Some("*")));
    for (target, location) in
        [("/old/a?b", "https://x.test/new/a?b"), ("/older/a?b", "https://x.test/newer/a?b")]
    {
        assert_eq!(ask(&proxy, target, "").fields.get("Location"), Some(location));
    }
    let failed = ask(&proxy, "/nowhere", "");
    assert_eq!((failed.status, failed.fields.get("X-Listener")), (500, None));
    assert_eq!(ask(&proxy, "/nothing", "").fields.get("X-Listener"), None, "an error that nobody asked for");
}

/// What a match leaves of a path is a path: Pound's users write it without the slash in front of their files.
#[test]
fn a_path_is_given_the_slash_that_it_lacks() {
    let origin = mirror();
    let proxy = start(&origin, "", "Path \"^/about/(.+)$\"\nSetPath \"$1\"");
    assert_eq!(sent(&proxy, "/about/us?x", "")[0], "GET /us?x HTTP/1.1");
    let setup = Setup::new()
        .listener("Service\nPath \"^/about/(.+)$\"\nSetPath \"$1\"\nSendFile \"{folder}\"\nEnd\n");
    std::fs::write(setup.folder().join("us.txt"), "us").expect("a file");
    assert_eq!(ask(&setup.start(), "/about/us.txt", "").text(), "us");
}

#[test]
fn a_request_without_a_path_is_500_and_an_empty_query_has_no_mark() {
    let origin = mirror();
    for service in ["Path \"^/(.*)$\"\nSetPath \"$1\"", "Path \"^/(.*)$\"\nSetURL \"$1\""] {
        let proxy = start(&origin, "", service);
        assert_eq!(ask(&proxy, "/", "").status, 500, "{service}");
    }
    let proxy = start(&origin, "", "SetQueryParam \"a\"");
    assert_eq!(sent(&proxy, "/x?a=1", "")[0], "GET /x HTTP/1.1");
    assert_eq!(sent(&proxy, "/x?a=1&b=2&a=3", "")[0], "GET /x?b=2 HTTP/1.1");
    let proxy = start(&origin, "", "DeleteQuery");
    assert_eq!(sent(&proxy, "/x?a?b", "")[0], "GET /x?a HTTP/1.1");
    let proxy = start(&origin, "", "SetPath -encode \"/a b?c\"\nSetQueryParam -encode \"q\" \"a&b=c\"");
    assert_eq!(sent(&proxy, "/", "")[0], "GET /a%20b%3Fc?q=a%26b%3Dc HTTP/1.1");
}
