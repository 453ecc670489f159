//! What connections to backends need for handshakes.

use super::card::Keys;
use super::session::{Asking, Manner};
use super::wallet::{KeyText, Pair};
use super::{about, ffi, reason, set_ciphers, set_groups, set_revoked, set_versions};
use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslSession, SslSessionCacheMode, SslVerifyMode,
};
use openssl::x509::verify::X509CheckFlags;
use ounce_conf::model::{PeerName, ServerTls, Verify};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The system's authorities in one file, beside OpenSSL's directory of them.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// TLS to one backend. Without `VerifyPeer` its certificate is not verified, as in Pound: backends stand in networks of
/// their owner's, mostly with certificates that nobody signed.
#[derive(Clone)]
pub(crate) struct Dialer {
    context: SslContext,
    server_name: Option<String>,
    /// The newest session that the backend offered; the next connection resumes it.
    session: Arc<Mutex<Option<SslSession>>>,
    /// How handshakes get the signature of a card; unset where none is needed.
    asking: Arc<OnceLock<Asking>>,
    /// There is a certificate, but not its key.
    pub(super) lacks_key: bool,
}

impl Dialer {
    /// Builds what connections to a backend need. A key on a card that is left out is not there for handshakes either.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub(super) fn build(
        tls: &ServerTls,
        server_name: Option<&str>,
        keys: Keys<'_>,
    ) -> Result<Dialer, String> {
        let mut context = SslContextBuilder::new(SslMethod::tls_client()).map_err(|error| reason(&error))?;
        match &tls.verify {
            Some(verify) => set_verify(&mut context, verify)?,
            None => context.set_verify(SslVerifyMode::NONE),
        }
        let mut lacks_key = false;
        if let Some(file) = &tls.certificate {
            let pair = Pair::alone(file, tls.key.as_ref())?;
            let held = keys.of(&pair, tls.key.as_ref()).transpose()?;
            pair.give(&mut context, &pair.chain()?, held.as_ref())?;
            lacks_key = pair.key == KeyText::Elsewhere && held.is_none();
        }
        set_versions(&mut context, tls.oldest, tls.without_1_3)?;
        set_ciphers(&mut context, &tls.ciphers)?;
        set_groups(&mut context, tls.groups.as_deref())?;
        context.set_mode(
            SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::RELEASE_BUFFERS,
        );
        let session = Arc::new(Mutex::new(None));
        let newest = Arc::clone(&session);
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        context.set_new_session_callback(move |_, session| {
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        });
        // Whose certificate is to be seen has to be asked for by name.
        let asked = server_name.or(match tls.verify.as_ref().map(|verify| &verify.name) {
            Some(PeerName::Dns(name)) => Some(name),
            Some(PeerName::Ip(_)) | None => None,
        });
        let server_name = asked.map(str::to_owned);
        Ok(Dialer { context: context.build(), server_name, session, asking: Arc::default(), lacks_key })
    }

    /// Sets how handshakes get what a card has to do; the same for whoever shares this dialer.
    pub(super) fn wait_for_card(&self, manner: Manner, patience_us: u64) {
        let mut asking = Asking::default();
        (asking.manner, asking.patience_us) = (manner, patience_us);
        let set = self.asking.set(asking);
        debug_assert!(set.is_ok(), "it has one key");
    }

    pub(super) fn asking(&self) -> Asking {
        self.asking.get().copied().unwrap_or_default()
    }

    /// A connection that is about to begin.
    pub(super) fn connection(&self) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        if let Some(name) = &self.server_name {
            ssl.set_hostname(name)?;
        }
        if let Some(session) = &*self.session.lock().unwrap_or_else(PoisonError::into_inner) {
            ffi::resume(&mut ssl, session)?;
        }
        Ok(ssl)
    }
}

/// `VerifyPeer` and the lists that go with it.
fn set_verify(context: &mut SslContextBuilder, verify: &Verify) -> Result<(), String> {
    context.set_verify(SslVerifyMode::PEER);
    let param = context.verify_param_mut();
    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
    let named = match &verify.name {
        PeerName::Dns(name) => param.set_host(name),
        PeerName::Ip(address) => param.set_ip(*address),
    };
    named.map_err(|error| reason(&error))?;
    for file in &verify.authorities {
        context.set_ca_file(file).map_err(|error| about(file, reason(&error)))?;
    }
    if verify.authorities.is_empty() {
        // What is looked up when it is needed would be looked up in a jail.
        let file = Path::new(SYSTEM_AUTHORITIES);
        let set = if file.exists() { context.set_ca_file(file) } else { context.set_default_verify_paths() };
        set.map_err(|error| format!("the system's authorities: {}", reason(&error)))?;
    }
    if let Some(file) = &verify.revoked {
        set_revoked(context, file)?;
    }
    Ok(())
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dialer").finish_non_exhaustive()
    }
}
