//! Session keys: where requests carry them and how responses teach new ones (pound.md section 7).

use crate::Peer;
use crate::http::fields::{Fields, Known};
use crate::http::head::ResponseHead;
use crate::route::plan::{BackendIx, Plan, ServicePlan};
use crate::route::request::{Request, basic_credentials};
use ounce_conf::model::SessionKind;
use ounce_mem::{BackendId, KEY_BYTES_MAX, Owner, Segment, ServiceId};
use std::io::Write;
use std::net::IpAddr;

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
    let Some(ttl_ms) = session.ttl_ms else { return false };
    let Some(key) = learn(&session.kind, &head.fields, bytes) else { return false };
    let (sessions, row) = (segment.sessions(), ServiceId(service.row));
    if sessions.find(row, key.as_bytes(), now_ms, ttl_ms).is_some() {
        return false;
    }
    let id = BackendId(plan.backend(backend).row);
    sessions.insert(row, key.as_bytes(), id, now_ms, ttl_ms, owner) == id
}

/// The value of a cookie in `name=value; name=value`; the name in any case.
fn cookie<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    value.split(|&byte| byte == b';').find_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        let (found, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::connect_failed;
    use crate::balance::pick::Tried;
    use crate::balance::sample::Fleet;
    use crate::route::sample::{Sample, response, server};
    use ounce_conf::model::Backend;

    fn cookie_of(name: &str) -> SessionKind {
        SessionKind::Cookie(name.to_owned())
    }

    fn carried(kind: &SessionKind, sample: &Sample) -> Option<String> {
        key(kind, &sample.request()).map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned())
    }

    fn learnt(kind: &SessionKind, lines: &[&str]) -> Option<String> {
        let (head, bytes) = response(lines);
        learn(kind, &head.fields, &bytes).map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned())
    }

    #[test]
    fn each_type_finds_its_key() {
        let sample = Sample::get(
            "/shop;rev=1;jsessionid=xyz?sid=42&x=1",
            &[
                "Host: h",
                "Authorization: Basic QTpC",
                "Cookie: a=1; SID = s1 ; b=2",
                "Cookie: other=3",
                "X-User: u7",
            ],
        );
        for (kind, expected) in [
            (SessionKind::Ip, Some("192.0.2.7")),
            (SessionKind::Basic, Some("QTpC")),
            (SessionKind::Url("sid".to_owned()), Some("42")),
            (SessionKind::Url("none".to_owned()), None),
            (SessionKind::Parm, Some("jsessionid=xyz")),
            (cookie_of("sid"), Some("s1")),
            (cookie_of("OTHER"), Some("3")),
            (cookie_of("id"), None),
            (SessionKind::Header("x-user".to_owned()), Some("u7")),
            (SessionKind::Header("x-none".to_owned()), None),
        ] {
            assert_eq!(carried(&kind, &sample).as_deref(), expected, "{kind:?}");
        }
    }

    #[test]
    fn requests_without_a_key_have_none() {
        let sample = Sample::get("/?sid=&;a", &["Host: h", "Cookie: sid=; x", "X-User:"]).over_unix();
        for kind in [
            SessionKind::Ip,
            SessionKind::Basic,
            SessionKind::Url("sid".to_owned()),
            SessionKind::Parm,
            cookie_of("sid"),
            cookie_of("x"),
            SessionKind::Header("X-User".to_owned()),
        ] {
            assert_eq!(carried(&kind, &sample), None, "{kind:?}");
        }
    }

    #[test]
    fn address_keys_name_the_address_without_the_port() {
        let from = |peer| carried(&SessionKind::Ip, &Sample::get("/", &["Host: h"]).from(peer));
        assert_eq!(from("[2001:db8::1]:999").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(from("[::ffff:192.0.2.1]:999").as_deref(), Some("192.0.2.1"));
        let longest = "[1111:2222:3333:4444:5555:6666:7777:8888]";
        assert_eq!(from(&format!("{longest}:1")).as_deref(), Some(longest));
    }

    #[test]
    fn keys_are_cut_at_127_bytes() {
        let long = format!("X-User: {}", "k".repeat(200));
        let sample = Sample::get("/", &["Host: h", &long]);
        let key = carried(&SessionKind::Header("X-User".to_owned()), &sample).expect("a key");
        assert_eq!(key, "k".repeat(127));
    }

    /// Pound 4.6 to 4.17 looked for Cookie in responses, and all versions look at one Set-Cookie only.
    #[test]
    fn every_set_cookie_line_is_looked_at() {
        let lines = ["Set-Cookie: lang=de; Path=/", "Set-Cookie: SID=s9; Path=/; sid=attribute; HttpOnly"];
        assert_eq!(learnt(&cookie_of("sid"), &lines).as_deref(), Some("s9"));
        assert_eq!(learnt(&cookie_of("path"), &lines), None, "attributes are no cookies");
        assert_eq!(learnt(&cookie_of("sid"), &["Set-Cookie: sid=; Max-Age=0"]), None);
        assert_eq!(learnt(&cookie_of("sid"), &["Cookie: sid=s9"]), None);
    }

    #[test]
    fn some_types_learn_and_some_do_not() {
        let lines = ["X-User: u7", "Authorization: Basic QTpC"];
        assert_eq!(learnt(&SessionKind::Header("x-user".to_owned()), &lines).as_deref(), Some("u7"));
        assert_eq!(learnt(&SessionKind::Basic, &lines).as_deref(), Some("QTpC"));
        for kind in [SessionKind::Ip, SessionKind::Parm, SessionKind::Url("X-User".to_owned())] {
            assert_eq!(learnt(&kind, &lines), None, "{kind:?}");
        }
    }

    fn three() -> Vec<Backend> {
        (1..=3).map(|last| server(&format!("10.0.0.{last}:80"), 5)).collect()
    }

    #[test]
    fn a_key_stays_with_its_backend_until_it_is_idle_for_too_long() {
        let fleet = Fleet::sticky(SessionKind::Ip, three());
        let none = Tried::new();
        let first = fleet.pick_for(b"alice", 0, &none);
        assert_ne!(fleet.pick_for(b"bob", 0, &none), first, "a new key is balanced");
        for now_ms in [1, 50_000, 100_000] {
            assert_eq!(fleet.pick_for(b"alice", now_ms, &none), first, "each use moves the expiry");
        }
        // The third turn went to nobody yet; alice, now a stranger, gets it.
        assert_eq!(fleet.pick_for(b"alice", 500_000, &none), Some(2));
    }

    #[test]
    fn a_disabled_backend_keeps_its_sessions_and_gets_no_new_ones() {
        let fleet = Fleet::sticky(SessionKind::Ip, three());
        let none = Tried::new();
        let mine = fleet.pick_for(b"alice", 0, &none).expect("a backend");
        fleet.segment.backends().set_disabled(fleet.id(mine), true);
        assert_eq!(fleet.pick_for(b"alice", 1, &none), Some(mine));
        for number in 0..30_u8 {
            assert_ne!(fleet.pick_for(&[number], 1, &none), Some(mine));
        }
    }

    #[test]
    fn the_sessions_of_a_dead_backend_are_balanced_anew() {
        let fleet = Fleet::sticky(SessionKind::Ip, three());
        let none = Tried::new();
        let mine = fleet.pick_for(b"alice", 0, &none).expect("a backend");
        connect_failed(&fleet.plan, &fleet.segment, BackendIx(mine), None, 1);
        let next = fleet.pick_for(b"alice", 2, &none).expect("another");
        assert_ne!(next, mine);
        fleet.segment.backends().revive(fleet.id(mine), 3);
        assert_eq!(fleet.pick_for(b"alice", 4, &none), Some(next), "the session has moved for good");
    }

    #[test]
    fn a_session_moves_when_its_backend_was_tried_in_vain() {
        let fleet = Fleet::sticky(SessionKind::Ip, three());
        let mine = fleet.pick_for(b"alice", 0, &Tried::new()).expect("a backend");
        let mut tried = Tried::new();
        tried.insert(mine);
        let next = fleet.pick_for(b"alice", 1, &tried).expect("another");
        assert_ne!(next, mine);
        assert_eq!(fleet.pick_for(b"alice", 2, &Tried::new()), Some(next));
    }

    #[test]
    fn a_learnt_key_is_bound_to_the_backend_that_answered_unless_it_is_known() {
        let fleet = Fleet::sticky(cookie_of("sid"), three());
        let learn = |backend: u32, value: &str| {
            let (head, bytes) =
                response(&["Set-Cookie: lang=en", &format!("Set-Cookie: sid={value}; Path=/")]);
            let (plan, segment) = (&fleet.plan, &fleet.segment);
            learn_from(plan, fleet.service(), segment, BackendIx(backend), &head, &bytes, 0, fleet.owner)
        };
        assert!(learn(2, "s1"));
        assert!(!learn(1, "s1"), "it is known");
        assert!(!learn(1, ""));
        assert_eq!(fleet.pick_for(b"s1", 1, &Tried::new()), Some(2));
    }

    #[test]
    fn services_without_sessions_learn_nothing() {
        let fleet = Fleet::new(ounce_conf::model::Balancer::Iwrr, three(), Vec::new());
        let (head, bytes) = response(&["Set-Cookie: sid=1"]);
        let (plan, segment) = (&fleet.plan, &fleet.segment);
        assert!(!learn_from(plan, fleet.service(), segment, BackendIx(0), &head, &bytes, 0, fleet.owner));
    }
}
