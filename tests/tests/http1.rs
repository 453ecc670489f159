//! HTTP/1.0 and 1.1 on both sides: framing, persistence, interim responses, trailers.

use ounce_tests::client::Client;
use ounce_tests::origin::Origin;
use ounce_tests::proxy::{Proxy, Setup, backend};
use ounce_tests::script::{Act, play, say};
use ounce_tests::wire;

/// Sizes around every boundary that buffers have, and some beyond where bodies go another way.
const SIZES: [usize; 12] =
    [0, 1, 100, 4095, 4096, 16_383, 16_384, 16_385, 65_535, 65_537, 300_000, 3_000_001];

/// A body that is different everywhere, so that a piece lost, doubled or moved is seen.
fn body(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(size as u64);
    std::iter::repeat_with(|| random.alphanumeric() as u8).take(size).collect()
}

fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for piece in body.chunks(chunk) {
        framed.extend(format!("{:x}\r\n", piece.len()).bytes());
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

fn assert_same(got: &[u8], wanted: &[u8], what: &str) {
    let differs = got.iter().zip(wanted).position(|(got, wanted)| got != wanted);
    assert!(got == wanted, "{what}: {} bytes for {}, different from {differs:?} on", got.len(), wanted.len());
}

#[test]
fn one_connection_serves_request_after_request_and_so_does_the_one_behind_it() {
    let origin = Origin::echo();
    let proxy = Setup::new().global("Workers", "1").backends(&[origin.address()]).start();
    let mut client = proxy.client();
    for number in 0..200 {
        assert_eq!(client.get(&format!("/{number}")).text(), format!("GET /{number}\n"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::echo();
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    let mut requests = Vec::new();
    for number in 0..50 {
        requests.extend(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").bytes());
        requests
            .extend(format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").bytes());
        requests.extend(
            format!(
                "POST /{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
            )
            .bytes(),
        );
    }
    client.send(&requests);
    for number in 0..50 {
        assert_eq!(client.answer().text(), format!("GET /{number}\n"));
        assert_eq!(client.answer().text(), format!("POST /{number}\nabc"));
        assert_eq!(client.answer().text(), format!("POST /{number}\nde"));
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let origin = Origin::echo();
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=\"y\"\r\nd\r\n0\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.answer().text(), "POST /slow\nabcd");
}

#[test]
fn uploads_of_every_size_arrive_whole_with_a_length_and_in_chunks() {
    let origin = Origin::echo();
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    for size in SIZES {
        let body = body(size);
        let wanted = [b"POST /up\n".as_slice(), &body].concat();
        let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        let answer = client.ask([head.as_bytes(), &body].concat());
        assert_same(&answer.body, &wanted, "with a length");
        for chunk in [1000, 16_384, 70_000] {
            let head = "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let answer = client.ask([head.as_bytes(), &chunked(&body, chunk)].concat());
            assert_same(&answer.body, &wanted, "in chunks");
        }
    }
}

#[test]
fn downloads_of_every_size_arrive_whole_however_they_are_framed() {
    let framed = Origin::start(|exchange| {
        let (kind, size) = exchange.request.target[1..].split_once('/').expect("a target of this test");
        let body = body(size.parse().expect("a size"));
        match kind {
            "length" => exchange.answer(200, &[], &body),
            "chunks" => {
                exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                exchange.send(&chunked(&body, 10_000))
            }
            _ => {
                exchange.send(b"HTTP/1.0 200 OK\r\n\r\n")?;
                exchange.send(&body)?;
                exchange.close();
                Ok(())
            }
        }
    });
    let proxy = Proxy::before(&[framed.address()]);
    for kind in ["length", "chunks", "close"] {
        let mut client = proxy.client();
        for size in SIZES {
            let path = format!("/{kind}/{size}");
            let answer = client.get(&path);
            assert_same(&answer.body, &body(size), &path);
            if answer.closes() {
                client = proxy.client();
            }
            // The same for a client that knows no chunks.
            let mut old = proxy.client();
            let answer = old.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
            assert_eq!(answer.fields.get("Transfer-Encoding"), None, "{path}");
            assert_same(&answer.body, &body(size), &path);
            old.expect_end();
        }
    }
}

#[test]
fn an_old_client_gets_one_answer_and_an_end() {
    let origin = Origin::named("new");
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").text(), "new");
    client.expect_end();
}

#[test]
fn an_old_origin_serves_new_clients() {
    let origin = Origin::start(play([say("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"), Act::Close]));
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    for _ in 0..20 {
        let answer = client.get("/");
        assert_eq!((answer.minor, answer.text().as_str()), (1, "old"));
        assert!(!answer.closes(), "the client's connection is not the origin's");
    }
    assert_eq!(origin.connections(), 20);
}

#[test]
fn a_client_that_asks_for_the_end_gets_it_after_its_answer() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.closes());
    client.expect_end();
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let origin = Origin::named("four");
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let answer = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        // What the origin sends after HEAD is a body, against the rules: the connection behind us must not be reused.
        assert_eq!((answer.status, answer.fields.get("Content-Length")), (200, Some("4")));
        assert_eq!(client.get("/").text(), "four");
    }
}

#[test]
fn answers_without_a_body_have_none_and_the_connection_goes_on() {
    for status in [204, 304] {
        let origin = Origin::start(play([Act::Send(
            format!("HTTP/1.1 {status} Nothing\r\nETag: \"x\"\r\n\r\n").into(),
        )]));
        let proxy = Proxy::before(&[origin.address()]);
        let mut client = proxy.client();
        for _ in 0..5 {
            let answer = client.get("/");
            assert_eq!(
                (answer.status, answer.fields.get("ETag"), answer.closes()),
                (status, Some("\"x\""), false)
            );
        }
    }
    // RFC 9110 8.6: a 304 may announce the length of what was not sent.
    let origin = Origin::start(play([say("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")]));
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 304);
    assert_eq!(client.get("/").status, 304);
}

#[test]
fn interim_responses_pass_and_are_not_the_answer() {
    let origin = Origin::start(play([
        say("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"),
        say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal"),
    ]));
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "final"));
        let lines: Vec<&str> = answer.interim.iter().map(|head| head.first_line.as_str()).collect();
        assert_eq!(lines, ["HTTP/1.1 102 Processing", "HTTP/1.1 103 Early Hints"]);
        assert_eq!(answer.interim[1].fields.get("Link"), Some("</a.css>; rel=preload"));
    }
    // RFC 9110 15.2: a client of 1.0 knows no interim responses.
    let answer = proxy.client().ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.interim.len(), answer.text().as_str()), (0, "final"));
}

/// Pound 4.23 swallows the answer with the 100 and the client hangs (pound.md section 9).
#[test]
fn an_unasked_100_does_not_swallow_the_answer() {
    let origin = Origin::start(play([
        Act::Body,
        say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ]));
    let proxy = Proxy::before(&[origin.address()]);
    let answer = proxy.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

#[test]
fn a_client_that_expects_100_gets_it_before_its_body() {
    // One origin says it, one does not know the expectation at all.
    let polite = Origin::start(play([
        say("HTTP/1.1 100 Continue\r\n\r\n"),
        Act::Body,
        say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ]));
    for origin in [polite, Origin::echo()] {
        let proxy = Proxy::before(&[origin.address()]);
        let mut client = proxy.client();
        for _ in 0..2 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
            let head = client.link().read_head().expect("an interim response");
            assert_eq!(head.first_line, "HTTP/1.1 100 Continue");
            client.send("body");
            let answer = client.answer();
            assert_eq!(answer.status, 200);
            assert!(answer.interim.is_empty(), "100 comes once");
        }
    }
}

#[test]
fn trailers_pass_in_both_directions() {
    let origin = Origin::start(|exchange| {
        let (body, trailers) = exchange.body()?;
        let sum = trailers.get("X-Sum").unwrap_or("none").to_owned();
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")?;
        exchange.send(format!("{:x}\r\n", body.len()).as_bytes())?;
        exchange.send(&body)?;
        exchange.send(format!("\r\n0\r\nX-Sum: {sum}\r\nX-More: 2\r\n\r\n").as_bytes())
    });
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let answer = client.ask(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
        );
        assert_eq!(answer.text(), "abc");
        assert_eq!((answer.trailers.get("X-Sum"), answer.trailers.get("X-More")), (Some("42"), Some("2")));
    }
}

#[test]
fn chunk_extensions_end_here() {
    let origin = Origin::start(|exchange| {
        // The reader of the harness refuses extensions.
        let (body, _) = exchange.body()?;
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        exchange.send(format!("{:x};ext;q=\"a\\\"b\"\r\n", body.len()).as_bytes())?;
        exchange.send(&body)?;
        exchange.send(b"\r\n00;last\r\n\r\n")
    });
    let proxy = Proxy::before(&[origin.address()]);
    let answer = proxy.client().ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;a\r\nabc\r\n0002 ; a=b;c=\"d e\"\r\nde\r\n0;x=y\r\n\r\n",
    );
    assert_eq!(answer.text(), "abcde");
}

#[test]
fn hop_by_hop_fields_end_here_and_all_others_keep_order_and_spelling() {
    let origin = Origin::start(play([say(
        "HTTP/1.1 200 OK\r\nx-FIRST: 1\r\nConnection: X-Private, keep-alive\r\nX-Private: p\r\nKeep-Alive: timeout=9\r\n\
         Proxy-Connection: close\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nx-last:\r\nContent-Length: 0\r\n\r\n",
    )]));
    let proxy = Setup::new()
        .listener(&format!("HeaderOption none\nService\n{}End", backend(origin.address(), "")))
        .start();
    let answer = proxy.client().ask(
        "GET /p?q=%20 HTTP/1.1\r\nx-A: 1\r\nHOST: h:1\r\nConnection: close, X-Gone\r\nX-Gone: g\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: keep-alive\r\nTE: gzip\r\nX-b:  2 \r\nx-A: 3\r\nUpgrade: h2c\r\n\r\n",
    );
    let sent = origin.received().wait_len("a request", 1).remove(0);
    assert_eq!(sent.target, "/p?q=%20");
    let ours = ["connection", "te"];
    let names: Vec<(&str, &str)> =
        sent.fields.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let kept: Vec<_> =
        names.iter().filter(|(name, _)| !ours.contains(&name.to_lowercase().as_str())).collect();
    assert_eq!(kept, [&("x-A", "1"), &("HOST", "h:1"), &("X-b", "2"), &("x-A", "3")], "{names:?}");
    let connection: String = sent.fields.all("Connection").collect();
    assert!(!connection.contains("close") && !connection.contains("Gone"), "{connection}");
    for gone in ["X-Private", "Keep-Alive", "Proxy-Connection"] {
        assert_eq!(answer.fields.get(gone), None, "{gone}");
    }
    assert_eq!(answer.fields.all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    let head = String::from_utf8_lossy(&answer.raw_head).into_owned();
    assert!(head.contains("\r\nx-FIRST: 1\r\n") && head.contains("\r\nx-last:"), "{head}");
}

#[test]
fn the_origin_learns_who_asked_and_where() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    let port = proxy.address().port().to_string();
    proxy.client().get("/");
    proxy.client().ask(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Port: 1\r\nX-SSL-Subject: CN=forged\r\n\r\n",
    );
    let received = origin.received().wait_len("two requests", 2);
    let of = |at: usize, name| received[at].fields.all(name).collect::<Vec<_>>();
    assert_eq!(of(0, "X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(of(0, "X-Forwarded-Proto"), [wire::scheme()]);
    assert_eq!(of(0, "X-Forwarded-Port"), [port.as_str()]);
    assert_eq!(of(1, "X-Forwarded-For"), ["192.0.2.1, 127.0.0.1"]);
    assert_eq!(of(1, "X-Forwarded-Proto"), [wire::scheme()]);
    assert_eq!(of(1, "X-Forwarded-Port"), [port.as_str()]);
    assert_eq!(of(1, "X-SSL-Subject"), Vec::<&str>::new());
}

#[test]
fn line_ends_of_a_head_may_be_bare_and_leave_as_they_should() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    // RFC 9112 2.2: empty lines before a request are skipped, a bare LF may end a line of the head.
    let answer = client.ask("\r\n\r\nGET / HTTP/1.1\nHost: a\nX: y\r\n\n");
    assert_eq!(answer.text(), "a");
    // The origin of the harness reads CRLF alone.
    assert_eq!(origin.received().wait_len("a request", 1)[0].fields.get("X"), Some("y"));
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let origin = Origin::echo();
    let proxy = Proxy::before(&[origin.address()]);
    let mut clients: Vec<Client> = (0..300).map(|_| proxy.client()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET /{round}/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.answer().text(), format!("GET /{round}/{number}\n"));
        }
    }
}
