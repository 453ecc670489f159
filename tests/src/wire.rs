//! What is spoken on the wires of a test: HTTP as it is, or HTTP over TLS, towards the proxy and behind it.
//!
//! `OUNCE_TEST_WIRE=tls` puts TLS under the same tests: listeners become `ListenHTTPS`, backends `HTTPS`, clients and
//! origins of the harness speak TLS, by turns 1.2 and 1.3. Everything else of a test stays as it is.

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Says what the tests of this process speak: `tls` or `plain`.
const WIRE: &str = "OUNCE_TEST_WIRE";

/// Whether it is TLS.
///
/// # Panics
/// When the environment says something else.
#[must_use]
pub fn is_tls() -> bool {
    static TLS: OnceLock<bool> = OnceLock::new();
    *TLS.get_or_init(|| match std::env::var(WIRE).as_deref() {
        Ok("tls") => true,
        Ok("plain") | Err(_) => false,
        Ok(other) => panic!("{WIRE} is neither tls nor plain: {other}"),
    })
}

/// The scheme of a URL of the proxy or of an origin.
#[must_use]
pub fn scheme() -> &'static str {
    if is_tls() { "https" } else { "http" }
}

/// What a backend that is an origin of the harness has inside.
#[must_use]
pub fn backend() -> &'static str {
    if is_tls() { "HTTPS\n" } else { "" }
}

/// A configuration whose plain listeners have become what the wire is. `{folder}` has to hold [`pem`] as `wire.pem`.
#[must_use]
pub fn listeners(text: &str) -> String {
    if !is_tls() {
        return text.to_owned();
    }
    let line = |line: &str| match line.strip_prefix("ListenHTTP") {
        Some(name) if name.is_empty() || name.starts_with(' ') => {
            format!("ListenHTTPS{name}\nCert \"{{folder}}/wire.pem\"\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

struct Papers {
    pem: Vec<u8>,
    clients: [SslContext; 2],
    servers: [SslContext; 2],
}

/// A certificate and its key, for whoever serves in a test.
#[must_use]
pub fn pem() -> &'static [u8] {
    &papers().pem
}

/// The next client's side of a connection.
///
/// # Panics
/// When OpenSSL has no memory.
#[must_use]
pub fn client() -> Ssl {
    let mut ssl = Ssl::new(&papers().clients[turn()]).expect("memory");
    ssl.set_connect_state();
    ssl
}

/// A client's side of a connection that speaks the newest version.
///
/// # Panics
/// When OpenSSL has no memory.
#[must_use]
pub fn newest() -> Ssl {
    let mut ssl = Ssl::new(&papers().clients[0]).expect("memory");
    ssl.set_connect_state();
    ssl
}

/// A client's side of a connection that speaks the version before.
///
/// # Panics
/// When OpenSSL has no memory.
#[must_use]
pub fn older() -> Ssl {
    let mut ssl = Ssl::new(&papers().clients[1]).expect("memory");
    ssl.set_connect_state();
    ssl
}

/// The next server's side of one.
///
/// # Panics
/// When OpenSSL has no memory.
#[must_use]
pub fn server() -> Ssl {
    let mut ssl = Ssl::new(&papers().servers[turn()]).expect("memory");
    ssl.set_accept_state();
    ssl
}

fn turn() -> usize {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    TURN.fetch_add(1, Ordering::Relaxed) % 2
}

fn papers() -> &'static Papers {
    static PAPERS: OnceLock<Papers> = OnceLock::new();
    PAPERS.get_or_init(|| make().expect("a certificate"))
}

fn make() -> Result<Papers, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let certificate = certificate(&key)?;
    let client = |newest| -> Result<SslContext, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        context.set_verify(SslVerifyMode::NONE);
        context.set_max_proto_version(Some(newest))?;
        Ok(context.build())
    };
    let server = |newest| -> Result<SslContext, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls_server())?;
        context.set_certificate(&certificate)?;
        context.set_private_key(&key)?;
        context.set_max_proto_version(Some(newest))?;
        Ok(context.build())
    };
    Ok(Papers {
        pem: [certificate.to_pem()?, key.private_key_to_pem_pkcs8()?].concat(),
        clients: [client(SslVersion::TLS1_3)?, client(SslVersion::TLS1_2)?],
        servers: [server(SslVersion::TLS1_3)?, server(SslVersion::TLS1_2)?],
    })
}

fn certificate(key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "wire.test")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(128, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(30)?)?;
    let names = SubjectAlternativeName::new()
        .dns("wire.test")
        .ip("127.0.0.1")
        .build(&builder.x509v3_context(None, None))?;
    builder.append_extension(names)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}
