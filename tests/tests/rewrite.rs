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
