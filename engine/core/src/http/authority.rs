//! A host and perhaps a port: the value of Host, and the authority of a request target (RFC 3986 3.2).

use super::octets::{self, NOT_HOST, PERCENT};
use std::net::Ipv6Addr;

/// `host` or `host:port`, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets. Never empty.
    pub host: &'a [u8],
    /// The port, unless none was given or it was left empty.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses an authority without user information (which RFC 9110 4.2.4 has recipients treat as an error:
    /// it is there to disguise the host). An empty host is one too (RFC 9110 4.2.1).
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Authority<'a>> {
        let (host, rest) = if text.first() == Some(&b'[') {
            let (host, rest) = text.split_at(memchr::memchr(b']', text)? + 1);
            let address = std::str::from_utf8(&host[1..host.len() - 1]).ok()?;
            address.parse::<Ipv6Addr>().ok()?;
            (host, rest)
        } else {
            let (host, rest) = text.split_at(memchr::memchr(b':', text).unwrap_or(text.len()));
            let seen = octets::union(host);
            if host.is_empty()
                || seen & NOT_HOST != 0
                || (seen & PERCENT != 0 && !octets::percent_is_whole(host))
            {
                return None;
            }
            (host, rest)
        };
        let port = match rest {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        Some(Authority { host, port })
    }

    /// Whether two authorities name the same place, where a missing port is `default`.
    #[must_use]
    pub fn agrees(&self, other: &Authority<'_>, default: Option<u16>) -> bool {
        self.host.eq_ignore_ascii_case(other.host) && self.port.or(default) == other.port.or(default)
    }
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    let number = digits.iter().try_fold(0u32, |number, &byte| {
        byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
    })?;
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_authorities() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("a_b.example", "a_b.example", None),
            ("192.0.2.1:65535", "192.0.2.1", Some(65535)),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[::ffff:192.0.2.1]:443", "[::ffff:192.0.2.1]", Some(443)),
            ("caf%C3%A9.example", "caf%C3%A9.example", None),
        ] {
            let found = Authority::parse(text.as_bytes());
            assert_eq!(found, Some(Authority { host: host.as_bytes(), port }), "{text}");
        }
    }

    #[test]
    fn malformed_authorities() {
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "user@host",
            "user:pw@host",
            "a:b",
            "a:65536",
            "a:000080",
            "a:-1",
            "a:8 0",
            "a:80:80",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:x",
            "[]",
            "[v1.x]",
            "[fe80::1%25eth0]",
            "a%2",
            "a%zz",
            "a\tb",
            "a\u{e9}",
            "a,b\\",
            "a\"b",
            "<a>",
            "a[b]",
            "{a}",
            "a|b",
            "a^b",
            "a`b",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn default_ports_count_as_given() {
        let parse = |text: &'static str| Authority::parse(text.as_bytes()).expect("well-formed");
        assert!(parse("A.example").agrees(&parse("a.EXAMPLE:80"), Some(80)));
        assert!(parse("a:443").agrees(&parse("a"), Some(443)));
        assert!(!parse("a:443").agrees(&parse("a"), Some(80)));
        assert!(!parse("a").agrees(&parse("b"), Some(80)));
        assert!(!parse("a:1").agrees(&parse("a"), None));
    }
}
