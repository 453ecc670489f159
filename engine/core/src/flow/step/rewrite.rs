//! Rewrite: rules make of a head what goes on.

use crate::Peer;
use crate::chain;
use crate::core::Core;
use crate::flow::client::Client;
use crate::flow::exchange::Exchange;
use crate::http::Known;
use crate::http::edit;
use crate::http::h1::write::{self, RequestPlan, ResponsePlan};
use crate::http::head::ResponseHead;
use crate::http::reply::STRICT_TRANSPORT_SECURITY;
use crate::route::plan::ServicePlan;
use crate::route::rewrite::{
    Draft, RequestDraft, ResponseDraft, RewriteFault, Rewriter, RulePlan, Sender, replace_all,
};
use crate::route::{Captures, Request};
use ounce_conf::model::ErrorPage;
use ounce_mem::Buf;

impl<'p> Core<'p> {
    /// The services whose rules hold for a request, in the order of request rules: those that let it fall through,
    /// with how many matches each has seen, and the one that took it, which sees all.
    fn ruling<'a>(
        &self,
        x: &Exchange,
        captures: &'a Captures,
    ) -> impl DoubleEndedIterator<Item = (Option<usize>, &'p ServicePlan)> + use<'a, 'p> {
        let plan = self.plan;
        let passed = captures.passed.iter().map(|&(service, mark)| (Some(mark), service));
        let last = x.service.map(|service| (None, service));
        passed.chain(last).map(|(mark, service)| (mark, plan.service(service)))
    }

    /// Whether rules that need the whole head are to be applied to this request.
    pub(crate) fn rewrites_request(&self, x: &Exchange) -> bool {
        if x.backend.is_some_and(|backend| self.plan.backend(backend).wants_original()) {
            return false;
        }
        !self.plan.listeners[x.listener as usize].request_rules.is_empty()
            || self.ruling(x, &x.captures).any(|(_, service)| !service.request_rules.is_empty())
    }

    /// Whether there are rules for the response to this request.
    pub(crate) fn rewrites_response(&self, x: &Exchange) -> bool {
        !self.plan.listeners[x.listener as usize].response_rules.is_empty()
            || self.ruling(x, &x.captures).any(|(_, service)| !service.response_rules.is_empty())
    }

    /// Who sent a request.
    pub(crate) fn sender(&self, x: &Exchange, peer: Peer) -> Sender<'_> {
        let plan = self.plan;
        let service = x.service.map(|service| plan.service(service));
        let certificate = self.client(x.client).and_then(Client::certificate);
        let trust = plan.trust(&plan.listeners[x.listener as usize], service);
        Sender { peer, trust, certificate, till: Some(self.till(x.now_us)) }
    }

    /// The request as it came, for expansions and logs.
    pub(crate) fn seen<'a>(&'a self, x: &'a Exchange, peer: Peer) -> Request<'a> {
        let Sender { trust, certificate, .. } = self.sender(x, peer);
        Request { trust, certificate, ..x.view(peer) }
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
        let listener = &self.plan.listeners[x.listener as usize];
        draft.bytes.extend_from_slice(&x.head);
        if listener.rewrite_destination
            && let Some(value) = self.destination(x)
        {
            replace_all(&mut draft.bytes, &mut draft.head.fields, Known::Destination, &value)?;
        }
        if let Some(name) = self.server_name(x) {
            replace_all(&mut draft.bytes, &mut draft.head.fields, Known::Host, name)?;
        }
        add_canned(&mut draft, x, &plan)?;
        let services: Vec<(Option<usize>, &ServicePlan)> = self.ruling(x, captures).collect();
        let mut rewriter = Rewriter { sender: self.sender(x, client.peer), captures };
        for rule in &listener.header_rules {
            rewriter.header(rule, &mut draft)?;
        }
        rewriter.run(&listener.request_rules, &mut draft)?;
        for (mark, service) in services {
            rewriter.run_until(mark, &service.request_rules, &mut draft)?;
        }
        // The canned lines are in the draft already.
        let target = draft.head.target.of(&draft.bytes);
        let plan = RequestPlan { target, forwarded: None, ssl: &[], ..plan };
        let head = self.write_whole(draft.bytes.len(), |out| {
            write::request(out, &draft.bytes, &draft.head, &plan, &mut write::keep, |_| {})
        });
        Ok((draft, head))
    }

    /// The head of a response, rules applied: those of the service, then those of the listener. With a page, the head
    /// is made for its body.
    pub(crate) fn rewritten_response(
        &self,
        x: &mut Exchange,
        bytes: &[u8],
        plan: &ResponsePlan,
        page: Option<&ErrorPage>,
    ) -> Result<Buf, RewriteFault> {
        let Some(peer) = self.client(x.client).map(|client| client.peer) else { return Ok(Buf::heap(0)) };
        let locations = self.locations(x, bytes);
        let mut captures = std::mem::take(&mut x.captures);
        let sender = self.sender(x, peer);
        let services = self.ruling(x, &captures).rev();
        let services = services.map(|(mark, service)| (mark, &*service.response_rules));
        let listener = &self.plan.listeners[x.listener as usize];
        let rules: Vec<(Option<usize>, &[RulePlan])> =
            services.chain([(None, &*listener.response_rules)]).collect();
        let draft = ResponseDraft {
            head: x.response.clone(),
            bytes: Vec::with_capacity(2 * bytes.len()),
            request: x.sent_view(sender),
        };
        let hsts = self.transport_security(x);
        let change = Change { bytes, locations: &locations, page, hsts, rules: &rules };
        let outcome = change.apply(draft, Rewriter { sender, captures: &mut captures });
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

/// Everything that changes in a response.
struct Change<'a> {
    bytes: &'a [u8],
    locations: &'a [(Known, Vec<u8>)],
    page: Option<&'a ErrorPage>,
    /// `HSTS`: said before the rules have their turn, as all canned lines are.
    hsts: Option<&'a str>,
    rules: &'a [(Option<usize>, &'a [RulePlan])],
}

impl Change<'_> {
    fn apply(
        &self,
        mut draft: ResponseDraft<'_>,
        mut rewriter: Rewriter<'_>,
    ) -> Result<(ResponseHead, Vec<u8>), RewriteFault> {
        draft.bytes.extend_from_slice(self.bytes);
        for (known, value) in self.locations {
            replace_all(&mut draft.bytes, &mut draft.head.fields, *known, value)?;
        }
        if let Some(page) = self.page {
            describe(page, &mut draft)?;
        }
        if let Some(hsts) = self.hsts {
            draft.replace_header(STRICT_TRANSPORT_SECURITY, hsts.as_bytes())?;
        }
        for (mark, rules) in self.rules {
            rewriter.run_until(*mark, rules, &mut draft)?;
        }
        Ok((draft.head, draft.bytes))
    }
}

/// What a response says about a body that is replaced goes, and what the page says of itself comes.
fn describe(page: &ErrorPage, draft: &mut ResponseDraft<'_>) -> Result<(), RewriteFault> {
    const OF_BODY: [&str; 9] = [
        "Content-Type",
        "Content-Encoding",
        "Content-Language",
        "Content-Range",
        "Content-MD5",
        "Content-Disposition",
        "Accept-Ranges",
        "ETag",
        "Last-Modified",
    ];
    let bytes = &draft.bytes;
    draft.head.fields.retain(|field| {
        let name = field.name.of(bytes);
        !OF_BODY.iter().any(|of_body| name.eq_ignore_ascii_case(of_body.as_bytes()))
    });
    draft.set_header(b"Content-Type", b"text/html")?;
    for (name, value) in page.header_lines.iter().filter_map(|line| line.split_once(':')) {
        let name = name.trim().as_bytes();
        let frames =
            matches!(Known::of(name), Known::ContentLength | Known::TransferEncoding | Known::Connection);
        if !frames {
            draft.set_header(name, value.as_bytes())?;
        }
    }
    Ok(())
}
