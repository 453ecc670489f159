//! What clients do: scenarios, each a crowd of wrk that never waits.

use crate::cpu;
use crate::peers::Peer;
use ounce_tests::wrk::Wrk;

/// Sizes of the origin's bodies, in bytes.
pub const BODY_BYTES: [usize; 3] = [100, 64 << 10, 10 << 20];

/// A way to load a proxy.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// As tables call it.
    pub name: &'static str,
    /// Clients at a time.
    pub connections: u32,
    /// Each request comes on a connection of its own.
    pub fresh: bool,
    /// Which of [`BODY_BYTES`] is asked for.
    pub body: usize,
    /// Over TLS; the origin is asked without.
    pub tls: bool,
}

/// All scenarios.
pub const SCENARIOS: [Scenario; 9] = [
    Scenario { name: "64 keep-alive", connections: 64, fresh: false, body: 0, tls: false },
    Scenario { name: "1000 keep-alive", connections: 1000, fresh: false, body: 0, tls: false },
    Scenario { name: "new connection each", connections: 64, fresh: true, body: 0, tls: false },
    Scenario { name: "64 KiB body", connections: 64, fresh: false, body: 1, tls: false },
    Scenario { name: "10 MiB body", connections: 8, fresh: false, body: 2, tls: false },
    Scenario { name: "TLS, 64 keep-alive", connections: 64, fresh: false, body: 0, tls: true },
    Scenario { name: "TLS, handshake each", connections: 64, fresh: true, body: 0, tls: true },
    Scenario { name: "TLS, 64 KiB body", connections: 64, fresh: false, body: 1, tls: true },
    Scenario { name: "TLS, 10 MiB body", connections: 8, fresh: false, body: 2, tls: true },
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
    let connections = scenario.connections.to_string();
    let mut arguments = vec!["--threads", "1", "--connections", &connections];
    if scenario.fresh {
        arguments.extend(["--header", "Connection: close"]);
    }
    let before = cpu::spent_ns(peer.pid());
    let address = peer.addresses(scenario.tls)[scenario.body];
    let scheme = if scenario.tls { "https" } else { "http" };
    let report = Wrk::start_with(scheme, address, seconds, &arguments).report();
    let spent = cpu::spent_ns(peer.pid()).saturating_sub(before);
    if report.failures() > 0 || report.requests == 0 {
        return Err(format!("{}, {}: requests have failed\n{}", peer.name, scenario.name, report.text));
    }
    Ok(Cost { cpu_us: spent as f64 / report.requests as f64 / 1000.0, rate: report.rate() })
}
