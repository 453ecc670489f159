//! Patterns beyond what a linear search can tell, and services that are told apart by looking them up.

use ounce_tests::answer::Answer;
use ounce_tests::proxy::{Proxy, Setup};
use std::fmt::Write;

fn ask(proxy: &Proxy, target: &str, host: &str) -> Answer {
    proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// Where a request is sent, or the status of what it got instead.
fn place(proxy: &Proxy, target: &str) -> String {
    let answer = ask(proxy, target, "a");
    let location = answer.fields.get("Location").map(str::to_owned);
    location.unwrap_or_else(|| answer.status.to_string())
}

#[test]
fn perl_and_posix_patterns_look_around_and_back_and_leave_their_groups() {
    let proxy = Setup::new()
        .listener(
            "Service\nPath -pcre \"^/(?!admin)(\\\\w+)/(?=x)\"\nRedirect \"http://ahead.test/$1/\"\nEnd\n\
             Service\nPath -posix \"^/([a-z]+)/\\\\1$\"\nRedirect \"http://twice.test/$1/\"\nEnd\n\
             Service\nHeader -perl \"^X-Twice: (\\\\w)\\\\1$\"\nRedirect \"http://header.test/$1/\"\nEnd\n",
        )
        .start();
    assert_eq!(place(&proxy, "/shop/x"), "http://ahead.test/shop/");
    assert_eq!(place(&proxy, "/admin/x"), "503");
    assert_eq!(place(&proxy, "/admin/admin"), "http://twice.test/admin/");
    assert_eq!(place(&proxy, "/admin/user"), "503");
    let answer = proxy.client().ask("GET / HTTP/1.1\r\nHost: a\r\nX-Twice: bb\r\n\r\n");
    assert_eq!(answer.fields.get("Location"), Some("http://header.test/b/"));
}

/// `RegexType` holds for what follows it, and an option for one pattern.
#[test]
fn the_type_of_patterns_is_that_of_the_last_regextype() {
    let proxy = Setup::new()
        .text("RegexType perl")
        .listener("Service\nPath \"^/a(?!b)\"\nRedirect \"http://perl.test/x\"\nEnd\n")
        .start();
    assert_eq!(place(&proxy, "/ac"), "http://perl.test/x");
    assert_eq!(place(&proxy, "/ab"), "503");
}

/// A pattern that would search for years counts as no match after a while, and says so; others are served meanwhile.
#[test]
fn a_search_without_end_is_given_up() {
    let proxy = Setup::new()
        .listener(
            "Service\nPath -pcre \"^/(a+)+(?=c)$\"\nError 404\nEnd\n\
             Service\nRedirect \"http://rest.test/x\"\nEnd\n",
        )
        .start();
    assert_eq!(place(&proxy, &format!("/{}", "a".repeat(2000))), "http://rest.test/x");
    let problem = proxy.problems().wait_for("the pattern", |line| line.contains("given up"));
    assert!(problem.contains("(a+)+(?=c)"), "{problem}");
    assert_eq!(ask(&proxy, "/aac", "a").status, 302, "what is ahead of `c` is never the end");
}

/// Four hundred services share hosts and paths of every kind: each request finds its own, and the first one that takes it.
#[test]
fn each_of_many_services_is_found_and_the_first_of_two() {
    let mut text = String::new();
    for number in 0..400 {
        let path = match number % 4 {
            0 => format!("Path -exact \"/exact{number}\""),
            1 => format!("Path -beg \"/beg{number}/\""),
            2 => format!("Path -end \"/{number}.end\""),
            _ => format!("Path \"^/(re|regex){number}/[0-9]+$\""),
        };
        let host = number % 3;
        _ = write!(
            text,
            "Service\nHost \"h{host}.test\"\n{path}\nRedirect \"http://s{number}.test/x\"\nEnd\n"
        );
    }
    text.push_str("Service\nPath \"^/beg5/late\"\nRedirect \"http://late.test/x\"\nEnd\n");
    text.push_str("Service\nNot Host \"h0.test\"\nRedirect \"http://rest.test/x\"\nEnd\n");
    let proxy = Setup::new().listener(&text).start();
    let find = |target: &str, host: &str| {
        let answer = ask(&proxy, target, host);
        answer.fields.get("Location").map_or_else(|| answer.status.to_string(), str::to_owned)
    };
    for number in (0..400).step_by(7) {
        let target = match number % 4 {
            0 => format!("/exact{number}"),
            1 => format!("/beg{number}/and/more?x=1"),
            2 => format!("/any/where/{number}.end"),
            _ => format!("/regex{number}/42"),
        };
        let (own, other) = (number % 3, (number + 1) % 3);
        assert_eq!(
            find(&target, &format!("H{own}.test:8080")),
            format!("http://s{number}.test/x"),
            "{target}"
        );
        let rest = if other == 0 { "503" } else { "http://rest.test/x" };
        assert_eq!(find(&target, &format!("h{other}.test")), rest, "{target}");
    }
    assert_eq!(find("/beg5/late", "h2.test"), "http://s5.test/x");
    assert_eq!(find("/beg5/late", "h1.test"), "http://late.test/x");
}
