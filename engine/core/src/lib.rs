//! Every decision about a request, without I/O: events in, effects out; time and randomness are arguments.

#![forbid(unsafe_code)]

pub mod balance;
pub mod http;
pub mod observe;
pub mod route;

mod peer;

pub use peer::Peer;
