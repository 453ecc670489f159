//! Services.

use super::rewrite::Rules;
use super::{Lowering, Seat};
use crate::diag::Problem;
use crate::grammar::Status;
use crate::model::{Condition, Originator, Service, ServiceName};
use crate::tree::Statement;

/// What answers all requests of its service.
const OWN: [&str; 5] = ["Error", "Success", "Metrics", "Control", "SendFile"];

impl Lowering<'_> {
    pub(super) fn service(&mut self, statement: &Statement, seat: Seat) -> Service {
        let mut service = Service {
            name: ServiceName { label: statement.text(0).map(str::to_owned) },
            disabled: false,
            condition: Condition::All(Vec::new()),
            fall_through: false,
            rewrite_errors: None,
            originator: Originator::default(),
            request_rules: Vec::new(),
            response_rules: Vec::new(),
            backends: Vec::new(),
            emergency: Vec::new(),
            session: None,
            balancer: self.defaults.balancer,
            dyn_scale: self.defaults.dyn_scale,
            log_suppress: Vec::new(),
            locus: self.locus(statement),
        };
        let mut conditions = Vec::new();
        let mut rules = Rules::default();
        self.enter(statement.block());
        for inner in self.meant(statement.block()) {
            match inner.row.name {
                "Disabled" => service.disabled = inner.flag(),
                "IgnoreCase" => self.defaults.ignore_case = inner.flag(),
                "DynScale" => service.dyn_scale = inner.flag(),
                "Balancer" => service.balancer = super::global::balancer(inner),
                "LogSuppress" => service.log_suppress.extend(Self::log_suppress(inner)),
                "Session" => service.session = self.session(inner),
                "Backend" => {
                    let backend = self.service_backend(inner, seat, service.backends.len());
                    service.backends.extend(backend);
                }
                "UseBackend" => {
                    let backend = self.used_backend(inner, seat, service.backends.len());
                    service.backends.extend(backend);
                }
                "Emergency" => {
                    let backend = self.emergency(inner);
                    service.emergency.extend(backend);
                }
                "Redirect" => service.backends.extend(self.redirect(inner)),
                "Error" => service.backends.extend(self.error_backend(inner)),
                "Success" => service.backends.push(self.success(inner)),
                _ if self.house(inner, &mut service.backends) => {}
                "FallThrough" => service.fall_through = true,
                "RewriteErrors" => service.rewrite_errors = Some(inner.flag()),
                _ if inner.row.is_condition() => conditions.extend(self.condition(inner)),
                _ if self.rewriting(inner, &mut rules) => {}
                _ => {
                    self.originator(inner, &mut service.originator);
                }
            }
        }
        self.leave();
        service.condition = Condition::All(conditions);
        (service.request_rules, service.response_rules) = (rules.requests, rules.responses);
        self.check_kinds(statement);
        service
    }

    /// One kind of backend to a service, but redirects, which Pound lets stand beside others.
    fn check_kinds(&mut self, statement: &Statement) {
        let named = |name| statement.block().iter().filter(move |inner| inner.row.name == name);
        let own = || statement.block().iter().filter(|inner| OWN.contains(&inner.row.name));
        let servers = named("Backend").count() + named("UseBackend").count();
        let (redirects, answers) = (named("Redirect").count(), own().count());
        if answers > 0 && servers + redirects + answers > 1 {
            if let Some(last) = own().next_back() {
                let text = format!("{} cannot stand beside other backends of the service", last.row.name);
                self.error(last.keyword, text);
            }
        } else if servers + redirects > 1
            && let Some(redirect) = named("Redirect").next_back()
        {
            let text = "Redirect stands beside other backends; requests are spread over them";
            self.warn(redirect.keyword, text);
        }
        let any = servers + redirects + answers + named("Emergency").count() > 0;
        // A kind of backend that is not supported yet was reported; it is not missing.
        let refused = statement.block().iter().any(|inner| inner.row.status == Status::Later);
        if let Some(fall_through) = named("FallThrough").next() {
            if any {
                self.warn(fall_through.keyword, "requests pass this service by; its backends are not used");
            }
            return;
        }
        if !any && !refused && statement.sound {
            let problem = Problem::warning(statement.keyword, "this service has no backend");
            self.findings.push(problem.help("its requests are answered with 503"));
        }
    }
}
