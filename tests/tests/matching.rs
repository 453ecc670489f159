//! Conditions and their options, sentence by sentence (pound.md section 4), against the running program.

use ounce_tests::proxy::{Proxy, Setup};

/// A condition, and requests (target and fields) that it holds for or not.
struct Case {
    conditions: &'static str,
    holds: &'static [(&'static str, &'static str)],
    fails: &'static [(&'static str, &'static str)],
}

const fn case(
    conditions: &'static str,
    holds: &'static [(&'static str, &'static str)],
    fails: &'static [(&'static str, &'static str)],
) -> Case {
    Case { conditions, holds, fails }
}

/// One service for each case, which takes only requests that name it.
fn start(cases: &[Case], globals: &str) -> Proxy {
    let services: String = cases
        .iter()
        .enumerate()
        .map(|(number, case)| {
            format!("Service\nHeader \"X-Case\" -exact \"{number}\"\n{}\nSuccess\nEnd\n", case.conditions)
        })
        .collect();
    let setup = Setup::new();
    std::fs::write(setup.folder().join("paths"), "^/one$\n# a comment\n\n^/two$\n").expect("a file");
    setup.text(globals).listener(&format!("xHTTP 3\n{services}")).start()
}

fn check(cases: &[Case], globals: &str) {
    let proxy = start(cases, globals);
    let mut client = proxy.client();
    for (number, case) in cases.iter().enumerate() {
        let expected = case.holds.iter().map(|of| (of, 200)).chain(case.fails.iter().map(|of| (of, 503)));
        for ((target, fields), status) in expected {
            let (method, target) = target.split_once(' ').unwrap_or(("GET", target));
            let host = if fields.to_lowercase().contains("host:") { "" } else { "Host: www.example.com\r\n" };
            let text = format!("{method} {target} HTTP/1.1\r\n{host}X-Case: {number}\r\n{fields}\r\n");
            let answer = client.ask(text);
            assert_eq!(answer.status, status, "{}: {target} {fields}", case.conditions);
            if answer.closes() {
                client = proxy.client();
            }
        }
    }
}

#[test]
fn parts_of_the_url() {
    check(
        &[
            // As sent, not decoded, query and all.
            case("URL \"^/%61\\\\?b%20c$\"", &[("/%61?b%20c", "")], &[("/a?b%20c", ""), ("/%61?b+c", "")]),
            // The last question mark parts path and query.
            case("Path -exact \"/a?b\"", &[("/a?b?c", "")], &[("/a?b", ""), ("/a", "")]),
            case("Query -exact \"c\"", &[("/a?b?c", ""), ("/?c", "")], &[("/a?c?b", ""), ("/c", "")]),
            // False without a query, but an empty one is one.
            case("Query \".*\"", &[("/?", ""), ("/?x", "")], &[("/", "")]),
            case("Not Query \".*\"", &[("/", "")], &[("/?", "")]),
            // The first parameter of the name, compared exactly, raw.
            case(
                "QueryParam \"id\" -exact \"1\"",
                &[("/?id=1&id=2", "")],
                &[("/?id=2&id=1", ""), ("/?ID=1", ""), ("/?xid=1", "")],
            ),
            case("QueryParam \"id\" \".*\"", &[("/?id=", "")], &[("/?id", ""), ("/?a=id=", ""), ("/", "")]),
            case("QueryParam \"q\" -exact \"a%20b\"", &[("/?q=a%20b", "")], &[("/?q=a+b", "")]),
            case("QueryParam \"q\" -decode -exact \"a b\"", &[("/?q=a%20b", "")], &[("/?q=ab", "")]),
            case("Path -decode -exact \"/a b\"", &[("/a%20b", "")], &[("/a%2520b", "")]),
        ],
        "",
    );
}

#[test]
fn ways_to_compare() {
    check(
        &[
            case("Path \"b\"", &[("/abc", "")], &[("/ac", ""), ("/aBc", "")]),
            case("Path -re \"^/a.c$\"", &[("/abc", "")], &[("/abcd", "")]),
            case("Path -exact \"/a.c\"", &[("/a.c", "")], &[("/abc", ""), ("/a.cd", ""), ("/A.c", "")]),
            case("Path -beg \"/a\"", &[("/a", ""), ("/abc", "")], &[("/", ""), ("/x/a", "")]),
            case("Path -end \"c\"", &[("/abc", ""), ("/c", "")], &[("/cd", "")]),
            case("Path -contain \"b.\"", &[("/ab.c", "")], &[("/abc", "")]),
            case("Path -icase -exact \"/ABC\"", &[("/abc", ""), ("/AbC", "")], &[("/abcd", "")]),
            case("Path -icase \"^/ABC$\"", &[("/abc", "")], &[("/ab", "")]),
            case("Path -beg -icase \"/AB\"", &[("/abc", "")], &[("/bc", "")]),
            case("Path -contain -icase \"B\"", &[("/abc", "")], &[("/ac", "")]),
            // The last option of a kind holds.
            case("Path -exact -beg \"/a\"", &[("/ab", "")], &[("/b", "")]),
            case("Header \"X-V\" -case -exact \"V\"", &[("/", "X-V: V\r\n")], &[("/", "X-V: v\r\n")]),
            // One of the patterns of a file.
            case(
                "Path -file \"{folder}/paths\"",
                &[("/one", ""), ("/two", "")],
                &[("/three", ""), ("/onetwo", "")],
            ),
            case("Path -exact -file \"{folder}/paths\"", &[], &[("/one", "")]),
            case("Path -pcre \"^/\\\\d+$\"", &[("/42", "")], &[("/x", "")]),
            case("Path -posix \"^/[[:digit:]]+$\"", &[("/42", "")], &[("/x", "")]),
        ],
        "",
    );
}

#[test]
fn headers_hosts_and_methods() {
    check(
        &[
            // Each line, anywhere, without case, with anchors for the line.
            case(
                "Header \"x-a: *1\"",
                &[("/", "X-A: 1\r\n"), ("/", "X-A:   12\r\n")],
                &[("/", "X-B: 1\r\n")],
            ),
            case(
                "Header \"^X-A: 1$\"",
                &[("/", "X-A: 1\r\n"), ("/", "X-B: 2\r\nX-A: 1\r\n")],
                &[("/", "X-A: 12\r\n"), ("/", "Y-X-A: 1\r\n")],
            ),
            case("HeadRequire \"Cookie:.*a=1\"", &[("/", "cookie: b=2; A=1\r\n")], &[("/", "")]),
            case("HeadDeny \"X-A\"", &[("/", "")], &[("/", "x-a: 1\r\n")]),
            // The value of each header of the name.
            case(
                "Header \"X-A\" \"^1$\"",
                &[("/", "x-a: 1\r\n"), ("/", "X-A: 2\r\nX-A: 1\r\n")],
                &[("/", "X-A: 12\r\n"), ("/", "X-AB: 1\r\n"), ("/", "")],
            ),
            case(
                "Host \"www.example.com\"",
                &[("/", ""), ("/", "Host: WWW.Example.COM:81\r\n")],
                &[
                    ("/", "Host: example.com\r\n"),
                    ("/", "Host: www.example.com.org\r\n"),
                    ("/", "Host: wwwxexample.com\r\n"),
                ],
            ),
            case(
                "Host \"www.example.com:81\"",
                &[("/", "Host: www.example.com:81\r\n")],
                &[("/", ""), ("/", "Host: www.example.com:82\r\n")],
            ),
            case(
                "Host -re \"^(www|ftp)\\\\.\"",
                &[("/", "Host: ftp.example.org\r\n")],
                &[("/", "Host: example.org\r\n")],
            ),
            case(
                "Host -end \".example.com\"",
                &[("/", "Host: a.b.EXAMPLE.com\r\n")],
                &[("/", "Host: example.com\r\n")],
            ),
            case(
                "Method \"^P\"",
                &[("PUT /", "Content-Length: 0\r\n"), ("POST /", "Content-Length: 0\r\n")],
                &[("GET /", ""), ("/", "")],
            ),
            case("Method -exact \"get\"", &[], &[("/", "")]),
        ],
        "",
    );
}

#[test]
fn combinations() {
    check(
        &[
            case(
                "Match or\nPath \"^/a\"\nMatch and\nPath \"^/b\"\nNot Query \"x\"\nEnd\nEnd",
                &[("/a?x", ""), ("/b", "")],
                &[("/b?x", ""), ("/c", "")],
            ),
            case("Match\nPath \"^/a\"\nQuery \"x\"\nEnd", &[("/a?x", "")], &[("/a", ""), ("/b?x", "")]),
            case("Not Match or\nPath \"^/a\"\nPath \"^/b\"\nEnd", &[("/c", "")], &[("/a", ""), ("/b", "")]),
            case("Not Not Path \"^/a\"", &[("/a", "")], &[("/b", "")]),
            case("Eval \"inner\"\nNot Eval \"outer\"", &[("/a?y", "")], &[("/a?x", ""), ("/b?y", "")]),
            case(
                "StringMatch \"%[host]:%[path]\" -exact \"www.example.com:/a\"",
                &[("/a?x", "")],
                &[("/b", "")],
            ),
            case(
                "Path \"^/(.*)/(.*)$\"\nStringMatch \"$1\" -exact \"same\"\nStringMatch \"$2(1)\" \"^s\"",
                &[("/same/so", "")],
                &[("/same/no", ""), ("/other/so", "")],
            ),
            case("ACL \"near\"", &[("/", "")], &[]),
            case("Not ACL \"near\"", &[], &[("/", "")]),
            case("ACL\n\"192.0.2.1\"\n\"::1\"\nEnd", &[], &[("/", "")]),
        ],
        "ACL \"near\"\n\"127.0.0.0/8\"\nEnd\nCondition \"inner\"\nPath \"^/a\"\nEnd\n\
         Condition \"outer\" and\nEval \"inner\"\nQuery \"x\"\nEnd\n",
    );
}

/// `IgnoreCase` holds for what follows, beyond its own section, and not for headers, hosts and methods.
#[test]
fn ignore_case_leaks_as_it_always_did() {
    check(
        &[
            case("IgnoreCase 1\nPath \"^/ABC$\"", &[("/abc", "")], &[("/ab", "")]),
            case("Path -exact \"/ABC\"", &[("/abc", "")], &[("/ab", "")]),
            case("Method \"^get$\"", &[], &[("/", "")]),
            case("Path -case \"^/ABC$\"", &[("/ABC", "")], &[("/abc", "")]),
            case("IgnoreCase 0\nPath \"^/ABC$\"", &[("/ABC", "")], &[("/abc", "")]),
            case("Query \"^ABC$\"", &[("/?ABC", "")], &[("/?abc", "")]),
        ],
        "",
    );
}
