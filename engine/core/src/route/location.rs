//! `RewriteLocation` and `RewriteDestination`: URLs that name us for the backend and the backend for us.
//!
//! A location is rewritten only if it names the backend's address and port, or (value 1) this listener or
//! the host that the request asked for, with another port or scheme. A foreign host is never touched, and no
//! name is ever resolved: names other than the request's own compare as foreign.

use super::expand::split_port;
use ounce_conf::model::{Protocol, RewriteLocation};
use std::net::{IpAddr, SocketAddr};

/// What a location is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Which locations are rewritten.
    pub mode: RewriteLocation,
    /// What is spoken on the listener.
    pub protocol: Protocol,
    /// The Host value of the request, port included.
    pub host: &'a [u8],
    /// The listener's address, or the local address of the client's connection where that is known.
    pub listener: Option<SocketAddr>,
    /// The address of the backend that answered; UNIX backends have none, and nothing is rewritten.
    pub backend: Option<SocketAddr>,
}

/// The value to send instead of this Location or Content-Location, if it is to be rewritten.
pub fn rewrite(value: &[u8], scene: &Scene<'_>) -> Option<Vec<u8>> {
    let backend = scene.backend?;
    if scene.mode == RewriteLocation::Off || scene.host.is_empty() {
        return None;
    }
    let url = Url::parse(value)?;
    let ours = names_backend(&url, backend) || (scene.mode == RewriteLocation::On && names_us(&url, scene));
    ours.then(|| join(scheme_of(scene.protocol), scene.host, url.path))
}

/// The value to send to `backend` instead of this Destination (RFC 4918 10.3), if it is an absolute URL.
/// `tls`: the backend is spoken to over TLS.
pub fn destination(value: &[u8], backend: SocketAddr, tls: bool) -> Option<Vec<u8>> {
    let url = Url::parse(value)?;
    Some(join(if tls { "https" } else { "http" }, backend.to_string().as_bytes(), url.path))
}

fn join(scheme: &str, authority: &[u8], path: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(scheme.len() + authority.len() + path.len() + 4);
    joined.extend_from_slice(scheme.as_bytes());
    joined.extend_from_slice(b"://");
    joined.extend_from_slice(authority);
    if path.first() != Some(&b'/') {
        joined.push(b'/');
    }
    joined.extend_from_slice(path);
    joined
}

fn scheme_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    }
}

fn names_backend(url: &Url<'_>, backend: SocketAddr) -> bool {
    url.address() == Some(backend.ip().to_canonical()) && url.port == backend.port()
}

fn names_us(url: &Url<'_>, scene: &Scene<'_>) -> bool {
    let same_host = url.name.eq_ignore_ascii_case(split_port(scene.host).0)
        || scene.listener.is_some_and(|listener| url.address() == Some(listener.ip().to_canonical()));
    let other_port = scene.listener.is_some_and(|listener| listener.port() != url.port);
    same_host && (other_port || url.scheme != scheme_of(scene.protocol))
}

/// An absolute http or https URL.
struct Url<'a> {
    scheme: &'static str,
    /// Host name or address, IPv6 in its brackets.
    name: &'a [u8],
    port: u16,
    /// What follows the authority: path, query and fragment.
    path: &'a [u8],
}

impl<'a> Url<'a> {
    fn parse(value: &'a [u8]) -> Option<Url<'a>> {
        let (scheme, default_port, rest) =
            [("http", 80), ("https", 443)].into_iter().find_map(|(scheme, port)| {
                let (head, rest) = value.split_at_checked(scheme.len())?;
                let rest = rest.strip_prefix(b"://")?;
                head.eq_ignore_ascii_case(scheme.as_bytes()).then_some((scheme, port, rest))
            })?;
        let authority_end =
            rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        // User information or a backslash: browsers and servers disagree where such a host ends.
        if authority.is_empty() || authority.iter().any(|byte| matches!(byte, b'@' | b'\\')) {
            return None;
        }
        let (name, port) = split_port(authority);
        let port = match port {
            b"" | b":" => default_port,
            digits => std::str::from_utf8(&digits[1..]).ok()?.parse().ok()?,
        };
        Some(Url { scheme, name, port, path })
    }

    /// The host, if it is an address and not a name.
    fn address(&self) -> Option<IpAddr> {
        let text = std::str::from_utf8(self.name).ok()?;
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(mode: RewriteLocation, protocol: Protocol) -> Scene<'static> {
        let port = if protocol == Protocol::Http { "192.0.2.1:80" } else { "192.0.2.1:443" };
        Scene {
            mode,
            protocol,
            host: b"www.example.com",
            listener: Some(port.parse().expect("an address")),
            backend: Some("10.0.0.5:8080".parse().expect("an address")),
        }
    }

    fn rewritten(value: &str, scene: &Scene<'_>) -> Option<String> {
        rewrite(value.as_bytes(), scene).map(|value| String::from_utf8(value).expect("text"))
    }

    #[test]
    fn locations_that_name_the_backend_become_ours() {
        for mode in [RewriteLocation::On, RewriteLocation::BackendOnly] {
            let scene = scene(mode, Protocol::Https);
            for (value, expected) in [
                ("http://10.0.0.5:8080/a?b#c", "https://www.example.com/a?b#c"),
                ("HTTP://10.0.0.5:8080", "https://www.example.com/"),
                ("http://10.0.0.5:8080?q", "https://www.example.com/?q"),
                ("https://10.0.0.5:8080/x", "https://www.example.com/x"),
            ] {
                assert_eq!(rewritten(value, &scene).as_deref(), Some(expected), "{value}");
            }
            assert_eq!(rewritten("http://10.0.0.5/a", &scene), None, "another port of that machine");
        }
    }

    /// The complaint of those who migrated: the application behind an HTTPS listener redirects to http.
    #[test]
    fn locations_that_name_us_with_another_scheme_or_port_become_ours() {
        let scene = scene(RewriteLocation::On, Protocol::Https);
        for (value, expected) in [
            ("http://www.example.com/a", "https://www.example.com/a"),
            ("http://WWW.example.COM/a", "https://www.example.com/a"),
            ("https://www.example.com:8443/a", "https://www.example.com/a"),
            ("http://192.0.2.1/a", "https://www.example.com/a"),
            ("http://192.0.2.1:8080/a", "https://www.example.com/a"),
        ] {
            assert_eq!(rewritten(value, &scene).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(rewritten("https://www.example.com/a", &scene), None, "it is right as it is");
        let backend_only = Scene { mode: RewriteLocation::BackendOnly, ..scene };
        assert_eq!(rewritten("http://www.example.com/a", &backend_only), None);
    }

    /// What Pound 4.13 and later get wrong.
    #[test]
    fn foreign_hosts_are_never_rewritten() {
        let scene = scene(RewriteLocation::On, Protocol::Http);
        for value in [
            "http://other.example/a",
            "https://www.example.com.evil.example/a",
            "https://www.example.com@evil.example/a",
            "http://www.example.com\\@evil.example/",
            "https://10.0.0.6:8080/a",
            "//www.example.com/a",
            "/relative",
            "ftp://www.example.com/a",
            "http:///a",
            "http://www.example.com:99999/a",
            "http://www.example.com:x/a",
            "",
        ] {
            assert_eq!(rewritten(value, &scene), None, "{value}");
        }
    }

    #[test]
    fn the_host_keeps_its_port() {
        let scene = Scene { host: b"www.example.com:8080", ..scene(RewriteLocation::On, Protocol::Http) };
        assert_eq!(
            rewritten("https://www.example.com/a", &scene).as_deref(),
            Some("http://www.example.com:8080/a")
        );
    }

    #[test]
    fn ipv6_and_mapped_addresses_compare() {
        let scene = Scene {
            backend: Some("[2001:db8::5]:8080".parse().expect("an address")),
            listener: Some("[::ffff:192.0.2.1]:80".parse().expect("an address")),
            ..scene(RewriteLocation::On, Protocol::Http)
        };
        assert!(rewritten("http://[2001:db8:0::5]:8080/", &scene).is_some());
        assert!(rewritten("https://192.0.2.1/", &scene).is_some());
        assert!(rewritten("http://[2001:db8::6]:8080/", &scene).is_none());
    }

    #[test]
    fn nothing_is_rewritten_without_need() {
        let off = scene(RewriteLocation::Off, Protocol::Http);
        let hostless = Scene { host: b"", ..scene(RewriteLocation::On, Protocol::Http) };
        let unix = Scene { backend: None, ..scene(RewriteLocation::On, Protocol::Http) };
        for scene in [off, hostless, unix] {
            assert_eq!(rewritten("http://10.0.0.5:8080/", &scene), None);
        }
    }

    #[test]
    fn destinations_name_the_backend() {
        let backend = "10.0.0.5:8080".parse().expect("an address");
        assert_eq!(
            destination(b"https://www.example.com/dav/a%20b", backend, false).as_deref(),
            Some(&b"http://10.0.0.5:8080/dav/a%20b"[..])
        );
        assert_eq!(destination(b"/dav/a", backend, false), None);
    }
}
