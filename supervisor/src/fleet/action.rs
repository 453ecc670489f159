//! The words of the fleet: what can happen to a child, and what is to be done.

/// A row of the segment's fleet table and the log socket that goes with it.
pub(crate) type Slot = u16;

/// What a child is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Serves clients, on the sockets and the CPU of this position.
    Worker {
        /// Counted from 0 within its generation.
        position: u16,
    },
    /// Probes, logs, answers the control socket.
    Warden,
}

/// What happened to a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// It said that it is ready.
    Ready(Slot),
    /// It is gone, or could not be forked; with the reason.
    Exited(Slot, String),
}

/// What to do, or what to report. To be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Fork a child.
    Fork {
        /// Where it stands.
        slot: Slot,
        /// Whose configuration it serves.
        generation: u32,
        /// What it is for.
        role: Role,
    },
    /// Order a worker to drain.
    Drain(Slot),
    /// Order a child to stop.
    Stop(Slot),
    /// Kill a child.
    Kill(Slot),
    /// The rising generation serves from now on; the retired one drains.
    Committed {
        /// The new one.
        generation: u32,
        /// The one that served before.
        retired: Option<u32>,
    },
    /// The rising generation has failed; nothing else has changed.
    RolledBack {
        /// The one that failed.
        generation: u32,
        /// Why.
        reason: String,
    },
    /// The last member of a generation that serves no more is gone.
    Over(u32),
    /// A serving child is gone and will be replaced.
    Lost {
        /// Where it stood.
        slot: Slot,
        /// What it was for.
        role: Role,
        /// What became of it.
        reason: String,
        /// How long its successor waits.
        wait_ms: u64,
    },
    /// A child's heart stands still; it is killed.
    Stuck(Slot, Role),
    /// No worker is ready.
    Dark,
    /// A worker is ready again.
    Bright,
    /// The end was ordered and no child is left.
    Finished,
}

impl std::fmt::Display for Role {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Role::Worker { position } => write!(out, "worker {position}"),
            Role::Warden => out.write_str("the warden"),
        }
    }
}
