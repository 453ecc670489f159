//! Clients that shake hands from the start each time, which wrk cannot be told to: it resumes its sessions.
//!
//! They run on rustls: OpenSSL's own client takes twice as long as its server, so that one CPU of clients could not keep
//! one of a proxy busy.

use ounce_sys::process;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What each of them asks for.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Lets so many clients come, ask and go for so many seconds, one connection after the other each, and returns how many
/// requests were answered.
///
/// # Errors
/// Why a request was not.
pub fn crowd(address: SocketAddr, clients: u32, seconds: u32) -> Result<u64, String> {
    let config = Arc::new(config().map_err(|error| error.to_string())?);
    let until = Instant::now() + Duration::from_secs(u64::from(seconds));
    let patient = |config: Arc<ClientConfig>| {
        move || {
            // Whoever else asks on this CPU is not to wait for the arithmetic of these.
            process::stand_back().map_err(|error| format!("a client: {error}"))?;
            client(&config, address, until)
        }
    };
    let start = |_| thread::Builder::new().name("crowd".into()).spawn(patient(Arc::clone(&config)));
    let clients =
        (0..clients).map(start).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    clients.into_iter().map(|client| client.join().map_err(|_| "a client panicked".to_owned())?).sum()
}

fn config() -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Looks at no certificate and no signature: who is asked is known, and what a client spends is not what is measured.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
    }
}

fn client(config: &Arc<ClientConfig>, address: SocketAddr, until: Instant) -> Result<u64, String> {
    let mut answered = 0;
    while Instant::now() < until {
        ask(config, address).map_err(|error| format!("a client: {error}"))?;
        answered += 1;
    }
    Ok(answered)
}

fn ask(config: &Arc<ClientConfig>, address: SocketAddr) -> io::Result<()> {
    let server = ServerName::from(address.ip());
    let connection = ClientConnection::new(Arc::clone(config), server).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(format!("{read:?}: {}", String::from_utf8_lossy(&answer))))
}
