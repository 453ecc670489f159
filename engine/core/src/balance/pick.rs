//! The choice of a backend: sessions first, then the balancer, then emergencies.

use crate::route::plan::{BackendIx, Plan, ServicePlan};
use ounce_conf::model::Balancer;
use ounce_mem::{BackendId, Owner, Segment, ServiceId};
use std::ops::Range;

/// A set of positions within a service (see [`ServicePlan::position`]): the backends a request has tried.
///
/// Positions below 64 need no allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    low: u64,
    high: Vec<u64>,
}

impl Tried {
    /// None tried.
    pub const fn new() -> Tried {
        Tried { low: 0, high: Vec::new() }
    }

    /// Adds a position.
    pub fn insert(&mut self, position: u32) {
        let (word, bit) = (position as usize / 64, 1 << (position % 64));
        match word.checked_sub(1) {
            None => self.low |= bit,
            Some(word) => {
                if self.high.len() <= word {
                    self.high.resize(word + 1, 0);
                }
                self.high[word] |= bit;
            }
        }
    }

    /// Whether it holds a position.
    pub fn contains(&self, position: u32) -> bool {
        let bit = 1 << (position % 64);
        match (position as usize / 64).checked_sub(1) {
            None => self.low & bit != 0,
            Some(word) => self.high.get(word).is_some_and(|bits| bits & bit != 0),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.high.is_empty()
    }

    /// How many positions it holds.
    pub fn len(&self) -> u32 {
        self.low.count_ones() + self.high.iter().map(|bits| bits.count_ones()).sum::<u32>()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.low = 0;
        self.high.clear();
    }

    /// The positions in ascending order.
    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = std::iter::once(self.low).chain(self.high.iter().copied());
        words.enumerate().flat_map(|(index, mut bits)| {
            std::iter::from_fn(move || {
                if bits == 0 {
                    return None;
                }
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }
}

/// Chooses the backend for a request.
///
/// `key` is the request's session key, if it has one and the service keeps sessions. A known session's
/// backend is taken even if it is disabled (disabling stops new sessions only), unless it is dead or was
/// tried; a new session is created at once. Without a session the balancer chooses among the active
/// backends that were not tried, emergencies only when no regular one is left. `random` is a fresh uniform
/// number. `None` when no backend is left.
#[expect(clippy::too_many_arguments, reason = "one call per request; every argument is a different fact")]
pub fn pick(
    plan: &Plan,
    service: &ServicePlan,
    segment: &Segment,
    key: Option<&[u8]>,
    now_ms: u64,
    owner: Owner,
    tried: &Tried,
    random: u64,
) -> Option<BackendIx> {
    let (Some(session), Some(key)) = (&service.session, key) else {
        return choose(plan, service, segment, tried, random);
    };
    let (sessions, row) = (segment.sessions(), ServiceId(service.row));
    let usable = |id: BackendId| {
        let backend = service.all_backends().find(|&ix| plan.backend(ix).row == id.0)?;
        let alive = segment.backends().status(id).alive;
        (alive && !tried.contains(service.position(backend))).then_some(backend)
    };
    let known = sessions.find(row, key, now_ms, session.ttl_ms);
    if let Some(backend) = known.and_then(usable) {
        return Some(backend);
    }
    let chosen = choose(plan, service, segment, tried, random)?;
    let id = BackendId(plan.backend(chosen).row);
    if known.is_none() {
        // Another worker may have created the session since the look-up: its choice stands.
        let winner = sessions.insert(row, key, id, now_ms, session.ttl_ms, owner);
        if winner == id {
            return Some(chosen);
        }
        if let Some(backend) = usable(winner) {
            return Some(backend);
        }
    }
    // The session names a backend that is dead, gone from the configuration, or failed this request.
    sessions.replace(row, key, id, now_ms, session.ttl_ms, owner);
    Some(chosen)
}

/// The balancer's choice, without sessions.
fn choose(
    plan: &Plan,
    service: &ServicePlan,
    segment: &Segment,
    tried: &Tried,
    random: u64,
) -> Option<BackendIx> {
    [&service.backends, &service.emergency]
        .into_iter()
        .find_map(|group| choose_among(plan, service, segment, group, tried, random))
}

fn choose_among(
    plan: &Plan,
    service: &ServicePlan,
    segment: &Segment,
    group: &Range<u32>,
    tried: &Tried,
    random: u64,
) -> Option<BackendIx> {
    let rows = segment.backends();
    let mut candidates =
        Candidates { plan, first: group.start, set: Tried::new(), count: 0, weight: 0, equal: true };
    for ix in group.clone().map(BackendIx) {
        if rows.is_active(BackendId(plan.backend(ix).row)) && !tried.contains(service.position(ix)) {
            candidates.add(ix);
        }
    }
    match (candidates.count, service.balancer) {
        (0, _) => None,
        // A single one needs no draw, and the shared position stays where it is.
        (1, _) => candidates.nth_at_least(0, 0),
        (_, Balancer::Random) => candidates.weighted(random),
        (_, Balancer::Iwrr) => candidates.interleaved(segment.services().next(ServiceId(service.row))),
    }
}

/// The backends of a group that may be chosen: one snapshot, since their state changes under way.
struct Candidates<'a> {
    plan: &'a Plan,
    /// The group's first backend; `set` counts from it.
    first: u32,
    set: Tried,
    count: u32,
    /// Sum of the weights.
    weight: u64,
    /// All weights are the same.
    equal: bool,
}

impl Candidates<'_> {
    fn add(&mut self, ix: BackendIx) {
        let priority = u64::from(self.plan.backend(ix).priority);
        self.set.insert(ix.0 - self.first);
        self.equal &= self.weight == u64::from(self.count) * priority;
        self.count += 1;
        self.weight += priority;
    }

    fn each(&self) -> impl Iterator<Item = (BackendIx, u64)> + '_ {
        self.set.iter().map(|offset| {
            let ix = BackendIx(self.first + offset);
            (ix, u64::from(self.plan.backend(ix).priority))
        })
    }

    /// The `n`-th of those whose weight is at least `weight`.
    fn nth_at_least(&self, n: u64, weight: u64) -> Option<BackendIx> {
        self.each().filter(|&(_, priority)| priority >= weight).nth(n as usize).map(|(ix, _)| ix)
    }

    /// A draw in which each weighs its priority.
    fn weighted(&self, random: u64) -> Option<BackendIx> {
        let mut left = random % self.weight;
        self.each().find_map(|(ix, priority)| {
            if left < priority {
                return Some(ix);
            }
            left -= priority;
            None
        })
    }

    /// Interleaved weighted round robin: in round r the candidates of weight above r take their turn, in
    /// file order, and the rounds start again after the largest weight.
    ///
    /// `position` is the turn. Between two neighbouring weights all rounds are alike, so the turn is found
    /// by stepping over the distinct weights.
    fn interleaved(&self, position: u64) -> Option<BackendIx> {
        if self.equal {
            return self.nth_at_least(position % u64::from(self.count), 0);
        }
        let mut left = position % self.weight;
        let mut done = 0;
        loop {
            let level =
                self.each().map(|(_, priority)| priority).filter(|&priority| priority > done).min()?;
            let turns = self.each().filter(|&(_, priority)| priority >= level).count() as u64;
            let span = (level - done) * turns;
            if left < span {
                return self.nth_at_least(left % turns, level);
            }
            left -= span;
            done = level;
        }
    }
}
