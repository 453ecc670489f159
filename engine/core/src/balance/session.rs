//! Session keys: where requests carry them and how responses teach new ones (pound.md section 7).

use crate::Peer;
use crate::http::fields::{Fields, Known};
use crate::http::head::ResponseHead;
use crate::route::plan::{BackendIx, Plan, ServicePlan};
use crate::route::request::{Request, basic_credentials};
use ounce_conf::model::SessionKind;
use ounce_mem::{BackendId, Owner, Segment, ServiceId};
use std::io::Write;
use std::net::IpAddr;

/// Longest key in bytes; longer ones are cut.
pub const KEY_BYTES_MAX: usize = 127;

/// Longest text of an address: an IPv6 one in brackets.
const ADDRESS_BYTES_MAX: usize = 48;

/// A session key.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a>(Form<'a>);

#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    Text(&'a [u8]),
    Address { text: [u8; ADDRESS_BYTES_MAX], length: usize },
}

impl<'a> Key<'a> {
    /// A key of a message's own bytes, cut to [`KEY_BYTES_MAX`]; `None` when empty.
    fn text(text: &'a [u8]) -> Option<Key<'a>> {
        let text = &text[..text.len().min(KEY_BYTES_MAX)];
        (!text.is_empty()).then_some(Key(Form::Text(text)))
    }

    fn address(address: IpAddr) -> Key<'static> {
        let mut text = [0; ADDRESS_BYTES_MAX];
        let mut rest = &mut text[..];
        // The longest address fits; were it cut, it would still be a key.
        _ = match address {
            IpAddr::V4(address) => write!(rest, "{address}"),
            IpAddr::V6(address) => write!(rest, "[{address}]"),
        };
        let length = ADDRESS_BYTES_MAX - rest.len();
        Key(Form::Address { text, length })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Text(text) => text,
            Form::Address { text, length } => &text[..*length],
        }
    }
}

/// The key that a request carries.
pub fn key<'a>(kind: &SessionKind, request: &Request<'a>) -> Option<Key<'a>> {
    match kind {
        SessionKind::Ip => match request.peer {
            Peer::Inet(_) => request.peer.ip().map(Key::address),
            Peer::Unix => None,
        },
        SessionKind::Basic => request.basic_credentials().and_then(Key::text),
        SessionKind::Url(name) => request.parameter(name.as_bytes()).and_then(Key::text),
        SessionKind::Parm => {
            let path = request.path();
            memchr::memrchr(b';', path).and_then(|mark| Key::text(&path[mark + 1..]))
        }
        SessionKind::Cookie(name) => request
            .head
            .fields
            .all(Known::Cookie)
            .find_map(|field| cookie(field.value.of(request.bytes), name).and_then(Key::text)),
        SessionKind::Header(name) => request.header(name).and_then(Key::text),
    }
}

/// The key that a response carries: of a cookie that it sets (each Set-Cookie line is looked at), a header
/// field, or Basic credentials. The other types never learn.
pub fn learn<'a>(kind: &SessionKind, fields: &Fields, bytes: &'a [u8]) -> Option<Key<'a>> {
    match kind {
        SessionKind::Cookie(name) => fields.all(Known::SetCookie).find_map(|field| {
            // Attributes follow the first semicolon; only what stands before it is the cookie.
            let value = field.value.of(bytes);
            let pair = memchr::memchr(b';', value).map_or(value, |end| &value[..end]);
            cookie(pair, name).and_then(Key::text)
        }),
        SessionKind::Header(name) => {
            fields.find(bytes, name).and_then(|field| Key::text(field.value.of(bytes)))
        }
        SessionKind::Basic => {
            let field = fields.first(Known::Authorization)?;
            basic_credentials(field.value.of(bytes)).and_then(Key::text)
        }
        SessionKind::Ip | SessionKind::Url(_) | SessionKind::Parm => None,
    }
}

/// Binds the key that a response carries, if it is not yet known, to the backend that answered.
/// True if a session was created.
#[expect(clippy::too_many_arguments, reason = "one call per response; every argument is a different fact")]
pub fn learn_from(
    plan: &Plan,
    service: &ServicePlan,
    segment: &Segment,
    backend: BackendIx,
    head: &ResponseHead,
    bytes: &[u8],
    now_ms: u64,
    owner: Owner,
) -> bool {
    let Some(session) = &service.session else { return false };
    let Some(key) = learn(&session.kind, &head.fields, bytes) else { return false };
    let (sessions, row) = (segment.sessions(), ServiceId(service.row));
    if sessions.find(row, key.as_bytes(), now_ms, session.ttl_ms).is_some() {
        return false;
    }
    let id = BackendId(plan.backend(backend).row);
    sessions.insert(row, key.as_bytes(), id, now_ms, session.ttl_ms, owner) == id
}

/// The value of a cookie in `name=value; name=value`; the name in any case.
fn cookie<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    value.split(|&byte| byte == b';').find_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        let (found, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
    })
}
