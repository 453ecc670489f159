//! A service: which requests it takes and which backends answer them.

use super::{Backend, Balancer, Condition, Originator, Rule, Session};

/// `Service`.
#[derive(Debug, Clone)]
pub struct Service {
    /// The label in the file, and the line it starts at (a name for services without label).
    pub name: ServiceName,
    /// `Disabled`: skip this service.
    pub disabled: bool,
    /// What a request must satisfy; an empty `All` takes every request.
    pub condition: Condition,
    /// `FallThrough`: its changes are made, and another service is looked for.
    pub fall_through: bool,
    /// `RewriteErrors`, in place of the listener's.
    pub rewrite_errors: Option<bool>,
    /// How the client's address is found behind other proxies.
    pub originator: Originator,
    /// Changes to requests, after those of the listener.
    pub request_rules: Vec<Rule>,
    /// Changes to responses, before those of the listener.
    pub response_rules: Vec<Rule>,
    /// Regular backends in file order.
    pub backends: Vec<Backend>,
    /// Emergency backends: used while no regular one is active.
    pub emergency: Vec<Backend>,
    /// Sticky sessions.
    pub session: Option<Session>,
    /// How a backend is chosen.
    pub balancer: Balancer,
    /// `DynScale`: weights follow response times.
    pub dyn_scale: bool,
    /// `LogSuppress`: first digits of the status codes whose requests are not logged.
    pub log_suppress: Vec<u8>,
    /// Where it stands: `FILE:LINE.COLUMN-COLUMN`.
    pub locus: String,
}

/// How a service is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceName {
    /// The label, if it has one.
    pub label: Option<String>,
}
