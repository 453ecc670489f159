//! What is ahead of the engine.

use super::{add, server as plain_server};
use ounce_conf::model::{AheadGlobal, AheadListener, AheadService, Originator, Tunnel};
use std::fmt::Write as _;

pub(super) fn global(out: &mut String, global: &AheadGlobal) {
    let mut more = String::new();
    add(&mut more, "ssl_engine", &global.ssl_engine, &None);
    add(&mut more, "combine_headers", &global.combine_headers, &Vec::new());
    originator(&mut more, &global.originator);
    if !more.is_empty() {
        let _ = writeln!(out, "global{more}");
    }
}

pub(super) fn listener(out: &mut String, listener: Option<&AheadListener>) {
    let Some(listener) = listener else { return };
    let mut more = String::new();
    originator(&mut more, &listener.originator);
    add(&mut more, "rewrite_errors", &listener.rewrite_errors, &false);
    if !more.is_empty() {
        let _ = writeln!(out, " {more}");
    }
}

pub(super) fn service(out: &mut String, service: Option<&AheadService>, indent: &str) {
    let Some(service) = service else { return };
    let mut more = String::new();
    originator(&mut more, &service.originator);
    add(&mut more, "rewrite_errors", &service.rewrite_errors, &None);
    if !more.is_empty() {
        let _ = writeln!(out, "{indent} {more}");
    }
}

pub(super) fn tunnel(out: &mut String, tunnel: &Tunnel) {
    let _ = write!(out, "tunnel {:?} to {}", tunnel.listen, plain_server(&tunnel.server));
    add(out, "label", &tunnel.label, &None);
    add(out, "disabled", &tunnel.disabled, &false);
    add(out, "position", &tunnel.position, &0);
    out.push('\n');
}

fn originator(out: &mut String, originator: &Originator) {
    add(out, "header", &originator.header, &None);
    let trusted = originator.trusted.as_ref();
    let trusted = trusted.map(|networks| networks.iter().map(ToString::to_string).collect::<Vec<_>>());
    add(out, "trusted", &trusted, &None);
}
