//! `DynScale`: looks now and then at how fast backends answer, and sets their weights for all workers.

use crate::inheritance::Inheritance;
use ounce_core::balance::scale;
use ounce_core::route::plan::{BackendKind, BackendPlan, Plan};
use ounce_mem::{BackendId, Segment, Stats};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often weights are set, unless dead backends are probed more often.
const LOOK_MS_MAX: u64 = 5000;

/// Rescales for ever; ends at once if no service wants it.
pub(super) async fn run(of: Arc<Inheritance>) {
    let groups = groups(&of.plan);
    if groups.is_empty() {
        return;
    }
    let mut seen = HashMap::new();
    let mut look = tokio::time::interval(Duration::from_millis(of.plan.alive_ms.clamp(1, LOOK_MS_MAX)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        for group in &groups {
            rescale(&of.segment, group, &mut seen);
        }
    }
}

/// A backend whose weight follows its times.
struct Scaled {
    row: BackendId,
    priority: u16,
}

/// Backends that are compared with each other: the regular ones of a service, or its emergency ones.
fn groups(plan: &Plan) -> Vec<Vec<Scaled>> {
    let server = |backend: &BackendPlan| {
        let server = matches!(backend.kind, BackendKind::Server { .. });
        server.then_some(Scaled { row: BackendId(backend.row), priority: backend.priority })
    };
    let wanted = plan.services.iter().filter(|service| service.dyn_scale);
    let ranges = wanted.flat_map(|service| [service.backends.clone(), service.emergency.clone()]);
    let backends = ranges.map(|range| {
        let range = range.start as usize..range.end as usize;
        plan.backends[range].iter().filter_map(server).collect::<Vec<Scaled>>()
    });
    backends.filter(|group| group.len() > 1).collect()
}

/// One look at a group; `seen` is what the last one saw.
fn rescale(segment: &Segment, group: &[Scaled], seen: &mut HashMap<BackendId, Stats>) {
    let backends = segment.backends();
    let mut means = Vec::with_capacity(group.len());
    for one in group.iter().filter(|one| backends.is_active(one.row)) {
        let now = backends.stats(one.row);
        if let Some(before) = seen.get(&one.row) {
            match scale::mean_between(*before, now) {
                Some(mean) => means.push((one, mean)),
                // Answers that are too few are left to add up, unless the row has been emptied.
                None if now.count >= before.count => continue,
                None => {}
            }
        }
        seen.insert(one.row, now);
    }
    if means.len() < 2 {
        return;
    }
    let average = means.iter().map(|(_, mean)| mean).sum::<f64>() / means.len() as f64;
    for (one, mean) in means {
        let weight = backends.weight(one.row).unwrap_or(u64::from(one.priority) * scale::UNIT);
        backends.set_weight(one.row, scale::rescaled(one.priority, weight, mean, average));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::inheritance;
    use super::*;

    const BACKENDS: &str =
        "BackEnd\nAddress 127.0.0.1\nPort 1\nEnd\nBackEnd\nAddress 127.0.0.1\nPort 2\nEnd\n";

    #[test]
    fn only_services_that_want_it_are_rescaled() {
        let of = inheritance(&format!(
            "Service\n{BACKENDS}End\nService\nDynScale 1\n{BACKENDS}End\nService\nDynScale 1\nError 404\nEnd\n"
        ));
        let groups = groups(&of.plan);
        let rows: Vec<Vec<u32>> =
            groups.iter().map(|group| group.iter().map(|one| one.row.0).collect()).collect();
        assert_eq!(rows, [vec![of.plan.backends[2].row, of.plan.backends[3].row]]);
    }

    #[test]
    fn the_faster_backend_gets_more_to_do() {
        let of = inheritance(&format!("Service\nDynScale 1\n{BACKENDS}End\n"));
        let backends = of.segment.backends();
        let [fast, slow] = [0, 1].map(|index: usize| BackendId(of.plan.backends[index].row));
        let mut seen = HashMap::new();
        let group = &groups(&of.plan)[0];
        let mut look = |answers: u64| {
            for _ in 0..answers {
                backends.answered(fast, 0, 1_000_000);
                backends.answered(slow, 0, 9_000_000);
            }
            rescale(&of.segment, group, &mut seen);
            (backends.weight(fast), backends.weight(slow))
        };
        assert_eq!(look(10), (None, None), "what was before the first look is old");
        assert_eq!(look(2), (None, None), "two answers say nothing");
        let (Some(more), Some(less)) = look(2) else { panic!("four do") };
        assert!(more > 5 * scale::UNIT && less < 5 * scale::UNIT, "{more} {less}");
        let (Some(most), Some(least)) = look(10) else { panic!("they have weights") };
        assert!(most > more && least < less, "{most} {least}");
        // A backend that is not in use has no say.
        backends.set_disabled(slow, true);
        assert_eq!(look(10), (Some(most), Some(least)));
    }
}
