//! A socket that is on its way out: nothing of a request hangs on it any more.

use crate::core::{Cause, Core, Receiving, Role};
use crate::effect::{Close, Effect, Effects};
use crate::event::Tick;
use crate::limits;
use ounce_mem::Key;

/// How far the end has come.
#[derive(Debug)]
pub(crate) enum Closing {
    /// Our side is shut; what the peer still sends is read and dropped, so that the kernel does not answer it with a
    /// reset that could overtake our last bytes (RFC 9112 9.6).
    Lingering { dropped: u64 },
    /// The engine was told to close; a deadline guards against a peer that does not take its last bytes.
    Told {
        /// How long it may take nothing, in microseconds.
        patience_us: u64,
    },
}

impl Core<'_> {
    /// Closes a socket of any role.
    pub(crate) fn close(&mut self, key: Key, how: Close, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        socket.role = Role::Closing(Closing::Told { patience_us: limits::LINGER_US });
        socket.receiving = Receiving::Off;
        socket.input.clear();
        fx.push(Effect::Close { socket: key, how });
    }

    /// Closes a socket once the peer has had the chance to read what we sent last.
    pub(crate) fn linger(&mut self, key: Key, tick: Tick, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if socket.eof {
            return self.close(key, Close::Flush, fx);
        }
        socket.role = Role::Closing(Closing::Lingering { dropped: 0 });
        socket.input.clear();
        fx.push(Effect::ShutdownWrite { socket: key });
        self.receive_from(key, fx);
        self.due(key, tick.mono_us + limits::LINGER_US, fx);
    }

    pub(crate) fn on_closing(&mut self, key: Key, cause: Cause, tick: Tick, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let Role::Closing(closing) = &mut socket.role else { return };
        match (closing, cause) {
            (Closing::Lingering { dropped }, Cause::Bytes) => {
                *dropped += socket.input.bytes() as u64;
                socket.input.clear();
                if *dropped > limits::LINGER_BYTES {
                    self.close(key, Close::Abort, fx);
                }
            }
            (Closing::Lingering { .. }, Cause::Eof) => self.close(key, Close::Flush, fx),
            (Closing::Lingering { .. }, Cause::Failed(_) | Cause::Expired) => {
                self.close(key, Close::Abort, fx);
            }
            // The peer takes its time: as long as it takes something, it has it.
            (Closing::Told { patience_us }, Cause::Sent) if socket.owed > 0 => {
                let at_us = tick.mono_us + *patience_us;
                self.due(key, at_us, fx);
            }
            (Closing::Told { .. }, Cause::Expired) => {
                fx.push(Effect::Close { socket: key, how: Close::Abort });
            }
            (Closing::Told { .. }, Cause::Bytes) => socket.input.clear(),
            _ => {}
        }
    }
}
