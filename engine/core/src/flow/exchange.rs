//! One request and its response.

use crate::Peer;
use crate::balance::Tried;
use crate::core::{Cause, Core};
use crate::effect::{Close, Effects};
use crate::event::{SpliceEnd, Tick};
use crate::fault::{Attempt, Fault};
use crate::flow::stream::Stream;
use crate::http::head::{RequestHead, ResponseHead};
use crate::observe::record::{EndedBy, Record};
use crate::route::rewrite::{Draft, RequestDraft, Sender};
use crate::route::{BackendIx, BackendKind, Captures, Request, ServiceIx};
use ounce_mem::{Buf, Counter, Key};

/// Where an exchange stands. The moves between steps are those of [`Step::may_become`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The head is being read and checked.
    Receive,
    /// A service is looked for.
    Route,
    /// A backend is looked for.
    Pick,
    /// The backend is being connected to.
    Link,
    /// The request goes out; the response head is awaited.
    Ask,
    /// The response head is read and passed on.
    Answer,
    /// The response body goes to the client.
    Relay,
    /// The connection was upgraded: bytes go both ways until both sides have ended.
    Tunnel,
    /// Nothing is left to do.
    Finish,
}

impl Step {
    /// The legal moves, all of them.
    pub(crate) fn may_become(self, next: Step) -> bool {
        use Step::{Answer, Ask, Finish, Link, Pick, Receive, Relay, Route, Tunnel};
        matches!(
            (self, next),
            (Receive, Route)
                | (Route, Pick)
                | (Pick, Link | Ask)
                | (Link, Ask | Pick)
                | (Ask, Answer | Pick)
                | (Answer, Ask | Relay | Tunnel | Pick)
                | (Receive | Route | Pick | Link | Ask | Answer | Relay | Tunnel, Finish)
        )
    }

    /// The step's name in logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Receive => "receive",
            Step::Route => "route",
            Step::Pick => "pick",
            Step::Link => "link",
            Step::Ask => "ask",
            Step::Answer => "answer",
            Step::Relay => "relay",
            Step::Tunnel => "tunnel",
            Step::Finish => "finish",
        }
    }
}

/// An answer about a password that a request waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    /// The number of the question.
    pub(crate) ticket: u64,
    /// The file of users that it is about.
    pub(crate) feed: u32,
    /// The user is in it.
    pub(crate) known: bool,
}

/// Which of the two connections of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Upstream,
}

impl Side {
    /// What counts the bytes that come from it.
    pub(crate) fn bytes_in(self) -> Counter {
        match self {
            Side::Client => Counter::BytesClientIn,
            Side::Upstream => Counter::BytesBackendIn,
        }
    }

    /// What counts the bytes that it takes.
    pub(crate) fn bytes_out(self) -> Counter {
        match self {
            Side::Client => Counter::BytesClientOut,
            Side::Upstream => Counter::BytesBackendOut,
        }
    }
}

/// One request and its response. Recycled: its vectors keep their memory from request to request.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) key: Key,
    pub(crate) client: Key,
    pub(crate) upstream: Option<Key>,
    pub(crate) listener: u16,
    pub(crate) step: Step,
    /// When the first byte of the request came.
    pub(crate) started: Tick,
    /// When anything last moved on either side, or a new wait began: limits count from here.
    pub(crate) moved_us: u64,
    /// The bytes that `request` points into; kept for retries and for the log.
    pub(crate) head: Buf,
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(crate) captures: Captures,
    /// What rules made of the request for its backend.
    pub(crate) draft: Option<Box<RequestDraft>>,
    /// The question about its password that waits for an answer.
    pub(crate) awaited: Option<Awaited>,
    pub(crate) service: Option<ServiceIx>,
    pub(crate) backend: Option<BackendIx>,
    pub(crate) tried: Tried,
    pub(crate) retries: u16,
    /// Client to backend.
    pub(crate) up: Stream,
    /// Backend to client.
    pub(crate) down: Stream,
    /// The backend connection had served a request before.
    pub(crate) reused: bool,
    /// The request was given out for sending to a backend.
    pub(crate) sent: bool,
    /// A byte of the final response was given out for sending to the client.
    pub(crate) answered: bool,
    /// The final response is the backend's, and not one of our own.
    pub(crate) relayed: bool,
    /// Interim responses so far.
    pub(crate) interim: u8,
    /// How much of an incomplete response head has been searched for its end.
    pub(crate) scanned: u32,
    /// The client was told that its body is wanted.
    pub(crate) invited: bool,
    /// The client connection ends with this exchange.
    pub(crate) last: bool,
    /// The response to the client ends where its connection does.
    pub(crate) until_close: bool,
    /// The backend connection can serve another request when the response is complete.
    pub(crate) reusable: bool,
    /// The backend connection must serve nobody but this client from now on.
    pub(crate) pin: bool,
    /// The time of the event that is being dealt with.
    pub(crate) now_us: u64,
    /// When the step began.
    pub(crate) entered_us: u64,
    /// `request` is that of a head that was accepted.
    pub(crate) checked: bool,
    /// What the log will say.
    pub(crate) record: Record,
    /// In which format, if an operator has chosen one.
    pub(crate) log_level: Option<usize>,
}

impl Exchange {
    pub(crate) fn new(key: Key, client: Key) -> Exchange {
        Exchange {
            key,
            client,
            upstream: None,
            listener: 0,
            step: Step::Receive,
            started: Tick::default(),
            moved_us: 0,
            head: Buf::heap(0),
            request: RequestHead::default(),
            response: ResponseHead::default(),
            captures: Captures::default(),
            draft: None,
            awaited: None,
            service: None,
            backend: None,
            tried: Tried::default(),
            retries: 0,
            up: Stream::default(),
            down: Stream::default(),
            reused: false,
            sent: false,
            answered: false,
            relayed: false,
            interim: 0,
            scanned: 0,
            invited: false,
            last: false,
            until_close: false,
            reusable: false,
            pin: false,
            now_us: 0,
            entered_us: 0,
            checked: false,
            record: Record::new(),
            log_level: None,
        }
    }

    /// Forgets everything but its memory.
    pub(crate) fn clear(&mut self) {
        let mut fresh = Exchange::new(self.key, self.client);
        std::mem::swap(&mut fresh.request, &mut self.request);
        std::mem::swap(&mut fresh.response, &mut self.response);
        std::mem::swap(&mut fresh.captures, &mut self.captures);
        std::mem::swap(&mut fresh.tried, &mut self.tried);
        std::mem::swap(&mut fresh.record, &mut self.record);
        fresh.request.clear();
        fresh.response.clear();
        fresh.captures.clear();
        fresh.tried.clear();
        *self = fresh;
    }

    pub(crate) fn step(&mut self, next: Step) {
        debug_assert!(self.step.may_become(next), "{:?} to {next:?}", self.step);
        self.record.spend(self.step as usize, self.now_us.saturating_sub(self.entered_us));
        self.entered_us = self.now_us;
        self.step = next;
    }

    /// The request as conditions, session keys and expansions see it.
    pub(crate) fn view(&self, peer: Peer) -> Request<'_> {
        Request {
            head: &self.request,
            bytes: &self.head,
            peer,
            response: None,
            trust: None,
            certificate: None,
            till: None,
        }
    }

    /// The same request as its backend saw it.
    pub(crate) fn sent_view<'a>(&'a self, sender: Sender<'a>) -> Request<'a> {
        match &self.draft {
            Some(draft) => draft.view(sender),
            None => {
                let Sender { peer, trust, certificate, till } = sender;
                Request { trust, certificate, till, ..self.view(peer) }
            }
        }
    }

    pub(crate) fn attempt(&self) -> Attempt {
        Attempt {
            sent: self.sent,
            body_taken: self.up.begun,
            answered: self.answered,
            idempotent: self.request.method.is_idempotent(),
        }
    }
}

impl Core<'_> {
    /// Something happened on one of the two connections of an exchange.
    pub(crate) fn on_exchange(&mut self, key: Key, side: Side, cause: Cause, tick: Tick, fx: &mut Effects) {
        let Some(mut x) = self.exchanges.get_mut(key).and_then(Option::take) else {
            debug_assert!(false, "a socket names an exchange that is gone");
            return;
        };
        x.now_us = tick.mono_us;
        self.drive(&mut x, side, cause, tick, fx);
        self.settle(x, tick, fx);
    }

    /// Puts an exchange back into its slot, or ends it and looks for the next request of its client.
    pub(crate) fn settle(&mut self, mut x: Box<Exchange>, tick: Tick, fx: &mut Effects) {
        if x.step != Step::Finish {
            if let Some(slot) = self.exchanges.get_mut(x.key) {
                *slot = Some(x);
            }
            return;
        }
        let client = x.client;
        self.exchanges.remove(x.key);
        x.clear();
        if self.spare.len() < crate::limits::SPARE_EXCHANGES {
            self.spare.push(x);
        }
        if self.client(client).is_some() {
            self.receive(client, tick, fx);
        }
    }

    fn drive(&mut self, x: &mut Exchange, side: Side, cause: Cause, tick: Tick, fx: &mut Effects) {
        match (side, cause) {
            (Side::Upstream, Cause::Connected) => self.connected(x, tick, fx),
            (Side::Upstream, Cause::Failed(fault)) => {
                // What it said before is still to be passed on, and may be all that was to be said.
                let unread = x.upstream.and_then(|key| self.sockets.get(key));
                if x.step == Step::Relay && unread.is_some_and(|socket| !socket.input.is_empty()) {
                    return self.download(x, tick, fx);
                }
                self.upstream_failed(x, fault, tick, fx);
            }
            (Side::Client, Cause::Failed(_)) => self.abandon(x, tick, fx),
            (_, Cause::Expired) => self.expired(x, side, tick, fx),
            (Side::Upstream, Cause::Bytes | Cause::Eof) => {
                self.progress(x, side, tick, fx);
                if x.step == Step::Ask { self.answer(x, tick, fx) } else { self.download(x, tick, fx) }
            }
            (Side::Upstream, Cause::Paused) => self.download(x, tick, fx),
            (Side::Upstream, Cause::Sent) => {
                self.progress(x, side, tick, fx);
                self.upload(x, tick, fx);
            }
            (Side::Client, Cause::Bytes | Cause::Eof) => {
                // What nobody waits for yet (a request sent ahead, a body that has no backend) prolongs no wait.
                if x.sent && !x.up.is_done() {
                    self.progress(x, side, tick, fx);
                }
                self.upload(x, tick, fx);
            }
            (Side::Client, Cause::Paused) => self.upload(x, tick, fx),
            (Side::Client, Cause::Sent) => {
                self.progress(x, side, tick, fx);
                self.download(x, tick, fx);
            }
            (side, Cause::Spliced { bytes, sink_full }) => {
                let stream = if side == Side::Client { &mut x.up } else { &mut x.down };
                stream.sink_full = sink_full;
                if bytes > 0 {
                    self.spliced(x, side, bytes, tick, fx);
                }
            }
            (_, Cause::Verified { ticket, verdict }) => self.verified(x, ticket, verdict, tick, fx),
            (side, Cause::SpliceEnded(end)) => self.splice_ended(x, side, end, tick, fx),
            (Side::Client, Cause::Connected) => debug_assert!(false, "clients are not connected to"),
        }
    }

    /// One side moved: its patience starts anew.
    fn progress(&mut self, x: &mut Exchange, side: Side, tick: Tick, fx: &mut Effects) {
        x.moved_us = tick.mono_us;
        let key = match side {
            Side::Client => Some(x.client),
            Side::Upstream => x.upstream,
        };
        if let Some(key) = key {
            let limit = self.patience(x, side);
            self.due(key, tick.mono_us + limit, fx);
        }
    }

    /// How long one side may stand still while the exchange waits for it, in microseconds.
    pub(crate) fn patience(&self, x: &Exchange, side: Side) -> u64 {
        let limit_ms = match (side, x.backend.map(|backend| &self.plan.backend(backend).kind)) {
            (_, Some(BackendKind::Server { ws_ms, .. })) if x.step == Step::Tunnel => *ws_ms,
            (Side::Upstream, Some(BackendKind::Server { connect_ms, .. })) if x.step == Step::Link => {
                *connect_ms
            }
            (
                Side::Upstream,
                Some(BackendKind::Server { timeout_ms, .. } | BackendKind::House { timeout_ms, .. }),
            ) => *timeout_ms,
            _ => self.plan.listeners[x.listener as usize].client_ms,
        };
        limit_ms * 1000
    }

    /// A deadline has passed. Has nothing moved for as long as this side may stand still, and is it the one that the
    /// exchange waits for?
    fn expired(&mut self, x: &mut Exchange, side: Side, tick: Tick, fx: &mut Effects) {
        if side == Side::Client && x.step == Step::Route {
            return self.unanswered(x, tick, fx);
        }
        let patience = self.patience(x, side);
        let end = x.moved_us + patience;
        if tick.mono_us >= end && (x.step == Step::Tunnel || self.waited_for(x, side)) {
            return match side {
                Side::Client => self.abandon(x, tick, fx),
                Side::Upstream => self.upstream_failed(x, Fault::TimedOut, tick, fx),
            };
        }
        let again = if tick.mono_us < end { end } else { tick.mono_us + patience };
        let key = if side == Side::Client { Some(x.client) } else { x.upstream };
        if let Some(key) = key {
            self.due(key, again, fx);
        }
    }

    /// The exchange cannot go on until this side does something.
    fn waited_for(&self, x: &Exchange, side: Side) -> bool {
        let owes = |key: Key| self.sockets.get(key).is_some_and(|socket| socket.owed > 0);
        let (sink, source) = match side {
            Side::Client => (&x.down, &x.up),
            Side::Upstream => (&x.up, &x.down),
        };
        let (this, other) = match side {
            Side::Client => (Some(x.client), x.upstream),
            Side::Upstream => (x.upstream, Some(x.client)),
        };
        // It does not take what we send.
        if this.is_some_and(owes) || (sink.splicing && sink.sink_full) {
            return true;
        }
        // We read from it, and what it sent before has gone on.
        let reading = if source.splicing { !source.sink_full } else { !other.is_some_and(owes) };
        match side {
            Side::Client => !source.is_done() && reading && x.step != Step::Link,
            // Before the response, a backend is waited for only when it has the whole request.
            Side::Upstream => match x.step {
                Step::Link => true,
                Step::Ask | Step::Answer => x.up.is_done(),
                _ => reading,
            },
        }
    }

    fn spliced(&mut self, x: &mut Exchange, from: Side, bytes: u64, tick: Tick, fx: &mut Effects) {
        let stream = match from {
            Side::Client => &mut x.up,
            Side::Upstream => &mut x.down,
        };
        stream.took(bytes);
        self.count_moved(from, bytes);
        self.counters.add(Counter::SplicedBytes, bytes);
        self.progress(x, Side::Client, tick, fx);
        self.progress(x, Side::Upstream, tick, fx);
    }

    fn splice_ended(&mut self, x: &mut Exchange, from: Side, end: SpliceEnd, tick: Tick, fx: &mut Effects) {
        let stream = match from {
            Side::Client => &mut x.up,
            Side::Upstream => &mut x.down,
        };
        stream.splicing = false;
        stream.copied |= end == SpliceEnd::NotBegun;
        let other = if from == Side::Client { Side::Upstream } else { Side::Client };
        let (broken, fault) = match end {
            SpliceEnd::Complete | SpliceEnd::NotBegun => (None, Fault::Reset),
            SpliceEnd::SourceEnded => {
                let key = if from == Side::Client { Some(x.client) } else { x.upstream };
                if let Some(socket) = key.and_then(|key| self.sockets.get_mut(key)) {
                    socket.eof = true;
                }
                (None, Fault::Reset)
            }
            SpliceEnd::SourceFailed(fault) => (Some(from), fault),
            SpliceEnd::SinkFailed(fault) => (Some(other), fault),
        };
        match broken {
            Some(Side::Client) => self.abandon(x, tick, fx),
            Some(Side::Upstream) => self.upstream_failed(x, fault, tick, fx),
            None if from == Side::Client => self.upload(x, tick, fx),
            None => self.download(x, tick, fx),
        }
    }

    /// The backend connection broke or stood still.
    pub(crate) fn upstream_failed(&mut self, x: &mut Exchange, fault: Fault, tick: Tick, fx: &mut Effects) {
        x.record.ended_by = EndedBy::Backend;
        match x.step {
            Step::Link => self.link_failed(x, fault, tick, fx),
            Step::Ask | Step::Answer => {
                if x.attempt().may_retry() && fault != Fault::TimedOut {
                    return self.retry(x, tick, fx);
                }
                self.fail(x, 503, &fault.text(), tick, fx);
            }
            // Part of the response is out: the client must see that it is cut short.
            _ => self.cut_short(x, &fault.text(), tick, fx),
        }
    }

    /// Takes the request to another backend, or to a fresh connection of the same if a parked one had died.
    pub(crate) fn retry(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        self.counters.add(Counter::Retries, 1);
        x.retries += 1;
        if let Some(backend) = x.backend
            && !x.reused
            && !self.comes_back(x, backend)
        {
            self.mark_tried(x, backend);
        }
        self.drop_upstream(x, Close::Abort, fx);
        x.up.rewind(x.request.framing);
        x.down = Stream::default();
        x.sent = false;
        x.interim = 0;
        x.scanned = 0;
        x.step(Step::Pick);
        self.pick(x, tick, fx);
    }

    /// There is a successor at once where this backend was, and no other place to go to.
    fn comes_back(&self, x: &Exchange, backend: BackendIx) -> bool {
        let house = matches!(self.plan.backend(backend).kind, BackendKind::House { .. });
        house && x.retries <= crate::limits::HOUSE_RETRIES
    }

    /// Lets go of the backend connection without using it again.
    pub(crate) fn drop_upstream(&mut self, x: &mut Exchange, how: Close, fx: &mut Effects) {
        if let Some(key) = x.upstream.take() {
            self.close_upstream(key, how, fx);
        }
    }
}
