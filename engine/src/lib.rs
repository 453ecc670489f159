//! The worker: joins the sans-IO core to a ring.
//!
//! ```text
//!  wait ─► completions ─► events ─► core ─► effects ─► operations ─► wait
//!                  timers ─┘                   └─► log batches
//! ```
//!
//! Nothing here knows what a request is. What it does know, and keeps for every socket:
//!
//! 1. At most one receive and one send are in flight.
//! 2. A socket closes only when nothing of it is in flight: *stop, join, close*.
//! 3. What the core was told is true: an event is reported once, in order, and not after the socket's close.
//! 4. Between two turns of the loop every socket has an operation in flight or an armed deadline.
//!
//! What would stall the loop is done by helper threads: see [`crew`].
//!
//! The worker is generic over [`ounce_sys::ring::Ring`]: the same code runs on io_uring, on epoll and on the simulated
//! network of the tests.

mod accept;
mod apply;
mod card;
mod complete;
pub mod crew;
pub mod feeds;
mod handshakes;
pub mod heritage;
pub mod logout;
pub mod orders;
mod passwords;
mod queue;
mod serve;
mod socket;
mod splice;
pub mod tls;
mod wheel;
mod worker;

pub use heritage::{Heritage, ListeningSocket};
pub use orders::Order;
pub use serve::serve;
pub use worker::{Worker, WorkerSetup};
