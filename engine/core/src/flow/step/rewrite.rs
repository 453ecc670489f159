//! Rewrite: rules make of a head what goes on.

use crate::chain;
use crate::core::Core;
use crate::flow::exchange::Exchange;
use crate::http::Known;
use crate::http::edit;
use crate::http::h1::write::{self, RequestPlan, ResponsePlan};
use crate::http::head::ResponseHead;
use crate::route::Captures;
use crate::route::plan::{ListenerPlan, ServicePlan};
use crate::route::rewrite::{RequestDraft, ResponseDraft, RewriteFault, Rewriter, RulePlan, replace_all};
use ounce_mem::Buf;

impl Core<'_> {
    /// The listener and the service of an exchange whose rules hold for it.
    pub(crate) fn ruled(&self, x: &Exchange) -> (&ListenerPlan, Option<&ServicePlan>) {
        let plan = self.plan;
        (&plan.listeners[x.listener as usize], x.service.map(|service| plan.service(service)))
    }

    /// Whether rules that need the whole head are to be applied to this request.
    pub(crate) fn rewrites_request(&self, x: &Exchange) -> bool {
        let (listener, service) = self.ruled(x);
        !listener.request_rules.is_empty() || service.is_some_and(|service| !service.request_rules.is_empty())
    }

    /// Whether there are rules for the response to this request.
    pub(crate) fn rewrites_response(&self, x: &Exchange) -> bool {
        let (listener, service) = self.ruled(x);
        !listener.response_rules.is_empty()
            || service.is_some_and(|service| !service.response_rules.is_empty())
    }

    /// The head of a request for its backend, rules applied: those of the listener, then those of the service.
    pub(crate) fn rewritten_request(&self, x: &mut Exchange) -> Result<Buf, RewriteFault> {
        let mut captures = std::mem::take(&mut x.captures);
        if let Some(before) = x.draft.take() {
            // The attempt before was for another backend.
            captures.rewind(before.mark);
        }
        let outcome = self.draft_request(x, &mut captures);
        x.captures = captures;
        let (draft, head) = outcome?;
        x.draft = Some(Box::new(draft));
        Ok(head)
    }

    fn draft_request(
        &self,
        x: &Exchange,
        captures: &mut Captures,
    ) -> Result<(RequestDraft, Buf), RewriteFault> {
        let mut draft = RequestDraft {
            head: x.request.clone(),
            bytes: Vec::with_capacity(2 * x.head.len()),
            mark: captures.mark(),
        };
        let Some(client) = self.client(x.client) else { return Ok((draft, Buf::heap(0))) };
        let mut digits = [0; 20];
        let ssl = self.secure_lines(x, client);
        let plan = self.request_plan(x, client, &ssl, &mut digits);
        let (listener, service) = self.ruled(x);
        draft.bytes.extend_from_slice(&x.head);
        if listener.rewrite_destination
            && let Some(value) = self.destination(x)
        {
            replace_all(&mut draft.bytes, &mut draft.head.fields, Known::Destination, &value)?;
        }
        if let Some(name) = self.server_name(x) {
            replace_all(&mut draft.bytes, &mut draft.head.fields, Known::Host, name)?;
        }
        add_canned(&mut draft, x, &RequestPlan { ssl: &[], ..plan })?;
        let mut rewriter = Rewriter { peer: client.peer, captures };
        for rule in &listener.header_rules {
            rewriter.header(rule, &mut draft)?;
        }
        rewriter.run(&listener.request_rules, &mut draft)?;
        if let Some(service) = service {
            rewriter.run(&service.request_rules, &mut draft)?;
        }
        // The canned lines are in the draft already.
        let target = draft.head.target.of(&draft.bytes);
        let plan = RequestPlan { target, forwarded: None, ..plan };
        let head = self.write_whole(draft.bytes.len(), |out| {
            write::request(out, &draft.bytes, &draft.head, &plan, &mut write::keep, |_| {})
        });
        Ok((draft, head))
    }

    /// The head of a response, rules applied: those of the service, then those of the listener.
    pub(crate) fn rewritten_response(
        &self,
        x: &mut Exchange,
        bytes: &[u8],
        plan: &ResponsePlan,
        locations: &[(Known, Vec<u8>)],
    ) -> Result<Buf, RewriteFault> {
        let Some(peer) = self.client(x.client).map(|client| client.peer) else { return Ok(Buf::heap(0)) };
        let mut captures = std::mem::take(&mut x.captures);
        let (listener, service) = self.ruled(x);
        let draft = ResponseDraft {
            head: x.response.clone(),
            bytes: Vec::with_capacity(2 * bytes.len()),
            request: x.sent_view(peer),
        };
        let outcome = respond(
            draft,
            bytes,
            locations,
            [service.map(|s| &*s.response_rules), Some(&listener.response_rules)],
            Rewriter { peer, captures: &mut captures },
        );
        x.captures = captures;
        let (head, bytes) = outcome?;
        Ok(self.write_whole(bytes.len(), |out| {
            write::response(out, &bytes, &head, plan, &mut write::keep, |_| {})
        }))
    }

    /// Writes a head into a buffer that has room for it.
    fn write_whole(&self, len: usize, write: impl Fn(&mut Buf) -> bool) -> Buf {
        // What is added for the connection is short; too little room only costs a second writing.
        let mut room = len + 128;
        loop {
            let mut out = chain::writable(&self.pool, room);
            if write(&mut out) {
                return out;
            }
            room *= 2;
        }
    }
}

/// Takes out what the client may not say, and adds what we say.
fn add_canned(draft: &mut RequestDraft, x: &Exchange, plan: &RequestPlan<'_>) -> Result<(), RewriteFault> {
    let ours = plan.forwarded.is_some();
    draft.head.fields.retain(|field| match field.known {
        Known::XSsl => false,
        Known::XForwardedFor | Known::XForwardedProto | Known::XForwardedPort => !ours,
        _ => true,
    });
    let RequestDraft { head, bytes, .. } = draft;
    let mut outcome = Ok(());
    write::canned(&x.head, &x.request, plan, |name, value| {
        outcome = outcome.and_then(|()| {
            let field = edit::field(bytes, name, value)?;
            if field.known == Known::Host {
                head.host = Some(field.value);
            }
            head.fields.put(None, field);
            Ok(())
        });
    });
    outcome.map_err(|edit::TooLong| RewriteFault::TooLong)
}

/// Carries out the changes to a response in their order.
fn respond(
    mut draft: ResponseDraft<'_>,
    bytes: &[u8],
    locations: &[(Known, Vec<u8>)],
    rules: [Option<&[RulePlan]>; 2],
    mut rewriter: Rewriter<'_>,
) -> Result<(ResponseHead, Vec<u8>), RewriteFault> {
    draft.bytes.extend_from_slice(bytes);
    for (known, value) in locations {
        replace_all(&mut draft.bytes, &mut draft.head.fields, *known, value)?;
    }
    for rules in rules.into_iter().flatten() {
        rewriter.run(rules, &mut draft)?;
    }
    Ok((draft.head, draft.bytes))
}
