//! Where a request came from first, as proxies tell it that are trusted (`ForwardedHeader`, `TrustedIP`).

use super::acl::Networks;
use super::request::Request;
use crate::Peer;
use std::net::{IpAddr, SocketAddr};

/// What one section of the configuration says; what is `None` is as further out.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    header: Option<Box<str>>,
    trusted: Option<Networks>,
}

impl Proxies {
    pub(crate) fn new(header: Option<&str>, trusted: Option<Networks>) -> Proxies {
        Proxies { header: header.map(Into::into), trusted }
    }

    pub(crate) fn has_trusted(&self) -> bool {
        self.trusted.is_some()
    }
}

/// Whose word is taken, and in which header field.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    header: &'a str,
    trusted: &'a Networks,
}

impl<'a> Trust<'a> {
    /// What holds in these sections, the innermost first; `None` where nobody is trusted.
    pub(crate) fn of(sections: [Option<&'a Proxies>; 3]) -> Option<Trust<'a>> {
        let mut sections = sections.into_iter().flatten();
        let trusted = sections.clone().find_map(|section| section.trusted.as_ref())?;
        let header = sections.find_map(|section| section.header.as_deref()).unwrap_or("X-Forwarded-For");
        Some(Trust { header, trusted })
    }

    /// The first address from the right that is not that of a trusted proxy. The peer itself is the rightmost: one that
    /// is not trusted may say what it likes. A client over a UNIX socket is a proxy of our own.
    ///
    /// What is no address ends the search: nothing left of it can be known.
    pub(crate) fn originator(&self, request: &Request<'_>) -> Option<IpAddr> {
        let mut nearest = request.peer.ip();
        if nearest.is_some_and(|peer| !self.trusted.contains(peer)) {
            return nearest;
        }
        let fields = request.head.fields.iter().rev();
        let named =
            fields.filter(|field| field.name.of(request.bytes).eq_ignore_ascii_case(self.header.as_bytes()));
        for element in named.flat_map(|field| field.value.of(request.bytes).rsplit(|&byte| byte == b',')) {
            if element.trim_ascii().is_empty() {
                continue;
            }
            let Some(address) = address(element.trim_ascii()) else { break };
            nearest = Some(address);
            if !self.trusted.contains(address) {
                break;
            }
        }
        nearest
    }
}

/// An address, with or without a port, IPv6 with or without brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address =
        bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

impl Request<'_> {
    /// Where the request came from first: the peer, unless that is a proxy that is trusted.
    pub(crate) fn originator(&self) -> Option<IpAddr> {
        match &self.trust {
            Some(trust) => trust.originator(self),
            None => self.peer.ip(),
        }
    }

    /// The same as a peer, for logs.
    pub(crate) fn origin(&self) -> Peer {
        self.originator().map_or(self.peer, |address| Peer::Inet(SocketAddr::new(address, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::acl::Acl;
    use crate::route::sample::Sample;
    use std::sync::Arc;

    fn found(lines: &[&str], peer: &str) -> String {
        let networks = |texts: &[&str]| {
            let networks: Vec<_> = texts.iter().map(|text| text.parse().expect("a network")).collect();
            Some(Networks::Fixed(Arc::new(Acl::new(&networks))))
        };
        let outer = Proxies::new(Some("X-Real"), networks(&["127.0.0.0/8"]));
        let inner = Proxies::new(None, networks(&["10.0.0.0/8", "2001:db8::/32"]));
        let sample = match peer {
            "unix" => Sample::get("/", lines).over_unix(),
            peer => Sample::get("/", lines).from(peer),
        };
        let trust = Trust::of([None, Some(&inner), Some(&outer)]).expect("somebody is trusted");
        let request = Request { trust: Some(trust), ..sample.request() };
        request.originator().map_or("nobody".to_owned(), |address| address.to_string())
    }

    #[test]
    fn trusted_proxies_are_skipped_from_right_to_left() {
        for (value, peer, expected) in [
            ("192.0.2.1", "10.0.0.9:1", "192.0.2.1"),
            ("192.0.2.1, 192.0.2.2, 10.1.1.1", "10.0.0.9:1", "192.0.2.2"),
            ("192.0.2.1,10.1.1.1 ,, 10.2.2.2", "[::ffff:10.0.0.9]:1", "192.0.2.1"),
            ("10.1.1.1, 10.2.2.2", "10.0.0.9:1", "10.1.1.1"),
            ("192.0.2.1, unknown, 10.2.2.2", "10.0.0.9:1", "10.2.2.2"),
            ("192.0.2.1:99", "10.0.0.9:1", "192.0.2.1"),
            ("[2001:db9::1]:99", "[2001:db8::1]:1", "2001:db9::1"),
            ("[2001:db9::1]", "10.0.0.9:1", "2001:db9::1"),
            ("192.0.2.1", "192.0.2.99:1", "192.0.2.99"),
            ("", "10.0.0.9:1", "10.0.0.9"),
            ("192.0.2.1", "unix", "192.0.2.1"),
            ("_hidden", "unix", "nobody"),
        ] {
            let line = format!("X-Real: {value}");
            assert_eq!(found(&["Host: h", &line], peer), expected, "{value} from {peer}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = ["Host: h", "X-Real: 192.0.2.1", "x-real: 10.1.1.1"];
        assert_eq!(found(&lines, "10.0.0.9:1"), "192.0.2.1");
        assert_eq!(found(&["Host: h", "X-Forwarded-For: 192.0.2.1"], "10.0.0.9:1"), "10.0.0.9");
    }
}
