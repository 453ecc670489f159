//! What OpenSSL has of a connection: where it reads and writes, and how far its handshake is. Nothing in it is tied to a
//! thread once its pages have become memory.

use super::ffi::{self, Pause};
use super::gate::Gate;
use crate::queue::Queue;
use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, Ssl, SslCipherRef, SslRef, SslStream};
use ounce_core::Secure;
use ounce_mem::{Buf, MARGIN, PAGE_BYTES, Pool};
use std::io::{self, Read, Write};

/// Where OpenSSL reads and writes.
#[derive(Default)]
pub(super) struct Wire {
    /// Ciphertext received and not yet read.
    pub(super) input: Queue,
    /// Ciphertext written and not yet sent.
    pub(super) output: Queue,
    /// The peer has sent its last byte.
    pub(super) ended: bool,
    /// Ciphertext written for the peer's sake alone since the last of all was taken for sending.
    pub(super) unasked: usize,
    /// What is written is for the peer's sake alone: alerts, tickets, keys that it wants changed.
    pub(super) reading: bool,
    /// Where pages come from; without it, memory does.
    pub(super) pool: Option<Pool>,
    /// The next block is to take much, for one send, and will not wait long for the peer.
    pub(super) much: bool,
    /// Keeps the library from handshakes that are not for the loop.
    pub(super) gate: Option<Box<Gate>>,
}

/// How much of that a peer may cause without taking it. It can ask for new keys, or for another handshake that it is not
/// given, as often as it likes.
pub(super) const UNASKED_MAX: usize = 256 * 1024;

impl Wire {
    /// A page, but none of the last quarter of the pool: that is for bytes on their way in, and what is here may have to
    /// wait for a peer that takes nothing.
    pub(super) fn page(&self) -> Buf {
        let pool = self.pool.as_ref().filter(|pool| pool.free() >= pool.capacity() / 4);
        pool.and_then(Pool::take).unwrap_or_else(|| Buf::heap(PAGE_BYTES))
    }

    /// What the next ciphertext goes into.
    fn block(&mut self) -> Buf {
        let much = std::mem::take(&mut self.much);
        let pool = self.pool.as_ref().filter(|_| much);
        pool.and_then(Pool::take_sheet).unwrap_or_else(|| self.page())
    }

    /// Whether there may be another record before what is there goes out.
    pub(super) fn has_room(&self) -> bool {
        /// Two large records: what is sent together must not wait long for the rest.
        const READY_BYTES: usize = 32 * 1024;
        /// More room than any page has.
        const RECORD_BYTES_MAX: usize = PAGE_BYTES + 2 * MARGIN;
        let fits = |last: &Buf| last.room() >= RECORD_BYTES_MAX;
        self.output.bytes() < READY_BYTES || self.output.back().is_some_and(fits)
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(front) = self.input.front_mut() else {
            return if self.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let taken = front.len().min(into.len());
        if let Some(gate) = &mut self.gate {
            if !gate.admits(front[0]) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            gate.passed(&front[..taken]);
        }
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
                let fresh = self.block();
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

/// What OpenSSL keeps of a connection, with where it reads and writes.
pub(super) struct Stream {
    pub(super) ssl: SslStream<Wire>,
    /// What the last step of the handshake came to, until somebody has looked at it.
    pub(super) stepped: Option<Step>,
    /// Where plaintext goes that is read while hands are shaken anew; a card that has paused that may still write to it.
    pub(super) plain: Option<Buf>,
    /// The peer began with a request.
    spoke_http: bool,
}

/// What one step of a handshake came to.
pub(super) enum Step {
    Done,
    /// There is plaintext.
    Read,
    /// A card has paused it: nothing may be called on the connection until the card is ready, nor may it be freed.
    Paused,
    /// There is no job for it.
    NoJob,
    Stopped {
        code: ErrorCode,
        /// It failed for want of a signature or the like, which is no fault of the peer's.
        card: bool,
    },
}

impl Stream {
    pub(super) fn new(ssl: Ssl, pool: &Pool) -> Option<Stream> {
        let wire = Wire { pool: Some(pool.clone()), ..Wire::default() };
        Some(Stream { ssl: SslStream::new(ssl, wire).ok()?, stepped: None, plain: None, spoke_http: false })
    }

    /// Lets cards pause what is done from here on, or not any more.
    pub(super) fn let_pause(&self, pauses: bool) {
        ffi::allow_pauses(self.ssl.ssl(), pauses);
    }

    /// There is something to read, or the news that nothing will come.
    pub(super) fn has_input(&self) -> bool {
        let wire = self.ssl.get_ref();
        !wire.input.is_empty() || wire.ended
    }

    /// Nothing that it holds is its worker's, so that any thread may have it.
    pub(super) fn is_portable(&self) -> bool {
        let wire = self.ssl.get_ref();
        let mut held = wire.input.iter().chain(wire.output.iter()).chain(&self.plain);
        wire.pool.is_none() && !held.any(Buf::is_page)
    }

    /// Tells a peer that speaks HTTP where TLS is spoken, in the language that it understands.
    pub(super) fn tell_plain_http(&mut self) {
        let wire = self.ssl.get_mut();
        if self.spoke_http && wire.output.is_empty() {
            wire.output.push_back(Buf::heap_from(PLAIN_HTTP));
        }
    }

    /// It may be told to read and write: no handshake is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.ssl.ssl().is_init_finished()
    }

    /// Takes the handshake as far as it goes with what came in.
    pub(super) fn step(&mut self) {
        // Whoever was paused last may have left errors behind, which are not this one's.
        drop(ErrorStack::get());
        let done = match &mut self.plain {
            None => self.ssl.do_handshake().map(|()| Step::Done),
            Some(plain) => plain.fill(|room| self.ssl.ssl_read(room)).map(|_| Step::Read),
        };
        self.stepped = Some(match done {
            Ok(step) => step,
            // The error says so too, unless the card left errors of its own.
            Err(error) => match ffi::pause(self.ssl.ssl()) {
                Some(Pause::Card) => Step::Paused,
                Some(Pause::NoJob) => Step::NoJob,
                None => {
                    self.spoke_http = is_plain_http(&error);
                    Step::Stopped { code: error.code(), card: error.ssl_error().is_some_and(blames_card) }
                }
            },
        });
    }
}

/// What a client is told that speaks HTTP where TLS is spoken.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 25\r\n\
    Connection: close\r\n\r\nThis port speaks HTTPS.\r\n";

/// OpenSSL knows the beginnings of usual requests.
fn is_plain_http(error: &openssl::ssl::Error) -> bool {
    let reasons = error.ssl_error().map(ErrorStack::errors).unwrap_or_default();
    reasons.iter().any(|error| error.reason() == Some("http request"))
}

/// Whether a handshake failed inside of us: a peer's mistakes have reasons of their own.
fn blames_card(errors: &ErrorStack) -> bool {
    // ERR_LIB_SSL, and ERR_R_EVP_LIB without its flags (openssl/err.h). An internal error may be a bad share of a key.
    let ours =
        |error: &openssl::error::Error| error.library_code() == 20 && error.reason_code() & 0x3_FFFF == 6;
    errors.errors().iter().any(ours)
}

/// What the backend is told about this connection (pound.md section 10).
pub(super) fn describe(ssl: &SslRef) -> Secure {
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

/// The serial number in decimal digits, however long.
fn decimal(certificate: &openssl::x509::X509Ref) -> String {
    let number = certificate.serial_number().to_bn().and_then(|number| number.to_dec_str());
    number.map(|digits| digits.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes records of the largest size until there is to be no more, and says how large the sends will be.
    fn sends(wire: &mut Wire) -> Vec<usize> {
        while wire.has_room() {
            wire.write_all(&vec![1; PAGE_BYTES + 22]).unwrap();
        }
        std::iter::from_fn(|| wire.output.pop_front()).map(|buf| buf.len()).collect()
    }

    #[test]
    fn much_goes_out_in_one_send_as_long_as_there_are_sheets() {
        const RECORD: usize = PAGE_BYTES + 22;
        let pool = Pool::new(64).unwrap();
        let mut wire = Wire { pool: Some(pool.clone()), ..Wire::default() };
        assert_eq!(sends(&mut wire), [RECORD; 2]);
        wire.much = true;
        assert_eq!(sends(&mut wire), [4 * RECORD]);
        assert_eq!(sends(&mut wire), [RECORD; 2], "what is announced once");
        let other = pool.take_sheet();
        wire.much = true;
        assert_eq!(sends(&mut wire), [RECORD; 2]);
        drop(other);
        // What was there before goes first.
        wire.write_all(b"a ticket").unwrap();
        wire.much = true;
        assert_eq!(sends(&mut wire), [8 + RECORD, 4 * RECORD]);
        assert_eq!(pool.free(), pool.capacity());
    }
}
