//! How often something may be asked for (`TBF`): tokens in buckets, which all workers share.
//!
//! A limit is asked once for each request, however often the search for a service begins anew and whoever asks again: its
//! answer is kept with the request ([`super::Captures`]).

use super::captures::Captures;
use super::expand::Template;
use super::request::Request;
use ounce_mem::{Owner, Rate, Rates};

/// A bucket for each value of a text.
#[derive(Debug)]
pub struct Limit {
    /// Its number among those of the plan.
    pub(crate) number: u32,
    /// What its buckets are known by in every worker and generation.
    pub(crate) id: u64,
    pub(crate) key: Template,
    pub(crate) rate: Rate,
}

/// Where tokens are taken, by whom, and when.
#[derive(Debug, Clone, Copy)]
pub struct Till<'a> {
    /// The buckets.
    pub rates: Rates<'a>,
    /// Who takes.
    pub who: Owner,
    /// The time.
    pub now_us: u64,
}

impl Limit {
    /// Whether a token is left for this request, which is then taken.
    pub(crate) fn holds(&self, request: &Request<'_>, captures: &mut Captures) -> bool {
        // The search is over, or will begin anew: nothing that is found here counts.
        if captures.fault.is_some() || captures.question.is_some() {
            return false;
        }
        if let Some(&(_, left)) = captures.tokens.iter().find(|(known, _)| *known == self.number) {
            return left;
        }
        let mut key = Vec::new();
        if let Err(error) = self.key.expand(request, captures, &mut key) {
            captures.fault = Some(error);
            return false;
        }
        let take = |till: Till<'_>| till.rates.take(self.id, &key, &self.rate, till.now_us, till.who);
        let left = request.till.is_none_or(take);
        captures.tokens.push((self.number, left));
        left
    }
}
