//! Requests that wait in the route step for a password to be looked at.

use crate::world::{SECOND, World, config};
use ounce_core::{Event, Fault, Verdict};
use ounce_mem::Key;
use std::io::Write;

/// `a:b`.
const FIRST: &str = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YTpi\r\n\r\n";

/// Users come in to the backend; others are answered 401.
fn guarded(more: &str) -> World {
    let mut users = tempfile::NamedTempFile::new().expect("a file");
    users.write_all(b"a:b\n").expect("a file's contents");
    let path = users.path().display();
    let service = format!("{more}Not BasicAuth \"{path}\"\nError 401\nEnd\nService");
    World::new(&config("", &service, 1))
}

/// A rule says who is one of the users.
fn ruled_by(condition: &str) -> World {
    let mut users = tempfile::NamedTempFile::new().expect("a file");
    users.write_all(b"a:b\n").expect("a file's contents");
    let condition = condition.replace("{users}", &users.path().display().to_string());
    let rule = format!("Rewrite\n{condition}\nSetHeader \"X-A: in\"\nElse\nSetHeader \"X-A: out\"\nEnd");
    World::new(&config("", &rule, 1))
}

/// The connection to the backend that serves the only client, a parked one if there is one.
fn upstream(w: &mut World, client: Key) -> Key {
    let parked = w.sockets().into_iter().rfind(|key| *key != client && !w.is_dialling(*key));
    parked.unwrap_or_else(|| w.connected())
}

fn answer(w: &mut World, verdict: Verdict) -> Key {
    let (client, ticket, _) = w.questions.pop().expect("a question");
    w.on(client, Event::Verified { ticket, verdict });
    client
}

#[test]
fn a_request_goes_on_when_its_password_was_looked_at() {
    let mut w = guarded("");
    let client = w.client();
    w.say(client, FIRST);
    w.no_connect();
    let question = w.questions[0].2.clone();
    assert_eq!(
        (question.secret.text.as_str(), &question.password.0[..], question.known),
        ("b", &b"b"[..], true)
    );
    answer(&mut w, Verdict::Right);
    let upstream = w.connected();
    assert!(w.heard(upstream).starts_with("GET / HTTP/1.1"));
}

#[test]
fn a_wrong_password_and_one_that_nobody_looks_at_do_not_come_in() {
    for (verdict, status) in [(Verdict::Wrong, "401"), (Verdict::Refused, "503")] {
        let mut w = guarded("");
        let client = w.client();
        w.say(client, FIRST);
        answer(&mut w, verdict);
        assert!(w.heard(client).starts_with(&format!("HTTP/1.1 {status}")));
        w.no_connect();
    }
}

/// Another condition was true before the password is known; it is asked again with the same result.
#[test]
fn selection_is_the_same_before_and_after() {
    let mut w = guarded("Path \"^/(x|)\"\n");
    let client = w.client();
    w.say(client, FIRST);
    assert_eq!(w.questions.len(), 1);
    answer(&mut w, Verdict::Right);
    assert!(w.questions.is_empty(), "it is asked once");
    w.connected();
}

/// A client need not wait for its answer, and the answer then reaches nobody, whoever has its place by then.
#[test]
fn who_leaves_is_not_waited_for() {
    let mut w = guarded("");
    let client = w.client();
    w.say(client, FIRST);
    w.fail(client, Fault::Reset);
    answer(&mut w, Verdict::Right);
    w.no_connect();
    let client = w.client();
    w.say(client, FIRST);
    let (_, ticket, _) = w.questions.pop().expect("a question");
    w.on(client, Event::Verified { ticket: ticket + 1, verdict: Verdict::Wrong });
    assert_eq!(w.heard(client), "", "an answer to something else");
    w.on(client, Event::Verified { ticket, verdict: Verdict::Right });
    w.connected();
}

/// The client is not to blame for the time that it takes, with its body under way or not.
#[test]
fn the_client_is_not_timed_out_meanwhile() {
    let mut w = guarded("");
    let client = w.client();
    w.say(client, FIRST.replace("GET", "POST").replace("Host", "Content-Length: 5\r\nHost"));
    w.wait(14 * SECOND);
    w.say(client, "he");
    w.wait(14 * SECOND);
    answer(&mut w, Verdict::Right);
    let upstream = w.connected();
    w.say(client, "llo");
    assert!(w.heard(upstream).ends_with("hello"));
}

/// Helpers that are at something without end keep nobody for ever, and their answer comes too late.
#[test]
fn a_request_does_not_wait_for_ever() {
    let mut w = guarded("");
    let client = w.client();
    w.say(client, FIRST);
    w.wait(29 * SECOND);
    assert_eq!(w.heard(client), "");
    w.wait(SECOND);
    assert!(w.heard(client).starts_with("HTTP/1.1 503"));
    answer(&mut w, Verdict::Right);
    w.no_connect();
}

/// Rules cannot wait, so what they ask is asked before they run; once, whoever asks.
#[test]
fn rules_ask_before_a_backend_is_chosen() {
    let mut w = ruled_by("BasicAuth \"{users}\"");
    let client = w.client();
    for (verdict, header) in [(Verdict::Right, "X-A: in"), (Verdict::Wrong, "X-A: out")] {
        w.say(client, FIRST);
        w.no_connect();
        answer(&mut w, verdict);
        assert!(w.questions.is_empty());
        let upstream = upstream(&mut w, client);
        let head = w.heard(upstream);
        assert!(head.contains(header), "{head}");
        w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(w.heard(client).starts_with("HTTP/1.1 200"));
    }
    w.say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let upstream = upstream(&mut w, client);
    assert!(w.heard(upstream).contains("X-A: out"), "who brings nothing is asked nothing");
}

/// The next request on the connection is asked for anew.
#[test]
fn a_verdict_holds_for_its_request_only() {
    let mut w = guarded("");
    let client = w.client();
    for _ in 0..2 {
        w.say(client, FIRST);
        answer(&mut w, Verdict::Right);
        let upstream = upstream(&mut w, client);
        assert!(w.heard(upstream).starts_with("GET / HTTP/1.1"));
        w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(w.heard(client).starts_with("HTTP/1.1 200"));
    }
}
