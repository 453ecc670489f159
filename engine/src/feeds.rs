//! What becomes of the files that are watched, in a worker: their new contents take the place of the old between two
//! turns of the loop.
//!
//! A worker cannot read files: it is in a jail and has no rights. So whoever can reads them, and a worker is given their
//! bytes: at its start those that are newer than its configuration, then each time a file changes. What a kind of file
//! is for, and so what is to be made of it, is known to the part of the engine that uses it; this is where they meet.

use crate::worker::Worker;
use ounce_conf::listing::Fault;
use ounce_core::Plan;
use ounce_sys::ring::Ring;

/// What would become of the file at this place among the plan's feeds: for whoever reads files, so that workers are given
/// only what they can use.
///
/// # Errors
/// What is wrong with it.
pub fn check(plan: &Plan, feed: usize, bytes: &[u8]) -> Result<(), Vec<Fault>> {
    plan.read_feed(feed, bytes).map(drop)
}

impl<R: Ring> Worker<'_, R> {
    /// Takes the contents of the file at this place among the plan's feeds.
    ///
    /// # Errors
    /// What is wrong with them; nothing has changed then.
    pub fn feed(&mut self, feed: usize, bytes: &[u8]) -> Result<(), Vec<Fault>> {
        self.plan.put(self.plan.read_feed(feed, bytes)?);
        Ok(())
    }
}
