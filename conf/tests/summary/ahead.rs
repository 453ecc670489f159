//! What is ahead of the engine.

use super::{add, server as plain_server};
use ounce_conf::model::Tunnel;
use std::fmt::Write as _;

pub(super) fn tunnel(out: &mut String, tunnel: &Tunnel) {
    let _ = write!(out, "tunnel {:?} to {}", tunnel.listen, plain_server(&tunnel.server));
    add(out, "label", &tunnel.label, &None);
    add(out, "disabled", &tunnel.disabled, &false);
    add(out, "position", &tunnel.position, &0);
    out.push('\n');
}
