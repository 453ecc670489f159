//! Engines and providers of a process, and the keys that they hold.
//!
//! Each process that needs them loads them for itself, after its fork: modules of PKCS#11 forbid use across one. They are
//! loaded before privileges are dropped, since what they open is mostly root's.

use super::ffi::{Trial, Trying};
use super::session::Manner;
use super::wallet::{KeyText, Pair, Wallet, named_key};
use super::{about, ffi, servers, words};
use openssl::hash::MessageDigest;
use openssl::pkey::{HasPublic, Id, PKey, PKeyRef, Private, Public};
use openssl::sign::{Signer, Verifier};
use ounce_conf::model::{Card, CardKind, CardMode, Config, Key, ListenerTls, ServerTls};
use ounce_sys::process;
use std::ffi::CString;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a key signs to show that it can.
const MESSAGE: &[u8] = b"ounce asks whether this key signs";

/// The engines of this process by the place of their card; `None` for providers, which need no handle.
#[derive(Debug, Default)]
pub(super) struct Cards {
    engines: Vec<Option<ffi::Engine>>,
}

/// Where keys come from that are in no file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keys<'c> {
    /// From nowhere: they are left out. For the process that forks others, which loads no card.
    LeftOut,
    /// From these.
    Held(&'c Cards),
}

impl Cards {
    /// Loads all of them. Nothing but keys of their own uses them yet.
    ///
    /// # Errors
    /// Which one cannot be loaded, and why.
    pub(super) fn load(cards: &[Card]) -> Result<Cards, String> {
        let mut engines = Vec::new();
        for card in cards {
            engines.push(match &card.kind {
                CardKind::Engine { before, after, .. } => Some(engine(card, before, after)?),
                CardKind::Provider { parameters } => {
                    let provided = ffi::provide(&text(card, &card.name)?, &configuration(card, parameters));
                    let failed = |error| naming(card, format!("it cannot be loaded: {}", words(&error)));
                    provided.map_err(failed)?;
                    None
                }
            });
        }
        Ok(Cards { engines })
    }

    /// Uses engines for all keys, as their `Default` says, from here on.
    ///
    /// # Errors
    /// Which one cannot do that, and why.
    pub(super) fn take_over(&self, cards: &[Card]) -> Result<(), String> {
        for (card, engine) in cards.iter().zip(&self.engines) {
            if let (Some(engine), CardKind::Engine { default: Some(kinds), .. }) = (engine, &card.kind) {
                let list = text(card, kinds)?;
                let taken = engine.take_over(&list);
                taken.map_err(|error| naming(card, format!("Default \"{kinds}\": {}", words(&error))))?;
            }
        }
        Ok(())
    }

    /// Uses no engine for anything new any more.
    pub(super) fn stand_back(&self) {
        self.engines.iter().flatten().for_each(|engine| engine.stand_back());
    }

    /// A key that is in no file.
    fn held(&self, key: &Key) -> Result<PKey<Private>, String> {
        match key {
            Key::Engine { card, id } => match self.engines.get(*card) {
                Some(Some(engine)) => engine
                    .key(id)
                    .map_err(|error| about_key(id, format!("it cannot be loaded: {}", words(&error)))),
                _ => Err(about_key(id, "its engine is not there")),
            },
            Key::Store(uri) => match ffi::stored_key(uri) {
                Ok(Some(key)) => Ok(key),
                Ok(None) => Err(about_key(uri, "there is no private key under this URI")),
                Err(error) => Err(about_key(uri, format!("it cannot be loaded: {}", words(&error)))),
            },
            Key::File(file) => Err(about(file, "it is no key of a card")),
        }
    }
}

impl Keys<'_> {
    /// The key of a pair, of which this is known, if it is on a card: or why the card does not give it.
    pub(super) fn of(self, pair: &Pair, named: Option<&Key>) -> Option<Result<PKey<Private>, String>> {
        let Keys::Held(cards) = self else { return None };
        (pair.key == KeyText::Elsewhere).then_some(named).flatten().map(|key| cards.held(key))
    }
}

fn engine(
    card: &Card,
    before: &[(String, Option<String>)],
    after: &[(String, Option<String>)],
) -> Result<ffi::Engine, String> {
    let name = text(card, &card.name)?;
    let file = card.path.as_deref().map(|path| CString::new(path.as_os_str().as_bytes())).transpose();
    let file = file.map_err(|_| naming(card, "a path holds a NUL"))?;
    if cfg!(not(has_engine)) {
        return Err(naming(card, "this OpenSSL has no engines; its providers do their work (SSLProvider)"));
    }
    let failed = |error| naming(card, format!("it cannot be loaded: {}", words(&error)));
    let engine = ffi::Engine::load(&name, file.as_deref()).map_err(failed)?;
    commands(card, engine, "PreCommand", before)?;
    engine.begin().map_err(|error| naming(card, format!("it does not begin to work: {}", words(&error))))?;
    commands(card, engine, "PostCommand", after)?;
    Ok(engine)
}

fn commands(
    card: &Card,
    engine: ffi::Engine,
    directive: &str,
    commands: &[(String, Option<String>)],
) -> Result<(), String> {
    for (command, value) in commands {
        let value = value.as_deref().map(|value| text(card, value)).transpose()?;
        let sent = engine.control(&text(card, command)?, value.as_deref());
        // The value may be a secret.
        sent.map_err(|error| naming(card, format!("{directive} \"{command}\": {}", words(&error))))?;
    }
    Ok(())
}

/// What OpenSSL reads to load a provider. Its own stay beside it.
fn configuration(card: &Card, parameters: &[(String, String)]) -> String {
    let mut lines = vec![
        // What is asked for by name is the name of a section here, not a section.
        "ounce = ounce\n[ounce]\nproviders = all".to_owned(),
        "[all]\ndefault = own\nother = other".to_owned(),
        "[own]\nactivate = 1".to_owned(),
        format!("[other]\nactivate = 1\nidentity = {}", quoted(&card.name)),
    ];
    lines.extend(card.path.as_ref().map(|path| format!("module = {}", quoted(&path.display().to_string()))));
    lines.extend(parameters.iter().map(|(name, value)| format!("{name} = {}", quoted(value))));
    lines.join("\n") + "\n"
}

/// A value in the form of config(5): nothing in quotes is special but the quote and the backslash.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn text(card: &Card, text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| naming(card, "a text holds a NUL"))
}

/// Says which card something is about.
fn naming(card: &Card, what: impl Display) -> String {
    let directive = if matches!(card.kind, CardKind::Engine { .. }) { "SSLEngine" } else { "SSLProvider" };
    format!("{directive} \"{}\": {what}", card.name)
}

fn about_key(name: &str, what: impl Display) -> String {
    format!("Key \"{name}\": {what}")
}

/// What a key in a file is used with.
fn covering(all: &[Card]) -> Option<&Card> {
    all.iter().find(|card| matches!(&card.kind, CardKind::Engine { default: Some(_), .. }))
}

/// Whether an engine does its part for keys in files too.
pub(super) fn covers_files(all: &[Card]) -> bool {
    covering(all).is_some()
}

/// Who shows the certificate of a key, by its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer {
    /// This listener, to its clients.
    Listener(usize),
    /// We, to this backend.
    Backend(usize),
}

/// A key and what it has to fit.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) bearer: Bearer,
    /// The card that has a part in it, if that can be told.
    pub(super) card: Option<Card>,
    /// Software can do without that card.
    pub(super) in_file: bool,
    /// How the operator knows it.
    name: String,
    file: Box<Path>,
    key: PKey<Private>,
    public: PKey<Public>,
}

impl Proof {
    /// Every key that a card may have a part in: of listeners, and of what backends are shown, where software does what
    /// is to be done with keys in files.
    ///
    /// # Errors
    /// What cannot be loaded.
    pub(super) fn all<'t>(
        listeners: impl Iterator<Item = Option<(&'t ListenerTls, &'t Wallet)>>,
        backends: impl Iterator<Item = (usize, &'t ServerTls)>,
        all: &[Card],
        cards: &Cards,
    ) -> Result<Vec<Proof>, String> {
        let mut proofs = Vec::new();
        for (listener, (tls, wallet)) in listeners.enumerate().filter_map(|(at, of)| Some((at, of?))) {
            for pair in &wallet.pairs {
                let named = named_key(tls, pair.place);
                if covers_files(all) || named.is_some_and(is_held) {
                    proofs.push(Proof::of(Bearer::Listener(listener), pair, named, all, cards)?);
                }
            }
        }
        for (backend, tls) in backends {
            let named = tls.key.as_ref().filter(|key| is_held(key));
            if let (Some(file), Some(_)) = (&tls.certificate, named) {
                let pair = Pair::alone(file, named)?;
                proofs.push(Proof::of(Bearer::Backend(backend), &pair, named, all, cards)?);
            }
        }
        Ok(proofs)
    }

    fn of(
        bearer: Bearer,
        pair: &Pair,
        named: Option<&Key>,
        all: &[Card],
        cards: &Cards,
    ) -> Result<Proof, String> {
        let provider = || all.iter().find(|card| matches!(card.kind, CardKind::Provider { .. }));
        let (name, key, card) = match named {
            Some(of @ Key::Engine { id, card }) => (format!("Key \"{id}\""), cards.held(of)?, all.get(*card)),
            Some(of @ Key::Store(uri)) => (format!("Key \"{uri}\""), cards.held(of)?, provider()),
            Some(Key::File(file)) => (file.display().to_string(), in_file(pair)?, covering(all)),
            None => (pair.file.display().to_string(), in_file(pair)?, covering(all)),
        };
        let in_file = !named.is_some_and(is_held);
        let public = pair.chain()?[0].public_key();
        let public = public.map_err(|error| about(&pair.file, words(&error)))?;
        let (file, card) = (pair.file.as_path().into(), card.cloned());
        Ok(Proof { bearer, card, in_file, name, file, key, public })
    }

    /// Lets the key sign, and looks at what it signed.
    ///
    /// # Errors
    /// That it does not sign, or not for its certificate.
    pub(super) fn show(&self) -> Result<(), String> {
        let signature =
            sign(&self.key).map_err(|error| format!("{}: it does not sign: {}", self.name, words(&error)))?;
        match verify(&self.public, &signature) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => {
                Err(format!("{}: it is not the key of the certificate in {}", self.name, self.file.display()))
            }
        }
    }
}

/// Whether a key is in no file.
fn is_held(key: &Key) -> bool {
    !matches!(key, Key::File(_))
}

fn in_file(pair: &Pair) -> Result<PKey<Private>, String> {
    pair.key()?.ok_or_else(|| about(&pair.file, "its key is in no file"))
}

/// What a key hashes before it signs; newer kinds do it themselves.
fn digest<T: HasPublic>(key: &PKeyRef<T>) -> Option<MessageDigest> {
    matches!(key.id(), Id::RSA | Id::EC | Id::DSA | Id::RSA_PSS).then(MessageDigest::sha256)
}

/// Signs once, as a handshake does.
pub(super) fn sign(key: &PKeyRef<Private>) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let mut signer = match digest(key) {
        Some(digest) => Signer::new(digest, key)?,
        None => Signer::new_without_digest(key)?,
    };
    signer.sign_oneshot_to_vec(MESSAGE)
}

fn verify(key: &PKeyRef<Public>, signature: &[u8]) -> Result<bool, openssl::error::ErrorStack> {
    let mut verifier = match digest(key) {
        Some(digest) => Verifier::new(digest, key)?,
        None => Verifier::new_without_digest(key)?,
    };
    verifier.verify_oneshot(signature, MESSAGE)
}

/// Whether a configuration has anything that [`prove`] would look at.
#[must_use]
pub fn has_cards(config: &Config) -> bool {
    let listeners = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let of_listeners = listeners.flat_map(|tls| tls.keys.iter().map(|(_, key)| key));
    let of_backends = servers(config).filter_map(|server| server.tls.as_ref()?.key.as_ref());
    !config.global.cards.is_empty() || of_listeners.chain(of_backends).any(is_held)
}

/// Loads all cards and keys as workers will, and lets each key sign before and after `descend`, which gives up what
/// workers give up. For a short-lived process: nothing of this can be taken back.
///
/// # Errors
/// All that is wrong.
pub fn prove(config: &Config, descend: impl FnOnce() -> Result<(), String>) -> Result<(), Vec<String>> {
    let all = &config.global.cards;
    let one = |error| vec![error];
    let cards = Cards::load(all).map_err(one)?;
    cards.take_over(all).map_err(one)?;
    let listeners = config.listeners.iter().map(|listener| listener.tls.as_ref());
    let open = |tls: Option<_>| tls.map(|tls| Ok((tls, Wallet::read(tls)?))).transpose();
    let opened = listeners.map(open).collect::<Result<Vec<_>, _>>().map_err(one)?;
    let opened = opened.iter().map(|of| of.as_ref().map(|(tls, wallet)| (*tls, wallet)));
    let backends = servers(config).enumerate().filter_map(|(at, server)| Some((at, server.tls.as_deref()?)));
    let proofs = Proof::all(opened, backends, all, &cards).map_err(one)?;
    let wrong: Vec<String> = proofs.iter().filter_map(|proof| proof.show().err()).collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    descend().map_err(one)?;
    let wrong: Vec<String> = proofs.iter().filter_map(|proof| below(proof).err()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// As [`Proof::show`], for a process that has given up its rights.
fn below(proof: &Proof) -> Result<(), String> {
    proof.show().map_err(|error| beneath(&error))
}

fn beneath(error: &str) -> String {
    format!(
        "{error} (with the rights and the root directory of a worker: User, Group and RootJail must leave its module what \
         it reads, such as the token's files)"
    )
}

impl Proof {
    /// Lets the key sign once in a job of this worker's, which has given up its rights: tells how handshakes get their
    /// signatures.
    ///
    /// # Errors
    /// That it does not sign.
    pub(super) fn settle(&self, jobs: bool) -> Result<Manner, String> {
        let mode = self.card.as_ref().map_or(CardMode::Sync, |card| card.mode);
        if !jobs || mode == CardMode::Sync {
            below(self)?;
            return Ok(if mode == CardMode::Sync { Manner::Here } else { Manner::Thread });
        }
        let mut trial = Trial::new(self.key.clone());
        let mut paused = false;
        let until = Instant::now() + self.patience();
        loop {
            match trial.go_on() {
                Trying::Over(true) => break,
                Trying::Over(false) => return Err(beneath(&format!("{}: it does not sign", self.name))),
                Trying::Paused(fds) => {
                    paused = true;
                    let left = until.saturating_duration_since(Instant::now());
                    // Without a descriptor, it is asked again and again.
                    let (blind, step) = (fds.is_empty(), Duration::from_millis(1));
                    let ready = process::wait_readable(&fds, if blind { left.min(step) } else { left });
                    if left.is_zero() || !(blind || ready.unwrap_or(false)) {
                        return Err(format!("{}: its card does not answer", self.name));
                    }
                }
            }
        }
        Ok(match mode {
            CardMode::Sync => Manner::Here,
            CardMode::Async => Manner::Job,
            CardMode::Auto if paused => Manner::Job,
            CardMode::Auto | CardMode::Threads => Manner::Thread,
        })
    }

    /// How long its card may take.
    pub(super) fn patience(&self) -> Duration {
        self.card.as_ref().map_or(Duration::from_secs(3), |card| card.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that a value holds ends its line or stands for something else.
    #[test]
    fn values_are_quoted_for_openssl() {
        assert_eq!(quoted("a$b #c"), "\"a$b #c\"");
        assert_eq!(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
    }
}
