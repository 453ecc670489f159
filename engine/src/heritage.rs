//! What a worker receives from the supervisor, all of it.

use ounce_conf::model::{Card, IoEngine};
use ounce_core::Plan;
use ounce_mem::{Owner, Segment};
use std::os::fd::RawFd;
use std::sync::Arc;

/// Everything a worker receives. The descriptors are copies of the supervisor's; a worker that drains closes those that it
/// accepted from, and no others.
#[derive(Debug, Clone)]
pub struct Heritage {
    /// Which worker this is, counted from 0; the same as `owner.worker`.
    pub slot: u16,
    /// Which load of the configuration it serves.
    pub generation: u32,
    /// Who it is in the shared tables.
    pub owner: Owner,
    /// The compiled configuration.
    pub plan: Arc<Plan>,
    /// The shared tables.
    pub segment: Arc<Segment>,
    /// Where it accepts connections.
    pub sockets: Vec<ListeningSocket>,
    /// Files whose contents are newer than the plan: places of feeds, and descriptors of what they hold.
    pub feeds: Vec<(u32, RawFd)>,
    /// A sequenced-packet socket, one byte a message; see [`crate::orders`].
    pub orders: RawFd,
    /// A datagram socket, one batch of lines a message; see [`crate::logout`].
    pub log: RawFd,
    /// The way to the warden, where requests are answered that no backend and no worker answers; see
    /// [`ounce_sys::passage`].
    pub house: Option<RawFd>,
    /// How long TLS sessions can be resumed, in seconds.
    pub ticket_lifetime_s: u64,
    /// How it talks to the kernel.
    pub io_engine: IoEngine,
    /// Where its helper threads may run.
    pub cpus: Vec<usize>,
    /// The engines and providers that it loads.
    pub cards: Vec<Card>,
}

/// One listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListeningSocket {
    /// Index in [`Plan::listeners`].
    pub listener: usize,
    /// The socket.
    pub fd: RawFd,
}
