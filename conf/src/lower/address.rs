//! Addresses: in digits, by name, as the path of a socket.
//!
//! A name stands for its first IPv4 address, or its first IPv6 address when it has none of IPv4: the order in
//! which the system lists them changes with the machine's own addresses, and a configuration should not.

use super::Lowering;
use crate::diag::Problem;
use crate::model::Listen;
use crate::source::Span;
use crate::tree::Statement;
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Bytes of a socket's path that fit `sockaddr_un`, less its final zero.
const SOCKET_PATH_MAX: usize = 107;

/// Which addresses of a name are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    Inet,
    Inet6,
    Unix,
}

/// TCP ports by name, read from `/etc/services` when the first one is asked for.
#[derive(Default)]
pub(super) struct Services {
    ports: Option<HashMap<String, u16>>,
}

impl Services {
    fn port(&mut self, name: &str) -> Option<u16> {
        let ports = self.ports.get_or_insert_with(|| {
            let text = fs::read_to_string("/etc/services").unwrap_or_default();
            let mut ports = parse_services(&text);
            // Containers often come without the file, and these two are all that most configurations name.
            ports.entry("http".to_owned()).or_insert(80);
            ports.entry("https".to_owned()).or_insert(443);
            ports
        });
        ports.get(name).copied()
    }
}

/// The TCP lines of services(5): name, port/protocol, aliases. The first line of a name holds.
fn parse_services(text: &str) -> HashMap<String, u16> {
    let mut ports = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or("").split_ascii_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
        let Some(port) = port.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else { continue };
        for name in std::iter::once(name).chain(words) {
            ports.entry(name.to_owned()).or_insert(port);
        }
    }
    ports
}

impl Lowering<'_> {
    /// The port that a `Port` names; none when it is unknown, which is reported.
    pub(super) fn port(&mut self, statement: &Statement) -> Option<u16> {
        let index = statement.values.len().saturating_sub(1);
        if let Some(number) = statement.number(index) {
            return u16::try_from(number).ok();
        }
        let name = statement.text(index)?;
        let port = self.services.port(name);
        if port.is_none() {
            let problem =
                Problem::error(statement.place(index), format!("/etc/services knows no port for {name}"));
            self.findings.push(problem.expected("a port (1 to 65535) or the name of a service"));
        }
        port
    }

    /// Looks a name up. An address in digits is its own answer.
    pub(super) fn look_up(&mut self, name: &str, port: u16, family: Family) -> Result<SocketAddr, String> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, port));
        }
        let found = self.names.look_up(name)?;
        let four = found.iter().find(|address| address.is_ipv4());
        let six = found.iter().find(|address| address.is_ipv6());
        let chosen = match family {
            Family::Any => four.or(six),
            Family::Inet => four,
            Family::Inet6 => six,
            Family::Unix => None,
        };
        let chosen = chosen.map(|address| SocketAddr::new(*address, port));
        chosen.ok_or_else(|| "it has no address of this family".to_owned())
    }

    /// A path for a UNIX socket, checked for its length.
    pub(super) fn socket_path(&mut self, path: &str, place: Span) -> PathBuf {
        if path.is_empty() || path.len() > SOCKET_PATH_MAX {
            let problem = Problem::error(place, "this cannot be the path of a UNIX socket");
            self.findings.push(problem.expected(format!("a path of 1 to {SOCKET_PATH_MAX} bytes")));
        }
        PathBuf::from(path)
    }

    /// Notes where a listener listens. Two on one address would share its connections at random.
    pub(super) fn listens(&mut self, listen: &Listen, keyword: Span) {
        let Some((_, first)) = self.listening.iter().find(|(other, _)| other == listen) else {
            self.listening.push((listen.clone(), keyword));
            return;
        };
        let shown = match listen {
            Listen::Inet(address) => address.to_string(),
            Listen::Unix(path) | Listen::Received(path) => path.display().to_string(),
        };
        let problem = Problem::error(keyword, format!("a second listener on {shown}"));
        self.findings.push(problem.note(*first, "the first one is here"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_with_their_aliases() {
        let ports = parse_services(
            "# c\nhttp 80/tcp www # x\nhttp 80/udp\nntp 123/udp\nalt 8080/tcp http\nbad x/tcp\n",
        );
        assert_eq!(ports.get("http"), Some(&80));
        assert_eq!(ports.get("www"), Some(&80));
        assert_eq!(ports.get("alt"), Some(&8080));
        assert_eq!((ports.get("ntp"), ports.get("bad")), (None, None));
    }
}
