//! What is written down about a request: log lines and problem lines.
//!
//! Text of a peer is escaped wherever it is printed: a line stays one line, and quotes stay closed.

pub mod escape;
pub mod level;
pub mod logfmt;
pub mod problem;
pub mod record;
mod strftime;
#[cfg(test)]
mod tests;
pub mod time;

pub use logfmt::{Format, Line};
pub use record::Record;
pub use time::LocalTime;
