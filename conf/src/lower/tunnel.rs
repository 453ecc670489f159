//! Tunnels.

use super::Lowering;
use crate::diag::Problem;
use crate::model::{BackendKind, Listen, Tunnel};
use crate::tree::Statement;
use std::net::{Ipv6Addr, SocketAddr};

/// The port of a tunnel that names none.
const PORT: u16 = 443;

impl Lowering<'_> {
    /// `Tunnel`; none when it has no usable backend, which is reported.
    pub(super) fn tunnel(&mut self, statement: &Statement, position: usize) -> Option<Tunnel> {
        let mut backend = None;
        for inner in self.meant(statement.block()) {
            if inner.row.name == "Backend" {
                backend = self.plain_server(inner);
            }
        }
        if super::find(statement.block(), "Backend").is_none() {
            let problem = Problem::error(statement.keyword, "Tunnel has no Backend");
            self.findings.push(problem.expected("Backend in this section"));
        }
        let unspecified = Listen::Inet(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)));
        let listen = self.listen(statement, PORT).unwrap_or(unspecified);
        let backend = backend?;
        let BackendKind::Server(server) = backend.kind else { return None };
        let label = statement.text(0).map(str::to_owned);
        Some(Tunnel { label, listen, server, disabled: backend.disabled, position })
    }
}
