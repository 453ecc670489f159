//! Which backend of a service answers, and what its behaviour teaches.
//!
//! All state is in the shared segment, so that workers agree; random numbers and time are arguments.

#[cfg(test)]
mod dynamic;
mod hashed;
pub mod outcome;
pub mod pick;
#[cfg(test)]
mod sample;
pub mod scale;
pub mod session;

pub use outcome::connect_failed;
pub use pick::{Tried, pick};
