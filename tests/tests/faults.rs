//! Origins and clients that stop half way: what can be saved is saved, and what cannot is never passed off as whole.

use ounce_tests::answer::{Answer, Broken, Length};
use ounce_tests::barrier::Gate;
use ounce_tests::client::Client;
use ounce_tests::origin::{Origin, named_answer};
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup, backend};
use ounce_tests::script::{Act, play, play_in_turn, say};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

/// Everything that an origin can do instead of sending a whole head.
fn deaths() -> Vec<(&'static str, Vec<Act>)> {
    vec![
        ("closes before the head", vec![Act::Body, Act::Close]),
        ("resets before the head", vec![Act::Reset]),
        ("closes within the head", vec![Act::Body, say("HTTP/1.1 200 OK\r\nX-Half: "), Act::Close]),
        ("resets within the head", vec![Act::Body, say("HTTP/1.1 200 OK\r\nX-Half: "), Act::Reset]),
        ("closes after an interim head", vec![Act::Body, say("HTTP/1.1 102 Processing\r\n\r\n"), Act::Close]),
    ]
}

/// An answer that the proxy made because it has none.
fn assert_unavailable(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 503, "{what}");
    assert!(answer.closes(), "{what}");
    assert!(answer.fields.get("Content-Length").is_some(), "{what}");
}

#[test]
fn a_get_that_one_origin_drops_is_answered_by_another() {
    for (what, death) in deaths() {
        // An interim response has gone out by then; another origin's may follow it.
        let dying = Origin::start(play(death));
        let healthy = Origin::named("healthy");
        let proxy =
            Setup::new().global("Balancer", "iwrr").backends(&[dying.address(), healthy.address()]).start();
        for _ in 0..10 {
            let answer = proxy.client().ask(GET);
            assert_eq!((answer.status, answer.text().as_str()), (200, "healthy"), "an origin that {what}");
        }
        assert!(dying.count() > 0, "it was never asked");
    }
}

#[test]
fn a_post_that_an_origin_drops_is_asked_once_and_answered_503() {
    for (what, death) in deaths() {
        let dying = Origin::start(play(death));
        let proxy = Proxy::before(&[dying.address()]);
        assert_unavailable(&proxy.client().ask(POST), what);
        assert_eq!(dying.count(), 1, "{what}");
    }
}

#[test]
fn a_get_that_every_origin_drops_is_answered_503() {
    for (what, death) in deaths() {
        let dying = Origin::start(play(death));
        let proxy = Proxy::before(&[dying.address()]);
        assert_unavailable(&proxy.client().ask(GET), what);
        assert!(dying.count() <= 3, "{what}: asked {} times", dying.count());
        // The next client is served as if nothing had been.
        assert_unavailable(&proxy.client().ask(GET), what);
    }
}

/// The client must be able to tell: a body that ends early must not look whole.
#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_client_too() {
    let broken = [
        ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\npart"),
        ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"),
        ("half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\npart"),
    ];
    for (what, text) in broken {
        for end in [Act::Close, Act::Reset] {
            // The part must be on its way before a reset may overtake it.
            let seen = Gate::new();
            let origin = Origin::start(play([say(text), Act::Wait(seen.clone()), end]));
            let proxy = Proxy::before(&[origin.address()]);
            let mut client = proxy.client();
            client.send(GET);
            let head = client.link().read_head().expect("the head");
            assert_eq!(head.first_line, "HTTP/1.1 200 OK", "{what}");
            seen.open();
            let length = ounce_tests::answer::response_length(200, false, &head.fields).expect("a length");
            assert_ne!(length, Length::UntilClose, "{what}: an end could not be told from a break");
            let outcome = client.link().read_body(length);
            assert!(
                matches!(outcome, Err(Broken::Cut | Broken::Closed | Broken::Reset)),
                "{what}: {outcome:?}"
            );
        }
    }
}

#[test]
fn an_answer_that_is_no_http_is_answered_503() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 xx OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    ] {
        let origin = Origin::start(play([Act::Body, say(text), Act::Close]));
        let proxy = Proxy::before(&[origin.address()]);
        assert_unavailable(&proxy.client().ask(POST), text);
    }
}

#[test]
fn chunks_of_an_answer_that_are_none_break_the_answer() {
    for text in ["zz\r\n", "3\r\nabcd\r\n0\r\n\r\n", "\r\n", "3\nabc\n0\n\n", "fffffffffffffffff\r\n"] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let origin = Origin::start(play([say(head), say(text), Act::Close]));
        let proxy = Proxy::before(&[origin.address()]);
        let mut client = proxy.client();
        client.send(GET);
        // The fault may be seen while there is still time for an error page.
        match client.read_answer(false) {
            Ok(answer) => assert_unavailable(&answer, text),
            Err(broken) => {
                assert!(matches!(broken, Broken::Cut | Broken::Closed | Broken::Reset), "{text:?}: {broken}");
            }
        }
    }
}

/// An origin may close a connection in the very moment that it is used again; nobody did anything wrong.
#[test]
fn a_kept_connection_that_the_origin_has_closed_costs_no_request() {
    let origin = Origin::start(|exchange| {
        exchange.skip_body()?;
        // Without a word about it.
        exchange.send(&named_answer("a"))?;
        if exchange.request.nth % 2 == 1 {
            exchange.close();
        }
        Ok(())
    });
    let proxy = Setup::new().global("Workers", "1").backends(&[origin.address()]).start();
    let mut client = proxy.client();
    for _ in 0..100 {
        assert_eq!(client.ask(GET).text(), "a");
        assert_eq!(client.ask(POST).text(), "a");
    }
}

#[test]
fn an_origin_that_is_silent_for_too_long_is_answered_for() {
    let gate = Gate::new();
    let origin = Origin::start(play([Act::Body, Act::Wait(gate.clone()), Act::Close]));
    let proxy = Setup::new().global("TimeOut", "1").backends(&[origin.address()]).start();
    assert_unavailable(&proxy.client().ask(POST), "silence");
    gate.open();
}

#[test]
fn an_origin_where_nobody_listens_is_answered_503_and_others_are_asked() {
    let nobody = Port::reserve();
    let proxy = Proxy::before(&[nobody.address()]);
    assert_unavailable(&proxy.client().ask(GET), "GET");
    assert_unavailable(&proxy.client().ask(POST), "POST");
    let healthy = Origin::named("healthy");
    let proxy =
        Setup::new().global("Balancer", "iwrr").backends(&[nobody.address(), healthy.address()]).start();
    for _ in 0..20 {
        // Nothing was sent, so that even a POST may go elsewhere.
        assert_eq!(proxy.client().ask(POST).text(), "healthy");
    }
}

#[test]
fn an_answer_before_the_body_is_passed_on_and_nothing_hangs() {
    let early = "HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!";
    let done = Gate::new();
    let origin = Origin::start(play([say(early), Act::Wait(done.clone()), Act::Close]));
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    let body = vec![b'x'; 1_000_000];
    let (first, rest) = body.split_at(20);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(first);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (413, "no!"));
    // The rest of the body is still to come: it is read as what it is, or not at all.
    if answer.closes() {
        client.expect_end();
    } else {
        client.send(rest);
        assert_eq!(client.get("/").status, 413);
    }
    done.open();
}

#[test]
fn a_client_that_ends_its_sending_gets_its_answer() {
    let gate = Gate::new();
    let origin = Origin::start(play([
        Act::Body,
        Act::Wait(gate.clone()),
        say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"),
    ]));
    let proxy = Proxy::before(&[origin.address()]);
    let mut client = proxy.client();
    client.send(POST);
    client.end();
    origin.received().wait_len("the request", 1);
    gate.open();
    assert_eq!(client.answer().text(), "late");
    client.expect_end();
}

#[test]
fn a_client_that_goes_away_takes_its_request_along() {
    let gate = Gate::new();
    let origin = Origin::start(play_in_turn([
        vec![Act::Wait(gate.clone()), say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")],
        vec![say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")],
    ]));
    let proxy = Setup::new().global("Workers", "1").backends(&[origin.address()]).start();
    let mut client = proxy.client();
    client.send(GET);
    origin.received().wait_len("the request", 1);
    client.reset();
    // The answer that nobody waits for must never be given to another client.
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).text(), "next");
    gate.open();
    for _ in 0..10 {
        assert_eq!(client.ask(GET).text(), "next");
    }
}

#[test]
fn an_upload_that_breaks_off_is_never_seen_as_whole() {
    let origin = Origin::echo();
    let proxy = Proxy::before(&[origin.address()]);
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let before = origin.count();
        let mut client = proxy.client();
        client.send(request);
        origin.received().wait_len("the head", before + 1);
        client.end();
        // The origin's reader fails on it and answers nothing; whatever the client is told, it is not 200.
        match client.read_answer(false) {
            Ok(answer) => assert!(answer.status >= 400, "{}", answer.status),
            Err(broken) => assert!(matches!(broken, Broken::Closed | Broken::Reset), "{broken}"),
        }
    }
    assert_eq!(proxy.client().ask(POST).text(), "POST /\nbody");
}

#[test]
fn a_silent_client_is_not_waited_for_for_ever() {
    let origin = Origin::named("a");
    let proxy = Setup::new().global("Client", "1").backends(&[origin.address()]).start();
    let mut idle = proxy.client();
    let mut kept = proxy.client();
    kept.get("/");
    let mut half = proxy.client();
    half.send("GET / HTTP/1.1\r\nHos");
    idle.expect_end();
    kept.expect_end();
    assert!(!matches!(half.link().rest(), Err(Broken::Silence)));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_body_larger_than_allowed_is_refused_before_any_origin_is_asked() {
    let origin = Origin::echo();
    let inside = format!("MaxRequest 10\nService\n{}End", backend(origin.address(), ""));
    let proxy = Setup::new().listener(&inside).start();
    let ask = |request: &str| {
        let mut client: Client = proxy.client();
        client.ask(request)
    };
    let fits = ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(fits.status, 200);
    let large = ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890");
    assert_eq!((large.status, large.closes()), (413, true));
    assert_eq!(origin.count(), 1);
    let chunks = ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n",
    );
    assert_eq!((chunks.status, chunks.closes()), (413, true));
}
