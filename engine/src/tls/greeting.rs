//! Handshakes without traffic, for whoever wants to know whether a backend is the one that it should be.

use super::card::Keys;
use super::client::Dialer;
use openssl::ssl::{ErrorCode, SslStream};
use openssl::x509::X509VerifyResult;
use ounce_core::Plan;
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// What handshakes with one backend need.
#[derive(Debug, Clone)]
pub struct Greeter {
    dialer: Dialer,
}

impl Greeter {
    /// A greeter for each backend of the plan whose certificate is verified. Of others nothing would be learned that a
    /// connection does not tell: workers take them for alive when their port answers.
    ///
    /// # Errors
    /// What is wrong, with the file it is about.
    pub fn build(plan: &Plan) -> Result<Vec<Option<Greeter>>, String> {
        super::of_backends(plan, |tls, name| match tls.verify {
            // No card is loaded here: what its key signs is for workers to show.
            Some(_) => Dialer::build(tls, name, Keys::LeftOut).map(|dialer| Some(Greeter { dialer })),
            None => Ok(None),
        })
    }

    /// A handshake; `None` if OpenSSL has no memory for it.
    #[must_use]
    pub fn greet(&self) -> Option<Greeting> {
        let mut ssl = self.dialer.connection().ok()?;
        ssl.set_connect_state();
        let stream = SslStream::new(ssl, Wire::default()).ok()?;
        Some(Greeting { stream, lacks_key: self.dialer.lacks_key })
    }
}

/// Where OpenSSL reads and writes.
#[derive(Default)]
struct Wire {
    input: VecDeque<u8>,
    output: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.input.read(into) }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One handshake.
pub struct Greeting {
    stream: SslStream<Wire>,
    /// The backend may ask for a certificate of ours that there is no key for.
    lacks_key: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More has to be exchanged.
    Going,
    /// The backend is who it should be.
    Done,
    /// It is not.
    Failed,
}

impl Greeting {
    /// Takes what the backend said: nothing, to begin with.
    pub fn received(&mut self, bytes: &[u8]) -> Progress {
        self.stream.get_mut().input.extend(bytes);
        match self.stream.do_handshake() {
            Ok(()) => Progress::Done,
            Err(error) if error.code() == ErrorCode::WANT_READ => Progress::Going,
            Err(_) if self.lacks_key && self.is_shown() => Progress::Done,
            Err(_) => Progress::Failed,
        }
    }

    /// The backend has shown the certificate that it should have.
    fn is_shown(&self) -> bool {
        let ssl = self.stream.ssl();
        ssl.peer_certificate().is_some() && ssl.verify_result() == X509VerifyResult::OK
    }

    /// What is to be sent next.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.stream.get_mut().output)
    }
}

impl std::fmt::Debug for Greeting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Greeting").finish_non_exhaustive()
    }
}
