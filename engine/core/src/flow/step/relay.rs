//! Relay: body bytes, both ways.

use crate::core::{Core, Receiving};
use crate::effect::{Close, Effect, Effects};
use crate::event::Tick;
use crate::flow::client::End;
use crate::flow::exchange::{Exchange, Side, Step};
use crate::flow::stream::{Body, Stream};
use crate::http::h1::write;
use crate::limits;
use crate::observe::record::EndedBy;
use ounce_mem::{Buf, Counter, Key};

/// What became of a stream for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pumped {
    /// It waits for its source or its sink.
    Waiting,
    /// Everything has been given out.
    Done,
    /// The source ended before the body did.
    Short,
    /// The source's chunks are not well-formed.
    Malformed,
    /// The body is larger than it may be.
    TooLarge,
}

impl Core<'_> {
    /// Moves the request body on.
    pub(crate) fn upload(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        let takes = |key: &Key| self.sockets.get(*key).is_some_and(|socket| !socket.failed);
        let Some(upstream) = x.upstream.filter(takes).filter(|_| x.sent) else {
            return self.hold_client(x, fx);
        };
        let was_done = x.up.is_done();
        match self.pump(&mut x.up, x.client, upstream, fx) {
            Pumped::Done if x.step == Step::Tunnel => self.half_closed(x, Side::Client, was_done, tick, fx),
            Pumped::Done => self.hold_client(x, fx),
            Pumped::Waiting => {}
            Pumped::Short => self.abandon(x, tick, fx),
            Pumped::Malformed => self.refuse_body(x, 400, "malformed chunk", tick, fx),
            Pumped::TooLarge => self.refuse_body(x, 413, "MaxRequest", tick, fx),
        }
    }

    /// The request turned out bad after its head had gone to the backend, which must not take it for complete.
    fn refuse_body(&mut self, x: &mut Exchange, status: u16, why: &str, tick: Tick, fx: &mut Effects) {
        self.counters.add(Counter::Refusals, 1);
        x.record.ended_by = EndedBy::Client;
        if x.answered {
            return self.cut_short(x, why, tick, fx);
        }
        self.fail(x, status, why, tick, fx);
    }

    /// Nobody takes what the client sends now: the request is complete and it is pipelining, or there is no backend yet.
    /// It may do so up to a limit.
    fn hold_client(&mut self, x: &mut Exchange, fx: &mut Effects) {
        if self.sockets.get(x.client).is_some_and(|socket| socket.input.bytes() > limits::AHEAD_MAX) {
            self.pause(x.client, fx);
        } else if x.up.is_done() {
            // Also to learn that it has gone.
            self.receive_from(x.client, fx);
        }
    }

    /// Moves the response body on.
    pub(crate) fn download(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        if !matches!(x.step, Step::Relay | Step::Tunnel) {
            return;
        }
        let Some(upstream) = x.upstream else { return };
        let was_done = x.down.is_done();
        match self.pump(&mut x.down, upstream, x.client, fx) {
            Pumped::Done if x.step == Step::Tunnel => self.half_closed(x, Side::Upstream, was_done, tick, fx),
            Pumped::Done => self.finish(x, tick, fx),
            Pumped::Waiting => {}
            Pumped::Short => self.cut_short(x, "response ended early", tick, fx),
            Pumped::Malformed | Pumped::TooLarge => {
                self.spoiled(x, "malformed chunk in response", tick, fx);
            }
        }
    }

    /// The response turned out bad: while its head is held back the client can still be told.
    fn spoiled(&mut self, x: &mut Exchange, why: &str, tick: Tick, fx: &mut Effects) {
        if x.down.given {
            return self.cut_short(x, why, tick, fx);
        }
        x.down.held = None;
        x.answered = false;
        x.relayed = false;
        x.record.ended_by = EndedBy::Backend;
        self.fail(x, 503, why, tick, fx);
    }

    /// One side of a tunnel has ended: the other is told, and may still send.
    fn half_closed(&mut self, x: &mut Exchange, source: Side, told: bool, tick: Tick, fx: &mut Effects) {
        if !told {
            let sink = if source == Side::Client { x.upstream } else { Some(x.client) };
            if let Some(socket) = sink {
                fx.push(Effect::ShutdownWrite { socket });
            }
        }
        if x.up.is_done() && x.down.is_done() {
            x.last = true;
            self.finish(x, tick, fx);
        }
    }

    /// Moves what can be moved from a source to a sink.
    fn pump(&mut self, stream: &mut Stream, from: Key, to: Key, fx: &mut Effects) -> Pumped {
        loop {
            if stream.splicing {
                return Pumped::Waiting;
            }
            if stream.is_done() {
                self.flush(stream, to, fx);
                return Pumped::Done;
            }
            let owed = self.sockets.get(to).map_or(0, |socket| socket.owed);
            if owed >= self.owed_max() {
                self.flush(stream, to, fx);
                self.pause(from, fx);
                return Pumped::Waiting;
            }
            let max = if let Body::Length(left) = stream.body { left } else { u64::MAX };
            let Some(source) = self.sockets.get_mut(from) else { return Pumped::Short };
            if let Some(buf) = source.input.pop_up_to(max) {
                match self.carry(stream, from, to, buf, fx) {
                    Ok(()) => continue,
                    Err(bad) => return bad,
                }
            }
            if source.eof {
                // RFC 9112 9.8: over TLS only close_notify says that a body without length is complete. What goes
                // through a tunnel has ends of its own.
                let cut = source.truncated && !stream.tunnel;
                if cut || !matches!(stream.body, Body::UntilEof) {
                    self.flush(stream, to, fx);
                    return Pumped::Short;
                }
                self.end_of_source(stream, to, fx);
                continue;
            }
            if source.failed {
                self.flush(stream, to, fx);
                return Pumped::Short;
            }
            self.flush(stream, to, fx);
            self.ask_for_more(stream, from, to, fx);
            return Pumped::Waiting;
        }
    }

    /// Receives more, or lets the kernel move the rest when there is enough of it.
    fn ask_for_more(&mut self, stream: &mut Stream, from: Key, to: Key, fx: &mut Effects) {
        let max = match stream.body {
            _ if stream.copied => return self.receive_from(from, fx),
            Body::Length(left) if left >= limits::SPLICE_MIN && stream.taken > 0 => left,
            Body::UntilEof if !stream.rechunk && stream.taken >= limits::SPLICE_MIN => u64::MAX,
            _ => return self.receive_from(from, fx),
        };
        if !(self.is_plain(from) && self.is_plain(to)) {
            return self.receive_from(from, fx);
        }
        let idle = self.sockets.get(from).is_some_and(|source| source.receiving == Receiving::Off);
        if !idle {
            return self.pause(from, fx);
        }
        if self.sockets.get(to).is_some_and(|sink| sink.owed == 0) {
            stream.splicing = true;
            stream.sink_full = false;
            fx.push(Effect::Splice { from, to, max });
        }
    }

    /// Passes one buffer on.
    fn carry(
        &mut self,
        stream: &mut Stream,
        from: Key,
        to: Key,
        mut buf: Buf,
        fx: &mut Effects,
    ) -> Result<(), Pumped> {
        stream.begun = true;
        let Body::Chunked(decoder) = &mut stream.body else {
            stream.took(buf.len() as u64);
            if stream.rechunk {
                frame_chunk(&mut buf);
            }
            self.emit(stream, to, buf, fx);
            return Ok(());
        };
        let Ok(decoded) = decoder.decode(&mut buf) else { return Err(Pumped::Malformed) };
        if decoded.consumed < buf.len() {
            let rest = buf.split_off(decoded.consumed);
            if let Some(source) = self.sockets.get_mut(from) {
                source.input.unpop(rest);
            }
        }
        let trailers = if decoded.done && stream.rechunk { last_chunk(decoder.trailers()) } else { None };
        stream.taken += decoded.payload.len() as u64;
        buf.truncate(decoded.payload.end);
        buf.advance(decoded.payload.start);
        // The running total of chunks may pass the limit although the head gave nothing away.
        if stream.taken > stream.max {
            return Err(Pumped::TooLarge);
        }
        if stream.rechunk && !buf.is_empty() {
            frame_chunk(&mut buf);
        }
        self.emit(stream, to, buf, fx);
        if let Some(trailers) = trailers {
            self.emit(stream, to, trailers, fx);
        }
        if decoded.done {
            stream.body = Body::Done;
        }
        Ok(())
    }

    /// The source of a body without length has ended, which is how such a body ends.
    fn end_of_source(&mut self, stream: &mut Stream, to: Key, fx: &mut Effects) {
        stream.body = Body::Done;
        if stream.rechunk
            && let Some(end) = last_chunk(&[])
        {
            self.emit(stream, to, end, fx);
        }
    }

    /// Gives a buffer out, together with what is held back if that has room.
    fn emit(&mut self, stream: &mut Stream, to: Key, buf: Buf, fx: &mut Effects) {
        if buf.is_empty() {
            return;
        }
        if let Some(held) = &mut stream.held
            && held.push(&buf)
        {
            return;
        }
        self.flush(stream, to, fx);
        if buf.len() < 1024 && buf.room() > 0 {
            // Small parts (a chunk here, its end there) wait for company until the pump rests.
            stream.held = Some(buf);
        } else {
            stream.given = true;
            self.send(to, buf, fx);
        }
    }

    fn flush(&mut self, stream: &mut Stream, to: Key, fx: &mut Effects) {
        if let Some(held) = stream.held.take() {
            stream.given = true;
            self.send(to, held, fx);
        }
    }

    /// The response cannot be completed: the client connection ends in a way that shows it.
    pub(crate) fn cut_short(&mut self, x: &mut Exchange, why: &str, tick: Tick, fx: &mut Effects) {
        self.problem(x, x.record.status, why, fx);
        if x.record.ended_by == EndedBy::Nobody {
            x.record.ended_by = EndedBy::Backend;
        }
        // Where the end of the connection is the end of the body, only a reset tells a cut from an end.
        let end = if x.until_close || x.step == Step::Tunnel { End::Abort } else { End::Flush };
        self.drop_upstream(x, Close::Abort, fx);
        self.conclude(x, Some(end), tick, fx);
    }

    /// The client is gone or stands still.
    pub(crate) fn abandon(&mut self, x: &mut Exchange, tick: Tick, fx: &mut Effects) {
        x.record.ended_by = EndedBy::Client;
        self.drop_upstream(x, Close::Abort, fx);
        self.conclude(x, Some(End::Abort), tick, fx);
    }

    /// Books spliced bytes where received and sent ones are booked.
    pub(crate) fn count_moved(&self, from: Side, bytes: u64) {
        let to = if from == Side::Client { Side::Upstream } else { Side::Client };
        self.counters.add(from.bytes_in(), bytes);
        self.counters.add(to.bytes_out(), bytes);
    }
}

/// Makes a chunk of a buffer, in place: its margins have the room.
fn frame_chunk(buf: &mut Buf) {
    let (header, len) = write::chunk_header(buf.len());
    let framed = buf.prepend(&header[..len]) && buf.push_tail(write::CHUNK_END);
    debug_assert!(framed, "a buffer without margins");
}

/// The last chunk and the trailer section.
fn last_chunk(trailers: &[u8]) -> Option<Buf> {
    let mut end = Buf::heap(write::LAST_CHUNK.len() + trailers.len() + 2);
    let whole = end.push(write::LAST_CHUNK) && end.push(trailers) && end.push(b"\r\n");
    debug_assert!(whole);
    whole.then_some(end)
}
