//! The few functions of OpenSSL that its crates do not bind, each behind a safe one.
#![allow(unsafe_code)]

mod courier;
mod engine;
mod job;
mod pem;
mod store;

pub(super) use courier::Courier;
pub(super) use engine::Engine;
pub(super) use job::{Pause, Trial, Trying, allow_pauses, awaited, pause, prepare_jobs};
pub(super) use pem::{fill_store, use_chain};
pub(super) use store::{key as stored_key, provide};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{SslContext, SslContextBuilder, SslContextRef, SslRef, SslSession, SslSessionRef};
use openssl::x509::X509NameRef;
use ounce_mem::Segment;
use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::sync::{Arc, OnceLock};
use std::{ptr, slice};

// The types stay opaque here; pointers come from the openssl crate and go to libssl or libcrypto.
unsafe extern "C" {
    fn SSL_CTX_set_tlsext_ticket_key_evp_cb(context: *mut c_void, callback: TicketCallback) -> c_int;
    fn SSL_CTX_set_timeout(context: *mut c_void, seconds: c_long) -> c_long;
    fn SSL_get_SSL_CTX(ssl: *const c_void) -> *mut c_void;
    fn SSL_version(ssl: *const c_void) -> c_int;
    fn RAND_bytes(bytes: *mut u8, count: c_int) -> c_int;
    fn EVP_aes_128_cbc() -> *const c_void;
    fn EVP_aes_256_cbc() -> *const c_void;
    fn EVP_CipherInit_ex(
        context: *mut c_void,
        cipher: *const c_void,
        engine: *mut c_void,
        key: *const u8,
        iv: *const u8,
        encrypt: c_int,
    ) -> c_int;
    fn EVP_MAC_init(
        context: *mut c_void,
        key: *const u8,
        length: usize,
        parameters: *const Parameter,
    ) -> c_int;
    fn X509_NAME_print_ex(out: *mut c_void, name: *const c_void, indent: c_int, flags: c_ulong) -> c_int;
    fn BIO_s_mem() -> *const c_void;
    fn BIO_new(method: *const c_void) -> *mut c_void;
    fn BIO_read(bio: *mut c_void, data: *mut c_void, length: c_int) -> c_int;
    fn BIO_free(bio: *mut c_void) -> c_int;
    fn UI_null() -> *const c_void;
    fn UI_set_default_method(method: *const c_void);
}

/// How OpenSSL asks for the key of a ticket: to seal one, or to open one by the name that is in it.
type TicketCallback = unsafe extern "C" fn(
    ssl: *mut c_void,
    name: *mut u8,
    iv: *mut u8,
    cipher: *mut c_void,
    mac: *mut c_void,
    seal: c_int,
) -> c_int;

/// OSSL_PARAM of openssl/core.h.
#[repr(C)]
struct Parameter {
    key: *const c_char,
    kind: c_uint,
    data: *const c_void,
    data_bytes: usize,
    return_bytes: usize,
}

/// OSSL_PARAM_UTF8_STRING of openssl/core.h.
const TEXT: c_uint = 4;

/// Bytes of a ticket key's name, and of the initial vector of AES in CBC mode.
const NAME_BYTES: usize = 16;

/// TLS1_3_VERSION of openssl/prov_ssl.h.
const TLS_1_3: c_int = 0x304;

/// XN_FLAG_ONELINE of openssl/x509.h (ESC_2253, ESC_CTRL, ESC_QUOTE, UTF8_CONVERT, DUMP_UNKNOWN, DUMP_DER, SEP_CPLUS_SPC,
/// SPC_EQ), but for ESC_MSB: UTF-8 stays as it is.
const ONE_LINE: c_ulong = 0x1 | 0x2 | 0x8 | 0x10 | 0x100 | 0x200 | 0x2_0000 | 0x80_0000;

/// Where contexts keep the segment with the ticket keys.
fn segment_index() -> Result<Index<SslContext, Arc<Segment>>, ErrorStack> {
    static INDEX: OnceLock<Index<SslContext, Arc<Segment>>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        None => {
            let index = SslContext::new_ex_index()?;
            Ok(*INDEX.get_or_init(|| index))
        }
    }
}

/// Seals tickets with the keys of a segment, as they are when it is done.
///
/// # Errors
/// The library's.
pub(super) fn set_ticket_keys(
    context: &mut SslContextBuilder,
    segment: Arc<Segment>,
) -> Result<(), ErrorStack> {
    context.set_ex_data(segment_index()?, segment);
    // SAFETY: the context is live; the callback finds the segment in it, which lives as long as it does.
    let set = unsafe { SSL_CTX_set_tlsext_ticket_key_evp_cb(context.as_ptr().cast(), ticket_key) };
    if set == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// How long sessions can be resumed.
pub(super) fn set_lifetime(context: &mut SslContextBuilder, seconds: u64) {
    let seconds = c_long::try_from(seconds).unwrap_or(c_long::MAX);
    // SAFETY: the context is live.
    unsafe { SSL_CTX_set_timeout(context.as_ptr().cast(), seconds) };
}

/// Looks sessions up that the library does not know.
pub(super) fn set_find_session(
    context: &mut SslContextBuilder,
    find: impl Fn(&[u8]) -> Option<SslSession> + Send + Sync + 'static,
) {
    // SAFETY: a session that comes out of bytes belongs to no context.
    unsafe { context.set_get_session_callback(move |_, id| find(id)) };
}

/// See [`TicketCallback`]. 1: here is the key; 2: here it is, and the client gets another ticket; 0: there is none; -1: the
/// handshake fails.
unsafe extern "C" fn ticket_key(
    ssl: *mut c_void,
    name: *mut u8,
    iv: *mut u8,
    cipher: *mut c_void,
    mac: *mut c_void,
    seal: c_int,
) -> c_int {
    // SAFETY: OpenSSL calls this with a connection that is live, so its context is as well; `name` and `iv` point to at
    // least 16 bytes each, which nobody else uses meanwhile (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    let (context, version, name, iv) = unsafe {
        (
            SslContextRef::from_ptr(SSL_get_SSL_CTX(ssl).cast()),
            SSL_version(ssl),
            slice::from_raw_parts_mut(name, NAME_BYTES),
            slice::from_raw_parts_mut(iv, NAME_BYTES),
        )
    };
    let Some(segment) = segment_index().ok().and_then(|index| context.ex_data(index)) else { return -1 };
    let keys = segment.tickets().keys();
    let (key, answer) = if seal == 1 {
        let Some(key) = keys.current() else { return 0 };
        name.copy_from_slice(key.name());
        // SAFETY: the pointer and the length are those of the slice.
        if unsafe { RAND_bytes(iv.as_mut_ptr(), NAME_BYTES as c_int) } != 1 {
            return -1;
        }
        (key, 1)
    } else {
        let Some((key, current)) = keys.find(name) else { return 0 };
        // In TLS 1.3 each ticket is used once (RFC 8446 C.4).
        (key, if current && version != TLS_1_3 { 1 } else { 2 })
    };
    // SAFETY: both contexts are live and OpenSSL's own; the key has the length that its cipher takes, and the text of the
    // parameter outlives the call, which copies it.
    let ready = unsafe {
        let algorithm = if key.cipher().len() == 32 { EVP_aes_256_cbc() } else { EVP_aes_128_cbc() };
        let digest = [
            Parameter {
                key: c"digest".as_ptr(),
                kind: TEXT,
                data: c"SHA256".as_ptr().cast(),
                data_bytes: 6,
                return_bytes: usize::MAX,
            },
            Parameter { key: ptr::null(), kind: 0, data: ptr::null(), data_bytes: 0, return_bytes: 0 },
        ];
        EVP_CipherInit_ex(cipher, algorithm, ptr::null_mut(), key.cipher().as_ptr(), iv.as_ptr(), seal) == 1
            && EVP_MAC_init(mac, key.hmac().as_ptr(), key.hmac().len(), digest.as_ptr()) == 1
    };
    if ready { answer } else { -1 }
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

/// Lets the library ask nobody for passwords, whatever it comes across in a file.
pub(super) fn ask_nobody() {
    nobody();
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
