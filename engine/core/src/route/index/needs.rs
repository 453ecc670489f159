//! What a request must have for a condition to hold: facts that can be looked up for all services at once.

use crate::route::expand::split_port;
use crate::route::lines;
use crate::route::shape::{self, Necessary, Text};
use ounce_conf::model::{Condition, Kind, NamedCondition, Pattern as Written};
use std::collections::HashMap;

/// Needs of one condition at most; what else it asks is found out when it is evaluated.
const NEEDS_MAX: usize = 8;

/// One of these facts must be true. Sorted, each once.
pub(super) type Need = Vec<u32>;

/// What of a request a fact is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// The Host value without its port, in lower case.
    HostName,
    /// The whole Host value.
    Host,
    Url,
    Path,
    Query,
    Parameter(Box<[u8]>),
    /// Each value of the fields of this name, which is in lower case.
    Header(Box<[u8]>),
    /// All header lines.
    Lines,
    Method,
}

/// A subject, perhaps with `%XX` decoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub(super) subject: Subject,
    pub(super) decode: bool,
}

/// A fact about a request.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) view: View,
    pub(super) test: Necessary,
}

/// How a fact is recognised when it is asked for again: by its pattern as written.
type Written4 = (View, Kind, bool, String);

/// What of a text is asked of which subject, whether case counts, and the text.
type AboutText = (View, u8, bool, Box<[u8]>);

/// The facts that conditions need, each once.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) list: Vec<Fact>,
    known: HashMap<Written4, Vec<u32>>,
    /// Facts about texts.
    texts: HashMap<AboutText, u32>,
    named: Vec<Needed>,
}

/// What a condition needs.
#[derive(Clone)]
struct Needed {
    /// Each of them.
    needs: Vec<Need>,
    /// Evaluating it has no effect but its answer: whether it is evaluated makes no difference.
    pure: bool,
}

impl Facts {
    pub(super) fn new(named: &[NamedCondition]) -> Facts {
        let mut facts = Facts::default();
        for one in named {
            // Conditions refer to those before them only.
            let needed = facts.needed(&one.condition);
            facts.named.push(needed);
        }
        facts
    }

    /// The needs of a service's condition.
    pub(super) fn of(&mut self, condition: &Condition) -> Vec<Need> {
        self.needed(condition).needs
    }

    fn needed(&mut self, condition: &Condition) -> Needed {
        match condition {
            Condition::All(all) => self.all(all),
            Condition::Any(any) => self.any(any),
            Condition::Not(inner) => Needed { needs: Vec::new(), pure: self.needed(inner).pure },
            Condition::Eval { index, .. } => match self.named.get(*index) {
                // Its answer is kept for the request, which is no effect: it would be the same later.
                Some(needed) if needed.pure => needed.clone(),
                _ => Needed { needs: Vec::new(), pure: false },
            },
            // A text that cannot be expanded ends the search, and so does a password that was not looked at yet.
            Condition::StringMatch { .. } | Condition::BasicAuth(_) => {
                Needed { needs: Vec::new(), pure: false }
            }
            // A token that is taken is gone, and its key is such a text.
            Condition::Tokens { .. } => Needed { needs: Vec::new(), pure: false },
            // What is in the file may be something else when the request comes.
            Condition::Patterns { of, .. } => Needed { needs: Vec::new(), pure: self.needed(of).pure },
            Condition::Acl(_) | Condition::Forwarded(_) | Condition::ClientCertificate(_) => {
                Needed { needs: Vec::new(), pure: true }
            }
            leaf => {
                Needed { needs: self.leaf(leaf).into_iter().map(|fact| vec![fact]).collect(), pure: true }
            }
        }
    }

    /// Everything up to the first condition that must be evaluated whatever comes of the others.
    fn all(&mut self, all: &[Condition]) -> Needed {
        let (mut needs, mut pure) = (Vec::new(), true);
        for one in all {
            let needed = self.needed(one);
            if pure {
                needs.extend(needed.needs);
            }
            pure &= needed.pure;
        }
        needs.truncate(NEEDS_MAX);
        Needed { needs, pure }
    }

    /// One need of each alternative, if each has one.
    fn any(&mut self, any: &[Condition]) -> Needed {
        let each: Vec<Needed> = any.iter().map(|one| self.needed(one)).collect();
        let pure = each.iter().all(|needed| needed.pure);
        if !pure {
            return Needed { needs: Vec::new(), pure };
        }
        // Without alternatives it never holds: no fact is enough.
        let count = each.iter().map(|needed| needed.needs.len()).min().unwrap_or(1);
        let needs = (0..count).map(|nth| {
            let mut need: Need = each.iter().flat_map(|needed| needed.needs[nth].iter().copied()).collect();
            need.sort_unstable();
            need.dedup();
            need
        });
        Needed { needs: needs.collect(), pure }
    }

    /// The number of a fact. Different patterns may ask for one text, and how many do says what it is worth.
    fn number(&mut self, view: &View, test: Necessary) -> u32 {
        let next = self.list.len() as u32;
        let (kind, text) = match &test {
            Necessary::Exact(text) => (0, text),
            Necessary::Prefix(text) => (1, text),
            Necessary::Suffix(text) => (2, text),
            Necessary::Contain(text) => (3, text),
            Necessary::Expression(_) => {
                self.list.push(Fact { view: view.clone(), test });
                return next;
            }
        };
        let key = (view.clone(), kind, text.ignore_case, text.bytes.clone());
        let number = *self.texts.entry(key).or_insert(next);
        if number == next {
            self.list.push(Fact { view: view.clone(), test });
        }
        number
    }

    /// Facts that are all true if a condition with a pattern holds.
    fn leaf(&mut self, condition: &Condition) -> Vec<u32> {
        let (subject, written) = match condition {
            Condition::Url(written) => (Subject::Url, written),
            Condition::Path(written) => (Subject::Path, written),
            Condition::Query(written) => (Subject::Query, written),
            Condition::QueryParam { name, pattern } => (Subject::Parameter(name.as_bytes().into()), pattern),
            Condition::HeaderLine(written) => (Subject::Lines, written),
            Condition::HeaderValue { name, pattern } => {
                (Subject::Header(name.to_ascii_lowercase().as_bytes().into()), pattern)
            }
            Condition::Host(written) if written.kind == Kind::Exact => (Subject::HostName, written),
            Condition::Host(written) => (Subject::Host, written),
            Condition::Method(written) => (Subject::Method, written),
            Condition::All(_)
            | Condition::Any(_)
            | Condition::Not(_)
            | Condition::Eval { .. }
            | Condition::StringMatch { .. }
            | Condition::Acl(_)
            | Condition::Forwarded(_)
            | Condition::BasicAuth(_)
            | Condition::Tokens { .. }
            | Condition::Patterns { .. }
            | Condition::ClientCertificate(_) => return Vec::new(),
        };
        let view = View { subject, decode: written.decode };
        let key = (view.clone(), written.kind, written.ignore_case, written.text.clone());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let mut numbers = Vec::new();
        for test in necessary(&view.subject, written) {
            numbers.push(self.number(&view, test));
        }
        self.known.insert(key, numbers.clone());
        numbers
    }
}

/// What is true whenever the pattern matches; nothing if that is always, or cannot be looked up.
fn necessary(subject: &Subject, written: &Written) -> Vec<Necessary> {
    if *subject == Subject::HostName {
        let name = split_port(written.text.as_bytes()).0;
        return vec![Necessary::Exact(Text { bytes: name.to_ascii_lowercase().into(), ignore_case: false })];
    }
    // A pattern that does not parse is an error, which whoever compiles the condition reports.
    let Ok(shape) = shape::parse(written) else { return Vec::new() };
    let necessary = shape.necessary().into_iter();
    if *subject != Subject::Lines {
        return necessary.collect();
    }
    // All lines are searched together, so the ends of a line are not those of the subject.
    let of_lines = necessary.filter_map(|necessary| match necessary {
        Necessary::Exact(text) | Necessary::Prefix(text) | Necessary::Suffix(text) => {
            Some(Necessary::Contain(text))
        }
        Necessary::Contain(text) => Some(Necessary::Contain(text)),
        Necessary::Expression(hir) => lines::confined(&hir).map(Necessary::Expression),
    });
    of_lines.filter(|one| !matches!(one, Necessary::Contain(text) if text.bytes.is_empty())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::sample::posix;
    use ounce_conf::model::{FeedName, Networks, TokenLimit};

    /// What may end the search must be asked whatever comes of the conditions behind it: those tell nothing.
    #[test]
    fn conditions_behind_one_that_may_end_the_search_are_no_needs() {
        let path = || Condition::Path(posix("^/path$"));
        let users = Condition::BasicAuth(FeedName { index: 0, path: "users".into() });
        let limit = TokenLimit { tokens: 1, period_us: 1, burst: 1 };
        let tokens = Condition::Tokens { key: String::new(), limit };
        let text = Condition::StringMatch { subject: "$1".to_owned(), pattern: posix("x") };
        let networks = Condition::Acl(Networks::Listed(Vec::new()));
        for (first, needs) in [(users, 0), (tokens, 0), (text, 0), (networks, 1)] {
            let mut facts = Facts::new(&[]);
            let inner = Condition::Not(Box::new(first.clone()));
            for first in [first, inner] {
                assert_eq!(facts.of(&Condition::All(vec![first.clone(), path()])).len(), needs, "{first:?}");
                assert_eq!(facts.of(&Condition::All(vec![path(), first])).len(), 1);
            }
        }
    }

    /// What many patterns have in common is one fact, so that it can be seen to tell nothing apart.
    #[test]
    fn a_text_of_several_patterns_is_one_fact() {
        let mut facts = Facts::new(&[]);
        let mut of = |text: &str| facts.of(&Condition::Path(posix(text)));
        let (one, other) = (of("^/a[0-9]/one/.*[.]html$"), of("^/a[0-9]/other/.*[.]html$"));
        let common: Vec<&Need> = one.iter().filter(|need| other.contains(need)).collect();
        assert_eq!(common.len(), 2, "the beginning and the end: {one:?} {other:?}");
    }
}
