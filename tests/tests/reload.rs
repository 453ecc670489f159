//! SIGHUP: a changed configuration serves, a bad one changes nothing, and no client notices either.

use ounce_tests::barrier::Gate;
use ounce_tests::crowd::{Crowd, Manner};
use ounce_tests::origin::Origin;
use ounce_tests::process;
use ounce_tests::proxy::{Setup, service};
use ounce_tests::script::{Act, play, say};
use ounce_tests::tool::Server;
use ounce_tests::wrk::Wrk;
use std::time::Duration;

const RELOADS: usize = 20;

/// Twenty reloads under load: nothing may fail, with connections that are kept and with new ones.
fn reload_under_load(manner: Manner, arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a directory");
    let origin = Server::nginx(folder.path(), folder.path(), "location / { return 200 \"hello\"; }");
    let proxy = Setup::new().global("Grace", "5").backends(&[origin.port().address()]).start();
    let wrk = Wrk::start(proxy.address(), arguments);
    // wrk says nothing of a request that is still unanswered when it ends; these clients wait for each of theirs.
    let crowd = Crowd::gather(proxy.address(), 8, manner);
    let mut client = proxy.client();
    for number in 0..RELOADS {
        proxy.reload().unwrap_or_else(|said| panic!("reload {number}: {said:?}"));
        // Between two reloads the new generation serves, seen by a client of our own.
        for _ in 0..50 {
            let answer = client.get("/");
            assert_eq!(answer.text(), "hello");
            if answer.closes() {
                client = proxy.client();
            }
        }
    }
    let report = wrk.stop();
    assert_eq!(report.failures(), 0, "{}", report.text);
    assert!(report.requests > 1000, "{}", report.text);
    let (_, failures) = crowd.stop();
    assert!(failures.is_empty(), "{failures:?}");
    // Those that drained end when their last connection has, and leave nothing behind.
    proxy.wait_workers(2);
}

#[test]
fn twenty_reloads_lose_no_request_on_kept_connections() {
    reload_under_load(Manner::KeepAlive, &["--threads", "2", "--connections", "64"]);
}

#[test]
fn twenty_reloads_lose_no_request_on_new_connections() {
    let close = ["--threads", "2", "--connections", "64", "--header", "Connection: close"];
    reload_under_load(Manner::Fresh, &close);
}

/// A wake of the kernel that the old worker takes and does nothing with would leave a client in the queue until the next
/// one comes, so here hardly anyone comes.
#[test]
fn a_lone_client_is_served_at_once_after_every_reload() {
    let origin = Origin::named("a");
    let proxy = Setup::new().backends(&[origin.address()]).start();
    for number in 0..40 {
        proxy.reload().expect("a reload");
        for _ in 0..20 {
            let mut client = proxy.client();
            client.stream().set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
            assert_eq!(client.get("/").text(), "a", "after reload {number}");
        }
    }
}

#[test]
fn the_new_configuration_serves_and_the_old_one_finishes() {
    let gate = Gate::new();
    let old = Origin::start(play([
        Act::Body,
        Act::Wait(gate.clone()),
        say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"),
    ]));
    let new = Origin::named("new");
    let mut proxy = Setup::new().backends(&[old.address()]).start();
    let mut waiting = proxy.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    old.received().wait_len("a request", 1);
    let text = ounce_tests::proxy::listener("{port}", &service(&[new.address()]));
    proxy.setup().set_text(&text);
    proxy.reload().expect("a reload");
    for _ in 0..20 {
        assert_eq!(proxy.client().get("/").text(), "new");
    }
    gate.open();
    let answer = waiting.answer();
    assert_eq!((answer.text().as_str(), answer.closes()), ("old", true), "the draining worker ends with it");
    waiting.expect_end();
}

#[test]
fn an_idle_connection_may_ask_once_more_while_its_worker_drains() {
    let origin = Origin::named("a");
    let proxy = Setup::new().backends(&[origin.address()]).start();
    let mut kept = proxy.client();
    assert!(!kept.get("/").closes());
    proxy.reload().expect("a reload");
    // The order to drain goes out with the word that the reload is done; until it arrives all is as it was.
    ounce_tests::barrier::until("the connection to be ended", || {
        let answer = kept.get("/");
        assert_eq!(answer.text(), "a");
        answer.closes().then_some(())
    });
    kept.expect_end();
}

#[test]
fn a_bad_file_changes_nothing_and_every_fault_of_it_is_reported() {
    let origin = Origin::named("a");
    let mut proxy = Setup::new().backends(&[origin.address()]).start();
    let workers = proxy.workers();
    let mut kept = proxy.client();
    assert_eq!(kept.get("/").text(), "a");
    proxy.setup().set_text("ListenHTTP\nAddres 127.0.0.1\nPort {port}\nNonsense 5\nEnd\n");
    let said = proxy.reload().expect_err("a bad file");
    let mentions = |word: &str| said.iter().any(|line| line.contains("ounce.cfg:") && line.contains(word));
    assert!(mentions("Addres") && mentions("Nonsense"), "{said:#?}");
    assert_eq!(proxy.workers(), workers);
    assert_eq!(kept.get("/").text(), "a");
    assert_eq!(proxy.client().get("/").text(), "a");
    // And a good one is taken after it.
    let text = ounce_tests::proxy::listener("{port}", &service(&[origin.address()]));
    proxy.setup().set_text(&text);
    proxy.reload().expect("a reload");
    assert_ne!(proxy.workers(), workers);
}

#[test]
fn a_listener_that_cannot_be_bound_changes_nothing() {
    let origin = Origin::named("a");
    let mut proxy = Setup::new().backends(&[origin.address()]).start();
    let workers = proxy.workers();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let number = taken.local_addr().expect("an address").port().to_string();
    let inside = service(&[origin.address()]);
    let text = [("{port}", &inside), (number.as_str(), &inside)]
        .map(|(port, inside)| ounce_tests::proxy::listener(port, inside));
    proxy.setup().set_text(&text.concat());
    let said = proxy.reload().expect_err("a port that is taken");
    assert!(said.iter().any(|line| line.contains(&number)), "{said:#?}");
    assert_eq!(proxy.workers(), workers);
    assert_eq!(proxy.client().get("/").text(), "a");
}

#[test]
fn listeners_come_and_go_with_the_configuration() {
    let origin = Origin::named("a");
    let second = ounce_tests::port::Port::reserve();
    let inside = service(&[origin.address()]);
    let mut proxy = Setup::new().listener(&inside).start();
    let listener = |port: &str| ounce_tests::proxy::listener(port, &inside);
    let number = second.number().to_string();
    proxy.setup().set_text(&[listener("{port}"), listener(&number)].concat());
    proxy.reload().expect("a reload");
    assert_eq!(ounce_tests::client::Client::connect(second.address()).get("/").text(), "a");
    proxy.setup().set_text(&listener("{port}"));
    proxy.reload().expect("a reload");
    ounce_tests::barrier::until("nobody to listen there", || {
        ounce_tests::client::Client::try_connect(second.address()).err()
    });
    assert_eq!(proxy.client().get("/").text(), "a");
}

#[test]
fn the_number_of_workers_follows_the_configuration() {
    let origin = Origin::named("a");
    let mut proxy = Setup::new().global("Workers", "1").backends(&[origin.address()]).start();
    for workers in [3, 1, 2] {
        proxy.setup().set_global("Workers", &workers.to_string());
        proxy.reload().expect("a reload");
        proxy.wait_workers(workers);
        for _ in 0..20 {
            assert_eq!(proxy.client().get("/").text(), "a");
        }
    }
}

#[test]
fn reloads_leave_no_descriptors_behind() {
    let origin = Origin::named("a");
    let proxy = Setup::new().backends(&[origin.address()]).start();
    proxy.reload().expect("a reload");
    proxy.wait_workers(2);
    let before = process::descriptors(proxy.pid());
    for _ in 0..10 {
        proxy.reload().expect("a reload");
        proxy.wait_workers(2);
    }
    let after = process::descriptors(proxy.pid());
    // Slots of the fleet that were never used before may bring their log sockets.
    assert!(after <= before + 12, "{before} descriptors, then {after}");
}
