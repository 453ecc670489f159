//! The harness of the tests that drive the real program from outside.
//!
//! A test writes a Pound configuration ([`proxy::Setup`]), starts the binary on it ([`proxy::Proxy`]), stands behind it
//! as origins ([`origin::Origin`]) and in front of it as clients ([`client::Client`]). What holds everywhere:
//!
//! - the program is the one of this workspace, built on demand ([`program`]);
//! - ports are reserved from the kernel and stay reserved until the test ends ([`port::Port`]);
//! - nothing sleeps: a test waits for an event, and no wait is longer than [`barrier::DEADLINE`];
//! - only processes that a test started are ended, each by its number ([`process::Running`]);
//! - what is spoken is HTTP, or HTTP over TLS on both sides where the environment says so ([`wire`]);
//! - a tool that is missing fails the test that needs it ([`tool`]).

#![forbid(unsafe_code)]

pub mod answer;
pub mod barrier;
pub mod card;
pub mod client;
pub mod crowd;
pub mod dns;
pub mod example;
pub mod hand;
pub mod link;
pub mod origin;
pub mod papers;
pub mod port;
pub mod process;
pub mod program;
pub mod proxy;
pub mod renegotiation;
pub mod script;
pub mod sealed;
pub mod targets;
pub mod token;
pub mod tool;
pub mod wire;
pub mod wrk;
