//! Pick: which backend of the service.

use crate::balance::{self, session};
use crate::core::Core;
use crate::effect::Effects;
use crate::event::Tick;
use crate::flow::exchange::Exchange;
use crate::route::{BackendIx, BackendKind};
use ounce_mem::BackendId;

impl Core<'_> {
    pub(crate) fn pick(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let plan = self.plan;
        let Some(service) = x.service.map(|service| plan.service(service)) else { return };
        let Some(peer) = self.client(x.client).map(|client| client.peer) else { return };
        let mut tried = std::mem::take(&mut x.tried);
        let request = x.view(peer);
        let key = service.session.as_ref().and_then(|plan| session::key(&plan.kind, &request));
        let key = key.as_ref().map(session::Key::as_bytes);
        let (now_ms, random) = (tick.mono_ms(), self.random.next());
        let chosen = loop {
            let chosen = balance::pick(plan, service, self.segment, key, now_ms, self.owner, &tried, random);
            let Some(backend) = chosen else { break None };
            if plan.backend(backend).place.is_none() {
                break Some((backend, None));
            }
            // A place that is just being written is passed over.
            match self.segment.places().at(BackendId(plan.backend(backend).row)) {
                Some(placed) => break Some((backend, Some(placed))),
                None => tried.insert(service.position(backend)),
            }
        };
        x.tried = tried;
        x.backend = chosen.map(|(backend, _)| backend);
        let Some((backend, placed)) = chosen else {
            return self.fail(x, 503, "no backend is available", tick, fx);
        };
        match &plan.backend(backend).kind {
            BackendKind::Server { .. } | BackendKind::House { .. } => self.link(x, backend, placed, tick, fx),
            // Never chosen: its places are.
            BackendKind::Name(_) => self.fail(x, 503, "no backend is available", tick, fx),
            BackendKind::Redirect(redirect) => self.reply_redirect(x, redirect, tick, fx),
            BackendKind::Success => self.reply_success(x, tick, fx),
            BackendKind::Error { code, page } => self.reply_error(x, *code, page.as_ref(), tick, fx),
        }
    }

    /// This request does not go to this backend again.
    pub(crate) fn mark_tried(&self, x: &mut Exchange, backend: BackendIx) {
        let service = self.plan.service(self.plan.backend(backend).service);
        x.tried.insert(service.position(backend));
    }
}
