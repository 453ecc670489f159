//! Sessions that nobody keeps (`TTL -1`): the key itself says which backend it belongs to.
//!
//! All workers, all generations and all nodes with the same backends agree without a word. A key whose backend is not
//! active goes to the next one in file order that is, and comes back when its own is back.

use super::pick::{Tried, each, group_of, weight_of};
use crate::route::plan::{BackendIx, Plan, ServicePlan};
use ounce_mem::{BackendId, Segment};
use std::ops::Range;

/// The backend that a key belongs to, or who stands in for it: emergencies only when no regular one is left.
pub(super) fn choose(
    plan: &Plan,
    service: &ServicePlan,
    segment: &Segment,
    key: &[u8],
    tried: &Tried,
) -> Option<BackendIx> {
    let usable = |ix: BackendIx| {
        segment.backends().is_active(BackendId(plan.backend(ix).row)) && !tried.contains(service.position(ix))
    };
    let hash = u64::from(hash(key));
    let groups = [&service.backends, &service.emergency];
    groups.into_iter().find_map(|among| choose_among(plan, segment, among, hash, usable))
}

fn choose_among(
    plan: &Plan,
    segment: &Segment,
    among: &Range<u32>,
    hash: u64,
    usable: impl Fn(BackendIx) -> bool,
) -> Option<BackendIx> {
    let group = |ix| group_of(plan, segment, ix);
    let mut lowest = None;
    each(plan, segment, among, |ix| {
        if usable(ix) {
            lowest = Some(lowest.map_or(group(ix), |known: u16| known.min(group(ix))));
        }
    });
    let lowest = lowest?;
    // Who is not active has its share all the same, so that the keys of others stay where they are.
    let mut sum = 0;
    each(plan, segment, among, |ix| {
        if group(ix) == lowest {
            sum += weight_of(plan, segment, ix);
        }
    });
    // Addresses of names come and go under way; then the sum may be another one, and the first that is usable answers.
    let mut left = hash % sum.max(1);
    let (mut owner_passed, mut first, mut chosen) = (false, None, None);
    each(plan, segment, among, |ix| {
        if group(ix) != lowest {
            return;
        }
        let weight = weight_of(plan, segment, ix);
        owner_passed |= left < weight;
        left = left.saturating_sub(weight);
        if usable(ix) {
            first = first.or(Some(ix));
            if owner_passed {
                chosen = chosen.or(Some(ix));
            }
        }
    });
    chosen.or(first)
}

/// FNV of 32 bits as Pound 2.x has it, so that keys stay with their backends when ounce takes its place.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(2_166_136_261, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::connect_failed;
    use crate::balance::sample::Fleet;
    use crate::route::sample::server;
    use ounce_conf::model::Backend;
    use std::collections::BTreeMap;

    fn servers(weights: &[u16]) -> Vec<Backend> {
        weights.iter().zip(1..).map(|(&weight, last)| server(&format!("10.0.0.{last}:80"), weight)).collect()
    }

    fn homes(fleet: &Fleet) -> Vec<Option<u32>> {
        (0..4000_u32).map(|n| fleet.pick_for(n.to_string().as_bytes(), 0, &Tried::new())).collect()
    }

    /// The published vectors of FNV-1a.
    #[test]
    fn keys_are_hashed_as_published() {
        for (key, expected) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(hash(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn keys_spread_by_weight_and_stay() {
        let fleet = Fleet::hashed(servers(&[1, 3]), Vec::new());
        let first = homes(&fleet);
        assert_eq!(homes(&Fleet::hashed(servers(&[1, 3]), Vec::new())), first, "another node agrees");
        let mut shares = BTreeMap::new();
        first.iter().for_each(|home| *shares.entry(*home).or_insert(0) += 1);
        assert!((800..1200).contains(&shares[&Some(0)]), "{shares:?}");
    }

    /// The keys of a dead backend move to the next one, all others stay; when it is back, its keys are too.
    #[test]
    fn only_keys_of_a_dead_backend_move() {
        let fleet = Fleet::hashed(servers(&[5, 5, 5]), servers(&[5])[..].to_vec());
        let before = homes(&fleet);
        connect_failed(&fleet.plan, &fleet.segment, BackendIx(2), None, 1);
        let moved: Vec<Option<u32>> =
            before.iter().map(|home| if *home == Some(2) { Some(0) } else { *home }).collect();
        assert_eq!(homes(&fleet), moved, "the next after the last is the first");
        fleet.segment.backends().revive(fleet.id(2), 2);
        assert_eq!(homes(&fleet), before);
        fleet.segment.backends().set_disabled(fleet.id(2), true);
        assert_eq!(homes(&fleet), moved, "a disabled one keeps no keys: nobody knows who came before");
        (0..2).for_each(|ix| fleet.segment.backends().set_disabled(fleet.id(ix), true));
        assert!(homes(&fleet).iter().all(|home| *home == Some(3)), "the emergency");
    }

    #[test]
    fn a_backend_that_was_tried_is_passed_over() {
        let fleet = Fleet::hashed(servers(&[5, 5, 5]), Vec::new());
        let home = fleet.pick_for(b"key", 0, &Tried::new()).expect("a backend");
        let mut tried = Tried::new();
        for number in 1..=3 {
            tried.insert((home + number - 1) % 3);
            let next = (number < 3).then_some((home + number) % 3);
            assert_eq!(fleet.pick_for(b"key", 0, &tried), next);
        }
    }
}
