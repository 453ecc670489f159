//! Where directives stand that only others can judge: OpenSSL certificates, the system users.

use crate::diag::{Diagnostic, Level, printable};
use crate::source::{Place, Sources, Span};
use std::collections::HashMap;

/// A directive that others judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One of the whole process.
    Global(Setting),
    /// One of a `ListenHTTPS`, by the listener's place in the configuration.
    Listener(usize, Clause),
    /// One of a backend with `HTTPS`, by the number of its [`ServerTls`](crate::model::ServerTls).
    Server(u32, Clause),
}

/// Directives of the whole process that others judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setting {
    /// `User`.
    User,
    /// `Group`.
    Group,
    /// `RootJail`.
    RootJail,
    /// `Workers`.
    Workers,
}

/// A part of what is said about TLS in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clause {
    /// The section, or its `HTTPS`: whatever is of no other clause.
    Whole,
    /// `Cert`, by the place of the certificate.
    Cert(usize),
    /// `Key`, by the place of its certificate.
    Key(usize),
    /// `OCSP`, by the place of its certificate.
    Ocsp(usize),
    /// `Ciphers`: those up to TLS 1.2.
    Ciphers,
    /// `Ciphers -ciphersuites`.
    Suites,
    /// `Groups`.
    Groups,
    /// `CAlist`.
    AuthorityNames,
    /// `VerifyList`.
    Authorities,
    /// `CRLlist`.
    Revoked,
}

impl Subject {
    /// What a directive stands in.
    fn whole(self) -> Subject {
        match self {
            Subject::Global(_) => self,
            Subject::Listener(listener, _) => Subject::Listener(listener, Clause::Whole),
            Subject::Server(server, _) => Subject::Server(server, Clause::Whole),
        }
    }
}

/// The places of such directives.
#[derive(Debug, Clone, Default)]
pub struct Written(HashMap<Subject, Place>);

impl Written {
    /// Of those that repeat, the last one is remembered.
    pub(crate) fn new(noted: Vec<(Subject, Span)>, sources: &Sources) -> Written {
        Written(noted.into_iter().map(|(subject, span)| (subject, sources.place(span))).collect())
    }

    /// What is wrong with a directive, at its place.
    #[must_use]
    pub fn error(&self, subject: Subject, text: &str) -> Diagnostic {
        self.diagnostic(Level::Error, subject, text)
    }

    /// What the owner of a directive may want to know, at its place.
    #[must_use]
    pub fn warning(&self, subject: Subject, text: &str) -> Diagnostic {
        self.diagnostic(Level::Warning, subject, text)
    }

    fn diagnostic(&self, level: Level, subject: Subject, text: &str) -> Diagnostic {
        let place = self.0.get(&subject).or_else(|| self.0.get(&subject.whole())).cloned();
        Diagnostic { level, place, text: printable(text), expected: None, help: None, notes: Vec::new() }
    }
}
