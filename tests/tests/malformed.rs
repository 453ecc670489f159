//! Requests that must be refused, over sockets: each gets the refusal that the list documents, no origin sees it, and
//! the next good request is served. The list is `tests/data/malformed.txt`, which explains itself.

use ounce_tests::answer::{Broken, status_line};
use ounce_tests::client::Client;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup, service};

const LIST: &str = include_str!("../data/malformed.txt");

struct Case {
    name: &'static str,
    /// `None`: the request passes.
    status: Option<u16>,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let lines = LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let case = |line: &'static str| {
        let mut parts = line.splitn(3, '\t');
        let (Some(name), Some(status), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
            panic!("not name, status, bytes: {line}");
        };
        let status = (status != "ok").then(|| status.parse().expect("a status"));
        Case { name, status, bytes: unescape(bytes) }
    };
    lines.map(case).collect()
}

/// The bytes behind the escapes that the list explains.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (value, length) = match escape.as_bytes()[0] {
            b'r' => (vec![b'\r'], 1),
            b'n' => (vec![b'\n'], 1),
            b't' => (vec![b'\t'], 1),
            b'0' => (vec![0], 1),
            b'\\' => (vec![b'\\'], 1),
            b'x' => (vec![u8::from_str_radix(&escape[1..3], 16).expect("two digits")], 3),
            b'*' => {
                let (count, inside) = escape[1..].split_once('{').expect("an opening brace");
                let (inside, _) = inside.split_once('}').expect("a closing brace");
                (unescape(inside).repeat(count.parse().expect("a number")), count.len() + inside.len() + 3)
            }
            other => panic!("an unknown escape: {}", char::from(other)),
        };
        bytes.extend(value);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn start() -> (Origin, Proxy) {
    let origin = Origin::echo();
    let inside = format!("xHTTP 3\n{}", service(&[origin.address()]));
    let proxy = Setup::new().listener(&inside).start();
    (origin, proxy)
}

/// Sends a request and reads what the proxy makes of it: the status, or what is wrong with the refusal.
fn refusal(client: &mut Client, bytes: &[u8]) -> Result<u16, String> {
    // The refusal may come, and the connection end, before all is sent.
    let _ = client.link().send(bytes);
    let head = client.link().read_head().map_err(|broken| format!("no answer: {broken}"))?;
    let (minor, status, _) = status_line(&head.first_line).map_err(|broken| broken.to_string())?;
    if status < 400 {
        return Ok(status);
    }
    let body = match client.link().rest() {
        Ok(body) => body,
        Err(Broken::Reset) => return Err(format!("{status}, and then a reset")),
        Err(broken) => return Err(format!("{status}, and then {broken}")),
    };
    let length: Option<usize> = head.fields.get("Content-Length").and_then(|length| length.parse().ok());
    let whole = length == Some(body.len()) || (bytes.starts_with(b"HEAD ") && body.is_empty());
    match () {
        () if minor != 1 => Err(format!("{status} in HTTP/1.{minor}")),
        () if !head.fields.lists("Connection", "close") => Err(format!("{status} without Connection: close")),
        () if !whole => Err(format!("{status} with {} bytes, announced {length:?}", body.len())),
        () => Ok(status),
    }
}

fn expect_refused(case: &Case, pieces: &[&[u8]], origin: &Origin, proxy: &Proxy) -> Result<(), String> {
    let before = origin.count();
    let mut client = proxy.client();
    let (last, first) = pieces.split_last().expect("a piece");
    for piece in first {
        let _ = client.link().send(piece);
        // A piece of its own for the proxy too: it has come when the kernel there has acknowledged it.
        ounce_tests::barrier::until("bytes to be taken", || (unsent(&client) == 0).then_some(()));
    }
    let status = refusal(&mut client, last)?;
    if Some(status) != case.status {
        return Err(format!("expected {:?}, got {status}", case.status));
    }
    if origin.count() != before {
        return Err("an origin has seen it".into());
    }
    Ok(())
}

/// Bytes that the other side has not acknowledged.
fn unsent(client: &Client) -> usize {
    let port = format!(":{:04X} ", client.stream().local_addr().expect("an address").port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's sockets");
    let line = table.lines().find(|line| {
        line.split_ascii_whitespace().nth(1).is_some_and(|local| format!("{local} ").ends_with(&port))
    });
    let queue = line.and_then(|line| line.split_ascii_whitespace().nth(4)?.split(':').next());
    queue.and_then(|queue| usize::from_str_radix(queue, 16).ok()).unwrap_or(0)
}

fn report(wrong: &[String], all: usize) {
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_malformed_request_gets_its_refusal_and_no_origin_sees_it() {
    let (origin, proxy) = start();
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.status.is_some()).collect();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(why) = expect_refused(case, &[&case.bytes], &origin, &proxy) {
            wrong.push(format!("{}: {why}", case.name));
        }
        let good = proxy.client().get("/good");
        assert_eq!((good.status, good.text().as_str()), (200, "GET /good\n"), "after {}", case.name);
    }
    report(&wrong, cases.len());
    // Item by item no origin has seen one; and all together they have cost no connection that is still open.
    assert_eq!(origin.received().all().iter().filter(|request| request.target != "/good").count(), 0);
}

#[test]
fn a_malformed_request_in_two_pieces_is_refused_as_well() {
    let (origin, proxy) = start();
    let mut wrong = Vec::new();
    let mut random = fastrand::Rng::with_seed(2);
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.status.is_some()).collect();
    for case in &cases {
        // What is wrong with the body shows when its head has gone out already.
        if ["chunk", "extension", "trailer"].iter().any(|part| case.name.starts_with(part)) {
            continue;
        }
        let at = random.usize(1..case.bytes.len());
        let (first, second) = case.bytes.split_at(at);
        if let Err(why) = expect_refused(case, &[first, second], &origin, &proxy) {
            wrong.push(format!("{} cut at {at}: {why}", case.name));
        }
    }
    report(&wrong, cases.len());
    assert_eq!(proxy.client().get("/good").status, 200);
}

#[test]
fn what_is_merely_unusual_reaches_an_origin() {
    let (origin, proxy) = start();
    let mut wrong = Vec::new();
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.status.is_none()).collect();
    for case in &cases {
        let before = origin.count();
        match refusal(&mut proxy.client(), &case.bytes) {
            Ok(200) if origin.count() == before + 1 => {}
            other => wrong.push(format!("{}: {other:?}, {} requests", case.name, origin.count() - before)),
        }
    }
    report(&wrong, cases.len());
}

/// Behind a request that is refused nothing is read any more: it could be the body that was hidden.
#[test]
fn nothing_behind_a_refused_request_is_answered() {
    let (origin, proxy) = start();
    for first in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
    ] {
        let mut client = proxy.client();
        let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(format!("{first}{hidden}{hidden}"));
        assert_eq!(client.answer().status, 400, "{first:?}");
        client.expect_end();
    }
    assert_eq!(proxy.client().get("/good").status, 200);
    assert!(origin.received().all().iter().all(|request| request.target != "/hidden"));
}

#[test]
fn a_refused_request_does_not_spoil_those_before_it() {
    let (_origin, proxy) = start();
    let mut client = proxy.client();
    let good = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!("{good}{good}BAD\r\n\r\n{good}"));
    assert_eq!(client.answer().text(), "GET /good\n");
    assert_eq!(client.answer().text(), "GET /good\n");
    assert_eq!(client.answer().status, 400);
    client.expect_end();
}
