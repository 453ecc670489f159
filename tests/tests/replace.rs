//! USR2: the running program is replaced by the one that is installed now, in the same process.

use nix::sys::signal::Signal;
use ounce_tests::crowd::{Crowd, Manner};
use ounce_tests::origin::Origin;
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup};
use std::fs;

/// Replaces the program, waits until its new workers serve, and tells whether it did.
fn replace(proxy: &Proxy) -> bool {
    let before = proxy.problems().len();
    proxy.signal(Signal::SIGUSR2);
    proxy.problems().wait("a new program", |all| {
        let has = |text: &str| all[before..].iter().any(|line| line.contains(text));
        match () {
            () if has(": reloaded") => Some(true),
            () if has("was not replaced") => Some(false),
            () => None,
        }
    })
}

fn replace_under_load(manner: Manner) {
    let origin = Origin::named("a");
    let proxy = Setup::new().backends(&[origin.address()]).start();
    let (supervisor, workers) = (proxy.pid(), proxy.workers());
    let crowd = Crowd::gather(proxy.address(), 16, manner);
    for _ in 0..5 {
        crowd.wait_answers(200);
        assert!(replace(&proxy));
    }
    let (_, failures) = crowd.stop();
    assert!(failures.is_empty(), "{:?}", failures.first());
    proxy.wait_workers(2);
    assert!(proxy.workers().iter().all(|worker| !workers.contains(worker)));
    let pid = fs::read_to_string(proxy.folder().join("ounce.pid")).expect("a pid file");
    assert_eq!(pid.trim(), supervisor.to_string(), "the process is the same");
}

#[test]
fn a_new_program_costs_no_request_on_new_connections() {
    replace_under_load(Manner::Fresh);
}

#[test]
fn a_new_program_costs_no_request_on_kept_connections() {
    replace_under_load(Manner::KeepAlive);
}

/// What an operator has switched off stays off, and a worker that dies afterwards has a successor.
#[test]
fn the_new_program_knows_what_the_old_one_knew() {
    let (first, second) = (Origin::named("a"), Origin::named("b"));
    let proxy = Setup::new().backends(&[first.address(), second.address()]).start();
    assert_eq!(proxy.control("DELETE", "/listener/1/0/0").0, 200);
    assert!(replace(&proxy));
    for _ in 0..20 {
        assert_eq!(proxy.client().get("/").text(), "b");
    }
    let victim = proxy.workers()[0];
    assert!(process::signal(victim, Signal::SIGKILL));
    process::wait_gone(victim);
    proxy.wait_workers(2);
    for _ in 0..20 {
        assert_eq!(proxy.client().get("/").text(), "b");
    }
}

#[test]
fn with_a_bad_file_the_old_program_stays() {
    let origin = Origin::named("a");
    let mut proxy = Setup::new().backends(&[origin.address()]).start();
    let workers = proxy.workers();
    proxy.setup().set_text("Nonsense 1\n");
    let _ = proxy.setup().write();
    assert!(!replace(&proxy));
    assert_eq!(proxy.workers(), workers);
    assert_eq!(proxy.client().get("/").text(), "a");
}

#[test]
fn replacing_leaves_no_descriptors_behind() {
    let origin = Origin::named("a");
    let proxy = Setup::new().backends(&[origin.address()]).start();
    for _ in 0..2 {
        assert!(replace(&proxy));
        proxy.wait_workers(2);
    }
    let before = process::descriptors(proxy.pid());
    for _ in 0..5 {
        assert!(replace(&proxy));
        proxy.wait_workers(2);
    }
    // Slots of the fleet that were never used before may bring their log sockets.
    let after = process::descriptors(proxy.pid());
    assert!(after <= before + 12, "{before} descriptors, then {after}");
}
