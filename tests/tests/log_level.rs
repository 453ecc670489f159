//! Log levels while the program runs: shown, set and given back through the control interface.

use ounce_tests::barrier::until;
use ounce_tests::origin::Origin;
use ounce_tests::program;
use ounce_tests::proxy::{Proxy, Setup, service};
use serde_json::{Value, json};
use std::process::Command;

/// A listener "web" that follows the global level 0, and "own" with a level of its own.
fn start(origin: &Origin) -> Proxy {
    let rest = service(&[origin.address()]);
    let setup = Setup::new().global("LogFormat", "\"mine\" \"MINE %U\"");
    let socket = setup.folder().join("own");
    let web = format!("ListenHTTP \"web\"\nAddress 127.0.0.1\nPort {{port}}\n{rest}End\n");
    let own = format!("ListenHTTP \"own\"\nAddress \"{}\"\nLogLevel 1\n{rest}End\n", socket.display());
    setup.text(&web).text(&own).start()
}

fn ctl(proxy: &Proxy, words: &[&str]) -> String {
    let socket = proxy.folder().join("control");
    let output =
        Command::new(program::ouncectl()).arg("-s").arg(socket).args(words).output().expect("ouncectl");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks until a request is written in this form: each worker learns of a change when it is told, and requests before that
/// are written as before, or not at all.
fn wait_line(proxy: &Proxy, path: &str, line: &str) {
    until(line, || {
        assert_eq!(proxy.client().get(path).status, 200);
        proxy.lines().all().iter().any(|written| written == line).then_some(())
    });
}

fn log(level: &str, global: bool, name: Option<&str>) -> (u16, Value) {
    let mut object = json!({"kind": "log", "level": level, "global": global});
    if let Some(name) = name {
        object["listener_name"] = name.into();
    }
    (200, object)
}

#[test]
fn levels_are_set_for_one_or_all_and_given_back() {
    let origin = Origin::named("a");
    let proxy = start(&origin);
    assert_eq!(proxy.control("GET", "/log"), log("null", true, None));
    assert_eq!(proxy.control("GET", "/log/web"), log("null", true, Some("web")));
    assert_eq!(proxy.control("GET", "/log/own"), log("regular", false, Some("own")));
    let (_, by_index) = proxy.control("GET", "/log/1");
    assert_eq!((&by_index["listener_index"], &by_index["level"]), (&1.into(), &"null".into()));

    assert_eq!(proxy.control("PUT", "/log?level=mine"), log("mine", true, None));
    wait_line(&proxy, "/one", "MINE /one");
    assert_eq!(proxy.control("GET", "/log/own"), log("regular", false, Some("own")));
    assert_eq!(proxy.control("PUT", "/log/web?level=1"), log("regular", false, Some("web")));
    wait_line(&proxy, "/two", "127.0.0.1 GET /two HTTP/1.1 - HTTP/1.1 200 OK");

    // A reload keeps what was set; a worker's successor sees it from the start.
    proxy.reload().expect("a reload");
    assert_eq!(proxy.control("GET", "/log/web"), log("regular", false, Some("web")));
    wait_line(&proxy, "/three", "127.0.0.1 GET /three HTTP/1.1 - HTTP/1.1 200 OK");

    assert_eq!(proxy.control("DELETE", "/log/web"), log("mine", true, Some("web")));
    wait_line(&proxy, "/four", "MINE /four");
    assert_eq!(proxy.control("DELETE", "/log"), log("null", true, None));
    until("no line any more", || {
        let before = proxy.lines().len();
        (0..20).for_each(|_| assert_eq!(proxy.client().get("/five").status, 200));
        (proxy.lines().len() == before).then_some(())
    });
}

#[test]
fn what_is_no_level_or_listener_is_refused() {
    let origin = Origin::named("a");
    let proxy = start(&origin);
    for (method, path, status) in [
        ("PUT", "/log", 400),
        ("PUT", "/log?level=nosuch", 400),
        ("PUT", "/log?level=6", 400),
        ("PUT", "/log/0?level=1", 400),
        ("GET", "/log/nobody", 404),
        ("GET", "/log/9", 404),
        ("POST", "/log", 405),
    ] {
        assert_eq!(proxy.control(method, path).0, status, "{method} {path}");
    }
}

#[test]
fn ouncectl_speaks_of_levels() {
    let origin = Origin::named("a");
    let proxy = start(&origin);
    assert_eq!(ctl(&proxy, &["log"]), "Log level: null\n");
    assert_eq!(ctl(&proxy, &["log", "/web"]), "Log level: null (as all others)\n");
    assert_eq!(ctl(&proxy, &["log", "/web", "mine"]), "Log level: mine\n");
    wait_line(&proxy, "/x", "MINE /x");
    assert_eq!(ctl(&proxy, &["log", "/web", "-"]), "Log level: null (as all others)\n");
}
