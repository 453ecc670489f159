//! The fleet driven by events: no process, no clock.

use super::*;

/// A fleet, its clock and what it asked for since the last look.
pub(super) struct Scene {
    pub(super) fleet: Fleet,
    pub(super) now: u64,
    pub(super) out: Vec<Action>,
}

impl Scene {
    /// A fleet without members.
    pub(super) fn new(slots: Slot) -> Scene {
        Scene { fleet: Fleet::new(slots), now: 1_000, out: Vec::new() }
    }

    /// Two workers in slots 0 and 1 and a warden in slot 2, all ready; `Grace` is 30 s.
    fn serving() -> Scene {
        let mut scene = Scene::new(16);
        scene.raise(1).unwrap();
        for slot in 0..3 {
            scene.on(Event::Ready(slot));
        }
        assert_eq!(scene.fleet.serving(), Some(1));
        scene.take();
        scene
    }

    pub(super) fn raise(&mut self, generation: u32) -> Result<(), String> {
        self.fleet.raise(generation, 2, 30_000, self.now, &mut self.out)
    }

    pub(super) fn on(&mut self, event: Event) {
        self.fleet.on(event, self.now, &mut self.out);
    }

    pub(super) fn die(&mut self, slot: Slot) {
        self.on(Event::Exited(slot, "signal 9".into()));
    }

    /// Lets time pass in steps of at most a second, with beating hearts.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now = (self.now + 1_000).min(end);
            let now = self.now;
            self.fleet.tick(now, |_| now, &mut self.out);
        }
    }

    pub(super) fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.out)
    }
}

fn fork(slot: Slot, generation: u32, position: u16) -> Action {
    Action::Fork { slot, generation, role: Role::Worker { position } }
}

fn fork_warden(slot: Slot, generation: u32) -> Action {
    Action::Fork { slot, generation, role: Role::Warden }
}

fn lost(slot: Slot, role: Role, wait_ms: u64) -> Action {
    Action::Lost { slot, role, reason: "signal 9".into(), wait_ms }
}

#[test]
fn a_generation_serves_when_its_last_member_is_ready() {
    let mut scene = Scene::new(16);
    scene.raise(1).unwrap();
    assert_eq!(scene.take(), [fork(0, 1, 0), fork(1, 1, 1), fork_warden(2, 1)]);
    scene.on(Event::Ready(2));
    scene.on(Event::Ready(0));
    assert_eq!(scene.take(), []);
    assert_eq!(scene.fleet.serving(), None);
    scene.on(Event::Ready(1));
    assert_eq!(scene.take(), [Action::Committed { generation: 1, retired: None }]);
}

#[test]
fn the_old_generation_drains_only_when_the_new_one_is_ready() {
    let mut scene = Scene::serving();
    scene.raise(2).unwrap();
    assert_eq!(scene.take(), [fork(3, 2, 0), fork(4, 2, 1), fork_warden(5, 2)]);
    scene.on(Event::Ready(3));
    scene.on(Event::Ready(5));
    scene.pass(29_000);
    assert_eq!(scene.take(), []);
    scene.on(Event::Ready(4));
    assert_eq!(
        scene.take(),
        [
            Action::Committed { generation: 2, retired: Some(1) },
            Action::Drain(0),
            Action::Drain(1),
            Action::Drain(2)
        ]
    );
    scene.on(Event::Exited(2, "status 0".into()));
    scene.on(Event::Exited(0, "status 0".into()));
    assert_eq!(scene.take(), []);
    scene.on(Event::Exited(1, "status 0".into()));
    assert_eq!(scene.take(), [Action::Over(1)]);
}

/// It may be answering their requests.
#[test]
fn a_draining_warden_outlives_its_workers() {
    let mut scene = Scene::serving();
    scene.raise(2).unwrap();
    for slot in 3..6 {
        scene.on(Event::Ready(slot));
    }
    scene.on(Event::Exited(0, "status 0".into()));
    scene.take();
    scene.pass(31_000);
    assert_eq!(scene.take(), [Action::Stop(1)]);
    scene.on(Event::Exited(1, "status 0".into()));
    assert_eq!(scene.take(), [Action::Stop(2)]);
    scene.on(Event::Exited(2, "status 0".into()));
    assert_eq!(scene.take(), [Action::Over(1)]);
}

#[test]
fn a_worker_that_dies_before_ready_ends_its_generation_and_nothing_else() {
    let mut scene = Scene::serving();
    scene.raise(2).unwrap();
    scene.on(Event::Ready(3));
    scene.take();
    scene.on(Event::Exited(4, "status 1".into()));
    let reason = "worker 1 is gone before its generation was ready: status 1".to_string();
    // The ready one may have accepted connections: it drains.
    assert_eq!(
        scene.take(),
        [Action::RolledBack { generation: 2, reason }, Action::Drain(3), Action::Stop(5)]
    );
    assert_eq!(scene.fleet.serving(), Some(1));
    assert!(!scene.fleet.is_rising());
    scene.on(Event::Exited(5, "status 0".into()));
    scene.on(Event::Exited(3, "status 0".into()));
    assert_eq!(scene.take(), [Action::Over(2)]);
    scene.pass(60_000);
    assert_eq!(scene.take(), []);
}

#[test]
fn a_ready_member_that_dies_before_its_generation_serves_ends_it_too() {
    let mut scene = Scene::serving();
    scene.raise(2).unwrap();
    scene.on(Event::Ready(3));
    scene.on(Event::Ready(4));
    scene.take();
    scene.die(3);
    assert!(matches!(scene.take()[0], Action::RolledBack { generation: 2, .. }));
    scene.on(Event::Ready(5));
    assert_eq!(scene.fleet.serving(), Some(1), "a late READY commits nothing");
}

#[test]
fn a_generation_that_is_not_ready_in_time_is_given_up() {
    let mut scene = Scene::serving();
    scene.raise(2).unwrap();
    scene.on(Event::Ready(3));
    scene.on(Event::Ready(5));
    scene.take();
    scene.pass(30_000);
    let reason = "worker 1 was not ready within 30 s".to_string();
    assert_eq!(
        scene.take(),
        [Action::Kill(4), Action::RolledBack { generation: 2, reason }, Action::Drain(3), Action::Drain(5)]
    );
}

#[test]
fn the_first_generation_can_fail_as_well() {
    let mut scene = Scene::new(16);
    scene.raise(1).unwrap();
    scene.take();
    scene.on(Event::Exited(0, "status 1".into()));
    assert!(matches!(scene.take()[0], Action::RolledBack { generation: 1, .. }));
    assert_eq!(scene.fleet.serving(), None);
    scene.fleet.stop(scene.now, &mut scene.out);
    scene.on(Event::Exited(1, "status 0".into()));
    scene.on(Event::Exited(2, "status 0".into()));
    assert_eq!(scene.take().last(), Some(&Action::Finished));
}

#[test]
fn a_dead_worker_is_replaced_at_once_in_its_slot() {
    let mut scene = Scene::serving();
    scene.pass(5_000);
    scene.die(1);
    assert_eq!(scene.take(), [lost(1, Role::Worker { position: 1 }, 0), fork(1, 1, 1)]);
    scene.on(Event::Ready(1));
    scene.pass(1_000);
    scene.die(1);
    assert_eq!(scene.take(), [lost(1, Role::Worker { position: 1 }, 0), fork(1, 1, 1)]);
}

#[test]
fn a_dead_warden_is_replaced_and_the_workers_do_not_notice() {
    let mut scene = Scene::serving();
    scene.die(2);
    assert_eq!(scene.take(), [lost(2, Role::Warden, 0), fork_warden(2, 1)]);
    scene.die(2);
    assert_eq!(scene.take(), [lost(2, Role::Warden, 50)]);
    scene.pass(49);
    assert_eq!(scene.take(), []);
    scene.pass(1);
    assert_eq!(scene.take(), [fork_warden(2, 1)]);
}

#[test]
fn quick_deaths_are_answered_with_growing_waits() {
    let mut scene = Scene::serving();
    let mut waits = Vec::new();
    for _ in 0..10 {
        scene.die(0);
        let wait = scene.take().into_iter().find_map(|action| match action {
            Action::Lost { wait_ms, .. } => Some(wait_ms),
            _ => None,
        });
        waits.push(wait.unwrap());
        scene.pass(*waits.last().unwrap());
    }
    assert_eq!(waits, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
}

#[test]
fn the_fall_to_zero_is_reported_and_answered_quickly() {
    let mut scene = Scene::serving();
    scene.die(0);
    for wait in [50, 100, 200, 400, 800, 1600] {
        scene.die(0);
        scene.pass(wait);
    }
    scene.take();
    scene.die(1);
    // Worker 0 is being started, worker 1 is gone: nobody serves.
    assert_eq!(scene.take(), [lost(1, Role::Worker { position: 1 }, 0), Action::Dark, fork(1, 1, 1)]);
    scene.die(0);
    // Alone it would wait 3.2 s.
    assert_eq!(scene.take(), [lost(0, Role::Worker { position: 0 }, 1_000)]);
    scene.on(Event::Ready(1));
    assert_eq!(scene.take(), [Action::Bright]);
    scene.pass(1_000);
    scene.on(Event::Ready(0));
    assert_eq!(scene.take(), [fork(0, 1, 0)], "said once");
}

#[test]
fn a_worker_whose_heart_stands_still_is_killed_and_replaced() {
    let mut scene = Scene::serving();
    for _ in 0..12 {
        scene.now += 1_000;
        let now = scene.now;
        scene.fleet.tick(now, |slot| if slot == 1 { 5 } else { now }, &mut scene.out);
    }
    assert_eq!(scene.take(), [Action::Stuck(1, Role::Worker { position: 1 }), Action::Kill(1)]);
    scene.die(1);
    assert_eq!(scene.take(), [lost(1, Role::Worker { position: 1 }, 0), fork(1, 1, 1)]);
}

#[test]
fn when_all_hearts_stand_still_they_are_not_all_killed_at_once() {
    let mut scene = Scene::serving();
    while scene.out.is_empty() {
        scene.now += 1_000;
        scene.fleet.tick(scene.now, |_| 5, &mut scene.out);
    }
    assert_eq!(scene.take(), [Action::Stuck(0, Role::Worker { position: 0 }), Action::Kill(0)]);
    // The others came back to life.
    scene.pass(20_000);
    assert_eq!(scene.take(), []);
}

#[test]
fn a_serving_worker_that_does_not_become_ready_is_killed_and_tried_again() {
    let mut scene = Scene::serving();
    scene.die(0);
    scene.take();
    scene.pass(30_000);
    assert_eq!(scene.take(), [Action::Kill(0)]);
    scene.die(0);
    assert_eq!(scene.take(), [lost(0, Role::Worker { position: 0 }, 50)]);
}

#[test]
fn draining_ends_in_time_or_is_ended() {
    let mut scene = Scene::serving();
    scene.fleet.drain(scene.now, &mut scene.out);
    assert_eq!(scene.take(), [Action::Drain(0), Action::Drain(1)]);
    scene.on(Event::Exited(0, "status 0".into()));
    scene.pass(31_000);
    assert_eq!(scene.take(), [Action::Stop(1)]);
    scene.pass(2_000);
    assert_eq!(scene.take(), [Action::Kill(1)]);
    scene.die(1);
    // The warden wrote the last lines; now it may go.
    assert_eq!(scene.take(), [Action::Stop(2)]);
    scene.on(Event::Exited(2, "status 0".into()));
    assert_eq!(scene.take(), [Action::Finished]);
    assert!(scene.fleet.is_finished());
}

#[test]
fn a_worker_that_dies_while_draining_has_no_successor_but_the_warden_has() {
    let mut scene = Scene::serving();
    scene.fleet.drain(scene.now, &mut scene.out);
    scene.take();
    scene.die(0);
    assert_eq!(scene.take(), []);
    scene.die(2);
    assert_eq!(scene.take(), [lost(2, Role::Warden, 0), fork_warden(2, 1)]);
    scene.on(Event::Exited(1, "status 0".into()));
    assert_eq!(scene.take(), [Action::Stop(2)]);
}

#[test]
fn stopping_is_bounded_and_overrides_draining() {
    let mut scene = Scene::serving();
    scene.fleet.drain(scene.now, &mut scene.out);
    scene.take();
    scene.fleet.stop(scene.now, &mut scene.out);
    assert_eq!(scene.take(), [Action::Stop(0), Action::Stop(1)]);
    scene.pass(2_000);
    assert_eq!(scene.take(), [Action::Kill(0), Action::Kill(1)]);
    scene.die(0);
    scene.die(1);
    assert_eq!(scene.take(), [Action::Stop(2)]);
    scene.pass(2_000);
    assert_eq!(scene.take(), [Action::Kill(2)]);
    scene.die(2);
    assert_eq!(scene.take(), [Action::Finished]);
}

#[test]
fn stopping_takes_everybody_along_rising_retired_and_waiting() {
    let mut scene = Scene::serving();
    scene.raise(2).unwrap();
    for slot in 3..6 {
        scene.on(Event::Ready(slot));
    }
    scene.die(3);
    scene.die(3);
    scene.raise(3).unwrap();
    scene.take();
    scene.fleet.stop(scene.now, &mut scene.out);
    let out = scene.take();
    assert!(matches!(out[0], Action::RolledBack { generation: 3, .. }));
    for slot in [0, 1, 2, 3, 4, 5, 6, 7, 8] {
        scene.die(slot);
    }
    assert_eq!(scene.take().last(), Some(&Action::Finished));
}

#[test]
fn generations_do_not_overlap_without_bound() {
    let mut scene = Scene::new(7);
    scene.raise(1).unwrap();
    assert!(scene.raise(2).is_err(), "one at a time");
    for slot in 0..3 {
        scene.on(Event::Ready(slot));
    }
    scene.raise(2).unwrap();
    for slot in 3..6 {
        scene.on(Event::Ready(slot));
    }
    scene.take();
    let error = scene.raise(3).unwrap_err();
    assert!(error.contains("still draining"), "{error}");
    assert_eq!(scene.take(), []);
    scene.on(Event::Exited(0, "status 0".into()));
    scene.on(Event::Exited(1, "status 0".into()));
    scene.raise(3).unwrap();
    assert_eq!(scene.take()[1..], [fork(0, 3, 0), fork(1, 3, 1), fork_warden(6, 3)]);
}

#[test]
fn a_worker_that_is_replaced_during_a_reload_is_the_old_generations() {
    let mut scene = Scene::serving();
    scene.raise(2).unwrap();
    scene.take();
    scene.die(0);
    assert_eq!(scene.take(), [lost(0, Role::Worker { position: 0 }, 0), fork(0, 1, 0)]);
    for slot in 3..6 {
        scene.on(Event::Ready(slot));
    }
    // The replacement may have accepted already although it is not ready: it drains like the others.
    assert_eq!(
        scene.take(),
        [
            Action::Committed { generation: 2, retired: Some(1) },
            Action::Drain(0),
            Action::Drain(1),
            Action::Drain(2)
        ]
    );
}

#[test]
fn events_about_unknown_slots_change_nothing() {
    let mut scene = Scene::serving();
    scene.on(Event::Ready(9));
    scene.die(9);
    scene.on(Event::Ready(0));
    assert_eq!(scene.take(), []);
}

#[test]
fn adopted_children_are_the_serving_generation_or_on_their_way_out() {
    let mut scene = Scene::new(16);
    let worker = |position| Role::Worker { position };
    let children = [(0, 1, worker(0)), (3, 2, worker(0)), (4, 2, worker(1)), (5, 2, Role::Warden)];
    scene.fleet.adopt(2, 30_000, children.into_iter(), scene.now);
    scene.raise(3).unwrap();
    assert_eq!(scene.take(), [fork(1, 3, 0), fork(2, 3, 1), fork_warden(6, 3)]);
    for slot in [1, 2, 6] {
        scene.on(Event::Ready(slot));
    }
    assert_eq!(
        scene.take(),
        [
            Action::Committed { generation: 3, retired: Some(2) },
            Action::Drain(3),
            Action::Drain(4),
            Action::Drain(5)
        ]
    );
    scene.die(0);
    assert_eq!(scene.take(), [Action::Over(1)]);
}
