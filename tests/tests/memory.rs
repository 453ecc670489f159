//! Bodies of any size pass in bounded memory, however slow one side is. `OUNCE_TEST_FULL=1` moves 10 GiB each way
//! instead of 1.

use ounce_tests::answer::response_length;
use ounce_tests::barrier::{Gate, until, until_within};
use ounce_tests::origin::Origin;
use ounce_tests::process;
use ounce_tests::proxy::{Proxy, Setup};
use ounce_tests::wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The most that a worker may have, however much it moves.
const RESIDENT_MAX: u64 = 64 << 20;

fn size() -> u64 {
    let gibibytes = if std::env::var_os("OUNCE_TEST_FULL").is_some() { 10 } else { 1 };
    gibibytes << 30
}

/// Highest memory of any worker.
fn resident(proxy: &Proxy) -> u64 {
    let workers = proxy.workers();
    workers
        .iter()
        .filter_map(|worker| process::memory(*worker))
        .map(|memory| memory.resident)
        .max()
        .unwrap_or(0)
}

fn assert_flat(proxy: &Proxy, when: &str) {
    let resident = resident(proxy);
    assert!(resident < RESIDENT_MAX, "{} MiB {when}", resident >> 20);
}

/// Waits until a count stands still: nobody takes any more.
fn wait_stalled(count: &AtomicU64) -> u64 {
    until("a transfer that stalls", || {
        let before = count.load(Ordering::Relaxed);
        let moved = until_within(Duration::from_millis(300), || {
            (count.load(Ordering::Relaxed) != before).then_some(())
        });
        (moved.is_none() && before > 0).then_some(before)
    })
}

/// An origin that sends a body of so many bytes and counts what was taken from it.
fn source(bytes: u64, chunked: bool) -> (Origin, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let piece = vec![b'x'; 1 << 20];
    let frame: Vec<u8> = if chunked { [b"100000\r\n".as_slice(), &piece, b"\r\n"].concat() } else { piece };
    let head = match chunked {
        true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        false => format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n"),
    };
    let origin = Origin::start(move |exchange| {
        exchange.send(head.as_bytes())?;
        for _ in 0..bytes >> 20 {
            for part in frame.chunks(64 << 10) {
                exchange.send(part)?;
                counted.fetch_add(part.len() as u64, Ordering::Relaxed);
            }
        }
        if chunked {
            exchange.send(b"0\r\n\r\n")?;
        }
        Ok(())
    });
    (origin, sent)
}

fn download(chunked: bool) {
    let (origin, sent) = source(size(), chunked);
    let proxy =
        Setup::new().global("Client", "600").global("TimeOut", "600").backends(&[origin.address()]).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.link().read_head().expect("an answer");
    // A reader that does not read: what is on its way must stand still in the kernel, not grow in the worker.
    let stalled = wait_stalled(&sent);
    assert!(stalled < size() / 2, "{stalled} bytes were taken for a reader that reads nothing");
    assert_flat(&proxy, "while the reader stood still");
    let (mut read, mut sampled) = (0_u64, 0_u64);
    let length = response_length(200, false, &head.fields).expect("a length");
    let outcome = client.link().discard_body(length, |bytes| {
        read += bytes;
        if read >= sampled + (64 << 20) {
            sampled = read;
            assert_flat(&proxy, "while the body passed");
        }
    });
    assert_eq!((outcome, read), (Ok(()), size()));
    assert_flat(&proxy, "after the body");
}

#[test]
fn a_long_download_through_a_slow_reader_takes_no_memory() {
    download(false);
}

#[test]
fn a_long_download_in_chunks_takes_no_memory() {
    download(true);
}

#[test]
fn a_long_upload_to_a_slow_origin_takes_no_memory() {
    let gate = Gate::new();
    let opened = gate.clone();
    let origin = Origin::start(move |exchange| {
        assert!(opened.pass());
        let length = exchange.request.fields.get("Content-Length").and_then(|length| length.parse().ok());
        let length: u64 = length.expect("a length");
        exchange.link().discard(length).map_err(|broken| std::io::Error::other(broken.to_string()))?;
        exchange
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Got: {length}\r\n\r\n").as_bytes())?;
        exchange.close();
        Ok(())
    });
    let proxy =
        Setup::new().global("Client", "600").global("TimeOut", "600").backends(&[origin.address()]).start();
    let mut client = proxy.client();
    let sent = Arc::new(AtomicU64::new(0));
    let writer = std::thread::spawn({
        let sent = Arc::clone(&sent);
        move || {
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", size()));
            let piece = vec![b'x'; 64 << 10];
            while sent.load(Ordering::Relaxed) < size() {
                client.send(&piece);
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            client
        }
    });
    origin.received().wait_len("the head", 1);
    let stalled = wait_stalled(&sent);
    assert!(stalled < size() / 2, "{stalled} bytes were taken for an origin that reads nothing");
    assert_flat(&proxy, "while the origin stood still");
    gate.open();
    let mut sampled = 0;
    while !writer.is_finished() {
        until("more of the body to pass", || {
            let now = sent.load(Ordering::Relaxed);
            (now >= sampled + (64 << 20) || writer.is_finished()).then_some(())
        });
        sampled = sent.load(Ordering::Relaxed);
        assert_flat(&proxy, "while the body passed");
    }
    let mut client = writer.join().expect("a body sent");
    assert_eq!(client.answer().fields.get("X-Got"), Some(size().to_string().as_str()));
    assert_flat(&proxy, "after the body");
}

/// Many slow readers at once are where memory that each may have adds up.
#[test]
fn many_stalled_readers_share_what_memory_there_is() {
    const READERS: usize = 500;
    /// A hundred times what it takes when there is room.
    const SERVED_WITHIN: Duration = Duration::from_secs(10);
    let (origin, sent) = source(8 << 20, false);
    let proxy = Setup::new()
        .global("Workers", "1")
        .global("Client", "600")
        .global("TimeOut", "600")
        .backends(&[origin.address()])
        .start();
    let mut readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    wait_stalled(&sent);
    assert_flat(&proxy, "with many readers that stand still");
    // A client that reads is served all the same, and so is one of them that wakes.
    let before = Instant::now();
    let answer = proxy.client().ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.body.len(), 8 << 20);
    assert!(before.elapsed() < SERVED_WITHIN, "a new client: {:?}", before.elapsed());
    let before = Instant::now();
    let answer = readers[READERS - 1].answer();
    assert_eq!(answer.body.len(), 8 << 20);
    assert!(before.elapsed() < SERVED_WITHIN, "one that wakes: {:?}", before.elapsed());
}

/// Item 7: what an idle connection costs a worker of its own memory, and with TLS what OpenSSL keeps for it.
#[test]
fn an_idle_connection_costs_less_than_two_kibibytes() {
    const CONNECTIONS: usize = 2000;
    let limit = if wire::is_tls() { 24 << 10 } else { 2 << 10 };
    let origin = Origin::named("a");
    let proxy =
        Setup::new().global("Workers", "1").global("Client", "600").backends(&[origin.address()]).start();
    let worker = proxy.workers()[0];
    // What the first requests make a worker allocate once and for all is not the price of a connection.
    let mut clients: Vec<_> = (0..200).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let before = process::memory(worker).expect("a worker").private;
    for _ in 0..CONNECTIONS {
        let mut client = proxy.client();
        assert_eq!(client.get("/").status, 200);
        clients.push(client);
    }
    let grown = process::memory(worker).expect("a worker").private.saturating_sub(before);
    let each = grown / CONNECTIONS as u64;
    assert!(each < limit, "{each} bytes");
}
