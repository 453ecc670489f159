//! Finish: the log, the counters, and what becomes of the two connections.

use crate::core::{Core, Role};
use crate::effect::{Close, Effects};
use crate::event::Tick;
use crate::flow::client::End;
use crate::flow::exchange::{Exchange, Step};
use crate::limits;
use crate::observe::Line;
use crate::observe::problem::Problem;
use crate::route::BackendKind;
use ounce_mem::{BackendId, Counter, Key};

impl Core<'_> {
    /// The response has been given out whole.
    pub(crate) fn finish(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        self.park_or_close(x, tick, fx);
        let unread =
            !x.up.is_done() || self.sockets.get(x.client).is_some_and(|socket| !socket.input.is_empty());
        let announced = x.request.must_close();
        let end = match () {
            () if x.step == Step::Tunnel => Some(End::Flush),
            // A request that is still coming in, or another that was sent ahead: see `linger`.
            () if !x.up.is_done() || (x.last && (unread || !announced)) => Some(End::Linger),
            () if x.last => Some(End::Flush),
            () => None,
        };
        self.conclude(x, end, tick, fx);
    }

    /// Ends an exchange; its backend connection has been dealt with.
    pub(crate) fn conclude(&mut self, x: &mut Exchange, end: Option<End>, tick: Tick, fx: &mut Effects) {
        debug_assert!(x.upstream.is_none());
        self.record(x, tick, fx);
        if let Some(client) = self.client_mut(x.client) {
            client.exchange = None;
        }
        if let Some(end) = end {
            self.end_client(x.client, end, tick, fx);
        }
        x.step(Step::Finish);
    }

    /// Keeps the backend connection for another request if it is beyond doubt.
    fn park_or_close(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let Some(key) = x.upstream.take() else { return };
        let clean =
            self.sockets.get(key).is_some_and(|s| !s.eof && !s.failed && s.input.is_empty() && s.owed == 0);
        let there = match self.sockets.get(key).map(|socket| &socket.role) {
            Some(Role::Upstream(up)) => self.leads_there(up),
            _ => false,
        };
        if !(x.reusable && x.up.is_done() && clean && there) || self.draining() {
            let how = if x.up.is_done() { Close::Flush } else { Close::Abort };
            return self.close_upstream(key, how, fx);
        }
        let Some(Role::Upstream(up)) = self.sockets.get_mut(key).map(|socket| &mut socket.role) else {
            return;
        };
        let backend = up.backend;
        up.exchange = None;
        // Once it has carried credentials it always will: later requests of their owner need not repeat them.
        up.pinned |= x.pin;
        let pinned = up.pinned;
        self.counters.add(Counter::BackendIdle, 1);
        let kept = if pinned {
            self.pin(x.client, key)
        } else {
            let sockets = &self.sockets;
            self.parked.park(backend, key, |key| Self::waits(sockets, key))
        };
        if kept {
            self.receive_from(key, fx);
            self.due(key, tick.mono_us + limits::PARKED_US, fx);
        } else {
            self.close_upstream(key, Close::Flush, fx);
        }
    }

    /// Keeps a backend connection for one client; false if that client has another already.
    fn pin(&mut self, client: Key, upstream: Key) -> bool {
        let taken = self.client(client).and_then(|client| client.pinned);
        if taken.is_some_and(|key| Self::waits(&self.sockets, key)) {
            return false;
        }
        let Some(client) = self.client_mut(client) else { return false };
        client.pinned = Some(upstream);
        true
    }

    /// Writes the request's log line and counts its outcome.
    fn record(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        if let Some(given_up) = self.plan.effort.take() {
            self.problem(x, x.record.status, &given_up, fx);
        }
        if let Some(counter) = class(x.record.status) {
            self.counters.add(counter, 1);
        }
        let elapsed_us = tick.mono_us.saturating_sub(x.started.mono_us);
        if let Some(backend) = x.backend.filter(|_| x.relayed) {
            let backend = self.plan.backend(backend);
            if matches!(backend.kind, BackendKind::Server { .. } | BackendKind::House { .. }) {
                self.segment.backends().answered(
                    BackendId(backend.row),
                    self.owner.worker,
                    elapsed_us * 1000,
                );
            }
        }
        let listener = &self.plan.listeners[x.listener as usize];
        let format = self.log_format(x);
        if format.is_silent() || self.is_suppressed(x) {
            return;
        }
        let client = self.client(x.client);
        let record = &mut x.record;
        record.service = x.service;
        record.backend = x.backend;
        record.body_bytes = x.down.taken;
        record.request_bytes = x.up.taken;
        record.elapsed_us = elapsed_us;
        record.retries = x.retries;
        record.ended_in = x.step.name();
        record.spend(x.step as usize, tick.mono_us.saturating_sub(x.entered_us));
        let local = client.and_then(|client| client.local);
        let request = client.filter(|_| x.checked).map(|client| self.seen(x, client.peer));
        let secure = client.and_then(|client| client.secure.as_deref());
        let line =
            Line { record: &x.record, request, plan: self.plan, listener, local, secure, worker: self.id };
        line.render_as(format, &mut fx.requests);
    }

    /// `LogSuppress` of its service.
    fn is_suppressed(&self, x: &Exchange) -> bool {
        let bits = x.service.map_or(0, |service| self.plan.service(service).log_suppress);
        bits & (1_u8.checked_shl(u32::from(x.record.status / 100)).unwrap_or(0)) != 0
    }

    /// Writes a problem line.
    pub(crate) fn problem(&mut self, x: &Exchange, status: u16, what: &str, fx: &mut Effects) {
        let Some(client) = self.client(x.client) else { return };
        let line_end = memchr::memchr2(b'\r', b'\n', &x.head).unwrap_or(x.head.len());
        let problem = Problem {
            id: self.id,
            code: status,
            peer: client.peer,
            backend: x
                .backend
                .map(|backend| x.record.place().unwrap_or_else(|| self.plan.backend(backend).name.as_str())),
            request_line: &x.head[..line_end],
            text: &format!("{}: {what}", x.step.name()),
        };
        problem.render(self.plan.anonymise, &mut fx.problems);
    }
}

fn class(status: u16) -> Option<Counter> {
    Some(match status / 100 {
        1 => Counter::Responses1xx,
        2 => Counter::Responses2xx,
        3 => Counter::Responses3xx,
        4 => Counter::Responses4xx,
        5 => Counter::Responses5xx,
        _ => return None,
    })
}
