//! The control API as its two ends see it: [`api`] holds the words that may be said, [`client`] says them over the
//! control socket or to a service ([`place`]), [`render`] shows the answers.
//!
//! The warden answers with the same [`api::Request`] that the client asked with, so that a path is written and
//! read by one file and cannot mean two things.

#![forbid(unsafe_code)]

pub mod api;
pub mod client;
pub mod place;
pub mod render;
