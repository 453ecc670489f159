//! What we answer ourselves: errors, redirects, pages.

use crate::core::Core;
use crate::effect::{Close, Effects};
use crate::event::Tick;
use crate::flow::client::End;
use crate::flow::exchange::{Exchange, Step};
use crate::http::h1::parse;
use crate::http::h1::write::ResponsePlan;
use crate::http::reply::{self, Reply};
use crate::http::rules::ResponseRules;
use crate::http::{Framing, Method, Version};
use crate::observe::record::EndedBy;
use crate::route::rewrite::RewriteFault;
use crate::route::{RedirectPlan, redirect};
use ounce_conf::model::ErrorPage;
use ounce_mem::Buf;

impl Core<'_> {
    /// Logs what went wrong and answers with the page for `status`.
    pub(crate) fn fail(&mut self, x: &mut Exchange, status: u16, why: &str, tick: Tick, fx: &mut Effects) {
        self.problem(x, status, why, fx);
        let reply = self.page(x, status, None);
        self.reply(x, reply, tick, fx);
    }

    /// The page for a status: this one, or the listener's, or the built-in one.
    fn page(&self, x: &Exchange, status: u16, page: Option<&ErrorPage>) -> Reply {
        let listener = &self.plan.listeners[x.listener as usize];
        match page.or_else(|| listener.error_page(status)) {
            Some(page) => reply::page(status, listener.methods, &page.header_lines, &page.body),
            None => reply::error(status, listener.methods),
        }
    }

    /// `Error`: the answer that a service was written for, and so one that response rules see.
    pub(crate) fn reply_error(
        &mut self,
        x: &mut Exchange,
        status: u16,
        page: Option<&ErrorPage>,
        tick: Tick,
        fx: &mut Effects,
    ) {
        let reply = self.page(x, status, page);
        self.reply_by_rules(x, reply, tick, fx);
    }

    pub(crate) fn reply_redirect(
        &mut self,
        x: &mut Exchange,
        plan: &RedirectPlan,
        tick: Tick,
        fx: &mut Effects,
    ) {
        let Some(peer) = self.client(x.client).map(|client| client.peer) else { return };
        // Rules make of the request what the URL is made of.
        if self.rewrites_request(x)
            && let Err(fault) = self.rewritten_request(x)
        {
            return self.fail(x, 500, &fault.to_string(), tick, fx);
        }
        match redirect::location(plan, &x.sent_view(self.sender(x, peer)), &x.captures) {
            Ok(location) => self.reply(x, reply::redirect(plan.code, &location, true), tick, fx),
            Err(error) => self.fail(x, 500, &error.to_string(), tick, fx),
        }
    }

    /// Every answer of our own ends the connection: a request that was refused may not end where it says, and Pound's
    /// users know their error pages to close.
    fn reply(&mut self, x: &mut Exchange, reply: Reply, tick: Tick, fx: &mut Effects) {
        debug_assert!(!x.answered);
        let reply = match self.transport_security(x) {
            Some(value) => reply.with_field(reply::STRICT_TRANSPORT_SECURITY, value.as_bytes()),
            None => reply,
        };
        self.send_reply(x, &reply, reply.head(), tick, fx);
    }

    /// The same, but the rules for responses see it first.
    fn reply_by_rules(&mut self, x: &mut Exchange, reply: Reply, tick: Tick, fx: &mut Effects) {
        if !self.rewrites_response(x) {
            return self.reply(x, reply, tick, fx);
        }
        let rules = ResponseRules { line_max: u32::MAX, ..ResponseRules::default() };
        let framing = match parse::response(reply.head(), &rules, &mut x.response) {
            Ok(framing) => framing,
            // A page of the operator's whose header lines are no header.
            Err(fault) => return self.fail(x, 500, fault.why, tick, fx),
        };
        match self.rewritten_response(x, reply.head(), &ResponsePlan { framing, close: true }, None) {
            Ok(head) => self.send_reply(x, &reply, &head, tick, fx),
            Err(fault) => self.fail(x, 500, &fault.to_string(), tick, fx),
        }
    }

    /// Sends an answer of our own under this head.
    fn send_reply(&mut self, x: &mut Exchange, reply: &Reply, head: &[u8], tick: Tick, fx: &mut Effects) {
        if x.record.ended_by == EndedBy::Nobody {
            // Once the request is out, what is wrong is wrong with the response.
            let asked = matches!(x.step, Step::Ask | Step::Answer);
            x.record.ended_by = if asked { EndedBy::Backend } else { EndedBy::Proxy };
        }
        self.drop_upstream(x, Close::Abort, fx);
        let body = if x.request.method == Method::Head { &[] } else { reply.body() };
        x.record.answered_here(reply.status, reply::reason(reply.status).as_bytes());
        x.down.taken = body.len() as u64;
        x.answered = true;
        self.send(x.client, Buf::heap_from(&[head, body].concat()), fx);
        self.end_reply(x, tick, fx);
    }

    /// `HSTS` of the listener.
    pub(crate) fn transport_security(&self, x: &Exchange) -> Option<&str> {
        self.plan.listeners[x.listener as usize].tls.as_ref()?.hsts.as_deref()
    }

    /// Answers 200 without a body.
    pub(crate) fn reply_success(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        self.reply_by_rules(x, reply::success(), tick, fx);
    }

    /// `RewriteErrors`: passes an error of the backend on with a page of the listener's for its body.
    pub(crate) fn reply_with_page(
        &mut self,
        x: &mut Exchange,
        bytes: &[u8],
        page: &ErrorPage,
        tick: Tick,
        fx: &mut Effects,
    ) -> Result<(), RewriteFault> {
        let plan = ResponsePlan { framing: Framing::Length(page.body.len() as u64), close: true };
        let head = self.rewritten_response(x, bytes, &plan, Some(page))?;
        x.record.answered(Version::H11, x.response.status, x.response.reason.of(bytes));
        x.record.ended_by = EndedBy::Nobody;
        x.answered = true;
        x.relayed = true;
        self.drop_upstream(x, Close::Abort, fx);
        self.send(x.client, head, fx);
        if x.request.method != Method::Head && !page.body.is_empty() {
            x.down.taken = page.body.len() as u64;
            self.send(x.client, Buf::heap_from(&page.body), fx);
        }
        self.end_reply(x, tick, fx);
        Ok(())
    }

    /// The answer is out, and the connection ends with it.
    fn end_reply(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let unread = self.sockets.get(x.client).is_some_and(|socket| !socket.input.is_empty());
        // One that did not mean to end here may be sending its next request now.
        let announced = x.request.must_close();
        let end = if unread || !x.up.is_done() || !announced { End::Linger } else { End::Flush };
        self.conclude(x, Some(end), tick, fx);
    }
}
