//! The request as conditions, session keys and expansions see it.

use crate::Peer;
use crate::http::fields::Known;
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
}

impl<'a> Request<'a> {
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
        self.head.fields.find(self.bytes, name).map(|field| field.value.of(self.bytes))
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

/// What follows the scheme word in a `Basic` Authorization value.
pub(crate) fn basic_credentials(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let credentials = rest.trim_ascii();
    (!credentials.is_empty()).then_some(credentials)
}
