//! Clients that shake hands from the start each time, which wrk cannot be told to: it resumes its sessions.

use openssl::ssl::{Ssl, SslContext, SslMethod, SslSessionCacheMode, SslStream};
use ounce_sys::process;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Steps of nice(2) by which they stand back.
const STEPS_BACK: u8 = 10;

/// What each of them asks for.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Lets so many clients come, ask and go for so many seconds, one connection after the other each, and returns how many
/// requests were answered.
///
/// # Errors
/// Why a request was not.
pub fn crowd(address: SocketAddr, clients: u32, seconds: u32) -> Result<u64, String> {
    // One for all of them. A connector would read the system's authorities first, for longer than a turn takes.
    let mut context = SslContext::builder(SslMethod::tls_client()).map_err(|error| error.to_string())?;
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    let context = context.build();
    let until = Instant::now() + Duration::from_secs(u64::from(seconds));
    let patient = |context: SslContext| {
        move || {
            // Whoever else asks on this CPU is not to wait for the arithmetic of these.
            process::give_way(STEPS_BACK).map_err(|error| format!("a client: {error}"))?;
            client(&context, address, until)
        }
    };
    let clients: Vec<_> = (0..clients).map(|_| thread::spawn(patient(context.clone()))).collect();
    clients.into_iter().map(|client| client.join().map_err(|_| "a client panicked".to_owned())?).sum()
}

fn client(context: &SslContext, address: SocketAddr, until: Instant) -> Result<u64, String> {
    let mut answered = 0;
    while Instant::now() < until {
        ask(context, address)?;
        answered += 1;
    }
    Ok(answered)
}

fn ask(context: &SslContext, address: SocketAddr) -> Result<(), String> {
    let failed = |error: io::Error| format!("a client: {error}");
    let stream = TcpStream::connect(address).map_err(failed)?;
    let ssl = Ssl::new(context).map_err(|error| format!("a client: {error}"))?;
    let mut stream = SslStream::new(ssl, stream).map_err(|error| format!("a client: {error}"))?;
    stream.connect().map_err(|error| format!("a handshake: {error}"))?;
    stream.write_all(REQUEST).map_err(failed)?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(format!("a client: {read:?}: {}", String::from_utf8_lossy(&answer)))
}
