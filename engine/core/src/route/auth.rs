//! Who may come in with a password (`BasicAuth`).
//!
//! Whether a password is right takes long to find out: that is the point of password hashes. So a condition that needs to
//! know and does not yet leaves a [`Question`] and ends the selection; the engine answers it, and the selection begins
//! anew with the answer ([`super::Captures`] keeps it for the request). A user that is not in the file costs as much as
//! one that is: the question is then about somebody else's password, and its answer does not matter.
//!
//! Rules cannot wait: what they ask is asked for when their service has been found ([`Asked`]).

use super::captures::Captures;
use super::feed::Cell;
use super::request::Request;
use ounce_conf::listing::{Hashing, User};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use zeroize::Zeroize;

/// The users of a file.
#[derive(Debug)]
pub struct Users {
    by_name: HashMap<Box<[u8]>, Arc<Secret>>,
    /// In the order of the file.
    list: Vec<Arc<Secret>>,
    /// Of all secrets: says which of them stands in for that of a stranger, so that nobody who has not read the file can
    /// tell.
    blend: u64,
}

/// A file of users that a condition looks at.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its place among the plan's feeds.
    pub(crate) feed: u32,
    /// Its users at present.
    pub(crate) users: Arc<Cell<Users>>,
}

/// What is kept of a password.
#[derive(Debug, PartialEq, Eq)]
pub struct Secret {
    /// As it stands in the file.
    pub text: String,
    /// What that is.
    pub hashing: Hashing,
}

/// Whether a password is that of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is known of the user's password.
    pub secret: Arc<Secret>,
    /// The one that came.
    pub password: Password,
    /// The user is in the file; if not, whatever comes out counts as wrong.
    pub known: bool,
    /// The file's place among the plan's feeds.
    pub(crate) feed: u32,
}

/// A password, which is never shown, and wiped when it is no longer needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Vec<u8>);

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("…")
    }
}

impl Users {
    /// The first entry of a name counts.
    pub(crate) fn new(users: Vec<User>) -> Users {
        let (mut by_name, mut list) = (HashMap::new(), Vec::with_capacity(users.len()));
        for user in users {
            let secret = Arc::new(Secret { text: user.secret, hashing: user.hashing });
            list.push(Arc::clone(&secret));
            by_name.entry(user.name.into_bytes().into()).or_insert(secret);
        }
        let mut hasher = DefaultHasher::new();
        list.iter().for_each(|secret| secret.text.hash(&mut hasher));
        Users { by_name, list, blend: hasher.finish() }
    }

    /// The secret of this user, or one of another's for one that is unknown, always the same; and which it is.
    fn secret(&self, name: &[u8]) -> Option<(Arc<Secret>, bool)> {
        if let Some(secret) = self.by_name.get(name) {
            return Some((Arc::clone(secret), true));
        }
        let mut hasher = DefaultHasher::new();
        (self.blend, name).hash(&mut hasher);
        let place = hasher.finish().checked_rem(self.list.len() as u64)?;
        Some((Arc::clone(self.list.get(place as usize)?), false))
    }
}

impl Asked {
    /// Whether the request comes with the name and password of a user of this file. If that is not known yet it is asked,
    /// and the answer here means nothing.
    pub(crate) fn holds(&self, request: &Request<'_>, captures: &mut Captures) -> bool {
        let feed = self.feed;
        if let Some(&(_, right)) = captures.verdicts.iter().find(|(known, _)| *known == feed) {
            return right;
        }
        if captures.question.is_none()
            && let Some((name, password)) = request.basic_user()
            && let Some((secret, known)) = self.users.get().secret(&name)
        {
            captures.question = Some(Box::new(Question { secret, password, known, feed }));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::matcher::select;
    use crate::route::plan::Plan;
    use crate::route::sample::{Sample, config, listener, plan, redirect, service};
    use ounce_conf::model::{Condition, Feed, FeedKind, FeedName};

    /// `Not BasicAuth` with an answer of its own, as documented, and a service for everybody else.
    fn guarded(users: &str) -> Plan {
        let name = FeedName { index: 0, path: "users".into() };
        let outside = Condition::Not(Box::new(Condition::BasicAuth(name)));
        let services = vec![
            service(Some("outside"), vec![outside], vec![redirect("http://a/")]),
            service(Some("inside"), Vec::new(), vec![redirect("http://b/")]),
        ];
        let mut config = config(vec![listener("127.0.0.1:80", services)], Vec::new());
        let bytes = users.as_bytes().to_vec();
        config.feeds.push(Feed { path: "users".into(), kind: FeedKind::Users, watched: true, bytes });
        plan(&config)
    }

    /// The service, or what is asked first.
    fn select_in<'p>(plan: &'p Plan, sample: &Sample, captures: &mut Captures) -> Result<&'p str, Question> {
        let ix = select(plan, 0, &sample.request(), &|_| false, captures);
        if let Some(question) = captures.question.take() {
            return Err(*question);
        }
        Ok(ix.map_or("none", |ix| &plan.service(ix).name))
    }

    fn with(credentials: &str) -> Sample {
        Sample::get("/", &["Host: h", &format!("Authorization: Basic {credentials}")])
    }

    #[test]
    fn a_password_is_asked_about_once_and_then_known() {
        let plan = guarded("Aladdin:open sesame\nother:x\n");
        let sample = with("QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        for (right, chosen) in [(true, "inside"), (false, "outside")] {
            let mut captures = Captures::new();
            let question = select_in(&plan, &sample, &mut captures).unwrap_err();
            assert_eq!(question.secret.text, "open sesame");
            assert_eq!(question.secret.hashing, Hashing::Plain);
            assert_eq!(question.password, Password(b"open sesame".to_vec()));
            assert!(question.known);
            captures.verdict(question.feed, right && question.known);
            assert_eq!(select_in(&plan, &sample, &mut captures), Ok(chosen));
        }
    }

    #[test]
    fn nothing_is_asked_of_who_brings_no_credentials() {
        let plan = guarded("a:b\n");
        for sample in [
            Sample::get("/", &["Host: h"]),
            with("!!"),
            with("bm9jb2xvbg=="),
            Sample::get("/", &["Host: h", "Authorization: Bearer YTpi"]),
        ] {
            assert_eq!(select_in(&plan, &sample, &mut Captures::new()), Ok("outside"));
        }
    }

    #[test]
    fn a_stranger_costs_as_much_as_a_user_and_never_comes_in() {
        let plan = guarded("a:b\n");
        let mut captures = Captures::new();
        // `b:b`, the password of somebody else.
        let question = select_in(&plan, &with("Yjpi"), &mut captures).unwrap_err();
        assert!(!question.known);
        captures.verdict(question.feed, question.known);
        assert_eq!(select_in(&plan, &with("Yjpi"), &mut captures), Ok("outside"));
        assert_eq!(select_in(&guarded(""), &with("Yjpi"), &mut Captures::new()), Ok("outside"));
    }

    #[test]
    fn a_file_of_users_changes() {
        let plan = guarded("a:b\n");
        plan.put(plan.read_feed(0, b"c:d\n").expect("a good file"));
        let question = select_in(&plan, &with("YTpi"), &mut Captures::new()).unwrap_err();
        assert!(!question.known, "a is no user any more");
        assert!(plan.read_feed(0, b"c\n").is_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        let question = select_in(&guarded("a:b\n"), &with("YTpi"), &mut Captures::new()).unwrap_err();
        assert_eq!(format!("{:?}", question.password), "…");
    }
}
