//! Which service answers a request, and where redirects and rewritten locations point.
//!
//! [`compile`](compile::compile) turns a configuration into a [`Plan`] once per generation;
//! [`select`] asks it about each request. Nothing here allocates for a request unless
//! back-references are wanted.

pub mod acl;
pub mod auth;
pub(crate) mod beyond;
pub mod captures;
pub mod compile;
pub mod expand;
pub mod feed;
mod identity;
mod index;
pub mod limit;
mod lines;
pub mod location;
pub mod matcher;
pub mod pattern;
mod perl;
pub mod plan;
mod posix;
pub mod redirect;
pub mod request;
pub mod rewrite;
pub(crate) mod rules;
#[cfg(test)]
pub(crate) mod sample;
mod shape;
pub(crate) mod trust;

pub use captures::Captures;
pub use compile::{Ids, compile};
pub use expand::ExpandError;
pub use matcher::select;
pub use plan::{
    BackendIx, BackendKind, BackendPlan, ListenerPlan, Plan, RedirectPlan, ServiceIx, ServicePlan,
};
pub use request::Request;
