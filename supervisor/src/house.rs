//! The way from the workers of a generation to its warden, for services that the program answers itself.
//!
//! It has no name, so nobody else can go it, and it is open for the life of the generation: connections that nobody has
//! taken when a warden dies are its successor's.

use ounce_core::Plan;
use ounce_sys::passage;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Both ends.
#[derive(Debug)]
pub(crate) struct House {
    warden: OwnedFd,
    worker: OwnedFd,
}

impl House {
    /// The way that this plan needs, if it needs one.
    ///
    /// # Errors
    /// What socketpair(2) reports.
    pub(crate) fn for_plan(plan: &Plan) -> io::Result<Option<House>> {
        if !plan.has_house() {
            return Ok(None);
        }
        let (warden, worker) = passage::open()?;
        Ok(Some(House { warden, worker }))
    }

    /// The end that the warden receives from.
    pub(crate) fn warden_end(&self) -> RawFd {
        self.warden.as_raw_fd()
    }

    /// The end that workers send through.
    pub(crate) fn worker_end(&self) -> RawFd {
        self.worker.as_raw_fd()
    }
}
