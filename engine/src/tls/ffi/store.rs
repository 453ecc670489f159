//! Providers, and keys by URI from the stores that they bring.

use foreign_types::ForeignType;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong, c_void};
use std::ptr::{null, null_mut};

unsafe extern "C" {
    fn NCONF_new(method: *mut c_void) -> *mut c_void;
    fn NCONF_load_bio(conf: *mut c_void, from: *mut c_void, line: *mut c_long) -> c_int;
    fn NCONF_free(conf: *mut c_void);
    fn CONF_modules_load(conf: *const c_void, section: *const c_char, flags: c_ulong) -> c_int;
    fn BIO_new_mem_buf(bytes: *const c_void, length: c_int) -> *mut c_void;
    fn OSSL_PROVIDER_available(library: *mut c_void, name: *const c_char) -> c_int;
    fn OSSL_STORE_open(
        uri: *const c_char,
        ui: *const c_void,
        ui_data: *mut c_void,
        post: *const c_void,
        post_data: *mut c_void,
    ) -> *mut c_void;
    fn OSSL_STORE_load(store: *mut c_void) -> *mut c_void;
    fn OSSL_STORE_eof(store: *mut c_void) -> c_int;
    fn OSSL_STORE_close(store: *mut c_void) -> c_int;
    fn OSSL_STORE_INFO_get_type(of: *const c_void) -> c_int;
    fn OSSL_STORE_INFO_get1_PKEY(of: *const c_void) -> *mut c_void;
    fn OSSL_STORE_INFO_free(info: *mut c_void);
}

/// OSSL_STORE_INFO_PKEY of openssl/store.h: a private key.
const PRIVATE_KEY: c_int = 4;

/// How many things of a URI are looked at for a key.
const LOOKS_MAX: u32 = 64;

/// Loads a provider as a configuration of OpenSSL's says.
///
/// # Errors
/// The library's.
pub(in crate::tls) fn provide(name: &CStr, text: &str) -> Result<(), ErrorStack> {
    configure(text)?;
    // The library takes a configuration for done whose provider does not begin to work.
    // SAFETY: the string ends in NUL and lives over the call; a null library is the default one.
    let available = unsafe { OSSL_PROVIDER_available(null_mut(), name.as_ptr()) };
    if available == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Does what a configuration of OpenSSL's says.
fn configure(text: &str) -> Result<(), ErrorStack> {
    ErrorStack::get();
    let Ok(length) = c_int::try_from(text.len()) else { return Err(ErrorStack::get()) };
    // SAFETY: the BIO reads `length` bytes of a text that lives over the calls; it and the configuration are ours, not
    // used if they are null, and freed once. The section's name ends in NUL.
    let done = unsafe {
        let from = BIO_new_mem_buf(text.as_ptr().cast(), length);
        let conf = NCONF_new(null_mut());
        let done = !from.is_null()
            && !conf.is_null()
            && NCONF_load_bio(conf, from, null_mut()) > 0
            && CONF_modules_load(conf, c"ounce".as_ptr(), 0) > 0;
        super::BIO_free(from);
        NCONF_free(conf);
        done
    };
    if done { Ok(()) } else { Err(ErrorStack::get()) }
}

/// The first private key that a URI leads to; `None` if it leads to other things. Nobody is asked for a PIN.
///
/// # Errors
/// The library's.
pub(in crate::tls) fn key(uri: &str) -> Result<Option<PKey<Private>>, ErrorStack> {
    ErrorStack::get();
    let Ok(uri) = CString::new(uri) else { return Ok(None) };
    // SAFETY: the string ends in NUL and lives over the call; the UI is the library's own. The store is ours, not used
    // if it is null, and closed once; so is each thing that it gives. A key that is not null is ours from here on.
    unsafe {
        let store = OSSL_STORE_open(uri.as_ptr(), super::nobody(), null_mut(), null(), null_mut());
        if store.is_null() {
            return Err(ErrorStack::get());
        }
        let mut found = null_mut();
        for _ in 0..LOOKS_MAX {
            if OSSL_STORE_eof(store) == 1 {
                break;
            }
            let thing = OSSL_STORE_load(store);
            if !thing.is_null() && OSSL_STORE_INFO_get_type(thing) == PRIVATE_KEY {
                found = OSSL_STORE_INFO_get1_PKEY(thing);
            }
            OSSL_STORE_INFO_free(thing);
            if !found.is_null() {
                break;
            }
        }
        OSSL_STORE_close(store);
        if !found.is_null() {
            ErrorStack::get();
            return Ok(Some(PKey::from_ptr(found.cast())));
        }
    }
    let errors = ErrorStack::get();
    if errors.errors().is_empty() { Ok(None) } else { Err(errors) }
}
