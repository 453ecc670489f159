//! Header rules of old files that say something else today: in 2.x `HeadRemove` was about what clients send alone, wherever
//! it stood, and `AddHeader` added a line whatever was there. Now rules run in their order, after the headers that are
//! added here, and set what they name.

use super::Lowering;
use crate::diag::Problem;
use crate::model::Listener;
use crate::tree::Statement;

/// What 2.x added itself after it had removed headers; the second one stands for all that begin so.
const ADDED: [&str; 2] = ["X-Forwarded-For", "X-SSL-"];

impl Lowering<'_> {
    /// Warns of a listener's rules that would do in silence what they did not do.
    pub(super) fn check_old_rules(&mut self, block: &[Statement], listener: &Listener) {
        if !self.options.warn_deprecated {
            return;
        }
        let mut added: Vec<(&str, &Statement)> = Vec::new();
        for statement in block.iter().filter(|statement| statement.sound) {
            let Some(text) = statement.text(0) else { continue };
            match statement.word.to_ascii_lowercase().as_str() {
                "addheader" => {
                    let name = text.split(':').next().unwrap_or_default();
                    if let Some((_, first)) = added.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
                    {
                        let text = format!("this takes the place of the {name} that is set before it");
                        let problem = Problem::warning(statement.place(0), text).help("2.x sent both");
                        self.findings.push(problem.note(first.place(0), "which is here"));
                    }
                    added.push((name, statement));
                }
                "headremove" => self.check_old_removal(statement, text, listener, &added),
                _ => {}
            }
        }
    }

    fn check_old_removal(
        &mut self,
        statement: &Statement,
        pattern: &str,
        listener: &Listener,
        added: &[(&str, &Statement)],
    ) {
        let [forwarded, ssl] = ADDED;
        let option = listener.header_option;
        let place = statement.place(0);
        if option.forwarded && removes(pattern, forwarded) {
            let text = format!("this removes the {forwarded} that is added here, too; in 2.x it did not");
            let help =
                format!("to send the client's address alone, write SetHeader \"{forwarded}: %[remoteip]\"");
            self.findings.push(Problem::warning(place, text).help(help));
        }
        if option.ssl && listener.tls.is_some() && removes(pattern, ssl) {
            let text = format!("this removes the {ssl} headers that are added here, too; in 2.x it did not");
            let help = "leave it out: what clients send of them never passes";
            self.findings.push(Problem::warning(place, text).help(help));
        }
        for (name, first) in added.iter().filter(|(name, _)| removes(pattern, name)) {
            let text = format!("this removes the {name} that is set before it, too; in 2.x it did not");
            let problem = Problem::warning(place, text).help("write it before that");
            self.findings.push(problem.note(first.place(0), "which is here"));
        }
    }
}

/// Whether a pattern seems to be about headers of this name, or whose names begin so: by what it says literally.
fn removes(pattern: &str, name: &str) -> bool {
    pattern.split('|').any(|pattern| {
        let pattern = pattern.trim_start_matches(['^', '(']);
        let literal = pattern.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)).count();
        // What follows a character may make it a choice.
        let optional = pattern[literal..].starts_with(['*', '?', '{']);
        let literal = &pattern[..literal.saturating_sub(usize::from(optional))];
        let starts = |whole: &str, part: &str| {
            whole.get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part))
        };
        literal.len() > 1 && (starts(name, literal) || (name.ends_with('-') && starts(literal, name)))
    })
}

#[cfg(test)]
mod tests {
    use super::removes;

    #[test]
    fn patterns_are_known_by_what_they_say_literally() {
        for pattern in
            ["X-Forwarded-For", "^x-forwarded-for:.*", "X-Forwarded", "(A|X-Forwarded-For): .*", "X-For.*"]
        {
            assert!(removes(pattern, "X-Forwarded-For"), "{pattern}");
        }
        for pattern in ["X-Forwarded-Proto", "X-Forwarded-Fork", "", ".*", "X?", "Forwarded"] {
            assert!(!removes(pattern, "X-Forwarded-For"), "{pattern}");
        }
        for pattern in ["X-SSL", "X-SSL-Subject", "x-ssl-.*"] {
            assert!(removes(pattern, "X-SSL-"), "{pattern}");
        }
    }
}
