//! `TBF`: tokens in buckets that all workers take from.

use nix::sys::signal::Signal;
use ounce_tests::answer::Answer;
use ounce_tests::barrier::until;
use ounce_tests::proxy::{Proxy, Setup};
use ounce_tests::{process, tool};
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Whoever gets a token is answered 200, and others 429.
fn limited(conditions: &str) -> Setup {
    Setup::new().listener(&services(conditions))
}

fn services(conditions: &str) -> String {
    format!("Service\n{conditions}\nSuccess\nEnd\nService\nError 429\nEnd\n")
}

/// A request on a connection of its own.
fn ask(proxy: &Proxy, fields: &str) -> Answer {
    proxy.client().ask(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}Connection: close\r\n\r\n"))
}

/// How many of so many requests with this key get a token.
fn tokens(proxy: &Proxy, key: &str, requests: usize) -> usize {
    let status = |_| match ask(proxy, &format!("X-Key: {key}\r\n")).status {
        200 => 1,
        429 => 0,
        other => panic!("status {other}"),
    };
    (0..requests).map(status).sum()
}

/// Each worker has had many of the requests, and together they gave what one bucket holds; a worker that dies, one that
/// comes in its place, and a new generation find it as it was.
#[test]
fn all_workers_take_from_one_bucket_whatever_becomes_of_them() {
    let inside = services("TBF \"%[header X-Key]\" 1/86400s 70");
    let setup = Setup::new().text("LogFormat \"who\" \"%P %s\"");
    let proxy = setup.listener(&format!("LogLevel \"who\"\n{inside}")).start();
    let keys = ["a", "b", "c", "d"];
    let taken = || -> Vec<usize> {
        thread::scope(|scope| {
            let takers = keys.map(|key| scope.spawn(|| tokens(&proxy, key, 60)));
            takers.into_iter().map(|taker| taker.join().expect("a thread")).collect()
        })
    };
    assert_eq!(taken(), [60; 4]);
    let lines = proxy.lines().wait_len("a line for each request", 240);
    let mut by_worker: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        *by_worker.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    assert!(by_worker.len() == 2 && by_worker.values().all(|count| *count > 20), "{by_worker:?}");
    let victim = proxy.workers()[0];
    assert!(process::signal(victim, Signal::SIGKILL));
    process::wait_gone(victim);
    proxy.wait_workers(2);
    assert_eq!(taken(), [10; 4]);
    proxy.reload().expect("a reload");
    assert_eq!(taken(), [0; 4]);
    assert_eq!(tokens(&proxy, "e", 80), 70);
    assert_eq!(proxy.counter("ounce_rates_exceeded_total"), 4 * 50 + 4 * 60 + 10);
}

/// Tokens come one after the other, at their rate, to both workers together.
#[test]
fn tokens_come_at_their_rate() {
    let proxy = limited("TBF \"all\" 20/s 1").start();
    let (begun, mut taken) = (Instant::now(), 0);
    while taken < 41 {
        taken += tokens(&proxy, "", 1);
    }
    // The first was there, and 40 came.
    let taken_in = begun.elapsed();
    assert!(taken_in >= Duration::from_millis(1_990), "{taken_in:?}");
    let proxy = limited("TBF \"all\" 1/100ms 3").start();
    assert!(tokens(&proxy, "", 3) == 3);
    until("a token", || (tokens(&proxy, "", 1) == 1).then_some(()));
}

#[test]
fn each_statement_has_buckets_of_its_own() {
    let proxy =
        limited("TBF \"x\" 1/86400s 3\nMatch or\nTBF \"x\" 1/86400s 1\nTBF \"x\" 1/86400s 1\nEnd").start();
    // One from the second, one from the third; then the first has given its last for nothing.
    assert_eq!(tokens(&proxy, "", 10), 2);
    let proxy = limited("Not TBF \"%[remoteip 0]\" 5/86400s 2").start();
    assert_eq!(tokens(&proxy, "", 10), 8, "turned around");
}

/// Keys are texts like others: what cannot be expanded is answered 500, and groups are those of what matched before.
#[test]
fn keys_are_expanded() {
    let proxy = limited("Path \"^/(x?)\"\nTBF \"$1\" 1/86400s 1").start();
    let status = |target: &str| {
        proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).status
    };
    assert_eq!([status("/"), status("/"), status("/x"), status("/x")], [200, 429, 200, 429]);
    let proxy = limited("TBF \"$1\" 1/86400s 1").start();
    assert_eq!(ask(&proxy, "").status, 500);
}

/// A request takes one token, however often its service is looked for, and none before its password is known.
#[test]
fn a_request_whose_password_is_looked_at_takes_one_token() {
    let setup = Setup::new().listener(
        "Service\nNot BasicAuth \"{folder}/users\"\nTBF \"guesses\" 1/86400s 2\nError 401\nEnd\n\
         Service\nBasicAuth \"{folder}/users\"\nTBF \"users\" 1/86400s 3\nBasicAuth -file \"{folder}/users\"\n\
         Success\nEnd\nService\nError 429\nEnd\n",
    );
    let made = tool::run("openssl", ["passwd", "-apr1", "open sesame"]);
    let hash = String::from_utf8(made.stdout).expect("a hash");
    fs::write(setup.folder().join("users"), format!("Aladdin:{hash}")).expect("a file");
    let proxy = setup.start();
    let right = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    let wrong = "Authorization: Basic QWxhZGRpbjpzaHV0\r\n";
    let statuses = |fields: &str| (0..5).map(|_| ask(&proxy, fields).status).collect::<Vec<_>>();
    assert_eq!(statuses(right), [200, 200, 200, 429, 429]);
    assert_eq!(statuses(wrong), [401, 401, 429, 429, 429]);
}

/// In rules, too: once for each request, and what other statements took stays taken.
#[test]
fn rules_ask_for_tokens() {
    let origin = ounce_tests::origin::Origin::named("any");
    let setup = Setup::new().text("Condition \"often\"\nNot TBF \"x\" 1/86400s 2\nEnd").listener(&format!(
        "Service\nRewrite\nEval \"often\"\nSetHeader \"X-Often: yes\"\nEnd\n\
         Rewrite\nTBF \"y\" 1/86400s 3\nSetHeader \"X-Token: yes\"\nEnd\n{}End\n",
        ounce_tests::proxy::backend(origin.address(), "")
    ));
    let proxy = setup.start();
    for _ in 0..4 {
        assert_eq!(ask(&proxy, "").status, 200);
    }
    let heard = origin.received().wait_len("four requests", 4);
    let of = |name: &str| heard.iter().map(|request| request.fields.get(name).is_some()).collect::<Vec<_>>();
    assert_eq!(of("X-Often"), [false, false, true, true]);
    assert_eq!(of("X-Token"), [true, true, true, false]);
}
