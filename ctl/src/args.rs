//! The command line of `ouncectl`.

use ounce_ctl::api::{INDENT_MAX, LogChange, Object, Request};
use std::path::{Path, PathBuf};

/// The configuration that is read when neither `-f` nor `-s` is given. Under the name `poundctl` it is that of Pound.
pub(crate) fn default_file(name: &str) -> &'static Path {
    Path::new(if name == "poundctl" { "/etc/pound/pound.cfg" } else { "/etc/ounce/ounce.cfg" })
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Say this to the proxy.
    Ask(Box<Question>),
    /// `-h`: print the help.
    Help,
    /// `-V`: print the version and the built-in settings.
    Version,
}

/// A request, where to send it and how to show its answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// What is asked.
    pub(crate) request: Request,
    /// `-s`: the control socket, the URL of a service, or a server's name of the operator's file.
    pub(crate) socket: Option<String>,
    /// `-f`: the configuration whose `Control` names the socket.
    pub(crate) config: Option<PathBuf>,
    /// `-i`: indentation of JSON.
    pub(crate) indent: Option<usize>,
    /// `-j`: show the answer as JSON.
    pub(crate) json: bool,
    /// `-t`: the file of templates to show it with.
    pub(crate) template_file: Option<String>,
    /// `-T`: the template to run.
    pub(crate) template_name: Option<String>,
    /// `-C`: certificates of authorities.
    pub(crate) ca_file: Option<PathBuf>,
    /// `-K`: a certificate and key of the operator's.
    pub(crate) client_cert: Option<PathBuf>,
    /// `-k`: any server is believed.
    pub(crate) trust_anybody: bool,
    /// `-v`: say on standard error what is done.
    pub(crate) verbose: bool,
}

/// The help, without the line that names the program.
pub(crate) const HELP: &str = "\
Shows and changes the state of a running proxy through its control socket.

Commands:
  list [/L[/S[/B]]]       show everything, or a listener, a service, a backend
  core                    show the process and its workers
  enable | on /L[/S[/B]]  enable a listener, a service or a backend
  disable | off /L[/S[/B]]
                          disable it; a disabled backend gets no new sessions
  add /L/S/B KEY          bind session KEY to backend B
  delete | del /L/S KEY   forget session KEY
  log [/L] [LEVEL]        show how request lines are written, by listener L or by all without a level of their own;
                          or have them written in this format, a name or a number
  log [/L] -              have them written again as the configuration says

L and S are numbers, counted from 0, or labels; B is a number. A `-` for L stands for the services outside any
listener: `/-/0` is the first of them. Without a command, `list` is meant.

Options:
  -f FILE    take the socket from the Control statement of this configuration
  -s PLACE   path of the control socket, http:// or https:// URL of a service with Control, or name of a Server in
             ~/.poundctl
  -i N       indent JSON by N
  -j         show the answer as JSON
  -t FILE    show the answer by the templates of this file, looked for in POUND_TMPL_PATH
  -T NAME    run this template (default)
  -C FILE    believe servers with certificates by these authorities alone
  -K FILE    certificate and key to show to the server
  -k         believe any server
  -v         say what is done
  -V         print the version and the built-in settings
  -h         print this help
";

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// A sentence for the operator.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut words = Vec::new();
    let mut question = Question {
        request: Request::Show(Object::Everything),
        socket: None,
        config: None,
        indent: None,
        json: false,
        template_file: None,
        template_name: None,
        ca_file: None,
        client_cert: None,
        trust_anybody: false,
        verbose: false,
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--" => {
                words.extend(arguments);
                break;
            }
            "--help" => return Ok(Command::Help),
            "--version" => return Ok(Command::Version),
            long if long.starts_with("--") => return Err(format!("unknown option {long}")),
            cluster if cluster.len() > 1 && cluster.starts_with('-') => {
                if let Some(command) = options(&cluster[1..], &mut arguments, &mut question)? {
                    return Ok(command);
                }
            }
            _ => words.push(argument),
        }
    }
    question.request = request(&words)?;
    Ok(Command::Ask(Box::new(question)))
}

/// Reads one word of options: any number of flags, then one that takes a value, which may follow at once.
fn options(
    cluster: &str,
    more: &mut impl Iterator<Item = String>,
    question: &mut Question,
) -> Result<Option<Command>, String> {
    for (at, option) in cluster.char_indices() {
        let mut value = || match &cluster[at + option.len_utf8()..] {
            "" => more.next().ok_or_else(|| format!("option -{option} needs a value")),
            attached => Ok(attached.to_owned()),
        };
        match option {
            'h' => return Ok(Some(Command::Help)),
            'V' => return Ok(Some(Command::Version)),
            'j' => question.json = true,
            'v' => question.verbose = true,
            'f' => question.config = Some(PathBuf::from(value()?)),
            's' => question.socket = Some(value()?),
            't' => question.template_file = Some(value()?),
            'T' => question.template_name = Some(value()?),
            'C' => question.ca_file = Some(PathBuf::from(value()?)),
            'K' => question.client_cert = Some(PathBuf::from(value()?)),
            'k' => question.trust_anybody = true,
            'i' => question.indent = Some(indent(&value()?)?),
            _ => return Err(format!("unknown option -{option}")),
        }
        if "fsitTCK".contains(option) {
            break;
        }
    }
    Ok(None)
}

fn indent(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(width) if width <= INDENT_MAX => Ok(width),
        _ => Err(format!("-i takes a number from 0 to {INDENT_MAX}, not {text}")),
    }
}

fn request(words: &[String]) -> Result<Request, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["list"] => Ok(Request::Show(Object::Everything)),
        ["list", path] => Ok(Request::Show(object(path)?)),
        ["core"] => Ok(Request::Core),
        [verb @ ("enable" | "on" | "disable" | "off"), path] => {
            let enable = matches!(*verb, "enable" | "on");
            match object(path)? {
                Object::Everything => Err(format!("{verb} needs at least a listener: /L")),
                object => Ok(Request::Switch { object, enable }),
            }
        }
        ["log"] => Ok(Request::Log { listener: None, change: LogChange::Show }),
        ["log", path] if path.starts_with('/') => Ok(log(path, LogChange::Show)?),
        ["log", level] => Ok(Request::Log { listener: None, change: log_change(level) }),
        ["log", path, level] => Ok(log(path, log_change(level))?),
        ["add", path, key] => match object(path)? {
            Object::Backend(service, backend) => {
                Ok(Request::AddSession { service, backend, key: session_key(key)? })
            }
            _ => Err(format!("add needs a backend, /L/S/B, not {path}")),
        },
        [verb @ ("delete" | "del"), path, key] => match object(path)? {
            Object::Service(service) => Ok(Request::ForgetSession { service, key: session_key(key)? }),
            _ => Err(format!("{verb} needs a service, /L/S, not {path}")),
        },
        [verb @ ("list" | "core"), ..] => Err(format!("too many arguments for {verb}")),
        [verb @ ("enable" | "on" | "disable" | "off"), ..] => {
            Err(format!("{verb} takes one object: /L[/S[/B]]"))
        }
        [verb @ ("delete" | "del"), ..] => Err(format!("{verb} takes a service and a session key: /L/S KEY")),
        ["add", ..] => Err("add takes a backend and a session key: /L/S/B KEY".into()),
        [verb, ..] => Err(format!("unknown command {verb}")),
    }
}

fn object(path: &str) -> Result<Object, String> {
    Object::from_path(path).ok_or_else(|| format!("expected /L, /L/S or /L/S/B, not {path}"))
}

fn log(path: &str, change: LogChange) -> Result<Request, String> {
    match object(path)? {
        Object::Everything => Ok(Request::Log { listener: None, change }),
        Object::Listener(listener) => Ok(Request::Log { listener: Some(listener), change }),
        _ => Err(format!("log takes a listener: /L, not {path}")),
    }
}

fn log_change(level: &str) -> LogChange {
    if level == "-" { LogChange::Reset } else { LogChange::Set(level.to_owned()) }
}

fn session_key(key: &str) -> Result<Vec<u8>, String> {
    if key.is_empty() { Err("a session key cannot be empty".into()) } else { Ok(key.as_bytes().to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ounce_ctl::api::Name;

    fn read(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn asked(line: &str) -> Question {
        match read(line) {
            Ok(Command::Ask(question)) => *question,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn nothing_said_lists_everything() {
        let question = asked("");
        assert_eq!(question.request, Request::Show(Object::Everything));
        assert_eq!((question.json, question.indent, question.socket), (false, None, None));
    }

    #[test]
    fn options_stand_anywhere_and_cluster() {
        let question = asked("list -vj /web -i4 -s /run/control");
        assert_eq!(question.request, Request::Show(Object::Listener(Name::Label("web".into()))));
        assert_eq!((question.json, question.verbose, question.indent), (true, true, Some(4)));
        assert_eq!(question.socket.as_deref(), Some("/run/control"));
        let question = asked("-kt own.tmpl -Tshort -C ca.pem -K me.pem");
        assert_eq!(question.template_file.as_deref(), Some("own.tmpl"));
        assert_eq!(question.template_name.as_deref(), Some("short"));
        assert_eq!(question.ca_file.as_deref(), Some(Path::new("ca.pem")));
        assert_eq!(question.client_cert.as_deref(), Some(Path::new("me.pem")));
        assert!(question.trust_anybody);
        assert_eq!(asked("-jf pound.cfg core").config.as_deref(), Some(Path::new("pound.cfg")));
    }

    #[test]
    fn both_spellings_of_a_verb_mean_the_same() {
        for (one, other) in
            [("enable /0", "on /0"), ("disable /-/a/1", "off /-/a/1"), ("delete /0/1 k", "del /0/1 k")]
        {
            assert_eq!(asked(one).request, asked(other).request);
        }
        assert!(matches!(asked("off /0").request, Request::Switch { enable: false, .. }));
    }

    #[test]
    fn log_levels_are_shown_set_and_given_back() {
        let listener = || Some(Name::Index(1));
        let set = |level: &str| LogChange::Set(level.into());
        for (line, listener, change) in [
            ("log", None, LogChange::Show),
            ("log /", None, LogChange::Show),
            ("log /1", listener(), LogChange::Show),
            ("log 3", None, set("3")),
            ("log /1 combined", listener(), set("combined")),
            ("log -", None, LogChange::Reset),
            ("log /1 -", listener(), LogChange::Reset),
        ] {
            assert_eq!(asked(line).request, Request::Log { listener, change }, "{line}");
        }
    }

    #[test]
    fn a_key_may_look_like_an_option_after_two_dashes() {
        let Request::AddSession { backend, key, .. } = asked("add -- /0/0/2 -k").request else { panic!() };
        assert_eq!((backend, key.as_slice()), (2, b"-k".as_slice()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "lst",
            "list a",
            "list /0 /1",
            "core /0",
            "enable",
            "enable /",
            "enable /0 /1",
            "log /0/0",
            "log /0 1 2",
            "add /0/0 k",
            "add /0/0/0",
            "delete /0/0/0 k",
            "delete /0",
            "-x",
            "--long",
            "-i",
            "-i x",
            "-i 33",
            "-s",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn help_and_version_win() {
        assert_eq!(read("list -h"), Ok(Command::Help));
        assert_eq!(read("-jV nonsense"), Ok(Command::Version));
    }
}
