//! What goes wrong in a simulation, and how often.

use super::random::Random;

/// Frequencies in times per thousand, and sizes. Nothing here is beyond what a kernel or a network may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// A receive hands out fewer bytes than have arrived.
    pub short_receive: u16,
    /// A send takes fewer bytes than there is room for.
    pub short_send: u16,
    /// An operation that could end now ends later.
    pub late: u16,
    /// Completions of one turn come in any order instead of that of their operations.
    pub reorder: u16,
    /// A cancelled operation that could end otherwise does so.
    pub cancel_race: u16,
    /// A receive finds no buffer although the pool has some.
    pub no_buffers: u16,
    /// A receive or accept that would go on ends with what it brings.
    pub shot_ends: u16,
    /// An accept fails with EMFILE and ends.
    pub accept_fails: u16,
    /// A socket cannot be opened (EMFILE).
    pub socket_fails: u16,
    /// A connect fails though somebody listens.
    pub connect_fails: u16,
    /// The connection breaks when it is used.
    pub reset: u16,
    /// A reset takes away what has arrived and was not received yet.
    pub reset_drops: u16,
    /// A wait ends with nothing before its time.
    pub idle_wake: u16,
    /// The wall clock jumps, at a turn.
    pub wall_jump: u16,
    /// Bytes and connections are under way for up to this time, in microseconds.
    pub latency_us: u64,
    /// Room for bytes that were sent and not received, per connection and direction.
    pub window: usize,
}

impl Faults {
    /// A network and kernel that do everything at once and whole.
    pub fn none() -> Faults {
        Faults {
            short_receive: 0,
            short_send: 0,
            late: 0,
            reorder: 0,
            cancel_race: 0,
            no_buffers: 0,
            shot_ends: 0,
            accept_fails: 0,
            socket_fails: 0,
            connect_fails: 0,
            reset: 0,
            reset_drops: 0,
            idle_wake: 0,
            wall_jump: 0,
            latency_us: 0,
            window: 64 * 1024,
        }
    }

    /// Draws which faults are on and how often. About half are off in each run: a bug that needs one fault alone would
    /// be hidden by the noise of all.
    pub fn draw(random: &mut Random) -> Faults {
        const LEVELS: [u16; 8] = [0, 0, 0, 0, 1, 10, 100, 400];
        const WINDOWS: [usize; 5] = [512, 4 * 1024, 20_000, 64 * 1024, 256 * 1024];
        const LATENCIES_US: [u64; 5] = [0, 0, 50, 2_000, 40_000];
        let mut level = || LEVELS[random.below(8) as usize];
        let mut faults = Faults {
            short_receive: level(),
            short_send: level(),
            late: level(),
            reorder: level(),
            cancel_race: level(),
            no_buffers: level(),
            shot_ends: level(),
            accept_fails: level() / 4,
            socket_fails: level() / 4,
            connect_fails: level() / 4,
            reset: level() / 40,
            reset_drops: level(),
            idle_wake: level(),
            wall_jump: level() / 40,
            latency_us: 0,
            window: 0,
        };
        faults.latency_us = LATENCIES_US[random.below(5) as usize];
        faults.window = WINDOWS[random.below(5) as usize];
        faults
    }
}
