//! Certificates and lists from memory into contexts: what the library otherwise reads from files by itself.

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::SslContextBuilder;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilderRef;
use std::ffi::{c_int, c_long, c_void};
use std::ptr::{null, null_mut};

unsafe extern "C" {
    fn SSL_CTX_ctrl(context: *mut c_void, command: c_int, number: c_long, of: *mut c_void) -> c_long;
    fn BIO_new_mem_buf(bytes: *const c_void, length: c_int) -> *mut c_void;
    fn PEM_X509_INFO_read_bio(
        from: *mut c_void,
        into: *mut c_void,
        password: *const c_void,
        of: *mut c_void,
    ) -> *mut c_void;
    fn X509_INFO_free(info: *mut Info);
    fn X509_STORE_add_cert(store: *mut c_void, certificate: *mut c_void) -> c_int;
    fn X509_STORE_add_crl(store: *mut c_void, list: *mut c_void) -> c_int;
    fn OPENSSL_sk_shift(stack: *mut c_void) -> *mut c_void;
    fn OPENSSL_sk_free(stack: *mut c_void);
}

/// SSL_CTRL_CHAIN and SSL_CTRL_CHAIN_CERT of openssl/ssl.h.
const CHAIN: c_int = 88;
const CHAIN_CERT: c_int = 89;

/// How X509_INFO of openssl/x509.h begins.
#[repr(C)]
struct Info {
    certificate: *mut c_void,
    list: *mut c_void,
}

/// How much a store was given.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::tls) struct Found {
    /// Certificates.
    pub(in crate::tls) certificates: usize,
    /// Lists of revoked certificates.
    pub(in crate::tls) lists: usize,
}

/// Uses a certificate and those above it, which go out with this one and with none of another kind of key.
///
/// # Errors
/// The library's.
pub(in crate::tls) fn use_chain(context: &mut SslContextBuilder, chain: &[X509]) -> Result<(), ErrorStack> {
    let Some((first, above)) = chain.split_first() else { return Ok(()) };
    context.set_certificate(first)?;
    // SAFETY: the context is live, and so is each certificate; with 1 the library takes a reference of its own
    // (SSL_CTX_add1_chain_cert(3)). Without a stack the command empties the chain.
    let done = unsafe {
        SSL_CTX_ctrl(context.as_ptr().cast(), CHAIN, 0, null_mut()) == 1
            && above.iter().all(|certificate| {
                SSL_CTX_ctrl(context.as_ptr().cast(), CHAIN_CERT, 1, certificate.as_ptr().cast()) == 1
            })
    };
    if done { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Puts into a store all certificates and lists that a text in PEM holds.
///
/// # Errors
/// The library's.
pub(in crate::tls) fn fill_store(store: &mut X509StoreBuilderRef, pem: &[u8]) -> Result<Found, ErrorStack> {
    ErrorStack::get();
    let mut found = Found::default();
    let Ok(length) = c_int::try_from(pem.len()) else { return Ok(found) };
    let mut done = true;
    // SAFETY: the BIO reads `length` bytes of a text that lives over the calls; it and the stack are ours, not used if they
    // are null, and freed once, as is each thing in the stack. The store takes references of its own to what it is
    // given.
    unsafe {
        let from = BIO_new_mem_buf(pem.as_ptr().cast(), length);
        let things = if from.is_null() {
            null_mut()
        } else {
            PEM_X509_INFO_read_bio(from, null_mut(), null(), null_mut())
        };
        super::BIO_free(from);
        if things.is_null() {
            return Err(ErrorStack::get());
        }
        loop {
            let thing = OPENSSL_sk_shift(things).cast::<Info>();
            if thing.is_null() {
                break;
            }
            if !(*thing).certificate.is_null() {
                done &= X509_STORE_add_cert(store.as_ptr().cast(), (*thing).certificate) == 1;
                found.certificates += 1;
            }
            if !(*thing).list.is_null() {
                done &= X509_STORE_add_crl(store.as_ptr().cast(), (*thing).list) == 1;
                found.lists += 1;
            }
            X509_INFO_free(thing);
        }
        OPENSSL_sk_free(things);
    }
    if done { Ok(found) } else { Err(ErrorStack::get()) }
}
