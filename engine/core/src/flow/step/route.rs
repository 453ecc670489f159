//! Route: which service takes the request.
//!
//! Where that depends on a password, the request waits in this step until the password was looked at, and its selection
//! begins anew with what came of that.

use crate::core::Core;
use crate::effect::{Effect, Effects};
use crate::event::{Tick, Verdict};
use crate::flow::exchange::{Awaited, Exchange, Step};
use crate::limits;
use crate::route::limit::Till;
use crate::route::{self, Request};
use ounce_mem::ServiceId;

impl Core<'_> {
    pub(crate) fn route(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        x.step(Step::Route);
        self.select(x, tick, fx);
    }

    fn select(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let Some(client) = self.client(x.client) else { return };
        let request = Request {
            head: &x.request,
            bytes: &x.head,
            peer: client.peer,
            response: None,
            trust: None,
            certificate: client.certificate(),
            till: Some(self.till(tick.mono_us)),
        };
        let services = self.segment.services();
        let disabled = |row: u32| services.disabled(ServiceId(row));
        x.service = route::select(self.plan, x.listener as usize, &request, &disabled, &mut x.captures);
        if let Some(fault) = x.captures.fault.take() {
            x.service = None;
            return self.fail(x, 500, &fault.to_string(), tick, fx);
        }
        if let Some(question) = x.captures.question.take() {
            x.service = None;
            self.ticket += 1;
            let ticket = self.ticket;
            x.awaited = Some(Awaited { ticket, feed: question.feed, known: question.known });
            self.due(x.client, x.entered_us + limits::PASSWORD_US, fx);
            return fx.push(Effect::Verify { socket: x.client, ticket, question });
        }
        if x.service.is_none() {
            return self.fail(x, 503, "no service", tick, fx);
        }
        x.step(Step::Pick);
        self.pick(x, tick, fx);
    }

    /// Where this worker takes tokens.
    pub(crate) fn till(&self, now_us: u64) -> Till<'_> {
        Till { rates: self.segment.rates(), who: self.owner, now_us }
    }

    /// A password was looked at.
    pub(crate) fn verified(
        &mut self,
        x: &mut Exchange,
        ticket: u64,
        verdict: Verdict,
        tick: Tick,
        fx: &mut Effects,
    ) {
        // The answer to a question of an earlier request, which did not wait for it, is nobody's.
        let Some(awaited) = x.awaited.take_if(|awaited| awaited.ticket == ticket) else { return };
        if verdict == Verdict::Refused {
            return self.fail(x, 503, "too many passwords wait to be looked at", tick, fx);
        }
        x.captures.verdict(awaited.feed, verdict == Verdict::Right && awaited.known);
        self.select(x, tick, fx);
    }

    /// A deadline has passed while a password is looked at: it may be an earlier one.
    pub(crate) fn unanswered(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let end = x.entered_us + limits::PASSWORD_US;
        if tick.mono_us < end {
            return self.due(x.client, end, fx);
        }
        x.awaited = None;
        self.fail(x, 503, "its password was not looked at in time", tick, fx);
    }
}
