//! Engines: modules of OpenSSL up to 3 that do its arithmetic elsewhere, or hold keys.
//!
//! An engine that was loaded stays for the life of the process: what its library has started (threads, connections to a
//! device) takes no unloading well. Hence nothing here is freed.

#[cfg(has_engine)]
pub(in crate::tls) use present::Engine;

#[cfg(not(has_engine))]
pub(in crate::tls) use absent::Engine;

#[cfg(has_engine)]
mod present {
    use foreign_types::ForeignType;
    use openssl::error::ErrorStack;
    use openssl::pkey::{PKey, Private};
    use std::ffi::{CStr, CString, c_char, c_int, c_void};
    use std::ptr::{NonNull, null, null_mut};

    unsafe extern "C" {
        fn OPENSSL_init_crypto(options: u64, settings: *const c_void) -> c_int;
        fn ENGINE_by_id(id: *const c_char) -> *mut c_void;
        fn ENGINE_ctrl_cmd_string(
            engine: *mut c_void,
            name: *const c_char,
            value: *const c_char,
            optional: c_int,
        ) -> c_int;
        fn ENGINE_init(engine: *mut c_void) -> c_int;
        fn ENGINE_load_private_key(
            engine: *mut c_void,
            id: *const c_char,
            ui: *const c_void,
            data: *mut c_void,
        ) -> *mut c_void;
        fn ENGINE_set_default_string(engine: *mut c_void, list: *const c_char) -> c_int;
        fn ENGINE_unregister_RSA(engine: *mut c_void);
        fn ENGINE_unregister_DSA(engine: *mut c_void);
        fn ENGINE_unregister_DH(engine: *mut c_void);
        fn ENGINE_unregister_EC(engine: *mut c_void);
        fn ENGINE_unregister_RAND(engine: *mut c_void);
        fn RAND_set_rand_engine(engine: *mut c_void) -> c_int;
        fn ENGINE_unregister_ciphers(engine: *mut c_void);
        fn ENGINE_unregister_digests(engine: *mut c_void);
        fn ENGINE_unregister_pkey_meths(engine: *mut c_void);
        fn ENGINE_unregister_pkey_asn1_meths(engine: *mut c_void);
    }

    /// OPENSSL_INIT_ENGINE_DYNAMIC of openssl/crypto.h: the engine that loads others.
    const DYNAMIC: u64 = 0x400;

    /// An engine, loaded for good.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::tls) struct Engine {
        /// INVARIANT: a structural reference of ours, never given back.
        engine: NonNull<c_void>,
    }

    impl Engine {
        /// Loads an engine from where the library looks for it, or from this file.
        ///
        /// # Errors
        /// The library's.
        pub(in crate::tls) fn load(name: &CStr, file: Option<&CStr>) -> Result<Engine, ErrorStack> {
            ErrorStack::get();
            let id = if file.is_some() { c"dynamic" } else { name };
            // SAFETY: the string ends in NUL and lives over the call; no settings are passed.
            let engine = unsafe {
                OPENSSL_init_crypto(DYNAMIC, null());
                ENGINE_by_id(id.as_ptr())
            };
            let engine = Engine { engine: NonNull::new(engine).ok_or_else(ErrorStack::get)? };
            if let Some(file) = file {
                for (command, value) in [
                    (c"SO_PATH", Some(file)),
                    (c"ID", Some(name)),
                    (c"LIST_ADD", Some(c"1")),
                    (c"LOAD", None),
                ] {
                    engine.control(command, value)?;
                }
            }
            Ok(engine)
        }

        /// Sends it a control command.
        ///
        /// # Errors
        /// The library's; none if the engine does not know the command.
        pub(in crate::tls) fn control(self, command: &CStr, value: Option<&CStr>) -> Result<(), ErrorStack> {
            ErrorStack::get();
            let value = value.map_or(null(), CStr::as_ptr);
            // SAFETY: the engine is ours; both strings end in NUL and live over the call.
            let done = unsafe { ENGINE_ctrl_cmd_string(self.engine.as_ptr(), command.as_ptr(), value, 0) };
            if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
        }

        /// Lets it prepare for work.
        ///
        /// # Errors
        /// The library's.
        pub(in crate::tls) fn begin(self) -> Result<(), ErrorStack> {
            ErrorStack::get();
            // SAFETY: the engine is ours; the functional reference that this makes is kept for ever.
            let begun = unsafe { ENGINE_init(self.engine.as_ptr()) };
            if begun == 1 { Ok(()) } else { Err(ErrorStack::get()) }
        }

        /// A private key that it holds. Nobody is asked for a PIN.
        ///
        /// # Errors
        /// The library's.
        pub(in crate::tls) fn key(self, id: &str) -> Result<PKey<Private>, ErrorStack> {
            ErrorStack::get();
            // A name with a NUL is the name of nothing.
            let Ok(id) = CString::new(id) else { return Err(ErrorStack::get()) };
            // SAFETY: the engine is ours and works; the string ends in NUL and lives over the call; the UI is the
            // library's own and lives for ever. The key, if there is one, is ours from here on.
            unsafe {
                let key = ENGINE_load_private_key(
                    self.engine.as_ptr(),
                    id.as_ptr(),
                    super::super::nobody(),
                    null_mut(),
                );
                if key.is_null() { Err(ErrorStack::get()) } else { Ok(PKey::from_ptr(key.cast())) }
            }
        }

        /// Uses it for everything of these kinds from here on.
        ///
        /// # Errors
        /// The library's.
        pub(in crate::tls) fn take_over(self, kinds: &CStr) -> Result<(), ErrorStack> {
            ErrorStack::get();
            // SAFETY: the engine is ours and works; the string ends in NUL and lives over the call.
            let done = unsafe { ENGINE_set_default_string(self.engine.as_ptr(), kinds.as_ptr()) };
            if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
        }

        /// Uses it for nothing new any more. Keys that were made with it keep it.
        pub(in crate::tls) fn stand_back(self) {
            // SAFETY: the engine is ours; the tables that these change have locks of their own.
            unsafe {
                let engine = self.engine.as_ptr();
                ENGINE_unregister_RSA(engine);
                ENGINE_unregister_DSA(engine);
                ENGINE_unregister_DH(engine);
                ENGINE_unregister_EC(engine);
                ENGINE_unregister_RAND(engine);
                // The library keeps the engine that it found for random numbers, until it is told to look anew.
                RAND_set_rand_engine(null_mut());
                ENGINE_unregister_ciphers(engine);
                ENGINE_unregister_digests(engine);
                ENGINE_unregister_pkey_meths(engine);
                ENGINE_unregister_pkey_asn1_meths(engine);
            }
        }
    }
}

/// What stands for engines where the library has none.
#[cfg(not(has_engine))]
mod absent {
    use openssl::error::ErrorStack;
    use openssl::pkey::{PKey, Private};
    use std::ffi::CStr;

    /// No engine.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::tls) enum Engine {}

    impl Engine {
        pub(in crate::tls) fn load(_: &CStr, _: Option<&CStr>) -> Result<Engine, ErrorStack> {
            Err(ErrorStack::get())
        }

        pub(in crate::tls) fn control(self, _: &CStr, _: Option<&CStr>) -> Result<(), ErrorStack> {
            match self {}
        }

        pub(in crate::tls) fn begin(self) -> Result<(), ErrorStack> {
            match self {}
        }

        pub(in crate::tls) fn key(self, _: &str) -> Result<PKey<Private>, ErrorStack> {
            match self {}
        }

        pub(in crate::tls) fn take_over(self, _: &CStr) -> Result<(), ErrorStack> {
            match self {}
        }

        pub(in crate::tls) fn stand_back(self) {
            match self {}
        }
    }
}
