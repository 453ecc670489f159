//! The segment: what more than one process must agree on, in one mapping that all of them inherit.
//!
//! | file | what |
//! |---|---|
//! | `map` | [`Segment`]: create, attach, verify |
//! | `layout` | the rows, their sizes, and where each table lies |
//! | `claim` | which identity has which row, over reloads |
//! | `health` | backends: alive, disabled, failures, open connections, latency |
//! | `place` | addresses that were looked up: where backends without an address of their own are |
//! | `service`, `listener` | balancer positions and switches |
//! | `session` | the sticky table |
//! | `rate` | token buckets |
//! | `ticket`, `resumption` | TLS: ticket keys, and sessions of clients that take no tickets |
//! | `counters` | a page of counters per worker |
//! | `fleet` | who works: process, incarnation, phase, heartbeat |
//!
//! Times are milliseconds of `CLOCK_MONOTONIC` (microseconds for token buckets), given by the caller.

mod claim;
mod counters;
mod fleet;
mod health;
mod layout;
mod listener;
mod map;
mod place;
mod rate;
mod resumption;
mod service;
mod session;
#[cfg(test)]
mod steps;
mod ticket;
mod word;

pub use counters::{Counter, CounterKind, CounterPage, Counters};
pub use fleet::{Fleet, Member, Owner, Phase};
pub use health::{BackendId, Backends, Stats, Status};
pub use layout::Limits;
pub use listener::{ListenerId, Listeners};
pub use map::Segment;
pub use place::{PLACES_MAX, Placed, Places, Share};
pub use rate::{Rate, Rates};
pub use resumption::{RESUMPTION_BYTES_MAX, Resumptions};
pub use service::{ServiceId, Services};
pub use session::{KEY_BYTES_MAX, Sessions};
pub use ticket::{TICKET_KEYS_MAX, TicketKey, TicketKeys, Tickets};
