//! Pick: which backend of the service.

use crate::balance::{self, session};
use crate::core::Core;
use crate::effect::Effects;
use crate::event::Tick;
use crate::flow::exchange::Exchange;
use crate::route::{BackendIx, BackendKind};

impl Core<'_> {
    pub(crate) fn pick(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let plan = self.plan;
        let Some(service) = x.service.map(|service| plan.service(service)) else { return };
        let Some(peer) = self.client(x.client).map(|client| client.peer) else { return };
        let request = x.view(peer);
        let key = service.session.as_ref().and_then(|plan| session::key(&plan.kind, &request));
        let chosen = balance::pick(
            plan,
            service,
            self.segment,
            key.as_ref().map(session::Key::as_bytes),
            tick.mono_ms(),
            self.owner,
            &x.tried,
            self.random.next(),
        );
        x.backend = chosen;
        let Some(backend) = chosen else {
            return self.fail(x, 503, "no backend is available", tick, fx);
        };
        match &plan.backend(backend).kind {
            BackendKind::Server { .. } | BackendKind::House { .. } => self.link(x, backend, tick, fx),
            BackendKind::Redirect(redirect) => self.reply_redirect(x, redirect, tick, fx),
            BackendKind::Success => self.reply_success(x, tick, fx),
            BackendKind::Error { code, page } => self.reply_page(x, *code, page.as_ref(), tick, fx),
        }
    }

    /// This request does not go to this backend again.
    pub(crate) fn mark_tried(&self, x: &mut Exchange, backend: BackendIx) {
        let service = self.plan.service(self.plan.backend(backend).service);
        x.tried.insert(service.position(backend));
    }
}
