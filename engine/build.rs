//! Tells the code whether the OpenSSL that it is linked with has engines; since 4.0 none has.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(has_engine)");
    // Both come from openssl-sys, which has read the library's headers.
    let left_out = std::env::var("DEP_OPENSSL_CONF").unwrap_or_default();
    let version = std::env::var("DEP_OPENSSL_VERSION_NUMBER").unwrap_or_default();
    let version = u64::from_str_radix(&version, 16).unwrap_or_default();
    if version < 0x4000_0000 && !left_out.split(',').any(|word| word == "OPENSSL_NO_ENGINE") {
        println!("cargo:rustc-cfg=has_engine");
    }
}
