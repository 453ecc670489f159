//! `Metrics` and `Control` as services: what the control socket says, on a listener.

use nix::sys::signal::Signal;
use ounce_tests::barrier::until;
use ounce_tests::origin::Origin;
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup, backend, listener};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A listener "web" whose services are metrics, the API, and the rest; a listener without either; a global service.
fn start(origin: &Origin) -> Proxy {
    let services = format!(
        "Service \"metrics\"\nPath \"^/metrics$\"\nMetrics\nEnd\n\
         Service \"api\"\nACL\n\"127.0.0.1\"\nEnd\nHost \"api\"\nControl\nEnd\n\
         Service \"rest\"\n{}{}End",
        backend(origin.address(), ""),
        backend(origin.address(), "Disabled yes")
    );
    let setup = Setup::new().global("BackendStats", "1");
    let socket = setup.folder().join("other");
    let other =
        format!("ListenHTTP \"other\"\nAddress \"{}\"\nService\nError 404\nEnd\nEnd\n", socket.display());
    let web = format!("ListenHTTP \"web\"\nAddress 127.0.0.1\nPort {{port}}\nxHTTP 1\n{services}\nEnd\n");
    setup.text(&web).text(&other).text("Service \"global\"\nError 503\nEnd").start()
}

fn api(proxy: &Proxy, method: &str, path: &str) -> (u16, Value) {
    let answer = proxy.client().ask(format!("{method} {path} HTTP/1.1\r\nHost: api\r\n\r\n"));
    assert_eq!(answer.fields.get("Content-Type"), Some("application/json"));
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

#[test]
fn the_api_is_that_of_the_control_socket() {
    let origin = Origin::named("a");
    let proxy = start(&origin);
    assert_eq!(proxy.client().get("/listener").text(), "a", "the service has conditions");
    for path in ["/listener/web/rest", "/listener/1/2", "/service/0", "/listener/other"] {
        assert_eq!(api(&proxy, "GET", path), proxy.control("GET", path), "{path}");
    }
    let kinds =
        |service: usize| api(&proxy, "GET", &format!("/listener/web/{service}")).1["backends"][0].clone();
    for (service, kind) in [(0, "metrics"), (1, "control"), (2, "backend")] {
        let object = kinds(service);
        assert_eq!((&object["kind"], &object["type"]), (&"backend".into(), &kind.into()), "{object:#}");
        assert_eq!((&object["alive"], &object["weight"]), (&true.into(), &0.into()), "{object:#}");
    }
    let answer = proxy.client().ask("GET /core?indent=2 HTTP/1.1\r\nHost: api\r\n\r\n");
    assert!(answer.text().starts_with("{\n  \"fleet\""), "{}", answer.text());
    assert!(!answer.closes());
    for (method, path, status) in
        [("GET", "/nothing", 404), ("PUT", "/core", 405), ("DELETE", "/session/web/rest", 400)]
    {
        assert_eq!(api(&proxy, method, path).0, status, "{method} {path}");
    }
}

/// Whoever switched off what holds the API could not switch it on again.
#[test]
fn the_api_switches_everything_but_what_holds_it() {
    let origin = Origin::named("a");
    let proxy = start(&origin);
    for path in ["/listener/web", "/listener/web/api", "/listener/web/api/0", "/listener/0"] {
        for method in ["DELETE", "PUT"] {
            assert_eq!(api(&proxy, method, path).0, 400, "{method} {path}");
            assert_eq!(proxy.control(method, path).0, 400, "{method} {path}");
        }
    }
    for path in ["/listener/other", "/listener/web/metrics", "/listener/web/rest/0", "/service/global"] {
        assert_eq!(api(&proxy, "DELETE", path), (200, true.into()), "{path}");
        assert_eq!(proxy.control("GET", path).1["enabled"], false, "{path}");
    }
    until("the service of metrics to be passed over", || {
        (proxy.client().get("/metrics").status == 503).then_some(())
    });
    for path in ["/listener/web/metrics", "/listener/web/rest/0"] {
        assert_eq!(api(&proxy, "PUT", path), (200, true.into()), "{path}");
    }
    until("it to be back", || (proxy.client().get("/metrics").status == 200).then_some(()));
}

/// The text of OpenMetrics 1.0 as a strict reader takes it: families together, each with its type before its samples.
fn read_metrics(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("an end");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').expect("a type");
            assert!(families.insert(name.to_owned()), "{name} twice");
            (family, kind) = (name.to_owned(), of.to_owned());
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert_eq!(rest.split_once(' ').expect("help").0, family);
        } else {
            let (key, value) = line.rsplit_once(' ').expect("a sample");
            let name = key.split('{').next().expect("a name");
            let suffix = match kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            assert_eq!(name, format!("{family}{suffix}"), "{line}");
            assert!(
                samples.insert(key.to_owned(), value.parse().expect("a number")).is_none(),
                "{line} twice"
            );
        }
    }
    samples
}

#[test]
fn metrics_hold_every_family_and_label() {
    let origin = Origin::named("a");
    let proxy = start(&origin);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "a");
    }
    let answer = client.ask("GET /metrics HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_eq!(
        answer.fields.get("Content-Type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(!answer.closes());
    let samples = read_metrics(&answer.text());
    let at = |key: &str| *samples.get(key).unwrap_or_else(|| panic!("no {key} in {samples:#?}"));
    assert!(at("pound_uptime") > 0.0);
    for (kind, count) in [("active", 2.0), ("count", 2.0), ("max", 2.0), ("min", 2.0)] {
        assert_eq!(at(&format!("pound_workers{{type=\"{kind}\"}}")), count, "{kind}");
    }
    for key in ["pound_queue{type=\"len\"}", "pound_queue{type=\"max\"}", "pound_queue_len"] {
        at(key);
    }
    assert_eq!(at("pound_listener_enabled{listener=\"0\"}"), 1.0);
    assert_eq!(at("pound_listener_enabled{listener=\"1\",listener_name=\"web\"}"), 1.0);
    let address = proxy.address();
    let info = format!(
        "pound_listener_info{{listener=\"1\",listener_name=\"web\",address=\"{address}\",protocol=\"http\"}}"
    );
    assert_eq!(at(&info), 1.0);
    let rest = "listener=\"1\",listener_name=\"web\",service=\"2\",service_name=\"rest\"";
    assert_eq!(at(&format!("pound_service_enabled{{{rest}}}")), 1.0);
    assert_eq!(at("pound_service_enabled{service=\"0\",service_name=\"global\"}"), 1.0);
    for (state, count) in [("total", 2.0), ("alive", 2.0), ("enabled", 1.0), ("active", 1.0)] {
        assert_eq!(at(&format!("pound_backends{{{rest},state=\"{state}\"}}")), count, "{state}");
    }
    assert_eq!(at(&format!("pound_backend_state{{{rest},backend=\"1\",state=\"enabled\"}}")), 0.0);
    assert_eq!(at(&format!("pound_backend_requests{{{rest},backend=\"0\"}}")), 3.0);
    for family in ["pound_backend_request_time_avg_nanoseconds", "pound_backend_request_stddev_nanoseconds"] {
        at(&format!("{family}{{{rest},backend=\"0\"}}"));
    }
    assert!(at("ounce_requests_total") >= 4.0);
    let head = client.ask("HEAD /metrics HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let post = client.ask("POST /metrics HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((post.status, post.fields.get("Allow")), (405, Some("GET, HEAD")));
}

/// A label's quotes and backslashes end no sample.
#[test]
fn labels_are_escaped() {
    let proxy = Setup::new().text(&listener("{port}", "Service \"a\\\"b\\\\c\"\nMetrics\nEnd")).start();
    let samples = read_metrics(&proxy.client().get("/").text());
    let escaped = "pound_service_enabled{listener=\"1\",service=\"0\",service_name=\"a\\\"b\\\\c\"}";
    assert_eq!(samples.get(escaped), Some(&1.0), "{samples:#?}");
}

#[test]
fn a_killed_warden_s_successor_answers() {
    let origin = Origin::named("a");
    let proxy = start(&origin);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.ask("GET /metrics HTTP/1.1\r\nHost: b\r\n\r\n").status, 200);
        let warden = proxy.warden();
        assert!(process::signal(warden, Signal::SIGKILL));
        process::wait_gone(warden);
        assert_eq!(client.ask("GET /core HTTP/1.1\r\nHost: api\r\n\r\n").status, 200);
    }
    assert_eq!(api(&proxy, "DELETE", "/listener/web/rest/0"), (200, true.into()));
}
