//! resolv.conf(5): whom to ask for names.
//!
//! `nameserver` also takes a port, as in `127.0.0.1:8600` or `[::1]:8600`: what answers for services inside a site is
//! often no root's process. Words and options that say nothing to us are passed over, as libraries do.

use crate::model::NameServers;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

/// Most name servers and most domains to search.
const MOST: usize = 8;
/// The port of name servers.
const PORT: u16 = 53;
/// Longest wait for an answer, and most rounds: resolv.conf(5) has the same.
const MAXIMA: (u64, u8) = (30, 5);

/// Something that is wrong, and where.
pub(crate) type Fault = (Range<usize>, String);

/// Reads text in the form of resolv.conf; also tells what is wrong with it.
pub(crate) fn parse(text: &str) -> (NameServers, Vec<Fault>) {
    let mut found = NameServers {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        timeout: Duration::from_secs(5),
        attempts: 2,
        tcp: false,
    };
    let mut faults = Vec::new();
    for line in text.lines() {
        let mut words = line.split(['#', ';']).next().unwrap_or("").split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => match words.next().map(|word| (word, server(word))) {
                Some((_, Some(server))) if found.servers.len() < MOST => found.servers.push(server),
                Some((word, None)) => {
                    faults.push((place(text, word), format!("{word} is no address of a name server")));
                }
                _ => {}
            },
            // The last of the two holds.
            Some("domain") => found.search = words.take(1).map(str::to_owned).collect(),
            Some("search") => found.search = words.take(MOST).map(str::to_owned).collect(),
            Some("options") => words.for_each(|word| option(word, &mut found)),
            _ => {}
        }
    }
    if found.servers.is_empty() {
        found.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    }
    (found, faults)
}

/// What this machine's resolv.conf says; the server on this machine if there is none.
pub fn system_name_servers() -> NameServers {
    let text = crate::source::read_regular("/etc/resolv.conf".as_ref()).unwrap_or_default();
    parse(&String::from_utf8_lossy(&text)).0
}

fn server(word: &str) -> Option<SocketAddr> {
    let bare = || Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT));
    bare().or_else(|| word.parse().ok()).filter(|server| server.port() != 0)
}

fn option(word: &str, found: &mut NameServers) {
    let (name, value) = word.split_once(':').unwrap_or((word, ""));
    let number = value.parse::<u64>().ok();
    match (name, number) {
        ("ndots", Some(number)) => found.ndots = number.min(15) as u8,
        ("timeout", Some(number)) => found.timeout = Duration::from_secs(number.clamp(1, MAXIMA.0)),
        ("attempts", Some(number)) => found.attempts = number.clamp(1, u64::from(MAXIMA.1)) as u8,
        ("use-vc", _) => found.tcp = true,
        _ => {}
    }
}

/// Where a part of `text` is in it.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_have_ports_and_what_is_unknown_is_passed_over() {
        let text = "# c\nnameserver 192.0.2.1 # x\nnameserver ::1\nnameserver 127.0.0.1:8600\n\
                    nameserver [::1]:8600\nsortlist 1\noptions ndots:3 timeout:99 attempts:0 use-vc rotate odd:x\n\
                    domain a.example\nsearch b.example c.example\n";
        let (found, faults) = parse(text);
        let servers: Vec<String> = found.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[::1]:53", "127.0.0.1:8600", "[::1]:8600"]);
        assert_eq!((found.ndots, found.timeout.as_secs(), found.attempts, found.tcp), (3, 30, 1, true));
        assert_eq!(found.search, ["b.example", "c.example"]);
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn what_is_no_address_is_told_with_its_place_and_without_servers_it_is_this_machine() {
        let (found, faults) = parse("nameserver ns.example\nnameserver\nnameserver 1.2.3.4:0\n");
        assert_eq!(found.servers, [SocketAddr::from((Ipv4Addr::LOCALHOST, 53))]);
        assert_eq!(faults.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>(), [11..21, 44..53]);
        assert_eq!(parse(&"nameserver 192.0.2.1\n".repeat(100)).0.servers.len(), MOST);
    }
}
