//! Files of lines: what `-file` and `-filewatch` name, read from their bytes.
//!
//! The configuration and the workers read them with the same functions, so that a file that was found good once is good
//! everywhere.

use ipnet::{IpNet, Ipv4Net};
use std::fmt;
use std::net::IpAddr;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; `None` if it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong there.
    pub text: String,
}

impl Fault {
    /// Something is wrong with a line.
    #[must_use]
    pub fn at(line: usize, text: impl Into<String>) -> Fault {
        Fault { line: Some(line), text: text.into() }
    }
}

/// As it follows a file's name: `:LINE: TEXT`.
impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, ":{line}: {}", self.text),
            None => write!(out, ": {}", self.text),
        }
    }
}

/// The lines of a file with their numbers; empty lines and those that start with `#` are left out.
///
/// # Errors
/// That it is no text.
pub fn lines(bytes: &[u8]) -> Result<Vec<(usize, &str)>, Fault> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Fault::at(line, "not UTF-8 text")
    })?;
    let lines = text.lines().map(str::trim).enumerate();
    let kept = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    Ok(kept.map(|(index, line)| (index + 1, line)).collect())
}

/// Networks, one a line, in quotes or not; `#` starts a comment.
///
/// # Errors
/// Each line that is no network.
pub fn networks(bytes: &[u8]) -> Result<Vec<IpNet>, Vec<Fault>> {
    let (mut networks, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in lines(bytes).map_err(|fault| vec![fault])? {
        let bare = line.split('#').next().unwrap_or("").trim();
        let bare = bare.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(bare);
        match network(bare) {
            Some(network) => networks.push(network),
            None => faults.push(Fault::at(number, format!("{bare} is no network"))),
        }
    }
    if faults.is_empty() { Ok(networks) } else { Err(faults) }
}

/// A network in CIDR form, or one address. What is IPv4 written as IPv6 becomes IPv4, as clients' addresses do.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network.trunc(),
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    if let IpNet::V6(six) = network
        && six.prefix_len() >= 96
        && let Some(four) = six.addr().to_ipv4_mapped()
    {
        return Ipv4Net::new(four, six.prefix_len() - 96).ok().map(IpNet::V4);
    }
    Some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_cidr_or_single_addresses() {
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ] {
            assert_eq!(network(text).map(|n| n.to_string()).as_deref(), Some(read), "{text}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "host", "10.0.0.0/255.0.0.0", " 10.0.0.1"] {
            assert_eq!(network(text), None, "{text}");
        }
    }

    #[test]
    fn every_wrong_line_is_named() {
        let faults = networks(b"# nets\n10.0.0.0/8 # ours\nx\n\n\"::1\"\n10.0.0.0/40\n").unwrap_err();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(shown, [":3: x is no network", ":6: 10.0.0.0/40 is no network"]);
        assert_eq!(networks(b"10.0.0.0/8\n\xff\n").unwrap_err()[0].to_string(), ":2: not UTF-8 text");
        assert_eq!(networks(b""), Ok(Vec::new()));
    }
}
