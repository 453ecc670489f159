//! What a list of 100,000 networks costs: to load, and to ask.
//!
//! `cargo bench -p ounce-perf --bench acl` fails if loading takes a second or asking 200 ns.

use nix::sys::resource::{UsageWho, getrusage};
use ounce_conf::model::{Condition, Networks};
use ounce_conf::{Options, load_text};
use ounce_core::route::acl::Acl;
use std::hint::black_box;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

const NETWORKS: usize = 100_000;
const LOAD_MS_MAX: u128 = 1000;
const ASK_NS_MAX: f64 = 200.0;
const LOADS: u32 = 10;
const ROUNDS: u32 = 200;

/// What this thread has cost so far: others may use the machine as well. The kernel counts in steps of some milliseconds,
/// so what is measured has to be long.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("the kernel counts");
    let part = |time: nix::sys::time::TimeVal| {
        Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs())
    };
    part(usage.user_time()) + part(usage.system_time())
}

/// Numbers without a pattern (xorshift), the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// An address of the usual lengths of prefixes.
    fn network(&mut self, six: bool) -> String {
        let length = 16 + self.next() % 17;
        if six {
            let bits = 0b001 << 125 | u128::from(self.next()) << 61 | u128::from(self.next()) >> 3;
            format!("{}/{}", Ipv6Addr::from_bits(bits), length + 16)
        } else {
            format!("{}/{length}", Ipv4Addr::from_bits(self.next() as u32))
        }
    }
}

fn main() -> ExitCode {
    let mut good = true;
    for six in [false, true] {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        for _ in 0..NETWORKS {
            writeln!(file, "{}", numbers.network(six)).expect("a line");
        }
        let path = file.path().display();
        let text = format!("ListenHTTP\nPort 80\nService\nACL -file \"{path}\"\nError 404\nEnd\nEnd\n");
        let (start, mut acl) = (cpu(), None);
        for _ in 0..LOADS {
            let loaded =
                load_text("bench", &text, &Options::default()).unwrap_or_else(|errors| panic!("{errors:?}"));
            let Condition::All(conditions) = &loaded.config.listeners[0].services[0].condition else {
                panic!()
            };
            let [Condition::Acl(Networks::Listed(networks))] = &conditions[..] else { panic!("no ACL") };
            assert_eq!(networks.len(), NETWORKS);
            acl = Some(Acl::new(networks));
        }
        let load_ms = ((cpu() - start) / LOADS).as_millis();
        let acl = acl.expect("a list");
        let mut address = || -> IpAddr {
            match numbers.network(six).split('/').next().map(str::parse) {
                Some(Ok(address)) => address,
                _ => panic!("no address"),
            }
        };
        let addresses: Vec<IpAddr> = (0..50_000).map(|_| address()).collect();
        let (start, mut held) = (cpu(), 0);
        for _ in 0..ROUNDS {
            held = addresses.iter().filter(|&&address| acl.contains(black_box(address))).count();
        }
        let ask_ns = (cpu() - start).as_nanos() as f64 / f64::from(ROUNDS) / addresses.len() as f64;
        let family = if six { "IPv6" } else { "IPv4" };
        println!(
            "{family}: {NETWORKS} networks loaded in {load_ms} ms, asked in {ask_ns:.0} ns; {held} of 50000 held"
        );
        good &= load_ms < LOAD_MS_MAX && ask_ns < ASK_NS_MAX;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
