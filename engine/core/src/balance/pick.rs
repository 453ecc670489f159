//! The choice of a backend: sessions first, then the balancer, then emergencies.

use super::{hashed, scale};
use crate::route::plan::{BackendIx, BackendKind, Plan, ServicePlan};
use ounce_conf::model::Balancer;
use ounce_mem::{BackendId, Backends, Owner, Segment, ServiceId};
use std::ops::Range;

/// A set of positions within a service (see [`ServicePlan::position`]): the backends a request has tried.
///
/// Positions below 256 need no allocation: a service has few backends, but each name among them has 32 places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    low: [u64; LOW],
    high: Vec<u64>,
}

/// Words of a set that need no allocation.
const LOW: usize = 4;

impl Tried {
    /// None tried.
    pub const fn new() -> Tried {
        Tried { low: [0; LOW], high: Vec::new() }
    }

    /// Adds a position.
    pub fn insert(&mut self, position: u32) {
        let (word, bit) = (position as usize / 64, 1 << (position % 64));
        match word.checked_sub(LOW) {
            None => self.low[word] |= bit,
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
        let word = position as usize / 64;
        match word.checked_sub(LOW) {
            None => self.low[word] & bit != 0,
            Some(word) => self.high.get(word).is_some_and(|bits| bits & bit != 0),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.low == [0; LOW] && self.high.is_empty()
    }

    /// How many positions it holds.
    pub fn len(&self) -> u32 {
        self.low.iter().chain(&self.high).map(|bits| bits.count_ones()).sum()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.low = [0; LOW];
        self.high.clear();
    }

    /// The positions in ascending order.
    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = self.low.iter().chain(&self.high).copied();
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
/// tried; a new session is created at once. A service that keeps none (`TTL -1`) goes by the key alone. Without a session the balancer chooses among the active
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
    let Some(ttl_ms) = session.ttl_ms else {
        return hashed::choose(plan, service, segment, key, tried);
    };
    let (sessions, row) = (segment.sessions(), ServiceId(service.row));
    let usable = |id: BackendId| {
        let backend = service.all_backends().find(|&ix| plan.backend(ix).row == id.0)?;
        let alive = segment.backends().status(id).alive && plan.is_there(plan.backend(backend), segment);
        (alive && !tried.contains(service.position(backend))).then_some(backend)
    };
    let known = sessions.find(row, key, now_ms, ttl_ms);
    if let Some(backend) = known.and_then(usable) {
        return Some(backend);
    }
    let chosen = choose(plan, service, segment, tried, random)?;
    let id = BackendId(plan.backend(chosen).row);
    if known.is_none() {
        // Another worker may have created the session since the look-up: its choice stands.
        let winner = sessions.insert(row, key, id, now_ms, ttl_ms, owner);
        if winner == id {
            return Some(chosen);
        }
        if let Some(backend) = usable(winner) {
            return Some(backend);
        }
    }
    // The session names a backend that is dead, gone from the configuration, or failed this request.
    sessions.replace(row, key, id, now_ms, ttl_ms, owner);
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
    let mut candidates = Candidates::new(plan, service, segment, group.start);
    let active = |ix: BackendIx| {
        segment.backends().is_active(BackendId(plan.backend(ix).row)) && !tried.contains(service.position(ix))
    };
    each(plan, segment, group, |ix| {
        if active(ix) {
            candidates.join(ix, group_of(plan, segment, ix));
        }
    });
    let chosen = match (candidates.count, service.balancer) {
        (0, _) => return None,
        // A single one needs no draw, and the shared position stays where it is.
        (1, _) => None,
        (_, Balancer::Random) => candidates.weighted(random),
        (_, Balancer::Iwrr) => candidates.interleaved(segment.services().next(ServiceId(service.row))),
    };
    // Weights that change just now may leave a turn to nobody.
    chosen.or_else(|| candidates.nth_at_least(0, 0))
}

/// Calls `visit` with each backend that there is now, active or not: the places of a name stand for it.
pub(super) fn each(plan: &Plan, segment: &Segment, among: &Range<u32>, mut visit: impl FnMut(BackendIx)) {
    let mut next = among.start;
    while next < among.end {
        let ix = BackendIx(next);
        next += 1;
        let BackendKind::Name(name) = &plan.backend(ix).kind else {
            visit(ix);
            continue;
        };
        next = name.places.end;
        // Who is switched off here is the name, with all its places.
        if !segment.backends().status(BackendId(plan.backend(ix).row)).disabled {
            plan.occupied(ix, segment).for_each(&mut visit);
        }
    }
}

/// The group of a place, which its record in the DNS says; other backends are of the first one.
pub(super) fn group_of(plan: &Plan, segment: &Segment, ix: BackendIx) -> u16 {
    let backend = plan.backend(ix);
    backend.place.map_or(0, |_| segment.places().share(BackendId(backend.row)).group)
}

/// The weight of a backend, whatever its response times.
pub(super) fn weight_of(plan: &Plan, segment: &Segment, ix: BackendIx) -> u64 {
    let backend = plan.backend(ix);
    let own = || match segment.places().share(BackendId(backend.row)).weight {
        0 => backend.priority,
        weight => weight,
    };
    u64::from(if backend.place.is_some() { own() } else { backend.priority })
}

/// The backends that may be chosen, of the lowest group in which there is one: one snapshot of who they are, since their
/// state changes under way. Weights of places may change as well; then the choice is one of them all the same.
struct Candidates<'a> {
    plan: &'a Plan,
    /// Where their weights are if response times have a say in them.
    scaled: Option<Backends<'a>>,
    segment: &'a Segment,
    /// The group that they are of.
    group: u16,
    /// The group's first backend; `set` counts from it.
    first: u32,
    set: Tried,
    count: u32,
    /// Sum of the weights.
    weight: u64,
    /// All weights are the same.
    equal: bool,
}

impl<'a> Candidates<'a> {
    fn new(plan: &'a Plan, service: &ServicePlan, segment: &'a Segment, first: u32) -> Candidates<'a> {
        let scaled = service.dyn_scale.then(|| segment.backends());
        let set = Tried::new();
        Candidates { plan, scaled, segment, group: 0, first, set, count: 0, weight: 0, equal: true }
    }

    /// A backend of a group: counts if there is none of a lower one.
    fn join(&mut self, ix: BackendIx, group: u16) {
        if self.count == 0 || group < self.group {
            (self.group, self.count, self.weight, self.equal) = (group, 0, 0, true);
            self.set.clear();
        }
        if group == self.group {
            self.add(ix);
        }
    }

    fn add(&mut self, ix: BackendIx) {
        let priority = self.weight_of(ix);
        self.set.insert(ix.0 - self.first);
        self.equal &= self.weight == u64::from(self.count) * priority;
        self.count += 1;
        self.weight += priority;
    }

    fn priority(&self, ix: BackendIx) -> u64 {
        weight_of(self.plan, self.segment, ix)
    }

    fn weight_of(&self, ix: BackendIx) -> u64 {
        match self.scaled {
            None => self.priority(ix),
            Some(rows) => {
                let row = BackendId(self.plan.backend(ix).row);
                rows.weight(row).unwrap_or_else(|| self.priority(ix) * scale::UNIT)
            }
        }
    }

    fn each(&self) -> impl Iterator<Item = (BackendIx, u64)> + '_ {
        self.set.iter().map(|offset| {
            let ix = BackendIx(self.first + offset);
            (ix, self.weight_of(ix))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::connect_failed;
    use crate::balance::sample::Fleet;
    use crate::route::sample::{redirect, server};
    use ounce_conf::model::Backend;
    use std::collections::BTreeMap;

    fn servers(weights: &[u16]) -> Vec<Backend> {
        weights.iter().zip(1..).map(|(&weight, last)| server(&format!("10.0.0.{last}:80"), weight)).collect()
    }

    fn ix(picked: Option<BackendIx>) -> Option<u32> {
        picked.map(|backend| backend.0)
    }

    #[test]
    fn positions_of_any_size_are_remembered() {
        let mut tried = Tried::new();
        for position in [0, 63, 64, 200, 256, 1000] {
            assert!(!tried.contains(position));
            tried.insert(position);
            tried.insert(position);
            assert!(tried.contains(position));
        }
        assert_eq!(tried.len(), 6);
        assert_eq!(tried.iter().collect::<Vec<_>>(), [0, 63, 64, 200, 256, 1000]);
        tried.clear();
        assert!(tried.is_empty() && !tried.contains(63) && !tried.contains(200));
    }

    /// 1000 requests over 10 equal backends give exactly 100 each, whichever of 7 workers takes them.
    #[test]
    fn equal_shares_are_exact_over_all_workers() {
        let fleet = Fleet::new(Balancer::Iwrr, servers(&[5; 10]), Vec::new());
        let shares = fleet.shares(1000, 7);
        assert_eq!(shares, (0..10).map(|ix| (ix, 100)).collect::<BTreeMap<_, _>>());
    }

    #[test]
    fn weighted_shares_are_exact_in_every_cycle() {
        for (weights, cycle) in [(&[2_u16, 8][..], 10), (&[1, 2, 3, 3], 9), (&[65_535, 1, 7], 65_543)] {
            let fleet = Fleet::new(Balancer::Iwrr, servers(weights), Vec::new());
            for _ in 0..2 {
                let shares = fleet.shares(cycle, 3);
                let expected: BTreeMap<u32, u32> =
                    weights.iter().zip(0..).map(|(&weight, ix)| (ix, u32::from(weight))).collect();
                assert_eq!(shares, expected);
            }
        }
    }

    /// Round r holds the backends of weight above r, in file order.
    #[test]
    fn turns_are_interleaved() {
        let fleet = Fleet::new(Balancer::Iwrr, servers(&[1, 3, 2]), Vec::new());
        let turns: Vec<u32> = (0..12).map(|_| ix(fleet.pick()).expect("a backend")).collect();
        assert_eq!(turns, [0, 1, 2, 1, 2, 1, 0, 1, 2, 1, 2, 1]);
    }

    /// The rule itself, walked step by step, against the shortcut over distinct weights.
    #[test]
    fn the_shortcut_agrees_with_the_rule() {
        let weights = [7_u16, 1, 12, 7, 3, 12, 1];
        let fleet = Fleet::new(Balancer::Iwrr, servers(&weights), Vec::new());
        let rule = (0..12_u16).flat_map(|round| {
            weights.iter().zip(0..).filter(move |&(&weight, _)| round < weight).map(|(_, ix)| ix)
        });
        for (turn, expected) in rule.enumerate() {
            assert_eq!(ix(fleet.pick()), Some(expected), "turn {turn}");
        }
    }

    /// Workers that run at the same time share one position: threads stand in for processes.
    #[test]
    fn shares_stay_exact_when_workers_race() {
        let fleet = Fleet::new(Balancer::Iwrr, servers(&[2, 8, 5, 5]), Vec::new());
        let counts: Vec<BTreeMap<u32, u32>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| fleet.shares(1000, 1))).collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker")).collect()
        });
        let mut sum = BTreeMap::new();
        for (ix, count) in counts.into_iter().flatten() {
            *sum.entry(ix).or_insert(0) += count;
        }
        assert_eq!(sum, BTreeMap::from([(0, 400), (1, 1600), (2, 1000), (3, 1000)]));
    }

    #[test]
    fn more_than_64_backends_are_balanced_too() {
        let weights: Vec<u16> = (0..150).map(|n| 1 + n % 3).collect();
        let fleet = Fleet::new(Balancer::Iwrr, servers(&weights), Vec::new());
        let shares = fleet.shares(300, 1);
        assert_eq!(shares.len(), 150);
        assert!(shares.iter().all(|(&ix, &count)| count == 1 + ix % 3));
    }

    #[test]
    fn random_draws_follow_the_weights() {
        let fleet = Fleet::new(Balancer::Random, servers(&[1, 3]), Vec::new());
        let drawn: Vec<u32> =
            (0..8).map(|random| ix(fleet.pick_with(&Tried::new(), random)).expect("a backend")).collect();
        assert_eq!(drawn, [0, 1, 1, 1, 0, 1, 1, 1]);
        assert!(fleet.pick_with(&Tried::new(), u64::MAX).is_some());
    }

    /// Weights of the segment hold for all workers where `DynScale` is on, and for nobody where it is off.
    #[test]
    fn scaled_weights_count_only_where_they_are_wanted() {
        for balancer in [Balancer::Random, Balancer::Iwrr] {
            let mut fleet = Fleet::new(balancer, servers(&[5, 5]), Vec::new());
            fleet.segment.backends().set_weight(fleet.id(0), 3);
            fleet.segment.backends().set_weight(fleet.id(1), 1);
            let shares = |fleet: &Fleet, requests: u64| {
                let chosen = (0..requests).filter_map(|random| ix(fleet.pick_with(&Tried::new(), random)));
                let first = chosen.filter(|&chosen| chosen == 0).count() as u64;
                (first, requests - first)
            };
            assert_eq!(shares(&fleet, 40), (20, 20), "{balancer:?}");
            fleet.plan.services[0].dyn_scale = true;
            assert_eq!(shares(&fleet, 40), (30, 10), "{balancer:?}");
            // One that nobody has measured yet has its configured weight.
            fleet.segment.backends().set_weight(fleet.id(1), 0);
            fleet.segment.backends().set_weight(fleet.id(0), 5 * scale::UNIT);
            assert_eq!(shares(&fleet, 160), (80, 80), "{balancer:?}");
        }
    }

    #[test]
    fn dead_disabled_and_tried_backends_are_skipped() {
        for balancer in [Balancer::Random, Balancer::Iwrr] {
            let fleet = Fleet::new(balancer, servers(&[5, 5, 5, 5]), Vec::new());
            assert!(connect_failed(&fleet.plan, &fleet.segment, BackendIx(0), None, 1));
            fleet.segment.backends().set_disabled(fleet.id(1), true);
            let mut tried = Tried::new();
            tried.insert(2);
            for random in 0..8 {
                assert_eq!(ix(fleet.pick_with(&tried, random)), Some(3));
            }
            tried.insert(3);
            assert_eq!(fleet.pick_with(&tried, 0), None);
        }
    }

    #[test]
    fn emergencies_answer_only_while_no_regular_backend_can() {
        let fleet = Fleet::new(Balancer::Iwrr, servers(&[5, 5]), vec![redirect("http://sorry.example")]);
        assert!((0..20).all(|_| ix(fleet.pick()) != Some(2)));
        connect_failed(&fleet.plan, &fleet.segment, BackendIx(0), None, 1);
        assert!((0..20).all(|_| ix(fleet.pick()) == Some(1)));
        connect_failed(&fleet.plan, &fleet.segment, BackendIx(1), None, 1);
        assert!((0..20).all(|_| ix(fleet.pick()) == Some(2)));
        assert!(fleet.segment.backends().revive(fleet.id(1), 2));
        assert!((0..20).all(|_| ix(fleet.pick()) == Some(1)));
        fleet.segment.backends().set_disabled(fleet.id(1), true);
        fleet.segment.backends().set_disabled(fleet.id(2), true);
        assert_eq!(fleet.pick(), None);
    }

    #[test]
    fn redirects_never_die() {
        let fleet = Fleet::new(Balancer::Iwrr, vec![redirect("http://new.example")], Vec::new());
        assert!(!connect_failed(&fleet.plan, &fleet.segment, BackendIx(0), None, 1));
        assert_eq!(ix(fleet.pick()), Some(0));
    }

    #[test]
    fn only_the_first_to_notice_a_death_reports_it() {
        let fleet = Fleet::new(Balancer::Iwrr, servers(&[5]), Vec::new());
        assert!(connect_failed(&fleet.plan, &fleet.segment, BackendIx(0), None, 1));
        assert!(!connect_failed(&fleet.plan, &fleet.segment, BackendIx(0), None, 2));
    }

    /// One regular backend left: its requests leave the shared position alone.
    #[test]
    fn a_single_candidate_takes_no_turn() {
        let fleet = Fleet::new(Balancer::Iwrr, servers(&[5]), Vec::new());
        assert!(fleet.pick().is_some());
        assert_eq!(fleet.segment.services().next(ServiceId(fleet.service().row)), 0);
    }
}
