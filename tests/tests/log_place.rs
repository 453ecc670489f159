//! Where log lines go: files, log servers, and what a full disk costs.

use nix::sys::signal::Signal;
use ounce_tests::barrier::until;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// The program in the foreground, its lines not on the standard streams.
fn start(directive: &str, value: &str) -> (Origin, Proxy) {
    let origin = Origin::named("hello");
    let mut setup = Setup::new().arguments(&["-F", "-v"]).global("LogLevel", "1").global(directive, value);
    setup.remove_global("LogFacility");
    let proxy = setup.backends(&[origin.address()]).start();
    (origin, proxy)
}

#[test]
fn files_are_written_and_begun_anew_when_told() {
    let (_origin, proxy) = start("LogFile", "\"{folder}/requests\" \"{folder}/problems\"");
    let (requests, moved) = (proxy.folder().join("requests"), proxy.folder().join("requests.1"));
    assert_eq!(proxy.client().get("/one").status, 200);
    wait_text(&requests, "127.0.0.1 GET /one HTTP/1.1 - HTTP/1.1 200 OK\n");
    assert_eq!(proxy.client().ask("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n").status, 400);
    until("a problem", || read(&proxy.folder().join("problems")).contains(") e400: 127.0.0.1").then_some(()));
    std::fs::rename(&requests, &moved).expect("a rename");
    proxy.signal(Signal::SIGUSR1);
    until("a new file", || requests.exists().then_some(()));
    assert_eq!(proxy.client().get("/two").status, 200);
    wait_text(&requests, "127.0.0.1 GET /two HTTP/1.1 - HTTP/1.1 200 OK\n");
    assert!(!read(&moved).contains("/two"));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn wait_text(path: &Path, text: &str) {
    until("lines in a file", || read(path).ends_with(text).then_some(()));
}

/// Traffic goes on, and what is lost is counted.
#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let (_origin, proxy) = start("LogFile", "\"/dev/full\"");
    let mut client = proxy.client();
    for number in 0..200 {
        assert_eq!(client.get(&format!("/{number}")).status, 200);
    }
    until("200 lost lines", || (proxy.counter("ounce_log_lines_dropped_total") >= 200).then_some(()));
}

#[test]
fn a_server_gets_datagrams() {
    for (syntax, head) in [("", "<134>"), (" rfc5424", "<134>1 ")] {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        server.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let place = format!(
            "\"udp://{}\"{syntax}\nLogFacility local0\nLogTag \"web\"",
            server.local_addr().expect("an address")
        );
        let (_origin, proxy) = start("LogServer", &place);
        assert_eq!(proxy.client().get("/one").status, 200);
        let mut message = [0; 2048];
        let length = server.recv(&mut message).expect("a message");
        let message = String::from_utf8_lossy(&message[..length]).into_owned();
        assert!(message.starts_with(head), "{message}");
        assert!(message.ends_with("127.0.0.1 GET /one HTTP/1.1 - HTTP/1.1 200 OK"), "{message}");
        assert!(message.contains(" web"), "{message}");
    }
}

/// A server that goes away and comes back gets the lines that follow.
#[test]
fn a_server_gets_a_stream_again_after_it_has_ended() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = format!("\"tcp://{}\"", server.local_addr().expect("an address"));
    let (_origin, proxy) = start("LogServer", &place);
    for path in ["/one", "/two"] {
        assert_eq!(proxy.client().get(path).status, 200);
        let (stream, _) = server.accept().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a line");
        assert!(line.starts_with("<30>") && line.contains(&format!(" GET {path} HTTP/1.1 - ")), "{line}");
    }
}
