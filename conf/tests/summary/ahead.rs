//! What is ahead of the engine.

use super::{add, server as plain_server};
use ounce_conf::model::{AheadGlobal, Tunnel};
use std::fmt::Write as _;

pub(super) fn global(out: &mut String, global: &AheadGlobal) {
    let mut more = String::new();
    add(&mut more, "ssl_engine", &global.ssl_engine, &None);
    if !more.is_empty() {
        let _ = writeln!(out, "global{more}");
    }
}

pub(super) fn tunnel(out: &mut String, tunnel: &Tunnel) {
    let _ = write!(out, "tunnel {:?} to {}", tunnel.listen, plain_server(&tunnel.server));
    add(out, "label", &tunnel.label, &None);
    add(out, "disabled", &tunnel.disabled, &false);
    add(out, "position", &tunnel.position, &0);
    out.push('\n');
}
