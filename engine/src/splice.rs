//! Bodies that the kernel moves from socket to socket through a pipe.
//!
//! The ring waits for readiness and splice(2) is called from the loop: the ring's own splice operation always goes to a
//! kernel thread, which costs more than the copy it saves.
//!
//! A splice ends in one of these ways: as much as was asked has arrived in the sink; the source ended and all it sent
//! has arrived; one of the two broke; one of the two is being closed. Only in the last two cases are bytes lost.

use crate::socket::op;
use crate::worker::Worker;
use ounce_core::{Event, SpliceEnd};
use ounce_mem::Key;
use ounce_sys::errno::Errno;
use ounce_sys::ring::{Interest, Moved, Pipe, Ring};

/// System calls that one splice may make before the others get their turn.
const ROUNDS: usize = 16;

/// Empty pipes that are kept: each holds two descriptors.
const PIPES_KEPT_MAX: usize = 64;

/// Pipes that may be open at once: one for each eighth client, and some. The rest is copied, which costs less than
/// connections that get no descriptor.
pub(crate) fn pipes_max(clients_max: u32) -> u32 {
    clients_max / 8 + PIPES_KEPT_MAX as u32
}

/// One direction between two sockets.
#[derive(Debug)]
pub(crate) struct Splice {
    from: Key,
    to: Key,
    pipe: Pipe,
    /// Bytes in the pipe.
    held: usize,
    /// Bytes still to be taken from the source.
    left: u64,
    source_ended: bool,
    /// A poll is in flight, and the socket that it is on.
    polling: Option<(Key, u8)>,
    sink_full: bool,
    /// One of the sockets is being closed: end as soon as no poll is in flight.
    abandoned: bool,
    /// Bytes are left in the pipe that nobody wants.
    spoilt: bool,
}

/// What a round of moving came to.
enum Round {
    Again,
    AwaitSource,
    AwaitSink,
    End(SpliceEnd),
}

impl Splice {
    /// What to wait for after a round.
    fn held_up(&self, round: &Round) -> (Key, u8) {
        match round {
            Round::AwaitSink => (self.to, op::SINK),
            // The others first. A source may have no more to give when the pipe still has: then only the sink can wake
            // us up.
            Round::Again if self.held > 0 => (self.to, op::SINK),
            _ => (self.from, op::SOURCE),
        }
    }
}

impl<R: Ring> Worker<'_, R> {
    pub(crate) fn start_splice(&mut self, from: Key, to: Key, max: u64) {
        let Some(pipe) = self.take_pipe() else {
            self.pending.push_back((from, Event::SpliceEnded(SpliceEnd::NotBegun)));
            return;
        };
        let splice = Splice {
            from,
            to,
            pipe,
            held: 0,
            left: max,
            source_ended: false,
            polling: None,
            sink_full: false,
            abandoned: false,
            spoilt: false,
        };
        let index = match self.splices.iter().position(Option::is_none) {
            Some(index) => index,
            None => {
                self.splices.push(None);
                self.splices.len() - 1
            }
        };
        self.splices[index] = Some(splice);
        if let Some(source) = self.socket(from) {
            source.source_of = Some(index as u32);
        }
        if let Some(sink) = self.socket(to) {
            sink.sink_of = Some(index as u32);
        }
        self.move_on(index as u32);
    }

    fn take_pipe(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.pipes.pop() {
            return Some(pipe);
        }
        if self.pipes_open >= self.pipes_max {
            return None;
        }
        match self.ring.pipe() {
            Ok(pipe) => {
                self.pipes_open += 1;
                Some(pipe)
            }
            Err(error) => {
                let _ = self.fault(Errno::of(&error));
                None
            }
        }
    }

    /// A poll of a splice has ended.
    pub(crate) fn polled(&mut self, token: ounce_sys::ring::Token) {
        let Some(socket) = self.sockets.get_mut(token.slot as usize).and_then(Option::as_mut) else { return };
        socket.in_flight -= 1;
        let key = socket.key;
        let index = if token.op == op::SOURCE { socket.source_of } else { socket.sink_of };
        if let Some(index) = index
            && let Some(splice) = self.splices[index as usize].as_mut()
        {
            splice.polling = None;
            if splice.abandoned {
                self.end_splice(index);
            } else {
                self.move_on(index);
            }
        }
        self.close_if_joined(key);
    }

    /// Moves what can be moved, then waits for whichever side holds it up.
    fn move_on(&mut self, index: u32) {
        let Some(mut splice) = self.splices[index as usize].take() else { return };
        let mut moved = 0;
        let mut round = Round::Again;
        for _ in 0..ROUNDS {
            round = self.round(&mut splice, &mut moved);
            if !matches!(round, Round::Again) {
                break;
            }
        }
        let from = splice.from;
        let sink_full = matches!(round, Round::AwaitSink);
        if moved > 0 || sink_full != splice.sink_full {
            splice.sink_full = sink_full;
            self.pending.push_back((from, Event::Spliced { bytes: moved, sink_full }));
        }
        let held_up = splice.held_up(&round);
        self.splices[index as usize] = Some(splice);
        match (round, held_up) {
            (Round::End(end), _) => {
                self.end_splice(index);
                self.pending.push_back((from, Event::SpliceEnded(end)));
            }
            (_, (key, op)) => self.await_side(index, key, op),
        }
    }

    /// One pass over the pipe: in, then out.
    fn round(&mut self, splice: &mut Splice, moved: &mut u64) -> Round {
        let (Some(source), Some(sink)) =
            (self.socket(splice.from).map(|s| s.fd), self.socket(splice.to).map(|s| s.fd))
        else {
            return Round::End(SpliceEnd::SourceEnded);
        };
        let room = (splice.pipe.capacity - splice.held) as u64;
        let mut dry = false;
        if room > 0 && splice.left > 0 && !splice.source_ended {
            match self.ring.splice(source, splice.pipe.write, room.min(splice.left) as usize) {
                Ok(Moved::Bytes(bytes)) => {
                    splice.held += bytes;
                    splice.left -= bytes as u64;
                }
                Ok(Moved::End) if self.is_torn(splice.from) => {
                    return Round::End(SpliceEnd::SourceFailed(ounce_core::Fault::Reset));
                }
                Ok(Moved::End) => splice.source_ended = true,
                Ok(Moved::Nothing) => dry = true,
                Err(errno) => return Round::End(SpliceEnd::SourceFailed(self.fault(errno))),
            }
        }
        if splice.held > 0 {
            match self.ring.splice(splice.pipe.read, sink, splice.held) {
                Ok(Moved::Bytes(bytes)) => {
                    splice.held -= bytes;
                    *moved += bytes as u64;
                }
                Ok(Moved::Nothing) => return Round::AwaitSink,
                // A sink has no end to report.
                Ok(Moved::End) => return Round::End(SpliceEnd::SinkFailed(ounce_core::Fault::Reset)),
                // Who breaks off may have answered before. What it is still sent is dropped, as with sends.
                Err(errno) if self.is_heard_out(splice.to, errno) => {
                    *moved += std::mem::take(&mut splice.held) as u64;
                    splice.spoilt = true;
                    return Round::End(SpliceEnd::NotBegun);
                }
                Err(errno) => return Round::End(SpliceEnd::SinkFailed(self.fault(errno))),
            }
        }
        match () {
            () if splice.held > 0 => Round::Again,
            () if splice.left == 0 => Round::End(SpliceEnd::Complete),
            () if splice.source_ended => Round::End(SpliceEnd::SourceEnded),
            // An empty pipe takes all there is: what was called full was the pipe's count of segments.
            () if dry => Round::AwaitSource,
            () => Round::Again,
        }
    }

    /// A sink is broken, but is received from: that decides.
    fn is_heard_out(&mut self, key: Key, errno: Errno) -> bool {
        let Some(socket) = self.socket(key).filter(|socket| socket.is_heard()) else { return false };
        socket.break_off(errno);
        true
    }

    /// The end that this socket shows is none: a send was told of a reset. If that send's own end has not been told yet, as
    /// it may when both come in one turn, the kernel says whether there is a connection still; without one a send in flight
    /// cannot be but broken.
    fn is_torn(&mut self, key: Key) -> bool {
        let Some(socket) = self.socket(key) else { return false };
        let (torn, sending, fd) = (socket.torn, socket.sending, socket.fd);
        torn || (sending && self.ring.peer(fd).is_none())
    }

    fn await_side(&mut self, index: u32, key: Key, op: u8) {
        let Some(socket) = self.socket(key) else { return };
        socket.in_flight += 1;
        let (fd, token) = (socket.fd, socket.token(op));
        let interest = if op == op::SOURCE { Interest::Read } else { Interest::Write };
        self.ring.poll(fd, interest, token);
        if let Some(splice) = &mut self.splices[index as usize] {
            splice.polling = Some((key, op));
        }
    }

    /// One of its sockets is being closed.
    pub(crate) fn abandon_splice(&mut self, index: u32) {
        let Some(splice) = self.splices[index as usize].as_mut() else { return };
        splice.abandoned = true;
        match splice.polling {
            Some((key, op)) => {
                if let Some(token) = self.socket(key).map(|socket| socket.token(op)) {
                    self.ring.cancel(token);
                }
            }
            None => self.end_splice(index),
        }
    }

    /// Takes a splice out of the books. An empty pipe serves again; one with bytes in it must not.
    fn end_splice(&mut self, index: u32) {
        let Some(splice) = self.splices[index as usize].take() else { return };
        if let Some(source) = self.socket(splice.from) {
            source.source_of = None;
        }
        if let Some(sink) = self.socket(splice.to) {
            sink.sink_of = None;
        }
        if splice.held == 0 && !splice.spoilt && self.pipes.len() < PIPES_KEPT_MAX {
            self.pipes.push(splice.pipe);
        } else {
            self.pipes_open -= 1;
            self.ring.close(splice.pipe.read, false);
            self.ring.close(splice.pipe.write, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ounce_sys::ring::Fd;

    /// A turn may end with bytes in the pipe and nothing more to come: the source would never wake us up.
    #[test]
    fn bytes_in_the_pipe_wait_for_the_sink() {
        let key = |index| Key { index, generation: 1 };
        let pipe = Pipe { read: Fd(1), write: Fd(2), capacity: 65536 };
        let (from, to) = (key(1), key(2));
        let mut splice = Splice {
            from,
            to,
            pipe,
            held: 100,
            left: 0,
            source_ended: false,
            polling: None,
            sink_full: false,
            abandoned: false,
            spoilt: false,
        };
        assert_eq!(splice.held_up(&Round::Again), (to, op::SINK));
        assert_eq!(splice.held_up(&Round::AwaitSink), (to, op::SINK));
        (splice.held, splice.left) = (0, 100);
        assert_eq!(splice.held_up(&Round::Again), (from, op::SOURCE));
        assert_eq!(splice.held_up(&Round::AwaitSource), (from, op::SOURCE));
    }
}
