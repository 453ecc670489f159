//! What the outcome of a connect means for a backend (pound.md section 11).
//!
//! Only a connect that fails or times out while serving kills a backend; errors on an open connection do
//! not. The warden probes dead backends and revives them.

use crate::route::plan::{BackendIx, BackendKind, Plan};
use ounce_mem::{BackendId, Segment};

/// Marks a backend dead after a failed connect. Its sessions are over, so that their clients are balanced
/// anew.
///
/// True for the first to notice, who reports it. Backends that answer without a connection never die. `era` is that of
/// a place when it was connected to: what has moved since is another server, about which nothing is known.
pub fn connect_failed(
    plan: &Plan,
    segment: &Segment,
    backend: BackendIx,
    era: Option<u32>,
    now_ms: u64,
) -> bool {
    let backend = plan.backend(backend);
    if !matches!(backend.kind, BackendKind::Server { .. }) {
        return false;
    }
    // Its sessions end with it: the row counts its deaths, and sessions name the count.
    match era {
        Some(era) => segment.backends().mark_dead_in(BackendId(backend.row), era, now_ms),
        None => segment.backends().mark_dead(BackendId(backend.row), now_ms),
    }
}
