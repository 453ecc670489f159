//! The control socket and `ouncectl`: what they show, what they switch, and that traffic follows.

use nix::sys::signal::Signal;
use ounce_tests::barrier::until;
use ounce_tests::origin::Origin;
use ounce_tests::process;
use ounce_tests::program;
use ounce_tests::proxy::{Proxy, Setup, backend, service};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

fn ctl(proxy: &Proxy, words: &[&str]) -> Output {
    let socket = proxy.folder().join("control");
    Command::new(program::ouncectl()).arg("-s").arg(socket).args(words).output().expect("ouncectl")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A listener "web" with a service "main" of two backends and a session by header, and a global service.
fn start(origins: &[Origin; 2]) -> Proxy {
    let backends: String = origins.iter().map(|origin| backend(origin.address(), "")).collect();
    let inside = format!(
        "Service \"main\"\nHost \"main\"\nBalancer iwrr\n{backends}Session\nType HEADER\nID \"X-User\"\nTTL 60\nEnd\nEnd\n"
    );
    Setup::new()
        .global("BackendStats", "1")
        .text(&format!("Service \"rest\"\n{}End\n", backend(origins[0].address(), "Priority 7")))
        .text(&format!("ListenHTTP \"web\"\nAddress 127.0.0.1\nPort {{port}}\n{inside}End\n"))
        .start()
}

fn ask(proxy: &Proxy, fields: &str) -> String {
    proxy.client().ask(format!("GET / HTTP/1.1\r\nHost: main\r\n{fields}\r\n")).text()
}

#[test]
fn everything_is_shown_in_pound_s_words() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let proxy = start(&origins);
    let (status, all) = proxy.control("GET", "/listener");
    assert_eq!(status, 200);
    // The control socket is listener number 0, since its statement comes first.
    let web = &all["listeners"][1];
    assert_eq!((&web["name"], &web["enabled"]), (&"web".into(), &true.into()), "{all:#}");
    assert_eq!(web["address"], proxy.address().to_string());
    let main = &web["services"][0];
    assert_eq!((&main["name"], &main["session_type"]), (&"main".into(), &"HEADER".into()));
    assert_eq!(main["backends"][1]["address"], origins[1].address().to_string());
    assert_eq!(all["services"][0]["backends"][0]["priority"], 7);
    for path in ["/listener/1", "/listener/web"] {
        assert_eq!(proxy.control("GET", path), (200, web.clone()), "{path}");
    }
    for path in ["/listener/-/0", "/listener/-/rest", "/service/0", "/service/rest"] {
        assert_eq!(proxy.control("GET", path).1["name"], "rest", "{path}");
    }
    assert_eq!(proxy.control("GET", "/listener/web/main/1").1["address"], main["backends"][1]["address"]);
    let (_, core) = proxy.control("GET", "/core");
    assert_eq!((&core["pid"], &core["workers"]["count"]), (&proxy.pid().into(), &2.into()), "{core:#}");
    assert!(
        core["uptime"].is_u64() && core["version"].is_string() && core["timestamp"].is_string(),
        "{core:#}"
    );
}

#[test]
fn what_is_wrong_is_refused_with_its_status() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let proxy = start(&origins);
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/listener/9", 404),
        ("GET", "/listener/web/main/2", 404),
        ("POST", "/listener/web", 405),
        ("PUT", "/core", 405),
        ("DELETE", "/listener/0", 400),
        ("DELETE", "/session/web/main", 400),
        ("DELETE", "/session/web/main?key=nobody", 404),
    ] {
        assert_eq!(proxy.control(method, path).0, status, "{method} {path}");
    }
}

#[test]
fn a_disabled_backend_gets_no_new_sessions_and_keeps_its_old_ones() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let proxy = start(&origins);
    let user = |number: usize| format!("X-User: {number}\r\n");
    let homes: Vec<String> = (0..10).map(|number| ask(&proxy, &user(number))).collect();
    assert_eq!(homes.iter().collect::<BTreeSet<_>>().len(), 2);
    assert_eq!(proxy.control("DELETE", "/listener/web/main/0"), (200, true.into()));
    assert_eq!(proxy.control("GET", "/listener/web/main/0").1["enabled"], false);
    for number in 0..40 {
        assert_eq!(ask(&proxy, ""), "b", "request {number} without a session");
        let name = ask(&proxy, &user(number));
        assert_eq!(Some(&name), homes.get(number).or(Some(&"b".into())), "user {number}");
    }
    // A reload keeps it switched off: what an operator does outlives a change of the file.
    proxy.reload().expect("a reload");
    assert_eq!(ask(&proxy, ""), "b");
    assert_eq!(proxy.control("PUT", "/listener/web/main/0"), (200, true.into()));
    let names: BTreeSet<String> = (0..10).map(|_| ask(&proxy, "")).collect();
    assert_eq!(names.len(), 2);
}

#[test]
fn a_disabled_service_is_passed_over_and_a_disabled_listener_serves_nobody() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let proxy = start(&origins);
    let count = |origin: &Origin| origin.count();
    assert_eq!(proxy.control("DELETE", "/listener/web/main").0, 200);
    until("every worker to pass the service over", || {
        let before = count(&origins[1]);
        (0..20).for_each(|_| assert_eq!(ask(&proxy, ""), "a"));
        (count(&origins[1]) == before).then_some(())
    });
    assert_eq!(proxy.control("PUT", "/listener/web/main").0, 200);
    until("the service again", || (ask(&proxy, "") == "b").then_some(()));
    assert_eq!(proxy.control("DELETE", "/listener/web").0, 200);
    until("the listener to serve nobody", || {
        let mut client = ounce_tests::client::Client::try_connect(proxy.address()).ok()?;
        client.stream().set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a socket");
        let _ = client.link().send(b"GET / HTTP/1.1\r\nHost: main\r\n\r\n");
        client.read_answer(false).err()
    });
    assert_eq!(proxy.control("PUT", "/listener/web").0, 200);
    until("the listener to serve again", || {
        let mut client = ounce_tests::client::Client::try_connect(proxy.address()).ok()?;
        client.stream().set_read_timeout(Some(std::time::Duration::from_secs(2))).expect("a socket");
        let _ = client.link().send(b"GET / HTTP/1.1\r\nHost: main\r\n\r\n");
        client.read_answer(false).ok()
    });
}

#[test]
fn sessions_are_shown_added_and_forgotten() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let proxy = start(&origins);
    assert!(ctl(&proxy, &["add", "/web/main/1", "alice"]).status.success());
    for _ in 0..6 {
        assert_eq!(ask(&proxy, "X-User: alice\r\n"), "b");
    }
    let (_, main) = proxy.control("GET", "/listener/web/main");
    let sessions = main["sessions"].as_array().expect("sessions");
    assert!(sessions.iter().any(|session| session["key"] == "alice" && session["backend"] == 1), "{main:#}");
    assert!(text(&ctl(&proxy, &["list", "/web/main"])).contains("alice"));
    assert!(ctl(&proxy, &["delete", "/web/main", "alice"]).status.success());
    assert_eq!(proxy.control("GET", "/listener/web/main").1["sessions"], serde_json::json!([]));
    let output = ctl(&proxy, &["delete", "/web/main", "alice"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "ouncectl: Not Found\n");
}

#[test]
fn ouncectl_shows_and_switches() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let proxy = start(&origins);
    let list = text(&ctl(&proxy, &["list"]));
    for part in ["web", "main", "rest", &origins[0].address().to_string()] {
        assert!(list.contains(part), "{part} is not in\n{list}");
    }
    assert!(text(&ctl(&proxy, &["core"])).contains(&proxy.pid().to_string()));
    let json: serde_json::Value =
        serde_json::from_str(&text(&ctl(&proxy, &["-j", "list", "/web/main/0"]))).expect("JSON");
    assert_eq!(json["enabled"], true);
    assert_eq!(text(&ctl(&proxy, &["disable", "/web/main/0"])), "");
    (0..6).for_each(|_| assert_eq!(ask(&proxy, ""), "b"));
    assert_eq!(text(&ctl(&proxy, &["on", "/web/main/0"])), "");
    // The socket may be named by the configuration.
    let config = proxy.folder().join("ounce.cfg");
    let output =
        Command::new(program::ouncectl()).arg("-f").arg(config).arg("list").output().expect("ouncectl");
    assert!(text(&output).contains("main"));
}

#[test]
fn statistics_count_what_was_answered() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let proxy = start(&origins);
    (0..20).for_each(|_| drop(ask(&proxy, "")));
    let (_, main) = proxy.control("GET", "/listener/web/main");
    let count = |at: usize| main["backends"][at]["stats"]["request_count"].as_u64();
    assert_eq!((count(0), count(1)), (Some(10), Some(10)), "{main:#}");
}

#[test]
fn a_dead_backend_is_shown_and_so_is_its_return() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let proxy = start(&origins);
    let ports = [origins[0].port(), origins[1].port()];
    drop(origins);
    assert_eq!(proxy.client().ask("GET / HTTP/1.1\r\nHost: main\r\n\r\n").status, 503);
    let (_, main) = proxy.control("GET", "/listener/web/main");
    assert_eq!(
        (&main["backends"][0]["alive"], &main["backends"][1]["alive"]),
        (&false.into(), &false.into())
    );
    let _back = ports.map(|port| Origin::named_on(port, "back"));
    until("both backends to be alive", || {
        let (_, main) = proxy.control("GET", "/listener/web/main");
        let alive = |at: usize| main["backends"][at]["alive"] == true;
        (alive(0) && alive(1)).then_some(())
    });
    assert_eq!(ask(&proxy, ""), "back");
}

#[test]
fn the_socket_is_the_owner_s_alone_and_goes_with_the_proxy() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let mut proxy = start(&origins);
    let socket = proxy.folder().join("control");
    let mode = std::fs::metadata(&socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A warden that is killed leaves the socket to its successor.
    assert!(process::signal(proxy.warden(), Signal::SIGKILL));
    assert_eq!(proxy.control("GET", "/core").0, 200);
    assert!(proxy.end(Signal::SIGTERM).success());
    assert!(!socket.exists());
}

#[test]
fn the_section_form_sets_the_mode() {
    let origin = Origin::named("a");
    let control = "Control\nSocket \"{folder}/other\"\nMode 0660\nEnd\n";
    let mut setup = Setup::new();
    setup.remove_global("Control");
    let proxy = setup.text(control).listener(&service(&[origin.address()])).start();
    let mode = std::fs::metadata(proxy.folder().join("other")).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}
