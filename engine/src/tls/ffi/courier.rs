//! What a connection's TLS is while it goes to a helper thread and back.

use super::super::stream::Stream;

/// A connection's TLS that holds nothing of its worker's.
pub(in crate::tls) struct Courier(
    /// INVARIANT: `Stream::is_portable`.
    Stream,
);

// SAFETY: `Ssl` may be used by any thread, one at a time; so may what a context's callbacks hold, which the openssl crate
// demands of them. What the stream reads from and writes to is portable: it has no handle of a pool, and its buffers
// are blocks of the heap with one owner.
unsafe impl Send for Courier {}

impl Courier {
    /// Takes it along, unless it holds something of its worker's.
    pub(in crate::tls) fn of(stream: Stream) -> Option<Courier> {
        stream.is_portable().then_some(Courier(stream))
    }

    pub(in crate::tls) fn stream(&mut self) -> &mut Stream {
        &mut self.0
    }

    pub(in crate::tls) fn arrived(self) -> Stream {
        self.0
    }
}
