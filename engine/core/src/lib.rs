//! Every decision about a request, without I/O: events in, effects out; time and randomness are arguments.
//!
//! The engine tells [`Core`] what happened to a socket ([`Event`]) and carries out what it answers ([`Effect`]). The
//! core sees no descriptor, no clock, no random source and no log sink, so that a whole life of traffic can be played
//! to it in a test, and played again.
//!
//! | room | holds |
//! |---|---|
//! | [`http`] | heads: parsed, checked, written; body framing |
//! | [`route`] | the compiled configuration ([`Plan`]); which service takes a request |
//! | [`balance`] | which backend of the service; sticky sessions |
//! | `flow` | the life of connections and requests, step by step |
//! | [`observe`] | log lines |
//!
//! Invariants, checked by [`Core::check_invariants`] and by the simulation:
//!
//! 1. A request reaches a backend only after [`http::h1::parse::request`] accepted its head; there is no other
//!    constructor.
//! 2. Every socket is being received from, owes bytes, or has a deadline.
//! 3. No more than a fixed number of bytes waits to be sent on a socket: no room means no receive.
//! 4. A socket belongs to at most one exchange, and the exchange knows it.

#![forbid(unsafe_code)]

pub mod balance;
mod chain;
mod core;
mod effect;
mod event;
mod fault;
mod flow;
pub mod http;
mod limits;
pub mod observe;
mod peer;
pub mod route;
mod secure;

pub use self::core::{Core, Setup};
pub use effect::{Close, Effect, Effects};
pub use event::{Event, SpliceEnd, Tick, Verdict};
pub use fault::Fault;
pub use peer::Peer;
pub use route::Plan;
pub use secure::{ClientCertificate, Secure};
