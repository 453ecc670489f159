//! Which service takes a request.

use super::acl::Acl;
use super::captures::Captures;
use super::expand::split_port;
use super::pattern::Pattern;
use super::plan::{Plan, ServiceIx};
use super::request::Request;

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
    HeaderLine(Pattern),
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
    /// The peer's address.
    Acl(Acl),
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
            Matcher::Not(inner) => {
                let held = !inner.holds(request, captures.as_deref_mut());
                if let Some(captures) = captures.as_deref_mut() {
                    captures.rewind(mark);
                }
                held
            }
            Matcher::Acl(acl) => return request.peer.ip().is_some_and(|address| acl.contains(address)),
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
            Matcher::All(_) | Matcher::Any(_) | Matcher::Not(_) | Matcher::Acl(_) => false,
        }
    }
}

fn test(pattern: &Pattern, subject: Option<&[u8]>, captures: Record<'_>) -> bool {
    let Some(subject) = subject else { return false };
    match captures {
        None => pattern.is_match(subject),
        Some(captures) => {
            let mut slots = std::mem::take(&mut captures.slots);
            let found = pattern.find(subject, &mut slots);
            captures.slots = slots;
            if found {
                captures.push(subject);
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

/// The line as the client sent it, without its line end.
fn any_line(pattern: &Pattern, request: &Request<'_>, mut captures: Record<'_>) -> bool {
    request.head.fields.iter().any(|field| {
        let start = field.name.start as usize;
        // An empty value may have its span anywhere: the line then ends after the colon.
        let end = (field.value.end as usize).max(field.name.end as usize + 1).min(request.bytes.len());
        test(pattern, request.bytes.get(start..end), captures.as_deref_mut())
    })
}

fn any_value(name: &[u8], pattern: &Pattern, request: &Request<'_>, mut captures: Record<'_>) -> bool {
    request.head.fields.iter().any(|field| {
        field.name.of(request.bytes).eq_ignore_ascii_case(name)
            && test(pattern, Some(field.value.of(request.bytes)), captures.as_deref_mut())
    })
}

/// The first service of a listener whose condition holds.
///
/// `disabled` tells whether the service in a row of the shared segment is switched off; such services are
/// skipped. `captures` is cleared, and filled if anything of the service refers to groups.
pub fn select(
    plan: &Plan,
    listener: usize,
    request: &Request<'_>,
    disabled: &dyn Fn(u32) -> bool,
    captures: &mut Captures,
) -> Option<ServiceIx> {
    captures.clear();
    let listener = plan.listeners.get(listener)?;
    let candidates = match &listener.hosts {
        Some(hosts) => hosts.candidates(request.host()),
        None => &listener.services,
    };
    candidates.iter().copied().find(|&ix| {
        let service = plan.service(ix);
        let record = if service.captures || listener.captures { Some(&mut *captures) } else { None };
        !disabled(service.row) && service.condition.holds(request, record)
    })
}
