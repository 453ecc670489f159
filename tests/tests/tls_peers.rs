//! Peers of an HTTPS listener that do what nobody should: each ends within its limit, takes nothing along, and the next
//! one is served.

use openssl::ssl::SslVersion;
use ounce_tests::answer::Broken;
use ounce_tests::barrier::until;
use ounce_tests::client::Client;
use ounce_tests::hand::{Hand, record};
use ounce_tests::origin::Origin;
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup, service};
use ounce_tests::tool;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// Longer than the limit of the listener, by what a busy machine may need.
const PATIENCE: Duration = Duration::from_secs(12);

/// A proxy whose clients may be silent for so many seconds.
fn start(limit: u8, inside: &str) -> (Origin, Proxy) {
    let origin = Origin::named("a");
    let listener = format!(
        "ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\nCert \"{{folder}}/wire.pem\"\nClient {limit}\n{inside}\n{}End\n",
        service(&[origin.address()])
    );
    let proxy = Setup::new().global("Workers", "1").text(&listener).start();
    (origin, proxy)
}

/// The connection ends, whatever is said before.
fn assert_ends(client: &mut Client, what: &str) {
    let before = Instant::now();
    let rest = client.link().rest();
    assert!(!matches!(rest, Err(Broken::Silence)), "{what}: {rest:?}");
    assert!(before.elapsed() < PATIENCE, "{what}: after {:?}", before.elapsed());
}

fn assert_serves(proxy: &Proxy, after: &str) {
    for version in VERSIONS {
        let mut hand = Hand::reach(proxy.address(), version);
        hand.shake();
        assert_eq!(hand.get(), 200, "after {after}");
    }
}

/// Waits until the worker holds no more connections than before.
fn assert_left(proxy: &Proxy, before: usize) {
    let worker = proxy.workers()[0];
    until("connections to be given back", || (process::descriptors(worker) <= before).then_some(()));
}

fn hello(proxy: &Proxy) -> (Hand, Vec<u8>) {
    let mut hand = Hand::reach(proxy.address(), SslVersion::TLS1_3);
    let hello = hand.say();
    (hand, hello)
}

#[test]
fn a_hello_may_come_in_any_pieces() {
    let (_origin, proxy) = start(20, "");
    for version in VERSIONS {
        let mut hand = Hand::reach(proxy.address(), version);
        for byte in hand.say() {
            hand.client().send([byte]);
        }
        hand.hear().expect("an answer");
        hand.shake();
        assert_eq!(hand.get(), 200);
        // Each byte in a record of its own.
        let mut hand = Hand::reach(proxy.address(), version);
        let hello = hand.say();
        let pieces: Vec<u8> = hello[5..].iter().flat_map(|byte| record(HANDSHAKE, &[*byte])).collect();
        hand.client().send(pieces);
        hand.hear().expect("an answer");
        hand.shake();
        assert_eq!(hand.get(), 200);
    }
}

#[test]
fn a_hello_that_stops_half_way_is_not_waited_for() {
    let (_origin, proxy) = start(3, "");
    assert_serves(&proxy, "nothing");
    let before = process::descriptors(proxy.workers()[0]);
    let mut silent = Vec::new();
    for cut in [0, 1, 5, 6, 9, 44, 200] {
        let (mut hand, hello) = hello(&proxy);
        hand.client().send(&hello[..cut]);
        silent.push(hand);
        let (mut hand, hello) = self::hello(&proxy);
        hand.client().send(&hello[..cut]);
        hand.client().end();
        assert_ends(hand.client(), &format!("an end after {cut} bytes"));
        let (mut hand, hello) = self::hello(&proxy);
        hand.client().send(&hello[..cut]);
        hand.client().link().tear();
    }
    // One that has all and says nothing to it.
    for version in VERSIONS {
        let mut hand = Hand::reach(proxy.address(), version);
        let hello = hand.say();
        hand.client().send(hello);
        silent.push(hand);
    }
    for (number, hand) in silent.iter_mut().enumerate() {
        assert_ends(hand.client(), &format!("silence {number}"));
    }
    drop(silent);
    assert_left(&proxy, before);
    assert_serves(&proxy, "half hellos");
}

/// A hello with this server name, in as many records as it takes.
fn named_hello(name: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).expect("what fits").to_be_bytes();
    let entry = [[0].as_slice(), &length(name.len()), name].concat();
    let list = [length(entry.len()).as_slice(), &entry].concat();
    let extension = [[0, 0].as_slice(), &length(list.len()), &list].concat();
    let body = [
        [3, 3].as_slice(),
        &[7; 32],
        &[0],
        &[0, 2, 0xc0, 0x2f],
        &[1, 0],
        &length(extension.len()),
        &extension,
    ]
    .concat();
    let size = u32::try_from(body.len()).expect("what fits").to_be_bytes();
    let message = [[1].as_slice(), &size[1..], &body].concat();
    message.chunks(16_000).flat_map(|piece| record(HANDSHAKE, piece)).collect()
}

#[test]
fn what_is_no_handshake_ends_at_once() {
    let (_origin, proxy) = start(20, "");
    let (_, hello) = hello(&proxy);
    let [alert, warning] = [[2, 40], [1, 90]].map(|alert| record(ALERT, &alert));
    let cases: [(&str, Vec<u8>); 17] = [
        ("a name of 60,000 bytes", named_hello(&vec![b'a'; 60_000])),
        ("a name of 300 bytes", named_hello(&[b'a'; 300])),
        ("a name with a zero byte", named_hello(b"a\0b")),
        ("an empty name", named_hello(b"")),
        ("a message of 16 MiB", record(HANDSHAKE, &[1, 0xff, 0xff, 0xff, 3, 3])),
        ("a record beyond its limit", [[HANDSHAKE, 3, 1, 0xff, 0xff].as_slice(), &vec![0; 70_000]].concat()),
        ("empty records", record(HANDSHAKE, &[]).repeat(1000)),
        ("an unknown kind", record(99, b"what?")),
        ("an unknown version", [&[HANDSHAKE, 9, 9, 0, 4], [1, 0, 0, 0].as_slice()].concat()),
        ("data before all", record(DATA, b"GET / HTTP/1.1\r\n\r\n")),
        ("changes of ciphers", record(20, &[1]).repeat(1000)),
        ("an alert", alert.clone()),
        ("warnings", warning.repeat(1000)),
        ("a hello and an alert", [hello.clone(), alert].concat()),
        ("two hellos", hello.repeat(2)),
        ("a finished message", record(HANDSHAKE, &[20, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        (
            "an old hello",
            [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80], [0; 34].as_slice()].concat(),
        ),
    ];
    for (what, bytes) in &cases {
        let mut client = Client::raw(proxy.address());
        // It may be ended before all is sent.
        let _ = client.link().send(bytes);
        assert_ends(&mut client, what);
    }
    assert_serves(&proxy, "all of these");
}

/// In each state of a connection: an alert, a close, a reset, and bytes that mean nothing.
#[test]
fn whoever_leaves_in_any_state_is_gone() {
    let (_origin, proxy) = start(20, "");
    assert_serves(&proxy, "nothing");
    let before = process::descriptors(proxy.workers()[0]);
    for version in VERSIONS {
        for state in 0..4 {
            for parting in 0..4 {
                let mut hand = Hand::reach(proxy.address(), version);
                if state >= 1 {
                    let hello = hand.say();
                    hand.client().send(hello);
                }
                if state == 2 {
                    hand.hear().expect("an answer to a hello");
                }
                if state == 3 {
                    hand.shake();
                }
                let what = format!("{version:?}, state {state}, parting {parting}");
                match parting {
                    0 => drop(hand.client().link().send(&record(ALERT, &[2, 80]))),
                    1 => hand.client().end(),
                    2 => {
                        hand.client().link().tear();
                        continue;
                    }
                    _ => drop(hand.client().link().send(&[0xff; 100])),
                }
                assert_ends(hand.client(), &what);
            }
        }
    }
    assert_left(&proxy, before);
    assert_serves(&proxy, "partings");
}

#[test]
fn one_who_says_nothing_after_the_handshake_is_not_waited_for() {
    let (_origin, proxy) = start(3, "");
    let mut hand = Hand::reach(proxy.address(), SslVersion::TLS1_3);
    hand.shake();
    // Empty lines before a request are no request.
    let nothing = hand.seal(b"\r\n");
    hand.client().send(nothing);
    assert_ends(hand.client(), "one who says nothing");
    assert_serves(&proxy, "silence");
}

/// What OpenSSL's client says when one of its commands is given so many times, each after the last has been carried out.
fn commands(proxy: &Proxy, words: &[&str], command: &str, times: usize, sign: &str) -> usize {
    let address = proxy.address().to_string();
    let mut client = Command::new(tool::path("openssl"))
        .args([["s_client", "-connect", &address].as_slice(), words].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program that is installed");
    let mut input = client.stdin.take().expect("a pipe");
    let mut told = BufReader::new(client.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut carried_out = 0;
    for _ in 0..times {
        if writeln!(input, "{command}").is_err() || !told.any(|line| line.contains(sign)) {
            break;
        }
        carried_out += 1;
    }
    let _ = client.kill();
    let _ = client.wait();
    carried_out
}

#[test]
fn renegotiation_is_refused_and_a_flood_of_new_keys_ends_with_the_limit() {
    let (_origin, proxy) = start(3, "");
    let begun = commands(&proxy, &["-tls1_2"], "R", 50, "RENEGOTIATING");
    assert!(begun < 5, "{begun} times in a row");
    // New keys may be asked for; who asks for nothing else has the time that a silent client has.
    let before = Instant::now();
    let worker = proxy.workers()[0];
    let memory = || process::memory(worker).expect("a worker").private;
    let memory_before = memory();
    let changed = commands(&proxy, &["-tls1_3"], "K", usize::MAX, "KEYUPDATE");
    assert!(changed > 0 && before.elapsed() < PATIENCE, "{changed} in {:?}", before.elapsed());
    assert!(memory() < memory_before + (1 << 20), "{memory_before}, then {}", memory());
    assert_serves(&proxy, "floods");
}

/// Where it is asked for, renegotiation is allowed a few times; a client that does nothing else is ended.
#[test]
fn renegotiation_is_allowed_where_it_is_asked_for_and_a_flood_of_it_ends() {
    for mode in [1, 2] {
        let (_origin, proxy) = start(20, &format!("SSLAllowClientRenegotiation {mode}"));
        assert_eq!(commands(&proxy, &["-tls1_2"], "R", 5, "RENEGOTIATING"), 5);
        let before = Instant::now();
        let begun = commands(&proxy, &["-tls1_2"], "R", 1000, "RENEGOTIATING");
        assert!((5..10).contains(&begun), "{begun} times in a row");
        assert!(before.elapsed() < PATIENCE, "after {:?}", before.elapsed());
        assert_serves(&proxy, "a flood");
    }
}

/// What GnuTLS's client says that does not know RFC 5746 and renegotiates all the same.
fn renegotiates_in_the_old_way(proxy: &Proxy) -> bool {
    let (host, port) = (proxy.address().ip().to_string(), proxy.address().port().to_string());
    let priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION";
    let words = ["--rehandshake", "--insecure", "--priority", priority, "-p", &port, &host];
    let mut client = Command::new(tool::path("gnutls-cli"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program that is installed");
    let mut input = client.stdin.take().expect("a pipe");
    let mut told = BufReader::new(client.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let done = told.any(|line| line.contains("ReHandshake was completed"));
    let _ = input.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answered = done && told.any(|line| line.contains("HTTP/1.1 200"));
    drop(input);
    let _ = client.kill();
    let _ = client.wait();
    answered
}

/// Clients that cannot prove that both handshakes are theirs renegotiate with mode 2 alone; all of them may come.
#[test]
fn renegotiation_of_the_old_way_has_a_mode_of_its_own() {
    for (mode, allowed) in [(0, false), (1, false), (2, true)] {
        let (_origin, proxy) = start(20, &format!("SSLAllowClientRenegotiation {mode}"));
        assert_eq!(renegotiates_in_the_old_way(&proxy), allowed, "mode {mode}");
        assert_serves(&proxy, "an old client");
    }
}

/// Two thousand who come, say half a sentence and go leave nothing behind.
#[test]
fn bad_peers_take_no_memory_along() {
    let (_origin, proxy) = start(20, "");
    let worker = proxy.workers()[0];
    let visit = |count: usize| {
        for number in 0..count {
            let mut hand = Hand::reach(proxy.address(), VERSIONS[number % 2]);
            let hello = hand.say();
            match number % 4 {
                0 => hand.client().send(&hello[..100]),
                1 => hand.client().send(&hello),
                2 => hand.client().send(record(HANDSHAKE, b"nonsense")),
                _ => {
                    hand.client().send(&hello);
                    hand.hear().expect("an answer to a hello");
                    hand.shake();
                }
            }
        }
        assert_serves(&proxy, "visits");
    };
    visit(500);
    let before = process::memory(worker).expect("a worker").private;
    visit(2000);
    let after = process::memory(worker).expect("a worker").private;
    assert!(after < before + (2 << 20), "{before} bytes, then {after}");
}

/// A browser that was told the wrong scheme is told so in its own language.
#[test]
fn plain_http_is_answered_400() {
    let (origin, proxy) = start(20, "");
    for method in ["GET", "POST", "HEAD", "PUT"] {
        let mut client = Client::raw(proxy.address());
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.read_answer(method == "HEAD").expect("an answer");
        assert_eq!((answer.status, answer.closes()), (400, true), "{method}");
        assert!(method == "HEAD" || answer.text().contains("HTTPS"), "{}", answer.text());
    }
    assert_eq!(origin.count(), 0);
    assert_serves(&proxy, "plain HTTP");
}
