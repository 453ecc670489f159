//! Sessions are resumed with whichever worker a client meets, by ticket and by id, and for as long as they may.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ounce_tests::barrier::until;
use ounce_tests::origin::Origin;
use ounce_tests::papers::{Papers, mirror, s_client, start};
use ounce_tests::proxy::{Proxy, Setup, service};
use ounce_tests::tool;
use std::fs;

/// Connections of one client, each of which offers the session of the first. Says how many were resumed.
const CLIENT: &str = r#"
import socket, ssl, sys
port, version, tickets, count = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "tickets", int(sys.argv[4])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
if not tickets: context.options |= ssl.OP_NO_TICKET
def connect(session):
    plain = socket.create_connection(("127.0.0.1", port))
    link = context.wrap_socket(plain, server_hostname="a.test", session=session)
    link.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    while link.recv(65536): pass
    result = link.session_reused, link.session
    link.close()
    return result
_, session = connect(None)
print(sum(connect(session)[0] for _ in range(count)))
"#;

fn resumed(papers: &Papers, proxy: &Proxy, version: &str, how: &str, count: usize) -> usize {
    let script = papers.path("client.py");
    fs::write(&script, CLIENT).expect("a file");
    let (script, port) = (script.display().to_string(), proxy.address().port().to_string());
    let output = tool::run("python3", [&script, &port, version, how, &count.to_string()]);
    let told = String::from_utf8_lossy(&output.stdout).trim().parse();
    told.unwrap_or_else(|_| panic!("{output:?}"))
}

/// Of 1000 connections to either of two workers at least 99 in 100 resume the client's session.
#[test]
fn a_thousand_connections_resume_one_session() {
    let papers = Papers::new();
    let origin = Origin::named("a");
    let proxy = start(&papers, "", &origin);
    for (version, how) in [("TLSv1_2", "tickets"), ("TLSv1_2", "ids"), ("TLSv1_3", "tickets")] {
        let resumed = resumed(&papers, &proxy, version, how, 1000);
        assert!(resumed >= 990, "{version} by {how}: {resumed}");
    }
}

/// A client that takes no tickets resumes by its session's id: with any worker, after a reload and after a death.
#[test]
fn sessions_are_found_by_their_ids_everywhere() {
    let papers = Papers::new();
    let proxy = start(&papers, "", &mirror());
    let file = papers.path("session");
    let file = file.to_str().expect("text");
    let words = ["-tls1_2", "-no_ticket"];
    assert!(s_client(&proxy, &[&words[..], &["-sess_out", file]].concat()).contains("New, TLSv1"));
    let resumed = || {
        (0..8)
            .all(|_| s_client(&proxy, &[&words[..], &["-sess_in", file]].concat()).contains("Reused, TLSv1"))
    };
    assert!(resumed(), "by any worker");
    proxy.reload().expect("a reload");
    assert!(resumed(), "after a reload");
    kill(Pid::from_raw(proxy.workers()[0]), Signal::SIGKILL).expect("a worker to kill");
    proxy.wait_workers(2);
    assert!(resumed(), "after a death");
}

/// The first 16 bytes of the ticket that a client gets, which name its key.
fn key_name(told: &str) -> Option<String> {
    let (_, ticket) = told.split_once("TLS session ticket:")?;
    let line = ticket.lines().find(|line| line.contains("0000 - "))?;
    let (_, bytes) = line.split_once("- ")?;
    Some(bytes.chars().filter(|c| *c != '-').take(16 * 3).collect::<String>().replace(' ', ""))
}

/// With time another key seals, and what the one before has sealed is opened all the same.
#[test]
fn ticket_keys_change_with_time() {
    let papers = Papers::new();
    let text = format!(
        "TicketLifetime 8\nListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{}{}End\n",
        papers.line("Cert", "a.pem"),
        service(&[mirror().address()])
    );
    let proxy = Setup::new().text(&text).start();
    let [old, new] = ["old", "new"].map(|name| papers.path(name).display().to_string());
    let ticket = |file: &str| key_name(&s_client(&proxy, &["-tls1_2", "-sess_out", file])).expect("a ticket");
    let first = ticket(&old);
    // Each round leaves the newest session that the first key has sealed.
    until("another key", || {
        if ticket(&new) != first {
            return Some(());
        }
        fs::rename(&new, &old).expect("a session");
        None
    });
    let told = s_client(&proxy, &["-tls1_2", "-sess_in", &old]);
    assert!(told.contains("Reused, TLSv1"), "{told}");
    assert_ne!(key_name(&told), Some(first), "it got a ticket of the new key");
}

/// Two nodes with the same file resume each other's sessions, and a key that is no longer the first is still accepted.
#[test]
fn nodes_share_keys_by_file() {
    let papers = Papers::new();
    let (long, short) = (papers.path("long.key"), papers.path("short.key"));
    fs::write(&long, [b'L'; 80]).expect("a file");
    fs::write(&short, [b'S'; 48]).expect("a file");
    let origin = mirror();
    let text = |keys: &[&str]| {
        let keys: String = keys.iter().map(|name| papers.line("TicketKeyFile", name)).collect();
        format!(
            "{keys}ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{}{}End\n",
            papers.line("Cert", "a.pem"),
            service(&[origin.address()])
        )
    };
    let mut one = Setup::new().text(&text(&["short.key"])).start();
    let two = Setup::new().text(&text(&["long.key", "short.key"])).start();
    let session = papers.path("session");
    let session = session.to_str().expect("text");
    let reused = |proxy: &Proxy, words: &[&str]| {
        s_client(proxy, &[words, &["-sess_in", session]].concat()).contains("Reused, TLSv1")
    };
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(s_client(&one, &[version, "-sess_out", session]).contains("New, TLSv1"));
        assert!(reused(&two, &[version]), "{version}");
    }
    let told = s_client(&one, &["-tls1_2", "-sess_out", session]);
    assert_eq!(key_name(&told).as_deref(), Some(&*"53".repeat(16)));
    one.setup().set_text(&text(&["long.key", "short.key"]));
    one.reload().expect("a reload");
    assert!(reused(&one, &["-tls1_2"]), "by the key before");
    assert_eq!(key_name(&s_client(&one, &["-tls1_2"])).as_deref(), Some(&*"4c".repeat(16)));
    let stranger = start(&papers, "", &origin);
    assert!(!reused(&stranger, &["-tls1_2"]), "a node with keys of its own");
}
