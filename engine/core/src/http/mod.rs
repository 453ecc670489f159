//! HTTP/1 without I/O: bytes in, a head that can be trusted out, and back to bytes.
//!
//! The order in which a message meets this room:
//!
//! 1. [`h1::parse`] finds the end of a head, and [`h1::parse::request`] turns exactly one head into a
//!    [`RequestHead`], or refuses it. There is no other way to get one with anything in it.
//! 2. [`sanitize`] is the list of what a request must satisfy; [`h1::framing`] alone decides how long a body
//!    is.
//! 3. [`h1::chunked`] takes chunked bodies apart.
//! 4. [`h1::write`] writes heads: what it is not told to pass on (hop-by-hop fields, framing) it makes
//!    itself.
//! 5. [`reply`] is what we answer ourselves.
//!
//! # Invariants
//!
//! * A head is parsed once, when it is complete. Incomplete heads are only searched for their end.
//! * Spans in a head refer to the bytes it was parsed from; every span was inside them when it was made.
//! * Framing fields and `Connection` are never copied from one side to the other.
//! * Nothing here allocates once the vectors of a reused head are warm.

pub mod authority;
pub(crate) mod combine;
pub(crate) mod edit;
pub mod fields;
pub mod h1;
pub mod head;
pub mod hop;
pub mod limits;
pub mod method;
mod octets;
pub mod reply;
pub mod rules;
pub mod sanitize;
pub mod target;
pub mod upgrade;

pub use fields::{Field, Fields, Known, Span};
pub use head::{Framing, Hop, Refusal, RequestHead, ResponseFault, ResponseHead, Version};
pub use method::Method;
