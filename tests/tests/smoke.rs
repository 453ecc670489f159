//! What somebody who has never seen the project does first: `ounce --demo`, and curl in another terminal.

use nix::sys::signal::Signal;
use ounce_tests::barrier::{Journal, until};
use ounce_tests::process::{self, Running};
use ounce_tests::{program, tool};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const URL: &str = "http://127.0.0.1:8080";

fn curl(words: &[&str]) -> String {
    let output = tool::run("curl", [["-sS", "--max-time", "30"].as_slice(), words].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One test, since the demo has one port.
#[test]
fn the_demo_balances_between_three_origins_and_ends_with_ctrl_c() {
    assert!(
        std::net::TcpStream::connect("127.0.0.1:8080").is_err(),
        "somebody listens on port 8080, which the demo needs"
    );
    let mut command = Command::new(program::ounce());
    let child =
        command.arg("--demo").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program");
    let mut demo = Running::new(child);
    let printed = Journal::default();
    let lines = BufReader::new(demo.child().stdout.take().expect("a pipe")).lines();
    let into = printed.clone();
    std::thread::spawn(move || {
        lines.map_while(Result::ok).for_each(|line| {
            into.push(line);
        });
        into.end();
    });
    printed.wait_for("the introduction", |line| line.contains(&format!("curl {URL}/")));
    until("the demo to listen", || std::net::TcpStream::connect("127.0.0.1:8080").ok());

    // Each request goes to the next of three, which says its name and shows what came.
    let answers: Vec<String> =
        (0..6).map(|_| curl(&["-H", "X-Shown: yes", &format!("{URL}/some/path?q")])).collect();
    let names: BTreeSet<&str> =
        answers.iter().map(|answer| answer.split('.').next().unwrap_or_default()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(answers[0].contains("GET /some/path?q") && answers[0].contains("x-shown: yes"), "{}", answers[0]);
    assert!(answers[0].contains("x-forwarded-for: 127.0.0.1"), "{}", answers[0]);
    // A visitor of /sticky stays where he is.
    let homes: BTreeSet<String> = (0..6).map(|_| curl(&[&format!("{URL}/sticky")])).collect();
    assert_eq!(homes.len(), 1, "{homes:?}");
    let code = |path: &str| {
        curl(&["-o", "/dev/null", "-w", "%{http_code} %{size_download}", &format!("{URL}{path}")])
    };
    assert_eq!(code("/large"), "200 100000000");
    assert!(code("/fail").starts_with("500 "), "{}", code("/fail"));
    assert!(code("/moved").starts_with("302 "), "{}", code("/moved"));
    assert!(code("/slow").starts_with("200 "), "{}", code("/slow"));

    // What it says to try with ouncectl works as it is printed.
    let words = printed.wait_for("a line about ouncectl", |line| line.contains("ouncectl -s"));
    let socket = words.split_whitespace().nth(2).expect("a socket").to_owned();
    let output = Command::new(program::ouncectl()).args(["-s", &socket, "list"]).output().expect("ouncectl");
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && list.contains("origins"), "{output:?}");

    let family = process::family(demo.pid());
    demo.signal(Signal::SIGINT);
    assert_eq!(demo.wait().code(), Some(0));
    family.into_iter().for_each(process::wait_gone);
    assert!(!std::path::Path::new(&socket).exists());
}
