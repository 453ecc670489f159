//! What clients do: scenarios, each a crowd that never waits.

use crate::cpu;
use crate::handshake;
use crate::peers::Peer;
use ounce_tests::wrk::{Report, Wrk};
use std::net::SocketAddr;

/// Sizes of the origin's bodies, in bytes.
pub const BODY_BYTES: [usize; 3] = [100, 64 << 10, 10 << 20];

/// A way to load a proxy.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// As tables call it.
    pub name: &'static str,
    /// Clients at a time.
    pub connections: u32,
    /// How its connections come and go.
    pub manner: Manner,
    /// Which of [`BODY_BYTES`] is asked for.
    pub body: usize,
    /// Over TLS; the origin is asked without.
    pub tls: bool,
}

/// How connections come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// They stay.
    Kept,
    /// Each request comes on one of its own. wrk resumes its TLS sessions.
    Fresh,
    /// Each request comes from a client that was never there before: nothing is resumed.
    Stranger,
}

/// All scenarios.
pub const SCENARIOS: [Scenario; 10] = [
    Scenario { name: "64 keep-alive", connections: 64, manner: Manner::Kept, body: 0, tls: false },
    Scenario { name: "1000 keep-alive", connections: 1000, manner: Manner::Kept, body: 0, tls: false },
    Scenario { name: "new connection each", connections: 64, manner: Manner::Fresh, body: 0, tls: false },
    Scenario { name: "64 KiB body", connections: 64, manner: Manner::Kept, body: 1, tls: false },
    Scenario { name: "10 MiB body", connections: 8, manner: Manner::Kept, body: 2, tls: false },
    Scenario { name: "TLS, 64 keep-alive", connections: 64, manner: Manner::Kept, body: 0, tls: true },
    Scenario { name: "TLS, resumed each", connections: 64, manner: Manner::Fresh, body: 0, tls: true },
    Scenario { name: "TLS, handshake each", connections: 8, manner: Manner::Stranger, body: 0, tls: true },
    Scenario { name: "TLS, 64 KiB body", connections: 64, manner: Manner::Kept, body: 1, tls: true },
    Scenario { name: "TLS, 10 MiB body", connections: 8, manner: Manner::Kept, body: 2, tls: true },
];

/// What a run has cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// CPU time of the proxy for one request, in microseconds.
    pub cpu_us: f64,
    /// Requests in each second: how busy the proxy was, and no measure of it.
    pub rate: f64,
}

/// Loads a proxy for so many seconds. The client runs on the CPU that the calling thread is bound to.
///
/// # Errors
/// When a request failed: what it cost means nothing then.
pub fn run(peer: &Peer, scenario: &Scenario, seconds: u32) -> Result<Cost, String> {
    let address = peer.addresses(scenario.tls)[scenario.body];
    let before = cpu::spent_ns(peer.pid());
    let about = |text: &str| format!("{}, {}: requests have failed\n{text}", peer.name, scenario.name);
    let (requests, rate) = match scenario.manner {
        Manner::Stranger => {
            let requests =
                handshake::crowd(address, scenario.connections, seconds).map_err(|text| about(&text))?;
            (requests, requests as f64 / f64::from(seconds))
        }
        Manner::Kept | Manner::Fresh => {
            let report = wrk(scenario, address, seconds);
            if report.failures() > 0 {
                return Err(about(&report.text));
            }
            (report.requests, report.rate())
        }
    };
    let spent = cpu::spent_ns(peer.pid()).saturating_sub(before);
    if requests == 0 {
        return Err(about("not one was answered"));
    }
    Ok(Cost { cpu_us: spent as f64 / requests as f64 / 1000.0, rate })
}

fn wrk(scenario: &Scenario, address: SocketAddr, seconds: u32) -> Report {
    let connections = scenario.connections.to_string();
    let mut arguments = vec!["--threads", "1", "--connections", &connections];
    if scenario.manner == Manner::Fresh {
        arguments.extend(["--header", "Connection: close"]);
    }
    let scheme = if scenario.tls { "https" } else { "http" };
    Wrk::start_with(scheme, address, seconds, &arguments).report()
}
