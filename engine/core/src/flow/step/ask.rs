//! Ask: the request head goes to the backend.

use crate::chain;
use crate::core::Core;
use crate::effect::Effects;
use crate::event::Tick;
use crate::flow::client::Client;
use crate::flow::exchange::{Exchange, Side};
use crate::http::h1::write::{self, Edit, Forwarded, Line, RequestPlan};
use crate::http::{Known, Version};
use crate::observe::record::EndedBy;
use crate::route::rewrite::RewriteFault;
use crate::route::rules::Rewriter;
use crate::route::{BackendKind, location};
use ounce_conf::model::{Address, ClientCertificate, Protocol};
use ounce_mem::{Buf, Counter};
use std::net::SocketAddr;

/// What the canned lines of a request may take in all: generous, since too little only costs a second writing.
const CANNED_BYTES: usize = 512;

impl Core<'_> {
    pub(crate) fn ask(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let Some(key) = x.upstream else { return };
        let head = if self.rewrites_request(x) { self.rewritten_request(x) } else { self.request_head(x) };
        let head = match head {
            Ok(head) => head,
            Err(error) => {
                x.record.ended_by = EndedBy::Proxy;
                return self.fail(x, 500, &error.to_string(), tick, fx);
            }
        };
        x.up.held = Some(head);
        x.sent = true;
        x.moved_us = tick.mono_us;
        let limit = self.patience(x, Side::Upstream);
        self.due(key, tick.mono_us + limit, fx);
        self.receive_from(key, fx);
        self.invite_body(x, fx);
        self.upload(x, tick, fx);
    }

    /// Tells a client that waits for it that its body is wanted, now that there is somebody to take it
    /// (RFC 9110 10.1.1). The expectation itself ends here, as in Pound: backends are not asked.
    fn invite_body(&mut self, x: &mut Exchange, fx: &mut Effects) {
        let waiting = x.request.expect_continue
            && !x.up.is_done()
            && self.sockets.get(x.client).is_some_and(|socket| socket.input.is_empty());
        if waiting && !x.invited {
            x.invited = true;
            self.counters.add(Counter::Responses1xx, 1);
            self.send(x.client, Buf::heap_from(write::CONTINUE), fx);
        }
    }

    /// The request head as the backend gets it.
    fn request_head(&self, x: &Exchange) -> Result<Buf, RewriteFault> {
        let Some(client) = self.client(x.client) else { return Ok(Buf::heap(0)) };
        let mut digits = [0; 20];
        let ssl = self.secure_lines(x, client);
        let plan = self.request_plan(x, client, &ssl, &mut digits);
        let listener = &self.plan.listeners[x.listener as usize];
        let destination = if listener.rewrite_destination { self.destination(x) } else { None };
        let rewriter = Rewriter::new(&listener.header_rules, &self.seen(x, client.peer), &x.captures)?;
        let server_name = self.server_name(x);
        let mut room = x.head.len() + CANNED_BYTES + rewriter.added_bytes();
        loop {
            let mut out = chain::writable(&self.pool, room);
            let written = if rewriter.is_idle() && destination.is_none() && server_name.is_none() {
                write::request(&mut out, &x.head, &x.request, &plan, &mut write::keep, |_| {})
            } else {
                let mut edit = |line: Line<'_>| match &destination {
                    // The rules see it as the backend will.
                    Some(value) if line.known == Known::Destination => {
                        match rewriter.edit(Line { value, ..line }) {
                            Edit::Keep => Edit::Value(value),
                            edit => edit,
                        }
                    }
                    _ => match (rewriter.edit(line), server_name) {
                        (Edit::Keep, Some(name)) if line.known == Known::Host => Edit::Value(name),
                        (edit, _) => edit,
                    },
                };
                rewriter.begin();
                write::request(&mut out, &x.head, &x.request, &plan, &mut edit, |lines| {
                    rewriter.finish(lines);
                })
            };
            if written {
                return Ok(out);
            }
            room *= 2;
        }
    }

    /// The X-SSL lines of a request (HeaderOption `ssl`).
    pub(crate) fn secure_lines<'a>(&self, x: &Exchange, client: &'a Client) -> Vec<(&'a [u8], &'a [u8])> {
        let listener = &self.plan.listeners[x.listener as usize];
        match &client.secure {
            Some(secure) if listener.header_option.ssl => {
                // A certificate that was asked for on behalf of some services is unverified, and none of the others'
                // business.
                let told =
                    listener.tls.as_ref().is_some_and(|tls| tls.client != ClientCertificate::ForServices);
                secure.lines(told)
            }
            _ => Vec::new(),
        }
    }

    /// `ServerName`: what the backend is told in place of the Host that came.
    pub(crate) fn server_name(&self, x: &Exchange) -> Option<&[u8]> {
        match &self.plan.backend(x.backend?).kind {
            BackendKind::Server { server_name, .. } => server_name.as_deref().map(str::as_bytes),
            _ => None,
        }
    }

    /// How a request is written to its backend. `digits` is room for a port.
    pub(crate) fn request_plan<'a>(
        &'a self,
        x: &'a Exchange,
        client: &'a Client,
        ssl: &'a [(&'a [u8], &'a [u8])],
        digits: &'a mut [u8; 20],
    ) -> RequestPlan<'a> {
        let listener = &self.plan.listeners[x.listener as usize];
        let port = match (listener.port, client.local) {
            (0, Some(local)) => local.port(),
            (port, _) => port,
        };
        let forwarded = Forwarded {
            client: client.peer_text.as_bytes(),
            proto: if listener.protocol == Protocol::Https { b"https" } else { b"http" },
            port: (port != 0).then(|| write::decimal(u64::from(port), digits)),
        };
        RequestPlan {
            target: x.request.target.of(&x.head),
            version: x.request.version,
            forwarded: listener.header_option.forwarded.then_some(forwarded),
            ssl,
            // A backend that is spoken to in HTTP/1.0 has no other way to end its answer in all cases.
            close: x.request.version == Version::H10,
        }
    }

    /// `RewriteDestination`: the Destination field of this request as its backend must see it.
    pub(crate) fn destination(&self, x: &Exchange) -> Option<Vec<u8>> {
        let value = x.request.fields.first(Known::Destination)?.value.of(&x.head);
        let BackendKind::Server { tls, .. } = &self.plan.backend(x.backend?).kind else { return None };
        location::destination(value, self.backend_address(x)?, tls.is_some())
    }

    /// Where the backend of this request is, unless that is a UNIX socket or nowhere.
    pub(crate) fn backend_address(&self, x: &Exchange) -> Option<SocketAddr> {
        match &self.plan.backend(x.backend?).kind {
            BackendKind::Server { address: Address::Inet(address), .. } => Some(*address),
            BackendKind::Server { address: Address::Name(_), .. } => x.record.place_address(),
            _ => None,
        }
    }
}
