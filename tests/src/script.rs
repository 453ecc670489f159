//! Behaviours of origins, written down step by step.

use crate::barrier::Gate;
use crate::origin::Exchange;
use std::io;

/// One step of an origin's behaviour, after the head of a request has come.
#[derive(Debug, Clone)]
pub enum Act {
    /// Read the request's body.
    Body,
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait until the test opens the gate.
    Wait(Gate),
    /// Close the connection.
    Close,
    /// Reset the connection.
    Reset,
}

/// Sends a text.
#[must_use]
pub fn say(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// A behaviour that plays these steps for every request.
pub fn play(
    acts: impl Into<Vec<Act>>,
) -> impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static {
    let acts = acts.into();
    move |exchange| acts.iter().try_for_each(|act| perform(act, exchange))
}

/// A behaviour that plays the first script for the first request of all, the second for the second, and so on; the
/// last one for all that follow.
pub fn play_in_turn(
    scripts: impl Into<Vec<Vec<Act>>>,
) -> impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static {
    let scripts = scripts.into();
    assert!(!scripts.is_empty(), "nothing to play");
    move |exchange| {
        let turn = exchange.number.min(scripts.len() - 1);
        scripts[turn].iter().try_for_each(|act| perform(act, exchange))
    }
}

fn perform(act: &Act, exchange: &mut Exchange<'_>) -> io::Result<()> {
    match act {
        Act::Body => exchange.skip_body().map(drop),
        Act::Send(bytes) => exchange.send(bytes),
        Act::Wait(gate) if gate.pass() => Ok(()),
        Act::Wait(_) => Err(io::ErrorKind::TimedOut.into()),
        Act::Close => {
            exchange.close();
            Ok(())
        }
        Act::Reset => {
            exchange.reset();
            Ok(())
        }
    }
}
