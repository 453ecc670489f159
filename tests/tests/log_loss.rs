//! Whoever should take log lines does not: traffic goes on, and what is lost is counted in the metrics.

use ounce_tests::barrier::until;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup};
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

const LOST: &str = "ounce_log_lines_dropped_total ";

/// How many lines were lost, as the service of metrics says.
fn lost(proxy: &Proxy) -> u64 {
    let answer = proxy.client().get("/metrics");
    let text = answer.text();
    let value = text.lines().find_map(|line| line.strip_prefix(LOST));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {LOST} in {text}"))
}

fn setup(origin: &Origin) -> Setup {
    let rest = ounce_tests::proxy::service(&[origin.address()]);
    let metrics = "Service\nPath -exact \"/metrics\"\nMetrics\nLogSuppress all\nEnd\n";
    Setup::new().global("LogLevel", "4").listener(&format!("{metrics}{rest}"))
}

/// What is not written is counted, to the line: 4000 requests are lines that came or lines that were lost.
#[test]
fn a_reader_that_stops() {
    const REQUESTS: usize = 4000;
    let origin = Origin::named("a");
    let mut proxy = setup(&origin).start_unread();
    let long = "x".repeat(2000);
    let request = format!("GET /{long} HTTP/1.1\r\nHost: a\r\nUser-Agent: {long}\r\nReferer: {long}\r\n\r\n");
    let mut client = proxy.client();
    for _ in 0..REQUESTS {
        assert_eq!(client.ask(&request).status, 200);
    }
    until("lines to be lost", || (lost(&proxy) > 0).then_some(()));
    let mut stdout = proxy.running().child().stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let (mut count, mut piece) = (0, vec![0; 1 << 16]);
        loop {
            match stdout.read(&mut piece) {
                Ok(0) | Err(_) => return count,
                Ok(bytes) => count += piece[..bytes].iter().filter(|byte| **byte == b'\n').count(),
            }
        }
    });
    // What was queued is written now; a line after all others tells that it was.
    let lost = until("the count to stand still", || {
        let before = lost(&proxy);
        proxy.client().get("/last");
        (lost(&proxy) == before).then_some(before)
    });
    let asked = origin.count();
    drop(proxy);
    let written = reader.join().expect("a reader");
    assert_eq!(written + lost as usize, asked);
}

/// A daemon that takes datagrams under this name.
fn daemon(path: &Path) -> UnixDatagram {
    let _ = std::fs::remove_file(path);
    let socket = UnixDatagram::bind(path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    socket
}

fn take(socket: &UnixDatagram) -> String {
    let mut message = [0; 4096];
    let length = socket.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[test]
fn a_syslog_daemon_that_restarts() {
    let origin = Origin::named("a");
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("log");
    let mut setup =
        setup(&origin).arguments(&["-F", "-v"]).global("LogServer", &format!("\"unix:{}\"", path.display()));
    setup.remove_global("LogFacility");
    let first = daemon(&path);
    let proxy = setup.start();
    let mut client = proxy.client();
    assert_eq!(client.get("/one").status, 200);
    assert!(take(&first).contains("GET /one "));
    drop(first);
    // More than is kept for its return.
    let long = "x".repeat(3000);
    until("lines to be lost", || {
        for _ in 0..100 {
            assert_eq!(client.get(&format!("/{long}")).status, 200);
        }
        (lost(&proxy) > 0).then_some(())
    });
    let second = daemon(&path);
    until("a line for the successor", || {
        assert_eq!(client.get("/again").status, 200);
        take(&second).contains("GET /").then_some(())
    });
}

#[test]
fn a_full_disk() {
    let origin = Origin::named("a");
    let mut setup = setup(&origin).arguments(&["-F", "-v"]).global("LogFile", "\"/dev/full\"");
    setup.remove_global("LogFacility");
    let proxy = setup.start();
    let mut client = proxy.client();
    for number in 0..200 {
        assert_eq!(client.get(&format!("/{number}")).status, 200);
    }
    until("all lines to be lost", || (lost(&proxy) == 200).then_some(()));
}
