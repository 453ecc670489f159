//! What a request costs: ounce beside Debian's nginx and HAProxy, in one run.
//!
//! The unit is CPU time of the proxy, user and system, all its processes, per request. It does not depend on how fast the
//! client is, and hardly on what else the machine does; the ratio of two proxies in one run is steadier than either figure
//! (`README.md`). The proxy has one CPU ([`cpu`]); the client, which is wrk ([`load`]) or for full handshakes our own
//! ([`handshake`]), and the origin ([`origin`]) share another. Proxies take turns within each round, so that a slow minute
//! of the machine is everybody's ([`contest`]).

#![forbid(unsafe_code)]

pub mod card;
pub mod contest;
pub mod cpu;
pub mod handshake;
pub mod idle;
pub mod load;
pub mod origin;
pub mod peers;
pub mod report;
