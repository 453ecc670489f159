//! One connection's TLS: ciphertext in and out by buffers, plaintext for the core.

mod handshake;

pub(super) use handshake::{Asking, Manner};
pub(crate) use handshake::{Errand, Learnt};

use super::client::Dialer;
use super::server::Certificates;
use super::stream::{Stream, UNASKED_MAX, Wire};
use crate::queue::Queue;
use openssl::ssl::{ErrorCode, Ssl, SslVerifyMode};
use openssl::x509::X509VerifyResult;
use ounce_core::Secure;
use ounce_mem::{Buf, PAGE_BYTES, Pool};

/// How often a client that may renegotiate may do so within [`RENEGOTIATIONS_US`] of being served, and before it is: each time
/// costs us a signature, and it a few bytes.
const RENEGOTIATIONS_MAX: u32 = 5;

/// See [`RENEGOTIATIONS_MAX`].
const RENEGOTIATIONS_US: u64 = 60_000_000;

/// Plaintext of a record at the beginning: with its margins it fits into one packet, so that the client can use what
/// came without waiting for the rest.
const RECORD_SMALL: usize = 1369;

/// Plaintext of a record later on, the most there can be.
const RECORD_LARGE: usize = 16 * 1024;

/// How much goes out in small records: about as much as a new connection may send before it hears from the other side.
const SMALL_BYTES: usize = 40 * 1024;

/// After so long a silence a connection is as good as new.
const IDLE_US: u64 = 1_000_000;

/// A peer that takes what it is sent within so long is worth a sheet. There are few of them, and a slow peer would keep one.
const QUICK_US: u64 = 10_000;

/// What a connection has for the core.
pub enum Pulled {
    /// The handshake is over.
    Established(Box<Secure>),
    /// Plaintext, never empty.
    Plain(Buf),
    /// Nothing for now.
    Nothing,
    /// A card has paused the handshake: it goes on when one of [`Session::awaited`] is ready.
    Paused,
    /// There is no job for the handshake now: it goes on when another has ended.
    Crowded,
    /// The next step is for a helper thread ([`Session::leave`]).
    Elsewhere,
    /// The peer has sent its last byte.
    End,
    /// No more will come, and nothing says that this was all.
    Truncated,
    /// The certificate of the backend is not to be trusted, for this reason; an alert may have to go out.
    Untrusted(&'static str),
    /// The connection is of no use any more; an alert may have to go out.
    Failed,
}

/// Where a session's stream is.
enum At {
    Here(Stream),
    /// With a helper thread; what came in meanwhile, and what was not sent whole.
    Away {
        input: Queue,
        ended: bool,
        unsent: Queue,
    },
    /// Given up while its card had it.
    Gone,
}

/// One connection's TLS.
pub struct Session {
    at: At,
    asking: Asking,
    established: bool,
    /// Nothing more is read: it ended or failed.
    over: bool,
    /// How reading stopped behind what was pulled last.
    next: Option<ErrorCode>,
    /// Bytes that went out since the last silence, if records are to grow; not towards backends.
    grown: Option<usize>,
    /// When something went out last.
    pushed_us: u64,
    renegotiations: Renegotiations,
}

/// What there was of handshakes after the first.
#[derive(Default)]
struct Renegotiations {
    /// One is under way.
    going: bool,
    /// How many there were since `since_us`.
    count: u32,
    since_us: u64,
}

impl Renegotiations {
    /// Sees whether one is under way. True if it is one too many.
    fn see(&mut self, going: bool) -> bool {
        self.count += u32::from(going && !self.going);
        self.going = going;
        self.count > RENEGOTIATIONS_MAX
    }

    /// The client is being served: what is long past is forgotten.
    fn served(&mut self, now_us: u64) {
        if now_us.saturating_sub(self.since_us) > RENEGOTIATIONS_US {
            (self.count, self.since_us) = (0, now_us);
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("established", &self.established).finish_non_exhaustive()
    }
}

impl Session {
    /// The server's side of a connection that has just been accepted; `None` if OpenSSL has no memory for it.
    pub fn accept(certificates: &Certificates, pool: &Pool) -> Option<Session> {
        let mut ssl = Ssl::new(certificates.handshakes()).ok()?;
        ssl.set_accept_state();
        let mut session = Session::new(ssl, certificates.asking(), pool)?;
        session.grown = Some(0);
        Some(session)
    }

    /// Our side of a connection to a backend, which begins with [`Session::pull`]; `None` as above.
    pub(crate) fn connect(dialer: &Dialer, pool: &Pool) -> Option<Session> {
        let mut ssl = dialer.connection().ok()?;
        ssl.set_connect_state();
        Session::new(ssl, dialer.asking(), pool)
    }

    fn new(ssl: Ssl, asking: Asking, pool: &Pool) -> Option<Session> {
        let stream = Stream::new(ssl, pool)?;
        stream.let_pause(asking.manner == Manner::Job);
        Some(Session {
            at: At::Here(stream),
            asking,
            established: false,
            over: false,
            next: None,
            grown: None,
            pushed_us: 0,
            renegotiations: Renegotiations::default(),
        })
    }

    /// The handshake is over.
    pub fn is_established(&self) -> bool {
        self.established
    }

    fn wire(&mut self) -> Option<&mut Wire> {
        match &mut self.at {
            At::Here(stream) => Some(stream.ssl.get_mut()),
            At::Away { .. } | At::Gone => None,
        }
    }

    /// Takes ciphertext that came in.
    pub fn received(&mut self, buf: Buf) {
        let waits = self.waits();
        let input = match &mut self.at {
            _ if self.over => return,
            At::Here(stream) => &mut stream.ssl.get_mut().input,
            At::Away { input, .. } => input,
            At::Gone => return,
        };
        if waits { self.asking.keep(input, &buf) } else { input.push_back(buf) }
    }

    /// No more ciphertext will come.
    pub fn ended(&mut self) {
        match &mut self.at {
            At::Here(stream) => stream.ssl.get_mut().ended = true,
            At::Away { ended, .. } => *ended = true,
            At::Gone => {}
        }
    }

    /// Works on what came in.
    pub fn pull(&mut self) -> Pulled {
        if self.over || self.waits() {
            return Pulled::Nothing;
        }
        if self.asking.is_flooded() {
            self.over = true;
            return Pulled::Failed;
        }
        let At::Here(stream) = &mut self.at else { return Pulled::Nothing };
        let shakes = !self.established || stream.plain.is_some();
        // Our first words need no card, and nothing comes before them.
        let begins = !(stream.ssl.ssl().is_server() || self.asking.has_begun());
        if shakes && stream.stepped.is_none() && self.asking.manner == Manner::Thread && !begins {
            return if stream.has_input() { Pulled::Elsewhere } else { Pulled::Nothing };
        }
        stream.ssl.get_mut().reading = true;
        let pulled = if shakes { self.shake_hands(false) } else { self.read() };
        let Some(wire) = self.wire() else { return pulled };
        wire.reading = false;
        if wire.unasked > UNASKED_MAX {
            return self.stopped(ErrorCode::SSL);
        }
        // The library carries it out while it reads, and waits for the client at least once in it.
        let finished = matches!(&self.at, At::Here(stream) if stream.ssl.ssl().is_init_finished());
        if !self.over && self.renegotiations.see(self.established && !finished) {
            return self.stopped(ErrorCode::SSL);
        }
        pulled
    }

    fn read(&mut self) -> Pulled {
        if let Some(code) = self.next.take() {
            return self.stopped(code);
        }
        let At::Here(stream) = &mut self.at else { return Pulled::Nothing };
        // The library reads no more than it can use: with nothing here, and nothing of a record left there, it would
        // only take its time to say so.
        if !stream.has_input() && stream.ssl.ssl().pending() == 0 {
            return Pulled::Nothing;
        }
        let mut plain = stream.ssl.get_ref().page();
        // As many records as fit: a page for each would be much for a peer that sends small ones.
        loop {
            if let Err(error) = plain.fill(|room| stream.ssl.ssl_read(room)) {
                if plain.is_empty() {
                    let met = stream.ssl.get_ref().gate.as_ref().is_some_and(|gate| gate.is_met());
                    return if met { self.shake_hands_anew() } else { self.stopped(error.code()) };
                }
                self.next = Some(error.code()).filter(|code| *code != ErrorCode::WANT_READ);
                return Pulled::Plain(plain);
            }
            let more = !stream.ssl.get_ref().input.is_empty() || stream.ssl.ssl().pending() > 0;
            if plain.room() == 0 || !more {
                return Pulled::Plain(plain);
            }
        }
    }

    fn stopped(&mut self, code: ErrorCode) -> Pulled {
        let At::Here(stream) = &mut self.at else { return Pulled::Failed };
        let wire = stream.ssl.get_mut();
        if code == ErrorCode::WANT_READ && !wire.ended {
            return Pulled::Nothing;
        }
        self.over = true;
        wire.input.clear();
        if code == ErrorCode::ZERO_RETURN {
            return Pulled::End;
        }
        if self.established {
            return if wire.ended { Pulled::Truncated } else { Pulled::Failed };
        }
        // The library looks at every certificate, also where nobody wants to know.
        let verified = stream.ssl.ssl().verify_mode().contains(SslVerifyMode::PEER);
        match stream.ssl.ssl().verify_result() {
            reason if verified && reason != X509VerifyResult::OK => Pulled::Untrusted(reason.error_string()),
            _ => Pulled::Failed,
        }
    }

    /// Says how much is about to be pushed, now that all that was pushed before has gone out.
    pub fn announce(&mut self, bytes: usize, now_us: u64) {
        let since_us = now_us.saturating_sub(self.pushed_us);
        if since_us >= IDLE_US {
            self.grown = self.grown.map(|_| 0);
        }
        self.pushed_us = now_us;
        self.renegotiations.served(now_us);
        if let Some(wire) = self.wire() {
            wire.much = bytes > PAGE_BYTES && since_us < QUICK_US;
        }
    }

    /// Seals plaintext; false if the session is of no use any more.
    pub fn push(&mut self, mut plain: &[u8]) -> bool {
        let At::Here(stream) = &mut self.at else { return plain.is_empty() };
        while !plain.is_empty() {
            let small = self.grown.is_some_and(|grown| grown < SMALL_BYTES);
            let record = &plain[..plain.len().min(if small { RECORD_SMALL } else { RECORD_LARGE })];
            match stream.ssl.ssl_write(record) {
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
        match &self.at {
            // What is written while hands are shaken anew has to wait until they are.
            At::Here(_) if self.waits() => false,
            At::Here(stream) if !stream.is_at_rest() => false,
            At::Here(stream) => stream.ssl.get_ref().has_room(),
            At::Away { .. } | At::Gone => false,
        }
    }

    /// Says that nothing more will be sent (close_notify, RFC 8446 6.1).
    pub fn finish(&mut self) {
        if let (true, At::Here(stream)) = (self.established && !self.waits(), &mut self.at) {
            // Whatever comes of it, the connection closes next.
            let _ = stream.ssl.shutdown();
        }
    }

    /// Takes back ciphertext of which only a part was sent.
    pub fn put_back(&mut self, rest: Buf) {
        match &mut self.at {
            At::Here(stream) => stream.ssl.get_mut().output.push_front(rest),
            At::Away { unsent, .. } => unsent.push_front(rest),
            At::Gone => {}
        }
    }

    /// Ciphertext that is to be sent next.
    pub fn output(&mut self) -> Option<Buf> {
        let wire = match &mut self.at {
            At::Here(stream) => stream.ssl.get_mut(),
            At::Away { unsent, .. } => return unsent.pop_front(),
            At::Gone => return None,
        };
        let next = wire.output.pop_front();
        if next.is_none() {
            wire.unasked = 0;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renegotiations_are_few_in_a_row_and_more_with_time() {
        let mut seen = Renegotiations::default();
        let renegotiate = |seen: &mut Renegotiations| {
            let first = seen.see(true);
            assert_eq!(seen.see(true), first, "the same one");
            seen.see(false) || first
        };
        for _ in 0..RENEGOTIATIONS_MAX {
            assert!(!renegotiate(&mut seen));
        }
        assert!(renegotiate(&mut seen));
        let mut seen = Renegotiations::default();
        for minute in 1..100 {
            seen.served(minute * (RENEGOTIATIONS_US + 1));
            assert!(!renegotiate(&mut seen));
        }
    }
}
