//! The command line: Pound's options, getopt(3)-like, and a few long ones.

use crate::supervisor::CAN_TAKE_OVER;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Serve, or with `-c` only check.
    Run(Settings),
    /// `-h`, `--help`.
    Help,
    /// `-V`, `--version`.
    Version,
    /// `--help-directives`.
    Directives,
    /// `--upgrade-config FILE [INCLUDED]`: print the file, or one that it includes, in today's words.
    Upgrade { settings: Settings, file: PathBuf, included: Option<PathBuf> },
    /// Asked by a running program that is to be replaced by this one; for nobody else.
    CanTakeOver(Settings),
}

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `-f`: the configuration file; `None` is [`default_file`].
    pub(crate) file: Option<PathBuf>,
    /// `-c`: check and exit.
    pub(crate) check: bool,
    /// `-E`: print what `-W preprocess` makes of the configuration, and exit.
    pub(crate) print: bool,
    /// `-e`: foreground, request lines to standard output, problems to standard error.
    pub(crate) to_stderr: bool,
    /// `-F`: foreground.
    pub(crate) foreground: bool,
    /// `-v`: print what happens at start.
    pub(crate) verbose: bool,
    /// `-p`: overrides `PIDFile`.
    pub(crate) pid_file: Option<PathBuf>,
    /// `-W include-dir=DIR`: base of relative file names.
    pub(crate) include_dir: Option<PathBuf>,
    /// `-W [no-]dns`: look host names up.
    pub(crate) resolve_dns: bool,
    /// `-W [no-]warn-deprecated`.
    pub(crate) warn_deprecated: bool,
    /// `-W preprocess=CMD`: a command that makes the configuration of the file.
    pub(crate) preprocess: Option<String>,
    /// `-W close-extra-fds`: close inherited descriptors other than 0, 1 and 2.
    pub(crate) close_extra_fds: bool,
    /// `--demo`: the built-in configuration and origins.
    pub(crate) demo: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            file: None,
            check: false,
            print: false,
            to_stderr: false,
            foreground: false,
            verbose: false,
            pid_file: None,
            include_dir: None,
            resolve_dns: true,
            warn_deprecated: true,
            preprocess: None,
            close_extra_fds: false,
            demo: false,
        }
    }
}

/// The name under which the program speaks: the basename of `argv[0]`.
pub(crate) fn program_name(argv0: Option<&OsStr>) -> String {
    let name = argv0.and_then(|path| std::path::Path::new(path).file_name());
    name.map_or_else(|| "ounce".into(), |name| name.to_string_lossy().into_owned())
}

/// The configuration file when none is given. Under the name `pound` it is that of Pound.
pub(crate) fn default_file(name: &str) -> PathBuf {
    PathBuf::from(if name == "pound" { "/etc/pound/pound.cfg" } else { "/etc/ounce/ounce.cfg" })
}

/// Reads the arguments, without `argv[0]`.
///
/// # Errors
/// What is wrong, as one line.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut args = args.into_iter();
    let mut settings = Settings::default();
    let mut extra = Vec::new();
    let (mut only_extra, mut can_take_over, mut upgrade) = (false, false, false);
    while let Some(arg) = args.next() {
        let bytes = arg.as_bytes();
        if only_extra || bytes == b"-" || !bytes.starts_with(b"-") {
            extra.push(arg);
        } else if bytes == b"--" {
            only_extra = true;
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            match long {
                b"demo" => settings.demo = true,
                b"help" => return Ok(Request::Help),
                b"help-directives" => return Ok(Request::Directives),
                b"upgrade-config" => upgrade = true,
                b"version" => return Ok(Request::Version),
                _ if arg == CAN_TAKE_OVER => can_take_over = true,
                _ => return Err(format!("unrecognized option '{}'", arg.to_string_lossy())),
            }
        } else if let Some(request) = cluster(&bytes[1..], &mut args, &mut settings)? {
            return Ok(request);
        }
    }
    if upgrade {
        let mut files = extra.into_iter().map(PathBuf::from);
        return match (files.next(), files.next(), files.next()) {
            (Some(file), included, None) => Ok(Request::Upgrade { settings, file, included }),
            (None, ..) => Err("option '--upgrade-config' requires a file".into()),
            (.., Some(more)) => Err(format!("extra argument '{}'", more.display())),
        };
    }
    match extra.into_iter().next() {
        Some(extra) => Err(format!("extra argument '{}'", extra.to_string_lossy())),
        None if settings.demo && settings.file.is_some() => {
            Err("--demo brings its own configuration; it does not go with -f".into())
        }
        None if can_take_over => Ok(Request::CanTakeOver(settings)),
        None => Ok(Request::Run(settings)),
    }
}

/// Short options behind one `-`; the value of the last one may be attached or the next argument.
fn cluster(
    letters: &[u8],
    args: &mut impl Iterator<Item = OsString>,
    settings: &mut Settings,
) -> Result<Option<Request>, String> {
    for (at, letter) in letters.iter().enumerate() {
        match letter {
            b'c' => settings.check = true,
            b'E' => settings.print = true,
            b'e' => settings.to_stderr = true,
            b'F' => settings.foreground = true,
            b'v' => settings.verbose = true,
            b'h' => return Ok(Some(Request::Help)),
            b'V' => return Ok(Some(Request::Version)),
            b'f' | b'p' | b'W' => {
                let attached = &letters[at + 1..];
                let value = if attached.is_empty() {
                    args.next()
                        .ok_or_else(|| format!("option requires an argument -- '{}'", char::from(*letter)))?
                } else {
                    OsString::from_vec(attached.to_vec())
                };
                take_value(*letter, value, settings)?;
                return Ok(None);
            }
            _ => return Err(format!("invalid option -- '{}'", letter.escape_ascii())),
        }
    }
    Ok(None)
}

fn take_value(letter: u8, value: OsString, settings: &mut Settings) -> Result<(), String> {
    match letter {
        b'f' => settings.file = Some(value.into()),
        b'p' => settings.pid_file = Some(value.into()),
        _ => feature(&value, settings)?,
    }
    Ok(())
}

/// `-W`: a feature, switched off by `no-`.
fn feature(value: &OsStr, settings: &mut Settings) -> Result<(), String> {
    let bytes = value.as_bytes();
    let (word, argument) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    let (word, on) = match word.strip_prefix(b"no-") {
        Some(word) => (word, false),
        None => (word, true),
    };
    match (word, argument) {
        (b"dns", None) => settings.resolve_dns = on,
        (b"warn-deprecated", None) => settings.warn_deprecated = on,
        (b"close-extra-fds", None) => settings.close_extra_fds = on,
        // File names are relative to where the program was started.
        (b"include-dir", None) if !on => settings.include_dir = Some(PathBuf::from(".")),
        (b"include-dir", None) => settings.include_dir = None,
        (b"include-dir", Some(folder)) if on && !folder.is_empty() => {
            settings.include_dir = Some(PathBuf::from(OsStr::from_bytes(folder)));
        }
        (b"preprocess", None) if !on => settings.preprocess = None,
        (b"preprocess", Some(command)) if on && !command.is_empty() => {
            let command = String::from_utf8(command.to_vec());
            settings.preprocess = Some(command.map_err(|_| "the command of 'preprocess' is not UTF-8 text")?);
        }
        (b"preprocess", None) => return Err("feature 'preprocess' needs a command".into()),
        (b"dns" | b"warn-deprecated" | b"close-extra-fds" | b"include-dir" | b"preprocess", Some(_)) => {
            return Err(format!("feature '{}' does not take that argument", value.to_string_lossy()));
        }
        _ => return Err(format!("unknown feature '{}'", value.to_string_lossy())),
    }
    Ok(())
}

/// The text of `-h`.
pub(crate) fn help(name: &str) -> String {
    format!(
        "Usage: {name} [OPTION]...
A reverse proxy and load balancer that reads Pound's configuration.

  -c                 check the configuration and exit with status 0 or 1
  -E                 print what -W preprocess makes of the configuration, and exit
  -e                 stay in the foreground; request lines to standard output, problems to standard error
  -F                 stay in the foreground
  -f FILE            read this configuration (default: {})
  -p FILE            write the process id to this file
  -v                 also print what happens at start
  -W [no-]dns        look host names of the configuration up (default), or not
  -W include-dir=DIR base of relative file names; no-include-dir: the working directory
  -W [no-]warn-deprecated
                     warn about spellings of old versions (default), or not
  -W preprocess=CMD  read what this shell command makes of the file, which it gets as its standard input
  -W close-extra-fds close inherited descriptors other than 0, 1 and 2
  --demo             serve a built-in configuration with three built-in origins on 127.0.0.1:8080
  --help-directives  describe every directive of the configuration
  --upgrade-config FILE [INCLUDED]
                     print this configuration, or a file that it includes, in today's words
  -h, --help         print this
  -V, --version      print the version

Signals: HUP reloads the configuration, INT finishes active requests and ends, TERM and QUIT end at once,
USR1 reopens the log, USR2 replaces the running program by the one that is installed now.
",
        default_file(name).display()
    )
}

/// The text of `-V`.
pub(crate) fn version(name: &str) -> String {
    format!(
        "{name} (ounce) {}\nDefault configuration file: {}\nI/O engines: io_uring, epoll\n",
        env!("CARGO_PKG_VERSION"),
        default_file(name).display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&str]) -> Result<Request, String> {
        parse(words.iter().map(OsString::from))
    }

    fn settings(words: &[&str]) -> Settings {
        match request(words) {
            Ok(Request::Run(settings)) => settings,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(settings(&[]), Settings::default());
    }

    #[test]
    fn values_may_be_attached_or_follow() {
        for words in [
            &["-f", "a.cfg", "-p", "x.pid", "-c", "-v"][..],
            &["-fa.cfg", "-px.pid", "-cv"],
            &["-cvfa.cfg", "-p", "x.pid"],
            &["-cvf", "a.cfg", "-px.pid"],
        ] {
            let settings = settings(words);
            assert_eq!(settings.file, Some("a.cfg".into()), "{words:?}");
            assert_eq!(settings.pid_file, Some("x.pid".into()));
            assert!(settings.check);
            assert!(settings.verbose);
        }
    }

    #[test]
    fn the_last_of_an_option_counts() {
        assert_eq!(settings(&["-f", "a", "-fb"]).file, Some("b".into()));
        assert!(settings(&["-W", "no-dns", "-Wdns"]).resolve_dns);
    }

    #[test]
    fn features_are_switched_by_name() {
        let settings =
            settings(&["-Wno-dns", "-W", "include-dir=/etc/x", "-Wno-warn-deprecated", "-Wclose-extra-fds"]);
        assert!(!settings.resolve_dns);
        assert!(!settings.warn_deprecated);
        assert!(settings.close_extra_fds);
        assert_eq!(settings.include_dir, Some("/etc/x".into()));
    }

    #[test]
    fn a_preprocessor_is_a_command_and_can_be_taken_back() {
        let command = |words: &[&str]| settings(words).preprocess;
        assert_eq!(command(&["-W", "preprocess=m4 -DA=1", "-E"]), Some("m4 -DA=1".into()));
        assert_eq!(command(&["-Wpreprocess=m4", "-Wno-preprocess"]), None);
        assert!(settings(&["-E"]).print);
    }

    #[test]
    fn a_file_is_upgraded_with_what_it_includes() {
        let asked = request(&["--upgrade-config", "old.cfg", "-Winclude-dir=/x", "old.inc"]);
        let Ok(Request::Upgrade { settings, file, included }) = asked else { panic!("{asked:?}") };
        assert_eq!(settings.include_dir, Some("/x".into()));
        assert_eq!((file, included), ("old.cfg".into(), Some("old.inc".into())));
    }

    #[test]
    fn the_include_dir_can_be_taken_back() {
        assert_eq!(settings(&["-Wno-include-dir"]).include_dir, Some(".".into()));
        assert_eq!(settings(&["-Winclude-dir=/x", "-Winclude-dir"]).include_dir, None);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (words, text) in [
            (&["-x"][..], "invalid option -- 'x'"),
            (&["-cx"], "invalid option -- 'x'"),
            (&["-f"], "option requires an argument -- 'f'"),
            (&["-cW"], "option requires an argument -- 'W'"),
            (&["--nonsense"], "unrecognized option '--nonsense'"),
            (&["-Wnonsense"], "unknown feature 'nonsense'"),
            (&["-Wdns=1"], "feature 'dns=1' does not take that argument"),
            (&["-Winclude-dir="], "feature 'include-dir=' does not take that argument"),
            (&["-Wpreprocess"], "feature 'preprocess' needs a command"),
            (&["-Wpreprocess="], "feature 'preprocess=' does not take that argument"),
            (&["--upgrade-config"], "option '--upgrade-config' requires a file"),
            (&["--upgrade-config", "a", "b", "c"], "extra argument 'c'"),
            (&["-c", "more"], "extra argument 'more'"),
            (&["more", "-c"], "extra argument 'more'"),
            (&["--", "-c"], "extra argument '-c'"),
            (&["-"], "extra argument '-'"),
        ] {
            assert_eq!(request(words), Err(text.into()), "{words:?}");
        }
    }

    #[test]
    fn the_demo_has_its_own_configuration() {
        assert!(settings(&["--demo", "-e"]).demo);
        assert!(request(&["--demo", "-f", "x"]).is_err());
    }

    #[test]
    fn questions_are_answered_before_anything_runs() {
        assert_eq!(request(&["-h"]), Ok(Request::Help));
        assert_eq!(request(&["-ch"]), Ok(Request::Help));
        assert_eq!(request(&["--help"]), Ok(Request::Help));
        assert_eq!(request(&["-V"]), Ok(Request::Version));
        assert_eq!(request(&["--version"]), Ok(Request::Version));
        assert_eq!(request(&["--help-directives"]), Ok(Request::Directives));
    }

    #[test]
    fn the_program_speaks_under_the_name_it_was_called_by() {
        assert_eq!(program_name(Some(OsStr::new("/usr/sbin/pound"))), "pound");
        assert_eq!(program_name(Some(OsStr::new("ounce"))), "ounce");
        assert_eq!(program_name(None), "ounce");
        assert_eq!(default_file("pound"), PathBuf::from("/etc/pound/pound.cfg"));
        assert_eq!(default_file("ounce"), PathBuf::from("/etc/ounce/ounce.cfg"));
    }
}
