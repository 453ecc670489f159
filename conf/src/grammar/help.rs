//! The text of `--help-directives`, made from the rows.

use super::{Argument, Body, Count, Kind, Row, Scope, Status, rows};
use std::fmt::Write as _;

/// Columns of the syntax before the line of help.
const SYNTAX_COLUMNS: usize = 40;

/// Columns of help in a line.
const HELP_COLUMNS: usize = 78;

/// Every directive by the section it stands in, with its arguments and its line of help.
pub fn help_directives() -> String {
    let mut out = String::new();
    for scope in Scope::ALL {
        let _ = writeln!(out, "In {}:", scope.name());
        for row in rows().filter(|row| row.scopes.contains(&scope)) {
            let syntax = row.syntax();
            if syntax.len() < SYNTAX_COLUMNS {
                let _ = write!(out, "  {syntax:SYNTAX_COLUMNS$}");
            } else {
                let _ = write!(out, "  {syntax}\n  {:SYNTAX_COLUMNS$}", "");
            }
            wrap(&mut out, &format!("{}{}", row.help, row.standing()));
        }
        out.push('\n');
    }
    out.push_str(
        "-OPTION of a pattern is -re, -exact, -beg, -end or -contain, -icase or -case, -posix or -pcre;\n",
    );
    out.push_str("-file reads patterns or networks from the file named. STRING and FILE stand in double quotes; TIME is in\n");
    out.push_str("seconds or like 90s, 2m, 1h, 1d; SIZE is in bytes or like 64k, 1m.\n");
    out
}

/// Writes words to the end of a line that holds the syntax, and under it as many more lines as they need.
fn wrap(out: &mut String, text: &str) {
    let mut columns = 0;
    for word in text.split(' ') {
        if columns > 0 && columns + 1 + word.len() > HELP_COLUMNS {
            let _ = write!(out, "\n  {:SYNTAX_COLUMNS$}", "");
            columns = 0;
        }
        if columns > 0 {
            out.push(' ');
            columns += 1;
        }
        out.push_str(word);
        columns += word.len();
    }
    out.push('\n');
}

impl Row {
    fn syntax(&self) -> String {
        let mut out = self.name.to_owned();
        if !self.switches.is_empty() {
            out.push_str(" [-OPTION]");
        }
        out.push_str(&self.rest_of_syntax());
        out
    }

    /// Arguments, and what follows the line.
    pub(super) fn rest_of_syntax(&self) -> String {
        let mut out = String::new();
        for argument in self.arguments {
            let _ = write!(out, " {}", argument.syntax());
        }
        match self.body {
            Body::None => {}
            Body::Perhaps(_) => out.push_str(" [... End]"),
            Body::Section { .. } | Body::ByWord(_) | Body::Raw => out.push_str(" ... End"),
            Body::List { .. } => out.push_str(" STRING... End"),
            Body::Prefix => out.push_str(" CONDITION"),
        }
        out
    }

    /// Other spellings, and what has become of it.
    fn standing(&self) -> String {
        let mut out = String::new();
        let old = self.instead.map_or(&[][..], |instead| instead.of);
        let also: Vec<&str> = self.aliases.iter().copied().filter(|alias| !old.contains(alias)).collect();
        if !also.is_empty() {
            let _ = write!(out, "; also {}", also.join(", "));
        }
        if let Some(instead) = self.instead {
            let of = if old.is_empty() { "old".to_owned() } else { format!("old: {}", old.join(", ")) };
            let _ = write!(out, "; {of}; write {}", instead.write);
        }
        match self.status {
            Status::Works => {}
            Status::Later | Status::Ahead => out.push_str(" (not supported yet)"),
            Status::NoEffect(_) => out.push_str(" (no effect)"),
        }
        out
    }
}

impl Argument {
    fn syntax(&self) -> String {
        let form = match self.kind {
            Kind::Text => "STRING".to_owned(),
            Kind::File => "FILE".to_owned(),
            Kind::Source => "FILE|URI".to_owned(),
            Kind::Name => "NAME".to_owned(),
            Kind::Number { .. } => "N".to_owned(),
            Kind::Size { .. } => "SIZE".to_owned(),
            Kind::Time { .. } => "TIME".to_owned(),
            Kind::TimeOrNegative { .. } => "TIME|-1".to_owned(),
            Kind::Octal => "OCTAL".to_owned(),
            Kind::Flag => "yes|no".to_owned(),
            Kind::Address => "ADDRESS".to_owned(),
            Kind::Port => "PORT".to_owned(),
            Kind::Word(words) => words.join("|"),
            Kind::Code(codes) => codes.iter().map(ToString::to_string).collect::<Vec<_>>().join("|"),
            Kind::LogFormat => "0-5|STRING".to_owned(),
        };
        match self.count {
            Count::One => form,
            Count::Optional => format!("[{form}]"),
            Count::Many => format!("{form}..."),
            Count::Any => format!("[{form}...]"),
        }
    }
}
