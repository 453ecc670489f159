//! TLS, without I/O: OpenSSL reads ciphertext from the worker's buffers and writes it into them.
//!
//! [`Certificates`] is what a listener has and [`Dialer`] what a backend has, built by each worker for itself after the
//! fork; [`Session`] is one connection's state. The core sees plaintext only.
//!
//! Certificates change while a listener serves:
//!
//! ```text
//!  files ─► renew: what is right takes the place of what was ─► [`Wallet`], sealed ─► workers: [`Certificates`] anew
//!  (read by a child that may)                               └─► [`Paper`]s ─────────► the warden, who tells of them
//! ```
//!
//! Ticket keys and sessions come from the shared segment and are the same for all workers of all generations, so that a
//! client resumes its session with whichever worker it meets ([`Resume`]).

mod card;
mod client;
mod diagnosis;
mod ffi;
mod gate;
mod greeting;
mod names;
mod packing;
pub mod papers;
mod renew;
mod resume;
mod server;
mod session;
mod staple;
mod stream;
mod wallet;

pub use card::{has_cards, prove};
pub(crate) use client::Dialer;
pub use diagnosis::Fault;
pub use greeting::{Greeter, Greeting, Progress};
pub use papers::Paper;
pub use renew::{Renewal, Sights, renew, sights};
pub use resume::Resume;
pub use server::Certificates;
use session::Manner;
pub(crate) use session::{Errand, Learnt};
pub use session::{Pulled, Session};
pub use wallet::Wallet;

use card::{Bearer, Cards, Keys, Proof, covers_files};
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslFiletype, SslMethod, SslVersion};
use openssl::x509::store::X509Lookup;
use openssl::x509::verify::X509VerifyFlags;
use ounce_conf::model::{
    BackendKind, Card, Ciphers, Config, Key, ListenerTls, Server, ServerTls, TlsVersion,
};
use ounce_core::{Plan, route};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::path::Path;

/// How many jobs it takes to try out keys one after the other: the first card that does not answer keeps one.
const TRIAL_JOBS: usize = 2;

/// What a worker needs for TLS, both ways.
#[derive(Debug, Default)]
pub struct Tls {
    /// By listener; `None` for plain HTTP.
    pub(crate) certificates: Vec<Option<Certificates>>,
    /// The same without any card; `None` where a key cannot do without.
    pub(crate) software: Vec<Option<Certificates>>,
    /// By backend of the plan; `None` for plain ones.
    pub(crate) dialers: Vec<Option<Dialer>>,
    pub(crate) hand: Hand,
    /// What is left to be shown of the keys that cards have a part in.
    proofs: Vec<Proof>,
}

/// The cards of a worker, as far as it deals them out.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    cards: Cards,
    all: Vec<Card>,
    /// How many handshakes can be paused at once.
    jobs: u32,
    /// Why software does their work from the start.
    pub(crate) refused: Option<String>,
}

impl Hand {
    pub(crate) fn jobs(&self) -> u32 {
        self.jobs
    }

    /// Uses no card for anything new.
    pub(crate) fn put_down(&self) {
        self.cards.stand_back();
    }

    /// Uses them as configured.
    pub(crate) fn take_up(&self) {
        // It worked when the worker started; where it does not any more, keys still have their cards.
        let _ = self.cards.take_over(&self.all);
    }
}

impl Tls {
    /// Builds what the plan's TLS needs, and loads the cards that have keys of it. Listeners are built of their wallets,
    /// those without one of their files. Without `resume` clients resume no session.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub fn build(
        plan: &Plan,
        all: &[Card],
        resume: Option<&Resume>,
        mut wallets: BTreeMap<usize, Wallet>,
    ) -> Result<Tls, String> {
        let cards = Cards::load(all)?;
        let listeners = || plan.listeners.iter().map(|of| of.tls.as_ref());
        for (at, tls) in listeners().enumerate() {
            if let (Some(tls), Entry::Vacant(place)) = (tls, wallets.entry(at)) {
                place.insert(Wallet::read(tls)?);
            }
        }
        let opened = || listeners().enumerate().map(|(at, tls)| Some((tls?, wallets.get(&at)?)));
        // Made before any engine takes part in them.
        let build = |(tls, wallet)| Certificates::of(tls, wallet, resume, Keys::Held(&cards));
        let alone = |of: &(&ListenerTls, &Wallet)| {
            covers_files(all) && of.0.keys.iter().all(|(_, key)| matches!(key, Key::File(_)))
        };
        let software = opened().map(|of| of.filter(alone).map(build).transpose());
        let software: Vec<Option<Certificates>> = software.collect::<Result<_, _>>()?;
        let dialers = of_backends(plan, |tls, name| Dialer::build(tls, name, Keys::Held(&cards)).map(Some))?;
        cards.take_over(all)?;
        let proofs = Proof::all(opened(), first_places(plan), all, &cards)?;
        let certificates = opened().map(|of| of.map(build).transpose());
        let mut certificates: Vec<Option<Certificates>> = certificates.collect::<Result<_, _>>()?;
        for (certificates, alone) in certificates.iter_mut().zip(&software) {
            if let (Some(certificates), Some(_)) = (certificates, alone) {
                certificates.can_do_without();
            }
        }
        let hand = Hand { cards, all: all.to_vec(), jobs: 0, refused: None };
        Ok(Tls { certificates, software, dialers, hand, proofs })
    }

    /// How many descriptors paused handshakes may have: one of the engine's and its copy each, mostly.
    pub(crate) fn descriptors_max(&self) -> u64 {
        u64::from(self.hand.jobs) * 2
    }

    /// Lets every key that a card has a part in sign once, with what rights are left, and sees how that goes. Where
    /// software can do without a card that does not, it will.
    ///
    /// # Errors
    /// Which key does not sign, and why.
    pub fn prove(&mut self) -> Result<(), String> {
        if self.proofs.is_empty() {
            return Ok(());
        }
        let jobs = self.hand.all.iter().map(|card| card.jobs).max().unwrap_or(1);
        let pauses = ffi::prepare_jobs(TRIAL_JOBS);
        for proof in self.proofs.drain(..) {
            // Keys in files have the same card: where one has waited for it in vain, others need not.
            let known = self.hand.refused.as_ref().filter(|_| proof.in_file);
            let manner = match known.map_or_else(|| proof.settle(pauses), |_| Ok(Manner::Job)) {
                Ok(manner) => manner,
                // By a job it cannot stall the loop, if it ever comes back.
                Err(error) if proof.in_file => {
                    self.hand.refused = Some(error);
                    Manner::Job
                }
                Err(error) => return Err(error),
            };
            let patience_us = u64::try_from(proof.patience().as_micros()).unwrap_or(u64::MAX / 2);
            match proof.bearer {
                Bearer::Listener(at) => {
                    if let Some(Some(certificates)) = self.certificates.get_mut(at) {
                        certificates.wait_for_card(manner, patience_us);
                    }
                }
                Bearer::Backend(at) => {
                    if let Some(Some(dialer)) = self.dialers.get(at) {
                        dialer.wait_for_card(manner, patience_us);
                    }
                }
            }
        }
        if pauses && !ffi::prepare_jobs(jobs as usize) {
            return Err(format!("there is no memory for {jobs} asynchronous jobs"));
        }
        self.hand.jobs = if pauses { jobs } else { 0 };
        Ok(())
    }
}

/// What `build` makes of the TLS of each backend. All places of a name have the same, since authorities take memory.
fn of_backends<T: Clone>(
    plan: &Plan,
    build: impl Fn(&ServerTls, Option<&str>) -> Result<Option<T>, String>,
) -> Result<Vec<Option<T>>, String> {
    let mut made: Vec<Option<T>> = Vec::with_capacity(plan.backends.len());
    for backend in &plan.backends {
        let same = backend.place.filter(|place| place.number > 0).and(made.last().cloned());
        made.push(match (&backend.kind, same) {
            (_, Some(same)) => same,
            (route::BackendKind::Server { tls: Some(tls), server_name, .. }, None) => {
                build(tls, server_name.as_deref())?
            }
            _ => None,
        });
    }
    Ok(made)
}

/// The TLS of each backend, those of a name once.
fn first_places(plan: &Plan) -> impl Iterator<Item = (usize, &ServerTls)> {
    let first =
        plan.backends.iter().enumerate().filter(|(_, of)| of.place.is_none_or(|place| place.number == 0));
    first.filter_map(|(at, backend)| match &backend.kind {
        route::BackendKind::Server { tls: Some(tls), .. } => Some((at, &**tls)),
        _ => None,
    })
}

/// All servers that a configuration names.
fn servers(config: &Config) -> impl Iterator<Item = &Server> {
    let services = config.listeners.iter().flat_map(|listener| &listener.services).chain(&config.services);
    let backends = services.flat_map(|service| service.backends.iter().chain(&service.emergency));
    backends.filter_map(|backend| match &backend.kind {
        BackendKind::Server(server) => Some(server),
        _ => None,
    })
}

/// What is known of a configuration's certificates once they were read.
#[derive(Debug, Default)]
pub struct Opened {
    /// The contents of files that are watched, packed for workers, by the places of listeners.
    pub wallets: Vec<(usize, OwnedFd)>,
    /// All certificates of listeners.
    pub papers: Vec<Paper>,
}

/// Reads all files that a configuration names for TLS and builds of them what workers will; but no card is loaded
/// (see [`prove`]).
///
/// # Errors
/// All that is wrong.
pub fn open(config: &Config) -> Result<Opened, Vec<Fault>> {
    // All processes that read such files are children of the one that does this.
    ffi::ask_nobody();
    let (mut opened, mut faults) = (Opened::default(), Vec::new());
    for (listener, of) in config.listeners.iter().enumerate() {
        if let Some(tls) = &of.tls
            && let Err(error) = open_listener(listener, tls, &mut opened)
        {
            faults.extend(diagnosis::of_listener(listener, tls, error));
        }
    }
    for server in servers(config) {
        if let Some(tls) = &server.tls
            && let Err(error) = Dialer::build(tls, server.server_name.as_deref(), Keys::LeftOut)
        {
            faults.extend(diagnosis::of_server(tls, error));
        }
    }
    if faults.is_empty() { Ok(opened) } else { Err(faults) }
}

fn open_listener(listener: usize, tls: &ListenerTls, opened: &mut Opened) -> Result<(), String> {
    let wallet = Wallet::read(tls)?;
    Certificates::of(tls, &wallet, None, Keys::LeftOut)?;
    opened.papers.extend(papers::papers(listener, &wallet));
    if tls.first_watched().is_some() {
        let sealed = wallet.seal().map_err(|error| format!("cannot keep certificates: {error}"))?;
        opened.wallets.push((listener, sealed));
    }
    Ok(())
}

fn about(file: &Path, what: impl Display) -> String {
    format!("{}: {what}", file.display())
}

/// The library's own words for all that went wrong, the cause first.
fn words(stack: &ErrorStack) -> String {
    let mut words: Vec<String> = Vec::new();
    for error in stack.errors() {
        let reason = error.reason().unwrap_or("an error without a reason");
        let word = match error.data() {
            Some(data) if !data.is_empty() => format!("{reason} ({data})"),
            _ => reason.to_owned(),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() { "OpenSSL gives no reason".to_owned() } else { words.join(", ") }
}

/// What the last of the library's errors that is known here means, and the library's own words for it.
fn reason(stack: &ErrorStack) -> String {
    let mut reasons = stack.errors().iter().rev().filter_map(openssl::error::Error::reason);
    let last = reasons.clone().next().unwrap_or("OpenSSL gives no reason");
    let known = |reason| REASONS.iter().find(|(known, _)| *known == reason);
    match reasons.find_map(known) {
        Some((reason, meaning)) => format!("{meaning} ({reason})"),
        None => last.to_owned(),
    }
}

/// What the library says and what it means by that here.
const REASONS: &[(&str, &str)] = &[
    ("no start line", "there is nothing of the kind in it"),
    ("bad base64 decode", "it is damaged"),
    ("bad end line", "it is damaged"),
    ("unsupported", "there is no key of a kind that the library knows in it"),
    ("key values mismatch", "the key is not the certificate's"),
    ("key type mismatch", "the key is not the certificate's"),
    ("no cipher match", "the library knows none of these ciphers, or takes none of them for safe"),
    ("ee key too small", "the certificate's key is shorter than the library takes for safe"),
    ("ca key too small", "the key of an authority in it is shorter than the library takes for safe"),
    ("ca md too weak", "an authority in it has signed with a hash that the library does not take for safe"),
    ("no certificate or crl found", "there is neither a certificate nor a list of revoked ones in it"),
];

fn set_versions(
    context: &mut SslContextBuilder,
    oldest: Option<TlsVersion>,
    without_1_3: bool,
) -> Result<(), String> {
    if without_1_3 {
        let set = context.set_max_proto_version(Some(SslVersion::TLS1_2));
        set.map_err(|error| format!("Disable: {}", reason(&error)))?;
    }
    let Some(oldest) = oldest else { return Ok(()) };
    let version = match oldest {
        TlsVersion::Tls10 => SslVersion::TLS1,
        TlsVersion::Tls11 => SslVersion::TLS1_1,
        TlsVersion::Tls12 => SslVersion::TLS1_2,
        TlsVersion::Tls13 => SslVersion::TLS1_3,
    };
    context.set_min_proto_version(Some(version)).map_err(|error| format!("MinProto: {}", reason(&error)))
}

/// Names each group that the library does not have, since the library itself does not.
fn set_groups(context: &mut SslContextBuilder, groups: Option<&str>) -> Result<(), String> {
    let Some(groups) = groups else { return Ok(()) };
    // The context of its own takes each group alone; the list may be refused for other reasons.
    let mut one = SslContextBuilder::new(SslMethod::tls()).map_err(|error| reason(&error))?;
    let known = |group: &&str| !group.contains('\0') && one.set_groups_list(group).is_ok();
    let (known, unknown): (Vec<&str>, Vec<&str>) = groups.split(':').partition(known);
    if !unknown.is_empty() {
        let library = openssl::version::version();
        return Err(format!("Groups: {} is not known to {library}", unknown.join(", ")));
    }
    let set = context.set_groups_list(&known.join(":"));
    set.map_err(|error| format!("Groups \"{groups}\": {}", reason(&error)))
}

/// Certificates on these lists are refused.
fn set_revoked(context: &mut SslContextBuilder, file: &Path) -> Result<(), String> {
    let store = context.cert_store_mut();
    let lookup = store.add_lookup(X509Lookup::file()).map_err(|error| reason(&error))?;
    lookup.load_crl_file(file, SslFiletype::PEM).map_err(|error| about(file, reason(&error)))?;
    let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
    store.set_flags(flags).map_err(|error| reason(&error))
}

fn set_ciphers(context: &mut SslContextBuilder, ciphers: &Ciphers) -> Result<(), String> {
    if let Some(list) = &ciphers.list {
        context.set_cipher_list(list).map_err(|error| format!("Ciphers \"{list}\": {}", reason(&error)))?;
    }
    if let Some(suites) = &ciphers.suites {
        let set = context.set_ciphersuites(suites);
        set.map_err(|error| format!("Ciphers -ciphersuites \"{suites}\": {}", reason(&error)))?;
    }
    Ok(())
}
