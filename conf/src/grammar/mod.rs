//! The grammar: one row per directive and place.
//!
//! A row is all the parser knows of a directive: its spellings, the sections it may stand in, its options and
//! arguments, whether it opens a section, and what has become of it. The same row makes the text of
//! `--help-directives`. What a directive means with others is not here; that is `lower`.

mod backend;
mod control;
mod describe;
mod global;
mod help;
mod listener;
mod log;
mod matching;
mod rewrite;
mod service;
mod session;
mod tls;
mod value;

pub use describe::{Directive, Group, directives};
pub use help::help_directives;
pub(crate) use value::{SessionType, read};

/// The sections a directive may stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Global,
    Http,
    Https,
    Tunnel,
    Service,
    Backend,
    TunnelBackend,
    Session,
    Control,
    /// `Match`: conditions only.
    Match,
    /// `Condition "name"`.
    Condition,
    Rewrite,
    RewriteResponse,
    Resolver,
    Lua,
    /// `SSLEngine` as a section.
    Engine,
    /// `SSLProvider` as a section.
    Provider,
}

impl Scope {
    pub(crate) const ALL: [Scope; 17] = [
        Scope::Global,
        Scope::Http,
        Scope::Https,
        Scope::Tunnel,
        Scope::Service,
        Scope::Backend,
        Scope::TunnelBackend,
        Scope::Session,
        Scope::Control,
        Scope::Match,
        Scope::Condition,
        Scope::Rewrite,
        Scope::RewriteResponse,
        Scope::Resolver,
        Scope::Lua,
        Scope::Engine,
        Scope::Provider,
    ];

    /// The section's name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scope::Global => "the global scope",
            Scope::Http => "ListenHTTP",
            Scope::Https => "ListenHTTPS",
            Scope::Tunnel => "Tunnel",
            Scope::Service => "Service",
            Scope::Backend => "Backend",
            Scope::TunnelBackend => "Backend of a Tunnel",
            Scope::Session => "Session",
            Scope::Control => "Control",
            Scope::Match => "Match",
            Scope::Condition => "Condition",
            Scope::Rewrite => "Rewrite",
            Scope::RewriteResponse => "Rewrite response",
            Scope::Resolver => "Resolver",
            Scope::Lua => "Lua",
            Scope::Engine => "SSLEngine",
            Scope::Provider => "SSLProvider",
        }
    }
}

const GLOBAL: &[Scope] = &[Scope::Global];
const LISTENER: &[Scope] = &[Scope::Http, Scope::Https];
const SERVICE: &[Scope] = &[Scope::Service];

/// One directive in one kind of place.
#[derive(Debug)]
pub(crate) struct Row {
    /// The spelling that messages and help use.
    pub(crate) name: &'static str,
    /// Other spellings.
    pub(crate) aliases: &'static [&'static str],
    /// Where it may stand.
    pub(crate) scopes: &'static [Scope],
    /// Options it takes, before or between the arguments.
    pub(crate) switches: &'static [Switch],
    pub(crate) arguments: &'static [Argument],
    pub(crate) body: Body,
    pub(crate) repeat: Repeat,
    pub(crate) status: Status,
    /// What to write instead, when the directive or one of its spellings is out of date.
    pub(crate) instead: Option<Instead>,
    /// What it does, in one line.
    pub(crate) help: &'static str,
}

/// What follows a directive's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// Statements until `End`, unless so many arguments were given.
    Section { of: Scope, unless: usize },
    /// Statements until `End`, if one of them or `End` follows on the next line; else nothing.
    Perhaps(Scope),
    /// Statements until `End`; which ones depends on the first argument, a word.
    ByWord(&'static [Scope]),
    /// Strings until `End`, unless so many arguments were given.
    List { unless: usize },
    /// Any text until a line that says `End`.
    Raw,
    /// On the same line, the condition that it turns around.
    Prefix,
}

/// No number of arguments makes a line of the section.
const ALWAYS: usize = usize::MAX;

/// What happens when a directive is repeated in its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It adds.
    Many,
    /// The last one holds; the earlier one is warned of.
    Last,
    /// The second one is an error.
    Once,
    /// It is a setting for what follows it, so repeating it is the point of it.
    FromHere,
}

/// What has become of a directive here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It works.
    Works,
    /// It is known and refused.
    Later,
    /// It is read into the model, and refused until the engine serves it.
    Ahead,
    /// It is accepted and has no effect, for this reason.
    NoEffect(&'static str),
}

/// Advice to write something else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instead {
    /// The spellings that are out of date; empty means all.
    pub(crate) of: &'static [&'static str],
    /// What to write.
    pub(crate) write: &'static str,
}

/// An argument of a directive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument {
    pub(crate) kind: Kind,
    /// A word for it in messages and help.
    pub(crate) what: &'static str,
    pub(crate) count: Count,
}

/// How often an argument is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    One,
    /// At most once; it is there when more arguments are given than must be.
    Optional,
    /// Once or more; only the last argument of a row.
    Many,
    /// Any number of times; only the last argument of a row.
    Any,
}

/// What an argument looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string in double quotes.
    Text,
    /// A string in double quotes that names a file.
    File,
    /// A string in double quotes that names a file or something else.
    Source,
    /// A string, or a word or literal without quotes.
    Name,
    /// A decimal number in this range.
    Number { min: u64, max: u64 },
    /// Bytes in this range, also with k, m or g after the number.
    Size { min: u64, max: u64 },
    /// Seconds, or a number with s, m, h or d after it; at least so many seconds.
    Time { min: u64 },
    /// As `Time`, or a number below 0.
    TimeOrNegative { min: u64 },
    /// An octal number up to 7777.
    Octal,
    /// 1 yes true on, or 0 no false off, in lower case.
    Flag,
    /// An IP address, a host name or the path of a UNIX socket.
    Address,
    /// A port number or the name of a service.
    Port,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// One of these numbers.
    Code(&'static [u64]),
    /// The number of a built-in log format, or a format's name in quotes.
    LogFormat,
}

/// The options of directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    Re,
    Exact,
    Beg,
    End,
    Contain,
    Icase,
    Case,
    Posix,
    Pcre,
    File,
    FileWatch,
    Tag,
    Decode,
    Encode,
    Forwarded,
    Trim,
    CipherList,
    CipherSuites,
    Watcher,
    Json,
}

impl Switch {
    /// How it is written.
    pub(crate) fn spellings(self) -> &'static [&'static str] {
        match self {
            Switch::Re => &["-re"],
            Switch::Exact => &["-exact"],
            Switch::Beg => &["-beg"],
            Switch::End => &["-end"],
            Switch::Contain => &["-contain"],
            Switch::Icase => &["-icase"],
            Switch::Case => &["-case"],
            Switch::Posix => &["-posix"],
            Switch::Pcre => &["-pcre", "-perl"],
            Switch::File => &["-file"],
            Switch::FileWatch => &["-filewatch"],
            Switch::Tag => &["-tag"],
            Switch::Decode => &["-decode"],
            Switch::Encode => &["-encode"],
            Switch::Forwarded => &["-forwarded"],
            Switch::Trim => &["-trim"],
            Switch::CipherList => &["-cipherlist"],
            Switch::CipherSuites => &["-ciphersuites"],
            Switch::Watcher => &["-watcher", "-worker"],
            Switch::Json => &["-json"],
        }
    }

    /// Whether a value follows the option.
    pub(crate) fn takes_value(self) -> bool {
        self == Switch::Tag
    }

    /// Whether it turns the directive's last argument into a file name.
    pub(crate) fn names_file(self) -> bool {
        matches!(self, Switch::File | Switch::FileWatch)
    }
}

const fn row(name: &'static str, scopes: &'static [Scope], help: &'static str) -> Row {
    Row {
        name,
        aliases: &[],
        scopes,
        switches: &[],
        arguments: &[],
        body: Body::None,
        repeat: Repeat::Last,
        status: Status::Works,
        instead: None,
        help,
    }
}

impl Row {
    const fn also(mut self, aliases: &'static [&'static str]) -> Row {
        self.aliases = aliases;
        self
    }

    const fn takes(mut self, arguments: &'static [Argument]) -> Row {
        self.arguments = arguments;
        self
    }

    const fn switches(mut self, switches: &'static [Switch]) -> Row {
        self.switches = switches;
        self
    }

    /// A section of statements.
    const fn section(mut self, of: Scope) -> Row {
        self.body = Body::Section { of, unless: ALWAYS };
        self.repeat = Repeat::Many;
        self
    }

    const fn body(mut self, body: Body) -> Row {
        self.body = body;
        self.repeat = Repeat::Many;
        self
    }

    const fn repeat(mut self, repeat: Repeat) -> Row {
        self.repeat = repeat;
        self
    }

    /// Known and refused.
    const fn later(mut self) -> Row {
        self.status = Status::Later;
        self
    }

    /// Lowered, and refused until the engine serves it.
    const fn ahead(mut self) -> Row {
        self.status = Status::Ahead;
        self
    }

    /// Accepted, without effect.
    const fn idle(mut self, why: &'static str) -> Row {
        self.status = Status::NoEffect(why);
        self
    }

    /// Out of date in all its spellings.
    const fn instead(mut self, write: &'static str) -> Row {
        self.instead = Some(Instead { of: &[], write });
        self
    }

    /// Out of date in these spellings.
    const fn instead_of(mut self, of: &'static [&'static str], write: &'static str) -> Row {
        self.instead = Some(Instead { of, write });
        self
    }

    /// All spellings, the name first.
    pub(crate) fn spellings(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether it opens a section whatever its arguments.
    pub(crate) fn opens_section(&self) -> bool {
        match self.body {
            Body::Section { unless, .. } | Body::List { unless } => unless == ALWAYS,
            Body::ByWord(_) | Body::Raw => true,
            Body::None | Body::Prefix | Body::Perhaps(_) => false,
        }
    }

    /// Whether it is a condition on a request, so that `Not` may stand before it.
    pub(crate) fn is_condition(&self) -> bool {
        self.scopes.contains(&Scope::Match)
    }

    /// What to write instead of this spelling.
    pub(crate) fn advice(&self, spelling: &str) -> Option<&'static str> {
        let instead = self.instead?;
        let meant = instead.of.is_empty() || instead.of.iter().any(|old| old.eq_ignore_ascii_case(spelling));
        meant.then_some(instead.write)
    }
}

const fn one(kind: Kind, what: &'static str) -> Argument {
    Argument { kind, what, count: Count::One }
}

const fn optional(kind: Kind, what: &'static str) -> Argument {
    Argument { kind, what, count: Count::Optional }
}

const fn many(kind: Kind, what: &'static str) -> Argument {
    Argument { kind, what, count: Count::Many }
}

const fn any(kind: Kind, what: &'static str) -> Argument {
    Argument { kind, what, count: Count::Any }
}

/// All rows, a table for each file of this room.
const TABLES: [&[Row]; 10] = [
    global::ROWS,
    log::ROWS,
    control::ROWS,
    listener::ROWS,
    tls::ROWS,
    service::ROWS,
    matching::ROWS,
    rewrite::ROWS,
    backend::ROWS,
    session::ROWS,
];

/// Every row.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.into_iter().flatten()
}

/// The row of a directive in a section.
pub(crate) fn find(scope: Scope, word: &str) -> Option<&'static Row> {
    rows().find(|row| {
        row.scopes.contains(&scope) && row.spellings().any(|name| name.eq_ignore_ascii_case(word))
    })
}

/// The rows of a directive in other sections.
pub(crate) fn elsewhere(word: &str) -> impl Iterator<Item = &'static Row> {
    rows().filter(move |row| row.spellings().any(|name| name.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spelling must mean one thing in a section, or the second row is dead.
    #[test]
    fn each_spelling_has_one_row_in_a_section() {
        for scope in Scope::ALL {
            for row in rows().filter(|row| row.scopes.contains(&scope)) {
                for name in row.spellings() {
                    let found = find(scope, name).map(|found| std::ptr::eq(found, row));
                    assert_eq!(found, Some(true), "{name} in {}", scope.name());
                }
            }
        }
    }

    #[test]
    fn only_the_last_argument_repeats() {
        for row in rows() {
            let repeated = row.arguments.iter().position(|a| matches!(a.count, Count::Many | Count::Any));
            assert!(repeated.is_none_or(|at| at + 1 == row.arguments.len()), "{}", row.name);
        }
    }

    #[test]
    fn each_row_has_a_line_of_help() {
        for row in rows() {
            assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}", row.name);
            assert!(row.help.len() <= 110 && !row.help.contains('\n'), "{}", row.name);
        }
    }
}
