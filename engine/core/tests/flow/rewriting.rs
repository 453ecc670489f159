//! Rules that change requests and responses (pound.md section 6).

use crate::world::{World, config};
use ounce_core::Close;

/// What the backend hears of a request, `$C` standing for the canned lines.
fn heard(listener: &str, service: &str, request: &str) -> String {
    let mut w = World::new(&config(listener, service, 1));
    let client = w.client();
    w.say(client, request);
    let upstream = w.connected();
    w.heard(upstream).replace(CANNED, "$C")
}

const CANNED: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n";

/// The target that a backend is asked for, the request having been `GET target`.
fn target(rules: &str, target: &str) -> String {
    let heard =
        heard("", rules, &format!("GET {target} HTTP/1.1\r\nHost: www.example:81\r\nX-A: b c\r\n\r\n"));
    heard.split(' ').nth(1).expect("a request line").to_owned()
}

/// What a client is answered when its request cannot be changed, and what the operator is told.
fn refused(listener: &str, service: &str, request: &str) -> (String, String) {
    let mut w = World::new(&config(listener, service, 1));
    let client = w.client();
    w.say(client, request);
    let upstream = w.connected();
    assert_eq!(w.heard(upstream), "", "a request that cannot be changed is not sent");
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
    let answer = w.heard(client);
    (answer.lines().next().unwrap_or_default().to_owned(), w.problems())
}

#[test]
fn each_operation_on_the_target() {
    for (rules, sent, expected) in [
        ("SetURL \"/x?y=z\"", "/a?b", "/x?y=z"),
        ("SetURL \"/%[host]%[port]%[url]\"", "/a?b", "/www.example:81/a?b"),
        ("SetPath \"/x%[path]\"", "/a?b=c", "/x/a?b=c"),
        ("SetPath \"/x\"", "/a", "/x"),
        ("SetPath -encode \"/x y/%[header X-A]?\"", "/a?b", "/x%20y/b%20c%3F?b"),
        ("SetPath \"/%[header X-A]\"", "/a", "/b%20c"),
        ("SetQuery \"q=%[param b]\"", "/a?b=c", "/a?q=c"),
        ("SetQuery \"q\"", "/a", "/a?q"),
        ("SetQuery \"\"", "/a?b", "/a"),
        ("SetQueryParam \"b\" \"%[header X-A]&\"", "/a?b=c&d", "/a?b=b%20c&&d"),
        ("SetQueryParam -encode \"e\" \"f&g\"", "/a?b=c&d", "/a?b=c&d&e=f%26g"),
        ("SetQueryParam \"b\"", "/a?b=c", "/a"),
        ("SetQueryParam \"d\"", "/a?b=c&d&d=1", "/a?b=c"),
        ("DeleteQuery", "/a?b", "/a"),
        ("DeleteQuery", "/a", "/a"),
        ("Path \"^/(.)/(.*)\"\nSetPath \"/$2/$1\"", "/a/b?c", "/b/a?c"),
        ("SetPath \"/%41%zz\"", "/a", "/%41%25zz"),
    ] {
        assert_eq!(target(rules, sent), expected, "{rules} on {sent}");
    }
}

/// A later rule sees what an earlier one did: target, fields, Host and the canned lines.
#[test]
fn operations_take_effect_at_once() {
    let rules = "SetPath \"/1%[path]\"\nSetHeader \"X-P: %[path]\"\nSetHeader \"X-Q: %[header X-P]!\"\n\
                 SetHeader \"Host: new.example:99\"\nSetHeader \"X-H: %[host]%[port]\"\n\
                 SetHeader \"X-F: %[header X-Forwarded-For]\"\nDeleteHeader \"^X-P:\"\n\
                 Rewrite\nPath \"^/1/(a)\"\nHeader \"X-Q: /1(.*)!\"\nNot Header \"X-P\"\n\
                 SetURL \"/$1(1)$1\"\nElse\nSetURL \"/wrong\"\nEnd";
    let heard = heard(rules, "", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        heard,
        "GET /a/a HTTP/1.1\r\nHost: new.example:99\r\n$CX-Q: /1/a!\r\nX-H: new.example:99\r\nX-F: 192.0.2.7\r\n\r\n"
    );
}

/// The same where only header rules of the listener stand, which are usually applied while the head is written.
#[test]
fn header_rules_see_each_other() {
    let rules = "SetHeader \"X-A: %[header X-Forwarded-For]\"\nSetHeader \"X-B: <%[header x-a]>\"";
    let heard = heard(rules, "", "GET / HTTP/1.1\r\nHost: h\r\nX-A: z\r\n\r\n");
    assert_eq!(heard, "GET / HTTP/1.1\r\nHost: h\r\nX-A: 192.0.2.7\r\n$CX-B: <192.0.2.7>\r\n\r\n");
}

#[test]
fn listeners_rules_run_before_those_of_the_service() {
    let order = "SetHeader \"X-Order: %[header X-Order]";
    let listener = format!("{order}l\"\nSetPath \"%[path]l\"");
    let service = format!("{order}s\"\nSetPath \"%[path]s\"");
    let heard = heard(&listener, &service, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(heard, "GET /als HTTP/1.1\r\nHost: h\r\n$CX-Order: ls\r\n\r\n");
}

/// Plain header rules of the listener and rules of the service work on the same head.
#[test]
fn header_rules_and_rules_of_a_service_mix() {
    let listener = "SetHeader \"X-A: 1\"\nDeleteHeader \"^X-Forwarded\"";
    let service = "SetHeader \"X-B: %[header X-A]%[header X-Forwarded-For]\"";
    let heard = heard(listener, service, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(heard, "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-B: 1\r\n\r\n");
}

/// The first branch that holds is carried out, and no other; a rewrite in it may have branches of its own.
#[test]
fn branches_and_nesting() {
    let rules = "Rewrite\nPath \"^/a\"\nRewrite\nMethod \"POST\"\nSetPath \"/a-post\"\nElse\nSetPath \"/a-else\"\nEnd\n\
                 Else\nPath \"^/b\"\nElse\nMatch or\nPath \"^/c\"\nPath \"^/d\"\nEnd\nSetPath \"/c-or-d\"\nEnd";
    for (sent, expected) in
        [("/a", "/a-else"), ("/b", "/b"), ("/c", "/c-or-d"), ("/d", "/c-or-d"), ("/e", "/e")]
    {
        assert_eq!(target(rules, sent), expected);
    }
    let heard = heard(rules, "", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert!(heard.starts_with("POST /a-post "), "{heard}");
}

/// What a service was selected by, and what matched in rules, can be referred to; a branch that did not hold leaves
/// nothing.
#[test]
fn back_references_reach_from_selection_to_rules() {
    let service = "Path \"^/(x)/\"\nRewrite\nHeader \"X-A: (.*)\"\nPath \"nowhere\"\nElse\nPath \"(.)$\"\n\
                   SetHeader \"X-R: $1 $1(1)\"\nEnd";
    let heard = heard("", service, "GET /x/y HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n");
    assert!(heard.ends_with("X-R: y x\r\n\r\n"), "{heard}");
}

/// No text of a request can end a line or a target early.
#[test]
fn neither_targets_nor_headers_can_be_split() {
    let rules =
        "SetPath \"/%[header X-A]\"\nSetQueryParam \"q\" \"%[header X-A]\"\nSetHeader \"X-B: %[header X-A]\"";
    let mut w = World::new(&config("", rules, 1));
    let client = w.client();
    w.say(client, b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: x HTTP/1.1\t\"<\xff>\"#\r\n\r\n");
    let upstream = w.connected();
    let heard = w.heard(upstream);
    let encoded = "x%20HTTP/1.1%09%22%3C%FF%3E%22%23";
    assert!(heard.starts_with(&format!("GET /{encoded}?q={encoded} HTTP/1.1\r\n")), "{heard}");
    assert_eq!(heard.matches("\r\n").count(), 8, "{heard}");
}

/// Rules cannot reach what frames a message or ends at us.
#[test]
fn framing_is_beyond_rules() {
    let rules = "DeleteHeader \".\"\nSetHeader \"X-Hop: ours\"";
    let request =
        "POST / HTTP/1.1\r\nHost: h\r\nX-Hop: theirs\r\nConnection: X-Hop\r\nContent-Length: 2\r\n\r\nab";
    let heard = heard("", rules, request);
    assert_eq!(heard, "POST / HTTP/1.1\r\nContent-Length: 2\r\nX-Hop: ours\r\n\r\nab");
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let heard = self::heard("", rules, chunked);
    assert!(
        heard.starts_with("POST / HTTP/1.1\r\nX-Hop: ours\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "{heard}"
    );
}

/// A client's own X-SSL lines never pass; a rule may set one.
#[test]
fn forged_lines_are_gone_before_rules_look() {
    let rules = "Rewrite\nHeader \"X-SSL-Subject\"\nSetPath \"/forged\"\nElse\nSetHeader \"X-SSL-Subject: none\"\nEnd";
    let heard = heard(
        "",
        rules,
        "GET / HTTP/1.1\r\nHost: h\r\nX-SSL-Subject: me\r\nX-Forwarded-Proto: https\r\n\r\n",
    );
    assert_eq!(heard, "GET / HTTP/1.1\r\nHost: h\r\n$CX-SSL-Subject: none\r\n\r\n");
}

#[test]
fn what_cannot_be_expanded_is_500_and_names_the_place() {
    let get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let (answer, problem) = refused("", "SetPath \"/ab$3\"", get);
    assert_eq!(answer, "HTTP/1.1 500 Internal Server Error");
    assert!(problem.contains("e500") && problem.contains("no such group at byte 4"), "{problem}");
    for rules in ["SetURL \"%[query]\"", "SetPath \"$1\"", "SetPath \"%[header X-None]\""] {
        let (answer, problem) = refused("", rules, get);
        assert_eq!(answer, "HTTP/1.1 500 Internal Server Error", "{rules}");
        assert!(problem.contains("e500"), "{rules}: {problem}");
    }
    let (_, problem) = refused("", "SetPath \"%[query]\"", get);
    assert!(problem.contains("is empty"), "{problem}");
}

/// Rules that double a head again and again stop at the cap.
#[test]
fn a_head_does_not_grow_without_end() {
    let double = "SetHeader \"X-A: %[header X-A]%[header X-A]\"\n".repeat(20);
    let request = format!("GET / HTTP/1.1\r\nHost: h\r\nX-A: {}\r\n\r\n", "a".repeat(1000));
    let (answer, problem) = refused("", &double, &request);
    assert_eq!(answer, "HTTP/1.1 500 Internal Server Error");
    assert!(problem.contains("too long"), "{problem}");
}

/// CONNECT and OPTIONS * have targets that are no URLs.
#[test]
fn other_forms_of_target() {
    let connect = "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n";
    let (answer, _) = refused("xHTTP 3", "SetPath \"/x\"", connect);
    assert_eq!(answer, "HTTP/1.1 500 Internal Server Error");
    let options = "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(heard("xHTTP 3", "DeleteQuery", options).starts_with("OPTIONS * HTTP/1.1\r\n"));
    let absolute = "GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(heard("", "SetPath \"%[path]c\"", absolute).starts_with("GET /ac?b HTTP/1.1\r\nHost: h\r\n"));
    let old = "GET http://h/a HTTP/1.0\r\n\r\n";
    let seen = heard("", "SetHeader \"X-H: %[host] %[header host]\"", old);
    assert!(seen.starts_with("GET /a HTTP/1.0\r\nHost: h\r\n$CX-H: h h\r\n"), "{seen}");
}

/// Another backend gets the request as the first one would have, not with rules applied twice.
#[test]
fn a_second_attempt_starts_from_the_request_as_it_came() {
    let rules =
        "Path \"(.)$\"\nSetPath \"%[path]x$1\"\nRewrite\nPath \"^/(.)\"\nSetHeader \"X-R: $1 $1(1)\"\nEnd";
    let mut w = World::new(&config("", rules, 2));
    let client = w.client();
    w.say(client, "GET /ab HTTP/1.1\r\nHost: h\r\n\r\n");
    let first = w.connected();
    let seen = w.heard(first);
    assert!(seen.starts_with("GET /abxb ") && seen.ends_with("X-R: a b\r\n\r\n"), "{seen}");
    w.say(first, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    w.say(client, "GET /ab HTTP/1.1\r\nHost: h\r\n\r\n");
    let second = w.connected();
    let seen_there = w.heard(second);
    w.say(second, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    w.say(client, "GET /ab HTTP/1.1\r\nHost: h\r\n\r\n");
    // The parked connection dies under the request, which then goes elsewhere.
    let again = w.heard(first);
    w.fail(first, ounce_core::Fault::Reset);
    let last = w.connected();
    let repeated = w.heard(last);
    for seen_again in [seen_there, again, repeated] {
        assert_eq!(seen_again, seen);
    }
}

/// A request and the answer that its client gets.
fn answered(listener: &str, service: &str, request: &str, response: &str) -> String {
    let mut w = World::new(&config(listener, service, 1));
    let client = w.client();
    w.say(client, request);
    let upstream = w.connected();
    w.say(upstream, response);
    w.heard(client)
}

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-In: request\r\n\r\n";

/// Conditions and accessors of response rules mean the response's fields; the rest is the request's, as the backend
/// saw it.
#[test]
fn response_rules_look_at_the_response() {
    let service = "SetPath \"/new\"\nRewrite response\nHeader \"Server: (.*)\"\nHeader \"X-In\" \"^resp\"\n\
                   SetHeader \"X-S: $1(1) %[header X-In] %[path] %[param b]\"\nDeleteHeader \"^Server\"\n\
                   Else\nSetHeader \"X-S: else\"\nEnd";
    let with = "HTTP/1.1 200 Fine\r\nServer: s/1\r\nX-In: response\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(
        answered("", service, GET, with),
        "HTTP/1.1 200 Fine\r\nX-In: response\r\nContent-Length: 2\r\nX-S: s/1 response /new c\r\n\r\nok"
    );
    let without = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(
        answered("", service, GET, without),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-S: else\r\n\r\nok"
    );
}

#[test]
fn services_response_rules_run_before_those_of_the_listener() {
    let rule = |name: &str| format!("Rewrite response\nSetHeader \"X-Order: %[header X-Order]{name}\"\nEnd");
    let response = "HTTP/1.1 200 OK\r\nX-Order: b\r\nContent-Length: 0\r\n\r\n";
    let answer = answered(&rule("l"), &rule("s"), GET, response);
    assert!(answer.contains("\r\nX-Order: bsl\r\n"), "{answer}");
}

/// Groups that selected the service are there when the response is changed.
#[test]
fn back_references_survive_into_responses() {
    let service = "Path \"^/(.)\"\nRewrite response\nSetHeader \"X-P: $1\"\nEnd";
    let answer = answered("", service, GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(answer.contains("\r\nX-P: a\r\n"), "{answer}");
}

/// Rules see a rewritten Location, and cannot reach what frames the response.
#[test]
fn responses_are_framed_whatever_rules_say() {
    let rules = "Rewrite response\nSetHeader \"X-L: %[header Location]\"\nDeleteHeader \"Content|Transfer|Conn|Loc\"\nEnd";
    let response = "HTTP/1.1 301 Moved\r\nLocation: http://10.1.0.1:8000/x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    assert_eq!(
        answered(rules, "", GET, response),
        "HTTP/1.1 301 Moved\r\nX-L: http://h/x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    );
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Type: x\r\n\r\na";
    let old = "GET / HTTP/1.0\r\n\r\n";
    let answer = answered(rules, "", old, length);
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-L: \r\nConnection: close\r\n\r\na");
}

/// A response that cannot be changed is not passed on.
#[test]
fn a_response_that_cannot_be_changed_is_500() {
    let rules = "Rewrite response\nSetHeader \"X-P: $4\"\nEnd";
    let mut w = World::new(&config(rules, "", 1));
    let client = w.client();
    let upstream = w.get(client);
    w.say(upstream, "HTTP/1.1 200 OK\r\nX-Secret: s\r\nContent-Length: 2\r\n\r\nok");
    let answer = w.heard(client);
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("Secret"), "{answer}");
    assert!(w.problems().contains("no such group at byte 1"));
    assert_eq!(w.wire(upstream).closed, Some(Close::Abort));
}

/// Interim responses pass as they are; an upgrade is passed on whatever rules say.
#[test]
fn only_final_responses_are_changed() {
    let rules = "Rewrite response\nDeleteHeader \".\"\nSetHeader \"X-A: b\"\nEnd";
    let early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        answered(rules, "", GET, early),
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\n\r\n"
    );
}
