//! Changes to request headers.

use super::Lowering;
use super::pattern::Default;
use crate::diag::Problem;
use crate::model::HeaderRule;
use crate::tree::Statement;

/// Headers that say where a message ends: a rule that set them would break every request.
const FRAMING: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// Headers that end at the proxy (RFC 9110 7.6.1), so that a rule for them reaches nobody.
const HOP: [&str; 6] = ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"];

/// Spellings of `DeleteHeader` that never look at case.
const OLD: [&str; 2] = ["HeadRemove", "HeaderRemove"];

impl Lowering<'_> {
    /// `SetHeader` and its older spellings.
    pub(super) fn set_header(&mut self, statement: &Statement) -> Option<HeaderRule> {
        let (text, place) = (statement.text(0)?, statement.place(0));
        let parts = text.split_once(':').map(|(name, value)| (name, value.trim_matches([' ', '\t'])));
        let Some((name, value)) = parts.filter(|(name, value)| is_token(name) && is_value(value)) else {
            let problem = Problem::error(place, "this is no header");
            self.findings.push(problem.expected("\"Name: value\" on one line"));
            return None;
        };
        if FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)) {
            self.error(place, format!("{name} cannot be set: it says where a request ends"));
            return None;
        }
        if HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name)) {
            self.warn(place, format!("setting {name} has no effect: this header ends at the proxy"));
            return None;
        }
        let value = self.expansions(value, place)?;
        Some(HeaderRule::Set { name: name.to_owned(), value })
    }

    /// `DeleteHeader` and its older spellings.
    pub(super) fn delete_header(&mut self, statement: &Statement) -> Option<HeaderRule> {
        let default = Default { exact: false, ignore_case: self.defaults.ignore_case };
        let mut pattern = self.pattern(statement, default)?;
        pattern.ignore_case |= OLD.iter().any(|old| old.eq_ignore_ascii_case(&statement.word));
        Some(HeaderRule::Delete(pattern))
    }
}

/// RFC 9110 5.6.2: what a header name is made of.
pub(super) fn is_token(name: &str) -> bool {
    let extra = |b: u8| b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || extra(b))
}

/// RFC 9110 5.5: no control bytes but TAB.
pub(super) fn is_value(value: &str) -> bool {
    value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f))
}
