//! Where requests came from before the proxies in front of us (`TrustedIP`, `ForwardedHeader`). The peer is 192.0.2.7.

use crate::world::{World, config};

const TRUSTED: &str = "TrustedIP\n\"192.0.2.0/24\"\nEnd";

/// What the backend hears in X-Seen, or the status that the client got instead; and the line in the log.
fn shown(global: &str, service: &str, forwarded: &str) -> (String, String) {
    let mut w = World::new(&format!("{global}\n{}", config("", service, 1)));
    let client = w.client();
    w.say(client, format!("GET / HTTP/1.1\r\nHost: h\r\n{forwarded}\r\n\r\n"));
    let refused = w.heard(client);
    if let Some(status) = refused.strip_prefix("HTTP/1.1 ") {
        return (status[..3].to_owned(), w.requests());
    }
    let upstream = w.connected();
    let heard = w.heard(upstream);
    w.say(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let seen = heard.lines().find_map(|line| line.strip_prefix("X-Seen: ")).unwrap_or("nothing");
    (seen.to_owned(), w.requests())
}

#[test]
fn both_addresses_can_be_named() {
    let rule = "SetHeader \"X-Seen: %[remoteip] %[remoteip 0] %[remoteip 1]\"";
    let forwarded = "X-Forwarded-For: 198.51.100.1, 203.0.113.5, 192.0.2.200";
    let (seen, log) = shown(TRUSTED, rule, forwarded);
    assert_eq!(seen, "192.0.2.7 192.0.2.7 203.0.113.5");
    assert!(log.starts_with("203.0.113.5 "), "{log}");
    let (seen, log) = shown("", rule, forwarded);
    assert_eq!(seen, "192.0.2.7 192.0.2.7 192.0.2.7", "nobody is trusted");
    assert!(log.starts_with("192.0.2.7 "), "{log}");
}

/// A peer that is not trusted is the origin, whatever it says.
#[test]
fn nobody_believes_a_stranger() {
    let global = "TrustedIP\n\"10.0.0.0/8\"\nEnd";
    let (seen, log) = shown(global, "SetHeader \"X-Seen: %[remoteip 1]\"", "X-Forwarded-For: 203.0.113.5");
    assert_eq!(seen, "192.0.2.7");
    assert!(log.starts_with("192.0.2.7 "), "{log}");
}

#[test]
fn acl_forwarded_asks_about_the_origin() {
    let service = "ACL -forwarded\n\"203.0.113.0/24\"\nEnd\nNot ACL\n\"203.0.113.0/24\"\nEnd\nSetHeader \"X-Seen: taken\"";
    assert_eq!(shown(TRUSTED, service, "X-Forwarded-For: 203.0.113.5").0, "taken");
    assert_eq!(shown(TRUSTED, service, "X-Forwarded-For: 203.0.113.5, 198.51.100.1").0, "503");
    assert_eq!(shown("", service, "X-Forwarded-For: 203.0.113.5").0, "503");
}

/// What a service says holds in its conditions, rules and log lines; what it does not say is as further out.
#[test]
fn services_may_trust_others() {
    let service = "ForwardedHeader \"X-Real\"\nACL -forwarded\n\"203.0.113.9\"\nEnd\nSetHeader \"X-Seen: %[remoteip 1]\"";
    let forwarded = "X-Forwarded-For: 203.0.113.5\r\nX-Real: 203.0.113.9";
    let (seen, log) = shown(TRUSTED, service, forwarded);
    assert_eq!(seen, "203.0.113.9");
    assert!(log.starts_with("203.0.113.9 "), "{log}");
    let nobody = "TrustedIP\nEnd\nSetHeader \"X-Seen: %[remoteip 1]\"";
    assert_eq!(shown(TRUSTED, nobody, forwarded).0, "192.0.2.7");
}
