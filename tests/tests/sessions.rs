//! What a session is: whose it is, how long it lives, how much of its key counts, and how it is shown.

use ounce_tests::answer::Answer;
use ounce_tests::barrier::until;
use ounce_tests::origin::Origin;
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup, backend};
use std::collections::BTreeSet;

fn origins(count: usize) -> Vec<Origin> {
    (0..count).map(|number| Origin::named(&number.to_string())).collect()
}

fn get(proxy: &Proxy, target: &str, fields: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    let answer = proxy.client().ask(request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// A service with a session of this header.
fn by_header(name: &str, conditions: &str, origins: &[Origin], ttl: &str) -> String {
    let backends: String = origins.iter().map(|origin| backend(origin.address(), "")).collect();
    format!(
        "Service \"{name}\"\n{conditions}Balancer iwrr\n{backends}Session\nType HEADER\nID \"X-User\"\nTTL {ttl}\nEnd\nEnd\n"
    )
}

/// Keys are cut at 127 bytes: what follows tells nobody apart.
#[test]
fn the_first_127_bytes_of_a_key_count() {
    let origins = origins(3);
    let proxy = Setup::new().listener(&by_header("main", "", &origins, "300")).start();
    let long = "k".repeat(127);
    let home = get(&proxy, "/", &format!("X-User: {long}\r\n")).text();
    for end in ["a", "b", "ccc", ""] {
        assert_eq!(get(&proxy, "/", &format!("X-User: {long}{end}\r\n")).text(), home);
    }
    let different: BTreeSet<String> = ["a", "b", "c"]
        .map(|end| get(&proxy, "/", &format!("X-User: {}{end}\r\n", &long[1..])).text())
        .into();
    assert_eq!(different.len(), 3, "the last of 127 bytes counts");
}

/// A session that is used lives on, one that is idle for its time ends.
#[test]
fn sessions_end_when_they_are_idle() {
    let origins = origins(2);
    let proxy = Setup::new().listener(&by_header("main", "", &origins, "2")).start();
    let home = get(&proxy, "/", "X-User: idle\r\n").text();
    let busy = get(&proxy, "/", "X-User: busy\r\n").text();
    assert_ne!(home, busy, "a new key is balanced");
    let keys = || {
        let (_, service) = proxy.control("GET", "/listener/1/main");
        let sessions = service["sessions"].as_array().cloned().unwrap_or_default();
        sessions.iter().filter_map(|session| session["key"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    until("the idle session to end", || {
        assert_eq!(get(&proxy, "/", "X-User: busy\r\n").text(), busy);
        (keys() == ["busy"]).then_some(())
    });
}

/// One key in two services is two sessions.
#[test]
fn sessions_are_those_of_their_service() {
    let (ours, theirs) = (origins(2), [Origin::named("x"), Origin::named("y")]);
    let text = by_header("one", "Path \"^/one\"\n", &ours, "300") + &by_header("other", "", &theirs, "300");
    let proxy = Setup::new().listener(&text).start();
    // The round robins are put out of step, so that a shared session would show.
    let first = get(&proxy, "/one", "X-User: me\r\n").text();
    assert_eq!(get(&proxy, "/two", "").text(), "x");
    assert_eq!((first.as_str(), get(&proxy, "/two", "X-User: me\r\n").text().as_str()), ("0", "y"));
    for _ in 0..5 {
        assert_eq!(get(&proxy, "/one", "X-User: me\r\n").text(), "0");
        assert_eq!(get(&proxy, "/two", "X-User: me\r\n").text(), "y");
    }
    assert_eq!(proxy.control("DELETE", "/session/1/one?key=me").0, 200);
    assert_eq!(get(&proxy, "/two", "X-User: me\r\n").text(), "y");
    assert_eq!(get(&proxy, "/one", "X-User: me\r\n").text(), "1", "forgotten, and balanced anew");
}

/// A session with an emergency backend is shown with the number that this backend has among all of the service.
#[test]
fn sessions_are_shown_with_the_number_of_their_backend() {
    let (dead, emergency) = ([Port::reserve(), Port::reserve()], Origin::named("emergency"));
    let backends: String = dead.iter().map(|port| backend(port.address(), "")).collect();
    let text = format!(
        "Service \"main\"\n{backends}Emergency\nAddress 127.0.0.1\nPort {}\nEnd\nSession\nType IP\nTTL 300\nEnd\nEnd\n",
        emergency.address().port()
    );
    let proxy = Setup::new().global("Alive", "60").listener(&text).start();
    assert_eq!(get(&proxy, "/", "").text(), "emergency");
    let (_, service) = proxy.control("GET", "/listener/1/main");
    assert_eq!(service["sessions"][0]["backend"], 2, "{service:#}");
    assert_eq!(service["sessions"][0]["key"], "127.0.0.1");
    assert_eq!(service["backends"][2]["weight"], 65535);
    assert_eq!(service["backends"][2]["address"], emergency.address().to_string());
}

/// HEADER and BASIC sessions are learned from responses too; those of the URL never are.
#[test]
fn headers_of_responses_teach_and_urls_do_not() {
    let teaches = |name: &'static str| {
        Origin::start(move |exchange| {
            exchange.skip_body()?;
            let fields =
                [("X-User", name), ("Authorization", "Basic bGVhcm50"), ("Set-Cookie", "sid=nobody")];
            exchange.answer(200, &fields, name.as_bytes())
        })
    };
    for (kind, key) in [
        ("Type HEADER\nID \"X-User\"", Some("X-User: b\r\n")),
        ("Type BASIC", Some("Authorization: Basic bGVhcm50\r\n")),
        ("Type URL\nID \"sid\"", None),
        ("Type PARM", None),
    ] {
        let origins = [teaches("a"), teaches("b"), teaches("c")];
        let backends: String = origins.iter().map(|origin| backend(origin.address(), "")).collect();
        let text = format!("Service \"main\"\nBalancer iwrr\n{backends}Session\n{kind}\nTTL 300\nEnd\nEnd\n");
        let proxy = Setup::new().listener(&text).start();
        // The answers of all three, without a key.
        let names = [(); 3].map(|()| get(&proxy, "/", "").text());
        let (_, service) = proxy.control("GET", "/listener/1/main");
        let count = service["sessions"].as_array().map(Vec::len);
        match key {
            None => assert_eq!(count, Some(0), "{kind}"),
            Some(key) => {
                // A key that is known already stays with its backend, whoever else answers with it.
                let home = if kind.contains("BASIC") { names[0].as_str() } else { "b" };
                assert_eq!(count, Some(if kind.contains("BASIC") { 1 } else { 3 }), "{service:#}");
                for _ in 0..4 {
                    assert_eq!(get(&proxy, "/", key).text(), home, "{kind}");
                }
            }
        }
    }
}

/// The same address in two services dies in one of them only.
#[test]
fn a_backend_dies_in_the_service_that_could_not_reach_it() {
    let port = Port::reserve();
    let shared = backend(port.address(), "");
    let spare = Origin::named("spare");
    let text = format!(
        "Service \"one\"\nPath \"^/one\"\n{shared}{}End\nService \"other\"\n{shared}End\n",
        backend(spare.address(), "")
    );
    let proxy = Setup::new().global("Alive", "60").global("Balancer", "iwrr").listener(&text).start();
    assert_eq!(get(&proxy, "/one", "").text(), "spare", "the request goes to the next backend");
    let alive = |service: &str| {
        let (_, backend) = proxy.control("GET", &format!("/listener/1/{service}/0"));
        backend["alive"].as_bool()
    };
    assert_eq!((alive("one"), alive("other")), (Some(false), Some(true)));
}

/// Errors on a connection that stood do not kill: the backend is asked again by the next request.
#[test]
fn a_backend_that_drops_a_request_lives() {
    let drops = Origin::start(|exchange| {
        exchange.reset();
        Ok(())
    });
    let proxy = Setup::new().global("Alive", "60").backends(&[drops.address()]).start();
    for _ in 0..3 {
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(proxy.client().ask(request).status, 503);
        assert_eq!(proxy.control("GET", "/listener/1/0/0").1["alive"], true);
    }
    assert_eq!(drops.count(), 3);
}

/// `TTL -1`: nobody keeps a session, and all nodes send a key to the same backend.
#[test]
fn keys_alone_can_say_where_they_belong() {
    let origins = origins(3);
    let text = by_header("main", "", &origins, "-1");
    let nodes = [Setup::new().listener(&text).start(), Setup::new().listener(&text).start()];
    let home = |node: &Proxy, key: usize| get(node, "/", &format!("X-User: {key}\r\n")).text();
    let homes: Vec<String> = (0..30).map(|key| home(&nodes[0], key)).collect();
    assert_eq!(homes.iter().collect::<BTreeSet<_>>().len(), 3, "keys are spread: {homes:?}");
    // The round robin of this one is at another place.
    get(&nodes[1], "/", "");
    for _ in 0..2 {
        (0..30).for_each(|key| assert_eq!(home(&nodes[1], key), homes[key]));
    }
    let (_, service) = nodes[0].control("GET", "/listener/1/main");
    assert!(service["sessions"].is_null() && service["session_type"] == "HEADER", "{service:#}");
    assert_eq!(nodes[0].control("PUT", "/session/1/main/0?key=5").0, 400);
    // While its backend gets nothing new, a key is with another one; others stay.
    assert_eq!(nodes[0].control("DELETE", "/listener/1/main/0").0, 200);
    for (key, before) in homes.iter().enumerate() {
        let now = home(&nodes[0], key);
        assert!(if before == "0" { now == "1" } else { now == *before }, "{key}: {before}, {now}");
    }
}
