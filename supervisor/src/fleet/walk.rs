//! The fleet under a world of children that behave at random: what must hold whatever happens.

use super::tests::Scene;
use super::*;

/// Children that live, die and get ready at random, obeying orders most of the time.
struct World {
    scene: Scene,
    alive: BTreeMap<Slot, u32>,
    served: Option<u32>,
    seed: u64,
}

impl World {
    fn random(&mut self, below: u64) -> u64 {
        // Any generator will do: SplitMix64.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn obey(&mut self) {
        while !self.scene.out.is_empty() {
            for action in self.scene.take() {
                self.carry_out(&action);
            }
        }
    }

    fn carry_out(&mut self, action: &Action) {
        match *action {
            Action::Fork { slot, generation, .. } => {
                assert_eq!(self.alive.insert(slot, generation), None, "slot {slot} was taken");
                if self.random(10) == 0 {
                    self.die(slot);
                }
            }
            // An order may come after its child's death; then there is nobody to take it.
            Action::Drain(slot) => {
                let generation = self.alive.get(&slot).copied();
                assert!(
                    generation.is_none() || generation != self.served || self.scene.fleet.is_ending(),
                    "generation {generation:?} serves and must not drain"
                );
            }
            Action::Stop(_) if self.random(4) == 0 => {}
            Action::Stop(slot) | Action::Kill(slot) => self.die(slot),
            Action::Committed { generation, retired } => {
                assert_eq!(retired, self.served);
                assert_eq!(self.alive.values().filter(|of| **of == generation).count(), 3);
                self.served = Some(generation);
            }
            Action::Over(generation) => assert!(!self.alive.values().any(|of| *of == generation)),
            _ => {}
        }
    }

    fn die(&mut self, slot: Slot) {
        if self.alive.remove(&slot).is_some() {
            self.scene.die(slot);
        }
    }

    fn random_slot(&mut self) -> Option<Slot> {
        let count = self.alive.len() as u64;
        let nth = if count == 0 { return None } else { self.random(count) };
        self.alive.keys().nth(nth as usize).copied()
    }
}

#[test]
fn whatever_happens_slots_are_never_taken_twice_and_the_serving_generation_never_drains() {
    for seed in 0..300 {
        let mut world = World { scene: Scene::new(16), alive: BTreeMap::new(), served: None, seed };
        let mut generation = 0;
        for _ in 0..400 {
            match world.random(8) {
                0 => {
                    generation += 1;
                    let _ = world.scene.raise(generation);
                }
                1 => {
                    if let Some(slot) = world.random_slot() {
                        world.die(slot);
                    }
                }
                2 => {
                    let ms = world.random(12_000);
                    world.scene.pass(ms);
                }
                _ => {
                    if let Some(slot) = world.random_slot() {
                        world.scene.on(Event::Ready(slot));
                    }
                }
            }
            world.obey();
        }
        world.scene.fleet.stop(world.scene.now, &mut world.scene.out);
        world.obey();
        // Two limits of two seconds: the workers', then the warden's.
        for _ in 0..10 {
            world.scene.pass(1_000);
            world.obey();
        }
        assert!(world.scene.fleet.is_finished(), "seed {seed}: {:?}", world.alive);
    }
}
