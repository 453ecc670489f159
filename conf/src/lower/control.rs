//! The control socket.

use super::Lowering;
use crate::diag::Problem;
use crate::model::Control;
use crate::tree::Statement;
use std::path::PathBuf;

impl Lowering<'_> {
    /// Both forms of `Control`; `position` is how many listeners stand before it.
    pub(super) fn control(&mut self, statement: &Statement, position: usize) -> Option<Control> {
        let mut control = Control { path: PathBuf::new(), mode: 0o600, change_owner: false, position };
        if let Some(path) = statement.text(0) {
            control.path = self.socket_path(path, statement.place(0));
            return Some(control);
        }
        for inner in self.meant(statement.block()) {
            match inner.row.name {
                "Socket" => control.path = self.socket_path(inner.text(0).unwrap_or(""), inner.place(0)),
                "Mode" => control.mode = super::global::narrow(inner.number(0), 0o600),
                "ChangeOwner" => control.change_owner = inner.flag(),
                _ => {}
            }
        }
        if statement.sound && super::find(statement.block(), "Socket").is_none() {
            let problem = Problem::error(statement.keyword, "Control names no socket");
            self.findings.push(problem.expected("Socket \"PATH\" in this section"));
        }
        Some(control)
    }
}
