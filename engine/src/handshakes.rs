//! Handshakes, one after the other.
//!
//! One step of a handshake takes the loop as long as a dozen requests do, and clients come in crowds. So whoever has to
//! take one stands in a line, of which each turn of the loop takes a few, in proportion to what else there was to do: a
//! crowd of clients keeps nobody waiting who has shaken hands already, nor the other way round.
//!
//! What a card or a helper thread does for a handshake is not in this line (`card`); what is left to do here once a card
//! has done its part is.

use crate::worker::Worker;
use ounce_mem::Key;
use ounce_sys::ring::Ring;
use std::collections::VecDeque;

/// As many completions of other kinds take about as long as one step.
const WORTH: usize = 16;

/// A step to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// With what has come in from the peer of this socket.
    Socket(Key),
    /// With what a card may have for the handshake that waits under this key.
    Card(Key),
}

/// The steps to be taken.
#[derive(Debug, Default)]
pub(crate) struct Line {
    steps: VecDeque<Step>,
}

impl Line {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    pub(crate) fn join(&mut self, step: Step) {
        self.steps.push_back(step);
    }
}

impl<R: Ring> Worker<'_, R> {
    /// Something has come in for TLS: hands are shaken in turn, and what comes behind that is read at once.
    pub(crate) fn unseal_in_turn(&mut self, key: Key) {
        let Some(socket) = self.socket(key) else { return };
        match &socket.tls {
            Some(tls) if tls.is_shaking() => {
                if !std::mem::replace(&mut socket.in_line, true) {
                    self.line.join(Step::Socket(key));
                }
            }
            _ => self.unseal(key),
        }
    }

    /// Takes the steps of one turn, in which there were so many completions that were no handshake's.
    pub(crate) fn shake_hands(&mut self, others: usize) {
        for _ in 0..=others / WORTH {
            let Some(step) = self.line.steps.pop_front() else { return };
            match step {
                Step::Card(wait) => self.go_on(wait),
                Step::Socket(key) => {
                    // It may have left meanwhile.
                    let Some(socket) = self.socket(key) else { continue };
                    socket.in_line = false;
                    if socket.tls.as_ref().is_some_and(|tls| tls.is_fresh()) {
                        self.choose_hand(key);
                    }
                    self.unseal(key);
                }
            }
            self.carry_out();
        }
    }
}
