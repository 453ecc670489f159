//! The life of the program: leaving the terminal, the pid file, signals, rights, the jail.

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, User, getsid, getuid};
use ounce_tests::barrier::{Gate, until};
use ounce_tests::client::Client;
use ounce_tests::origin::Origin;
use ounce_tests::process;
use ounce_tests::program;
use ounce_tests::proxy::{Proxy, Setup};
use ounce_tests::script::{Act, play, say};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A daemon: nobody's child, so it is ended by the number in its file.
struct Daemon {
    setup: Setup,
    pid: i32,
}

impl Daemon {
    fn start(origin: &Origin) -> Daemon {
        let setup = Setup::new().arguments(&[]).global("LogFacility", "daemon").backends(&[origin.address()]);
        let status = setup.command().status().expect("the program");
        assert!(status.success(), "{status}");
        // The process that was started ends well only when the daemon serves, so all is there by now.
        let pid = fs::read_to_string(pid_file(setup.folder())).expect("a pid file");
        Daemon { pid: pid.trim().parse().expect("a number"), setup }
    }

    fn client(&self) -> Client {
        Client::connect(self.setup.port().address())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if process::name(self.pid) == "ounce" {
            let _ = process::signal(self.pid, Signal::SIGKILL);
        }
    }
}

fn pid_file(folder: &Path) -> PathBuf {
    folder.join("ounce.pid")
}

fn end_within(proxy: &mut Proxy, signal: Signal) -> std::time::Duration {
    let before = std::time::Instant::now();
    let status = proxy.end(signal);
    assert_eq!(status.code(), Some(0), "{signal}");
    before.elapsed()
}

#[test]
fn a_daemon_serves_from_its_own_session_until_it_is_told_to_end() {
    let origin = Origin::named("a");
    let daemon = Daemon::start(&origin);
    assert_eq!(daemon.client().get("/").text(), "a");
    assert_eq!(process::name(daemon.pid), "ounce");
    assert_ne!(getsid(Some(Pid::from_raw(daemon.pid))).expect("a session"), getsid(None).expect("a session"));
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", daemon.pid)).expect("a directory"), Path::new("/"));
    for descriptor in 0..3 {
        let file = fs::read_link(format!("/proc/{}/fd/{descriptor}", daemon.pid)).expect("a descriptor");
        assert_eq!(file, Path::new("/dev/null"));
    }
    // A reload of a daemon finds its file again.
    let workers = process::children(daemon.pid);
    assert!(process::signal(daemon.pid, Signal::SIGHUP));
    until("new workers", || {
        let now = process::children(daemon.pid);
        (!now.is_empty() && now.iter().all(|pid| !workers.contains(pid))).then_some(())
    });
    assert_eq!(daemon.client().get("/").text(), "a");
    assert!(process::signal(daemon.pid, Signal::SIGTERM));
    process::wait_gone(daemon.pid);
    assert!(!pid_file(daemon.setup.folder()).exists());
    assert!(!daemon.setup.folder().join("control").exists());
}

#[test]
fn a_daemon_that_cannot_start_says_so_with_its_status() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let text = ounce_tests::proxy::listener(&port.to_string(), "");
    let setup = Setup::new().arguments(&[]).text(&text);
    let output = setup.command().output().expect("the program");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&port.to_string()), "{output:?}");
    assert!(!pid_file(setup.folder()).exists());
}

#[test]
fn the_pid_file_names_the_supervisor_and_goes_with_it() {
    let origin = Origin::named("a");
    for signal in [Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGINT] {
        let mut proxy = Proxy::before(&[origin.address()]);
        let file = pid_file(proxy.folder());
        assert_eq!(fs::read_to_string(&file).expect("a pid file"), format!("{}\n", proxy.pid()));
        let family = process::family(proxy.pid());
        assert_eq!(proxy.end(signal).code(), Some(0));
        assert!(!file.exists());
        family.into_iter().for_each(process::wait_gone);
    }
}

#[test]
fn term_and_quit_end_at_once_and_int_waits_for_active_requests() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let gate = Gate::new();
        let origin = Origin::start(play([Act::Body, Act::Wait(gate.clone()), Act::Close]));
        let mut proxy = Setup::new().global("Grace", "20").backends(&[origin.address()]).start();
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        origin.received().wait_len("a request", 1);
        assert!(end_within(&mut proxy, signal).as_secs() < 5, "{signal}");
        gate.open();
    }
    let gate = Gate::new();
    let late = say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    let origin = Origin::start(play([Act::Body, Act::Wait(gate.clone()), late]));
    let mut proxy = Setup::new().global("Grace", "20").backends(&[origin.address()]).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.received().wait_len("a request", 1);
    proxy.signal(Signal::SIGINT);
    until("nobody to listen any more", || Client::try_connect(proxy.address()).err());
    gate.open();
    assert_eq!(client.answer().text(), "late");
    assert_eq!(proxy.running().wait().code(), Some(0));
}

#[test]
fn grace_has_an_end() {
    let gate = Gate::new();
    let origin = Origin::start(play([Act::Body, Act::Wait(gate.clone()), Act::Close]));
    let mut proxy = Setup::new().global("Grace", "1").backends(&[origin.address()]).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.received().wait_len("a request", 1);
    let took = end_within(&mut proxy, Signal::SIGINT);
    assert!((900..8000).contains(&took.as_millis()), "{took:?}");
    gate.open();
}

/// An idle connection is not an active request.
#[test]
fn int_does_not_wait_for_a_client_that_asks_nothing() {
    let origin = Origin::named("a");
    let mut proxy = Setup::new().global("Grace", "2").backends(&[origin.address()]).start();
    let mut client = proxy.client();
    client.get("/");
    assert!(end_within(&mut proxy, Signal::SIGINT).as_secs() < 8);
    client.expect_end();
}

/// They kill Pound's supervisor (pound.md section 14).
#[test]
fn usr1_and_a_stopped_terminal_kill_nobody() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    for signal in [Signal::SIGUSR1, Signal::SIGPIPE] {
        for pid in process::family(proxy.pid()) {
            if pid == proxy.pid() || signal == Signal::SIGUSR1 {
                assert!(process::signal(pid, signal));
            }
        }
    }
    assert_eq!(proxy.client().get("/").text(), "a");
    assert_eq!(proxy.control("GET", "/core").1["workers"]["count"], 2);
}

#[test]
fn the_supervisor_restarts_a_worker_that_is_stuck() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    let stuck = proxy.workers()[0];
    assert!(process::signal(stuck, Signal::SIGSTOP));
    process::wait_gone(stuck);
    proxy.wait_workers(2);
    for _ in 0..20 {
        assert_eq!(proxy.client().get("/").text(), "a");
    }
}

#[test]
fn children_give_up_their_rights_and_the_supervisor_keeps_its_own() {
    assert!(getuid().is_root(), "giving up rights takes root: run this test as root");
    let nobody = User::from_name("nobody").expect("a user database").expect("a user called nobody");
    let origin = Origin::named("a");
    let jail = tempfile::tempdir().expect("a directory");
    let proxy = Setup::new()
        .global("User", "\"nobody\"")
        .global("Group", "\"nogroup\"")
        .global("RootJail", &format!("\"{}\"", jail.path().display()))
        .backends(&[origin.address()])
        .start();
    assert_eq!(proxy.client().get("/").text(), "a");
    let uids = |pid: i32| process::status_field(pid, "Uid").expect("a process");
    let all_nobody = format!("{0}\t{0}\t{0}\t{0}", nobody.uid);
    for pid in proxy.workers().into_iter().chain([proxy.warden()]) {
        assert_eq!(uids(pid), all_nobody, "{}", process::name(pid));
        assert_eq!(process::status_field(pid, "CapEff").as_deref(), Some("0000000000000000"));
    }
    assert_eq!(uids(proxy.pid()), "0\t0\t0\t0");
    for worker in proxy.workers() {
        let root = fs::read_link(format!("/proc/{worker}/root")).expect("a root directory");
        assert_eq!(root, jail.path());
    }
    // Whoever comes later has no more rights.
    let victim = proxy.workers()[0];
    assert!(process::signal(victim, Signal::SIGKILL));
    process::wait_gone(victim);
    proxy.wait_workers(2);
    proxy.workers().into_iter().for_each(|worker| assert_eq!(uids(worker), all_nobody));
    proxy.reload().expect("a reload of a jailed fleet");
    assert_eq!(proxy.client().get("/").text(), "a");
}

#[test]
fn each_worker_has_a_processor_of_its_own() {
    let origin = Origin::named("a");
    let proxy = Setup::new().global("Workers", "2").backends(&[origin.address()]).start();
    let cpus = |pid: i32| process::status_field(pid, "Cpus_allowed_list").expect("a process");
    let own = cpus(proxy.pid());
    let workers: Vec<String> = proxy.workers().into_iter().map(cpus).collect();
    assert!(workers.iter().all(|worker| worker.parse::<usize>().is_ok()), "{workers:?}");
    assert!(own.parse::<usize>().is_ok() || workers[0] != workers[1], "{own}: {workers:?}");
}

/// A table of descriptors that grows later, with threads around, makes the loop wait.
#[test]
fn workers_have_room_for_descriptors_from_the_start() {
    const ROOM: u64 = 1 << 16;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let origin = Origin::named("a");
    let proxy = Setup::new().backends(&[origin.address()]).start();
    for worker in proxy.workers() {
        let room = process::status_field(worker, "FDSize").expect("a process");
        assert!(room.parse::<u64>().expect("a number") >= most.min(ROOM), "{room}");
    }
}

#[test]
fn without_a_number_there_is_a_worker_for_each_processor() {
    let origin = Origin::named("a");
    let mut setup = Setup::new().backends(&[origin.address()]);
    setup.remove_global("Workers");
    let proxy = setup.start();
    let processors = std::thread::available_parallelism().expect("processors").get();
    assert_eq!(proxy.workers().len(), processors);
}

#[test]
fn a_second_proxy_on_the_same_port_is_refused() {
    let origin = Origin::named("a");
    let first = Proxy::before(&[origin.address()]);
    let port = first.address().port().to_string();
    let text = ounce_tests::proxy::listener(&port, &ounce_tests::proxy::service(&[origin.address()]));
    let setup = Setup::new().text(&text);
    let output = setup.command().output().expect("the program");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(first.client().get("/").text(), "a");
}

#[test]
fn both_engines_serve() {
    for engine in ["epoll", "io_uring", "auto"] {
        let origin = Origin::echo();
        let proxy = Setup::new().global("IoEngine", engine).backends(&[origin.address()]).start();
        let mut client = proxy.client();
        let body = "x".repeat(200_000);
        let post = format!("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for _ in 0..20 {
            assert_eq!(client.get("/g").text(), "GET /g\n", "{engine}");
            assert_eq!(client.ask(&post).body.len(), body.len() + 8, "{engine}");
        }
    }
}

#[test]
fn the_version_is_the_workspace_s() {
    let output = Command::new(program::ounce()).arg("-V").output().expect("the program");
    assert!(String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")), "{output:?}");
}
