//! `~/.poundctl`: what an operator does not want to write each time.
//!
//! A line holds a word and a value in quotes, as in the proxy's own configuration: `URL`, `CAFile`, `CAPath`,
//! `ClientCert`, `Verify` (a flag), `TemplateFile`, `TemplatePath`, `TemplateName`. `Server "name"` .. `End` holds the
//! same for the place that `-s name` means. The environment's POUNDCTL_CONF names another file; an empty one means none.

use crate::args::Question;
use ounce_ctl::place::Trust;
use std::path::{Path, PathBuf};

/// What the file says of one place, or of all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    /// Where the control interface is.
    pub(crate) url: Option<String>,
    /// Whom to believe there.
    pub(crate) trust: Trust,
    /// The templates to read.
    pub(crate) template_file: Option<String>,
    /// Where they are looked for.
    pub(crate) template_path: Option<String>,
    /// Which of them to run.
    pub(crate) template_name: Option<String>,
    servers: Vec<(String, Settings)>,
}

impl Settings {
    /// Reads the operator's file, if there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn load() -> Result<Settings, String> {
        let path = match std::env::var_os("POUNDCTL_CONF") {
            Some(path) if path.is_empty() => return Ok(Settings::default()),
            Some(path) => PathBuf::from(path),
            None => match std::env::var_os("HOME") {
                Some(home) => Path::new(&home).join(".poundctl"),
                None => return Ok(Settings::default()),
            },
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Settings::parse(&text).map_err(|error| format!("{}:{error}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        let mut server: Option<(String, Settings)> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = |what: &str| format!("{number}: {what}");
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, rest) = line.split_at(line.find(char::is_whitespace).unwrap_or(line.len()));
            let value = value(rest.trim()).ok_or_else(|| wrong("expected a value in double quotes"));
            let word = word.to_ascii_lowercase();
            match (word.as_str(), &mut server) {
                ("server", None) => server = Some((value?, Settings::default())),
                ("server", Some(_)) => return Err(wrong("Server cannot stand in Server")),
                ("end", Some(_)) => settings.servers.extend(server.take()),
                (_, Some((_, inner))) => inner.set(&word, value?).map_err(|error| wrong(&error))?,
                (_, None) => settings.set(&word, value?).map_err(|error| wrong(&error))?,
            }
        }
        if server.is_some() { Err("a Server that is not closed".into()) } else { Ok(settings) }
    }

    fn set(&mut self, word: &str, value: String) -> Result<(), String> {
        match word {
            "url" => self.url = Some(value),
            "cafile" => self.trust.ca_file = Some(value.into()),
            "capath" => self.trust.ca_path = Some(value.into()),
            "clientcert" => self.trust.client_cert = Some(value.into()),
            "verify" => {
                self.trust.anybody = match value.as_str() {
                    "1" | "yes" | "true" | "on" => false,
                    "0" | "no" | "false" | "off" => true,
                    _ => return Err("Verify takes yes or no".into()),
                }
            }
            "templatefile" => self.template_file = Some(value),
            "templatepath" => self.template_path = Some(value),
            "templatename" => self.template_name = Some(value),
            _ => return Err(format!("unknown word {word}")),
        }
        Ok(())
    }

    /// What holds for a question: what the command line says wins.
    pub(crate) fn for_question(&self, question: &Question) -> Settings {
        let named = question.socket.as_deref().filter(|name| self.has_server(name));
        let mut settings = self.for_server(named);
        if named.is_none() {
            settings.url = question.socket.clone().or(settings.url);
        }
        if question.socket.is_none() && question.config.is_some() {
            settings.url = None;
        }
        let keep = |one: &Option<String>, other: &mut Option<String>| *other = one.clone().or(other.take());
        keep(&question.template_file, &mut settings.template_file);
        keep(&question.template_name, &mut settings.template_name);
        let trust = &mut settings.trust;
        trust.ca_file = question.ca_file.clone().or(trust.ca_file.take());
        trust.client_cert = question.client_cert.clone().or(trust.client_cert.take());
        trust.anybody |= question.trust_anybody;
        settings
    }

    /// Answers are shown by a template.
    pub(crate) fn has_template(&self) -> bool {
        self.template_file.is_some() || self.template_name.is_some()
    }

    /// What holds for the place of this name, or without one for all.
    fn for_server(&self, name: Option<&str>) -> Settings {
        let server = name.and_then(|name| self.servers.iter().find(|(known, _)| known == name));
        let Some((_, server)) = server else { return self.clone() };
        let or = |one: &Option<String>, other: &Option<String>| one.clone().or_else(|| other.clone());
        let own_trust = server.trust != Trust::default();
        Settings {
            url: server.url.clone(),
            trust: if own_trust { server.trust.clone() } else { self.trust.clone() },
            template_file: or(&server.template_file, &self.template_file),
            template_path: or(&server.template_path, &self.template_path),
            template_name: or(&server.template_name, &self.template_name),
            servers: Vec::new(),
        }
    }

    /// Whether there is a place of this name.
    fn has_server(&self, name: &str) -> bool {
        self.servers.iter().any(|(known, _)| known == name)
    }
}

/// A value in quotes, or a word without.
fn value(text: &str) -> Option<String> {
    match text.strip_prefix('"') {
        Some(quoted) => {
            let mut read = String::new();
            let mut letters = quoted.chars();
            loop {
                match letters.next()? {
                    '"' => return letters.as_str().trim().is_empty().then_some(read),
                    '\\' => read.push(letters.next()?),
                    letter => read.push(letter),
                }
            }
        }
        None => (!text.is_empty() && !text.contains([' ', '\t', '"'])).then(|| text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_names_and_settings_of_their_own() {
        let text = "# mine\nURL \"/run/control\"\nTemplateName \"short\"\nVerify yes\n\
                    Server \"far\"\n  URL \"https://u:p@far\"\n  CAFile \"/etc/ca \\\"x\\\".pem\"\n  Verify 0\nEnd\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.for_server(None).url.as_deref(), Some("/run/control"));
        assert_eq!(settings.for_server(Some("other")).url.as_deref(), Some("/run/control"));
        assert!(settings.has_server("far") && !settings.has_server("other"));
        let far = settings.for_server(Some("far"));
        assert_eq!(far.url.as_deref(), Some("https://u:p@far"));
        assert_eq!(far.trust.ca_file.as_deref(), Some(Path::new("/etc/ca \"x\".pem")));
        assert!(far.trust.anybody);
        assert_eq!(far.template_name.as_deref(), Some("short"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            ("\nURL", "2: expected a value"),
            ("URL \"a", "1: expected a value"),
            ("Nonsense \"a\"", "1: unknown word nonsense"),
            ("Verify perhaps", "1: Verify takes"),
            ("Server \"a\"", "not closed"),
            ("Server \"a\"\nServer \"b\"", "2: Server cannot"),
            ("End", "1: "),
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
