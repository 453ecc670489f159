//! The life of connections and requests.
//!
//! A client connection ([`client`]) is idle or has one exchange ([`exchange`]). An exchange goes through the steps of
//! `step/`, one file each, in this order:
//!
//! ```text
//! receive ─► route ─► pick ─► link ─► ask ─► answer ─► relay ─► finish
//!               │       ▲       │      │        │                 ▲
//!               │       └─retry─┴──────┴────────┘                 │
//!               └────────────── reply (our own answer) ───────────┘
//! ```
//!
//! While it asks and relays, two independent streams ([`stream`]) carry the bodies, one each way, each held back
//! by what its sink still owes the kernel. An upgraded connection is the same two streams without framing.

pub(crate) mod client;
pub(crate) mod closing;
pub(crate) mod exchange;
pub(crate) mod parked;
pub(crate) mod reply;
pub(crate) mod stream;
pub(crate) mod upstream;

mod step {
    mod answer;
    mod ask;
    mod finish;
    mod link;
    mod pick;
    mod receive;
    mod relay;
    mod rewrite;
    mod route;
}
