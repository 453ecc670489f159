//! The life of connections and requests, played to the core event by event: no kernel, no clock, no network.

mod auth;
mod bodies;
mod conditions;
mod deadlines;
mod failures;
mod limits;
mod messages;
mod originator;
mod parking;
mod rewriting;
mod services;
mod sessions;
mod storm;
mod tunnels;
mod world;
