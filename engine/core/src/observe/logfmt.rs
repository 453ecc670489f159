//! Request log formats (pound.md section 12): compiled once, written for each request.
//!
//! The six built-in formats and those of `LogFormat` are the same thing. A line is text with fields in it, or with
//! `-json` an object. Text of peers is escaped in both, so that it can neither end a line nor look like another field.

use super::escape;
use super::record::{Part, Record, status};
use super::strftime;
use crate::Peer;
use crate::http::fields::Known;
use crate::route::expand::split_port;
use crate::route::plan::{ListenerPlan, Plan};
use crate::route::request::Request;
use crate::secure::Secure;
use ounce_conf::model::{
    LogField, LogFormat, LogLine, LogMoment, LogObject, LogPiece, Protocol, TimeFormat, TimeUnit,
};
use std::net::SocketAddr;

/// A compiled format.
#[derive(Debug)]
pub struct Format {
    pieces: Vec<Piece>,
    style: Style,
    user: bool,
}

#[derive(Debug)]
enum Piece {
    /// This, as it is.
    Literal(Vec<u8>),
    /// The same; most are a blank or a quote.
    Byte(u8),
    /// A text that the record holds.
    Part(Part, Missing),
    /// Who the request is from.
    Peer,
    /// Who it is from first, as trusted proxies tell it.
    Originator,
    /// A header field whose place is known without a search.
    Known(Known, Missing),
    /// Any other header field.
    Named(String, Missing),
    Field(LogField),
}

/// What stands for a text that is missing in a line of text.
#[derive(Debug, Clone, Copy)]
enum Missing {
    Nothing,
    Dash,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Text,
    Json,
}

impl Format {
    /// Compiles a format.
    #[must_use]
    pub fn compile(format: &LogFormat) -> Format {
        let mut compiled = Format { pieces: Vec::new(), style: Style::Text, user: false };
        match &format.line {
            LogLine::Text(pieces) if pieces.is_empty() => {}
            LogLine::Text(pieces) => {
                for piece in pieces {
                    match piece {
                        LogPiece::Text(text) => compiled.literal(text.as_bytes()),
                        LogPiece::Field(field) => compiled.field(field),
                    }
                }
                compiled.literal(b"\n");
            }
            LogLine::Json(members) => {
                compiled.style = Style::Json;
                for (index, (name, field)) in members.iter().enumerate() {
                    compiled.literal(if index == 0 { b"{\"" } else { b",\"" });
                    let mut escaped = Vec::new();
                    escape::json(name.as_bytes(), &mut escaped);
                    compiled.literal(&escaped);
                    compiled.literal(b"\":");
                    compiled.field(field);
                }
                compiled.literal(b"}\n");
            }
        }
        compiled
    }

    /// Nothing is ever written.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.pieces.is_empty()
    }

    /// A line holds the user's name.
    pub(crate) fn wants_user(&self) -> bool {
        self.user
    }

    fn literal(&mut self, text: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Literal(before)) => before.extend_from_slice(text),
            Some(last @ Piece::Byte(_)) => {
                let Piece::Byte(byte) = *last else { return };
                *last = Piece::Literal([&[byte], text].concat());
            }
            _ => match text {
                &[byte] => self.pieces.push(Piece::Byte(byte)),
                text => self.pieces.push(Piece::Literal(text.to_vec())),
            },
        }
    }

    fn field(&mut self, field: &LogField) {
        let (name, missing) = match field {
            LogField::Header(name) => (name, Missing::Nothing),
            LogField::HeaderOrDash(name) => (name, Missing::Dash),
            LogField::Ident if self.style == Style::Text => return self.literal(b"-"),
            LogField::RequestLine => {
                return self.pieces.push(Piece::Part(Part::RequestLine, Missing::Nothing));
            }
            LogField::StatusLine => return self.pieces.push(Piece::Part(Part::StatusLine, Missing::Nothing)),
            LogField::User => {
                self.user = true;
                return self.pieces.push(Piece::Part(Part::User, Missing::Dash));
            }
            LogField::Originator => return self.pieces.push(Piece::Originator),
            LogField::Peer => return self.pieces.push(Piece::Peer),
            field => return self.pieces.push(Piece::Field(field.clone())),
        };
        self.pieces.push(match Known::of(name.as_bytes()) {
            // Names that share a place with others: each is looked for by its own.
            Known::Other | Known::XSsl => Piece::Named(name.clone(), missing),
            known => Piece::Known(known, missing),
        });
    }
}

impl Style {
    fn text(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Style::Text => escape::text(text, out),
            Style::Json => {
                out.push(b'"');
                escape::json(text, out);
                out.push(b'"');
            }
        }
    }

    /// A text, or what stands for its absence: `otherwise`, null in an object.
    fn text_or(self, text: Option<&[u8]>, otherwise: &str, out: &mut Vec<u8>) {
        match text {
            Some(text) => self.text(text, out),
            None => self.missing(otherwise, out),
        }
    }

    fn missing(self, otherwise: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(if self == Style::Json { b"null" } else { otherwise.as_bytes() });
    }

    /// What `write` writes is safe as it is; in an object it is a string.
    fn quoted(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self == Style::Json {
            out.push(b'"');
            write(out);
            out.push(b'"');
        } else {
            write(out);
        }
    }
}

/// A request whose line is to be written.
pub struct Line<'a> {
    /// What was learnt of it.
    pub record: &'a Record,
    /// Its head, if that was one.
    pub request: Option<Request<'a>>,
    /// The plan that it was served by.
    pub plan: &'a Plan,
    /// Where it came in.
    pub listener: &'a ListenerPlan,
    /// The address that the client connected to.
    pub local: Option<SocketAddr>,
    /// What its connection agreed on, with TLS.
    pub secure: Option<&'a Secure>,
    /// Who served it.
    pub worker: u32,
}

impl Line<'_> {
    /// Appends the line in its listener's format, with its line feed.
    pub fn render(&self, out: &mut Vec<u8>) {
        self.render_as(&self.listener.log_format, out);
    }

    /// The same in this format.
    pub fn render_as(&self, format: &Format, out: &mut Vec<u8>) {
        let style = format.style;
        for piece in &format.pieces {
            match piece {
                Piece::Byte(byte) => out.push(*byte),
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Part(part, missing) => text_or(style, self.record.part(*part), *missing, out),
                Piece::Peer => match self.record.peer {
                    Some(peer) => style.quoted(out, |out| escape::peer(peer, self.plan.anonymise, out)),
                    None => style.missing("-", out),
                },
                Piece::Originator => {
                    match self.request.map_or(self.record.peer, |from| Some(from.origin())) {
                        Some(peer) => style.quoted(out, |out| escape::peer(peer, self.plan.anonymise, out)),
                        None => style.missing("-", out),
                    }
                }
                Piece::Known(known, missing) => {
                    let value = self.request.as_ref().and_then(|request| match known {
                        Known::Host => request.host(),
                        known => request.known(*known),
                    });
                    text_or(style, value, *missing, out);
                }
                Piece::Named(name, missing) => {
                    let value = self.request.as_ref().and_then(|request| request.header(name));
                    text_or(style, value, *missing, out);
                }
                Piece::Field(field) => self.field(field, style, out),
            }
        }
    }

    fn field(&self, field: &LogField, style: Style, out: &mut Vec<u8>) {
        let record = self.record;
        let request = self.request.as_ref();
        match field {
            LogField::Local => match self.local {
                Some(local) => style.quoted(out, |out| escape::peer(Peer::Inet(local), false, out)),
                None => style.text(self.listener.address_text.as_bytes(), out),
            },
            LogField::Scheme => {
                let secure = self.listener.protocol == Protocol::Https;
                style.text(if secure { b"https" } else { b"http" }, out);
            }
            LogField::Ident => style.missing("-", out),
            LogField::Method => style.text_or(request.map(Request::method), "-", out),
            LogField::Query => {
                let query = request.map(|request| &request.target()[request.path().len()..]);
                style.text(query.unwrap_or_default(), out);
            }
            LogField::Path => style.text_or(request.map(Request::path), "-", out),
            LogField::Host => match request.and_then(Request::host) {
                Some(host) => style.text(split_port(host).0, out),
                None => style.text(self.listener.address_text.as_bytes(), out),
            },
            LogField::Port => escape::number(u64::from(self.listener.port), out),
            LogField::Worker => escape::number(u64::from(self.worker), out),
            LogField::Name(object) => style.text_or(self.name(*object), "-", out),
            LogField::Place(object) => style.text_or(self.place(*object), "-", out),
            LogField::Status if style == Style::Text => out.extend_from_slice(&status(record.status)),
            LogField::Status if record.status == 0 => style.missing("", out),
            LogField::Status => escape::number(u64::from(record.status), out),
            LogField::BytesOrDash if record.body_bytes == 0 && style == Style::Text => out.push(b'-'),
            LogField::Bytes | LogField::BytesOrDash => escape::number(record.body_bytes, out),
            LogField::RequestBytes => escape::number(record.request_bytes, out),
            LogField::Time(moment, format) => self.time(*moment, format, style, out),
            LogField::Elapsed(unit) => elapsed(record.elapsed_us, *unit, out),
            LogField::Spent(step, unit) => elapsed(record.spent_us[*step as usize], *unit, out),
            LogField::Side => style.text_or(record.ended_by.name().map(str::as_bytes), "-", out),
            LogField::Step => style.text(record.ended_in.as_bytes(), out),
            LogField::Retries => escape::number(u64::from(record.retries), out),
            LogField::TlsVersion => self.of_tls(Secure::version, style, out),
            LogField::TlsCipher => self.of_tls(Secure::cipher_name, style, out),
            // Compiled to pieces of their own.
            LogField::Originator
            | LogField::Peer
            | LogField::User
            | LogField::RequestLine
            | LogField::StatusLine
            | LogField::Header(_)
            | LogField::HeaderOrDash(_) => debug_assert!(false, "no piece of its own: {field:?}"),
        }
    }

    fn of_tls(&self, fact: fn(&Secure) -> &str, style: Style, out: &mut Vec<u8>) {
        style.text_or(self.secure.map(|secure| fact(secure).as_bytes()), "-", out);
    }

    /// The name of an object; `None` if it has none, or was not reached.
    fn name(&self, object: LogObject) -> Option<&[u8]> {
        let name = match object {
            LogObject::Listener => self.listener.name.as_str(),
            LogObject::Service => &self.plan.service(self.record.service?).name,
            LogObject::Backend => {
                let name = &self.plan.backend(self.record.backend?).name;
                self.record.place().unwrap_or(name)
            }
        };
        (!name.is_empty()).then_some(name.as_bytes())
    }

    /// Where an object stands in the configuration.
    fn place(&self, object: LogObject) -> Option<&[u8]> {
        let place = match object {
            LogObject::Listener => &self.listener.locus,
            LogObject::Service => &self.plan.service(self.record.service?).locus,
            LogObject::Backend => &self.plan.backend(self.record.backend?).locus,
        };
        (!place.is_empty()).then_some(place.as_bytes())
    }

    fn time(&self, moment: LogMoment, format: &TimeFormat, style: Style, out: &mut Vec<u8>) {
        let at_us = match moment {
            LogMoment::Begin => self.record.began_us,
            LogMoment::End => self.record.began_us.saturating_add(self.record.elapsed_us),
        };
        let write = |out: &mut Vec<u8>| {
            // The text is the configuration's own.
            let literal = match style {
                Style::Json => escape::json,
                Style::Text => |text: &[u8], out: &mut Vec<u8>| out.extend_from_slice(text),
            };
            strftime::render(format, at_us, self.record.utc_offset, literal, out);
        };
        match format {
            TimeFormat::Seconds | TimeFormat::Millis | TimeFormat::Micros => write(out),
            _ => style.quoted(out, write),
        }
    }
}

fn text_or(style: Style, value: Option<&[u8]>, missing: Missing, out: &mut Vec<u8>) {
    style.text_or(value, if let Missing::Dash = missing { "-" } else { "" }, out);
}

fn elapsed(us: u64, unit: TimeUnit, out: &mut Vec<u8>) {
    match unit {
        TimeUnit::Seconds => escape::number(us / 1_000_000, out),
        TimeUnit::Millis => escape::number(us / 1_000, out),
        TimeUnit::Micros => escape::number(us, out),
        TimeUnit::Fraction => {
            let millis = us / 1_000;
            escape::number(millis / 1_000, out);
            // Three digits: the first of a thousand and more becomes the point.
            let point = out.len();
            escape::number(1_000 + millis % 1_000, out);
            out[point] = b'.';
        }
    }
}
