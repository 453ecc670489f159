//! A crypto card that is none (`data/card.c`): handshakes wait for it, the loop does not; and what happens when it fails.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ounce_tests::barrier::until;
use ounce_tests::card::{Card, module};
use ounce_tests::client::Client;
use ounce_tests::origin::Origin;
use ounce_tests::port::Port;
use ounce_tests::proxy::{Proxy, Setup, listener, service};
use ounce_tests::renegotiation::renegotiates;
use ounce_tests::tool;
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// The card's section, with this inside, and a listener with a certificate, on one worker.
fn setup(card: &Card, inside: &str, certificate: &str, origin: &Origin) -> Setup {
    let listener = format!(
        "ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{certificate}\n{}End\n",
        service(&[origin.address()])
    );
    Setup::new().global("Workers", "1").text(&(card.section(inside) + &listener))
}

/// So many handshakes at once, each with a request.
fn requests(proxy: &Proxy, count: u32, words: &[&str]) -> Child {
    let url = format!("https://{}/?[1-{count}]", proxy.address());
    Command::new(tool::path("curl"))
        .args(["-sk", "--http1.1", "--max-time", "60", "-H", "Connection: close", "--no-sessionid", "-Z"])
        .args(["--parallel-immediate", "--parallel-max", "100", &url])
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program that is installed")
}

fn served(child: Child) -> usize {
    let output = child.wait_with_output().expect("its end");
    String::from_utf8_lossy(&output.stdout).lines().count()
}

/// Sixty handshakes wait for a card of half a second at once; one after the other they would take thirty.
#[test]
fn handshakes_wait_for_the_card_together() {
    let card = Card::new();
    let origin = Origin::echo();
    for certificate in
        [card.held("rsa"), card.held("ec"), card.certificate("rsa.pem"), card.certificate("ec.pem")]
    {
        let inside = "PreCommand \"DELAY_US\" \"500000\"\nDefault \"ALL\"\nTimeOut 10";
        let proxy = setup(&card, inside, &certificate, &origin).start();
        for version in ["1.2", "1.3"] {
            let began = std::time::Instant::now();
            assert_eq!(served(requests(&proxy, 60, &["--tls-max", version])), 60, "{certificate}");
            let took = began.elapsed();
            assert!(took.as_secs() < 15, "{certificate}, TLS {version}: {took:?}");
        }
        assert!(proxy.counter("ounce_card_waits_total") >= 120, "{certificate}");
    }
}

/// Fewer jobs than handshakes: all have their turn.
#[test]
fn handshakes_wait_for_jobs() {
    let card = Card::new();
    let origin = Origin::echo();
    let inside = "PreCommand \"DELAY_US\" \"50000\"\nJobs 4\nTimeOut 10";
    let proxy = setup(&card, inside, &card.held("ec"), &origin).start();
    assert_eq!(served(requests(&proxy, 60, &[])), 60);
    assert!(proxy.counter("ounce_card_crowded_total") > 0);
}

/// What never pauses is asked in threads, or by the loop if it shall be.
#[test]
fn modes_are_as_configured() {
    let card = Card::new();
    let origin = Origin::echo();
    for (mode, waits) in [("threads", true), ("async", true), ("sync", false)] {
        let inside = format!("PreCommand \"DELAY_US\" \"2000\"\nMode {mode}");
        let proxy = setup(&card, &inside, &card.held("ec"), &origin).start();
        for version in ["1.2", "1.3"] {
            assert_eq!(served(requests(&proxy, 40, &["--tls-max", version])), 40, "{mode}");
        }
        assert_eq!(proxy.counter("ounce_card_waits_total") > 0, waits, "{mode}");
    }
}

/// A card that fails or falls silent costs a few handshakes; then software signs, and the card again when it can.
#[test]
fn software_takes_over_from_a_card_that_is_out_of_order() {
    let card = Card::new();
    let origin = Origin::echo();
    let inside = "PreCommand \"DELAY_US\" \"1000\"\nDefault \"ALL\"\nTimeOut 1";
    for state in ["fail", "hang"] {
        card.becomes("work");
        let proxy = setup(&card, inside, &card.certificate("rsa.pem"), &origin).start();
        assert_eq!(served(requests(&proxy, 20, &[])), 20);
        card.becomes(state);
        until("software to take over", || {
            served(requests(&proxy, 4, &[]));
            (proxy.counter("ounce_card_fallbacks_total") > 0).then_some(())
        });
        assert_eq!(served(requests(&proxy, 20, &[])), 20, "{state}");
        card.becomes("work");
        until("the card to sign again", || {
            served(requests(&proxy, 4, &[]));
            let lines = proxy.problems().all();
            lines.iter().any(|line| line.contains("the card signs again")).then_some(())
        });
        assert_eq!(served(requests(&proxy, 20, &[])), 20, "{state}");
    }
}

/// A client that leaves while its card works is forgotten only when the card has answered: no job is lost.
#[test]
fn clients_that_leave_keep_no_job() {
    let card = Card::new();
    let origin = Origin::echo();
    let inside = "PreCommand \"DELAY_US\" \"200000\"\nJobs 8\nTimeOut 10";
    let proxy = setup(&card, inside, &card.held("ec"), &origin).start();
    let hello = hello();
    for round in 1..=4u64 {
        let clients: Vec<Client> = (0..8)
            .map(|_| {
                let mut client = Client::connect(proxy.address());
                client.send(&hello);
                client
            })
            .collect();
        until("the card to have them", || {
            (proxy.counter("ounce_card_waits_total") >= 8 * round).then_some(())
        });
        drop(clients);
        until("them to be driven to their ends", || {
            (proxy.counter("ounce_connections_open") == 0 && proxy.counter("ounce_card_orphans") == 0)
                .then_some(())
        });
    }
    assert_eq!(served(requests(&proxy, 20, &[])), 20);
}

/// A card that holds its keys itself and falls silent costs what it has, and each handshake only its time; it serves again
/// when it speaks again, with all its jobs.
#[test]
fn handshakes_are_refused_while_a_card_is_silent() {
    let card = Card::new();
    let origin = Origin::echo();
    let inside = "PreCommand \"DELAY_US\" \"1000\"\nJobs 4\nTimeOut 1";
    let proxy = setup(&card, inside, &card.held("ec"), &origin).start();
    card.becomes("hang");
    // Some have a job, the others wait for one; none is served, none waits for long.
    assert_eq!(served(requests(&proxy, 12, &[])), 0);
    assert_eq!(proxy.counter("ounce_card_timeouts_total"), 12);
    assert_eq!(proxy.counter("ounce_card_fallbacks_total"), 0);
    assert_eq!(proxy.counter("ounce_card_orphans"), 4);
    card.becomes("work");
    until("the jobs to come back", || (proxy.counter("ounce_card_orphans") == 0).then_some(()));
    assert_eq!(served(requests(&proxy, 20, &[])), 20);
}

/// There are as many jobs as `Jobs` says, also where a card that did not answer at the start has kept the one of its trial.
#[test]
fn a_card_that_is_silent_at_the_start_costs_no_job() {
    let card = Card::new();
    let origin = Origin::echo();
    let inside = "PreCommand \"DELAY_US\" \"1000\"\nDefault \"ALL\"\nJobs 4\nTimeOut 1";
    let setup = setup(&card, inside, &card.certificate("ec.pem"), &origin);
    card.becomes("late");
    let proxy = setup.start();
    proxy.problems().wait_for("the trial", |line| line.contains("its card does not answer: software signs"));
    card.becomes("work");
    until("the card to sign again", || {
        assert_eq!(served(requests(&proxy, 4, &[])), 4);
        proxy.problems().all().iter().any(|line| line.contains("the card signs again")).then_some(())
    });
    card.becomes("hang");
    // Those that have a job are lost, those that wait for one go to software.
    assert_eq!(served(requests(&proxy, 12, &[])), 8);
    assert_eq!(proxy.counter("ounce_card_orphans"), 4);
    card.becomes("work");
    until("the jobs to come back", || (proxy.counter("ounce_card_orphans") == 0).then_some(()));
}

/// Commands reach an engine before and after it begins to work, and one that it does not take is named.
#[test]
fn commands_come_in_their_time() {
    let card = Card::new();
    let origin = Origin::echo();
    let setup = |inside: &str| setup(&card, inside, &card.held("ec"), &origin);
    let proxy = setup("PostCommand \"ONLINE\"\nPostCommand \"DELAY_US\" \"700000\"").start();
    let began = std::time::Instant::now();
    assert_eq!(served(requests(&proxy, 1, &[])), 1);
    assert!(began.elapsed().as_millis() >= 700, "the delay has not been set");
    for (inside, told) in [
        ("PreCommand \"ONLINE\"", "SSLEngine \"card\": PreCommand \"ONLINE\": "),
        ("PostCommand \"NONE\" \"x\"", "SSLEngine \"card\": PostCommand \"NONE\": "),
    ] {
        let output = setup(inside).arguments(&["-c"]).command().output().expect("the program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{inside}: {said}");
        assert!(said.contains(told), "{inside}: {said}");
    }
}

/// While handshakes are paused, a plain request on the same worker is answered.
#[test]
fn others_are_served_while_a_card_works() {
    let card = Card::new();
    let origin = Origin::echo();
    let plain = Port::reserve();
    for engine in ["io_uring", "epoll"] {
        let inside = "PreCommand \"DELAY_US\" \"1000\"\nTimeOut 30";
        let listener = listener(&plain.number().to_string(), &service(&[origin.address()]));
        let setup = setup(&card, inside, &card.held("ec"), &origin).text(&listener);
        card.becomes("work");
        let proxy = setup.global("IoEngine", engine).start();
        card.becomes("hang");
        let clients = requests(&proxy, 20, &[]);
        until("them to wait", || (proxy.counter("ounce_card_waits_total") >= 20).then_some(()));
        let mut client = Client::connect(plain.address());
        for _ in 0..50 {
            assert_eq!(client.get("/").status, 200);
        }
        card.becomes("work");
        assert_eq!(served(clients), 20, "{engine}");
    }
}

/// What is paused at a reload is served by the generation that has it.
#[test]
fn a_reload_waits_for_what_is_paused() {
    let card = Card::new();
    let origin = Origin::echo();
    let inside = "PreCommand \"DELAY_US\" \"1000\"\nTimeOut 60";
    let mut proxy = setup(&card, inside, &card.held("rsa"), &origin).start();
    card.becomes("hang");
    let clients = requests(&proxy, 20, &[]);
    until("them to wait", || (proxy.counter("ounce_card_waits_total") >= 20).then_some(()));
    // The new generation does without: it would try the card out before it is ready.
    let (pem, service) = (card.certificate("rsa.pem"), service(&[origin.address()]));
    proxy.setup().set_text(&format!("ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{pem}\n{service}End\n"));
    proxy.reload().expect("a reload");
    assert_eq!(served(requests(&proxy, 4, &[])), 4);
    card.becomes("work");
    assert_eq!(served(clients), 20);
}

/// A worker that dies takes its jobs along; its successor has its own.
#[test]
fn a_worker_that_dies_with_paused_handshakes_is_replaced() {
    let card = Card::new();
    let origin = Origin::echo();
    let inside = "PreCommand \"DELAY_US\" \"300000\"\nJobs 8\nTimeOut 30";
    let proxy = setup(&card, inside, &card.held("ec"), &origin).start();
    let clients = requests(&proxy, 20, &[]);
    until("them to wait", || (proxy.counter("ounce_card_waits_total") >= 8).then_some(()));
    let worker = proxy.workers()[0];
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("a worker to kill");
    served(clients);
    proxy.wait_workers(1);
    assert_eq!(served(requests(&proxy, 20, &[])), 20);
}

/// What a card does for another handshake of a connection is waited for as for the first.
#[test]
fn hands_are_shaken_anew_beside_the_loop() {
    let card = Card::new();
    let origin = Origin::echo();
    for (mode, waits) in [("async", 2), ("threads", 2), ("sync", 0)] {
        for certificate in [
            card.held("rsa"),
            card.held("ec"),
            // Without forward secrecy the card's part comes later in the handshake.
            card.certificate("rsa.pem") + "\nCiphers \"AES128-GCM-SHA256\"",
        ] {
            let inside = format!("PreCommand \"DELAY_US\" \"50000\"\nDefault \"RSA\"\nMode {mode}");
            let certificate = certificate + "\nSSLAllowClientRenegotiation 1";
            let proxy = setup(&card, &inside, &certificate, &origin).start();
            assert!(renegotiates(proxy.address()), "{mode}, {certificate}");
            assert_eq!(proxy.counter("ounce_card_waits_total"), waits, "{mode}, {certificate}");
        }
    }
}

/// A provider is loaded with its parameters, and its keys are found by their URIs and used in threads.
#[test]
fn keys_come_from_the_store_of_a_provider() {
    let card = Card::new();
    let origin = Origin::echo();
    module("provider", &card.path("keeper.so"));
    let certificate = format!("{}\nKey \"kept:ec.key\"", card.certificate("ec.crt"));
    let listener = |certificate: &str| {
        let service = service(&[origin.address()]);
        format!("ListenHTTPS\nAddress 127.0.0.1\nPort {{port}}\n{certificate}\n{service}End\n")
    };
    let provider = |inside: &str| {
        format!("SSLProvider \"keeper\"\nPath \"{}\"\n{inside}End\n", card.path("keeper.so").display())
    };
    let parameter = format!("Parameter \"folder\" \"{}\"\n", card.folder().display());
    for (mode, waits) in [("", true), ("Mode threads\n", true), ("Mode sync\n", false)] {
        let text = provider(&format!("{parameter}{mode}")) + &listener(&certificate);
        let proxy = Setup::new().global("Workers", "2").text(&text).start();
        for version in ["1.2", "1.3"] {
            assert_eq!(served(requests(&proxy, 10, &["--tls-max", version])), 10, "{mode}");
        }
        assert_eq!(proxy.counter("ounce_card_waits_total") > 0, waits, "{mode}");
    }
    // Each fault is told beforehand.
    for (text, told) in [
        (listener(&certificate), "Key \"kept:ec.key\": it cannot be loaded"),
        (provider("") + &listener(&certificate), "SSLProvider \"keeper\": it cannot be loaded"),
        (provider(&parameter) + &listener(&certificate.replace("ec.key", "none")), "Key \"kept:none\""),
        (provider(&parameter) + &listener(&certificate.replace("ec.key", "rsa.key")), "it is not the key of"),
    ] {
        let output = Setup::new().text(&text).arguments(&["-c"]).command().output().expect("the program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}: {said}");
        assert!(said.contains(told), "{told}: {said}");
    }
}

/// The first flight of a real client.
fn hello() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let mut client = Command::new(tool::path("openssl"))
        .args(["s_client", "-connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program that is installed");
    let (mut stream, _) = listener.accept().expect("a client");
    let mut head = [0; 5];
    stream.read_exact(&mut head).expect("a record");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut rest).expect("its bytes");
    drop(stream);
    let _ = client.kill();
    let _ = client.wait();
    [&head[..], &rest].concat()
}
