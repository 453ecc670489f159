//! Route: which service takes the request.

use crate::core::Core;
use crate::effect::Effects;
use crate::event::Tick;
use crate::flow::exchange::{Exchange, Step};
use crate::route::{self, Request};
use ounce_mem::ServiceId;

impl Core<'_> {
    pub(crate) fn route(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        x.step(Step::Route);
        let Some(client) = self.client(x.client) else { return };
        let request = Request {
            head: &x.request,
            bytes: &x.head,
            peer: client.peer,
            response: None,
            trust: None,
            certificate: client.certificate(),
        };
        let services = self.segment.services();
        let disabled = |row: u32| services.disabled(ServiceId(row));
        x.service = route::select(self.plan, x.listener as usize, &request, &disabled, &mut x.captures);
        if let Some(fault) = x.captures.fault.take() {
            x.service = None;
            return self.fail(x, 500, &fault.to_string(), tick, fx);
        }
        if x.service.is_none() {
            return self.fail(x, 503, "no service", tick, fx);
        }
        x.step(Step::Pick);
        self.pick(x, tick, fx);
    }
}
