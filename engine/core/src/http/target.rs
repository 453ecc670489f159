//! The request target and its four forms (RFC 9112 3.2).
//!
//! What may stand in a path or query is what RFC 3986 allows, percent signs included: each opens a pair of
//! hexadecimal digits. One exception: square brackets in the query. Browsers send them as typed (the URL
//! standard does not have them escaped there), `?filter[name]=x` is everyday traffic, and no reader of a
//! request line gives them a meaning.

use super::authority::Authority;
use super::fields::Span;
use super::method::Method;
use super::octets::{self, BRACKET, NOT_TARGET, OCTETS, PERCENT};

/// The form of a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// `/path?query` (RFC 9112 3.2.1).
    #[default]
    Origin,
    /// `http://host/path?query` (RFC 9112 3.2.2).
    Absolute,
    /// `host:port`, of CONNECT alone (RFC 9112 3.2.3).
    Authority,
    /// `*`, of OPTIONS alone (RFC 9112 3.2.4).
    Asterisk,
}

/// A target that RFC 9112 allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) form: Form,
    /// What the origin server is asked for: the target without scheme and authority.
    pub(crate) resource: Span,
    /// The authority of absolute and authority form.
    pub(crate) authority: Option<(Span, Authority<'a>)>,
    /// The port that the scheme of an absolute form stands for.
    pub(crate) default_port: Option<u16>,
}

/// Checks the target at `span` of a head; says what is wrong with it otherwise.
pub(crate) fn parse(bytes: &[u8], span: Span, method: Method) -> Result<Target<'_>, &'static str> {
    let text = span.of(bytes);
    if method == Method::Connect {
        return authority_form(text, span);
    }
    match text {
        [b'/', ..] => {
            check_resource(text)?;
            Ok(Target { form: Form::Origin, resource: span, authority: None, default_port: None })
        }
        b"*" if method == Method::Options => {
            Ok(Target { form: Form::Asterisk, resource: span, authority: None, default_port: None })
        }
        b"*" => Err("target * of a method other than OPTIONS"),
        _ => absolute_form(text, span),
    }
}

fn authority_form(text: &[u8], span: Span) -> Result<Target<'_>, &'static str> {
    match Authority::parse(text) {
        Some(authority) if authority.port.is_some() => Ok(Target {
            form: Form::Authority,
            resource: span,
            authority: Some((span, authority)),
            default_port: None,
        }),
        _ => Err("target of CONNECT is not host:port"),
    }
}

fn absolute_form(text: &[u8], span: Span) -> Result<Target<'_>, &'static str> {
    // Other schemes name resources that no HTTP origin behind us can have.
    let (skip, default_port) = if text.get(..7).is_some_and(|p| p.eq_ignore_ascii_case(b"http://")) {
        (7, 80)
    } else if text.get(..8).is_some_and(|p| p.eq_ignore_ascii_case(b"https://")) {
        (8, 443)
    } else {
        return Err("target in none of the four forms");
    };
    let rest = &text[skip..];
    let end = memchr::memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
    let authority = Authority::parse(&rest[..end]).ok_or("authority of the target is malformed")?;
    let start = span.start + skip as u32;
    let resource = match rest.get(end) {
        Some(b'/') => {
            check_resource(&rest[end..])?;
            Span { start: start + end as u32, end: span.end }
        }
        // An empty path is `/` (RFC 9110 4.2.3), and the slash before the authority is one.
        None => Span { start: start - 1, end: start },
        // It would need a slash that is not there. Clients write one.
        Some(_) => return Err("target in absolute form has no path"),
    };
    let authority = Some((Span { start, end: start + end as u32 }, authority));
    Ok(Target { form: Form::Absolute, resource, authority, default_port: Some(default_port) })
}

/// RFC 9112 3.2.1: absolute-path [ "?" query ].
fn check_resource(text: &[u8]) -> Result<(), &'static str> {
    let seen = octets::union(text);
    if seen & (NOT_TARGET | PERCENT | BRACKET) == 0 {
        return Ok(());
    }
    if seen & NOT_TARGET != 0 {
        return Err("illegal byte in the target");
    }
    if seen & PERCENT != 0 && !octets::percent_is_whole(text) {
        return Err("percent sign without two digits in the target");
    }
    let path = &text[..memchr::memchr(b'?', text).unwrap_or(text.len())];
    if seen & BRACKET != 0 && octets::union(path) & BRACKET != 0 {
        return Err("square bracket in the path of the target");
    }
    Ok(())
}

/// Appends a path and query made by rules, as [`parse`] takes them: bytes that cannot stand there become `%XX`.
pub(crate) fn put_legal(text: &[u8], out: &mut Vec<u8>) {
    let path_end = memchr::memchr(b'?', text).unwrap_or(text.len());
    for (at, &byte) in text.iter().enumerate() {
        let class = OCTETS[byte as usize];
        let pair = text.get(at + 1..at + 3).unwrap_or_default();
        let stray = byte == b'%' && !(pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit));
        if class & NOT_TARGET != 0 || (class & BRACKET != 0 && at < path_end) || stray {
            put_encoded(byte, out);
        } else {
            out.push(byte);
        }
    }
}

/// Appends text with all but unreserved characters (RFC 3986 2.3) and those in `also` as `%XX`.
pub(crate) fn put_percent_encoded(text: &[u8], also: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            out.push(byte);
        } else {
            put_encoded(byte, out);
        }
    }
}

fn put_encoded(byte: u8, out: &mut Vec<u8>) {
    let digit = |nibble: u8| b"0123456789ABCDEF"[nibble as usize];
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, method: Method) -> Result<(Form, &[u8]), &'static str> {
        let span = Span { start: 0, end: text.len() as u32 };
        parse(text.as_bytes(), span, method).map(|found| (found.form, found.resource.of(text.as_bytes())))
    }

    #[test]
    fn each_form_is_known() {
        assert_eq!(of("/a/b?c=d", Method::Get), Ok((Form::Origin, &b"/a/b?c=d"[..])));
        assert_eq!(of("//a/../%00?x?y", Method::Get), Ok((Form::Origin, &b"//a/../%00?x?y"[..])));
        assert_eq!(of("*", Method::Options), Ok((Form::Asterisk, &b"*"[..])));
        assert_eq!(of("a.example:443", Method::Connect), Ok((Form::Authority, &b"a.example:443"[..])));
        assert_eq!(of("http://a.example/x?y", Method::Get), Ok((Form::Absolute, &b"/x?y"[..])));
        assert_eq!(of("HTTPS://[::1]:8443/", Method::Get), Ok((Form::Absolute, &b"/"[..])));
    }

    #[test]
    fn an_absolute_form_without_path_means_the_root() {
        assert_eq!(of("http://a.example", Method::Get), Ok((Form::Absolute, &b"/"[..])));
        assert_eq!(of("https://a.example:1", Method::Get), Ok((Form::Absolute, &b"/"[..])));
    }

    #[test]
    fn brackets_pass_in_the_query_alone() {
        assert!(of("/?a[b]=c", Method::Get).is_ok());
        assert!(of("/a[b]", Method::Get).is_err());
        assert!(of("/a[b]?c", Method::Get).is_err());
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "a",
            "a/b",
            "?a",
            "#",
            "*",
            "**",
            "/a#b",
            "/a\"b",
            "/<",
            "/>",
            "/\\",
            "/^",
            "/`",
            "/{",
            "/}",
            "/|",
            "/\u{e9}",
            "/\u{7f}",
            "/%",
            "/%1",
            "/%g0",
            "/?%",
            "http:/a/",
            "http:a",
            "http://",
            "http:///",
            "http://u@h/",
            "ftp://a/",
            "http://a?b",
            "http://a#b",
            "http://a/#",
            "http://a b/",
            "a.example:443",
            "http://a:b/",
            "urn:x",
        ] {
            assert!(of(text, Method::Get).is_err(), "{text}");
        }
        for text in ["a.example", "a.example:", "/", "*", "http://a.example:443/", "a:1/", "u@a:1"] {
            assert!(of(text, Method::Connect).is_err(), "CONNECT {text}");
        }
    }

    /// Whatever rules make of a target, what is written is one that the sanitizer would take.
    #[test]
    fn every_text_becomes_a_legal_target() {
        for byte in 0..=255_u8 {
            for text in [vec![b'/', byte], vec![b'/', b'%', byte], vec![b'/', b'?', byte, b'0', b'%']] {
                let mut legal = Vec::new();
                put_legal(&text, &mut legal);
                assert_eq!(check_resource(&legal), Ok(()), "{text:?} as {legal:?}");
                let mut again = Vec::new();
                put_legal(&legal, &mut again);
                assert_eq!(again, legal, "what is legal stays");
            }
        }
        let mut out = Vec::new();
        put_legal(b"/a[b] \r\n%2f%zz?c[d]=e#\xff", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "/a%5Bb%5D%20%0D%0A%2f%25zz?c[d]=e%23%FF");
        out.clear();
        put_percent_encoded(b"/a b&c=~%41", b"/", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "/a%20b%26c%3D~%2541");
    }
}
