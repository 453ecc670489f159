//! The request as conditions, session keys and expansions see it.

use super::auth::Password;
use super::limit::Till;
use super::trust::Trust;
use crate::Peer;
use crate::http::fields::{Fields, Known};
use crate::http::head::RequestHead;

/// A request and who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The checked head.
    pub head: &'a RequestHead,
    /// The bytes its spans refer to.
    pub bytes: &'a [u8],
    /// The peer.
    pub peer: Peer,
    /// The fields of its response and their bytes, while that is being changed: conditions and expansions that name
    /// a header field then mean these.
    pub response: Option<(&'a Fields, &'a [u8])>,
    /// Whose word is taken about where it came from; nobody's where the peer is all that is known.
    pub trust: Option<Trust<'a>>,
    /// The client's certificate, PEM without line ends.
    pub certificate: Option<&'a str>,
    /// Where tokens are taken; where that is nowhere there is always one.
    pub till: Option<Till<'a>>,
}

impl<'a> Request<'a> {
    /// The bytes and fields of the message that conditions and expansions mean by header fields.
    #[inline]
    pub(crate) fn message(&self) -> (&'a [u8], &'a Fields) {
        self.response.map_or((self.bytes, &self.head.fields), |(fields, bytes)| (bytes, fields))
    }

    /// The method as sent.
    pub fn method(&self) -> &'a [u8] {
        self.head.method_span.of(self.bytes)
    }

    /// The request target as sent.
    pub fn target(&self) -> &'a [u8] {
        self.head.target.of(self.bytes)
    }

    /// The part of the target before its last `?`.
    pub fn path(&self) -> &'a [u8] {
        let target = self.target();
        memchr::memrchr(b'?', target).map_or(target, |mark| &target[..mark])
    }

    /// The part of the target after its last `?`.
    pub fn query(&self) -> Option<&'a [u8]> {
        let target = self.target();
        memchr::memrchr(b'?', target).map(|mark| &target[mark + 1..])
    }

    /// The raw value of the first query parameter of this name; `None` if it is absent or without `=`.
    pub fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        for parameter in self.query()?.split(|&byte| byte == b'&') {
            if let Some(rest) = parameter.strip_prefix(name) {
                match rest.first() {
                    Some(b'=') => return Some(&rest[1..]),
                    None => return None,
                    Some(_) => {}
                }
            }
        }
        None
    }

    /// The Host value, its port included.
    pub fn host(&self) -> Option<&'a [u8]> {
        self.head.host.map(|span| span.of(self.bytes))
    }

    /// The value of the first field of this name, any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let (bytes, fields) = self.message();
        fields.find(bytes, name).map(|field| field.value.of(bytes))
    }

    /// The value of the first field of a known name.
    pub fn known(&self, known: Known) -> Option<&'a [u8]> {
        self.head.fields.first(known).map(|field| field.value.of(self.bytes))
    }

    /// The credentials after `Basic ` in Authorization: a base64 blob.
    pub fn basic_credentials(&self) -> Option<&'a [u8]> {
        basic_credentials(self.known(Known::Authorization)?)
    }
}

impl Request<'_> {
    /// The user's name and password in Authorization (RFC 7617 2).
    pub fn basic_user(&self) -> Option<(Vec<u8>, Password)> {
        let credentials = self.basic_credentials()?;
        // With room for all of it: what had to grow would leave a copy behind that nobody wipes.
        let (mut name, mut password) = (Vec::new(), Password(Vec::with_capacity(credentials.len())));
        decode_user(credentials, &mut name, Some(&mut password)).then_some((name, password))
    }

    /// The user's name alone.
    pub fn basic_name(&self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        decode_user(self.basic_credentials()?, &mut name, None).then_some(name)
    }
}

/// Appends the name and, if it is wanted, the password in Basic credentials (RFC 7617 2): base64 of `user:password`. False
/// if there is no name.
pub(crate) fn decode_user(
    credentials: &[u8],
    name: &mut Vec<u8>,
    mut password: Option<&mut Password>,
) -> bool {
    let start = name.len();
    let (mut bits, mut held, mut behind) = (0_u32, 0, false);
    let digits = credentials.strip_suffix(b"==").or(credentials.strip_suffix(b"=")).unwrap_or(credentials);
    for &byte in digits {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            match (bits >> held) as u8 {
                b':' if !behind => behind = true,
                decoded if behind => password.iter_mut().for_each(|password| password.0.push(decoded)),
                decoded => name.push(decoded),
            }
            bits &= (1 << held) - 1;
        }
    }
    behind && name.len() > start
}

/// What follows the scheme word in a `Basic` Authorization value.
pub(crate) fn basic_credentials(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let credentials = rest.trim_ascii();
    (!credentials.is_empty()).then_some(credentials)
}

#[cfg(test)]
mod tests {
    use crate::route::sample::Sample;

    #[test]
    fn path_and_query_part_at_the_last_question_mark() {
        let sample = Sample::get("/a?b?c=d", &["Host: h"]);
        assert_eq!(sample.request().path(), b"/a?b");
        assert_eq!(sample.request().query(), Some(&b"c=d"[..]));
        let sample = Sample::get("/a", &["Host: h"]);
        assert_eq!(sample.request().path(), b"/a");
        assert_eq!(sample.request().query(), None);
    }

    #[test]
    fn the_first_parameter_of_a_name_counts() {
        let sample = Sample::get("/?aa=0&a=1&a=2&b&b=3&c=", &["Host: h"]);
        assert_eq!(sample.request().parameter(b"a"), Some(&b"1"[..]));
        assert_eq!(sample.request().parameter(b"b"), None, "the first one has no value");
        assert_eq!(sample.request().parameter(b"c"), Some(&b""[..]));
        assert_eq!(sample.request().parameter(b"A"), None);
    }

    #[test]
    fn basic_credentials_follow_the_scheme_in_any_case() {
        let credentials = |value: &str| {
            let sample = Sample::get("/", &["Host: h", &format!("Authorization: {value}")]);
            sample.request().basic_credentials().map(<[u8]>::to_vec)
        };
        assert_eq!(credentials("Basic QWxhZGRpbg==").as_deref(), Some(&b"QWxhZGRpbg=="[..]));
        assert_eq!(credentials("bASIC   x").as_deref(), Some(&b"x"[..]));
        assert_eq!(credentials("Basic"), None);
        assert_eq!(credentials("Bearer abcdef"), None);
        assert_eq!(credentials("Basically x"), None);
    }
}
