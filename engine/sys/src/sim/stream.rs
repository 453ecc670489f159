//! Virtual connections: bytes under way, bytes arrived, ends and resets.

use super::random::Random;
use crate::errno::Errno;
use crate::socket::Address;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What travels one way of a connection.
enum Segment {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// One end of a connection, with what is on its way to it.
struct End {
    peer: u64,
    local: Address,
    remote: Address,
    /// In order of arrival.
    transit: VecDeque<Segment>,
    /// When the last of what was sent arrives.
    last_due: u64,
    transit_bytes: usize,
    arrived: VecDeque<u8>,
    fin_arrived: bool,
    /// The connection is broken; nothing goes either way.
    broken: bool,
    /// The break has not been told to anybody yet: the next call gets the error, later ones an end of file or EPIPE.
    error_untold: bool,
    write_shut: bool,
    closed: bool,
}

/// All connections.
pub(super) struct Streams {
    /// Numbers are never used twice, so that a handle to what is gone finds nothing.
    ends: BTreeMap<u64, End>,
    /// Times of arrival, with the end that something arrives at and a number that keeps equal times in order.
    arrivals: BTreeSet<(u64, u64, u64)>,
    next: u64,
    /// Segments so far.
    sent: u64,
    window: usize,
}

/// What a read found.
pub(super) enum Found {
    Bytes(Vec<u8>),
    Nothing,
    End,
    Error(Errno),
}

impl Streams {
    pub(super) fn new(window: usize) -> Streams {
        Streams { ends: BTreeMap::new(), arrivals: BTreeSet::new(), next: 1, sent: 0, window }
    }

    /// Makes a connection; the first end has the first address as its own.
    pub(super) fn pair(&mut self, left: Address, right: Address) -> (u64, u64) {
        let (a, b) = (self.next, self.next + 1);
        self.next += 2;
        self.ends.insert(a, End::new(b, left.clone(), right.clone()));
        self.ends.insert(b, End::new(a, right, left));
        (a, b)
    }

    fn end(&self, id: u64) -> Option<&End> {
        self.ends.get(&id)
    }

    /// Live connections' ends.
    pub(super) fn count(&self) -> usize {
        self.ends.values().filter(|end| !end.closed).count()
    }

    pub(super) fn local(&self, id: u64) -> Option<Address> {
        self.end(id).map(|end| end.local.clone())
    }

    /// As getpeername(2): a broken connection has no peer.
    pub(super) fn remote(&self, id: u64) -> Option<Address> {
        self.end(id).filter(|end| !end.broken).map(|end| end.remote.clone())
    }

    pub(super) fn is_broken(&self, id: u64) -> bool {
        self.end(id).is_none_or(|end| end.broken)
    }

    /// Bytes that a read would find now.
    pub(super) fn available(&self, id: u64) -> usize {
        self.end(id).map_or(0, |end| end.arrived.len())
    }

    /// A read would not wait.
    pub(super) fn readable(&self, id: u64) -> bool {
        self.end(id).is_none_or(|end| !end.arrived.is_empty() || end.fin_arrived || end.broken)
    }

    /// A write would not wait.
    pub(super) fn writable(&self, id: u64) -> bool {
        self.end(id).is_none_or(|end| end.broken) || self.room(id) > 0
    }

    /// Bytes that a write would take now: none until a quarter of the window is free, as a kernel does it, since
    /// otherwise a stream once full would go on byte by byte.
    pub(super) fn room(&self, id: u64) -> usize {
        let peer = self.end(id).and_then(|end| self.end(end.peer));
        match peer {
            Some(peer) => {
                let room = self.window.saturating_sub(peer.arrived.len() + peer.transit_bytes);
                if room >= self.window / 4 { room } else { 0 }
            }
            // The peer is gone and will answer with a reset: its kernel still takes bytes until then.
            None => self.window,
        }
    }

    /// When something arrives next.
    pub(super) fn next_arrival(&self) -> Option<u64> {
        self.arrivals.first().map(|(due, ..)| *due)
    }

    /// Lets everything arrive that is due. `drops` decides whether a reset takes away what had arrived.
    pub(super) fn deliver(&mut self, now: u64, mut drops: impl FnMut() -> bool) {
        while let Some((due, id, _)) = self.arrivals.first().copied().filter(|(due, ..)| *due <= now) {
            self.arrivals.pop_first();
            let Some(end) = self.ends.get_mut(&id) else { continue };
            let Some(segment) = end.transit.pop_front() else { continue };
            if end.arrive(segment, &mut drops) {
                self.send_reset(id, due.max(now));
            }
            self.bury(id);
        }
    }

    /// Takes an end away that nobody can use any more: closed on both sides, with nothing on its way.
    fn bury(&mut self, id: u64) {
        let Some(end) = self.ends.get(&id) else { return };
        let peer = end.peer;
        let peer_done = self.ends.get(&peer).is_none_or(|peer| peer.closed);
        if end.closed && end.transit.is_empty() && peer_done {
            self.ends.remove(&id);
            self.bury(peer);
        }
    }

    /// Reads up to `most` bytes.
    pub(super) fn read(&mut self, id: u64, most: usize) -> Found {
        let Some(end) = self.ends.get_mut(&id) else { return Found::Error(Errno(libc::ENOTCONN)) };
        if !end.arrived.is_empty() {
            let count = most.min(end.arrived.len());
            return Found::Bytes(end.arrived.drain(..count).collect());
        }
        if std::mem::take(&mut end.error_untold) {
            return Found::Error(Errno(libc::ECONNRESET));
        }
        if end.fin_arrived || end.broken { Found::End } else { Found::Nothing }
    }

    /// Writes bytes that there is room for; they arrive at `due`.
    pub(super) fn write(&mut self, id: u64, bytes: &[u8], due: u64) -> Result<(), Errno> {
        let Some(end) = self.ends.get_mut(&id) else { return Err(Errno(libc::ENOTCONN)) };
        if std::mem::take(&mut end.error_untold) {
            return Err(Errno(libc::ECONNRESET));
        }
        if end.broken || end.write_shut {
            return Err(Errno(libc::EPIPE));
        }
        self.travel(id, due, Segment::Bytes(bytes.to_vec()));
        Ok(())
    }

    /// Ends the outgoing direction.
    pub(super) fn shutdown_write(&mut self, id: u64, due: u64) {
        let Some(end) = self.ends.get_mut(&id) else { return };
        if !end.write_shut && !end.broken {
            end.write_shut = true;
            self.travel(id, due, Segment::Fin);
        }
    }

    /// Gives an end up. Unread bytes make it a reset, as TCP does it.
    pub(super) fn close(&mut self, id: u64, abort: bool, due: u64) {
        let Some(end) = self.ends.get(&id) else { return };
        if abort || !end.arrived.is_empty() {
            self.send_reset(id, due);
        } else {
            self.shutdown_write(id, due);
        }
        if let Some(end) = self.ends.get_mut(&id) {
            end.closed = true;
        }
        self.bury(id);
    }

    /// Breaks a connection for both ends at once, as a network that lost its memory of it.
    pub(super) fn sever(&mut self, id: u64, due: u64) {
        self.send_reset(id, due);
        if let Some(end) = self.ends.get_mut(&id) {
            end.break_off();
        }
    }

    fn send_reset(&mut self, id: u64, due: u64) {
        self.travel(id, due, Segment::Reset);
        if let Some(end) = self.ends.get_mut(&id) {
            end.broken = true;
        }
    }

    fn travel(&mut self, from: u64, due: u64, segment: Segment) {
        let Some(to) = self.end(from).map(|end| end.peer) else { return };
        let Some(peer) = self.ends.get_mut(&to) else { return };
        if let Segment::Bytes(bytes) = &segment {
            peer.transit_bytes += bytes.len();
        }
        // Nothing overtakes what was sent before it.
        let due = due.max(peer.last_due);
        peer.last_due = due;
        peer.transit.push_back(segment);
        self.sent += 1;
        self.arrivals.insert((due, to, self.sent));
    }
}

impl End {
    fn new(peer: u64, local: Address, remote: Address) -> End {
        End {
            peer,
            local,
            remote,
            transit: VecDeque::new(),
            last_due: 0,
            transit_bytes: 0,
            arrived: VecDeque::new(),
            fin_arrived: false,
            broken: false,
            error_untold: false,
            write_shut: false,
            closed: false,
        }
    }

    /// True if nobody wanted it and the sender must be told.
    fn arrive(&mut self, segment: Segment, drops: &mut impl FnMut() -> bool) -> bool {
        match segment {
            Segment::Bytes(bytes) => {
                self.transit_bytes -= bytes.len();
                if self.closed || self.broken {
                    return !self.broken;
                }
                self.arrived.extend(bytes);
            }
            Segment::Fin => self.fin_arrived = true,
            Segment::Reset => {
                if !self.broken {
                    self.break_off();
                }
                if drops() {
                    self.arrived.clear();
                }
            }
        }
        false
    }

    fn break_off(&mut self) {
        self.broken = true;
        self.error_untold = true;
    }
}

/// When something sent now arrives.
pub(super) fn due(now: u64, latency_us: u64, random: &mut Random) -> u64 {
    if latency_us == 0 { now } else { now + random.below(latency_us) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Streams, u64, u64) {
        let mut streams = Streams::new(10);
        let (a, b) = streams.pair(Address::Unix("a".into()), Address::Unix("b".into()));
        (streams, a, b)
    }

    fn bytes(found: Found) -> Vec<u8> {
        match found {
            Found::Bytes(bytes) => bytes,
            Found::Nothing => b"nothing".to_vec(),
            Found::End => b"end".to_vec(),
            Found::Error(errno) => errno.to_string().into_bytes(),
        }
    }

    /// Bytes arrive in order, when due, within the window, and before the end.
    #[test]
    fn bytes_then_end() {
        let (mut streams, a, b) = pair();
        streams.write(a, b"first", 20).unwrap();
        streams.write(a, b"then", 10).unwrap();
        streams.shutdown_write(a, 10);
        assert_eq!(streams.room(a), 0);
        streams.deliver(19, || false);
        assert!(!streams.readable(b));
        streams.deliver(20, || false);
        assert_eq!(bytes(streams.read(b, 6)), b"firstt");
        assert_eq!(bytes(streams.read(b, 6)), b"hen");
        assert_eq!(bytes(streams.read(b, 6)), b"end");
        assert_eq!(streams.write(a, b"x", 30), Err(Errno(libc::EPIPE)));
    }

    /// Bytes for an end that has closed come back as a reset, which is told once.
    #[test]
    fn bytes_after_close_reset() {
        let (mut streams, a, b) = pair();
        streams.close(b, false, 1);
        streams.deliver(1, || false);
        assert_eq!(bytes(streams.read(a, 9)), b"end");
        streams.write(a, b"late", 2).unwrap();
        streams.deliver(2, || false);
        streams.deliver(2, || false);
        assert_eq!(streams.write(a, b"x", 3), Err(Errno(libc::ECONNRESET)));
        assert_eq!(streams.write(a, b"x", 3), Err(Errno(libc::EPIPE)));
        assert_eq!(streams.remote(a), None);
        streams.close(a, false, 4);
        streams.deliver(4, || false);
        streams.deliver(4, || false);
        assert_eq!(streams.count(), 0);
    }

    /// An end that closes over unread bytes resets, and the reset may take what had arrived.
    #[test]
    fn close_over_unread_bytes() {
        for (drops, left) in [(false, "got"), (true, "Connection reset by peer (os error 104)")] {
            let (mut streams, a, b) = pair();
            streams.write(a, b"unread", 0).unwrap();
            streams.write(b, b"got", 0).unwrap();
            streams.deliver(0, || false);
            streams.close(b, false, 1);
            streams.deliver(1, || drops);
            assert_eq!(bytes(streams.read(a, 9)), left.as_bytes());
        }
    }
}
