//! Words of Pound 2.6 that work here again, `DynScale` and `HAport`, and settings of old files.

use ounce_tests::barrier::until;
use ounce_tests::origin::{Origin, named_answer};
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup, backend};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// An origin that takes so long for an answer.
fn slow(name: &'static str, time: Duration) -> Origin {
    Origin::start(move |exchange| {
        exchange.skip_body()?;
        // Nobody ever sends: this is how to be slow.
        let (_sender, receiver) = mpsc::channel::<()>();
        let _ = receiver.recv_timeout(time);
        exchange.send(&named_answer(name))
    })
}

/// Requests until one backend has had more than three times as many as the other in a hundred of them.
fn until_unequal(proxy: &Proxy, fast: &Origin, slow: &Origin) {
    let mut client = proxy.client();
    until("the faster backend to get more", || {
        let before = (fast.count(), slow.count());
        (0..100).for_each(|_| assert_eq!(client.get("/").status, 200));
        let (more, less) = (fast.count() - before.0, slow.count() - before.1);
        (more > 3 * less).then_some(())
    });
}

#[test]
fn weights_follow_response_times_where_that_is_wanted() {
    let (fast, slow) = (Origin::named("fast"), slow("slow", Duration::from_millis(10)));
    let text = format!("Service\n{}{}End\n", backend(fast.address(), ""), backend(slow.address(), ""));
    for balancer in ["random", "iwrr"] {
        let setup = Setup::new().global("Balancer", balancer).global("DynScale", "1");
        let proxy = setup.listener(&text).start();
        until_unequal(&proxy, &fast, &slow);
    }
    // A service's own word is stronger than the one before it, and what is not scaled is exact.
    let exact = text.replace("Service\n", "Service\nDynScale 0\n");
    let setup = Setup::new().global("Balancer", "iwrr").global("DynScale", "1");
    let mut proxy = setup.listener(&exact).start();
    let mut client = proxy.client();
    let shares = |client: &mut ounce_tests::client::Client| {
        let before = (fast.count(), slow.count());
        (0..150).for_each(|_| assert_eq!(client.get("/").status, 200));
        (fast.count() - before.0, slow.count() - before.1)
    };
    assert_eq!(shares(&mut client), (75, 75));
    drop(client);
    // Weights that were set are not used once nobody wants them any more.
    let listener = |inside: &str| ounce_tests::proxy::listener("{port}", inside);
    proxy.setup().set_text(&listener(&text));
    proxy.reload().expect("a reload");
    until_unequal(&proxy, &fast, &slow);
    proxy.setup().set_text(&listener(&exact));
    proxy.reload().expect("a reload");
    assert_eq!(shares(&mut proxy.client()), (75, 75));
}

#[test]
fn a_backend_is_dead_as_long_as_its_ha_port_does_not_answer() {
    let (watched, spare) = (Origin::named("watched"), Origin::named("spare"));
    let port = Arc::new(Port::reserve());
    let other = Origin::named_on(Arc::clone(&port), "ha");
    let text = format!(
        "Service \"main\"\n{}Emergency\nAddress 127.0.0.1\nPort {}\nEnd\nEnd\n",
        backend(watched.address(), &format!("HAport {}", port.number())),
        spare.address().port()
    );
    let proxy = Setup::new().listener(&text).start();
    assert_eq!(proxy.client().get("/").text(), "watched");
    let alive = || proxy.control("GET", "/listener/1/main/0").1["alive"].as_bool();
    until("probes while the backend lives", || (other.connections() >= 2).then_some(()));
    assert_eq!(alive(), Some(true));
    drop(other);
    let address = port.address().to_string();
    proxy.problems().wait_for("the death", |line| line.contains("HAport") && line.contains(&address));
    assert_eq!(alive(), Some(false));
    assert_eq!(proxy.client().get("/").text(), "spare", "though it would answer");
    let _other = Origin::named_on(port, "ha");
    until("the backend to live again", || (alive() == Some(true)).then_some(()));
    assert_eq!(proxy.client().get("/").text(), "watched");
}

/// Addresses of clients are cut in request lines of every format, and in problem lines.
#[test]
fn anonymise_cuts_addresses_wherever_they_are_logged() {
    for (format, line) in [
        ("LogLevel 1", "127.0.0.0 "),
        ("LogLevel 2", "127.0.0.0 "),
        ("LogLevel 3", " 127.0.0.0 - "),
        ("LogLevel 4", "127.0.0.0 - "),
        ("LogLevel 5", " 127.0.0.0 - "),
        ("LogLevel \"own\"", "127.0.0.0 127.0.0.0"),
        ("LogLevel \"json\"", r#"{"a":"127.0.0.0","h":"127.0.0.0"}"#),
    ] {
        let text = "LogFormat \"own\" \"%a %h\"\nLogFormat -json \"json\" \"a=%a h=%h\"\nAnonymise";
        let proxy = Setup::new().text(text).listener(&format!("{format}\nService\nError 404\nEnd\n")).start();
        assert_eq!(proxy.client().get("/").status, 404);
        let found = proxy.lines().wait_len("a request line", 1).remove(0);
        assert!(found.contains(line) && !found.contains("127.0.0.1 "), "{format}: {found}");
    }
    let proxy = Setup::new().text("Anonymise").listener("Service\nError 404\nEnd\n").start();
    assert_eq!(proxy.client().ask("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n").status, 400);
    let problem = proxy.problems().wait_for("a problem", |line| line.contains("e400"));
    assert!(problem.contains("127.0.0.0") && !problem.contains("127.0.0.1"), "{problem}");
}

/// A trusted proxy's word about the client is cut too.
#[test]
fn anonymise_cuts_what_proxies_say() {
    let text = "Anonymise\nTrustedIP\n\"127.0.0.1\"\nEnd\nLogFormat \"own\" \"%a %h\"";
    let proxy = Setup::new().text(text).listener("LogLevel \"own\"\nService\nError 404\nEnd\n").start();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.77\r\n\r\n";
    assert_eq!(proxy.client().ask(request).status, 404);
    assert_eq!(proxy.lines().wait_len("a request line", 1)[0], "192.0.2.0 127.0.0.0");
}

/// Request lines, header lines and lines of responses may be as long as the listener says, and no longer.
#[test]
fn lines_are_as_long_as_linebuffersize_allows() {
    let origin = Origin::start(|exchange| {
        exchange.skip_body()?;
        let long = "v".repeat(6000);
        exchange.answer(200, &[("X-Long", long.as_str())], b"long")
    });
    let inside = format!(
        "Service\nPath \"^/origin\"\n{}End\nService\nError 404\nEnd\n",
        backend(origin.address(), "")
    );
    let wide = Setup::new().text("LineBufferSize 8192").listener(&inside).start();
    let narrow =
        Setup::new().text("LineBufferSize 8192").listener(&format!("LineBufferSize 4096\n{inside}")).start();
    let target = format!("/{}", "t".repeat(6000));
    let field = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "v".repeat(6000));
    for (proxy, long_target, long_field, long_answer) in [(&wide, 404, 404, 200), (&narrow, 414, 413, 503)] {
        assert_eq!(proxy.client().get(&target).status, long_target);
        assert_eq!(proxy.client().ask(&field).status, long_field);
        assert_eq!(proxy.client().get("/origin").status, long_answer);
    }
    assert_eq!(wide.client().get(&format!("/{}", "t".repeat(8200))).status, 414);
}

/// `IgnoreCase` holds for all that follows it, out of the service that it stands in.
#[test]
fn ignorecase_leaks_out_of_its_service() {
    let place = |proxy: &Proxy, target: &str| {
        let answer = proxy.client().get(target);
        answer.fields.get("Location").map_or_else(|| answer.status.to_string(), str::to_owned)
    };
    let proxy = Setup::new()
        .listener(
            "Service\nPath \"^/early\"\nRedirect \"http://early.test/x\"\nEnd\n\
             Service\nIgnoreCase 1\nPath \"^/own\"\nRedirect \"http://own.test/x\"\nEnd\n\
             Service\nPath \"^/late\"\nRedirect \"http://late.test/x\"\nEnd\n\
             Service\nPath -case \"^/case\"\nRedirect \"http://case.test/x\"\nEnd\n",
        )
        .text("IgnoreCase 0\nService\nPath \"^/off\"\nRedirect \"http://off.test/x\"\nEnd\n")
        .start();
    for (target, found) in [
        ("/early", "http://early.test/x"),
        ("/EARLY", "503"),
        ("/OWN", "http://own.test/x"),
        ("/LATE", "http://late.test/x"),
        ("/CASE", "503"),
        ("/OFF", "503"),
        ("/off", "http://off.test/x"),
    ] {
        assert_eq!(place(&proxy, target), found, "{target}");
    }
}
