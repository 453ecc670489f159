//! What a reading of the configuration asked the system about, so that a second reading need not ask again.
//!
//! Name servers, user databases and preprocessors may take their time. The child that checks a changed configuration asks them and
//! writes the answers down, a line each; the supervisor reads the configuration with these answers alone.

use crate::preprocess::Made;
use ounce_conf::Names;
use ounce_sys::privilege::{self, UserId};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Answers of the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    names: Names,
    users: BTreeMap<String, UserId>,
    groups: BTreeMap<String, u32>,
    /// What the preprocessor has made of the file.
    text: Option<String>,
}

/// Whom to ask.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// The system; the answers are noted.
    Ask(Known),
    /// Nobody: what is not known does not exist.
    Recall(Known),
}

impl Lookup {
    /// Names for the configuration's reader; `None` if it is to ask for itself.
    pub(crate) fn names(&self) -> Option<Names> {
        match self {
            Lookup::Ask(_) => None,
            Lookup::Recall(known) => Some(known.names.clone()),
        }
    }

    /// A user.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn user(&mut self, name: &str) -> Result<UserId, String> {
        match self {
            Lookup::Ask(known) => {
                let user = privilege::lookup_user(name).map_err(|error| error.to_string())?;
                known.users.insert(name.to_owned(), user.clone());
                Ok(user)
            }
            Lookup::Recall(known) => known.users.get(name).cloned().ok_or_else(|| forgotten("user", name)),
        }
    }

    /// A group.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn group(&mut self, name: &str) -> Result<u32, String> {
        match self {
            Lookup::Ask(known) => {
                let group = privilege::lookup_group(name).map_err(|error| error.to_string())?;
                known.groups.insert(name.to_owned(), group);
                Ok(group)
            }
            Lookup::Recall(known) => known.groups.get(name).copied().ok_or_else(|| forgotten("group", name)),
        }
    }

    /// What the preprocessor makes of the file.
    ///
    /// # Errors
    /// Why there is nothing.
    pub(crate) fn text(
        &mut self,
        ask: impl FnOnce() -> Result<Made, Vec<String>>,
    ) -> Result<Made, Vec<String>> {
        match self {
            Lookup::Ask(known) => {
                let made = ask()?;
                known.text = Some(made.text.clone());
                Ok(made)
            }
            Lookup::Recall(known) => {
                let text = known
                    .text
                    .take()
                    .ok_or_else(|| vec!["nothing was preprocessed a moment ago".to_owned()])?;
                // What was said along the way was told when it was said.
                Ok(Made { text, said: Vec::new() })
            }
        }
    }

    /// What is known now, with the names that the configuration's reader asked for.
    pub(crate) fn into_known(self, names: Names) -> Known {
        match self {
            Lookup::Ask(known) | Lookup::Recall(known) => Known { names, ..known },
        }
    }
}

fn forgotten(what: &str, name: &str) -> String {
    format!("no {what} \"{name}\" was found a moment ago")
}

impl Known {
    /// The answers as lines: `host`, `user` or `group`, the name and the answer, between tabs. A name that would break
    /// a line is left out, and then unknown.
    pub(crate) fn to_lines(&self) -> Vec<String> {
        let hosts = self.names.iter().map(|(name, addresses)| line("host", name, addresses));
        let users = self.users.iter().map(|(name, user)| {
            let numbers: Vec<u32> =
                [user.uid, user.gid].into_iter().chain(user.groups.iter().copied()).collect();
            line("user", name, &numbers)
        });
        let groups = self.groups.iter().map(|(name, group)| line("group", name, &[*group]));
        let text = self.text.iter().map(|text| line("text", "", &[escaped(text)]));
        hosts.chain(users).chain(groups).chain(text).filter(|line| !line.contains('\n')).collect()
    }

    /// Takes an answer from its line; false if it is none.
    pub(crate) fn take_line(&mut self, line: &str) -> bool {
        let mut words = line.split('\t');
        let (Some(kind), Some(name)) = (words.next(), words.next()) else { return false };
        let name = name.to_owned();
        let taken = match kind {
            "host" => all::<IpAddr>(words).map(|addresses| _ = self.names.insert(name, addresses)),
            "user" => all::<u32>(words).and_then(|numbers| {
                let [uid, gid, groups @ ..] = &numbers[..] else { return None };
                self.users.insert(name, UserId { uid: *uid, gid: *gid, groups: groups.to_vec() });
                Some(())
            }),
            "group" => all::<u32>(words).and_then(|numbers| {
                self.groups.insert(name, *numbers.first()?);
                Some(())
            }),
            "text" => words.next().map(|text| self.text = Some(unescaped(text))),
            _ => None,
        };
        taken.is_some()
    }
}

fn line(kind: &str, name: &str, answer: &[impl ToString]) -> String {
    let words = [kind.to_owned(), name.to_owned()].into_iter();
    words.chain(answer.iter().map(ToString::to_string)).collect::<Vec<String>>().join("\t")
}

/// A text on one line, without tabs.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.push(match (c, if c == '\\' { rest.next() } else { None }) {
            (_, Some('n')) => '\n',
            (_, Some('t')) => '\t',
            (_, Some(other)) => other,
            (c, None) => c,
        });
    }
    out
}

fn all<T: std::str::FromStr>(words: std::str::Split<'_, char>) -> Option<Vec<T>> {
    words.map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_their_lines() {
        let known = Known {
            names: Names::from([
                ("a.example".into(), vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
                ("none.example".into(), vec![]),
            ]),
            users: BTreeMap::from([("www".into(), UserId { uid: 33, gid: 34, groups: vec![34, 4] })]),
            groups: BTreeMap::from([("adm".into(), 4)]),
            text: Some("User \"a\\\\b\"\n\tPort 1\\n\n".into()),
        };
        let mut again = Known::default();
        assert!(known.to_lines().iter().all(|line| again.take_line(line)));
        assert_eq!(again, known);
    }

    #[test]
    fn what_is_no_answer_is_not_taken() {
        let mut known = Known::default();
        for line in
            ["", "host", "user\tx", "user\tx\t1", "group\tx", "group\tx\t-1", "host\tx\ty", "dog\tx\t1"]
        {
            assert!(!known.take_line(line), "{line:?}");
        }
        assert_eq!(known, Known::default());
    }

    #[test]
    fn what_was_asked_is_recalled_and_nothing_else() {
        let mut asked = Lookup::Ask(Known::default());
        let root = asked.user("root").unwrap();
        asked.group("root").unwrap();
        assert!(asked.user("no-such-user").is_err());
        let mut recalled = Lookup::Recall(asked.into_known(Names::new()));
        assert_eq!(recalled.user("root").unwrap(), root);
        assert_eq!(recalled.group("root").unwrap(), 0);
        assert!(recalled.user("0").is_err());
        assert!(recalled.names().unwrap().is_empty());
    }
}
