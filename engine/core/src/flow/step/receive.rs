//! Receive: a whole head, parsed and checked. Nothing else makes a request.

use crate::chain::Chain;
use crate::core::Core;
use crate::effect::Effects;
use crate::event::Tick;
use crate::flow::client::End;
use crate::flow::exchange::Exchange;
use crate::flow::stream::{Body, Stream};
use crate::http::Known;
use crate::http::combine;
use crate::http::h1::parse;
use crate::http::head::{Framing, RequestHead};
use crate::http::rules::Rules;
use crate::limits;
use crate::route::Request;
use ounce_conf::model::OneRequest;
use ounce_mem::{Buf, Counter, Key};

impl Core<'_> {
    /// Looks for the next request in what an idle client has sent.
    pub(crate) fn receive(&mut self, key: Key, tick: Tick, fx: &mut Effects) {
        let Some(client) = self.client(key) else { return };
        let listener = &self.plan.listeners[client.listener as usize];
        let mut scanned = client.scanned as usize;
        let owed_max = self.owed_max();
        let Some(socket) = self.sockets.get_mut(key) else { return };
        // A client that asks and does not read waits, or its answers would pile up here.
        if socket.owed >= owed_max {
            return self.pause(key, fx);
        }
        let eof = socket.eof;
        let Some(mut whole) = socket.input.gather() else {
            return self.between_requests(key, eof, tick, fx);
        };
        // Also behind a part that was there before: that may have been the CR of an empty line.
        let empty = parse::skip_empty_lines(&whole);
        if empty > 0 {
            scanned = 0;
            if empty > limits::EMPTY_LINES_MAX {
                socket.input.unpop(whole);
                return self.refuse(key, 400, "too many empty lines", tick, fx);
            }
            whole.advance(empty);
            if whole.is_empty() {
                return self.between_requests(key, eof, tick, fx);
            }
        }
        match parse::head_end(&whole, scanned) {
            Some(len) => {
                // The smaller part is copied.
                let head = if whole.len() - len > len {
                    let head = Buf::heap_from(&whole[..len]);
                    whole.advance(len);
                    socket.input.unpop(whole);
                    head
                } else {
                    let rest = whole.split_off(len);
                    socket.input.unpop(rest);
                    whole
                };
                self.begin(key, head, tick, fx);
            }
            None => {
                let fault = parse::partial_fault(&whole, listener.line_max);
                let searched = whole.len() as u32;
                keep_partial(&mut socket.input, whole);
                match fault {
                    Some(refusal) => self.refuse(key, refusal.status, refusal.why, tick, fx),
                    None if eof => self.end_client(key, End::Flush, tick, fx),
                    None => self.await_head(key, searched, tick, fx),
                }
            }
        }
    }

    /// Nothing of a next request is here.
    fn between_requests(&mut self, key: Key, eof: bool, tick: Tick, fx: &mut Effects) {
        if eof {
            return self.end_client(key, End::Flush, tick, fx);
        }
        let Some(client) = self.client_mut(key) else { return };
        client.scanned = 0;
        client.since_us = 0;
        let listener = client.listener as usize;
        let limit = self.plan.listeners[listener].client_ms * 1000;
        self.receive_from(key, fx);
        self.due(key, tick.mono_us + limit, fx);
    }

    /// Part of a head is here. The whole head has one limit from its first byte on, however often bytes drip in.
    fn await_head(&mut self, key: Key, searched: u32, tick: Tick, fx: &mut Effects) {
        let Some(client) = self.client_mut(key) else { return };
        client.scanned = searched;
        let listener = client.listener as usize;
        if client.since_us == 0 {
            client.since_us = tick.mono_us.max(1);
            let limit = self.plan.listeners[listener].client_ms * 1000;
            self.due(key, tick.mono_us + limit, fx);
        }
        self.receive_from(key, fx);
    }

    /// An exchange for this client, begun with these head bytes.
    fn open(&mut self, key: Key, head: Buf, tick: Tick) -> Box<Exchange> {
        let exchange = self.exchanges.insert(None);
        let mut x = self.spare.pop().unwrap_or_else(|| Box::new(Exchange::new(exchange, key)));
        x.key = exchange;
        x.client = key;
        x.head = head;
        x.started = tick;
        x.moved_us = tick.mono_us;
        let utc_offset = self.utc_offset;
        if let Some(client) = self.client_mut(key) {
            x.listener = client.listener;
            if client.since_us != 0 {
                let waited = tick.mono_us.saturating_sub(client.since_us);
                x.started.mono_us -= waited;
                x.started.wall_us = x.started.wall_us.saturating_sub(waited);
            }
            x.record.begin(client.peer, x.started.wall_us, utc_offset);
            x.entered_us = x.started.mono_us;
            x.now_us = tick.mono_us;
            client.exchange = Some(x.key);
            client.scanned = 0;
            client.since_us = 0;
        }
        x.log_level = self.log_levels[x.listener as usize];
        self.counters.add(Counter::Requests, 1);
        x
    }

    /// A whole head is here.
    fn begin(&mut self, key: Key, head: Buf, tick: Tick, fx: &mut Effects) {
        let mut x = self.open(key, head, tick);
        let listener = &self.plan.listeners[x.listener as usize];
        let rules =
            Rules { line_max: listener.line_max, methods: listener.methods, max_uri: listener.max_uri };
        let outcome = parse::request(&x.head, &rules, &mut x.request);
        match outcome {
            Ok(()) => {
                if let Some(joined) = combine::combine(&x.head, &mut x.request.fields, &self.plan.combine) {
                    x.head = Buf::heap_from(&joined);
                }
                self.admit_request(&mut x, tick, fx);
            }
            Err(refusal) => {
                x.record.request_line(parse::first_line(&x.head));
                // Where the next request would begin is unknown: the end must linger.
                x.up.body = Body::UntilEof;
                self.counters.add(Counter::Refusals, 1);
                self.fail(&mut x, refusal.status, refusal.why, tick, fx);
            }
        }
        self.settle(x, tick, fx);
    }

    /// What the listener asks of every well-formed request (pound.md section 8, order of checks).
    fn admit_request(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let listener = &self.plan.listeners[x.listener as usize];
        x.last = x.request.must_close() || one_request(listener.one_request, &x.request, &x.head);
        if let Some(client) = self.client(x.client) {
            let request = Request {
                head: &x.request,
                bytes: &x.head,
                peer: client.peer,
                response: None,
                trust: None,
                certificate: None,
                till: None,
            };
            x.record.request(&request, self.log_format(x));
            x.checked = true;
        }
        let refused =
            if listener.check_url.as_ref().is_some_and(|url| !url.is_match(x.request.target.of(&x.head))) {
                Some((501, "CheckURL"))
            } else if listener
                .max_request
                .is_some_and(|max| matches!(x.request.framing, Framing::Length(n) if n > max))
            {
                Some((413, "MaxRequest"))
            } else {
                None
            };
        x.up = Stream::new(Body::of(x.request.framing));
        x.up.max = listener.max_request.unwrap_or(u64::MAX);
        if let Some((status, why)) = refused {
            self.counters.add(Counter::Refusals, 1);
            return self.fail(x, status, why, tick, fx);
        }
        self.route(x, tick, fx);
    }

    /// Refuses a head that is not complete and never will be accepted.
    fn refuse(&mut self, key: Key, status: u16, why: &str, tick: Tick, fx: &mut Effects) {
        self.counters.add(Counter::Refusals, 1);
        let head =
            self.sockets.get_mut(key).and_then(|socket| socket.input.pop()).unwrap_or_else(|| Buf::heap(0));
        let mut x = self.open(key, head, tick);
        // There is more to come, whatever it is: the end must linger.
        x.up.body = Body::UntilEof;
        self.fail(&mut x, status, why, tick, fx);
        self.settle(x, tick, fx);
    }
}

/// `NoHTTPS11`: the connection ends after this request.
fn one_request(rule: OneRequest, request: &RequestHead, bytes: &[u8]) -> bool {
    let agent = || request.fields.first(Known::UserAgent).map_or(&b""[..], |field| field.value.of(bytes));
    match rule {
        OneRequest::No => false,
        OneRequest::Always => true,
        OneRequest::OldBrowsers => memchr::memmem::find(agent(), b"MSIE").is_some(),
    }
}

/// Keeps the beginning of a head in memory of its own size: a thousand clients that each send half a head must not
/// hold a thousand pages.
fn keep_partial(input: &mut Chain, whole: Buf) {
    if whole.is_page() {
        let mut small = Buf::heap(whole.len() * 2);
        let taken = small.push(&whole);
        debug_assert!(taken);
        input.unpop(small);
    } else {
        input.unpop(whole);
    }
}
