//! Which switches of protocol are passed through (RFC 9110 7.8): WebSocket, and nothing else.
//!
//! A protocol that is passed makes the connection a tunnel, on which no check of ours holds any more. `h2c`
//! is the known way to turn that into a way around a proxy's rules, so what is not named here is removed from
//! the request, and the backend never sees the offer.

use super::fields::{Fields, Known};
use super::head::{Framing, RequestHead, ResponseHead};
use super::method::Method;

/// Whether a request offers a switch that is passed on: GET, no body, `Upgrade: websocket` and nothing
/// besides.
pub(crate) fn is_offer(bytes: &[u8], head: &RequestHead) -> bool {
    head.hop.upgrade
        && head.method == Method::Get
        && matches!(head.framing, Framing::None | Framing::Length(0))
        && is_websocket(bytes, &head.fields)
}

/// Whether a 101 response accepts what was offered.
pub(crate) fn is_accept(bytes: &[u8], head: &ResponseHead) -> bool {
    head.hop.upgrade && is_websocket(bytes, &head.fields)
}

fn is_websocket(bytes: &[u8], fields: &Fields) -> bool {
    let mut upgrades = fields.all(Known::Upgrade);
    let first = upgrades.next();
    upgrades.next().is_none()
        && first.is_some_and(|field| field.value.of(bytes).eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use crate::http::h1::parse;
    use crate::http::head::{RequestHead, ResponseHead};
    use crate::http::rules::{ResponseRules, Rules};

    fn offers(text: &str) -> bool {
        let mut head = RequestHead::default();
        assert_eq!(parse::request(text.as_bytes(), &Rules::default(), &mut head), Ok(()), "{text}");
        head.hop.upgrade
    }

    #[test]
    fn websocket_is_passed() {
        assert!(offers(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
        ));
    }

    #[test]
    fn nothing_else_is() {
        for request in [
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n",
        ] {
            assert!(!offers(request), "{request}");
        }
    }

    #[test]
    fn a_switch_nobody_asked_for_is_a_fault() {
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let mut head = ResponseHead::default();
        let rules = ResponseRules { upgrade_offered: true, ..ResponseRules::default() };
        assert!(parse::response(switch, &rules, &mut head).is_ok() && head.hop.upgrade);
        assert!(parse::response(switch, &ResponseRules::default(), &mut head).is_err());
        let other = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
        assert!(parse::response(other, &rules, &mut head).is_err());
    }
}
