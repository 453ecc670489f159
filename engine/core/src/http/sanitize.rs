//! What a request must satisfy beyond its tokens, as a list of checks.
//!
//! The list is [`CHECKS`], in the order in which they are made: what the request line says before what the
//! fields say. What is malformed is refused and never repaired, since a repair is a guess about what the next
//! reader would have made of it. The byte level (illegal bytes in names and values, space before a colon,
//! folded lines, bare CR) is the tokeniser's and refused before this list begins; how long the body is has
//! its own room ([`super::h1::framing`]).

use super::authority::Authority;
use super::fields::{Known, Span};
use super::h1::framing;
use super::head::{Framing, Refusal, RequestHead, Version};
use super::hop;
use super::method::Method;
use super::rules::{LONG_HEADER_LINE, LONG_REQUEST_LINE, Lines, Rules};
use super::target;
use super::upgrade;

/// A head that has been taken apart and is being checked.
pub(crate) struct Draft<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) rules: &'a Rules,
    pub(crate) lines: Lines,
    /// Method, target and version as sent, and all fields, are there; the checks fill in the rest.
    pub(crate) head: &'a mut RequestHead,
    /// The target's own authority, where it lies, and the port that its scheme stands for.
    pub(crate) authority: Option<(Span, Authority<'a>, Option<u16>)>,
    /// The authority that Host names.
    pub(crate) named: Option<Authority<'a>>,
}

/// An entry of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What demands it.
    pub source: &'static str,
}

macro_rules! checks {
    ($($name:ident $source:literal,)+) => {
        /// All checks in their order.
        pub const CHECKS: &[Check] = &[$(Check { name: stringify!($name), source: $source },)+];

        /// Makes all checks, up to the first that fails.
        #[inline]
        pub(crate) fn request(draft: &mut Draft<'_>) -> Result<(), Refusal> {
            $($name(draft)?;)+
            Ok(())
        }
    };
}

checks! {
    request_line_fits "RFC 9112 3; LineBufferSize",
    method_is_known "RFC 9110 9.1",
    method_is_allowed "RFC 9110 15.5.6; xHTTP",
    target_fits "RFC 9110 15.5.15; MaxURI",
    target_is_well_formed "RFC 9112 3.2",
    header_lines_fit "RFC 9112 5; LineBufferSize",
    framing_is_not_disguised "RFC 9112 11.2",
    host_is_one_and_well_formed "RFC 9112 3.2",
    host_agrees_with_target "RFC 9112 3.2.2",
    framing_is_unambiguous "RFC 9112 6.1, 6.2, 6.3",
    body_is_allowed "RFC 9110 9.3.6, 9.3.8",
    connection_options_are_well_formed "RFC 9110 7.6.1",
    expectation_is_understood "RFC 9110 10.1.1",
    upgrade_is_passed_on "RFC 9110 7.8",
}

/// First, as with a head that is not complete yet: a line that is too long is not looked into.
fn request_line_fits(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.lines.start_line >= draft.rules.line_max { Err(LONG_REQUEST_LINE) } else { Ok(()) }
}

/// Known nowhere is 400, as it is in Pound: 501 would say that some day it may be known.
fn method_is_known(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let name = draft.head.method_span.of(draft.bytes);
    draft.head.method = Method::of(name).ok_or(Refusal::bad("unknown method"))?;
    Ok(())
}

fn method_is_allowed(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.head.method.level() > draft.rules.methods {
        return Err(Refusal::new(405, "method above the xHTTP level"));
    }
    Ok(())
}

fn target_fits(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    match draft.rules.max_uri {
        Some(max) if draft.head.target_sent.len() > max as usize => Err(Refusal::new(414, "MaxURI")),
        _ => Ok(()),
    }
}

fn target_is_well_formed(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let head = &mut *draft.head;
    let target = target::parse(draft.bytes, head.target_sent, head.method).map_err(Refusal::bad)?;
    head.form = target.form;
    head.target = target.resource;
    draft.authority = target.authority.map(|(span, authority)| (span, authority, target.default_port));
    Ok(())
}

fn header_lines_fit(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.lines.longest >= draft.rules.line_max { Err(LONG_HEADER_LINE) } else { Ok(()) }
}

/// Backends that turn names into variables read `Content_Length` as a length that we have not read.
fn framing_is_not_disguised(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.head.fields.has(Known::Disguised) {
        return Err(Refusal::bad("framing field with an underscore"));
    }
    Ok(())
}

/// Exactly one in HTTP/1.1, at most one in HTTP/1.0.
fn host_is_one_and_well_formed(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let mut hosts = draft.head.fields.all(Known::Host);
    let Some(host) = hosts.next() else {
        if draft.head.version == Version::H11 {
            return Err(Refusal::bad("no Host in HTTP/1.1"));
        }
        draft.head.host = draft.authority.map(|(span, ..)| span);
        return Ok(());
    };
    if hosts.next().is_some() {
        return Err(Refusal::bad("more than one Host"));
    }
    let value = host.value;
    let Some(named) = Authority::parse(value.of(draft.bytes)) else {
        return Err(Refusal::bad("malformed Host"));
    };
    draft.head.host = Some(value);
    draft.named = Some(named);
    Ok(())
}

/// RFC 9112 3.2.2 has a proxy replace Host by the target's authority. Whoever sends two different ones wants
/// two readers to see two different requests.
fn host_agrees_with_target(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    match (&draft.authority, &draft.named) {
        (Some((_, authority, default)), Some(named)) if !authority.agrees(named, *default) => {
            Err(Refusal::bad("Host is not the target's authority"))
        }
        _ => Ok(()),
    }
}

fn framing_is_unambiguous(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let head = &mut *draft.head;
    head.framing = framing::request(draft.bytes, &head.fields, head.version)?;
    Ok(())
}

/// What CONNECT brings after its head belongs to the tunnel, and TRACE would reflect it.
fn body_is_allowed(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let bodiless = matches!(draft.head.method, Method::Connect | Method::Trace);
    if bodiless && !matches!(draft.head.framing, Framing::None | Framing::Length(0)) {
        return Err(Refusal::bad("body in CONNECT or TRACE"));
    }
    Ok(())
}

fn connection_options_are_well_formed(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let head = &mut *draft.head;
    hop::mark(draft.bytes, &mut head.fields, &mut head.hop, head.version).map_err(Refusal::bad)?;
    // As it always was: a client of HTTP/1.0 gets one answer, whatever it says about keep-alive.
    head.hop.close |= head.version == Version::H10;
    Ok(())
}

/// 100-continue is between the client and us; any other expectation passes.
fn expectation_is_understood(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let head = &mut *draft.head;
    if !head.fields.has(Known::Expect) {
        return Ok(());
    }
    for field in head.fields.iter_mut().filter(|field| field.known == Known::Expect) {
        if field.value.of(draft.bytes).eq_ignore_ascii_case(b"100-continue") {
            field.hop = true;
            // In HTTP/1.0 it is ignored, and without a body there is nothing to wait for.
            head.expect_continue =
                head.version == Version::H11 && !matches!(head.framing, Framing::None | Framing::Length(0));
        }
    }
    Ok(())
}

/// Not a refusal: an offer that is not passed on is no offer (RFC 9110 7.8 lets anybody ignore it).
fn upgrade_is_passed_on(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    draft.head.hop.upgrade = upgrade::is_offer(draft.bytes, draft.head);
    Ok(())
}
