//! Link: a connection to the backend, parked or new.

use crate::balance;
use crate::core::{Core, Receiving, Role, Socket};
use crate::effect::{Close, Effect, Effects};
use crate::event::Tick;
use crate::fault::Fault;
use crate::flow::exchange::{Exchange, Side, Step};
use crate::flow::upstream::Upstream;
use crate::observe::problem;
use crate::route::BackendIx;
use ounce_mem::{BackendId, Counter, Key, Placed};

impl Core<'_> {
    /// `placed` is where a place of a name is.
    pub(crate) fn link(
        &mut self,
        x: &mut Exchange,
        backend: BackendIx,
        placed: Option<Placed>,
        tick: Tick,
        fx: &mut Effects,
    ) {
        x.record.set_place(placed.map(|placed| placed.address));
        // After a parked connection died under this request, only a new one can be trusted.
        let parked = if x.retries == 0 { self.take_parked(x, backend.0, placed) } else { None };
        x.reused = parked.is_some();
        if let Some(key) = parked {
            x.upstream = Some(key);
            self.counters.add(Counter::BackendReuses, 1);
            x.step(Step::Ask);
            return self.ask(x, tick, fx);
        }
        let upstream = Upstream {
            backend: backend.0,
            placed,
            exchange: Some(x.key),
            connected: false,
            last_client: x.client,
            pinned: false,
        };
        let socket = Socket::new(Role::Upstream(upstream), Receiving::On);
        let Some(key) = self.sockets.try_insert(socket) else {
            return self.fail(x, 503, &Fault::Resource.text(), tick, fx);
        };
        x.moved_us = tick.mono_us;
        x.upstream = Some(key);
        self.counters.add(Counter::BackendConnects, 1);
        x.step(Step::Link);
        let address = placed.map(|placed| placed.address);
        fx.push(Effect::Connect { socket: key, backend: backend.0, address });
        let limit = self.patience(x, Side::Upstream);
        self.due(key, tick.mono_us + limit, fx);
    }

    /// A parked connection that may serve this request.
    ///
    /// A backend may close a parked connection in the very moment a request goes out on it. Only an idempotent request
    /// without a body can then be sent again, so any other goes on the connection that this client used just before, as
    /// it would without a proxy, or on a new one.
    fn take_parked(&mut self, x: &Exchange, backend: u32, placed: Option<Placed>) -> Option<Key> {
        let sockets = &self.sockets;
        // What was connected before the backend moved leads elsewhere, and ends by its deadline.
        let there = |key: Key| matches!(sockets.get(key).map(|socket| &socket.role), Some(Role::Upstream(up)) if up.placed == placed);
        let mine = |key: Key| matches!(sockets.get(key).map(|socket| &socket.role), Some(Role::Upstream(up)) if up.last_client == x.client);
        let pinned = self.client(x.client).and_then(|client| client.pinned).filter(|&key| {
            Self::waits(sockets, key)
                && matches!(sockets.get(key).map(|s| &s.role), Some(Role::Upstream(up)) if up.backend == backend && up.placed == placed)
        });
        let any = x.request.method.is_idempotent() && x.up.is_done();
        let taken = match pinned {
            Some(key) => Some(key),
            None => self.parked.take(
                backend,
                |key| Self::waits(sockets, key),
                |key| there(key) && (any || mine(key)),
            ),
        };
        let key = taken?;
        if pinned.is_some()
            && let Some(client) = self.client_mut(x.client)
        {
            client.pinned = None;
        }
        self.counters.sub(Counter::BackendIdle, 1);
        if let Some(Role::Upstream(up)) = self.sockets.get_mut(key).map(|socket| &mut socket.role) {
            up.exchange = Some(x.key);
            up.last_client = x.client;
        }
        Some(key)
    }

    pub(crate) fn connected(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let Some(key) = x.upstream else { return };
        if let Some(Role::Upstream(up)) = self.sockets.get_mut(key).map(|socket| &mut socket.role) {
            up.connected = true;
            let row = self.plan.backends[up.backend as usize].row;
            self.segment.backends().opened(BackendId(row), self.owner.worker);
        }
        x.step(Step::Ask);
        self.ask(x, tick, fx);
    }

    /// The backend could not be connected to: everybody learns of it, and the request goes elsewhere.
    pub(crate) fn link_failed(&mut self, x: &mut Exchange, fault: Fault, tick: Tick, fx: &mut Effects) {
        let Some(backend) = x.backend else { return };
        self.counters.add(Counter::BackendConnectFailures, 1);
        self.problem(x, 503, &fault.text(), fx);
        let placed = match x.upstream.and_then(|key| self.sockets.get(key)).map(|socket| &socket.role) {
            Some(Role::Upstream(up)) => up.placed,
            _ => None,
        };
        let era = placed.map(|placed| placed.era);
        if fault.blames_backend()
            && balance::connect_failed(self.plan, self.segment, backend, era, tick.mono_ms())
        {
            let name = x.record.place().unwrap_or(&self.plan.backend(backend).name);
            problem::notice(self.id, &format!("backend {name} is dead: {}", fault.text()), &mut fx.problems);
        }
        self.mark_tried(x, backend);
        self.drop_upstream(x, Close::Abort, fx);
        x.retries += 1;
        self.counters.add(Counter::Retries, 1);
        x.step(Step::Pick);
        self.pick(x, tick, fx);
    }
}
