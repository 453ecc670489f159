//! The whole warden against a real segment, a plan compiled from text, and the client library of `ouncectl`.

use crate::inheritance::{Inheritance, Papers};
use ounce_core::route::{Ids, compile};
use ounce_ctl::api::{Object, Request};
use ounce_ctl::client::{Answer, Client};
use ounce_mem::{BackendId, Counter, Limits, ListenerId, Segment, ServiceId};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The slot of the warden; 0 and 1 are workers'.
const SLOT: u16 = 2;

/// Rows of a segment, as the supervisor claims them.
struct Rows<'a>(&'a Segment);

impl Ids for Rows<'_> {
    fn listener(&mut self, identity: &str) -> Option<u32> {
        self.0.listeners().claim(identity, 1).map(|id| id.0)
    }

    fn service(&mut self, identity: &str) -> Option<u32> {
        self.0.services().claim(identity, 1).map(|id| id.0)
    }

    fn backend(&mut self, identity: &str) -> Option<u32> {
        self.0.backends().claim(identity, 1).map(|id| id.0)
    }
}

/// What a warden inherits that serves `text`; without sockets.
pub(super) fn inheritance(text: &str) -> Inheritance {
    let loaded = ounce_conf::load_text("test.cfg", text, &ounce_conf::Options::default());
    let config = loaded.unwrap_or_else(|errors| panic!("{errors:?}")).config;
    let segment = Segment::create(Limits::default()).unwrap();
    let plan = compile(&config, &mut Rows(&segment)).unwrap();
    let worker = segment.fleet().begin(0, 1);
    segment.fleet().set_pid(0, 4711);
    segment.fleet().ready(worker);
    let owner = segment.fleet().begin(SLOT, 1);
    Inheritance {
        greeters: Vec::new(),
        papers: Papers::default(),
        newest_papers: Vec::new(),
        config: Arc::new(config),
        plan: Arc::new(plan),
        segment: Arc::new(segment),
        owner,
        generation: 1,
        log: Vec::new(),
        orders: -1,
        control: None,
        house: None,
        folder: PathBuf::new(),
        standard_streams: true,
        name: "ounce".to_owned(),
        workers: 2,
        supervisor: 4242,
        started: SystemTime::now(),
    }
}

/// A warden that runs in a thread, and the supervisor's ends of its sockets.
struct Warden {
    segment: Arc<Segment>,
    orders: UnixDatagram,
    socket: PathBuf,
    thread: JoinHandle<Result<(), String>>,
    _directory: TempDir,
}

const CONFIG: &str = r#"
BackendStats 1
LogFacility -
ListenHTTP "front"
    Address 127.0.0.1
    Port 8080
    Service "app"
        Host "app.example"
        Session
            Type COOKIE
            ID "sid"
            TTL 300
        End
        BackEnd
            Address 127.0.0.1
            Port 9001
            Priority 7
            TimeOut 11
            ConnTO 12
            WSTimeOut 13
        End
        BackEnd
            Address "/run/app.sock"
            Disabled 1
        End
        Emergency
            Address 127.0.0.1
            Port 9009
        End
    End
    Service
        Redirect 301 "https://example.org"
    End
End
Control "{control}"
ListenHTTP
    Address 127.0.0.1
    Port 8081
End
Service "rest"
    Error 503
End
"#;

impl Warden {
    fn start() -> Warden {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control");
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let of = inheritance(&CONFIG.replace("{control}", &socket.to_string_lossy()));
        Warden::start_with(of, OwnedFd::from(listener), directory, socket)
    }

    fn start_with(mut of: Inheritance, listener: OwnedFd, directory: TempDir, socket: PathBuf) -> Warden {
        let (ours, theirs) = ounce_sys::pairs::seqpacket().unwrap();
        of.orders = theirs.as_raw_fd();
        of.control = Some(listener.as_raw_fd());
        let segment = Arc::clone(&of.segment);
        let thread = std::thread::spawn(move || {
            let directories = super::open_directories(&of);
            let outcome = super::run(of, directories);
            drop((listener, theirs));
            outcome
        });
        let orders = UnixDatagram::from(ours);
        orders.set_nonblocking(false).unwrap();
        orders.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let warden = Warden { segment, orders, socket, thread, _directory: directory };
        assert_eq!(warden.message(), b'R');
        warden
    }

    /// The next message to the supervisor.
    fn message(&self) -> u8 {
        let mut byte = [0];
        assert_eq!(self.orders.recv(&mut byte).unwrap(), 1);
        byte[0]
    }

    fn ask(&self, request: &Request) -> Answer {
        Client::new(&self.socket).ask(request, None).unwrap()
    }

    fn show(&self, path: &str) -> Value {
        let answer = self.ask(&Request::Show(object(path)));
        assert_eq!(answer.status, 200, "{path}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn switch(&self, path: &str, enable: bool) -> u16 {
        self.ask(&Request::Switch { object: object(path), enable }).status
    }

    /// Sends bytes as they are and returns all that comes back.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // The warden may answer and close before it has read everything.
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn stop(self) {
        self.orders.send(b"S").unwrap();
        assert_eq!(self.thread.join().unwrap(), Ok(()));
    }
}

fn object(path: &str) -> Object {
    Object::from_path(path).unwrap()
}

fn without(mut value: Value, keys: &[&str]) -> Value {
    for key in keys {
        assert!(value.as_object_mut().unwrap().remove(*key).is_some(), "no {key}");
    }
    value
}

#[test]
fn everything_is_shown_in_pounds_shape() {
    let warden = Warden::start();
    let all = warden.show("/");
    assert_eq!(all["kind"], "pound");
    let core = without(all["core"].clone(), &["timestamp", "uptime"]);
    let expected = json!({
        "kind": "core", "pid": 4242, "version": env!("CARGO_PKG_VERSION"),
        "queue": {"len": 0, "max": 0}, "queue_len": 0,
        "workers": {"active": 1, "count": 1, "max": 2, "min": 2, "timeout": 0},
        "fleet": [{"slot": 0, "pid": 4711, "generation": 1, "phase": "ready"}],
    });
    assert_eq!(core, expected);
    let listeners = all["listeners"].as_array().unwrap();
    let addresses: Vec<&Value> = listeners.iter().map(|listener| &listener["address"]).collect();
    assert_eq!(addresses, ["127.0.0.1:8080", warden.socket.to_str().unwrap(), "127.0.0.1:8081"]);
    assert_eq!(listeners[0]["name"], "front");
    assert_eq!(listeners[2]["name"], Value::Null);
    let service = json!({
        "kind": "service", "name": "app", "enabled": true, "session_type": "COOKIE", "sessions": [],
        "backends": warden.show("/front/app")["backends"],
    });
    assert_eq!(listeners[0]["services"][0], service);
    assert_eq!(listeners[0]["services"][1]["sessions"], Value::Null);
    assert_eq!(listeners[1]["services"][0]["backends"][0]["type"], "control");
    assert_eq!(all["services"][0]["name"], "rest");
    warden.stop();
}

#[test]
fn each_kind_of_backend_has_its_fields() {
    let warden = Warden::start();
    let stats = json!({"request_count": 0, "request_time_avg": 0, "request_time_stddev": 0});
    let expected = json!({
        "kind": "backend", "type": "backend", "address": "127.0.0.1:9001", "protocol": "http", "priority": 7,
        "weight": 0, "alive": true, "enabled": true, "io_to": 11, "conn_to": 12, "ws_to": 13, "servername": null, "stats": stats,
    });
    assert_eq!(warden.show("/front/app/0"), expected);
    let emergency = warden.show("/0/0/2");
    assert_eq!((&emergency["address"], &emergency["weight"]), (&json!("127.0.0.1:9009"), &json!(65535)));
    let redirect = without(warden.show("/0/1/0"), &["has_uri", "priority", "stats"]);
    let expected = json!({
        "kind": "backend", "type": "redirect", "code": 301, "url": "https://example.org",
        "weight": 0, "alive": true, "enabled": true,
    });
    assert_eq!(redirect, expected);
    let error = warden.show("/-/rest/0");
    assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(503)));
    warden.stop();
}

/// A switch is seen by every process that looks at the segment, and the supervisor is told to make the workers look.
#[test]
fn switches_reach_the_segment_and_the_supervisor() {
    let warden = Warden::start();
    let epoch = warden.segment.change_epoch();
    assert_eq!(warden.switch("/front", false), 200);
    assert_eq!(warden.message(), b'C');
    assert!(warden.segment.listeners().disabled(ListenerId(0)));
    assert_eq!(warden.switch("/0/app", false), 200);
    assert_eq!(warden.message(), b'C');
    assert!(warden.segment.services().disabled(ServiceId(0)));
    assert_eq!(warden.switch("/front/0/0", false), 200);
    assert_eq!(warden.message(), b'C');
    assert!(warden.segment.backends().status(BackendId(0)).disabled);
    assert_ne!(warden.segment.change_epoch(), epoch);
    let listener = warden.show("/front");
    assert_eq!((&listener["enabled"], &listener["services"][0]["enabled"]), (&json!(false), &json!(false)));
    assert_eq!(warden.switch("/front/0/0", true), 200);
    assert_eq!(warden.message(), b'C');
    assert_eq!(warden.show("/front/0/0")["enabled"], true);
    warden.stop();
}

#[test]
fn sessions_are_added_shown_and_forgotten() {
    let warden = Warden::start();
    let Object::Backend(service, backend) = object("/front/app/2") else { panic!() };
    let key = b"a b&c".to_vec();
    let add = Request::AddSession { service: service.clone(), backend, key: key.clone() };
    let answer: Value = serde_json::from_slice(&warden.ask(&add).body).unwrap();
    assert_eq!((&answer["kind"], &answer["name"]), (&json!("service"), &json!("app")));
    let session = &answer["sessions"][0];
    assert_eq!((&session["key"], &session["backend"]), (&json!("a b&c"), &json!(2)));
    assert_eq!(session["expire"].as_str().unwrap().len(), "2026-11-20T12:00:00.000000".len());
    let forget = Request::ForgetSession { service, key };
    let answer: Value = serde_json::from_slice(&warden.ask(&forget).body).unwrap();
    assert_eq!(answer["sessions"], json!([]));
    assert_eq!(warden.ask(&forget).status, 404);
    warden.stop();
}

#[test]
fn what_cannot_be_done_is_refused_with_its_status() {
    let warden = Warden::start();
    for (request, status) in [
        ("GET /listener/9", 404),
        ("GET /listener/nobody", 404),
        ("GET /listener/0/0/3", 404),
        ("GET /listener/1/0/1", 404),
        ("GET /nothing", 404),
        ("POST /listener/0", 405),
        ("PUT /listener", 405),
        ("PUT /core", 405),
        ("GET /core?indent=x", 400),
        // Nobody can switch off the socket that could switch it on again.
        ("DELETE /listener/1", 400),
        ("DELETE /listener/1/0", 400),
        ("DELETE /listener/1/0/0", 400),
        ("PUT /session/0/0/0", 400),
        ("PUT /session/0/0/9?key=a", 404),
        ("PUT /session/0/9/0?key=a", 404),
        // A service without sessions.
        ("PUT /session/-/rest/0?key=a", 400),
        ("DELETE /session/1/0?key=a", 400),
    ] {
        let answer = warden.raw(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{request}: {answer}");
        assert_eq!(answer.contains("allow: "), status == 405, "{request}: {answer}");
    }
    warden.stop();
}

#[test]
fn indentation_is_as_asked() {
    let warden = Warden::start();
    let answer = Client::new(&warden.socket).ask(&Request::Core, Some(3)).unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.starts_with("{\n   \"fleet\": [\n      {\n"), "{text}");
    warden.stop();
}

/// What is too long, broken or unfinished is refused or dropped, and the next client is served.
#[test]
fn hostile_input_does_no_harm() {
    let warden = Warden::start();
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let long_head = format!("GET /core HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(10_000));
    let mut long_body = b"PUT /listener/0 HTTP/1.1\r\nContent-Length: 100000\r\n\r\n".to_vec();
    long_body.resize(long_body.len() + 100_000, b'x');
    assert!(warden.raw(long_line.as_bytes()).starts_with("HTTP/1.1 4"));
    assert!(warden.raw(long_head.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert!(warden.raw(&long_body).starts_with("HTTP/1.1 413 "));
    for garbage in [b"\0\0\0\0\r\n\r\n".as_slice(), b"GET", b"", b"GET /core HTTP/9.9\r\n\r\n", &[0xff; 5000]]
    {
        let answer = warden.raw(garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let silent: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(&warden.socket).unwrap()).collect();
    assert_eq!(warden.ask(&Request::Core).status, 200);
    drop(silent);
    warden.stop();
}

#[test]
fn metrics_are_valid_openmetrics() {
    let warden = Warden::start();
    warden.segment.counters().page(0).add(Counter::Requests, 5);
    let answer = warden.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let family = rest.split_once(' ').unwrap().0;
            assert!(!families.contains(&family), "{family} comes twice");
            families.push(family);
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = families.last().unwrap();
            assert!(["", "_total", "_info"].iter().any(|end| name == format!("{family}{end}")), "{line}");
            assert!(line.rsplit_once(' ').unwrap().1.parse::<u64>().is_ok(), "{line}");
        }
    }
    for line in [
        "ounce_requests_total 5",
        "pound_workers{type=\"count\"} 1",
        "pound_listener_enabled{listener=\"2\"} 1",
        "pound_listener_info{listener=\"0\",listener_name=\"front\",address=\"127.0.0.1:8080\",protocol=\"http\"} 1",
        "pound_backends{listener=\"0\",listener_name=\"front\",service=\"0\",service_name=\"app\",state=\"total\"} 3",
        "pound_service_enabled{service=\"0\",service_name=\"rest\"} 1",
        "pound_backend_state{service=\"0\",service_name=\"rest\",backend=\"0\",state=\"alive\"} 1",
        "pound_backend_requests{service=\"0\",service_name=\"rest\",backend=\"0\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    warden.stop();
}

/// A warden that is replaced finds everything in the segment.
#[test]
fn a_successor_goes_on_where_the_last_one_was() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let of = inheritance(&CONFIG.replace("{control}", &socket.to_string_lossy()));
    let (config, plan, segment) = (Arc::clone(&of.config), Arc::clone(&of.plan), Arc::clone(&of.segment));
    let copy = OwnedFd::from(listener.try_clone().unwrap());
    let first = Warden::start_with(of, copy, tempfile::tempdir().unwrap(), socket.clone());
    assert_eq!(first.switch("/front", false), 200);
    // End of file on the orders socket is as good as an order.
    drop(first.orders);
    assert_eq!(first.thread.join().unwrap(), Ok(()));
    segment.fleet().ended(SLOT);
    let owner = segment.fleet().begin(SLOT, 1);
    let of = Inheritance { config, plan, segment, owner, ..inheritance("LogFacility -\n") };
    let second = Warden::start_with(of, OwnedFd::from(listener), directory, socket);
    assert_eq!(second.show("/front")["enabled"], false);
    assert!(second.segment.fleet().member(SLOT).heartbeat_ms > 0);
    second.stop();
}

/// A socket file is named by the configuration alone; the client finds it there.
#[test]
fn the_clients_text_is_made_from_the_wardens_answer() {
    let warden = Warden::start();
    let text = ounce_ctl::render::text::render(&warden.show("/front"));
    assert!(text.starts_with("Listener \"front\" http://127.0.0.1:8080 enabled\n"), "{text}");
    assert!(text.contains("  0. backend http://127.0.0.1:9001 priority 7 alive active"), "{text}");
    assert!(Path::new(&warden.socket).exists());
    warden.stop();
}
