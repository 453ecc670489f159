//! Lists of networks.

use super::Lowering;
use crate::diag::Problem;
use crate::source::{self, Span};
use crate::suggest;
use crate::tree::{Inner, Statement};
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;
use std::path::Path;

/// A list that conditions use by its name.
pub(super) struct Named {
    networks: Vec<IpNet>,
    place: Span,
}

impl Lowering<'_> {
    /// `ACL "name"` of the global scope.
    pub(super) fn named_acl(&mut self, statement: &Statement) {
        let networks = self.networks(statement, 1);
        let Some(name) = statement.text(0) else { return };
        let place = statement.place(0);
        if let Some(first) = self.acls.insert(name.to_owned(), Named { networks, place }) {
            let problem = Problem::error(place, format!("a second ACL \"{name}\""));
            self.findings.push(problem.note(first.place, "the first one is here"));
        }
    }

    /// The networks of a condition: a named list, a list in place, or a file.
    pub(super) fn acl(&mut self, statement: &Statement) -> Vec<IpNet> {
        let Some(name) = statement.text(0) else { return self.networks(statement, 0) };
        if let Some(named) = self.acls.get(name) {
            return named.networks.clone();
        }
        let mut problem =
            Problem::error(statement.place(0), format!("no ACL is named \"{name}\" before this line"));
        if let Some(near) = suggest::nearest(name, self.acls.keys().map(String::as_str)) {
            problem = problem.help(format!("did you mean \"{near}\"?"));
        }
        self.findings.push(problem);
        Vec::new()
    }

    /// The networks in a statement's section, or in the file that is its argument `file`.
    fn networks(&mut self, statement: &Statement, file: usize) -> Vec<IpNet> {
        if let Some(path) = statement.file(file) {
            return self.networks_of_file(path, statement.place(file));
        }
        if file > 0 && statement.text(file).is_some() {
            let problem = Problem::error(statement.place(file), "a file is named without -file");
            self.findings.push(problem.expected("-file before the file's name, or the end of the line"));
        }
        let Inner::List(items) = &statement.inner else { return Vec::new() };
        let mut networks = Vec::new();
        for (text, place) in items {
            match network(text) {
                Some(network) => networks.push(network),
                None => {
                    let problem = Problem::error(*place, format!("\"{text}\" is no network"));
                    self.findings
                        .push(problem.expected("an address, or one with a length such as 10.0.0.0/8"));
                }
            }
        }
        networks
    }

    /// A network a line, in quotes or not; `#` starts a comment.
    fn networks_of_file(&mut self, path: &Path, place: Span) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (number, line) in self.lines_of_file(path, place) {
            let bare = line.split('#').next().unwrap_or("").trim();
            let bare = bare.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(bare);
            match network(bare) {
                Some(network) => networks.push(network),
                None => self.error(place, format!("{}:{number}: {bare} is no network", path.display())),
            }
        }
        networks
    }

    /// The lines of a file of patterns or networks with their numbers; empty lines and comments are left out.
    pub(super) fn lines_of_file(&mut self, path: &Path, place: Span) -> Vec<(usize, String)> {
        let text = source::read_regular(path).map_err(|e| source::reason(&e));
        let text = text.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned()));
        match text {
            Ok(text) => {
                let lines = text.lines().map(str::trim).enumerate();
                let kept = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
                kept.map(|(index, line)| (index + 1, line.to_owned())).collect()
            }
            Err(reason) => {
                self.error(place, format!("cannot read {}: {reason}", path.display()));
                Vec::new()
            }
        }
    }
}

/// A network in CIDR form, or one address. What is IPv4 written as IPv6 becomes IPv4, as clients' addresses do.
fn network(text: &str) -> Option<IpNet> {
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
}
