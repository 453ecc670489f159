//! The rows as data for the manual, which is made by another crate.

use super::{Body, Row, Scope, Status, rows};

/// A directive as the manual describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its name.
    pub name: &'static str,
    /// Name and arguments.
    pub syntax: String,
    /// The sections it stands in; empty for all.
    pub sections: Vec<&'static str>,
    /// Where the manual describes it.
    pub group: Group,
    /// Its options.
    pub options: Vec<&'static str>,
    /// What each argument must look like, with the word for it.
    pub arguments: Vec<(&'static str, String)>,
    /// What it does, in one line.
    pub help: &'static str,
    /// Other spellings that are as good.
    pub also: Vec<&'static str>,
    /// Spellings that are out of date, and what to write instead.
    pub old: Option<(Vec<&'static str>, &'static str)>,
    /// Why it has no effect, if it has none.
    pub no_effect: Option<&'static str>,
    /// It is refused.
    pub not_yet: bool,
}

/// A part of the manual's reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The global scope.
    Global,
    /// Listeners.
    Listener,
    /// TLS of listeners.
    Tls,
    /// Services, but their conditions.
    Service,
    /// Conditions.
    Condition,
    /// Changes to requests and answers.
    Change,
    /// Backends.
    Backend,
    /// `Session`.
    Session,
    /// The `Control` section.
    Control,
    /// Sections of their own.
    Other,
}

impl Group {
    /// All of them, in the order of the manual.
    pub const ALL: [Group; 10] = [
        Group::Global,
        Group::Listener,
        Group::Tls,
        Group::Service,
        Group::Condition,
        Group::Change,
        Group::Backend,
        Group::Session,
        Group::Control,
        Group::Other,
    ];

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Group::Global => "Global directives",
            Group::Listener => "Directives of listeners",
            Group::Tls => "Directives of listeners: TLS",
            Group::Service => "Directives of services",
            Group::Condition => "Conditions",
            Group::Change => "Changes to requests and answers",
            Group::Backend => "Directives of backends",
            Group::Session => "Directives of sessions",
            Group::Control => "Directives of the control socket",
            Group::Other => "Other sections",
        }
    }
}

/// All directives, by group and name.
#[must_use]
pub fn directives() -> Vec<Directive> {
    let mut all: Vec<Directive> = rows().map(Row::describe).collect();
    all.sort_by_key(|directive| (directive.group, directive.name.to_lowercase()));
    all
}

impl Row {
    fn describe(&self) -> Directive {
        let old = self.instead.map(|instead| {
            let of = if instead.of.is_empty() { self.spellings().collect() } else { instead.of.to_vec() };
            (of, instead.write)
        });
        let is_old = |word: &&str| old.as_ref().is_some_and(|(of, _)| of.contains(word));
        Directive {
            name: self.name,
            syntax: self.full_syntax(),
            sections: if self.scopes.len() == Scope::ALL.len() {
                Vec::new()
            } else {
                self.scopes.iter().map(|scope| scope.name()).collect()
            },
            group: self.group(),
            options: self.switches.iter().filter_map(|switch| switch.spellings().first().copied()).collect(),
            arguments: self.arguments.iter().map(|a| (a.what, a.kind.expected())).collect(),
            help: self.help,
            also: self.aliases.iter().copied().filter(|word| !is_old(word)).collect(),
            no_effect: match self.status {
                Status::NoEffect(why) => Some(why),
                _ => None,
            },
            not_yet: matches!(self.status, Status::Later | Status::Ahead),
            old,
        }
    }

    fn group(&self) -> Group {
        let stands = |scope| self.scopes.contains(&scope);
        if self.scopes.len() == Scope::ALL.len() {
            return Group::Global;
        }
        if stands(Scope::Match) {
            return Group::Condition;
        }
        if stands(Scope::Rewrite) || stands(Scope::RewriteResponse) {
            return Group::Change;
        }
        match self.scopes.first() {
            Some(Scope::Global) => Group::Global,
            Some(Scope::Https) => Group::Tls,
            Some(Scope::Http) => Group::Listener,
            Some(Scope::Tunnel) if self.body == Body::None => Group::Listener,
            Some(Scope::Service) => Group::Service,
            Some(Scope::Backend | Scope::TunnelBackend) => Group::Backend,
            Some(Scope::Session) => Group::Session,
            Some(Scope::Control) => Group::Control,
            _ => Group::Other,
        }
    }

    /// The syntax with the names of the arguments, which a reader of the manual has room for.
    fn full_syntax(&self) -> String {
        let mut out = self.name.to_owned();
        for switch in self.switches {
            let spelling = switch.spellings().first().copied().unwrap_or_default();
            let value = if switch.takes_value() { " NAME" } else { "" };
            // Patterns have a dozen; they are told once.
            if self.switches.len() <= 4 {
                out.push_str(&format!(" [{spelling}{value}]"));
            }
        }
        if self.switches.len() > 4 {
            out.push_str(" [-OPTION...]");
        }
        out.push_str(&self.rest_of_syntax());
        out
    }
}
