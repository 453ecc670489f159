//! What a listener needs for handshakes: contexts, built from the configuration once per worker.

use super::card::{Keys, Source};
use super::resume::Resume;
use super::session::{Asking, Manner};
use super::staple::{self, Staple};
use super::{about, names, reason, set_ciphers, set_groups, set_oldest, set_revoked};
use openssl::ssl::{
    AlpnError, NameType, SniError, SslAlert, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode,
    SslOptions, SslVerifyMode, select_next_proto,
};
use openssl::x509::{X509, X509Name};
use ounce_conf::model::{ClientCertificate, ListenerTls, Renegotiation};
use std::path::{Path, PathBuf};
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
}

/// A context and the names that it answers to.
struct Named {
    names: Vec<String>,
    context: SslContext,
}

impl Certificates {
    /// Reads the certificates and builds what handshakes need; without `resume` none of them resumes a session. Keys on
    /// cards are left out, and with them the handshakes that need them.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub fn build(tls: &ListenerTls, resume: Option<&Resume>) -> Result<Certificates, String> {
        Certificates::with_keys(tls, resume, Keys::LeftOut)
    }

    /// Reads the certificates and builds what handshakes need.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub(super) fn with_keys(
        tls: &ListenerTls,
        resume: Option<&Resume>,
        keys: Keys<'_>,
    ) -> Result<Certificates, String> {
        let mut groups: Vec<(Vec<String>, Vec<usize>)> = Vec::new();
        for (place, file) in tls.certificates.iter().enumerate() {
            let names = names::of(&*certificate(file)?);
            // RSA and ECDSA for one name stand in one context, and the client's ciphers decide.
            match groups.iter_mut().find(|(known, _)| *known == names) {
                Some((_, places)) => places.push(place),
                None => groups.push((names, vec![place])),
            }
        }
        let mut others = Vec::new();
        let mut groups = groups.into_iter();
        let (first_names, first) = groups.next().ok_or("no certificate")?;
        for (names, places) in groups {
            others.push(Named { names, context: context(tls, &places, resume, keys)?.build() });
        }
        let mut default = context(tls, &first, resume, keys)?;
        if !others.is_empty() || tls.strict_names {
            choose_by_name(&mut default, first_names, others, tls.strict_names);
        }
        Ok(Certificates { default: default.build(), asking: Asking::default() })
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

    pub(super) fn context(&self) -> &SslContext {
        &self.default
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// The first certificate of a file.
pub(super) fn certificate(file: &Path) -> Result<X509, String> {
    let pem = std::fs::read(file).map_err(|error| about(file, error))?;
    X509::from_pem(&pem).map_err(|error| about(file, reason(&error)))
}

/// All certificates of a file.
pub(super) fn chain(file: &Path) -> Result<Vec<X509>, String> {
    let pem = std::fs::read(file).map_err(|error| about(file, error))?;
    X509::stack_from_pem(&pem).map_err(|error| about(file, reason(&error)))
}

/// Where there is an OCSP response for a certificate, if anywhere: in the file that is named for it, or in the one beside
/// it with `.ocsp` behind its name.
pub(super) fn response_file(tls: &ListenerTls, place: usize) -> Option<PathBuf> {
    if let Some((_, named)) = tls.staples.iter().find(|(of, _)| *of == place) {
        return Some(named.clone());
    }
    let mut beside = tls.certificates.get(place)?.clone().into_os_string();
    beside.push(".ocsp");
    Some(PathBuf::from(beside)).filter(|beside| beside.is_file())
}

fn context(
    tls: &ListenerTls,
    places: &[usize],
    resume: Option<&Resume>,
    keys: Keys<'_>,
) -> Result<SslContextBuilder, String> {
    let mut context = SslContextBuilder::new(SslMethod::tls_server()).map_err(|error| reason(&error))?;
    let mut staples = Vec::new();
    for &place in places {
        let file = &tls.certificates[place];
        if let Some(response) = response_file(tls, place) {
            staples.push(Staple::read(&response, &chain(file)?)?);
        }
        context.set_certificate_chain_file(file).map_err(|error| about(file, reason(&error)))?;
        match keys.of(tls, place) {
            Source::File(key) => {
                let set = context.set_private_key_file(key, SslFiletype::PEM);
                set.map_err(|error| about(key, reason(&error)))?;
            }
            Source::Held(key) => {
                let key = key?;
                context.set_private_key(&key).map_err(|error| about(file, reason(&error)))?;
            }
            Source::LeftOut => continue,
        }
        context.check_private_key().map_err(|error| about(file, reason(&error)))?;
    }
    if !staples.is_empty() {
        staple::serve(&mut context, staples)?;
    }
    set_oldest(&mut context, tls.oldest)?;
    if tls.ciphers.list.is_none() {
        context.set_cipher_list(FORWARD_SECRET).map_err(|error| reason(&error))?;
    }
    set_ciphers(&mut context, &tls.ciphers)?;
    set_groups(&mut context, tls.groups.as_deref())?;
    context.set_options(options(tls));
    verification(tls, &mut context)?;
    // A session is good in all contexts of a listener, whichever name it was made for, and in no listener that asks
    // clients for another proof of who they are: resuming a session proves nothing anew.
    let proof = proof(tls)?;
    context.set_session_id_context(&proof).map_err(|error| reason(&error))?;
    if let Some(resume) = resume {
        resume.serve(&mut context)?;
    }
    context.set_num_tickets(usize::from(resume.is_some())).map_err(|error| reason(&error))?;
    context.set_alpn_select_callback(|_, offered| {
        // A client that offers nothing we speak is told so (RFC 7301 3.2).
        select_next_proto(b"\x08http/1.1\x08http/1.0", offered).ok_or(AlpnError::ALERT_FATAL)
    });
    // The chain is what the file holds. Without the mode the library would look for authorities in each handshake anew,
    // and verify our own certificate on the way.
    context.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS
            | SslMode::NO_AUTO_CHAIN,
    );
    Ok(context)
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
fn proof(tls: &ListenerTls) -> Result<[u8; 32], String> {
    let mut asked = vec![tls.client as u8, tls.depth];
    if tls.client != ClientCertificate::No {
        for file in tls.authorities.iter().chain(&tls.revoked) {
            let bytes = std::fs::read(file).map_err(|error| about(file, error))?;
            asked.extend_from_slice(&openssl::sha::sha256(&bytes));
        }
    }
    Ok(openssl::sha::sha256(&asked))
}

/// `ClientCert` and the lists that go with it.
fn verification(tls: &ListenerTls, context: &mut SslContextBuilder) -> Result<(), String> {
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
    if let Some(file) = &tls.authority_names {
        let names = X509Name::load_client_ca_file(file).map_err(|error| about(file, reason(&error)))?;
        context.set_client_ca_list(names);
    }
    if let Some(file) = &tls.authorities {
        context.set_ca_file(file).map_err(|error| about(file, reason(&error)))?;
    }
    if let Some(file) = &tls.revoked {
        set_revoked(context, file)?;
    }
    Ok(())
}

/// The first context stays the default; another takes over when the client asks for one of its names. `strict`: a client
/// that asks for a name that none has is refused (RFC 6066 3).
fn choose_by_name(context: &mut SslContextBuilder, own: Vec<String>, others: Vec<Named>, strict: bool) {
    let others = Arc::new(others);
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
