//! What becomes of the files that are watched, in a worker: their new contents take the place of the old between two
//! turns of the loop.
//!
//! A worker cannot read files: it is in a jail and has no rights. So whoever can reads them, and a worker is given their
//! bytes: at its start those that are newer than its configuration, then each time a file changes. What a kind of file
//! is for, and so what is to be made of it, is known to the part of the engine that uses it; this is where they meet.

use crate::tls::Wallet;
use crate::worker::Worker;
use ounce_conf::listing::Fault;
use ounce_conf::model::FeedKind;
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

/// The listener whose certificates the feed at this place is; its contents are a [`Wallet`].
#[must_use]
pub fn of_listener(plan: &Plan, feed: u32) -> Option<usize> {
    match plan.feeds.get(feed as usize)?.kind {
        FeedKind::Certificates { listener } => Some(listener),
        FeedKind::Networks | FeedKind::Patterns | FeedKind::Users | FeedKind::Text { .. } => None,
    }
}

impl<R: Ring> Worker<'_, R> {
    /// Takes the contents of the file at this place among the plan's feeds.
    ///
    /// # Errors
    /// What is wrong with them; nothing has changed then.
    pub fn feed(&mut self, feed: u32, bytes: &[u8]) -> Result<(), Vec<Fault>> {
        match of_listener(self.plan, feed) {
            Some(listener) => self.renew(listener, bytes).map_err(|text| vec![Fault { line: None, text }]),
            None => {
                self.plan.put(self.plan.read_feed(feed as usize, bytes)?);
                Ok(())
            }
        }
    }

    /// Uses other certificates for the connections that a listener accepts from now on. Those that it has accepted keep
    /// what they began with.
    fn renew(&mut self, listener: usize, bytes: &[u8]) -> Result<(), String> {
        let wallet = Wallet::unpack(bytes).ok_or("this is no wallet")?;
        let tls = self.plan.listeners.get(listener).and_then(|of| of.tls.as_ref());
        let serving = self.certificates.get(listener).and_then(Option::as_ref);
        let alone = self.software.get(listener).and_then(Option::as_ref);
        let (Some(tls), Some(serving)) = (tls, serving) else { return Ok(()) };
        let Some(alone) = alone else {
            self.certificates[listener] = Some(serving.renewed(tls, &wallet)?);
            return Ok(());
        };
        let (serving, alone) =
            self.cards.renew(|| serving.renewed(tls, &wallet), || alone.renewed(tls, &wallet));
        let (serving, alone) = (serving?, alone?);
        self.certificates[listener] = Some(serving);
        self.software[listener] = Some(alone);
        Ok(())
    }
}
