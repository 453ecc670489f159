//! Changes to request headers.

use super::Lowering;
use super::pattern::Default;
use crate::diag::Problem;
use crate::model::HeaderRule;
use crate::source::Span;
use crate::tree::Statement;

/// Headers that say where a message ends: a rule that set them would break every request.
const FRAMING: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// Headers that end at the proxy (RFC 9110 7.6.1), so that a rule for them reaches nobody.
const HOP: [&str; 6] = ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"];

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
        let value = self.constant(value, place)?;
        Some(HeaderRule::Set { name: name.to_owned(), value })
    }

    /// `DeleteHeader`; its older spellings never look at case.
    pub(super) fn delete_header(
        &mut self,
        statement: &Statement,
        always_ignore_case: bool,
    ) -> Option<HeaderRule> {
        let default = Default { exact: false, ignore_case: self.defaults.ignore_case };
        let mut pattern = self.pattern(statement, default)?;
        pattern.ignore_case |= always_ignore_case;
        Some(HeaderRule::Delete(pattern))
    }

    /// A text in which nothing is to be expanded, with `$$` and `$%` read; none if something is.
    fn constant(&mut self, text: &str, place: Span) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['$', '%']) {
            let (before, sign) = rest.split_at(at);
            out.push_str(before);
            let (read, length) = match expansion(sign.as_bytes()) {
                Expansion::Sign(read) => (read, 2),
                Expansion::Escape => (&sign[..1], 1),
                Expansion::None => {
                    let problem =
                        Problem::warning(place, format!("the {} expands to nothing known", &sign[..1]));
                    self.findings.push(
                        problem.help("it is taken as it stands; write $$ for a dollar, $% for a percent"),
                    );
                    (&sign[..1], 1)
                }
                Expansion::Known => {
                    let problem = Problem::error(place, "expansions in headers are not supported yet");
                    self.findings.push(problem.help("write $$ for a dollar and $% for a percent sign"));
                    return None;
                }
            };
            out.push_str(read);
            rest = &sign[length..];
        }
        out.push_str(rest);
        Some(out)
    }
}

/// What a dollar or percent sign starts (pound.md section 6).
enum Expansion {
    /// A sign that is written with two characters.
    Sign(&'static str),
    /// `%XX`, which stays as it is.
    Escape,
    /// A back-reference or accessor.
    Known,
    None,
}

fn expansion(text: &[u8]) -> Expansion {
    match text {
        [b'$', b'$', ..] => Expansion::Sign("$"),
        [b'$', b'%', ..] => Expansion::Sign("%"),
        [b'$', b'0'..=b'9' | b'{', ..] | [b'%', b'[', ..] => Expansion::Known,
        [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => Expansion::Escape,
        [b'%', b'0'..=b'9', ..] => Expansion::Known,
        _ => Expansion::None,
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
