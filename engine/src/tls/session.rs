//! One connection's TLS: ciphertext in and out by buffers, plaintext for the core.

use super::client::Dialer;
use super::ffi;
use super::server::Certificates;
use openssl::ssl::{ErrorCode, Ssl, SslCipherRef, SslStream};
use ounce_core::Secure;
use ounce_mem::{Buf, PAGE_BYTES, Pool};
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Where OpenSSL reads and writes.
struct Wire {
    /// Ciphertext received and not yet read.
    input: VecDeque<Buf>,
    /// Ciphertext written and not yet sent.
    output: VecDeque<Buf>,
    /// The peer has sent its last byte.
    ended: bool,
    pool: Pool,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(front) = self.input.front_mut() else {
            return if self.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let taken = front.len().min(into.len());
        into[..taken].copy_from_slice(&front[..taken]);
        front.advance(taken);
        if front.is_empty() {
            self.input.pop_front();
        }
        Ok(taken)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.output.back().is_none_or(|last| last.room() == 0) {
                let fresh = self.pool.take().unwrap_or_else(|| Buf::heap(PAGE_BYTES));
                self.output.push_back(fresh);
            }
            if let Some(last) = self.output.back_mut() {
                let part = last.room().min(rest.len());
                let pushed = last.push(&rest[..part]);
                debug_assert!(pushed);
                rest = &rest[part..];
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a connection has for the core.
pub(crate) enum Pulled {
    /// The handshake is over.
    Established(Box<Secure>),
    /// Plaintext, never empty.
    Plain(Buf),
    /// Nothing for now.
    Nothing,
    /// The peer has sent its last byte.
    End,
    /// The connection is of no use any more; an alert may have to go out.
    Failed,
}

/// One connection's TLS.
pub(crate) struct Session {
    stream: SslStream<Wire>,
    established: bool,
    /// Nothing more is read: it ended or failed.
    over: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("established", &self.established).finish_non_exhaustive()
    }
}

impl Session {
    /// The server's side of a connection that has just been accepted; `None` if OpenSSL has no memory for it.
    pub(crate) fn accept(certificates: &Certificates, pool: &Pool) -> Option<Session> {
        let mut ssl = Ssl::new(certificates.context()).ok()?;
        ssl.set_accept_state();
        Session::new(ssl, pool)
    }

    /// Our side of a connection to a backend, which begins with [`Session::pull`]; `None` as above.
    pub(crate) fn connect(dialer: &Dialer, pool: &Pool) -> Option<Session> {
        let mut ssl = dialer.connection().ok()?;
        ssl.set_connect_state();
        Session::new(ssl, pool)
    }

    fn new(ssl: Ssl, pool: &Pool) -> Option<Session> {
        let wire = Wire { input: VecDeque::new(), output: VecDeque::new(), ended: false, pool: pool.clone() };
        let stream = SslStream::new(ssl, wire).ok()?;
        Some(Session { stream, established: false, over: false })
    }

    pub(crate) fn is_established(&self) -> bool {
        self.established
    }

    /// Takes ciphertext that came in.
    pub(crate) fn received(&mut self, buf: Buf) {
        if !self.over {
            self.stream.get_mut().input.push_back(buf);
        }
    }

    /// No more ciphertext will come.
    pub(crate) fn ended(&mut self) {
        self.stream.get_mut().ended = true;
    }

    /// Works on what came in.
    pub(crate) fn pull(&mut self) -> Pulled {
        if self.over {
            return Pulled::Nothing;
        }
        if !self.established {
            return self.handshake();
        }
        let pool = &self.stream.get_ref().pool;
        let mut plain = pool.take().unwrap_or_else(|| Buf::heap(PAGE_BYTES));
        match plain.fill(|room| self.stream.ssl_read(room)) {
            Ok(_) => Pulled::Plain(plain),
            Err(error) => self.stopped(error.code()),
        }
    }

    fn handshake(&mut self) -> Pulled {
        match self.stream.do_handshake() {
            Ok(()) => {
                self.established = true;
                Pulled::Established(Box::new(self.describe()))
            }
            Err(error) => self.stopped(error.code()),
        }
    }

    fn stopped(&mut self, code: ErrorCode) -> Pulled {
        if code == ErrorCode::WANT_READ && !self.stream.get_ref().ended {
            return Pulled::Nothing;
        }
        self.over = true;
        self.stream.get_mut().input.clear();
        // A connection that ends without close_notify is one that ends: HTTP says itself whether a message was whole.
        let end = code == ErrorCode::ZERO_RETURN || (self.established && self.stream.get_ref().ended);
        if end { Pulled::End } else { Pulled::Failed }
    }

    /// What the backend is told about this connection (pound.md section 10).
    fn describe(&self) -> Secure {
        let ssl = self.stream.ssl();
        let cipher = ssl.current_cipher().map(SslCipherRef::description).unwrap_or_default();
        let mut secure = Secure {
            cipher: format!("{}/{}", ssl.version_str(), cipher.trim_end_matches('\n')),
            resumed: ssl.session_reused(),
            ..Secure::default()
        };
        if let Some(certificate) = ssl.peer_certificate() {
            let pem = certificate.to_pem().unwrap_or_default();
            secure.certificate = Some(ounce_core::ClientCertificate {
                subject: ffi::one_line(certificate.subject_name()),
                issuer: ffi::one_line(certificate.issuer_name()),
                not_before: certificate.not_before().to_string(),
                not_after: certificate.not_after().to_string(),
                serial: decimal(&certificate),
                pem: String::from_utf8_lossy(&pem).replace('\n', ""),
            });
        }
        secure
    }

    /// Seals plaintext; false if the session is of no use any more.
    pub(crate) fn push(&mut self, mut plain: &[u8]) -> bool {
        while !plain.is_empty() {
            match self.stream.ssl_write(plain) {
                Ok(written) => plain = &plain[written..],
                Err(_) => return false,
            }
        }
        true
    }

    /// Says that nothing more will be sent (close_notify, RFC 8446 6.1).
    pub(crate) fn finish(&mut self) {
        if self.established {
            // Whatever comes of it, the connection closes next.
            let _ = self.stream.shutdown();
        }
    }

    /// Takes back ciphertext of which only a part was sent.
    pub(crate) fn put_back(&mut self, rest: Buf) {
        self.stream.get_mut().output.push_front(rest);
    }

    /// Ciphertext that is to be sent next.
    pub(crate) fn output(&mut self) -> Option<Buf> {
        self.stream.get_mut().output.pop_front()
    }
}

/// The serial number in decimal digits, however long.
fn decimal(certificate: &openssl::x509::X509Ref) -> String {
    let number = certificate.serial_number().to_bn().and_then(|number| number.to_dec_str());
    number.map(|digits| digits.to_string()).unwrap_or_default()
}
