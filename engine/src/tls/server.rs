//! What a listener needs for handshakes: contexts, built of the contents of its files.

use super::card::Keys;
use super::resume::Resume;
use super::session::{Asking, Manner};
use super::staple::{self, Staple};
use super::wallet::{Pair, Wallet, named_key};
use super::{about, ffi, names, reason, set_ciphers, set_groups, set_versions};
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    AlpnError, NameType, SniError, SslAlert, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions,
    SslVerifyMode, select_next_proto,
};
use openssl::stack::Stack;
use openssl::x509::store::{X509StoreBuilder, X509StoreBuilderRef};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Name};
use ounce_conf::model::{ClientCertificate, ClientList, ListenerTls, Renegotiation};
use std::path::Path;
use std::sync::Arc;

/// What clients of TLS 1.2 may choose from unless `Ciphers` says it: all that the library takes for safe, but for keys
/// that are sealed with the certificate's own, which whoever steals that could open years later.
const FORWARD_SECRET: &str = "DEFAULT:!kRSA";

/// SSL_OP_ALLOW_CLIENT_RENEGOTIATION of openssl/ssl.h, which the crate does not name.
const ALLOW_CLIENT_RENEGOTIATION: u64 = 1 << 8;

/// The contexts of one listener.
pub struct Certificates {
    default: SslContext,
    /// How handshakes get what a card has to do.
    asking: Asking,
    /// The contexts of other names, the first of the file first.
    others: Arc<Vec<Named>>,
    /// Keys that are in no file, by the places of their certificates.
    held: Vec<(usize, PKey<Private>)>,
    /// The names of each pair, by its print: they are not read twice.
    names: Vec<(Print, Vec<String>)>,
    /// Of the lists that all contexts were built of.
    lists: Print,
    resume: Option<Resume>,
}

/// A context and the names that it answers to.
#[derive(Clone)]
struct Named {
    names: Vec<String>,
    /// Of the pairs that it was built of.
    prints: Vec<Print>,
    context: SslContext,
}

/// See [`Pair::print`].
type Print = [u8; 32];

impl Certificates {
    /// Reads the files of a listener and builds what handshakes need; without `resume` none of them resumes a session.
    /// Keys on cards are left out, and with them the handshakes that need them.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub fn build(tls: &ListenerTls, resume: Option<&Resume>) -> Result<Certificates, String> {
        Certificates::of(tls, &Wallet::read(tls)?, resume, Keys::LeftOut)
    }

    /// Builds what handshakes need.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub(super) fn of(
        tls: &ListenerTls,
        wallet: &Wallet,
        resume: Option<&Resume>,
        keys: Keys<'_>,
    ) -> Result<Certificates, String> {
        let mut held = Vec::new();
        for pair in &wallet.pairs {
            if let (Some(place), Some(key)) = (pair.place, keys.of(pair, named_key(tls, pair.place))) {
                held.push((place, key?));
            }
        }
        let nothing = Certificates {
            // It is replaced at once; whoever keeps it serves nobody.
            default: SslContextBuilder::new(SslMethod::tls_server()).map_err(|error| reason(&error))?.build(),
            asking: Asking::default(),
            others: Arc::default(),
            held,
            names: Vec::new(),
            lists: Print::default(),
            resume: resume.cloned(),
        };
        nothing.renewed(tls, wallet)
    }

    /// Sets how handshakes get what a card has to do: the slowest way that any of its keys needs.
    pub(super) fn wait_for_card(&mut self, manner: Manner, patience_us: u64) {
        self.asking.manner = self.asking.manner.max(manner);
        self.asking.patience_us = self.asking.patience_us.max(patience_us);
    }

    /// Software can do what the card does.
    pub(super) fn can_do_without(&mut self) {
        self.asking.replaceable = true;
    }

    pub(super) fn asking(&self) -> Asking {
        self.asking
    }

    /// The same for other contents of the files. What is built already is built no second time, and keys that are in no
    /// file stay as they are.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub(crate) fn renewed(&self, tls: &ListenerTls, wallet: &Wallet) -> Result<Certificates, String> {
        let mut names: Vec<(Print, Vec<String>)> = Vec::with_capacity(wallet.pairs.len());
        let mut groups: Vec<(Vec<String>, Vec<usize>)> = Vec::new();
        for (at, pair) in wallet.pairs.iter().enumerate() {
            let print = pair.print();
            let known = self.names.iter().find(|(of, _)| *of == print).map(|(_, names)| names.clone());
            let of_pair = match known {
                Some(names) => names,
                None => pair.chain()?.first().map(|certificate| names::of(certificate)).unwrap_or_default(),
            };
            // RSA and ECDSA for one name stand in one context, and the client's ciphers decide.
            match groups.iter_mut().find(|(known, _)| *known == of_pair) {
                Some((_, places)) => places.push(at),
                None => groups.push((of_pair.clone(), vec![at])),
            }
            names.push((print, of_pair));
        }
        let build = |places: &[usize]| {
            let pairs = places.iter().map(|at| &wallet.pairs[*at]);
            self.context(tls, &pairs.collect::<Vec<_>>(), wallet)
        };
        let lists = wallet.lists_print();
        let mut groups = groups.into_iter();
        let (first_names, first) = groups.next().ok_or("no certificate")?;
        let mut others = Vec::new();
        for (of, places) in groups {
            let prints: Vec<Print> = places.iter().map(|at| names[*at].0).collect();
            let same = |known: &&Named| known.prints == prints && self.lists == lists;
            let context = match self.others.iter().find(same) {
                Some(known) => known.context.clone(),
                None => build(&places)?.build(),
            };
            others.push(Named { names: of, prints, context });
        }
        let others = Arc::new(others);
        let mut default = build(&first)?;
        if !others.is_empty() || tls.strict_names {
            choose_by_name(&mut default, first_names, Arc::clone(&others), tls.strict_names);
        }
        let (held, resume) = (self.held.clone(), self.resume.clone());
        let default = default.build();
        Ok(Certificates { default, asking: self.asking, others, held, names, lists, resume })
    }

    fn context(
        &self,
        tls: &ListenerTls,
        pairs: &[&Pair],
        wallet: &Wallet,
    ) -> Result<SslContextBuilder, String> {
        let mut context = SslContextBuilder::new(SslMethod::tls_server()).map_err(|error| reason(&error))?;
        let mut staples = Vec::new();
        for pair in pairs {
            let chain = pair.chain()?;
            if let Some((response, bytes)) = &pair.response {
                staples.push(Staple::of(response, bytes, &chain)?);
            }
            let held = self.held.iter().find(|(place, _)| Some(*place) == pair.place);
            pair.give(&mut context, &chain, held.map(|(_, key)| key))?;
        }
        if !staples.is_empty() {
            staple::serve(&mut context, staples)?;
        }
        set_versions(&mut context, tls.oldest, tls.without_1_3)?;
        if tls.ciphers.list.is_none() {
            context.set_cipher_list(FORWARD_SECRET).map_err(|error| reason(&error))?;
        }
        set_ciphers(&mut context, &tls.ciphers)?;
        set_groups(&mut context, tls.groups.as_deref())?;
        context.set_options(options(tls));
        verification(tls, wallet, &mut context)?;
        // A session is good in all contexts of a listener, whichever name it was made for, and in no listener that asks
        // clients for another proof of who they are: resuming a session proves nothing anew.
        let proof = proof(tls, wallet);
        context.set_session_id_context(&proof).map_err(|error| reason(&error))?;
        if let Some(resume) = &self.resume {
            resume.serve(&mut context)?;
        }
        context.set_num_tickets(usize::from(self.resume.is_some())).map_err(|error| reason(&error))?;
        context.set_alpn_select_callback(|_, offered| {
            // A client that offers nothing we speak is told so (RFC 7301 3.2).
            select_next_proto(b"\x08http/1.1\x08http/1.0", offered).ok_or(AlpnError::ALERT_FATAL)
        });
        // The chain is what the file holds. Without the mode the library would look for authorities in each handshake
        // anew, and verify our own certificate on the way.
        context.set_mode(
            SslMode::ENABLE_PARTIAL_WRITE
                | SslMode::ACCEPT_MOVING_WRITE_BUFFER
                | SslMode::RELEASE_BUFFERS
                | SslMode::NO_AUTO_CHAIN,
        );
        Ok(context)
    }

    pub(super) fn handshakes(&self) -> &SslContext {
        &self.default
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Certificates").finish_non_exhaustive()
    }
}

fn options(tls: &ListenerTls) -> SslOptions {
    let mut options = SslOptions::NO_COMPRESSION;
    if tls.own_order {
        options |= SslOptions::CIPHER_SERVER_PREFERENCE;
    }
    options |= match tls.renegotiation {
        Renegotiation::No => SslOptions::NO_RENEGOTIATION,
        Renegotiation::Secure => SslOptions::from_bits_retain(ALLOW_CLIENT_RENEGOTIATION),
        Renegotiation::Any => {
            SslOptions::from_bits_retain(ALLOW_CLIENT_RENEGOTIATION)
                | SslOptions::ALLOW_UNSAFE_LEGACY_RENEGOTIATION
        }
    };
    options
}

/// What stands for all that clients have to prove: the mode, and what is in the lists.
fn proof(tls: &ListenerTls, wallet: &Wallet) -> [u8; 32] {
    let mut asked = vec![tls.client as u8, tls.depth];
    if tls.client != ClientCertificate::No {
        for list in wallet.authorities.iter().chain(&wallet.revoked) {
            asked.extend_from_slice(&openssl::sha::sha256(list));
        }
    }
    openssl::sha::sha256(&asked)
}

/// `ClientCert` and the lists that go with it.
pub(super) fn verification(
    tls: &ListenerTls,
    wallet: &Wallet,
    context: &mut SslContextBuilder,
) -> Result<(), String> {
    match tls.client {
        ClientCertificate::No => context.set_verify(SslVerifyMode::NONE),
        ClientCertificate::Ask => context.set_verify(SslVerifyMode::PEER),
        ClientCertificate::Require => {
            context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        ClientCertificate::AskUnverified | ClientCertificate::ForServices => {
            context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        }
    }
    context.set_verify_depth(u32::from(tls.depth));
    if let (Some(file), Some(list)) = (&tls.authority_names, &wallet.authority_names) {
        context.set_client_ca_list(authority_names(file, list)?);
    }
    let store = context.cert_store_mut();
    if let (Some(file), Some(list)) = (&tls.authorities, &wallet.authorities) {
        believe(store, file, list)?;
    }
    if let (Some(file), Some(list)) = (&tls.revoked, &wallet.revoked) {
        disbelieve(store, file, list)?;
        let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
        store.set_flags(flags).map_err(|error| reason(&error))?;
    }
    Ok(())
}

/// Whether a list is one.
///
/// # Errors
/// Why not, with its file.
pub(super) fn check_list(which: ClientList, file: &Path, list: &[u8]) -> Result<(), String> {
    let mut store = X509StoreBuilder::new().map_err(|error| reason(&error))?;
    match which {
        ClientList::AuthorityNames => authority_names(file, list).map(drop),
        ClientList::Authorities => believe(&mut store, file, list),
        ClientList::Revoked => disbelieve(&mut store, file, list),
    }
}

/// Adds authorities.
fn believe(store: &mut X509StoreBuilderRef, file: &Path, list: &[u8]) -> Result<(), String> {
    let found = ffi::fill_store(store, list).map_err(|error| about(file, reason(&error)))?;
    if found.certificates > 0 { Ok(()) } else { Err(about(file, "there is no certificate in it")) }
}

/// Adds what has been revoked.
fn disbelieve(store: &mut X509StoreBuilderRef, file: &Path, list: &[u8]) -> Result<(), String> {
    let found = ffi::fill_store(store, list).map_err(|error| about(file, reason(&error)))?;
    if found.lists > 0 { Ok(()) } else { Err(about(file, "there is no list of revoked certificates in it")) }
}

/// Whose certificates these are, each once.
fn authority_names(file: &Path, list: &[u8]) -> Result<Stack<X509Name>, String> {
    let failed = |error: &openssl::error::ErrorStack| about(file, reason(error));
    let certificates = X509::stack_from_pem(list).map_err(|error| failed(&error))?;
    if certificates.is_empty() {
        return Err(about(file, "there is no certificate in it"));
    }
    let mut known = Vec::new();
    let mut names = Stack::new().map_err(|error| failed(&error))?;
    for certificate in certificates {
        let name = certificate.subject_name().to_der().map_err(|error| failed(&error))?;
        if !known.contains(&name) {
            let push = X509Name::from_der(&name).and_then(|name| names.push(name));
            push.map_err(|error| failed(&error))?;
            known.push(name);
        }
    }
    Ok(names)
}

/// The first context stays the default; another takes over when the client asks for one of its names. `strict`: a client
/// that asks for a name that none has is refused (RFC 6066 3).
fn choose_by_name(context: &mut SslContextBuilder, own: Vec<String>, others: Arc<Vec<Named>>, strict: bool) {
    context.set_servername_callback(move |ssl, alert| {
        let Some(asked) = ssl.servername(NameType::HOST_NAME) else { return Ok(()) };
        let best = |names: &[String]| names.iter().filter_map(|name| names::fit(name, asked)).max();
        let ours = best(&own);
        // Of equals the first in the file counts.
        let fits = others.iter().map(|named| (best(&named.names), named)).rev();
        let chosen = fits.max_by_key(|(fit, _)| *fit).filter(|(fit, _)| *fit > ours);
        let Some((_, named)) = chosen else {
            if strict && ours.is_none() {
                *alert = SslAlert::UNRECOGNIZED_NAME;
                return Err(SniError::ALERT_FATAL);
            }
            return Ok(());
        };
        ssl.set_ssl_context(&named.context).map_err(|_| SniError::ALERT_FATAL)
    });
}
