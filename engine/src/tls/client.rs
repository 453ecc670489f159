//! What connections to backends need for handshakes.

use super::{about, ffi, reason, set_ciphers, set_oldest};
use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslSession, SslSessionCacheMode,
    SslVerifyMode,
};
use ounce_conf::model::ServerTls;
use std::sync::{Arc, Mutex, PoisonError};

/// TLS to one backend. Its certificate is not verified, as in Pound: backends stand in networks of their owner's, mostly
/// with certificates that nobody signed.
pub(crate) struct Dialer {
    context: SslContext,
    server_name: Option<String>,
    /// The newest session that the backend offered; the next connection resumes it.
    session: Arc<Mutex<Option<SslSession>>>,
}

impl Dialer {
    /// Builds what connections to a backend need.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub(crate) fn build(tls: &ServerTls, server_name: Option<&str>) -> Result<Dialer, String> {
        let mut context = SslContextBuilder::new(SslMethod::tls_client()).map_err(|error| reason(&error))?;
        context.set_verify(SslVerifyMode::NONE);
        if let Some(file) = &tls.certificate {
            context.set_certificate_chain_file(file).map_err(|error| about(file, reason(&error)))?;
            context
                .set_private_key_file(file, SslFiletype::PEM)
                .map_err(|error| about(file, reason(&error)))?;
        }
        set_oldest(&mut context, tls.oldest)?;
        set_ciphers(&mut context, &tls.ciphers)?;
        context.set_mode(
            SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::RELEASE_BUFFERS,
        );
        let session = Arc::new(Mutex::new(None));
        let newest = Arc::clone(&session);
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        context.set_new_session_callback(move |_, session| {
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        });
        Ok(Dialer { context: context.build(), server_name: server_name.map(str::to_owned), session })
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

impl std::fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dialer").finish_non_exhaustive()
    }
}
