//! Backends whose addresses are looked up while traffic runs: what a name server says, when it says something else, and
//! when it is gone, silent or lying.

use nix::sys::signal::Signal;
use ounce_tests::barrier::until;
use ounce_tests::dns::{Data, Dns, Record, Reply, addresses, alias, services};
use ounce_tests::origin::Origin;
use ounce_tests::port::Port;
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NAME: &str = "app.test";
const ONE: &str = "127.0.0.1";
const TWO: &str = "127.0.0.2";
const THREE: &str = "127.0.0.3";

/// Origins on one port of these addresses.
fn origins(ips: &[&str]) -> (Arc<Port>, Vec<Origin>) {
    let port = Arc::new(Port::reserve());
    let origins = ips.iter().map(|ip| Origin::at(Arc::clone(&port), ip)).collect();
    (port, origins)
}

/// A service with one backend, on this port of wherever the name leads.
fn dynamic(port: &Port, mode: &str, inside: &str, rest: &str) -> String {
    let port = port.number();
    let backend = format!("BackEnd\nAddress {NAME}\nPort {port}\nResolve {mode}\n{inside}\nEnd\n");
    format!("Service \"main\"\nBalancer iwrr\n{backend}{rest}\nEnd\n")
}

fn setup(dns: &Dns, service: &str) -> Setup {
    Setup::new().text(&dns.resolver()).listener(service)
}

/// Who answers a request on a connection of its own, or the status of whoever does not.
fn who(proxy: &Proxy) -> String {
    let answer = proxy.client().ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    if answer.status == 200 { answer.text() } else { answer.status.to_string() }
}

fn shares(proxy: &Proxy, requests: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares.entry(who(proxy)).or_insert(0) += 1;
    }
    shares
}

fn expected(shares: &[(&str, usize)]) -> BTreeMap<String, usize> {
    shares.iter().map(|&(who, count)| (who.to_owned(), count)).collect()
}

/// The backends of the service, as the control socket shows them.
fn backends(proxy: &Proxy) -> Vec<Value> {
    let (status, service) = proxy.control("GET", "/listener/1/0");
    assert_eq!(status, 200);
    service["backends"].as_array().cloned().unwrap_or_default()
}

fn metrics(proxy: &Proxy) -> String {
    let mut stream = UnixStream::connect(proxy.folder().join("control")).expect("a control socket");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("metrics");
    answer
}

fn wait_for(proxy: &Proxy, whom: &str) {
    until(&format!("an answer of {whom}"), || (who(proxy) == whom).then_some(()));
}

/// Waits until the name leads to these addresses and no others.
fn wait_led_to(proxy: &Proxy, ips: &[&str]) {
    until(&format!("{ips:?} to be used"), || {
        let shown = backends(proxy);
        let mut used: Vec<&str> =
            shown.iter().filter_map(|backend| backend["address"].as_str()?.split(':').next()).collect();
        used.sort_unstable();
        (used == ips).then_some(())
    });
}

/// Sends requests on connections that stay and on new ones until told, and fails with the first that fails.
fn under_traffic<R>(proxy: &Proxy, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = proxy.client();
                    let mut count = 0;
                    while !done.load(Ordering::SeqCst) {
                        let answer = client.get("/");
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        // A worker that is to go says so with its last answer.
                        if answer.closes() {
                            client = proxy.client();
                        }
                        assert!(who(proxy).starts_with("127."));
                        count += 2;
                    }
                    count
                })
            })
            .collect();
        let outcome = work();
        done.store(true, Ordering::SeqCst);
        assert!(clients.into_iter().all(|client| client.join().expect("a client") > 0));
        outcome
    })
}

#[test]
fn each_address_is_a_backend_and_gets_its_exact_share() {
    let (port, _origins) = origins(&[ONE, TWO, THREE]);
    let dns = Dns::start();
    dns.say(NAME, addresses(60, &[ONE, TWO, THREE]));
    let proxy = setup(&dns, &dynamic(&port, "all", "", "")).start();
    assert_eq!(shares(&proxy, 30), expected(&[(ONE, 10), (TWO, 10), (THREE, 10)]), "from the first request");
    let shown = backends(&proxy);
    assert_eq!(shown.len(), 4, "{shown:#?}");
    assert_eq!(
        [&shown[0]["type"], &shown[0]["hostname"], &shown[0]["resolve_mode"]],
        ["matrix", NAME, "all"]
    );
    // As AF_UNSPEC.
    assert_eq!(shown[0]["family"], 0);
    assert!(shown[0]["expire"].is_string());
    for (child, ip) in shown[1..].iter().zip([ONE, TWO, THREE]) {
        assert_eq!(child["address"], format!("{ip}:{}", port.number()));
        assert_eq!(
            (&child["type"], &child["parent"], &child["alive"]),
            (&"backend".into(), &0.into(), &true.into())
        );
    }
    let metrics = metrics(&proxy);
    assert!(metrics.contains("service_name=\"main\",state=\"total\"} 3\n"), "{metrics}");
    // One of them is switched off, and then the name with all of them.
    assert_eq!(proxy.control("DELETE", "/listener/1/0/2").0, 200);
    assert_eq!(shares(&proxy, 10), expected(&[(ONE, 5), (THREE, 5)]));
    assert_eq!(proxy.control("DELETE", "/listener/1/0/0").0, 200);
    assert_eq!(who(&proxy), "503");
    assert_eq!(proxy.control("PUT", "/listener/1/0/0").0, 200);
    assert_eq!(shares(&proxy, 10), expected(&[(ONE, 5), (THREE, 5)]));
}

#[test]
fn the_first_address_is_the_only_one_and_stays_while_it_is_one() {
    let (port, _origins) = origins(&[ONE, TWO]);
    let dns = Dns::start();
    dns.say(NAME, addresses(1, &[TWO, ONE]));
    let proxy = setup(&dns, &dynamic(&port, "first", "", "")).start();
    assert_eq!(shares(&proxy, 10), expected(&[(TWO, 10)]));
    dns.say(NAME, addresses(1, &[ONE, TWO]));
    dns.wait_asked(NAME, 4);
    assert_eq!(shares(&proxy, 10), expected(&[(TWO, 10)]), "an order is no news");
    dns.say(NAME, addresses(1, &[ONE]));
    under_traffic(&proxy, || wait_for(&proxy, ONE));
    assert_eq!(shares(&proxy, 10), expected(&[(ONE, 10)]));
}

#[test]
fn only_the_family_that_is_asked_for_is_used() {
    let (port, _origins) = origins(&[ONE, "::1"]);
    let dns = Dns::start();
    dns.say(NAME, addresses(60, &[ONE, "::1"]));
    let mut proxy = setup(&dns, &dynamic(&port, "all", "Family inet6", "")).start();
    assert_eq!(shares(&proxy, 4), expected(&[("::1", 4)]));
    for (family, who) in [("inet", &[(ONE, 4)][..]), ("any", &[(ONE, 2), ("::1", 2)])] {
        let service = dynamic(&port, "all", &format!("Family {family}"), "");
        let text = dns.resolver() + &ounce_tests::proxy::listener("{port}", &service);
        proxy.setup().set_text(&text);
        proxy.reload().expect("a reload");
        assert_eq!(shares(&proxy, 4), expected(who), "{family}");
    }
}

/// Answers expire, and what they say next is done without a request that fails, on old connections and on new ones.
#[test]
fn addresses_change_under_traffic_when_answers_expire() {
    let (port, origins) = origins(&[ONE, TWO, THREE]);
    let dns = Dns::start();
    dns.say(NAME, addresses(1, &[ONE]));
    let proxy = setup(&dns, &dynamic(&port, "all", "", "")).start();
    assert_eq!(who(&proxy), ONE);
    under_traffic(&proxy, || {
        for said in [&[TWO][..], &[THREE], &[ONE, TWO], &[ONE]] {
            dns.say(NAME, addresses(1, said));
            wait_led_to(&proxy, said);
        }
    });
    // Whoever has left is not used any more, not even over connections that were parked.
    dns.say(NAME, addresses(1, &[TWO]));
    wait_led_to(&proxy, &[TWO]);
    let before = origins[0].count();
    let mut client = proxy.client();
    assert!((0..20).all(|_| client.get("/").text() == TWO));
    assert_eq!(origins[0].count(), before);
    // And may go.
    origins[0].stop();
    assert_eq!(shares(&proxy, 10), expected(&[(TWO, 10)]));
}

#[test]
fn an_override_holds_whatever_answers_say() {
    let (port, _origins) = origins(&[ONE]);
    let dns = Dns::start();
    dns.say(NAME, addresses(1, &[ONE]));
    dns.say("slow.test", addresses(86_400, &[ONE]));
    let quick = format!("Address slow.test\nPort {}\nResolve all\nOverrideTTL 1", port.number());
    let slow = dynamic(&port, "all", "OverrideTTL 600", &format!("BackEnd\n{quick}\nEnd"));
    let proxy = setup(&dns, &slow).start();
    assert_eq!(who(&proxy), ONE);
    dns.wait_asked("slow.test", 4);
    let asked = dns.asked().all().iter().filter(|question| question.name == NAME).count();
    assert_eq!(asked, 2, "once for each family");
}

/// Priorities are groups, weights are priorities: those of Pound's manual.
#[test]
fn records_of_services_make_groups_and_weights() {
    let ports: Vec<Arc<Port>> = (0..4).map(|_| Arc::new(Port::reserve())).collect();
    let origin = |n: usize, name: &str| Origin::named_on(Arc::clone(&ports[n]), name);
    let all = [origin(0, "be0"), origin(1, "be1"), origin(2, "ha1"), origin(3, "ha2")];
    let dns = Dns::start();
    for name in ["be0.test", "be1.test", "ha1.test", "ha2.test"] {
        dns.say(name, addresses(60, &[ONE]));
    }
    let n = |index: usize| ports[index].number();
    dns.say(
        NAME,
        services(
            60,
            &[
                (20, 10, n(2), "ha1.test"),
                (10, 40, n(0), "be0.test"),
                (10, 60, n(1), "be1.test"),
                (20, 10, n(3), "ha2.test"),
            ],
        ),
    );
    let mut proxy = setup(&dns, &dynamic(&ports[0], "srv", "", "")).start();
    assert_eq!(shares(&proxy, 100), expected(&[("be0", 40), ("be1", 60)]));
    let weights = |proxy: &Proxy| {
        let shown = backends(proxy);
        let numbers = |backend: &Value| (backend["weight"].as_u64(), backend["priority"].as_u64());
        let mut all: Vec<_> = shown[1..].iter().map(numbers).collect();
        all.sort();
        all
    };
    let pair = |group, weight| (Some(group), Some(weight));
    assert_eq!(weights(&proxy), [pair(10, 40), pair(10, 60), pair(20, 10), pair(20, 10)]);
    // The next group answers when nobody of the first can, and no longer.
    all[0].stop();
    all[1].stop();
    assert_eq!(shares(&proxy, 10), expected(&[("ha1", 5), ("ha2", 5)]));
    let again = Origin::named_on(Arc::clone(&ports[1]), "again");
    wait_for(&proxy, "again");
    assert_eq!(shares(&proxy, 5), expected(&[("again", 5)]));
    drop(again);
    let text = dns.resolver()
        + &ounce_tests::proxy::listener(
            "{port}",
            &dynamic(&ports[0], "srv", "IgnoreSRVWeight yes\nPriority 7", ""),
        );
    proxy.setup().set_text(&text);
    proxy.reload().expect("a reload");
    // What was known holds until the new warden has asked.
    let equal = [pair(10, 7), pair(10, 7), pair(20, 7), pair(20, 7)];
    until("the priority of the file", || (weights(&proxy) == equal).then_some(()));
}

/// A service of which nothing is known has no backend, and has one as soon as something is.
#[test]
fn until_the_first_answer_there_is_no_backend() {
    let (port, _origins) = origins(&[ONE]);
    let dns = Dns::start();
    let proxy = setup(&dns, &dynamic(&port, "all", "RetryInterval 600", "")).start();
    assert_eq!(who(&proxy), "503");
    proxy.problems().wait_for("a word about it", |line| line.contains(NAME) && line.contains("no such name"));
    dns.say(NAME, addresses(60, &[ONE]));
    wait_for(&proxy, ONE);
}

/// What is known is used for as long as nothing better is: over the death of the name server and of whoever asks it, and
/// over a reload.
#[test]
fn a_name_server_that_is_gone_changes_nothing() {
    let (port, _origins) = origins(&[ONE, TWO]);
    let dns = Dns::start();
    dns.say(NAME, addresses(1, &[ONE, TWO]));
    let proxy = setup(&dns, &dynamic(&port, "all", "", "")).start();
    let both = expected(&[(ONE, 5), (TWO, 5)]);
    assert_eq!(shares(&proxy, 10), both);
    dns.stop();
    under_traffic(&proxy, || {
        proxy.problems().wait_for("a failed lookup", |line| line.contains("2 known before are used"));
        let warden = proxy.warden();
        assert!(process::signal(warden, Signal::SIGKILL));
        process::wait_gone(warden);
        until("another warden", || (proxy.warden() != warden).then_some(()));
        proxy.reload().expect("a reload");
    });
    assert_eq!(shares(&proxy, 10), both);
    assert_eq!(backends(&proxy).len(), 3);
}

/// Whatever it says, and however often: traffic goes where the last good answer said.
#[test]
fn a_name_server_that_lies_or_stalls_changes_nothing() {
    let (port, _origins) = origins(&[ONE, TWO]);
    let dns = Dns::start();
    dns.say(NAME, addresses(1, &[ONE]));
    let proxy = setup(&dns, &dynamic(&port, "all", "", "")).start();
    let forged = match addresses(1, &[TWO]) {
        Reply::Records(records) => Reply::Forged(records),
        other => other,
    };
    dns.say("loop.test", alias(NAME));
    let chain = |length: usize| {
        let link = |n: usize| Record {
            of: Some(if n == 0 { NAME.to_owned() } else { format!("{n}.test") }),
            ttl: 1,
            data: Data::Alias(format!("{}.test", n + 1)),
        };
        Reply::Records((0..length).map(link).collect())
    };
    let other = Record {
        of: Some("other.test".into()),
        ttl: 1,
        data: Data::Address(TWO.parse().expect("an address")),
    };
    under_traffic(&proxy, || {
        for (what, lie) in [
            ("no such name", Reply::NoSuchName),
            ("unable", Reply::Failure),
            ("wrong number", forged),
            ("garbage", Reply::Garbage),
            ("silence", Reply::Silence),
            ("a loop", alias("loop.test")),
            ("a chain", chain(40)),
            ("no records", Reply::Records(Vec::new())),
            ("of another name", Reply::Records(vec![other])),
            (
                "nobody's addresses",
                addresses(1, &["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"]),
            ),
        ] {
            dns.say(NAME, lie);
            dns.wait_asked(NAME, 3);
            assert_eq!(shares(&proxy, 3), expected(&[(ONE, 3)]), "{what}");
        }
    });
    assert_eq!(backends(&proxy).len(), 2);
    dns.say(NAME, addresses(0, &[ONE, TWO]));
    wait_for(&proxy, TWO);
}

/// Hundreds of addresses come over TCP; as many are used as there are places, and somebody is told.
#[test]
fn of_a_giant_answer_a_part_is_used() {
    let (port, _origins) = origins(&[ONE]);
    let dns = Dns::start();
    dns.say(NAME, addresses(1, &[ONE]));
    let proxy = setup(&dns, &dynamic(&port, "all", "", "")).start();
    let many: Vec<String> = (1..=500).map(|n| format!("127.1.{}.{}", n / 250, n % 250 + 1)).collect();
    let mut giant: Vec<&str> = many.iter().map(String::as_str).collect();
    giant.push(ONE);
    dns.say(NAME, addresses(1, &giant));
    proxy
        .problems()
        .wait_for("a word about it", |line| line.contains("has 501 addresses; 469 of them are not used"));
    assert!(dns.asked().all().iter().any(|question| question.tcp));
    assert_eq!(backends(&proxy).len(), 1 + 32);
    // Nobody listens on the others; the one that does is still there, and found in the end.
    until("the one that lives", || (who(&proxy) == ONE).then_some(()));
}

/// Health belongs to the address: who is dead is probed where it is, and who comes new is alive.
#[test]
fn health_follows_the_address() {
    let (port, mut origins) = origins(&[ONE, TWO]);
    let dns = Dns::start();
    dns.say(NAME, addresses(1, &[ONE]));
    let proxy = setup(&dns, &dynamic(&port, "first", "", "")).global("Alive", "1").start();
    assert_eq!(who(&proxy), ONE);
    origins.remove(0).stop();
    assert_eq!(who(&proxy), "503");
    proxy
        .problems()
        .wait_for("its death", |line| line.contains(&format!("backend {ONE}:{} is dead", port.number())));
    dns.say(NAME, addresses(1, &[TWO]));
    wait_for(&proxy, TWO);
    dns.say(NAME, addresses(1, &[ONE]));
    until("the dead one", || (who(&proxy) == "503").then_some(()));
    let _again = Origin::at(port, ONE);
    wait_for(&proxy, ONE);
    proxy.problems().wait_for("its return", |line| line.contains(ONE) && line.contains("is alive again"));
}

/// A session stays with its address wherever that stands in an answer, and ends when it is gone.
#[test]
fn sessions_stay_with_their_address_and_end_with_it() {
    let (port, _origins) = origins(&[ONE, TWO, THREE]);
    let dns = Dns::start();
    dns.say(NAME, addresses(1, &[ONE, TWO, THREE]));
    let session = "Session\nType HEADER\nID \"X-User\"\nTTL 300\nEnd";
    let proxy = setup(&dns, &dynamic(&port, "all", "", session)).start();
    let home = |user: usize| {
        let answer = proxy
            .client()
            .ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\nConnection: close\r\n\r\n"));
        assert_eq!(answer.status, 200);
        answer.text()
    };
    let homes: Vec<String> = (0..9).map(home).collect();
    dns.say(NAME, addresses(1, &[THREE, ONE]));
    until("two addresses", || (backends(&proxy).len() == 3).then_some(()));
    let moved: Vec<String> = (0..9).map(home).collect();
    for (before, after) in homes.iter().zip(&moved) {
        if before == TWO { assert_ne!(after, TWO) } else { assert_eq!(after, before) }
    }
    dns.say(NAME, addresses(1, &[TWO, THREE, ONE]));
    until("three addresses", || (backends(&proxy).len() == 4).then_some(()));
    assert_eq!((0..9).map(home).collect::<Vec<_>>(), moved, "who has moved stays");
}

/// Redirects of a server that is looked up name the address it has now.
#[test]
fn locations_of_the_current_address_are_rewritten() {
    let port = Arc::new(Port::reserve());
    let number = port.number();
    let _origin = Origin::start_at(Arc::clone(&port), TWO.parse().expect("an address"), move |exchange| {
        let location = format!("http://{TWO}:{number}/next");
        exchange.skip_body()?;
        exchange.answer(302, &[("Location", &location)], b"")
    });
    let dns = Dns::start();
    dns.say(NAME, addresses(60, &[TWO]));
    let setup = setup(&dns, &dynamic(&port, "all", "", "")).global("LogFormat", "\"who\" \"<%{backend}N>\"");
    let proxy = setup.global("LogLevel", "\"who\"").start();
    let answer = proxy.client().ask("GET / HTTP/1.1\r\nHost: www.test\r\n\r\n");
    assert_eq!(answer.fields.get("Location"), Some("http://www.test/next"));
    proxy.lines().wait_for("a line", |line| *line == format!("<{TWO}:{number}>"));
}
