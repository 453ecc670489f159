//! How clients of a listener resume their sessions with whichever worker they meet: by tickets, sealed with keys of the
//! segment, and where they take none by session ids, kept in the segment.
//!
//! All of this runs on the small stack of a handshake: it copies a few hundred bytes and asks nobody.

use super::{ffi, reason};
use openssl::ssl::{SslContextBuilder, SslSession, SslSessionCacheMode, SslVersion};
use ounce_mem::{RESUMPTION_BYTES_MAX, Segment};
use ounce_sys::clock;
use std::sync::Arc;

/// What sessions are resumed with.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Where keys and sessions are.
    pub segment: Arc<Segment>,
    /// How long a session can be resumed, in seconds.
    pub lifetime_s: u64,
}

impl Resume {
    /// Lets the clients of a context resume their sessions.
    pub(super) fn serve(&self, context: &mut SslContextBuilder) -> Result<(), String> {
        ffi::set_ticket_keys(context, Arc::clone(&self.segment)).map_err(|error| reason(&error))?;
        ffi::set_lifetime(context, self.lifetime_s);
        let mode = SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL;
        context.set_session_cache_mode(mode);
        let (segment, lifetime_ms) = (Arc::clone(&self.segment), self.lifetime_s * 1000);
        context.set_new_session_callback(move |_, session| {
            // TLS 1.3 has tickets only, and here they are whole: there is nothing to look up.
            if session.protocol_version() == SslVersion::TLS1_3 {
                return;
            }
            if let Some(bytes) = session.to_der().ok().filter(|bytes| bytes.len() <= RESUMPTION_BYTES_MAX) {
                let now_ms = clock::monotonic_ms();
                // One that does not fit is not resumed.
                let _ = segment.resumptions().keep(session.id(), &bytes, now_ms + lifetime_ms, now_ms);
            }
        });
        let segment = Arc::clone(&self.segment);
        ffi::set_find_session(context, move |id| {
            let bytes = segment.resumptions().find(id, clock::monotonic_ms())?;
            SslSession::from_der(&bytes).ok()
        });
        let segment = Arc::clone(&self.segment);
        context.set_remove_session_callback(move |_, session| segment.resumptions().forget(session.id()));
        Ok(())
    }
}
