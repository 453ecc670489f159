//! The kernel, as the rest of the engine may see it: sockets, rings, processes, clocks.
//!
//! [`ring::Ring`] is the contract of everything a worker does while it serves, with three implementations:
//! [`uring::UringRing`], [`epoll::EpollRing`] for kernels and containers that forbid io_uring, and [`sim::SimRing`],
//! a whole network of virtual sockets run from one seed. [`probe`] tells which of the first two can run here.
//!
//! The other modules are the calls that the supervisor and a starting worker make: sockets to listen on, descriptors
//! passed between processes, fork and wait, loss of privilege. None of them is on the serving path.
//!
//! Invariants of this crate:
//! 1. Memory that the kernel may read or write is owned by the ring until the kernel has said that it is done.
//! 2. Every operation ends by exactly one completion without `more`, whatever it was told in between.
//! 3. An error number that nobody foresaw is an [`errno::Kind::Unexpected`], never a panic.
//! 4. Nothing here knows HTTP or the configuration.
#![allow(unsafe_code)]

pub mod bell;
mod buffers;
pub mod clock;
pub mod crypt;
pub mod epoll;
pub mod errno;
pub mod fdpass;
mod file;
mod lanes;
mod op;
pub mod pairs;
pub mod parcel;
pub mod passage;
mod pipe;
pub mod privilege;
pub mod probe;
pub mod process;
pub mod regular;
pub mod ring;
pub mod signal;
pub mod sim;
pub mod socket;
pub mod uring;
