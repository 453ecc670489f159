//! How a handshake gets what only a card can do: in the loop, by a job that the card pauses, or in a helper thread.

use super::{At, Pulled, Session};
use crate::queue::Queue;
use crate::tls::ffi;
use crate::tls::server::Certificates;
use crate::tls::stream::{Step, Stream, describe};
use openssl::ssl::{ErrorCode, SslVersion};
use ounce_mem::{Buf, PAGE_BYTES, Pool};

/// Bytes that a client may send while its handshake waits: it has little to say before it has been answered, and more where
/// it does so in the middle of a connection.
const KEPT_BYTES_MAX: usize = 32 * 1024;
const KEPT_BYTES_MAX_LATER: usize = 512 * 1024;

/// They are kept in blocks of so many, so that the pool's pages go back.
const KEPT_BLOCK_BYTES: usize = 1024;

/// After so many pauses of one connection its descriptors, which are ready all the time, are not believed any more.
const PAUSES_MAX: u32 = 64;

/// Where what only a card can do is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(in crate::tls) enum Manner {
    /// In the loop.
    #[default]
    Here,
    /// In an asynchronous job, which the card pauses.
    Job,
    /// In a helper thread, since the card pauses nothing.
    Thread,
}

/// What a handshake waits for besides its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Waiting {
    #[default]
    Nothing,
    /// Its card. Nothing may be called on it until that is ready, nor may it be freed.
    Card,
    /// A job.
    Job,
}

/// What a connection has to do with cards.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::tls) struct Asking {
    pub(in crate::tls) manner: Manner,
    /// How long a card may take for one handshake.
    pub(in crate::tls) patience_us: u64,
    /// Software can do what the card does.
    pub(in crate::tls) replaceable: bool,
    waiting: Waiting,
    /// The library has seen the first of it.
    begun: bool,
    /// How often a card has paused it.
    pauses: u32,
    /// It has waited already.
    waited: bool,
    /// What is to come is another handshake of the same connection.
    later: bool,
    /// Bytes that came while it waited.
    kept_bytes: usize,
    answered: Option<bool>,
}

impl Asking {
    /// The library has seen the first of it.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// A card has a part in it.
    fn has_card(&self) -> bool {
        self.manner != Manner::Here || self.replaceable
    }

    /// Keeps what a peer sends while nobody can read it, up to a bound.
    pub(super) fn keep(&mut self, input: &mut Queue, buf: &Buf) {
        self.kept_bytes += buf.len();
        let mut rest: &[u8] = buf;
        while !rest.is_empty() && !self.is_flooded() {
            if input.back().is_none_or(|last| last.is_page() || last.room() == 0) {
                input.push_back(Buf::heap(if self.later { PAGE_BYTES } else { KEPT_BLOCK_BYTES }));
            }
            let Some(last) = input.back_mut() else { return };
            let (part, more) = rest.split_at(rest.len().min(last.room()));
            let pushed = last.push(part);
            debug_assert!(pushed, "no more than there is room for");
            rest = more;
        }
    }

    /// Room for what is read while hands are shaken anew; none once they have been, and what follows is for the loop.
    fn room_beside_handshake(&self, stream: &mut Stream) -> Option<Buf> {
        let over = stream.is_at_rest();
        let gate = stream.ssl.get_mut().gate.as_mut()?;
        if !over || !gate.is_between() {
            return Some(stream.plain.take().unwrap_or_else(|| Buf::heap(PAGE_BYTES)));
        }
        gate.set_open(false);
        stream.let_pause(false);
        None
    }

    /// What comes from here on can be read.
    fn waits_no_more(&mut self) {
        self.waiting = Waiting::Nothing;
        if !self.is_flooded() {
            self.kept_bytes = 0;
        }
    }

    /// The peer sent more than a handshake takes.
    pub(super) fn is_flooded(&self) -> bool {
        self.kept_bytes > if self.later { KEPT_BYTES_MAX_LATER } else { KEPT_BYTES_MAX }
    }
}

/// What a handshake has shown of its card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Learnt {
    /// It did its part, or failed to.
    pub(crate) answered: bool,
    /// Software can do that part.
    pub(crate) replaceable: bool,
}

/// A stream on its way to a helper thread or back.
pub(crate) struct Errand(ffi::Courier);

impl Errand {
    /// One step of the handshake: what a helper thread does.
    pub(crate) fn run(mut self) -> Errand {
        self.0.stream().step();
        self
    }
}

impl Session {
    /// How long a card may take for it.
    pub(crate) fn patience_us(&self) -> u64 {
        self.asking.patience_us
    }

    /// Software can do what its card does.
    pub(crate) fn is_replaceable(&self) -> bool {
        self.asking.replaceable
    }

    /// A card has it: nothing but its answer frees it.
    pub(crate) fn is_paused(&self) -> bool {
        self.asking.waiting == Waiting::Card
    }

    /// It waits for a job.
    pub(crate) fn is_crowded(&self) -> bool {
        self.asking.waiting == Waiting::Job
    }

    /// Nobody can read what comes in now.
    pub(super) fn waits(&self) -> bool {
        self.asking.waiting != Waiting::Nothing || matches!(self.at, At::Away { .. })
    }

    /// What comes in next is for its handshake, and can be looked at.
    pub(crate) fn is_shaking(&self) -> bool {
        let anew = matches!(&self.at, At::Here(stream) if stream.plain.is_some());
        !(self.over || self.waits()) && (!self.established || anew)
    }

    /// The library has seen nothing of it yet.
    pub(crate) fn is_fresh(&self) -> bool {
        !(self.asking.begun || self.over || matches!(self.at, At::Away { .. }))
    }

    /// Says once that it waits.
    pub(crate) fn waits_first(&mut self) -> bool {
        !std::mem::replace(&mut self.asking.waited, true)
    }

    /// What was learnt of the card since this was last asked.
    pub(crate) fn learnt(&mut self) -> Option<Learnt> {
        let replaceable = self.asking.replaceable;
        self.asking.answered.take().map(|answered| Learnt { answered, replaceable })
    }

    /// Begins anew with other certificates, if the library has not seen anything of it.
    pub(crate) fn begin_anew(&mut self, certificates: &Certificates, pool: &Pool) {
        if !self.is_fresh() {
            return;
        }
        let Some(mut fresh) = Session::accept(certificates, pool) else { return };
        if let (Some(wire), Some(old)) = (fresh.wire(), self.wire()) {
            wire.input.append(&mut old.input);
            wire.ended = old.ended;
        }
        fresh.asking.kept_bytes = self.asking.kept_bytes;
        *self = fresh;
    }

    /// One step of the handshake, or what became of the one that a helper thread took. `resumed`: a card had paused it.
    pub(super) fn shake_hands(&mut self, resumed: bool) -> Pulled {
        let At::Here(stream) = &mut self.at else { return Pulled::Nothing };
        if stream.stepped.is_none() {
            stream.step();
        }
        let Some(stepped) = stream.stepped.take() else { return Pulled::Nothing };
        self.asking.begun |= !matches!(stepped, Step::NoJob);
        let ssl = stream.ssl.ssl();
        match stepped {
            Step::Done => {
                // What follows is sealed and unsealed here; a job for each record would cost more than it.
                stream.let_pause(false);
                if self.asking.has_card() && !ssl.session_reused() {
                    self.asking.answered = Some(true);
                }
                self.established = true;
                self.asking.later = true;
                let secure = describe(ssl);
                if self.asking.manner != Manner::Here && ssl.version2() != Some(SslVersion::TLS1_3) {
                    stream.ssl.get_mut().gate = Some(Box::default());
                }
                Pulled::Established(Box::new(secure))
            }
            Step::Read => {
                let plain = stream.plain.take();
                stream.plain = self.asking.room_beside_handshake(stream);
                plain.map_or(Pulled::Nothing, Pulled::Plain)
            }
            Step::Paused => {
                self.asking.waiting = Waiting::Card;
                Pulled::Paused
            }
            Step::NoJob => {
                self.asking.waiting = Waiting::Job;
                Pulled::Crowded
            }
            Step::Stopped { code, card } => {
                // Our signature comes before the client's certificate: with that here, it is the client's that is bad.
                let ours = !ssl.is_server() || ssl.peer_certificate().is_none();
                if card && self.asking.has_card() && ours {
                    self.asking.answered = Some(false);
                } else if resumed {
                    self.asking.answered = Some(true);
                    // A server signs once: in TLS 1.3, what is left needs neither card nor job.
                    if ssl.version2() == Some(SslVersion::TLS1_3) {
                        stream.let_pause(false);
                    }
                }
                if !matches!(code, ErrorCode::WANT_READ) {
                    stream.tell_plain_http();
                } else if stream.plain.is_some() {
                    stream.plain = self.asking.room_beside_handshake(stream);
                }
                self.stopped(code)
            }
        }
    }

    /// Begins a handshake in the middle of a connection, which a card has a part in as in the first.
    pub(super) fn shake_hands_anew(&mut self) -> Pulled {
        let At::Here(stream) = &mut self.at else { return Pulled::Nothing };
        stream.plain = Some(Buf::heap(PAGE_BYTES));
        self.asking.waited = false;
        stream.let_pause(self.asking.manner == Manner::Job);
        if let Some(gate) = &mut stream.ssl.get_mut().gate {
            gate.set_open(true);
        }
        if self.asking.manner == Manner::Thread { Pulled::Elsewhere } else { self.shake_hands(false) }
    }

    /// Descriptors that show that the card has something for a handshake that it has just paused. None, if that has to be
    /// found out by trying.
    pub(crate) fn awaited(&mut self) -> Vec<i32> {
        self.asking.pauses += 1;
        match &self.at {
            At::Here(_) if self.asking.pauses > PAUSES_MAX => Vec::new(),
            At::Here(stream) => ffi::awaited(stream.ssl.ssl()),
            At::Away { .. } | At::Gone => Vec::new(),
        }
    }

    /// Goes on with a handshake whose card, or whose turn for a job, has come. Also when it has failed meanwhile: what a
    /// card has begun has to be driven to its end.
    pub(crate) fn go_on(&mut self) -> Pulled {
        let (paused, over) = (self.is_paused(), self.over);
        self.asking.waits_no_more();
        if over && !paused {
            return Pulled::Nothing;
        }
        let pulled = self.shake_hands(paused);
        // Nobody asks any more what became of it.
        if over && !self.is_paused() { Pulled::Nothing } else { pulled }
    }

    /// It is of no use any more, whatever the card says.
    pub(crate) fn give_up(&mut self) {
        self.over = true;
    }

    /// Gives the stream away for one step in a helper thread.
    pub(crate) fn leave(&mut self) -> Option<Errand> {
        let away = At::Away { input: Queue::default(), ended: false, unsent: Queue::default() };
        let mut stream = match std::mem::replace(&mut self.at, away) {
            At::Here(stream) => stream,
            other => {
                self.at = other;
                return None;
            }
        };
        let wire = stream.ssl.get_mut();
        wire.pool = None;
        for buf in wire.input.iter_mut().chain(wire.output.iter_mut()).filter(|buf| buf.is_page()) {
            *buf = Buf::heap_from(buf);
        }
        ffi::Courier::of(stream).map(Errand)
    }

    /// Takes the stream back.
    pub(crate) fn come_back(&mut self, errand: Errand, pool: &Pool) {
        let mut stream = errand.0.arrived();
        if let At::Away { input, ended, unsent } = &mut self.at {
            let wire = stream.ssl.get_mut();
            wire.pool = Some(pool.clone());
            wire.input.append(input);
            wire.ended |= *ended;
            // What was on its way goes on first.
            unsent.append(&mut wire.output);
            std::mem::swap(unsent, &mut wire.output);
            self.at = At::Here(stream);
            self.asking.waits_no_more();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Freed while its card has it, it would leave the card with a descriptor and a stack that are gone. Workers drive
        // such sessions to their end; only one that ends with its process comes here.
        if self.is_paused() {
            std::mem::forget(std::mem::replace(&mut self.at, At::Gone));
        }
    }
}
