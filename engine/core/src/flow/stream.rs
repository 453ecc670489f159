//! One direction of an exchange: body bytes from a source to a sink, held back by what the sink still owes.

use crate::http::h1::chunked::Decoder;
use crate::http::head::Framing;
use ounce_mem::Buf;

/// How the source marks the end of the body.
#[derive(Debug, Default)]
pub(crate) enum Body {
    /// It has ended, or there is none.
    #[default]
    Done,
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks (RFC 9112 7.1).
    Chunked(Decoder),
    /// All bytes until the source ends: a response without length, or an upgraded connection.
    UntilEof,
}

/// One direction of an exchange.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) body: Body,
    /// Body bytes that may be taken in all.
    pub(crate) max: u64,
    /// The sink gets chunks.
    pub(crate) rechunk: bool,
    /// It goes through a tunnel: no message says where it ends.
    pub(crate) tunnel: bool,
    /// Written and not yet given out, so that small body parts go with it: the head, at first.
    pub(crate) held: Option<Buf>,
    /// Something was given to the sink.
    pub(crate) given: bool,
    /// Something of the body was taken from the source, be it only framing.
    pub(crate) begun: bool,
    /// Body bytes taken from the source, framing left out.
    pub(crate) taken: u64,
    /// The kernel has no pipe for it: its bytes are received and sent.
    pub(crate) copied: bool,
    /// The kernel moves the bytes at present.
    pub(crate) splicing: bool,
    /// While splicing: the sink takes no more at present.
    pub(crate) sink_full: bool,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::new(Body::Done)
    }
}

impl Stream {
    /// A stream whose sink gets the body framed as its source frames it.
    pub(crate) fn new(body: Body) -> Stream {
        let rechunk = matches!(body, Body::Chunked(_));
        Stream {
            body,
            max: u64::MAX,
            rechunk,
            tunnel: false,
            held: None,
            given: false,
            begun: false,
            taken: 0,
            copied: false,
            splicing: false,
            sink_full: false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.body, Body::Done)
    }

    /// Starts over, for a request none of whose body was taken.
    pub(crate) fn rewind(&mut self, framing: Framing) {
        debug_assert!(!self.begun);
        let max = self.max;
        *self = Stream { max, ..Stream::new(Body::of(framing)) };
    }

    /// Books bytes that went through.
    pub(crate) fn took(&mut self, bytes: u64) {
        self.taken += bytes;
        if let Body::Length(left) = &mut self.body {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.body = Body::Done;
            }
        }
    }
}

impl Body {
    pub(crate) fn of(framing: Framing) -> Body {
        match framing {
            Framing::None | Framing::Length(0) => Body::Done,
            Framing::Length(bytes) => Body::Length(bytes),
            Framing::Chunked => Body::Chunked(Decoder::new()),
            Framing::UntilClose => Body::UntilEof,
        }
    }
}
