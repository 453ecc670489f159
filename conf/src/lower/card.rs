//! `SSLEngine`, `SSLProvider`, and the keys that they hold.

use super::Lowering;
use crate::diag::Problem;
use crate::model::{Card, CardKind, CardMode, Key, ListenerTls};
use crate::source::Span;
use crate::tree::{Inner, Statement};
use std::collections::HashMap;
use std::time::Duration;

/// What `SSLEngine` without a section stands for, as in Pound.
const EVERYTHING: &str = "ALL";

/// The words of `Default` (ENGINE_set_default_string(3)).
const ALGORITHMS: [&str; 11] =
    ["ALL", "RSA", "DSA", "DH", "EC", "RAND", "CIPHERS", "DIGESTS", "PKEY", "PKEY_CRYPTO", "PKEY_ASN1"];

/// How many handshakes wait for a card at once, and for how long, when nothing is said.
const JOBS: u32 = 1024;
const TIMEOUT: Duration = Duration::from_secs(3);

impl Lowering<'_> {
    /// All cards of a configuration; keys find them by their names.
    pub(super) fn cards(&mut self, tree: &[Statement]) -> Vec<Card> {
        let mut cards = Vec::new();
        let mut places: HashMap<(&'static str, String), Span> = HashMap::new();
        for statement in tree.iter().filter(|of| matches!(of.row.name, "SSLEngine" | "SSLProvider")) {
            let (row, Some(name)) = (statement.row.name, statement.text(0)) else { continue };
            let place = statement.place(0);
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
                let problem = Problem::error(place, "this cannot be the name of a module");
                self.findings.push(problem.expected("the name by which OpenSSL knows it"));
                continue;
            }
            if let Some(first) = places.insert((row, name.to_owned()), place) {
                let problem = Problem::error(place, format!("a second {row} \"{name}\""));
                self.findings.push(problem.note(first, "the first one is here"));
                continue;
            }
            cards.push(self.card(statement, name));
        }
        let names = cards.iter().map(|card| match card.kind {
            CardKind::Engine { .. } => card.name.clone(),
            // No key is asked of it by name.
            CardKind::Provider { .. } => String::new(),
        });
        self.engines = names.collect();
        cards
    }

    fn card(&mut self, statement: &Statement, name: &str) -> Card {
        let engine = statement.row.name == "SSLEngine";
        let (mut before, mut after, mut default, mut parameters) = (Vec::new(), Vec::new(), None, Vec::new());
        if matches!(statement.inner, Inner::None) {
            default = Some(EVERYTHING.to_owned());
        }
        let mut card = Card {
            name: name.to_owned(),
            kind: CardKind::Provider { parameters: Vec::new() },
            path: None,
            mode: CardMode::Auto,
            jobs: JOBS,
            timeout: TIMEOUT,
        };
        self.enter(statement.block());
        for inner in self.meant(statement.block()) {
            let pair = |at| inner.text(at).map(str::to_owned);
            match inner.row.name {
                "Path" => card.path = self.readable(inner),
                "PreCommand" => before.extend(pair(0).map(|name| (name, pair(1)))),
                "PostCommand" => after.extend(pair(0).map(|name| (name, pair(1)))),
                "Default" => default = self.algorithms(inner),
                "Parameter" => parameters.extend(pair(0).zip(pair(1))),
                "Mode" => {
                    card.mode = match inner.word(0) {
                        Some(1) => CardMode::Async,
                        Some(2) => CardMode::Threads,
                        Some(3) => CardMode::Sync,
                        _ => CardMode::Auto,
                    };
                }
                "Jobs" => card.jobs = super::global::narrow(inner.number(0), JOBS),
                "TimeOut" => card.timeout = inner.time(),
                // Include, and what was reported already.
                _ => {}
            }
        }
        self.leave();
        card.kind = match engine {
            true => CardKind::Engine { before, after, default },
            false => CardKind::Provider { parameters },
        };
        card
    }

    fn algorithms(&mut self, statement: &Statement) -> Option<String> {
        let text = statement.text(0)?;
        let known = |word: &str| ALGORITHMS.iter().any(|name| name.eq_ignore_ascii_case(word));
        match text.split(',').map(str::trim).find(|word| !known(word)) {
            None => Some(text.to_ascii_uppercase().replace(' ', "")),
            Some(word) => {
                let text = format!("\"{word}\" is nothing that an engine can be used for");
                let problem = Problem::error(statement.place(0), text);
                self.findings.push(problem.expected("ALL, or some of RSA, DSA, DH, EC, RAND, CIPHERS, DIGESTS, PKEY, PKEY_CRYPTO and PKEY_ASN1 with commas between"));
                None
            }
        }
    }

    /// `Key`, for the certificate that stands before it.
    pub(super) fn key(&mut self, statement: &Statement, tls: &mut ListenerTls) {
        let Some(certificate) = tls.certificates.len().checked_sub(1) else {
            let problem = Problem::error(statement.keyword, "Key stands before every Cert");
            self.findings.push(problem.expected("the Cert that it is the key of, on a line before"));
            return;
        };
        if tls.keys.iter().any(|(taken, _)| *taken == certificate) {
            let problem = Problem::error(statement.keyword, "a second Key of one Cert");
            self.findings.push(problem.expected("a Key behind each Cert"));
            return;
        }
        if let Some(key) = self.key_named(statement) {
            tls.keys.push((certificate, key));
        }
    }

    /// The key that a `Key` names.
    pub(super) fn key_named(&mut self, statement: &Statement) -> Option<Key> {
        let (text, place) = (statement.text(0)?, statement.place(0));
        if text.is_empty() || text.contains('\0') {
            self.error(place, "this cannot be the name of a key");
            return None;
        }
        let engine = |name: &str| self.engines.iter().position(|known| known.eq_ignore_ascii_case(name));
        if let Some(name) = statement.text(1) {
            let Some(card) = engine(name).filter(|_| !name.is_empty()) else {
                let problem = Problem::error(statement.place(1), format!("there is no SSLEngine \"{name}\""));
                self.findings.push(problem.expected("the name of an SSLEngine of this configuration"));
                return None;
            };
            return Some(Key::Engine { card, id: text.to_owned() });
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
        match scheme {
            // The engine of PKCS#11 is named as the scheme of its URIs (RFC 7512).
            Some(scheme) => Some(match engine(scheme) {
                Some(card) => Key::Engine { card, id: text.to_owned() },
                None => Key::Store(text.to_owned()),
            }),
            None => self.readable(statement).map(Key::File),
        }
    }
}

/// Whether a text is the scheme of a URI (RFC 3986 3.1). One letter is the drive of an old system's path.
fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() > 1
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}
