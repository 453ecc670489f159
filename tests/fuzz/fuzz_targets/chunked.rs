//! libFuzzer on chunked bodies: see `ounce_tests::targets`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_tests::targets::chunked(bytes));
