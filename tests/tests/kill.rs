//! SIGKILL at random under load: workers, the warden, a backend. `OUNCE_TEST_FULL=1` takes the full time.

use nix::sys::signal::Signal;
use ounce_tests::answer::Broken;
use ounce_tests::barrier::until;
use ounce_tests::crowd::{Crowd, Failure, Kind, Manner};
use ounce_tests::origin::Origin;
use ounce_tests::port::Port;
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup};
use ounce_tests::tool::Server;
use ounce_tests::wire;
use ounce_tests::wrk::Wrk;
use std::time::{Duration, Instant};

/// How long after a kill its victims are still being noticed.
const NOTICE: Duration = Duration::from_secs(3);

fn kills() -> usize {
    if std::env::var_os("OUNCE_TEST_FULL").is_some() { 20 } else { 5 }
}

/// What is left for one client to blame: its request was on its way through a worker that was killed.
fn assert_in_flight(failures: &[Failure], kills: &[Instant], clients: usize) {
    for failure in failures {
        let after = kills.iter().any(|kill| failure.at >= *kill && failure.at.duration_since(*kill) < NOTICE);
        let broken = matches!(failure.kind, Kind::Broken(Broken::Closed | Broken::Cut | Broken::Reset));
        assert!(after && broken, "{failure:?}");
    }
    // A connection breaks once. Those that failed more often were let down by more than the kills.
    assert!(failures.len() <= kills.len() * clients, "{} failures, {} kills", failures.len(), kills.len());
}

/// Kills one worker after the other, each time under load and each time until all serve again.
fn kill_workers(proxy: &Proxy, crowd: &Crowd, victims: impl Fn(&Proxy) -> Vec<i32>) -> Vec<Instant> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut kills = Vec::new();
    for _ in 0..self::kills() {
        crowd.wait_answers(500);
        let candidates = victims(proxy);
        let victim = candidates[random.usize(0..candidates.len())];
        kills.push(Instant::now());
        assert!(process::signal(victim, Signal::SIGKILL));
        process::wait_gone(victim);
        proxy.wait_workers(2);
    }
    crowd.wait_answers(500);
    kills
}

#[test]
fn a_killed_worker_takes_along_what_was_in_flight_on_it_and_nothing_else() {
    const CLIENTS: usize = 32;
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    for manner in [Manner::KeepAlive, Manner::Fresh] {
        let crowd = Crowd::gather(proxy.address(), CLIENTS, manner);
        let kills = kill_workers(&proxy, &crowd, Proxy::workers);
        let (answered, failures) = crowd.stop();
        assert!(answered > 1000);
        assert_in_flight(&failures, &kills, CLIENTS);
    }
}

#[test]
fn a_killed_warden_costs_no_request_at_all() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    let crowd = Crowd::gather(proxy.address(), 16, Manner::Fresh);
    kill_workers(&proxy, &crowd, |proxy| vec![proxy.warden()]);
    let (answered, failures) = crowd.stop();
    assert!(answered > 1000);
    assert!(failures.is_empty(), "{:?}", failures.first());
}

/// With every worker gone at once nobody is refused: the kernel keeps the queue until the successors come.
#[test]
fn the_listening_sockets_stay_open_while_no_worker_lives() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    let sockets = process::listening(proxy.address().port());
    assert_eq!(sockets.len(), 2, "one for each worker");
    for _ in 0..3 {
        for worker in proxy.workers() {
            assert!(process::signal(worker, Signal::SIGKILL));
        }
        let mut clients: Vec<_> = (0..50).map(|_| proxy.client()).collect();
        for client in &mut clients {
            // One that was accepted before its worker died may be broken; none is refused, and none waits in vain.
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            match client.read_answer(false) {
                Ok(answer) => assert_eq!(answer.status, 200),
                Err(broken) => assert!(matches!(broken, Broken::Closed | Broken::Reset), "{broken}"),
            }
        }
        assert_eq!(proxy.client().get("/").text(), "a");
        proxy.wait_workers(2);
        assert_eq!(process::listening(proxy.address().port()), sockets);
    }
}

/// Item 2 as an operator would see it, with wrk.
#[test]
fn wrk_sees_failures_of_killed_workers_alone() {
    const CONNECTIONS: u64 = 256;
    let folder = tempfile::tempdir().expect("a directory");
    let origin = Server::nginx(folder.path(), folder.path(), "location / { return 200 \"hello\"; }");
    let proxy = Setup::new().backends(&[origin.port().address()]).start();
    let sockets = process::listening(proxy.address().port());
    let wrk = Wrk::start(proxy.address(), &["--threads", "2", "--connections", "256"]);
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..kills() {
        let before = proxy.workers();
        let victim = before[random.usize(0..before.len())];
        assert!(process::signal(victim, Signal::SIGKILL));
        process::wait_gone(victim);
        // A client that comes now is served, whoever has to do it.
        assert_eq!(proxy.client().get("/").text(), "hello");
        proxy.wait_workers(2);
        until("requests at the successor", || {
            let new = proxy.workers().into_iter().find(|worker| !before.contains(worker))?;
            (process::cpu_ns(new) > 50_000_000).then_some(())
        });
    }
    let report = wrk.stop();
    assert_eq!(process::listening(proxy.address().port()), sockets);
    // A handshake that breaks off is a connect that failed to wrk.
    let handshakes = if wire::is_tls() { report.connect_errors } else { 0 };
    let refused = (report.connect_errors - handshakes, report.refused, report.timeouts);
    assert_eq!(refused, (0, 0, 0), "{}", report.text);
    let broken = report.read_errors + report.write_errors + handshakes;
    assert!(broken <= kills() as u64 * CONNECTIONS, "{}", report.text);
    assert!(report.requests > if wire::is_tls() { 1000 } else { 10_000 }, "{}", report.text);
}

/// A supervisor that dies takes its children along: nothing is left that nobody watches.
#[test]
fn nobody_outlives_the_supervisor() {
    let origin = Origin::named("a");
    let mut proxy = Proxy::before(&[origin.address()]);
    let family = process::family(proxy.pid());
    assert!(family.len() >= 4, "{family:?}");
    proxy.running().kill();
    for pid in family {
        process::wait_gone(pid);
    }
}

/// Item 4: one of three backends is killed and comes back under load.
#[test]
fn a_killed_backend_costs_no_idempotent_request_and_comes_back() {
    let start = |name: &str| {
        let port = Port::reserve();
        let address = port.address().to_string();
        let program = env!("CARGO_BIN_EXE_ounce-test-origin");
        Server::start(port, [program, &address, name].map(String::from).to_vec())
    };
    let mut origins = ["a", "b", "c"].map(start);
    let addresses: Vec<_> = origins.iter().map(|origin| origin.port().address()).collect();
    let proxy = Setup::new().global("Balancer", "iwrr").global("Alive", "1").backends(&addresses).start();
    for manner in [Manner::KeepAlive, Manner::Fresh] {
        let crowd = Crowd::gather(proxy.address(), 16, manner);
        for round in 0..kills() {
            crowd.wait_answers(300);
            let victim = &mut origins[round % 3];
            victim.kill();
            crowd.wait_answers(300);
            victim.restart();
            let back = Instant::now();
            let name = ["a", "b", "c"][round % 3];
            until("the backend to be asked again", || (proxy.client().get("/").text() == name).then_some(()));
            // Alive is a second; a probe may just have failed, and the machine may be busy.
            assert!(back.elapsed() < Duration::from_secs(4), "{:?}", back.elapsed());
        }
        let (_, failures) = crowd.stop();
        assert!(failures.is_empty(), "{} failures: {:?}", failures.len(), failures.first());
    }
}
