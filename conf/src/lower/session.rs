//! Sticky sessions.

use super::Lowering;
use crate::diag::Problem;
use crate::grammar::SessionType;
use crate::model::{Session, SessionKind};
use crate::tree::Statement;

impl Lowering<'_> {
    /// `Session`; none when it is incomplete, which is reported.
    pub(super) fn session(&mut self, statement: &Statement) -> Option<Session> {
        let block = statement.block();
        let (mut kind, mut ttl, mut id) = (None, None, None);
        for inner in self.meant(block) {
            match inner.row.name {
                "Type" => kind = inner.word(0).and_then(|index| SessionType::ALL.get(index).copied()),
                // Hashed keys need no session to be kept: 2.4 to 2.8 said so by a number below 0.
                "TTL" => ttl = Some(inner.time()).filter(|ttl| !ttl.is_zero()),
                "ID" => id = inner.text(0).map(|name| (name.to_owned(), inner.place(0))),
                _ => {}
            }
        }
        for (name, wants) in
            [("Type", "Type with IP, BASIC, URL, PARM, COOKIE or HEADER"), ("TTL", "TTL with a time")]
        {
            if super::find(block, name).is_none() {
                let problem = Problem::error(statement.keyword, format!("Session has no {name}"));
                self.findings.push(problem.expected(wants));
            }
        }
        let kind = kind?;
        let named: Option<fn(String) -> SessionKind> = match kind {
            SessionType::Ip | SessionType::Basic | SessionType::Parm => None,
            SessionType::Url => Some(SessionKind::Url),
            SessionType::Cookie => Some(SessionKind::Cookie),
            SessionType::Header => Some(SessionKind::Header),
        };
        let kind = match (named, id) {
            (Some(named), Some((id, place))) => {
                if id.is_empty() {
                    self.error(place, "the ID of a session is empty");
                }
                named(id)
            }
            (Some(_), None) => {
                if super::find(block, "ID").is_none() {
                    let problem = Problem::error(statement.keyword, "Session of this type has no ID");
                    self.findings
                        .push(problem.expected("ID with the name of the parameter, cookie or header"));
                }
                return None;
            }
            (None, id) => {
                if let Some((_, place)) = id {
                    let problem = Problem::warning(place, "ID has no effect with this type of session");
                    // 2.0 to 2.3 called a parameter of the query PARM.
                    let old = kind == SessionType::Parm;
                    self.findings.push(if old {
                        problem.help("for a parameter of the query write Type URL")
                    } else {
                        problem
                    });
                }
                match kind {
                    SessionType::Basic => SessionKind::Basic,
                    SessionType::Parm => SessionKind::Parm,
                    _ => SessionKind::Ip,
                }
            }
        };
        Some(Session { kind, ttl })
    }
}
