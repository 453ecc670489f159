//! A connection to a backend.

use crate::core::{Cause, Core, Role};
use crate::effect::{Close, Effects};
use crate::event::Tick;
use crate::flow::exchange::Side;
use ounce_mem::{BackendId, Counter, Key, Placed};

/// A connection to a backend: dialling or busy with one exchange, or parked.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Index in the plan.
    pub(crate) backend: u32,
    /// Where a place of a name was when it was connected to.
    pub(crate) placed: Option<Placed>,
    /// Whom it works for; `None` while parked.
    pub(crate) exchange: Option<Key>,
    /// The connection stands.
    pub(crate) connected: bool,
    /// The client that it served last.
    pub(crate) last_client: Key,
    /// It carries credentials of `last_client` (NTLM, Negotiate) and must serve nobody else.
    pub(crate) pinned: bool,
}

impl Core<'_> {
    pub(crate) fn on_upstream(&mut self, key: Key, cause: Cause, tick: Tick, fx: &mut Effects) {
        let Some(socket) = self.sockets.get(key) else { return };
        let Role::Upstream(upstream) = &socket.role else { return };
        if let Some(exchange) = upstream.exchange {
            return self.on_exchange(exchange, Side::Upstream, cause, tick, fx);
        }
        match cause {
            // A parked connection has nothing to say: whatever it says, it is of no use any more.
            Cause::Bytes | Cause::Eof | Cause::Failed(_) | Cause::Expired => {
                if !upstream.pinned {
                    self.parked.ended(upstream.backend);
                }
                self.close_upstream(key, Close::Flush, fx);
            }
            _ => {}
        }
    }

    /// Closes a connection to a backend that is in no list any more.
    pub(crate) fn close_upstream(&mut self, key: Key, how: Close, fx: &mut Effects) {
        let Some(socket) = self.sockets.get(key) else { return };
        if let Role::Upstream(upstream) = &socket.role {
            if upstream.connected {
                let row = BackendId(self.plan.backends[upstream.backend as usize].row);
                self.segment.backends().closed(row, self.owner.worker);
            }
            if upstream.exchange.is_none() {
                self.counters.sub(Counter::BackendIdle, 1);
            }
            self.close(key, how, fx);
        }
    }

    /// It goes to where its backend is now.
    pub(crate) fn leads_there(&self, upstream: &Upstream) -> bool {
        let row = BackendId(self.plan.backends[upstream.backend as usize].row);
        upstream.placed.is_none_or(|placed| self.segment.places().at(row) == Some(placed))
    }

    /// The connection waits for a request.
    pub(crate) fn waits(sockets: &ounce_mem::Slots<crate::core::Socket>, key: Key) -> bool {
        sockets.get(key).is_some_and(
            |socket| matches!(&socket.role, Role::Upstream(up) if up.exchange.is_none() && up.connected),
        )
    }
}
