//! The fleet as a pure state machine: what happened to the children goes in, what to do about it comes out.
//!
//! A *generation* is one configuration served by its workers and its warden. At most one generation *serves*, at most
//! one is *rising* beside it, and any number are *retired* and on their way out. What must hold:
//!
//! - a rising generation takes over only when every one of its members is ready; until then the serving one is as it
//!   was, and a member that dies, or is not ready within [`READY_MS`], ends the rising generation alone;
//! - a member of the serving generation that ends is replaced in the same slot (same CPU, same sockets), at once the
//!   first time and with growing waits after that ([`backoff`]);
//! - a retired member has its `Grace`, then it is told to stop, then it is killed: each state but `Ready` has a limit;
//! - while no worker of the serving generation is ready, the wait for a successor is at most [`DARK_WAIT_MS`], and both
//!   the fall to zero and the recovery are reported.
//!
//! Time is monotonic milliseconds and always an argument. Processes, sockets and the segment are the caller's.

mod action;
mod backoff;
mod pulse;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;

pub(crate) use action::{Action, Event, Role, Slot};

use backoff::Backoff;
use pulse::Pulse;
use std::collections::BTreeMap;

/// A child that is not ready after so long has failed.
const READY_MS: u64 = 30_000;
/// How long after its `Grace` a draining worker may take to end by itself. A draining warden has twice as long: what it
/// answers are requests of those workers.
const DRAIN_SLACK_MS: u64 = 1_000;
/// How long a child may take to end after it was told to stop.
const STOP_MS: u64 = 2_000;
/// The longest wait for a successor while no worker is ready.
const DARK_WAIT_MS: u64 = 1_000;

/// The state of one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Forked, not ready yet.
    Starting { until: u64 },
    /// At work.
    Ready { since: u64 },
    /// Told to finish what it has.
    Draining { until: u64 },
    /// Told to end.
    Stopping { until: u64 },
    /// Killed, its exit not yet seen.
    Killed,
    /// Gone; forked again when due.
    Waiting { due: u64 },
}

#[derive(Debug)]
struct Member {
    generation: u32,
    role: Role,
    phase: Phase,
    backoff: Backoff,
    pulse: Pulse,
}

/// How the whole is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Draining,
    Stopping,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Fleet {
    members: BTreeMap<Slot, Member>,
    grace_ms: BTreeMap<u32, u64>,
    serving: Option<u32>,
    rising: Option<u32>,
    ending: Ending,
    finished: bool,
    dark: bool,
    slots_max: Slot,
    looked: u64,
}

impl Fleet {
    /// An empty fleet that may hold so many children at once.
    pub(crate) fn new(slots_max: Slot) -> Fleet {
        Fleet {
            members: BTreeMap::new(),
            grace_ms: BTreeMap::new(),
            serving: None,
            rising: None,
            ending: Ending::No,
            finished: false,
            dark: false,
            slots_max,
            looked: 0,
        }
    }

    /// Takes in children that an earlier program has left: those of `serving` are at work, all others on their way out.
    pub(crate) fn adopt(
        &mut self,
        serving: u32,
        grace_ms: u64,
        children: impl Iterator<Item = (Slot, u32, Role)>,
        now: u64,
    ) {
        self.serving = Some(serving);
        self.grace_ms.insert(serving, grace_ms);
        for (slot, generation, role) in children {
            let phase = match role {
                _ if generation == serving => Phase::Ready { since: now },
                _ => Phase::Draining { until: now.saturating_add(grace_ms + drain_slack_ms(role)) },
            };
            self.grace_ms.insert(generation, grace_ms);
            let member =
                Member { generation, role, phase, backoff: Backoff::default(), pulse: Pulse::default() };
            self.members.insert(slot, member);
        }
    }

    /// The generation that serves.
    pub(crate) fn serving(&self) -> Option<u32> {
        self.serving
    }

    /// A generation is rising.
    pub(crate) fn is_rising(&self) -> bool {
        self.rising.is_some()
    }

    /// The end was ordered.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending != Ending::No
    }

    /// Everything is over: there will be no further action.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The role of a slot's child.
    pub(crate) fn role(&self, slot: Slot) -> Option<Role> {
        self.members.get(&slot).map(|member| member.role)
    }

    /// Starts a new generation beside the serving one.
    ///
    /// # Errors
    /// Too many children of earlier generations are still there, another generation is rising, or the end was ordered;
    /// nothing has changed then.
    pub(crate) fn raise(
        &mut self,
        generation: u32,
        workers: u16,
        grace_ms: u64,
        now: u64,
        out: &mut Vec<Action>,
    ) -> Result<(), String> {
        if self.rising.is_some() || self.is_ending() {
            return Err("another change of the fleet is under way".into());
        }
        let wanted = usize::from(workers) + 1;
        let free: Vec<Slot> =
            (0..self.slots_max).filter(|slot| !self.members.contains_key(slot)).take(wanted).collect();
        if free.len() < wanted {
            return Err(format!("too many workers are still draining ({} children)", self.members.len()));
        }
        let roles = (0..workers).map(|position| Role::Worker { position }).chain([Role::Warden]);
        for (slot, role) in free.into_iter().zip(roles) {
            let phase = Phase::Starting { until: now + READY_MS };
            let member =
                Member { generation, role, phase, backoff: Backoff::default(), pulse: Pulse::default() };
            self.members.insert(slot, member);
            out.push(Action::Fork { slot, generation, role });
        }
        self.grace_ms.insert(generation, grace_ms);
        self.rising = Some(generation);
        Ok(())
    }

    /// Takes in what happened to a child.
    pub(crate) fn on(&mut self, event: Event, now: u64, out: &mut Vec<Action>) {
        match event {
            Event::Ready(slot) => self.ready(slot, now, out),
            Event::Exited(slot, reason) => self.exited(slot, reason, now, out),
        }
        self.settle(now, out);
    }

    /// Finishes what is being served, for at most `Grace`, and ends.
    pub(crate) fn drain(&mut self, now: u64, out: &mut Vec<Action>) {
        if self.ending != Ending::No {
            return;
        }
        self.give_up_rising("the program is ending", now, out);
        self.ending = Ending::Draining;
        let retiring = self.slots(|member| matches!(member.role, Role::Worker { .. }));
        for slot in retiring {
            self.drain_member(slot, now, out);
        }
        self.settle(now, out);
    }

    /// Ends at once.
    pub(crate) fn stop(&mut self, now: u64, out: &mut Vec<Action>) {
        if self.ending == Ending::Stopping {
            return;
        }
        self.give_up_rising("the program is ending", now, out);
        self.ending = Ending::Stopping;
        for slot in self.slots(|member| matches!(member.role, Role::Worker { .. })) {
            self.stop_member(slot, now, out);
        }
        self.settle(now, out);
    }

    /// Looks at heartbeats and limits of time; to be called once a second and when [`Fleet::deadline`] has come.
    pub(crate) fn tick(&mut self, now: u64, beat: impl Fn(Slot) -> u64, out: &mut Vec<Action>) {
        for slot in self.slots(|member| member.deadline().is_some_and(|at| at <= now)) {
            self.overdue(slot, now, out);
        }
        self.look_at_hearts(now, beat, out);
        self.settle(now, out);
    }

    /// When the next limit of time is reached.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.members.values().filter_map(Member::deadline).min()
    }

    fn slots(&self, wanted: impl Fn(&Member) -> bool) -> Vec<Slot> {
        self.members.iter().filter(|(_, member)| wanted(member)).map(|(slot, _)| *slot).collect()
    }

    fn ready(&mut self, slot: Slot, now: u64, out: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&slot) else { return };
        // A child that was told to end while it started may still say it; only one that is waited for counts.
        if !matches!(member.phase, Phase::Starting { .. }) {
            return;
        }
        member.phase = Phase::Ready { since: now };
        member.pulse = Pulse::default();
        let generation = member.generation;
        let worker = matches!(member.role, Role::Worker { .. });
        if self.rising == Some(generation) {
            let all = self.members.values().filter(|member| member.generation == generation);
            if all.clone().all(|member| matches!(member.phase, Phase::Ready { .. })) {
                self.commit(generation, now, out);
            }
        } else if worker && self.dark {
            self.dark = false;
            out.push(Action::Bright);
        }
    }

    fn commit(&mut self, generation: u32, now: u64, out: &mut Vec<Action>) {
        let retired = self.serving.replace(generation);
        self.rising = None;
        out.push(Action::Committed { generation, retired });
        if std::mem::take(&mut self.dark) {
            out.push(Action::Bright);
        }
        if let Some(retired) = retired {
            self.retire(retired, now, out);
        }
    }

    /// Sends a generation's members home, each in its way.
    fn retire(&mut self, generation: u32, now: u64, out: &mut Vec<Action>) {
        for slot in self.slots(|member| member.generation == generation) {
            let member = &self.members[&slot];
            match (member.role, member.phase) {
                // It has answered nothing yet.
                (Role::Warden, Phase::Starting { .. }) => self.stop_member(slot, now, out),
                _ => self.drain_member(slot, now, out),
            }
        }
        self.close(generation, now, out);
    }

    fn drain_member(&mut self, slot: Slot, now: u64, out: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&slot) else { return };
        match member.phase {
            // One that is still starting may have accepted connections already: it is not killed but drained.
            Phase::Starting { .. } | Phase::Ready { .. } => {
                let grace = self.grace_ms.get(&member.generation).copied().unwrap_or(0);
                let until = now.saturating_add(grace + drain_slack_ms(member.role));
                member.phase = Phase::Draining { until };
                out.push(Action::Drain(slot));
            }
            Phase::Waiting { .. } => {
                self.members.remove(&slot);
            }
            Phase::Draining { .. } | Phase::Stopping { .. } | Phase::Killed => {}
        }
    }

    fn stop_member(&mut self, slot: Slot, now: u64, out: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&slot) else { return };
        match member.phase {
            Phase::Starting { .. } | Phase::Ready { .. } | Phase::Draining { .. } => {
                member.phase = Phase::Stopping { until: now + STOP_MS };
                out.push(Action::Stop(slot));
            }
            Phase::Waiting { .. } => {
                self.members.remove(&slot);
            }
            Phase::Stopping { .. } | Phase::Killed => {}
        }
    }

    fn give_up_rising(&mut self, reason: &str, now: u64, out: &mut Vec<Action>) {
        let Some(generation) = self.rising.take() else { return };
        out.push(Action::RolledBack { generation, reason: reason.into() });
        self.retire(generation, now, out);
    }

    fn exited(&mut self, slot: Slot, reason: String, now: u64, out: &mut Vec<Action>) {
        let Some(member) = self.members.get(&slot) else { return };
        let generation = member.generation;
        if self.rising == Some(generation) {
            let reason = format!("{} is gone before its generation was ready: {reason}", member.role);
            self.members.remove(&slot);
            self.give_up_rising(&reason, now, out);
            self.close(generation, now, out);
        } else if self.serving == Some(generation) && self.is_wanted(slot) {
            self.replace(slot, reason, now, out);
        } else {
            self.members.remove(&slot);
            self.close(generation, now, out);
        }
    }

    /// A serving member that has not been told to go.
    fn is_wanted(&self, slot: Slot) -> bool {
        let Some(member) = self.members.get(&slot) else { return false };
        let staying = !matches!(member.phase, Phase::Draining { .. } | Phase::Stopping { .. });
        match (self.ending, member.role) {
            (Ending::No, _) => staying,
            // The last workers' log lines need a reader.
            (Ending::Draining, Role::Warden) => staying,
            _ => false,
        }
    }

    fn replace(&mut self, slot: Slot, reason: String, now: u64, out: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&slot) else { return };
        let ready_ms = match member.phase {
            Phase::Ready { since } => Some(now.saturating_sub(since)),
            _ => None,
        };
        let role = member.role;
        let mut wait_ms = member.backoff.died(ready_ms);
        member.phase = Phase::Waiting { due: now };
        let worker = matches!(role, Role::Worker { .. });
        let darkness = worker && !self.has_ready_worker();
        if darkness {
            wait_ms = wait_ms.min(DARK_WAIT_MS);
        }
        if let Some(member) = self.members.get_mut(&slot) {
            member.phase = Phase::Waiting { due: now + wait_ms };
        }
        out.push(Action::Lost { slot, role, reason, wait_ms });
        if darkness && !self.dark {
            self.dark = true;
            out.push(Action::Dark);
        }
        if wait_ms == 0 {
            self.overdue(slot, now, out);
        }
    }

    fn has_ready_worker(&self) -> bool {
        self.members.values().any(|member| {
            self.serving == Some(member.generation)
                && matches!(member.role, Role::Worker { .. })
                && matches!(member.phase, Phase::Ready { .. })
        })
    }

    /// A member has reached the limit of its phase.
    fn overdue(&mut self, slot: Slot, now: u64, out: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&slot) else { return };
        match member.phase {
            Phase::Starting { .. } if self.rising == Some(member.generation) => {
                let reason = format!("{} was not ready within {} s", member.role, READY_MS / 1000);
                self.kill(slot, out);
                self.give_up_rising(&reason, now, out);
            }
            Phase::Starting { .. } | Phase::Stopping { .. } => self.kill(slot, out),
            Phase::Draining { .. } => {
                member.phase = Phase::Stopping { until: now + STOP_MS };
                out.push(Action::Stop(slot));
            }
            Phase::Waiting { .. } => {
                member.phase = Phase::Starting { until: now + READY_MS };
                let (generation, role) = (member.generation, member.role);
                out.push(Action::Fork { slot, generation, role });
            }
            Phase::Ready { .. } | Phase::Killed => {}
        }
    }

    /// Kills a member; it stays until its exit is seen.
    fn kill(&mut self, slot: Slot, out: &mut Vec<Action>) {
        if let Some(member) = self.members.get_mut(&slot) {
            member.phase = Phase::Killed;
            out.push(Action::Kill(slot));
        }
    }

    fn look_at_hearts(&mut self, now: u64, beat: impl Fn(Slot) -> u64, out: &mut Vec<Action>) {
        let elapsed = now.saturating_sub(self.looked);
        self.looked = now;
        let mut stuck = None;
        for (slot, member) in &mut self.members {
            if !matches!(member.phase, Phase::Ready { .. } | Phase::Draining { .. }) {
                continue;
            }
            if member.pulse.look(beat(*slot), elapsed) {
                stuck = stuck.or(Some((*slot, member.role)));
            }
        }
        // One a look at most: if all stand still, the machine is the likelier culprit, and some should go on serving.
        if let Some((slot, role)) = stuck {
            out.push(Action::Stuck(slot, role));
            self.kill(slot, out);
        }
    }

    /// A generation that is on its way out ends when its last worker has ended, and then its warden.
    fn close(&mut self, generation: u32, now: u64, out: &mut Vec<Action>) {
        if self.serving == Some(generation) || self.rising == Some(generation) {
            return;
        }
        let left = self.slots(|member| member.generation == generation);
        if left.iter().all(|slot| self.members[slot].role == Role::Warden) {
            for slot in left {
                self.stop_member(slot, now, out);
            }
        }
        let alive = self.members.values().any(|member| member.generation == generation);
        if !alive && self.grace_ms.remove(&generation).is_some() {
            out.push(Action::Over(generation));
        }
    }

    /// At the end the warden goes last, since it writes the workers' last lines.
    fn settle(&mut self, now: u64, out: &mut Vec<Action>) {
        if self.ending == Ending::No || self.finished {
            return;
        }
        if self.members.values().all(|member| member.role == Role::Warden) {
            for slot in self.slots(|_| true) {
                self.stop_member(slot, now, out);
            }
        }
        if self.members.is_empty() {
            self.finished = true;
            out.push(Action::Finished);
        }
    }
}

fn drain_slack_ms(role: Role) -> u64 {
    match role {
        Role::Worker { .. } => DRAIN_SLACK_MS,
        Role::Warden => 2 * DRAIN_SLACK_MS,
    }
}

impl Member {
    fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Starting { until } | Phase::Draining { until } | Phase::Stopping { until } => Some(until),
            Phase::Waiting { due } => Some(due),
            Phase::Ready { .. } | Phase::Killed => None,
        }
    }
}
