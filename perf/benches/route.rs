//! What it costs to find the service of a request, among ten services and among a thousand.
//!
//! `cargo bench -p ounce-perf --bench route` prints nanoseconds a request, and fails if a thousand services cost more
//! than three times what ten cost. Sizes take turns within a round and the best of all rounds counts, so that a slow
//! moment of the machine is nobody's.

use ounce_conf::{Options, load_text};
use ounce_core::Peer;
use ounce_core::http::h1::parse;
use ounce_core::http::head::RequestHead;
use ounce_core::http::rules::Rules;
use ounce_core::route::{Captures, Ids, Plan, Request, compile, select};
use std::collections::HashMap;
use std::fmt::Write;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

const SIZES: [usize; 3] = [10, 100, 1000];
const RATIO_MAX: f64 = 3.0;
const ROUNDS: u32 = 40;
const REQUESTS: usize = 2000;

/// A way to tell services apart: the conditions of the service of a number, and the host and target of its requests.
struct Way {
    name: &'static str,
    conditions: fn(usize) -> String,
    request: fn(usize) -> (String, String),
}

const WAYS: &[Way] = &[
    Way {
        name: "Host",
        conditions: |n| format!("Host \"h{n}.example\""),
        request: |n| (format!("h{n}.example"), "/index.html".to_owned()),
    },
    Way {
        name: "Host and Path",
        conditions: |n| format!("Host \"h{}.example\"\nPath \"^/app{}/\"", n % 32, n / 32),
        request: |n| (format!("h{}.example", n % 32), format!("/app{}/index.html?x=1", n / 32)),
    },
    Way {
        name: "one Host, Path -exact",
        conditions: |n| format!("Host \"h.example\"\nPath -exact \"/app{n}/index.html\""),
        request: |n| ("h.example".to_owned(), format!("/app{n}/index.html")),
    },
    Way {
        name: "one Host, Path -beg",
        conditions: |n| format!("Host \"h.example\"\nPath -beg \"/app{n}/\""),
        request: |n| ("h.example".to_owned(), format!("/app{n}/index.html")),
    },
    Way {
        name: "one Host, Path -beg -icase",
        conditions: |n| format!("Host \"h.example\"\nPath -beg -icase \"/App{n}/\""),
        request: |n| ("h.example".to_owned(), format!("/app{n}/index.html")),
    },
    Way {
        name: "one Host, Path -end",
        conditions: |n| format!("Host \"h.example\"\nPath -end \"/{n}.html\""),
        request: |n| ("h.example".to_owned(), format!("/some/where/{n}.html")),
    },
    Way {
        name: "one Host, Path regex",
        conditions: |n| format!("Host \"h.example\"\nPath \"^/app{n}/[a-z]+\\\\.html$\""),
        request: |n| ("h.example".to_owned(), format!("/app{n}/index.html")),
    },
    Way {
        name: "one Host, URL regex anywhere",
        conditions: |n| format!("Host \"h.example\"\nURL \"/(app|shop){n}/.*\\\\.html\""),
        request: |n| ("h.example".to_owned(), format!("/a/b/shop{n}/c/index.html")),
    },
    Way {
        name: "HeadRequire of old files",
        conditions: |n| format!("HeadRequire \"Host:.*h{n}\\\\.example.*\""),
        request: |n| (format!("h{n}.example"), "/index.html".to_owned()),
    },
];

#[derive(Default)]
struct Rows(HashMap<String, u32>);

impl Rows {
    fn row(&mut self, identity: &str) -> Option<u32> {
        let next = self.0.len() as u32;
        Some(*self.0.entry(identity.to_owned()).or_insert(next))
    }
}

impl Ids for Rows {
    fn listener(&mut self, identity: &str) -> Option<u32> {
        self.row(identity)
    }

    fn service(&mut self, identity: &str) -> Option<u32> {
        self.row(identity)
    }

    fn backend(&mut self, identity: &str) -> Option<u32> {
        self.row(identity)
    }
}

fn plan(way: &Way, size: usize) -> Plan {
    let mut text = "ListenHTTP\nAddress 127.0.0.1\nPort 80\n".to_owned();
    for number in 0..size {
        let conditions = (way.conditions)(number);
        _ = write!(text, "Service\n{conditions}\nBackend\nAddress 127.0.0.1\nPort 81\nEnd\nEnd\n");
    }
    text.push_str("End\n");
    let options = Options { warn_deprecated: false, ..Options::default() };
    let loaded = load_text("bench", &text, &options).unwrap_or_else(|errors| panic!("{errors:?}"));
    compile(&loaded.config, &mut Rows::default()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Heads of requests as a browser sends them, for services here and there in the file.
fn requests(way: &Way, size: usize) -> Vec<(Vec<u8>, RequestHead)> {
    let numbers = (0..64).map(|step| (step * 619 + 7) % size);
    let heads = numbers.map(|number| {
        let (host, target) = (way.request)(number);
        let bytes = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0)\r\n\
             Accept: text/html,application/xhtml+xml,application/xml;q=0.9\r\nAccept-Language: de,en;q=0.5\r\n\
             Accept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\n\r\n"
        )
        .into_bytes();
        let mut head = RequestHead::default();
        let rules = Rules { line_max: 4096, methods: 0, max_uri: None };
        parse::request(&bytes, &rules, &mut head).expect("a request that is taken");
        (bytes, head)
    });
    heads.collect()
}

/// Nanoseconds a request.
fn measure(plan: &Plan, requests: &[(Vec<u8>, RequestHead)], captures: &mut Captures) -> f64 {
    let peer = Peer::Inet("192.0.2.1:1".parse().expect("an address"));
    let start = Instant::now();
    for (bytes, head) in requests.iter().cycle().take(REQUESTS) {
        let request =
            Request { head, bytes, peer, response: None, trust: None, certificate: None, till: None };
        let found = select(plan, 0, black_box(&request), &|_| false, captures);
        assert!(black_box(found).is_some());
    }
    start.elapsed().as_nanos() as f64 / REQUESTS as f64
}

fn main() -> ExitCode {
    println!("{:32} {:>8} {:>8} {:>8} {:>8}", "ns a request, services:", 10, 100, 1000, "ratio");
    let mut worst: f64 = 0.0;
    for way in WAYS {
        let cases = SIZES.map(|size| (plan(way, size), requests(way, size)));
        let mut captures = Captures::new();
        let mut best = [f64::INFINITY; SIZES.len()];
        for _ in 0..ROUNDS {
            for (best, (plan, requests)) in best.iter_mut().zip(&cases) {
                *best = best.min(measure(plan, requests, &mut captures));
            }
        }
        let ratio = best[2] / best[0];
        worst = worst.max(ratio);
        println!("{:32} {:8.0} {:8.0} {:8.0} {:8.2}", way.name, best[0], best[1], best[2], ratio);
    }
    println!("worst ratio {worst:.2}, at most {RATIO_MAX}");
    if worst <= RATIO_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
