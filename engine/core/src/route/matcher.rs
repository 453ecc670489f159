//! Which service takes a request.

use super::acl::Networks;
use super::auth::Asked;
use super::captures::Captures;
use super::expand::{Template, split_port};
use super::feed::Cell;
use super::limit::Limit;
use super::lines::LinePattern;
use super::pattern::Pattern;
use super::plan::{Plan, ServiceIx};
use super::request::Request;
use std::sync::Arc;

/// A compiled condition.
#[derive(Debug)]
pub enum Matcher {
    /// All hold.
    All(Vec<Matcher>),
    /// One holds.
    Any(Vec<Matcher>),
    /// It does not hold.
    Not(Box<Matcher>),
    /// The raw target.
    Url(Pattern),
    /// The target before its last `?`.
    Path(Pattern),
    /// The target after its last `?`.
    Query(Pattern),
    /// The raw value of a query parameter.
    QueryParam {
        /// Parameter name.
        name: Box<[u8]>,
        /// What its value must match.
        pattern: Pattern,
    },
    /// Some whole field line.
    HeaderLine(LinePattern),
    /// The value of some field of a name.
    HeaderValue {
        /// Field name, any case.
        name: Box<[u8]>,
        /// What its value must match.
        pattern: Pattern,
    },
    /// The Host value.
    Host {
        /// What it must match.
        pattern: Pattern,
        /// The value without its port may match as well.
        portless: bool,
    },
    /// The method name.
    Method(Pattern),
    /// A text made of parts of the request.
    StringMatch {
        /// The text.
        subject: Template,
        /// What it must match.
        pattern: Pattern,
    },
    /// A condition with a name: evaluated once for each request, with matches of its own.
    Eval {
        /// Its number.
        index: u32,
        /// What it says.
        condition: Arc<Matcher>,
    },
    /// The client's certificate, PEM without line ends.
    ClientCertificate(Box<str>),
    /// The peer's address.
    Acl(Networks),
    /// The address that the request came from first.
    Forwarded(Networks),
    /// The request comes with the name and password of a user.
    BasicAuth(Asked),
    /// A token is left.
    Tokens(Limit),
    /// One of the patterns in a file that is watched.
    Patterns {
        /// What the file says at present.
        cell: Arc<Cell<Matcher>>,
        /// What its patterns are compared with refers to groups.
        groups: bool,
    },
}

/// Where matches are recorded, or that they are not.
type Record<'a> = Option<&'a mut Captures>;

impl Matcher {
    /// Whether the condition holds. Without `captures` nothing is allocated; with them each successful
    /// match is recorded, unless what surrounds it turns out false.
    pub fn holds(&self, request: &Request<'_>, mut captures: Record<'_>) -> bool {
        let mark = captures.as_ref().map_or(0, |captures| captures.mark());
        let held = match self {
            Matcher::All(all) => all.iter().all(|one| one.holds(request, captures.as_deref_mut())),
            Matcher::Any(any) => any.iter().any(|one| one.holds(request, captures.as_deref_mut())),
            Matcher::Eval { index, condition } => return evaluate(*index, condition, request, captures),
            Matcher::Not(inner) => {
                let held = !inner.holds(request, captures.as_deref_mut());
                if let Some(captures) = captures.as_deref_mut() {
                    captures.rewind(mark);
                }
                held
            }
            Matcher::Acl(acl) => return request.peer.ip().is_some_and(|address| acl.contains(address)),
            Matcher::Forwarded(acl) => {
                return request.originator().is_some_and(|address| acl.contains(address));
            }
            Matcher::ClientCertificate(pem) => return request.certificate == Some(&**pem),
            // Services with such conditions always come with captures, and rules too.
            Matcher::BasicAuth(asked) => {
                return captures.is_some_and(|captures| asked.holds(request, captures));
            }
            Matcher::Tokens(limit) => {
                return captures.is_some_and(|captures| limit.holds(request, captures));
            }
            Matcher::Patterns { cell, .. } => return cell.get().holds(request, captures),
            leaf => return leaf.leaf(request, captures),
        };
        if !held && let Some(captures) = captures {
            captures.rewind(mark);
        }
        held
    }

    fn leaf(&self, request: &Request<'_>, captures: Record<'_>) -> bool {
        match self {
            Matcher::Url(pattern) => test(pattern, Some(request.target()), captures),
            Matcher::Path(pattern) => test(pattern, Some(request.path()), captures),
            Matcher::Query(pattern) => test(pattern, request.query(), captures),
            Matcher::QueryParam { name, pattern } => test(pattern, request.parameter(name), captures),
            Matcher::Method(pattern) => test(pattern, Some(request.method()), captures),
            Matcher::Host { pattern, portless } => host(pattern, *portless, request, captures),
            Matcher::HeaderLine(pattern) => any_line(pattern, request, captures),
            Matcher::HeaderValue { name, pattern } => any_value(name, pattern, request, captures),
            Matcher::StringMatch { subject, pattern } => text(subject, pattern, request, captures),
            Matcher::All(_)
            | Matcher::Any(_)
            | Matcher::Not(_)
            | Matcher::Eval { .. }
            | Matcher::ClientCertificate(_)
            | Matcher::Acl(_)
            | Matcher::Forwarded(_)
            | Matcher::BasicAuth(_)
            | Matcher::Tokens(_)
            | Matcher::Patterns { .. } => false,
        }
    }

    /// Adds the files of users that it looks at.
    pub(crate) fn asks(&self, into: &mut Vec<Asked>) {
        match self {
            Matcher::All(several) | Matcher::Any(several) => several.iter().for_each(|one| one.asks(into)),
            Matcher::Not(inner) => inner.asks(into),
            Matcher::Eval { condition, .. } => condition.asks(into),
            Matcher::BasicAuth(asked) => into.push(asked.clone()),
            _ => {}
        }
    }

    /// Whether some text in it refers to groups of what matched before it.
    pub(crate) fn has_groups(&self) -> bool {
        match self {
            Matcher::All(several) | Matcher::Any(several) => several.iter().any(Matcher::has_groups),
            Matcher::Not(inner) => inner.has_groups(),
            Matcher::StringMatch { subject, .. } => subject.has_groups(),
            Matcher::Tokens(limit) => limit.key.has_groups(),
            Matcher::Patterns { groups, .. } => *groups,
            _ => false,
        }
    }
}

fn test(pattern: &Pattern, subject: Option<&[u8]>, captures: Record<'_>) -> bool {
    let Some(subject) = subject else { return false };
    let subject = &*pattern.compared(subject);
    match captures {
        None => pattern.is_match(subject),
        Some(captures) => {
            let mut slots = std::mem::take(&mut captures.slots);
            let found = pattern.find(subject, &mut slots);
            captures.slots = slots;
            if found {
                captures.push(subject, pattern.tag());
            }
            found
        }
    }
}

fn host(pattern: &Pattern, portless: bool, request: &Request<'_>, mut captures: Record<'_>) -> bool {
    let Some(value) = request.host() else { return false };
    if test(pattern, Some(value), captures.as_deref_mut()) {
        return true;
    }
    let (name, port) = split_port(value);
    portless && !port.is_empty() && test(pattern, Some(name), captures)
}

/// A text that cannot be expanded matches nothing, and says so to whoever asked ([`Captures::fault`]).
fn text(template: &Template, pattern: &Pattern, request: &Request<'_>, captures: Record<'_>) -> bool {
    // Services and rules with such texts always come with captures.
    let Some(captures) = captures else { return false };
    let mut subject = Vec::new();
    match template.expand(request, captures, &mut subject) {
        Ok(()) => test(pattern, Some(&subject), Some(captures)),
        Err(error) => {
            captures.fault.get_or_insert(error);
            false
        }
    }
}

fn evaluate(index: u32, condition: &Matcher, request: &Request<'_>, captures: Record<'_>) -> bool {
    let Some(captures) = captures else { return condition.holds(request, Some(&mut Captures::new())) };
    if let Some(&(_, held)) = captures.evaluated.iter().find(|(known, _)| *known == index) {
        return held;
    }
    // It knows what other named conditions said, and none of the matches.
    let mut own = Captures::new();
    std::mem::swap(&mut own.evaluated, &mut captures.evaluated);
    std::mem::swap(&mut own.verdicts, &mut captures.verdicts);
    std::mem::swap(&mut own.tokens, &mut captures.tokens);
    own.question = captures.question.take();
    let held = condition.holds(request, Some(&mut own));
    (captures.evaluated, captures.verdicts, captures.question) = (own.evaluated, own.verdicts, own.question);
    captures.tokens = own.tokens;
    captures.evaluated.push((index, held));
    captures.fault = captures.fault.take().or(own.fault);
    held
}

fn any_line(pattern: &LinePattern, request: &Request<'_>, captures: Record<'_>) -> bool {
    let Some(captures) = captures else { return pattern.is_match(request) };
    let mut slots = std::mem::take(&mut captures.slots);
    let found = pattern.find(request, &mut slots);
    captures.slots = slots;
    if let Some(line) = found {
        captures.push(line, pattern.tag());
    }
    found.is_some()
}

fn any_value(name: &[u8], pattern: &Pattern, request: &Request<'_>, mut captures: Record<'_>) -> bool {
    let (bytes, fields) = request.message();
    fields.iter().any(|field| {
        field.name.of(bytes).eq_ignore_ascii_case(name)
            && test(pattern, Some(field.value.of(bytes)), captures.as_deref_mut())
    })
}

/// The first service of a listener whose condition holds.
///
/// `disabled` tells whether the service in a row of the shared segment is switched off; such services are
/// skipped, as are those that let requests fall through, which `captures` remembers. `captures` is cleared but for
/// verdicts on passwords, and filled if anything of the service refers to groups. When its `fault` is set, no service
/// was found: a text in a condition could not be expanded. When its `question` is set, a password must be looked at
/// first.
pub fn select(
    plan: &Plan,
    listener: usize,
    request: &Request<'_>,
    disabled: &dyn Fn(u32) -> bool,
    captures: &mut Captures,
) -> Option<ServiceIx> {
    captures.begin_anew();
    let listener = plan.listeners.get(listener)?;
    let mut takes = |ix: ServiceIx| {
        let service = plan.service(ix);
        let record = if service.captures || listener.captures { Some(&mut *captures) } else { None };
        if disabled(service.row) {
            return false;
        }
        let trusting;
        let request = if plan.trusts {
            trusting = Request { trust: plan.trust(listener, Some(service)), ..*request };
            &trusting
        } else {
            request
        };
        let held = service.condition.holds(request, record);
        // Once a text could not be expanded nothing else is asked: the request is answered 500.
        if service.captures && (captures.fault.is_some() || captures.question.is_some()) {
            return true;
        }
        if held && service.fall_through {
            captures.passed.push((ix, captures.mark()));
        }
        held && !service.fall_through
    };
    let found =
        listener.own.first(request, &mut takes).or_else(|| listener.global.first(request, &mut takes))?;
    // A head that is being written does not wait.
    let passed = captures.passed.iter().map(|(ix, _)| *ix).chain([found]);
    let of_services: Vec<&Asked> = passed.flat_map(|ix| &plan.service(ix).asks).collect();
    for asked in listener.asks.iter().chain(of_services) {
        asked.holds(request, captures);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::sample::{
        Sample, config, host, listener, pattern, plan, posix, redirect, server, service,
    };
    use ounce_conf::model::{Condition, HeaderRule, Kind, Networks, Pattern as Written};

    /// Names of the services that each take one condition; the first that holds is selected.
    fn selected(services: Vec<(&str, Condition)>, sample: &Sample) -> Option<String> {
        let services = services
            .into_iter()
            .map(|(label, condition)| service(Some(label), vec![condition], vec![server("10.0.0.1:80", 5)]))
            .collect();
        let plan = plan(&config(vec![listener("127.0.0.1:80", services)], Vec::new()));
        let ix = select(&plan, 0, &sample.request(), &|_| false, &mut Captures::new())?;
        Some(plan.service(ix).name.clone())
    }

    fn holds(condition: Condition, sample: &Sample) -> bool {
        selected(vec![("it", condition)], sample).is_some()
    }

    fn acl(network: &str) -> Condition {
        Condition::Acl(Networks::Listed(vec![network.parse().expect("a network")]))
    }

    fn icase(text: &str) -> Written {
        Written { ignore_case: true, ..posix(text) }
    }

    #[test]
    fn each_condition_looks_at_its_subject() {
        let sample = Sample::get(
            "/shop/cart.php?item=7&x=y",
            &["Host: www.Example.com:8080", "X-Color: Red", "X-Color: green"],
        );
        for (condition, expected) in [
            (Condition::Url(posix(r"^/shop/.*\?item=7&")), true),
            (Condition::Path(posix(r"\.php$")), true),
            (Condition::Path(posix("item")), false),
            (Condition::Query(posix("^item=[0-9]+")), true),
            (Condition::QueryParam { name: "item".to_owned(), pattern: posix("^7$") }, true),
            (Condition::QueryParam { name: "none".to_owned(), pattern: posix("") }, false),
            (Condition::Method(posix("^GET$")), true),
            (Condition::Method(posix("^POST$")), false),
            (Condition::HeaderLine(icase("^host: *www")), true),
            (Condition::HeaderLine(icase("x-color: g.*n$")), true),
            (Condition::HeaderLine(icase("^x-color:.*host")), false),
            (Condition::HeaderValue { name: "x-COLOR".to_owned(), pattern: icase("^green$") }, true),
            (Condition::HeaderValue { name: "x-col".to_owned(), pattern: icase("") }, false),
            (Condition::All(Vec::new()), true),
            (Condition::Any(Vec::new()), false),
            (acl("192.0.2.0/24"), true),
            (acl("10.0.0.0/8"), false),
        ] {
            assert_eq!(holds(condition.clone(), &sample), expected, "{condition:?}");
            assert_eq!(holds(Condition::Not(Box::new(condition.clone())), &sample), !expected);
        }
    }

    #[test]
    fn exact_hosts_match_with_and_without_port_in_any_case() {
        let sample = Sample::get("/", &["Host: WWW.example.com:8080"]);
        assert!(holds(host("www.example.com"), &sample));
        assert!(holds(host("www.example.com:8080"), &sample));
        assert!(!holds(host("www.example.com:80"), &sample));
        assert!(!holds(host("example.com"), &sample));
        // Other kinds see the whole value, as documented.
        assert!(!holds(Condition::Host(pattern(Kind::Suffix, ".com")), &sample));
        assert!(holds(Condition::Host(pattern(Kind::Suffix, ":8080")), &sample));
        assert!(!holds(host(""), &Sample::get("/", &[])), "no Host matches nothing");
    }

    #[test]
    fn acls_do_not_hold_unix_peers_and_see_mapped_ones_as_ipv4() {
        let acl = || acl("192.0.2.0/24");
        assert!(holds(acl(), &Sample::get("/", &["Host: h"]).from("[::ffff:192.0.2.1]:1")));
        assert!(!holds(acl(), &Sample::get("/", &["Host: h"]).from("[2001:db8::1]:1")));
        assert!(!holds(acl(), &Sample::get("/", &["Host: h"]).over_unix()));
    }

    #[test]
    fn the_first_service_that_holds_and_is_not_disabled_is_selected() {
        let sample = Sample::get("/a", &["Host: h"]);
        let own = vec![
            service(Some("no"), vec![Condition::Path(posix("^/b"))], Vec::new()),
            service(Some("first"), vec![Condition::Path(posix("^/a"))], Vec::new()),
            service(Some("second"), Vec::new(), Vec::new()),
        ];
        let global = vec![service(Some("global"), Vec::new(), Vec::new())];
        let listeners = vec![listener("127.0.0.1:80", own), listener("127.0.0.1:81", Vec::new())];
        let plan = plan(&config(listeners, global));
        let name = |listener, disabled: &dyn Fn(u32) -> bool| {
            select(&plan, listener, &sample.request(), disabled, &mut Captures::new())
                .map(|ix| plan.service(ix).name.as_str())
        };
        let row = |name| plan.services.iter().find(|service| service.name == name).expect("a service").row;
        assert_eq!(name(0, &|_| false), Some("first"));
        assert_eq!(name(0, &|it| it == row("first")), Some("second"));
        assert_eq!(name(0, &|it| it != row("global")), Some("global"));
        assert_eq!(name(0, &|_| true), None);
        assert_eq!(name(1, &|_| false), Some("global"));
        assert_eq!(name(2, &|_| false), None);
    }

    fn all(conditions: Vec<Condition>) -> Condition {
        Condition::All(conditions)
    }

    /// Groups of the service that was selected, and of no other: neither a service that failed on its second
    /// condition nor a false alternative leaves any.
    #[test]
    fn only_what_selected_the_service_is_captured() {
        let sample = Sample::get("/one/two", &["Host: h.example"]);
        let go = |url| vec![redirect(url)];
        let failing = vec![Condition::Path(posix("^/(one)")), Condition::Path(posix("^/three"))];
        let condition = vec![
            Condition::Host(icase("^([a-z]+)")),
            Condition::Any(vec![
                all(vec![Condition::Path(posix("(two)$")), Condition::Method(posix("^POST"))]),
                all(vec![Condition::Path(posix("^/([^/]+)/([^/]+)$"))]),
            ]),
            Condition::Not(Box::new(Condition::Path(posix("(three)")))),
        ];
        let services = vec![
            service(Some("failing"), failing, go("http://x/$1")),
            service(Some("it"), condition, go("http://x/$1")),
        ];
        let plan = plan(&config(vec![listener("127.0.0.1:80", services)], Vec::new()));
        let mut captures = Captures::new();
        let ix = select(&plan, 0, &sample.request(), &|_| false, &mut captures).expect("a service");
        assert_eq!(plan.service(ix).name, "it");
        assert_eq!(captures.group(0, 1), Some(&b"one"[..]));
        assert_eq!(captures.group(0, 2), Some(&b"two"[..]));
        assert_eq!(captures.group(1, 1), Some(&b"h"[..]));
        assert_eq!(captures.group(2, 0), None);
    }

    #[test]
    fn nothing_is_captured_unless_somebody_asks() {
        let sample = Sample::get("/one", &["Host: h"]);
        let path = || vec![Condition::Path(posix("^/(one)"))];
        let captured = |plan: &Plan| {
            let mut captures = Captures::new();
            select(plan, 0, &sample.request(), &|_| false, &mut captures).expect("a service");
            captures.group(0, 1).is_some()
        };
        let one = |backend| vec![service(None, path(), vec![backend])];
        let listening = |services| vec![listener("127.0.0.1:80", services)];
        assert!(!captured(&plan(&config(listening(one(server("10.0.0.1:80", 5))), Vec::new()))));
        assert!(captured(&plan(&config(listening(one(redirect("http://x/$1"))), Vec::new()))));
        assert!(!captured(&plan(&config(listening(one(redirect("http://x/%[path]"))), Vec::new()))));
        let set = HeaderRule::Set { name: "X-Part".to_owned(), value: "$1".to_owned() };
        let mut listeners = listening(Vec::new());
        listeners[0].header_rules.push(set);
        assert!(captured(&plan(&config(listeners, one(server("10.0.0.1:80", 5))))));
    }
}
