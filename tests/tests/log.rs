//! Request lines in each of the six formats, problems, and a reader that stalls.

use ounce_tests::crowd::{Crowd, Manner};
use ounce_tests::origin::Origin;
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup, backend};
use std::io::{BufRead, BufReader};

const REQUEST: &str = "GET /a?b HTTP/1.1\r\nHost: v.example:99\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\
                       Referer: http://ref/\r\nUser-Agent: agent/1\r\n\r\n";

fn start(level: &str) -> (Origin, Proxy) {
    let origin = Origin::named("hello");
    let inside = format!("Service \"main\"\n{}End\n", backend(origin.address(), ""));
    let proxy = Setup::new().global("LogLevel", level).listener(&inside).start();
    (origin, proxy)
}

/// The line that a request leaves at this level.
fn line(level: &str) -> (String, Origin) {
    let (origin, proxy) = start(level);
    assert_eq!(proxy.client().ask(REQUEST).text(), "hello");
    (proxy.lines().wait_len("a request line", 1).remove(0), origin)
}

/// Replaces the time in brackets, after checking that it looks like one.
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap_or_else(|| panic!("no time in {line}"));
    let (time, after) = rest.split_once(']').unwrap_or_else(|| panic!("no time in {line}"));
    let shape: String =
        time.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let known = months
        .iter()
        .any(|month| ["+", "-"].iter().any(|sign| shape == format!("00/{month}/0000:00:00:00 {sign}0000")));
    assert!(known, "{time}");
    format!("{before}[TIME]{after}")
}

/// Cuts the seconds that a request took, after checking that they are seconds.
fn without_seconds(line: &str) -> String {
    let (before, seconds) = line
        .strip_suffix(" sec")
        .and_then(|line| line.rsplit_once(' '))
        .unwrap_or_else(|| panic!("no seconds in {line}"));
    assert!(seconds.parse::<f64>().is_ok_and(|seconds| (0.0..30.0).contains(&seconds)), "{line}");
    before.to_owned()
}

#[test]
fn level_1_says_who_asked_for_what_and_got_what() {
    for level in ["1", "\"regular\""] {
        let (line, _) = line(level);
        assert_eq!(line, "127.0.0.1 GET /a?b HTTP/1.1 - HTTP/1.1 200 OK");
    }
}

#[test]
fn level_2_adds_where_it_went_and_how_long_it_took() {
    let (line, origin) = line("2");
    let wanted =
        format!("127.0.0.1 GET /a?b HTTP/1.1 - HTTP/1.1 200 OK (v.example:99/main -> {})", origin.address());
    assert_eq!(without_seconds(&line), wanted);
}

#[test]
fn levels_3_to_5_are_the_combined_formats() {
    let combined = "127.0.0.1 - user [TIME] \"GET /a?b HTTP/1.1\" 200 5 \"http://ref/\" \"agent/1\"";
    let (four, _) = line("4");
    assert_eq!(without_time(&four), combined);
    let (three, _) = line("3");
    let (host, rest) = three.split_once(' ').expect("a host");
    assert!(host.starts_with("v.example:"), "{three}");
    assert_eq!(without_time(rest), combined);
    let (five, origin) = line("5");
    let (host, rest) = five.split_once(' ').expect("a host");
    assert!(host.starts_with("v.example:"), "{five}");
    let tail = format!(" (main -> {})", origin.address());
    assert_eq!(without_time(&without_seconds(rest)), format!("{combined}{tail}"));
}

#[test]
fn level_0_says_nothing() {
    let (_origin, proxy) = start("0");
    for _ in 0..20 {
        assert_eq!(proxy.client().ask(REQUEST).status, 200);
    }
    let lines = proxy.lines().clone();
    drop(proxy);
    // With the end of the proxy everything is written that ever will be.
    assert_eq!(lines.find(|all| (!all.is_empty()).then(|| all.to_vec())), None);
}

#[test]
fn every_request_leaves_one_line() {
    let (_origin, proxy) = start("1");
    let mut client = proxy.client();
    for number in 0..500 {
        assert_eq!(client.get(&format!("/{number}")).status, 200);
    }
    let lines = proxy.lines().wait_len("request lines", 500);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("127.0.0.1 GET /{number} HTTP/1.1 - HTTP/1.1 200 OK"));
    }
}

#[test]
fn a_client_writes_no_lines_of_his_own() {
    let (_origin, proxy) = start("4");
    let sly = "GET / HTTP/1.1\r\nHost: a\r\nReferer: x\" \"y\r\nUser-Agent: caf\u{e9}\t\\end\r\n\r\n";
    proxy.client().ask(sly);
    proxy.client().ask("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    let lines = proxy.lines().wait_len("two request lines", 2);
    assert!(lines[1].contains("GET /second"), "{lines:#?}");
    assert!(!lines[0].contains("x\" \"y"), "a quote ends the field: {}", lines[0]);
}

#[test]
fn what_is_refused_is_a_problem_with_its_reason() {
    let (_origin, proxy) = start("1");
    assert_eq!(proxy.client().ask("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n").status, 400);
    let problem = proxy.problems().wait_for("a problem", |line| line.contains("e400"));
    assert!(problem.contains("127.0.0.1"), "{problem}");
    // Errors leave a request line as well, even one without a request (pound.md section 12).
    let lines = proxy.lines().wait_len("a request line", 1);
    assert!(lines[0].contains("400"), "{lines:?}");
}

#[test]
fn a_backend_that_dies_and_comes_back_is_reported() {
    let port = std::sync::Arc::new(Port::reserve());
    let proxy = Proxy::before(&[port.address()]);
    assert_eq!(proxy.client().get("/").status, 503);
    let address = port.address().to_string();
    proxy.problems().wait_for("the failure", |line| line.contains(&address) && line.contains("refused"));
    let _origin = Origin::named_on(port, "a");
    proxy.problems().wait_for("the return", |line| line.contains(&address) && line.contains("alive"));
}

/// A worker never waits for whoever reads the log: what cannot be queued is counted and dropped.
#[test]
fn a_reader_that_stalls_holds_up_nobody() {
    let origin = Origin::named("a");
    let mut proxy = Setup::new().global("LogLevel", "4").backends(&[origin.address()]).start_unread();
    let long = "x".repeat(2000);
    let request = format!("GET /{long} HTTP/1.1\r\nHost: a\r\nUser-Agent: {long}\r\nReferer: {long}\r\n\r\n");
    let mut clients: Vec<_> = (0..4).map(|_| proxy.client()).collect();
    for _ in 0..2500 {
        for client in &mut clients {
            client.send(&request);
        }
        for client in &mut clients {
            assert_eq!(client.answer().status, 200);
        }
    }
    // The reader wakes: whole lines come, and it is told how many did not.
    let stdout = proxy.running().child().stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let lines: Vec<String> = lines.filter(|line| line.contains("GET /x")).collect();
        assert!(lines.iter().all(|line| line.ends_with(&format!("\"{long}\""))), "a line was cut");
        lines.len()
    });
    let crowd = Crowd::gather(proxy.address(), 4, Manner::KeepAlive);
    crowd.wait_answers(100);
    let (_, failures) = crowd.stop();
    assert!(failures.is_empty(), "{failures:?}");
    drop(proxy);
    let written = reader.join().expect("a reader");
    assert!((1..10_000).contains(&written), "{written} of 10000 lines, and nothing was dropped");
}
