//! The few functions of OpenSSL that its crates do not bind, each behind a safe one.
#![allow(unsafe_code)]

mod engine;
mod store;

pub(super) use engine::Engine;
pub(super) use store::{configure, key as stored_key};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef, SslSessionRef};
use openssl::x509::X509NameRef;
use std::ffi::{c_int, c_long, c_ulong, c_void};

// The types stay opaque here; pointers come from the openssl crate and go to libssl or libcrypto.
unsafe extern "C" {
    fn SSL_CTX_ctrl(context: *mut c_void, command: c_int, number: c_long, data: *mut c_void) -> c_long;
    fn X509_NAME_print_ex(out: *mut c_void, name: *const c_void, indent: c_int, flags: c_ulong) -> c_int;
    fn BIO_s_mem() -> *const c_void;
    fn BIO_new(method: *const c_void) -> *mut c_void;
    fn BIO_read(bio: *mut c_void, data: *mut c_void, length: c_int) -> c_int;
    fn BIO_free(bio: *mut c_void) -> c_int;
    fn UI_null() -> *const c_void;
    fn UI_set_default_method(method: *const c_void);
}

/// SSL_CTRL_SET_TLSEXT_TICKET_KEYS of openssl/ssl.h.
const SET_TICKET_KEYS: c_int = 59;

/// XN_FLAG_ONELINE of openssl/x509.h (ESC_2253, ESC_CTRL, ESC_QUOTE, UTF8_CONVERT, DUMP_UNKNOWN, DUMP_DER, SEP_CPLUS_SPC,
/// SPC_EQ), but for ESC_MSB: UTF-8 stays as it is.
const ONE_LINE: c_ulong = 0x1 | 0x2 | 0x8 | 0x10 | 0x100 | 0x200 | 0x2_0000 | 0x80_0000;

/// Sets the keys that session tickets are sealed with. False if the library refuses them.
pub(super) fn set_ticket_keys(context: &mut SslContextBuilder, keys: &[u8; super::TICKET_KEY_BYTES]) -> bool {
    let mut keys = *keys;
    // SAFETY: the context is live, and the library copies `length` bytes from `keys`, which has so many.
    let set = unsafe {
        SSL_CTX_ctrl(context.as_ptr().cast(), SET_TICKET_KEYS, keys.len() as c_long, keys.as_mut_ptr().cast())
    };
    set == 1
}

/// Resumes a session that the context of `ssl` was offered.
///
/// # Errors
/// The library's.
pub(super) fn resume(ssl: &mut SslRef, session: &SslSessionRef) -> Result<(), ErrorStack> {
    // SAFETY: sessions reach this room only through the new-session callback of the very context that `ssl` was made
    // from, which keeps them (see `Dialer`).
    unsafe { ssl.set_session(session) }
}

/// A distinguished name on one line: `C = FR, O = "a, b", CN = x`.
pub(super) fn one_line(name: &X509NameRef) -> String {
    let mut bytes = Vec::new();
    // SAFETY: the name is live for the call; the BIO is ours, freed once, and read into a buffer of the length that is
    // passed. A null BIO is not used.
    unsafe {
        let out = BIO_new(BIO_s_mem());
        if out.is_null() {
            return String::new();
        }
        X509_NAME_print_ex(out, name.as_ptr().cast::<c_void>().cast_const(), 0, ONE_LINE);
        let mut part = [0u8; 512];
        loop {
            let read = BIO_read(out, part.as_mut_ptr().cast(), part.len() as c_int);
            let Some(read) = usize::try_from(read).ok().filter(|&read| read > 0) else { break };
            bytes.extend_from_slice(&part[..read]);
        }
        BIO_free(out);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers every question for a PIN with nothing: who could answer is not at a terminal.
fn nobody() -> *const c_void {
    // SAFETY: the method is the library's own and lives for ever.
    unsafe {
        let nobody = UI_null();
        UI_set_default_method(nobody);
        nobody
    }
}
