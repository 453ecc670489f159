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
    Lingering {
        /// Bytes read so far.
        dropped: u64,
        /// How long it may take none of our last bytes, in microseconds.
        patience_us: u64,
        /// When it has sent long enough.
        until_us: u64,
    },
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

    /// Closes a socket when the peer has taken our last bytes, or has taken nothing for `patience_us`.
    pub(crate) fn close_flushed(&mut self, key: Key, patience_us: u64, tick: Tick, fx: &mut Effects) {
        self.close(key, Close::Flush, fx);
        if let Some(socket) = self.sockets.get_mut(key).filter(|socket| socket.owed > 0) {
            socket.role = Role::Closing(Closing::Told { patience_us });
            self.due(key, tick.mono_us + patience_us, fx);
        }
    }

    /// Closes a socket once the peer has had the chance to read what we sent last. It may take its time to take that,
    /// `patience_us` each time; lingering itself begins behind it.
    pub(crate) fn linger(&mut self, key: Key, patience_us: u64, tick: Tick, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if socket.eof {
            return self.close_flushed(key, patience_us, tick, fx);
        }
        socket.role = Role::Closing(Closing::Lingering {
            dropped: 0,
            patience_us,
            until_us: tick.mono_us + limits::LINGER_MAX_US,
        });
        socket.input.clear();
        let wait = if socket.owed > 0 { patience_us } else { limits::LINGER_US };
        fx.push(Effect::ShutdownWrite { socket: key });
        self.receive_from(key, fx);
        self.due(key, tick.mono_us + wait, fx);
    }

    pub(crate) fn on_closing(&mut self, key: Key, cause: Cause, tick: Tick, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let Role::Closing(closing) = &mut socket.role else { return };
        match (closing, cause) {
            (Closing::Lingering { dropped, patience_us, until_us }, Cause::Bytes) => {
                *dropped += socket.input.bytes() as u64;
                socket.input.clear();
                let wait = if socket.owed > 0 { *patience_us } else { limits::LINGER_US };
                let at_us = (tick.mono_us + wait).min(*until_us);
                if *dropped > limits::LINGER_BYTES || tick.mono_us >= *until_us {
                    self.close(key, Close::Abort, fx);
                } else {
                    self.due(key, at_us, fx);
                }
            }
            (Closing::Lingering { patience_us, .. }, Cause::Eof) => {
                let patience_us = *patience_us;
                self.close_flushed(key, patience_us, tick, fx);
            }
            (Closing::Lingering { patience_us, .. }, Cause::Sent) => {
                let wait = if socket.owed > 0 { *patience_us } else { limits::LINGER_US };
                self.due(key, tick.mono_us + wait, fx);
            }
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
