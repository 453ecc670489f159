//! Whole workers on a simulated network, from seeds.
//!
//! Each seed draws faults of the network and kernel, scripts of clients and the behaviour of origins; then the real worker
//! serves them in virtual time, and every byte is compared with what it must be, with TLS on either side too ([`line`]).
//! `OUNCE_SEED=n` runs one seed, `OUNCE_SEEDS=n` that many.

mod broken;
mod client;
mod crowd;
mod line;
mod message;
mod origin;
mod scene;

use scene::Scene;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Seeds of a plain test run.
const SEEDS: u64 = 400;

/// Of these, with TLS.
const SEEDS_TLS: usize = 100;

/// A seed beyond those in which a send is told of a reset, and the receive behind it of an end.
const TOLD_ONCE: u64 = 2036;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs one seed and names it if it fails.
fn run(seed: u64, scene: impl FnOnce(u64) -> Scene) -> scene::Tally {
    let outcome = catch_unwind(AssertUnwindSafe(|| scene(seed).play()));
    outcome.unwrap_or_else(|panic| {
        eprintln!("seed {seed} failed: run it again with OUNCE_SEED={seed}");
        resume_unwind(panic)
    })
}

fn seeds() -> impl Iterator<Item = u64> {
    let (range, more) = match number("OUNCE_SEED") {
        Some(seed) => (seed..seed + 1, None),
        None => (0..number("OUNCE_SEEDS").unwrap_or(SEEDS), Some(TOLD_ONCE)),
    };
    range.chain(more)
}

/// Whatever goes wrong, no byte of another request or response is ever seen, invariants hold after each turn, and at
/// the end nothing is left open.
#[test]
fn any_network_any_origin() {
    let mut total = scene::Tally::default();
    for seed in seeds() {
        total.add(run(seed, Scene::stormy));
    }
    eprintln!("{total:?}");
    if number("OUNCE_SEED").is_none() {
        let bites = [total.answered / 10, total.bodies, total.tunnels * 4, total.invited * 2];
        assert!(bites.iter().all(|&times| times > 100), "the scripts lost their bite: {total:?}");
    }
}

/// On a sound network every request that some backend can answer is answered, and whole.
#[test]
fn sound_network_answers_everything() {
    for seed in seeds() {
        let tally = run(seed, Scene::calm);
        assert_eq!(tally.refused, 0, "seed {seed}: a request was answered with an error");
        assert_eq!(tally.cut, 0, "seed {seed}: a response was cut short");
    }
}

/// The same storms over TLS, on either side or both.
#[test]
fn any_network_any_origin_over_tls() {
    let mut total = scene::Tally::default();
    for seed in seeds().take(SEEDS_TLS) {
        total.add(run(seed, |seed| Scene::stormy(seed).sealed()));
    }
    eprintln!("{total:?}");
    if number("OUNCE_SEED").is_none() {
        let bites = [total.sealed / 4, total.bodies, total.tunnels * 6, total.invited * 4];
        assert!(bites.iter().all(|&times| times > 100), "the scripts lost their bite: {total:?}");
    }
}

/// The same calm over TLS.
#[test]
fn sound_network_answers_everything_over_tls() {
    for seed in seeds().take(SEEDS_TLS) {
        let tally = run(seed, |seed| Scene::calm(seed).sealed());
        assert_eq!((tally.refused, tally.cut), (0, 0), "seed {seed}");
    }
}

/// Clients beyond those there is room for wait, and each of them is served in the end.
#[test]
fn a_crowd_waits_for_room() {
    let mut total = scene::Tally::default();
    for seed in seeds().take(60) {
        let tally = run(seed, Scene::crowded);
        assert_eq!((tally.refused, tally.cut), (0, 0), "seed {seed}");
        total.add(tally);
    }
    assert!(number("OUNCE_SEED").is_some() || total.accept_pauses > 60, "it was never crowded: {total:?}");
}

/// Accepting rests when it fails and goes on later: nobody is turned away, and the loop does not spin meanwhile.
#[test]
fn accepting_rests_when_it_fails() {
    for seed in seeds().take(60) {
        let tally = run(seed, Scene::scarce);
        assert_eq!((tally.refused, tally.cut), (0, 0), "seed {seed}");
    }
}

/// The same seed is the same run, to the last completion.
#[test]
fn a_seed_repeats() {
    for seed in seeds().take(20) {
        for scene in [Scene::stormy, |seed| Scene::stormy(seed).sealed()] {
            assert_eq!(run(seed, scene).fingerprint, run(seed, scene).fingerprint, "seed {seed}");
        }
    }
}
