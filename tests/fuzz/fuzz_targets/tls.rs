//! libFuzzer on what a TLS client sends: see `ounce_tests::sealed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_tests::sealed::tls(bytes));
