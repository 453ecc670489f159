//! How operations of the simulation end: what is possible now, and what chance makes of it.

use super::stream::Found;
use super::world::{BACKLOG, Listener, Object, Waits, World};
use crate::errno::Errno;
use crate::ring::{Completion, Fd, Outcome};
use crate::socket::Address;
use ounce_mem::{Buf, Pool};

/// Results of one operation in one turn, at most.
const SHOTS_PER_TURN: usize = 16;

/// How long an operation that could end is kept, at most.
const LATE_US: u64 = 3_000;

/// How connecting fails when nothing is known to be wrong.
const CONNECT_FAILURES: [i32; 6] = [
    libc::ECONNREFUSED,
    libc::ETIMEDOUT,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
    libc::ECONNRESET,
    libc::EADDRNOTAVAIL,
];

impl World {
    /// Lets arrive what is due and ends what can end.
    pub(super) fn step(&mut self, pool: &Pool) {
        self.arrive();
        let mut order: Vec<u64> = self.flights.keys().copied().collect();
        if self.random.chance(self.faults.reorder) {
            self.random.shuffle(&mut order);
        }
        for key in order {
            self.go_on(key, pool);
        }
    }

    pub(super) fn arrive(&mut self) {
        let (random, drops) = (&mut self.random, self.faults.reset_drops);
        self.streams.deliver(self.now_us, || random.chance(drops));
    }

    /// Ends an operation, or lets it give some results.
    fn go_on(&mut self, key: u64, pool: &Pool) {
        for _ in 0..SHOTS_PER_TURN {
            let Some(flight) = self.flights.get(&key) else { return };
            let (cancelled, possible) = (flight.cancelled, self.possible(key));
            if flight.not_before > self.now_us || !(possible || cancelled) {
                return;
            }
            if self.random.chance(self.faults.late) {
                let until = self.now_us + 1 + self.random.below(LATE_US);
                if let Some(flight) = self.flights.get_mut(&key) {
                    flight.not_before = until;
                }
                return;
            }
            let raced = !cancelled || self.random.chance(self.faults.cancel_race);
            match if possible && raced { self.outcome(key, pool) } else { None } {
                Some((outcome, more)) => self.post(key, outcome, more),
                None if cancelled => {
                    let buf = self.take_buf(key);
                    self.post(key, Outcome::Cancelled(buf), false);
                }
                None => return,
            }
        }
    }

    fn post(&mut self, key: u64, outcome: Outcome, more: bool) {
        let Some(token) = self.flights.get(&key).map(|flight| flight.token) else { return };
        if !more {
            self.flights.remove(&key);
        }
        self.posted.push_back(Completion { token, outcome, more });
    }

    fn take_buf(&mut self, key: u64) -> Option<Buf> {
        match &mut self.flights.get_mut(&key)?.waits {
            Waits::Send(buf) => buf.take(),
            _ => None,
        }
    }

    /// Whether a kernel could end this operation, or get a result of it, now.
    fn possible(&self, key: u64) -> bool {
        let Some(flight) = self.flights.get(&key) else { return false };
        match (&flight.waits, self.object(flight.fd)) {
            (Waits::Accept, Some(Object::Listener(at))) => self.acceptable(*at),
            (Waits::Connect(to), _) => !self.blackholes.contains(to) && !self.is_crowded(to),
            (Waits::Receive(_), Some(Object::Stream(end))) => self.streams.readable(*end),
            (Waits::Send(_), Some(Object::Stream(end))) => self.streams.writable(*end),
            (Waits::Poll(interest), _) => self.is_ready(flight.fd, *interest),
            _ => false,
        }
    }

    /// What it ends as, and whether it goes on.
    fn outcome(&mut self, key: u64, pool: &Pool) -> Option<(Outcome, bool)> {
        let flight = self.flights.get(&key)?;
        let (fd, object) = (flight.fd, self.object(flight.fd)?.clone());
        let to = if let Waits::Connect(to) = &flight.waits { Some(to.clone()) } else { None };
        match (&flight.waits, object) {
            (Waits::Accept, Object::Listener(at)) => self.accepted(at),
            (Waits::Receive(left), Object::Stream(end)) => {
                let left = *left;
                self.received(key, end, left, pool)
            }
            (Waits::Send(_), Object::Stream(end)) => self.sent(key, end),
            (Waits::Poll(_), _) => Some((Outcome::Ready, false)),
            _ => Some((self.connected(fd, &to?), false)),
        }
    }

    fn accepted(&mut self, listener: usize) -> Option<(Outcome, bool)> {
        if self.random.chance(self.faults.accept_fails) {
            return Some((Outcome::Failed(Errno(libc::EMFILE), None), false));
        }
        let (_, end) = self.near[listener].queue.pop_front()?;
        let fd = self.open(Object::Stream(end));
        Some((Outcome::Accepted(fd), !self.random.chance(self.faults.shot_ends)))
    }

    fn received(&mut self, key: u64, end: u64, left: usize, pool: &Pool) -> Option<(Outcome, bool)> {
        self.maybe_sever(end);
        let page = if self.random.chance(self.faults.no_buffers) { None } else { pool.take() };
        let Some(mut page) = page else { return Some((Outcome::NoBuffers, false)) };
        let most = page.room().min(self.streams.available(end)).max(1);
        let most = self.part(most, self.faults.short_receive);
        match self.streams.read(end, most) {
            Found::Bytes(bytes) => {
                assert!(page.push(&bytes), "no more was read than there was room for");
                let left = left.saturating_sub(bytes.len());
                if let Some(flight) = self.flights.get_mut(&key) {
                    flight.waits = Waits::Receive(left);
                }
                let goes_on = left > 0 && !self.random.chance(self.faults.shot_ends);
                Some((Outcome::Received(page), goes_on))
            }
            Found::End => Some((Outcome::Eof, false)),
            Found::Error(errno) => Some((Outcome::Failed(errno, None), false)),
            Found::Nothing => None,
        }
    }

    fn sent(&mut self, key: u64, end: u64) -> Option<(Outcome, bool)> {
        self.maybe_sever(end);
        let buf = self.take_buf(key)?;
        let most = self.streams.room(end).min(buf.len()).max(1);
        let count = self.part(most, self.faults.short_send);
        let due = self.due();
        let outcome = match self.streams.write(end, &buf[..count], due) {
            Ok(()) => Outcome::Sent(buf, count),
            Err(errno) => Outcome::Failed(errno, Some(buf)),
        };
        Some((outcome, false))
    }

    fn connected(&mut self, fd: Fd, to: &Address) -> Outcome {
        if self.random.chance(self.faults.connect_fails) {
            let which = self.random.below(CONNECT_FAILURES.len() as u64) as usize;
            return Outcome::Failed(Errno(CONNECT_FAILURES[which]), None);
        }
        let due = self.now_us;
        let own = self.client_address(to);
        let listeners = if find(&self.far, to).is_some() { &mut self.far } else { &mut self.near };
        let Some(at) = find(listeners, to) else {
            return Outcome::Failed(Errno(libc::ECONNREFUSED), None);
        };
        let (near, far) = self.streams.pair(own, to.clone());
        listeners[at].queue.push_back((due, far));
        self.become_stream(fd, near);
        Outcome::Connected
    }

    /// The queue of who listens there is full: the connect goes on waiting.
    fn is_crowded(&self, to: &Address) -> bool {
        find(&self.far, to).is_some_and(|at| self.far[at].queue.len() >= BACKLOG)
    }

    fn maybe_sever(&mut self, end: u64) {
        if self.random.chance(self.faults.reset) {
            let due = self.due();
            self.streams.sever(end, due);
        }
    }

    /// A fresh address for who connects there.
    pub(super) fn client_address(&mut self, to: &Address) -> Address {
        self.clients += 1;
        match to {
            Address::Inet(_) => {
                let [_, a, b, c] = self.clients.to_be_bytes();
                let port = 1024 + (self.clients % 60_000) as u16;
                Address::Inet((std::net::Ipv4Addr::new(10, a, b, c), port).into())
            }
            Address::Unix(_) => Address::Unix(std::path::PathBuf::new()),
        }
    }

    /// The next time at which something may happen by itself.
    pub(super) fn next_event(&self) -> Option<u64> {
        let later = |time: &u64| *time > self.now_us;
        let kept = self.flights.values().map(|flight| flight.not_before).filter(later);
        let listeners = self.near.iter().chain(&self.far);
        let queued =
            listeners.filter_map(|listener| listener.queue.front()).map(|(due, _)| *due).filter(later);
        kept.chain(queued).chain(self.streams.next_arrival()).chain(self.wake_us.filter(later)).min()
    }
}

/// The open listener at this address.
pub(super) fn find(listeners: &[Listener], at: &Address) -> Option<usize> {
    listeners.iter().position(|listener| listener.open && listener.address == *at)
}
