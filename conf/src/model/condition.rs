//! What a request must satisfy.

use super::FeedName;
use ipnet::IpNet;

/// A condition on a request.
#[derive(Debug, Clone)]
pub enum Condition {
    /// All hold (true when empty).
    All(Vec<Condition>),
    /// One holds (false when empty).
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The raw path and query.
    Url(Pattern),
    /// The part before the last `?`.
    Path(Pattern),
    /// The part after the last `?`; false if there is none.
    Query(Pattern),
    /// The raw value of the first parameter of this name; false if absent or without `=`.
    QueryParam {
        /// Parameter name, compared exactly.
        name: String,
        /// What its value must match.
        pattern: Pattern,
    },
    /// Some whole line `Name: value`.
    HeaderLine(Pattern),
    /// The value of some field of this name.
    HeaderValue {
        /// Field name, any case.
        name: String,
        /// What its value must match.
        pattern: Pattern,
    },
    /// The Host value: exact patterns match the whole value or the value without its port.
    Host(Pattern),
    /// The method name.
    Method(Pattern),
    /// A text made of parts of the request.
    StringMatch {
        /// The text; it may hold expansions (pound.md section 6).
        subject: String,
        /// What it must match.
        pattern: Pattern,
    },
    /// A condition with a name holds.
    Eval {
        /// Its name.
        name: String,
        /// Its place in [`super::Config::conditions`].
        index: usize,
    },
    /// The client has this certificate: PEM without line ends. Only in services of HTTPS listeners.
    ClientCertificate(String),
    /// The peer's address is in one of these networks.
    Acl(Networks),
    /// The address that the request came from first, as trusted proxies tell it, is in one of these networks.
    Forwarded(Networks),
    /// A token is left in the bucket that this text names.
    Tokens {
        /// The text, to be expanded for each request.
        key: String,
        /// How many there are.
        limit: TokenLimit,
    },
    /// The request comes with the name and password of a user of this file.
    BasicAuth(FeedName),
    /// One of the patterns in a file matches.
    Patterns {
        /// Which file.
        feed: FeedName,
        /// What is asked of each: a condition on one subject, its pattern without text.
        of: Box<Condition>,
    },
}

impl Condition {
    /// The pattern of a condition on one subject.
    pub fn pattern_mut(&mut self) -> Option<&mut Pattern> {
        match self {
            Condition::Url(pattern)
            | Condition::Path(pattern)
            | Condition::Query(pattern)
            | Condition::QueryParam { pattern, .. }
            | Condition::HeaderLine(pattern)
            | Condition::HeaderValue { pattern, .. }
            | Condition::Host(pattern)
            | Condition::Method(pattern)
            | Condition::StringMatch { pattern, .. } => Some(pattern),
            _ => None,
        }
    }
}

/// A list of networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Networks {
    /// These.
    Listed(Vec<IpNet>),
    /// Those in a file that is watched.
    Feed(FeedName),
}

/// `Condition`: evaluated once for each request.
#[derive(Debug, Clone)]
pub struct NamedCondition {
    /// Its name; unique.
    pub name: String,
    /// What it says. It refers to conditions before it only.
    pub condition: Condition,
}

/// A text pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// How `text` is compared.
    pub kind: Kind,
    /// The pattern as written, quotes removed.
    pub text: String,
    /// Compare without case.
    pub ignore_case: bool,
    /// `-tag`: a name for its matches in back-references.
    pub tag: Option<String>,
    /// `-decode`: `%XX` in the subject is decoded first.
    pub decode: bool,
}

/// How a pattern is compared with its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The whole subject.
    Exact,
    /// Its beginning.
    Prefix,
    /// Its end.
    Suffix,
    /// Any part of it.
    Contain,
    /// A regular expression, unanchored.
    Regex(Flavour),
}

/// The language of a regular expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// POSIX extended (regcomp(3) with REG_EXTENDED).
    Posix,
    /// Perl-compatible.
    Pcre,
}

/// How tokens come into a bucket, and how many it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLimit {
    /// So many come in a period.
    pub tokens: u32,
    /// In microseconds.
    pub period_us: u64,
    /// How many it holds.
    pub burst: u32,
}
