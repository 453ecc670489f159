//! What ends at us: the hop-by-hop fields (RFC 9110 7.6.1) and what Connection names.

use super::Span;
use super::fields::{Field, Fields, Known};
use super::head::{Hop, Version};
use super::limits::CONNECTION_OPTIONS_MAX;
use super::octets;

/// Fields that always end here.
const ENDS_HERE: u64 = Known::Connection.bit()
    | Known::KeepAlive.bit()
    | Known::ProxyConnection.bit()
    | Known::Te.bit()
    | Known::Upgrade.bit();

/// Options that would take a field away whose absence changes what the message is, or where it goes. RFC 9110
/// 7.6.1 forbids to name fields that are meant for all recipients.
const INDISPENSABLE: u64 = Known::Host.bit() | Known::ContentLength.bit() | Known::TransferEncoding.bit();

/// What the Connection fields say besides the names they list.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

/// Reads the Connection and TE fields and marks the fields that end here. Says what is wrong with them
/// otherwise; the marks and flags are then still made as far as possible, so that a caller may be lenient.
///
/// `hop.upgrade` becomes whether Connection names `upgrade` and an Upgrade field is there; the caller narrows
/// it down.
pub(crate) fn mark(
    bytes: &[u8],
    fields: &mut Fields,
    hop: &mut Hop,
    version: Version,
) -> Result<(), &'static str> {
    if !fields.has_any(ENDS_HERE) {
        hop.close = version == Version::H10;
        return Ok(());
    }
    let mut options = Options::default();
    let mut outcome = Ok(());
    for field in fields.all(Known::Connection) {
        let value = field.value.of(bytes);
        // What nine of ten clients say.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            options.keep_alive = true;
            continue;
        }
        for option in octets::elements(value) {
            if let Err(why) = read(option, bytes, &mut options, hop) {
                outcome = Err(why);
            }
        }
    }
    // RFC 9112 9.3: close wins; without it HTTP/1.1 persists and HTTP/1.0 needs keep-alive.
    hop.close = options.close || (version == Version::H10 && !options.keep_alive);
    hop.keep_alive = options.keep_alive;
    // RFC 9110 7.8: Upgrade in HTTP/1.0 is ignored.
    hop.upgrade = options.upgrade && fields.has(Known::Upgrade) && version == Version::H11;
    // RFC 9110 10.1.4: trailers is the one member of TE that may be passed on.
    hop.te_trailers = fields.all(Known::Te).any(|field| {
        octets::elements(field.value.of(bytes)).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    });
    for field in fields.iter_mut() {
        field.hop = field.known.bit() & ENDS_HERE != 0;
    }
    if !hop.named.is_empty() {
        for field in fields.iter_mut().filter(|field| !field.hop) {
            field.hop = is_named(field, &hop.named, bytes);
        }
    }
    outcome
}

fn is_named(field: &Field, named: &[Span], bytes: &[u8]) -> bool {
    named.iter().any(|name| {
        name.len() == field.name.len() && name.of(bytes).eq_ignore_ascii_case(field.name.of(bytes))
    })
}

/// One element of a Connection field.
fn read(option: &[u8], bytes: &[u8], options: &mut Options, hop: &mut Hop) -> Result<(), &'static str> {
    match option.len() {
        // RFC 9110 5.6.1.2: empty elements are ignored.
        0 => return Ok(()),
        5 if option.eq_ignore_ascii_case(b"close") => options.close = true,
        7 if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
        10 if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
        _ => {
            if !octets::is_token(option) {
                return Err("Connection is not a list of tokens");
            }
            let known = Known::of(option).bit();
            if known & INDISPENSABLE != 0 {
                return Err("Connection names an indispensable field");
            }
            if known & ENDS_HERE == 0 {
                if hop.named.len() == CONNECTION_OPTIONS_MAX {
                    return Err("Connection names too many fields");
                }
                hop.named.push(Span::within(bytes, option));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::head::RequestHead;
    use crate::http::rules::Rules;

    fn head(lines: &str) -> (String, RequestHead, Result<(), &'static str>) {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut head = RequestHead::default();
        let outcome = parse::request(text.as_bytes(), &Rules::default(), &mut head);
        (text, head, outcome.map_err(|refusal| refusal.why))
    }

    fn ending(lines: &str) -> Vec<String> {
        let (text, head, outcome) = head(lines);
        assert_eq!(outcome, Ok(()), "{lines}");
        let name = |field: &Field| String::from_utf8_lossy(field.name.of(text.as_bytes())).into_owned();
        head.fields.iter().filter(|field| field.hop).map(name).collect()
    }

    #[test]
    fn standard_fields_and_named_ones_end_here() {
        assert_eq!(ending("A: 1\r\nKeep-Alive: 5\r\n"), ["Keep-Alive"]);
        assert_eq!(ending("A: 1\r\nConnection: ,a,, B\r\nB: 2\r\nC: 3\r\n"), ["A", "Connection", "B"]);
        assert_eq!(ending("TE: gzip, Trailers\r\nProxy-Connection: x\r\n"), ["TE", "Proxy-Connection"]);
        assert_eq!(
            ending("Connection: x\r\nConnection: y\r\nX: 1\r\ny: 2\r\n"),
            ["Connection", "Connection", "X", "y"]
        );
        assert_eq!(ending("Cookie: a\r\n"), [""; 0]);
    }

    #[test]
    fn options_are_understood() {
        let (_, seen, _) = head("Connection: Close, Keep-Alive\r\nTE: trailers\r\n");
        assert!(seen.hop.close && seen.hop.keep_alive && seen.hop.te_trailers && seen.hop.named.is_empty());
        let (_, seen, _) = head("X: y\r\n");
        assert!(!seen.hop.close && !seen.hop.keep_alive && !seen.hop.te_trailers);
    }

    #[test]
    fn options_that_harm_are_refused() {
        for value in ["Host", "close, content-length", "Transfer-Encoding", "a b", "\"close\"", "close;x"] {
            assert!(head(&format!("Connection: {value}\r\n")).2.is_err(), "{value}");
        }
        let many = (0..17).map(|n| format!("x{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(head(&format!("Connection: {many}\r\n")).2, Err("Connection names too many fields"));
    }
}
