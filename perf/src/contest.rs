//! The whole run: rounds in which each proxy has its turn at each scenario.

use crate::card;
use crate::cpu::{self, Cpus};
use crate::idle;
use crate::load::{self, BODY_BYTES, Cost, SCENARIOS, Scenario};
use crate::origin::Origin;
use crate::peers::Peer;
use crate::report::{Row, Table};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::path::PathBuf;

/// How much is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Rounds.
    pub rounds: u32,
    /// Seconds of load in each turn.
    pub seconds: u32,
    /// Idle connections for the memory of one.
    pub idle: usize,
    /// ounce once more, on epoll.
    pub epoll: bool,
    /// ounce once more, as this program.
    pub other: Option<PathBuf>,
    /// Only scenarios whose names begin so.
    pub only: String,
}

impl Default for Extent {
    fn default() -> Extent {
        Extent { rounds: 3, seconds: 3, idle: 5000, epoll: false, other: None, only: String::new() }
    }
}

/// The name of the comparison of cards, where it is to run alone.
const CARDS: &str = "cards";

/// Runs it and returns the tables. Says on standard error how far it is.
///
/// # Errors
/// What went wrong.
pub fn run(extent: &Extent) -> Result<Vec<Table>, String> {
    let cpus = Cpus::choose()?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|error| format!("descriptors: {error}"))?;
    let origin = Origin::start(cpus.others, &BODY_BYTES).map_err(|error| format!("origin: {error}"))?;
    let cards = || card::run(cpus, origin.addresses()[0], extent.rounds, extent.seconds);
    if extent.only == CARDS {
        return Ok(vec![cards()?]);
    }
    let peers = start(cpus.proxy, &origin, extent)?;
    cpu::bind_to(cpus.others)?;
    // First of all: a process that has been loaded once has memory to spare.
    eprintln!("idle connections");
    let idle = |tls: bool| -> Result<Vec<Vec<f64>>, String> {
        let bytes = peers.iter().map(|peer| idle::bytes_per_connection(peer, extent.idle, tls));
        bytes.map(|bytes| bytes.map(|bytes| vec![bytes])).collect()
    };
    let (bytes, tls_bytes) = (idle(false)?, idle(true)?);
    let chosen = || SCENARIOS.iter().filter(|scenario| scenario.name.starts_with(&extent.only));
    let mut costs: Vec<Vec<Vec<Cost>>> = chosen().map(|_| vec![Vec::new(); peers.len()]).collect();
    for round in 0..extent.rounds {
        for (scenario, costs) in chosen().zip(&mut costs) {
            eprintln!("round {} of {}: {}", round + 1, extent.rounds, scenario.name);
            for (peer, costs) in turns(&peers, costs, round) {
                costs.push(load::run(peer, scenario, extent.seconds)?);
            }
        }
    }
    let names: Vec<&'static str> = peers.iter().map(|peer| peer.name).collect();
    let row = |(scenario, costs): (&Scenario, &Vec<Vec<Cost>>)| Row {
        name: scenario.name.into(),
        values: costs.iter().map(|costs| costs.iter().map(|cost| cost.cpu_us).collect()).collect(),
    };
    let mut tables = vec![
        Table {
            title: "CPU time of the proxy per request, in microseconds (median of the rounds)".into(),
            names: names.clone(),
            rows: chosen().zip(&costs).map(row).collect(),
        },
        Table {
            title: "Memory of the serving process per idle keep-alive connection, in bytes".into(),
            names,
            rows: vec![
                Row { name: format!("{} connections", extent.idle), values: bytes },
                Row { name: format!("{} connections, TLS", extent.idle), values: tls_bytes },
            ],
        },
    ];
    drop(peers);
    if extent.only.is_empty() {
        tables.push(cards()?);
    }
    Ok(tables)
}

fn start(cpu: usize, origin: &Origin, extent: &Extent) -> Result<Vec<Peer>, String> {
    let origins = origin.addresses();
    let mut peers = vec![Peer::ounce("ounce", "auto", None, cpu, origins)?];
    if let Some(other) = &extent.other {
        peers.push(Peer::ounce("ounce, other", "auto", Some(other), cpu, origins)?);
    }
    if extent.epoll {
        peers.push(Peer::ounce("ounce, epoll", "epoll", None, cpu, origins)?);
    }
    peers.push(Peer::nginx(cpu, origins)?);
    peers.push(Peer::haproxy(cpu, origins)?);
    Ok(peers)
}

/// The peers with their costs, another one first in each round.
fn turns<'a>(
    peers: &'a [Peer],
    costs: &'a mut [Vec<Cost>],
    round: u32,
) -> impl Iterator<Item = (&'a Peer, &'a mut Vec<Cost>)> {
    let mut turns: Vec<_> = peers.iter().zip(costs).collect();
    let first = round as usize % turns.len().max(1);
    turns.rotate_left(first);
    turns.into_iter()
}
