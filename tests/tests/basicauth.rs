//! `BasicAuth`: who knows a password comes in, and nobody waits for whoever is looked at.

use nix::sys::signal::Signal;
use ounce_tests::answer::Answer;
use ounce_tests::barrier::until;
use ounce_tests::client::Client;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup};
use ounce_tests::tool;
use std::fs;

/// `Aladdin` with `open sesame`, and with something else.
const RIGHT: &str = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
const WRONG: &str = "Authorization: Basic QWxhZGRpbjpzaHV0";

/// Users come in to the origin, as its manual says; others see a page that asks for a password.
fn guarded(origin: &Origin, users: &str) -> Setup {
    let setup = Setup::new().global("LogLevel", "3").listener(&format!(
        "ErrorFile 401 \"{{folder}}/401\"\nService\nNot BasicAuth \"{{folder}}/users\"\nError 401\nEnd\n\
         Service \"inside\"\nSetHeader \"X-User: %[user]\"\n{}End\n",
        ounce_tests::proxy::backend(origin.address(), "")
    ));
    fs::write(setup.folder().join("401"), "WWW-Authenticate: Basic realm=\"inside\"\n\nwho are you?")
        .expect("a file");
    fs::write(setup.folder().join("users"), users).expect("a file");
    setup
}

fn ask(proxy: &Proxy, header: &str) -> Answer {
    proxy.client().ask(format!("GET / HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n"))
}

fn passwd(arguments: &[&str]) -> String {
    let made = tool::run("openssl", [&["passwd"], arguments, &["open sesame"]].concat());
    String::from_utf8(made.stdout).expect("a hash").trim().to_owned()
}

#[test]
fn every_kind_of_password_lets_its_user_in_and_nobody_else() {
    let origin = Origin::named("inside");
    let argon2 = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$nothing";
    for secret in ["open sesame", &passwd(&["-apr1"]), &passwd(&["-1"]), &passwd(&["-5"]), &passwd(&["-6"])] {
        let proxy = guarded(&origin, &format!("other:x\nAladdin:{secret}\nlast:{argon2}\n")).start();
        let answer = ask(&proxy, "X-A: b");
        assert_eq!((answer.status, answer.text().as_str()), (401, "who are you?"));
        assert_eq!(answer.fields.get("WWW-Authenticate"), Some("Basic realm=\"inside\""));
        for _ in 0..2 {
            assert_eq!(ask(&proxy, RIGHT).text(), "inside", "{secret}");
            assert_eq!(ask(&proxy, WRONG).status, 401, "{secret}");
            // A stranger with the same password.
            assert_eq!(ask(&proxy, "Authorization: Basic eDpvcGVuIHNlc2FtZQ==").status, 401);
        }
    }
}

#[test]
fn the_user_is_named_to_the_backend_and_in_the_log() {
    let origin = Origin::named("inside");
    let proxy = guarded(&origin, "Aladdin:open sesame\n").start();
    assert_eq!(ask(&proxy, RIGHT).status, 200);
    let heard = origin.received().wait_len("a request", 1);
    assert_eq!(heard[0].fields.get("X-User"), Some("Aladdin"));
    proxy.lines().wait_for("a line", |line| line.contains(" - Aladdin ["));
}

#[test]
fn a_file_of_users_changes_without_a_reload() {
    let origin = Origin::named("inside");
    let proxy = guarded(&origin, "Aladdin:shut\n").start();
    let workers = proxy.workers();
    assert_eq!((ask(&proxy, RIGHT).status, ask(&proxy, WRONG).status), (401, 200));
    fs::write(proxy.folder().join("users"), "Aladdin:open sesame\n").expect("a file");
    proxy
        .problems()
        .wait_for("the change", |line| line.contains("users has changed: its new contents are in use"));
    assert_eq!((ask(&proxy, RIGHT).status, ask(&proxy, WRONG).status), (200, 401));
    assert_eq!(proxy.workers(), workers);
}

/// Helpers do it, and the loop of the only worker goes on meanwhile.
#[test]
fn a_slow_hash_stalls_nobody() {
    let origin = Origin::named("inside");
    let slow = "$2y$10$abcdefghijklmnopqrstuuWhDRkJQ6rmqhFPSN0nOaRS8FHwzUWTi";
    let proxy = guarded(&origin, &format!("Aladdin:{slow}\n")).global("Workers", "1").start();
    let mut waiting: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{RIGHT}\r\n\r\n"));
    }
    for _ in 0..50 {
        assert_eq!(ask(&proxy, "X-A: b").status, 401);
    }
    until("three jobs of helpers", || (proxy.counter("ounce_crew_jobs_total") == 3).then_some(()));
    for client in &mut waiting {
        assert_eq!(client.answer().status, 401, "it is another password");
    }
}

/// What does not fit into the queue is answered at once, and so is who brings a password that is known already.
#[test]
fn a_flood_of_guesses_is_turned_away_and_users_come_in() {
    let origin = Origin::named("inside");
    let quick = passwd(&["-apr1"]);
    // A quarter of a minute each.
    let slow = "$2y$18$abcdefghijklmnopqrstuuWhDRkJQ6rmqhFPSN0nOaRS8FHwzUWTi";
    let mut proxy =
        guarded(&origin, &format!("Aladdin:{quick}\nslow:{slow}\n")).global("Workers", "1").start();
    assert_eq!(ask(&proxy, RIGHT).status, 200);
    // `slow:guess`, by more clients than there are places.
    let mut guessing: Vec<_> = (0..80).map(|_| proxy.client()).collect();
    for client in &mut guessing {
        client.send("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic c2xvdzpndWVzcw==\r\n\r\n");
    }
    until("refusals", || (proxy.counter("ounce_crew_jobs_refused_total") >= 16).then_some(()));
    assert_eq!(ask(&proxy, RIGHT).text(), "inside", "its password is known");
    assert_eq!(ask(&proxy, WRONG).status, 503, "one that must be looked at");
    assert_eq!(ask(&proxy, "X-A: b").status, 401);
    // Who has left is not waited for, and what is looked at for them does not keep a worker from ending.
    guessing.into_iter().for_each(Client::reset);
    assert!(proxy.end(Signal::SIGINT).success());
}

/// A client that leaves takes its question along: nothing goes to the backend for it.
#[test]
fn who_leaves_while_its_password_is_looked_at_is_forgotten() {
    let origin = Origin::named("inside");
    let slow = passwd(&["-6", "-salt", "rounds=300000$salt"]);
    let proxy = guarded(&origin, &format!("Aladdin:{slow}\n")).global("Workers", "1").start();
    for _ in 0..3 {
        let mut client = proxy.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{RIGHT}\r\n\r\n"));
        until("a job", || (proxy.counter("ounce_crew_jobs_total") > 0).then_some(()));
        client.reset();
    }
    assert_eq!(ask(&proxy, RIGHT).text(), "inside");
    assert_eq!(origin.count(), 1);
}

/// A worker that is told to drain waits for the passwords of its clients.
#[test]
fn a_reload_loses_no_request_whose_password_is_looked_at() {
    let origin = Origin::named("inside");
    let slow = passwd(&["-6", "-salt", "rounds=200000$salt"]);
    let proxy =
        guarded(&origin, &format!("Aladdin:{slow}\n")).global("Workers", "1").global("Grace", "60").start();
    let mut client = proxy.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{RIGHT}\r\n\r\n"));
    until("a job", || (proxy.counter("ounce_crew_jobs_total") == 1).then_some(()));
    proxy.reload().expect("a reload");
    assert_eq!(client.answer().text(), "inside");
}

/// What a rule asks is known before it runs.
#[test]
fn rules_tell_users_from_others() {
    let origin = Origin::named("any");
    let setup = Setup::new().listener(&format!(
        "Service\nRewrite\nBasicAuth \"{{folder}}/users\"\nSetHeader \"X-Known: %[user]\"\nElse\n\
         DeleteHeader \"^Authorization:\"\nEnd\n{}End\n",
        ounce_tests::proxy::backend(origin.address(), "")
    ));
    fs::write(setup.folder().join("users"), format!("Aladdin:{}\n", passwd(&["-apr1"]))).expect("a file");
    let proxy = setup.start();
    for header in [RIGHT, WRONG, "X-A: b"] {
        assert_eq!(ask(&proxy, header).status, 200);
    }
    let heard = origin.received().wait_len("three requests", 3);
    let known: Vec<_> = heard.iter().map(|request| request.fields.get("X-Known")).collect();
    assert_eq!(known, [Some("Aladdin"), None, None]);
    let passed: Vec<_> = heard.iter().map(|request| request.fields.get("Authorization").is_some()).collect();
    assert_eq!(passed, [true, false, false]);
}
