//! Who gets which request: exact shares over all workers, sessions that stick, backends that are dead or disabled.

use nix::sys::signal::Signal;
use ounce_tests::answer::Answer;
use ounce_tests::barrier::until;
use ounce_tests::origin::{Origin, named_answer};
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup, backend, service};
use ounce_tests::wire;
use std::collections::HashMap;
use std::net::SocketAddr;

fn origins(count: usize) -> Vec<Origin> {
    (0..count).map(|number| Origin::named(&number.to_string())).collect()
}

fn addresses(origins: &[Origin]) -> Vec<SocketAddr> {
    origins.iter().map(Origin::address).collect()
}

fn counts(origins: &[Origin]) -> Vec<usize> {
    origins.iter().map(Origin::count).collect()
}

/// A service of these backends with these priorities.
fn weighted(origins: &[Origin], priorities: &[u32]) -> String {
    let backends = origins.iter().zip(priorities);
    let text: String = backends
        .map(|(origin, priority)| backend(origin.address(), &format!("Priority {priority}")))
        .collect();
    format!("Service\n{text}End\n")
}

/// One request on a connection of its own, so that any worker may get it.
fn ask(proxy: &Proxy, fields: &str) -> Answer {
    let answer =
        proxy.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

#[test]
fn equal_backends_get_exactly_equal_shares_over_all_workers() {
    let origins = origins(10);
    let proxy =
        Setup::new().global("Workers", "2").global("Balancer", "iwrr").backends(&addresses(&origins)).start();
    let (done, threads) = (std::sync::atomic::AtomicUsize::new(0), 8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while done.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 1000 {
                    ask(&proxy, "");
                }
            });
        }
    });
    assert_eq!(counts(&origins), [100; 10]);
}

#[test]
fn weights_are_exact_over_all_workers() {
    let origins = origins(3);
    let proxy = Setup::new().global("Balancer", "iwrr").listener(&weighted(&origins, &[2, 8, 5])).start();
    for _ in 0..150 {
        ask(&proxy, "");
    }
    assert_eq!(counts(&origins), [20, 80, 50]);
}

#[test]
fn shares_stay_exact_over_a_reload_and_the_death_of_workers() {
    let origins = origins(5);
    let proxy = Setup::new().global("Balancer", "iwrr").backends(&addresses(&origins)).start();
    for round in 0..20 {
        for _ in 0..7 {
            ask(&proxy, "");
        }
        match round {
            5 => proxy.reload().expect("a reload"),
            10 => {
                for worker in proxy.workers() {
                    assert!(process::signal(worker, Signal::SIGKILL));
                    process::wait_gone(worker);
                }
                proxy.wait_workers(2);
            }
            _ => {}
        }
    }
    assert_eq!(counts(&origins), [28; 5]);
}

#[test]
fn random_shares_follow_the_weights() {
    let origins = origins(2);
    let proxy = Setup::new().listener(&weighted(&origins, &[1, 3])).start();
    let mut client = proxy.client();
    for _ in 0..2000 {
        assert_eq!(client.get("/").status, 200);
    }
    let counts = counts(&origins);
    assert_eq!(counts[0] + counts[1], 2000);
    // 500 are expected; so many off has a chance of one in a thousand million.
    assert!((380..620).contains(&counts[0]), "{counts:?}");
}

/// A service of three backends with a session of this kind.
fn sticky(origins: &[Origin], session: &str) -> String {
    let backends: String = origins.iter().map(|origin| backend(origin.address(), "")).collect();
    format!("Service \"main\"\nBalancer iwrr\n{backends}Session\n{session}\nTTL 300\nEnd\nEnd\n")
}

#[test]
fn a_key_sticks_to_its_backend_from_any_worker_over_a_reload_and_over_deaths() {
    let origins = origins(3);
    let proxy = Setup::new().listener(&sticky(&origins, "Type HEADER\nID \"X-User\"")).start();
    let key = |number: usize| format!("X-User: user-{number}\r\n");
    let mut home = HashMap::new();
    for number in 0..30 {
        home.insert(number, ask(&proxy, &key(number)).text());
    }
    let spread: std::collections::BTreeSet<&String> = home.values().collect();
    assert_eq!(spread.len(), 3, "all backends have sessions");
    let check = |when: &str| {
        for (number, name) in &home {
            // Several connections each: the kernel deals them to both workers.
            for _ in 0..4 {
                assert_eq!(ask(&proxy, &key(*number)).text(), *name, "user {number} {when}");
            }
        }
    };
    check("at first");
    proxy.reload().expect("a reload");
    check("after a reload");
    for worker in proxy.workers() {
        assert!(process::signal(worker, Signal::SIGKILL));
        process::wait_gone(worker);
        check("after the death of a worker");
    }
    proxy.wait_workers(2);
    assert!(process::signal(proxy.warden(), Signal::SIGKILL));
    check("after the death of the warden");
}

#[test]
fn every_kind_of_session_sticks() {
    let kinds: [(&str, &str, &str, &str); 6] = [
        ("Type IP", "/", "", ""),
        ("Type BASIC", "/", "Authorization: Basic YTpi\r\n", "Authorization: Basic YzpkCg==\r\n"),
        ("Type URL\nID \"sid\"", "/x?a=b&sid=1", "", ""),
        ("Type PARM", "/x;abc", "", ""),
        ("Type COOKIE\nID \"sess\"", "/", "Cookie: other=1; sess=one\r\n", "Cookie: sess=two\r\n"),
        ("Type HEADER\nID \"X-Key\"", "/", "X-Key: one\r\n", "X-Key: two\r\n"),
    ];
    for (session, path, fields, others) in kinds {
        let origins = origins(3);
        let proxy = Setup::new().listener(&sticky(&origins, session)).start();
        let ask = |fields: &str| {
            proxy.client().ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).text()
        };
        let home = ask(fields);
        for _ in 0..10 {
            assert_eq!(ask(fields), home, "{session}");
        }
        if !others.is_empty() {
            // The round robin goes on to the next for another key.
            assert_ne!(ask(others), home, "{session}");
        }
    }
}

#[test]
fn a_session_is_learned_from_any_set_cookie_line() {
    let sets = |name: &'static str| {
        Origin::start(move |exchange| {
            exchange.skip_body()?;
            let cookie = format!("sess={name}; Path=/; HttpOnly");
            let fields = [("Set-Cookie", "lang=en"), ("Set-Cookie", cookie.as_str())];
            exchange.answer(200, &fields, name.as_bytes())
        })
    };
    let origins = [sets("a"), sets("b"), sets("c")];
    let proxy = Setup::new().listener(&sticky(&origins, "Type COOKIE\nID \"sess\"")).start();
    for _ in 0..6 {
        let name = ask(&proxy, "").text();
        for _ in 0..6 {
            assert_eq!(ask(&proxy, &format!("Cookie: sess={name}\r\n")).text(), name);
        }
    }
}

#[test]
fn sessions_of_a_dead_backend_move_and_a_revived_one_serves_again() {
    let origins = origins(2);
    let proxy = Setup::new().listener(&sticky(&origins, "Type HEADER\nID \"X-User\"")).start();
    let key = |number: usize| format!("X-User: {number}\r\n");
    let homes: Vec<String> = (0..10).map(|number| ask(&proxy, &key(number)).text()).collect();
    let [first, second] = <[Origin; 2]>::try_from(origins).expect("two origins");
    let port = first.port();
    drop(first);
    for (number, home) in homes.iter().enumerate() {
        assert_eq!(ask(&proxy, &key(number)).text(), "1", "it was at {home}");
    }
    let alive = |number: usize| {
        let (_, service) = proxy.control("GET", "/listener/1/main");
        service["backends"][number]["alive"].as_bool()
    };
    assert_eq!((alive(0), alive(1)), (Some(false), Some(true)));
    let revived = Origin::named_on(port, "0");
    until("the backend to be alive again", || (alive(0) == Some(true)).then_some(()));
    until("requests for the revived backend", || {
        ask(&proxy, "");
        revived.received().all().iter().any(|request| request.target == "/").then_some(())
    });
    // Who has moved stays.
    assert_eq!(ask(&proxy, &key(0)).text(), "1");
    drop(second);
}

#[test]
fn emergency_backends_serve_while_no_regular_one_does() {
    let (regular, emergency) = (Origin::named("regular"), Origin::named("emergency"));
    let text = format!(
        "Service\n{}Emergency\nAddress 127.0.0.1\nPort {}\n{}End\nEnd\n",
        backend(regular.address(), ""),
        emergency.address().port(),
        wire::backend()
    );
    let proxy = Setup::new().listener(&text).start();
    for _ in 0..10 {
        assert_eq!(ask(&proxy, "").text(), "regular");
    }
    let port = regular.port();
    drop(regular);
    for _ in 0..10 {
        assert_eq!(ask(&proxy, "").text(), "emergency");
    }
    let _revived = Origin::named_on(port, "regular");
    until("the regular backend to serve again", || (ask(&proxy, "").text() == "regular").then_some(()));
}

#[test]
fn connections_to_backends_are_shared_by_clients() {
    let origins = origins(1);
    let proxy = Setup::new().global("Workers", "1").backends(&addresses(&origins)).start();
    for _ in 0..100 {
        ask(&proxy, "");
    }
    assert!(
        origins[0].connections() < 10,
        "{} connections for 100 clients in turn",
        origins[0].connections()
    );
}

/// RFC 4559: NTLM and Negotiate log in a connection, so it must not be given to another client.
#[test]
fn a_connection_that_a_client_has_logged_in_on_is_his_alone() {
    let origin = Origin::start(|exchange| {
        exchange.skip_body()?;
        match exchange.request.fields.get("Authorization") {
            Some(_) => exchange.send(&named_answer("in")),
            None if exchange.request.nth > 0 => exchange.answer(500, &[], b"somebody else's connection"),
            None => exchange.answer(401, &[("WWW-Authenticate", "NTLM")], b""),
        }
    });
    let proxy = Setup::new().global("Workers", "1").listener(&service(&[origin.address()])).start();
    let mut owner = proxy.client();
    assert_eq!(owner.get("/").status, 401);
    assert_eq!(
        owner.ask("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM TlRMTVNTUAAB\r\n\r\n").text(),
        "in"
    );
    for _ in 0..5 {
        assert_eq!(proxy.client().get("/").status, 401, "a new client gets a connection of its own");
    }
    assert_eq!(
        owner.ask("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM TlRMTVNTUAAD\r\n\r\n").text(),
        "in"
    );
    let received = origin.received().all();
    let owners: Vec<usize> = received
        .iter()
        .filter(|request| request.fields.get("Authorization").is_some())
        .map(|request| request.connection)
        .collect();
    assert!(
        owners.iter().all(|connection| *connection == owners[0]),
        "the login stays with its connection: {owners:?}"
    );
}
