//! One connection's TLS: ciphertext in and out by buffers, plaintext for the core.

use super::client::Dialer;
use super::ffi;
use super::server::Certificates;
use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, Ssl, SslCipherRef, SslStream};
use openssl::x509::X509VerifyResult;
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
    /// Ciphertext written for the peer's sake alone since the last of all was taken for sending.
    unasked: usize,
    /// What is written is for the peer's sake alone: alerts, tickets, keys that it wants changed.
    reading: bool,
    pool: Pool,
}

/// How much of that a peer may cause without taking it. It can ask for new keys, or for another handshake that it is not
/// given, as often as it likes.
const UNASKED_MAX: usize = 256 * 1024;

/// Plaintext of a record at the beginning: with its margins it fits into one packet, so that the client can use what
/// came without waiting for the rest.
const RECORD_SMALL: usize = 1369;

/// Plaintext of a record later on, the most there can be.
const RECORD_LARGE: usize = 16 * 1024;

/// How much goes out in small records: about as much as a new connection may send before it hears from the other side.
const SMALL_BYTES: usize = 40 * 1024;

/// After so long a silence a connection is as good as new.
const IDLE_US: u64 = 1_000_000;

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
        if self.reading {
            self.unasked += bytes.len();
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.output.back().is_none_or(|last| last.room() == 0) {
                let fresh = self.pool.take().unwrap_or_else(|| Buf::heap(PAGE_BYTES));
                self.output.push_back(fresh);
            }
            if let Some(last) = self.output.back_mut() {
                // A record that a page's plaintext fills fits with the margin behind the page, and goes out in one send.
                if rest.len() > last.room() && last.push_tail(rest) {
                    break;
                }
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
#[derive(Debug)]
pub enum Pulled {
    /// The handshake is over.
    Established(Box<Secure>),
    /// Plaintext, never empty.
    Plain(Buf),
    /// Nothing for now.
    Nothing,
    /// The peer has sent its last byte.
    End,
    /// No more will come, and nothing says that this was all.
    Truncated,
    /// The certificate of the backend is not to be trusted, for this reason; an alert may have to go out.
    Untrusted(&'static str),
    /// The connection is of no use any more; an alert may have to go out.
    Failed,
}

/// One connection's TLS.
pub struct Session {
    stream: SslStream<Wire>,
    established: bool,
    /// Nothing more is read: it ended or failed.
    over: bool,
    /// Bytes that went out since the last silence, if records are to grow; not towards backends.
    grown: Option<usize>,
    /// When something went out last.
    pushed_us: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("established", &self.established).finish_non_exhaustive()
    }
}

impl Session {
    /// The server's side of a connection that has just been accepted; `None` if OpenSSL has no memory for it.
    #[must_use]
    pub fn accept(certificates: &Certificates, pool: &Pool) -> Option<Session> {
        let mut ssl = Ssl::new(certificates.context()).ok()?;
        ssl.set_accept_state();
        let session = Session::new(ssl, pool)?;
        Some(Session { grown: Some(0), ..session })
    }

    /// Our side of a connection to a backend, which begins with [`Session::pull`]; `None` as above.
    pub(crate) fn connect(dialer: &Dialer, pool: &Pool) -> Option<Session> {
        let mut ssl = dialer.connection().ok()?;
        ssl.set_connect_state();
        Session::new(ssl, pool)
    }

    fn new(ssl: Ssl, pool: &Pool) -> Option<Session> {
        let wire = Wire {
            input: VecDeque::new(),
            output: VecDeque::new(),
            ended: false,
            unasked: 0,
            reading: false,
            pool: pool.clone(),
        };
        let stream = SslStream::new(ssl, wire).ok()?;
        Some(Session { stream, established: false, over: false, grown: None, pushed_us: 0 })
    }

    /// Whether the handshake is over.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Takes ciphertext that came in.
    pub fn received(&mut self, buf: Buf) {
        if !self.over {
            self.stream.get_mut().input.push_back(buf);
        }
    }

    /// No more ciphertext will come.
    pub fn ended(&mut self) {
        self.stream.get_mut().ended = true;
    }

    /// Works on what came in.
    pub fn pull(&mut self) -> Pulled {
        if self.over {
            return Pulled::Nothing;
        }
        self.stream.get_mut().reading = true;
        let pulled = if self.established { self.read() } else { self.handshake() };
        let wire = self.stream.get_mut();
        wire.reading = false;
        if wire.unasked > UNASKED_MAX {
            return self.stopped(ErrorCode::SSL);
        }
        pulled
    }

    fn read(&mut self) -> Pulled {
        let wire = self.stream.get_ref();
        // The library reads no more than it can use: with nothing here, and nothing of a record left there, it would
        // only take its time to say so.
        if wire.input.is_empty() && !wire.ended && self.stream.ssl().pending() == 0 {
            return Pulled::Nothing;
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
            Err(error) => {
                let wire = self.stream.get_mut();
                if is_plain_http(&error) && wire.output.is_empty() {
                    wire.output.push_back(Buf::heap_from(PLAIN_HTTP));
                }
                self.stopped(error.code())
            }
        }
    }

    fn stopped(&mut self, code: ErrorCode) -> Pulled {
        if code == ErrorCode::WANT_READ && !self.stream.get_ref().ended {
            return Pulled::Nothing;
        }
        self.over = true;
        self.stream.get_mut().input.clear();
        if code == ErrorCode::ZERO_RETURN {
            return Pulled::End;
        }
        if self.established {
            return if self.stream.get_ref().ended { Pulled::Truncated } else { Pulled::Failed };
        }
        match self.stream.ssl().verify_result() {
            X509VerifyResult::OK => Pulled::Failed,
            reason => Pulled::Untrusted(reason.error_string()),
        }
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
    pub fn push(&mut self, mut plain: &[u8], now_us: u64) -> bool {
        if now_us.saturating_sub(self.pushed_us) >= IDLE_US {
            self.grown = self.grown.map(|_| 0);
        }
        self.pushed_us = now_us;
        while !plain.is_empty() {
            let small = self.grown.is_some_and(|grown| grown < SMALL_BYTES);
            let record = &plain[..plain.len().min(if small { RECORD_SMALL } else { RECORD_LARGE })];
            match self.stream.ssl_write(record) {
                Ok(written) => {
                    plain = &plain[written..];
                    self.grown = self.grown.map(|grown| grown.saturating_add(written));
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Whether more may be sealed before what is sealed goes out.
    #[must_use]
    pub fn has_room(&self) -> bool {
        /// Two large records: what is sent together must not wait long for the rest.
        const READY_BYTES: usize = 32 * 1024;
        self.stream.get_ref().output.iter().map(Buf::len).sum::<usize>() < READY_BYTES
    }

    /// Says that nothing more will be sent (close_notify, RFC 8446 6.1).
    pub fn finish(&mut self) {
        if self.established {
            // Whatever comes of it, the connection closes next.
            let _ = self.stream.shutdown();
        }
    }

    /// Takes back ciphertext of which only a part was sent.
    pub fn put_back(&mut self, rest: Buf) {
        self.stream.get_mut().output.push_front(rest);
    }

    /// Ciphertext that is to be sent next.
    pub fn output(&mut self) -> Option<Buf> {
        let wire = self.stream.get_mut();
        let next = wire.output.pop_front();
        if next.is_none() {
            wire.unasked = 0;
        }
        next
    }
}

/// What a client is told that speaks HTTP where TLS is spoken, in the language that it understands.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 25\r\n\
    Connection: close\r\n\r\nThis port speaks HTTPS.\r\n";

/// OpenSSL knows the beginnings of usual requests.
fn is_plain_http(error: &openssl::ssl::Error) -> bool {
    let reasons = error.ssl_error().map(ErrorStack::errors).unwrap_or_default();
    reasons.iter().any(|error| error.reason() == Some("http request"))
}

/// The serial number in decimal digits, however long.
fn decimal(certificate: &openssl::x509::X509Ref) -> String {
    let number = certificate.serial_number().to_bn().and_then(|number| number.to_dec_str());
    number.map(|digits| digits.to_string()).unwrap_or_default()
}
