//! Conditions on requests.

use super::Lowering;
use super::pattern::{Default, Written};
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::model::{Condition, NamedCondition, Pattern, TokenLimit};
use crate::suggest;
use crate::tree::Statement;

/// How long a bucket of tokens may take to fill.
const FILLED_US_MAX: u128 = 366 * 24 * 3600 * 1_000_000;

impl Lowering<'_> {
    /// All conditions of a section, in file order.
    pub(super) fn conditions(&mut self, block: &[Statement]) -> Vec<Condition> {
        self.meant(block).into_iter().filter_map(|statement| self.condition(statement)).collect()
    }

    /// One condition; none when it is not supported, which is reported.
    pub(super) fn condition(&mut self, statement: &Statement) -> Option<Condition> {
        let plain = Default { exact: false, ignore_case: self.defaults.ignore_case };
        let header = Default { exact: false, ignore_case: true };
        Some(match statement.row.name {
            "URL" => self.compare(statement, 0, plain, Condition::Url),
            "Path" => self.compare(statement, 0, plain, Condition::Path),
            "Query" => self.compare(statement, 0, plain, Condition::Query),
            "QueryParam" => {
                let name = statement.text(0)?.to_owned();
                self.compare(statement, 1, plain, |pattern| Condition::QueryParam {
                    name: name.clone(),
                    pattern,
                })
            }
            "Header" => match statement.text(0) {
                None => self.compare(statement, 1, header, Condition::HeaderLine),
                Some(name) => {
                    let name = name.to_owned();
                    let of = |pattern| Condition::HeaderValue { name: name.clone(), pattern };
                    self.compare(statement, 1, header, of)
                }
            },
            "HeadDeny" => {
                let denied = self.compare(statement, 0, header, Condition::HeaderLine);
                Condition::Not(Box::new(denied))
            }
            "Host" => {
                let host = Default { exact: true, ignore_case: true };
                self.compare(statement, 0, host, Condition::Host)
            }
            // IgnoreCase is older than Method and does not reach it: methods are told apart by case.
            "Method" => {
                let method = Default { exact: false, ignore_case: false };
                self.compare(statement, 0, method, Condition::Method)
            }
            "StringMatch" => {
                let subject = self.expansions(statement.text(0)?, statement.place(0))?;
                if statement.has(Switch::FileWatch) && subject.contains("%[feed ") {
                    self.error(statement.place(0), "a watched Constant cannot stand before watched patterns");
                    return None;
                }
                self.compare(statement, 1, plain, |pattern| Condition::StringMatch {
                    subject: subject.clone(),
                    pattern,
                })
            }
            "Eval" => self.eval(statement)?,
            "BasicAuth" => Condition::BasicAuth(self.users(statement)?),
            "TBF" => self.tokens(statement)?,
            "ClientCert" => Condition::ClientCertificate(self.client_certificate(statement)?),
            "ACL" if statement.has(Switch::Forwarded) => Condition::Forwarded(self.acl(statement)),
            "ACL" => Condition::Acl(self.acl(statement)),
            "Match" => {
                let conditions = self.conditions(statement.block());
                if statement.word(0) == Some(1) {
                    Condition::Any(conditions)
                } else {
                    Condition::All(conditions)
                }
            }
            "Not" => match self.conditions(statement.block()).pop()? {
                // `Not HeadDeny`.
                Condition::Not(twice) => *twice,
                other => Condition::Not(Box::new(other)),
            },
            _ => return None,
        })
    }

    /// `Condition` of the global scope.
    pub(super) fn named_condition(&mut self, statement: &Statement, into: &mut Vec<NamedCondition>) {
        let conditions = self.conditions(statement.block());
        let any = statement.word(1) == Some(1);
        let condition = if any { Condition::Any(conditions) } else { Condition::All(conditions) };
        let Some(name) = statement.text(0).map(str::to_owned) else { return };
        let place = statement.place(0);
        // Behind its own conditions, so that it cannot stand in itself.
        if let Some((_, first)) = self.conditions.insert(name.clone(), (into.len(), place)) {
            let problem = Problem::error(place, format!("a second Condition \"{name}\""));
            self.findings.push(problem.note(first, "the first one is here"));
        }
        into.push(NamedCondition { name, condition });
    }

    fn tokens(&mut self, statement: &Statement) -> Option<Condition> {
        let key = self.expansions(statement.text(0)?, statement.place(0));
        let text = statement.text(1)?;
        let Some((tokens, period_us)) = rate(text) else {
            let problem = Problem::error(statement.place(1), format!("{text} is no rate"));
            self.findings.push(problem.help("expected tokens and a time, such as 10/s, 5/100ms or 1/10s"));
            return None;
        };
        let burst = u32::try_from(statement.number(2)?).unwrap_or(u32::MAX);
        if u128::from(burst) * u128::from(period_us) / u128::from(tokens) > FILLED_US_MAX {
            self.error(statement.keyword, "this bucket takes more than a year to fill");
            return None;
        }
        Some(Condition::Tokens { key: key?, limit: TokenLimit { tokens, period_us, burst } })
    }

    fn eval(&mut self, statement: &Statement) -> Option<Condition> {
        let name = statement.text(0)?;
        if let Some(&(index, _)) = self.conditions.get(name) {
            return Some(Condition::Eval { name: name.to_owned(), index });
        }
        let text = format!("no Condition is named \"{name}\" before this line");
        let mut problem = Problem::error(statement.place(0), text);
        if let Some(near) = suggest::nearest(name, self.conditions.keys().map(String::as_str)) {
            problem = problem.help(format!("did you mean \"{near}\"?"));
        }
        self.findings.push(problem);
        None
    }

    /// A condition on one subject; with `-file`, that one of the file's patterns matches.
    fn compare(
        &mut self,
        statement: &Statement,
        index: usize,
        default: Default,
        of: impl Fn(Pattern) -> Condition,
    ) -> Condition {
        match self.patterns(statement, index, default) {
            Written::Here(pattern) => of(pattern),
            Written::InFile(patterns) => Condition::Any(patterns.into_iter().map(of).collect()),
            Written::Watched { feed, like } => Condition::Patterns { feed, of: Box::new(of(like)) },
        }
    }
}

/// A rate `N`, `N/UNIT` or `N/MUNIT`, the unit being `s`, `ms` or `us`: so many tokens in so many microseconds.
fn rate(text: &str) -> Option<(u32, u64)> {
    let number = |text: &str| {
        // `parse` alone would accept a plus sign.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u32>().ok().filter(|number| *number > 0) } else { None }
    };
    let (tokens, time) = text.split_once('/').unwrap_or((text, "s"));
    let unit = time.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let unit_us = match unit {
        "s" => 1_000_000,
        "ms" => 1_000,
        "us" => 1,
        _ => return None,
    };
    let count = &time[..time.len() - unit.len()];
    let count = if count.is_empty() { 1 } else { number(count)? };
    Some((number(tokens)?, u64::from(count) * unit_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_tokens_in_a_time() {
        for (text, expected) in [
            ("5", (5, 1_000_000)),
            ("5/s", (5, 1_000_000)),
            ("1/10s", (1, 10_000_000)),
            ("250/100ms", (250, 100_000)),
            ("3/us", (3, 1)),
            ("4294967295/4294967295s", (u32::MAX, 4_294_967_295_000_000)),
        ] {
            assert_eq!(rate(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "/s",
            "0",
            "0/s",
            "5/",
            "5/m",
            "5/0s",
            "5/s2",
            "5/ s",
            "+5",
            "-1/s",
            "1.5/s",
            "5/10",
            "4294967296",
            "5/s/s",
        ] {
            assert_eq!(rate(text), None, "{text}");
        }
    }
}
