//! Memory that outlives a call: buffers, slots with generations, and the tables that all processes share.
//!
//! Nothing here knows HTTP, and nothing here makes a system call on the serving path. Three rooms:
//!
//! * [`Buf`] and [`Pool`]: bytes on their way through a worker. A buffer has one owner and moves.
//! * [`Slots`] and [`Key`]: a bounded table whose keys go stale instead of naming somebody else.
//! * [`Segment`]: one mapping shared by the supervisor and its children, with the health of backends, the switches
//!   of listeners and services, sticky sessions, token buckets, counters and the fleet of workers.
//!
//! # Invariants
//!
//! 1. A page or sheet of a pool is either on the free list or owned by exactly one [`Buf`]; those free and those owned add
//!    up to the pool. The mapping lives until the last of its buffers is gone.
//! 2. A [`Key`] never names anything but what it was made for: an index counts its tenants.
//! 3. Every field of the segment is atomic, and no process trusts what another wrote there: an index read from it is
//!    checked, a loop over it is bounded by private memory, and its size is sealed.
//! 4. No process can hold up another by dying or stopping, whatever the instruction. What it was writing is void once
//!    the supervisor has buried it ([`Fleet::ended`]), and until then others do without.
//! 5. What a worker counts up and down (open connections, gauges) lies in memory of its slot alone, so that it can be
//!    set to nothing when the worker is dead.

#![allow(unsafe_code, reason = "this crate is where raw memory becomes owned bytes and shared tables")]

mod buf;
mod pool;
mod shared;
mod slot;

pub use buf::{Buf, MARGIN, PAGE_BYTES};
pub use pool::Pool;
pub use shared::{
    BackendId, Backends, Counter, CounterKind, CounterPage, Counters, Fleet, KEY_BYTES_MAX, Limits,
    ListenerId, Listeners, Member, Owner, PLACES_MAX, Phase, Placed, Places, RESUMPTION_BYTES_MAX, Rate,
    Rates, Resumptions, Segment, ServiceId, Services, Sessions, Share, Stats, Status, TICKET_KEYS_MAX,
    TicketKey, TicketKeys, Tickets,
};
pub use slot::{Key, Slots};
