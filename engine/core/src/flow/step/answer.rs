//! Answer: the response head, checked and passed on.

use crate::balance::session;
use crate::chain;
use crate::core::Core;
use crate::effect::Effects;
use crate::event::Tick;
use crate::fault::Fault;
use crate::flow::exchange::{Exchange, Step};
use crate::flow::stream::{Body, Stream};
use crate::http::combine;
use crate::http::h1::parse;
use crate::http::h1::write::{self, Edit, Line, ResponsePlan};
use crate::http::reply::STRICT_TRANSPORT_SECURITY;
use crate::http::rules::ResponseRules;
use crate::http::{Framing, Known, Method, Version};
use crate::limits;
use crate::observe::record::EndedBy;
use crate::route::location;
use crate::route::rewrite::RewriteFault;
use ounce_conf::model::{ErrorPage, RewriteLocation};
use ounce_mem::{Buf, Counter};

/// What we may add to a response head.
const ADDED_BYTES: usize = 128;

impl<'p> Core<'p> {
    /// Reads response heads: interim ones, then the one that counts.
    pub(crate) fn answer(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        while x.step == Step::Ask {
            let Some(key) = x.upstream else { return };
            let line_max = self.plan.listeners[x.listener as usize].line_max;
            let Some(socket) = self.sockets.get_mut(key) else { return };
            let eof = socket.eof;
            let Some(whole) = socket.input.gather() else {
                if eof {
                    return self.upstream_failed(x, Fault::Reset, tick, fx);
                }
                return self.receive_from(key, fx);
            };
            let Some(len) = parse::head_end(&whole, x.scanned as usize) else {
                x.scanned = whole.len() as u32;
                let fault = parse::partial_fault(&whole, line_max);
                socket.input.unpop(whole);
                return match fault {
                    Some(fault) => self.fail(x, 503, fault.why, tick, fx),
                    None if eof => self.upstream_failed(x, Fault::Reset, tick, fx),
                    None => self.receive_from(key, fx),
                };
            };
            x.scanned = 0;
            self.response_head(x, whole, len, tick, fx);
        }
    }

    /// A whole response head is here, at the beginning of `whole`.
    fn response_head(&mut self, x: &mut Exchange, mut whole: Buf, len: usize, tick: Tick, fx: &mut Effects) {
        let rules = ResponseRules {
            line_max: self.plan.listeners[x.listener as usize].line_max,
            request_is_head: x.request.method == Method::Head,
            request_is_connect: x.request.method == Method::Connect,
            upgrade_offered: x.request.hop.upgrade,
        };
        let framing = match parse::response(&whole[..len], &rules, &mut x.response) {
            Ok(framing) => framing,
            Err(fault) => return self.fail(x, 503, fault.why, tick, fx),
        };
        x.interim += u8::from(x.response.is_interim());
        if x.interim > limits::INTERIM_MAX {
            return self.fail(x, 503, "too many interim responses", tick, fx);
        }
        x.step(Step::Answer);
        if x.response.is_interim() {
            // 100 answers an expectation that ended here. Clients of HTTP/1.0 know no interim responses.
            if x.response.status != 100 && x.request.version == Version::H11 {
                let plan = ResponsePlan { framing: Framing::None, close: false };
                let head = self.write_head(x, &whole[..len], &plan);
                self.counters.add(Counter::Responses1xx, 1);
                self.send(x.client, head, fx);
            }
            x.step(Step::Ask);
        } else {
            let joined = combine::combine(&whole[..len], &mut x.response.fields, &self.plan.combine);
            let bytes = joined.as_deref().unwrap_or(&whole[..len]);
            let passed_on = match self.page_for(x) {
                Some(page) => {
                    self.learn(x, bytes, tick);
                    self.reply_with_page(x, bytes, page, tick, fx)
                }
                None => self.final_head(x, bytes, framing, tick),
            };
            if let Err(fault) = passed_on {
                x.record.ended_by = EndedBy::Proxy;
                return self.fail(x, 500, &fault.to_string(), tick, fx);
            }
        }
        whole.advance(len);
        if let Some(socket) = x.upstream.and_then(|key| self.sockets.get_mut(key)) {
            socket.input.unpop(whole);
        }
        match x.step {
            Step::Tunnel => {
                self.upload(x, tick, fx);
                self.download(x, tick, fx);
            }
            Step::Relay => self.download(x, tick, fx),
            _ => {}
        }
    }

    /// `RewriteErrors`: the page that this response gets for its body.
    fn page_for(&self, x: &Exchange) -> Option<&'p ErrorPage> {
        if x.response.status < 400 {
            return None;
        }
        let plan = self.plan;
        let listener = &plan.listeners[x.listener as usize];
        let own = x.service.and_then(|service| plan.service(service).rewrite_errors);
        // A file that is not there is an error of ours.
        let ours = || x.backend.is_some_and(|backend| plan.backend(backend).has_files());
        if own.unwrap_or(listener.rewrite_errors) || ours() {
            listener.error_page(x.response.status)
        } else {
            None
        }
    }

    /// Decides how the response is framed for the client, and writes its head.
    fn final_head(
        &mut self,
        x: &mut Exchange,
        bytes: &[u8],
        framing: Framing,
        tick: Tick,
    ) -> Result<(), RewriteFault> {
        let tunnel =
            x.response.status == 101 || (x.request.method == Method::Connect && x.response.status / 100 == 2);
        self.learn(x, bytes, tick);
        // An answer to half a request ends the connection: the rest of the body goes nowhere.
        x.last |= x.request.must_close() || self.draining() || !(x.up.is_done() || tunnel);
        // A client of HTTP/1.0 knows no chunks; one of 1.1 gets them where the backend gave no length, and so keeps
        // its connection.
        let old = x.request.version == Version::H10;
        let outer = match framing {
            // RFC 9110 9.3.6: behind an accepted CONNECT there are no messages.
            _ if tunnel => Framing::None,
            Framing::Chunked if old => Framing::UntilClose,
            Framing::UntilClose if !old => Framing::Chunked,
            framing => framing,
        };
        x.until_close = outer == Framing::UntilClose;
        x.last |= x.until_close;
        x.reusable = !old
            && x.response.version == Version::H11
            && !x.response.must_close()
            && framing != Framing::UntilClose
            && !tunnel;
        x.pin = x.reusable && carries_credentials(x, bytes);
        let plan = ResponsePlan { framing: outer, close: x.last && !tunnel };
        let head = if self.rewrites_response(x) {
            self.rewritten_response(x, bytes, &plan, None)?
        } else {
            self.write_head(x, bytes, &plan)
        };
        x.record.answered(Version::H11, x.response.status, x.response.reason.of(bytes));
        // Attempts that failed before this one are counted as retries.
        x.record.ended_by = EndedBy::Nobody;
        x.answered = true;
        x.relayed = true;
        x.down = Stream::new(Body::of(framing));
        x.down.rechunk = outer == Framing::Chunked;
        x.down.held = Some(head);
        if tunnel {
            x.up.body = Body::UntilEof;
            x.up.max = u64::MAX;
            x.down.body = Body::UntilEof;
            x.up.tunnel = true;
            x.down.tunnel = true;
            x.step(Step::Tunnel);
        } else {
            x.step(Step::Relay);
        }
        Ok(())
    }

    /// Binds a session key that the response carries to the backend that sent it.
    fn learn(&self, x: &Exchange, bytes: &[u8], tick: Tick) {
        let (Some(service), Some(backend)) = (x.service, x.backend) else { return };
        let service = self.plan.service(service);
        session::learn_from(
            self.plan,
            service,
            self.segment,
            backend,
            &x.response,
            bytes,
            tick.mono_ms(),
            self.owner,
        );
    }

    fn write_head(&self, x: &Exchange, bytes: &[u8], plan: &ResponsePlan) -> Buf {
        let locations = self.locations(x, bytes);
        let security = self.transport_security(x).filter(|_| !x.response.is_interim());
        let mut room =
            bytes.len() + ADDED_BYTES + locations.iter().map(|(_, value)| value.len()).sum::<usize>();
        loop {
            let mut out = chain::writable(&self.pool, room);
            let written = if locations.is_empty() && security.is_none() {
                write::response(&mut out, bytes, &x.response, plan, &mut write::keep, |_| {})
            } else {
                let mut edit = |line: Line<'_>| {
                    if security.is_some() && line.name.eq_ignore_ascii_case(STRICT_TRANSPORT_SECURITY) {
                        return Edit::Drop;
                    }
                    let value = locations.iter().find(|(known, _)| *known == line.known);
                    value.map_or(Edit::Keep, |(_, value)| Edit::Value(value))
                };
                write::response(&mut out, bytes, &x.response, plan, &mut edit, |lines| {
                    if let Some(value) = security {
                        lines.field(STRICT_TRANSPORT_SECURITY, value.as_bytes());
                    }
                })
            };
            if written {
                return out;
            }
            room *= 2;
        }
    }

    /// `RewriteLocation`: the fields that get another value, and which.
    pub(crate) fn locations(&self, x: &Exchange, bytes: &[u8]) -> Vec<(Known, Vec<u8>)> {
        let listener = &self.plan.listeners[x.listener as usize];
        let mut values = Vec::new();
        if listener.rewrite_location == RewriteLocation::Off {
            return values;
        }
        for known in [Known::Location, Known::ContentLocation] {
            let Some(field) = x.response.fields.first(known) else { continue };
            let scene = location::Scene {
                mode: listener.rewrite_location,
                protocol: listener.protocol,
                host: x.request.host.map_or(&[], |host| host.of(&x.head)),
                listener: self.client(x.client).and_then(|client| client.local).or(listener.address),
                backend: self.backend_address(x),
            };
            if let Some(value) = location::rewrite(field.value.of(bytes), &scene) {
                values.push((known, value));
            }
        }
        values
    }
}

/// NTLM and Negotiate authenticate the connection, not the request: it must never serve another client (RFC 4559 6).
fn carries_credentials(x: &Exchange, response: &[u8]) -> bool {
    let connection_bound = |value: &[u8]| {
        let starts =
            |scheme: &[u8]| value.get(..scheme.len()).is_some_and(|v| v.eq_ignore_ascii_case(scheme));
        starts(b"NTLM") || starts(b"Negotiate")
    };
    let asked =
        x.response.fields.all(Known::WwwAuthenticate).any(|field| connection_bound(field.value.of(response)));
    let given =
        x.request.fields.all(Known::Authorization).any(|field| connection_bound(field.value.of(&x.head)));
    asked || given
}
