//! A timer wheel: at most one deadline per socket, set, moved and removed in constant time without memory of its own
//! beyond a few words per socket.
//!
//! Deadlines are rounded up to [`GRAIN_US`]. One that lies further away than the wheel's circumference waits in its
//! slot and is passed over until its turn has come.
//!
//! Invariant: a node is in the list of exactly one slot if it is armed, and in none otherwise.

/// Resolution in microseconds.
pub(crate) const GRAIN_US: u64 = 16_384;

/// Slots; with the grain, one turn takes 67 s, longer than all but the rarest limits.
const SLOTS: usize = 4096;

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    /// In grains.
    at: u64,
    next: u32,
    previous: u32,
    armed: bool,
}

/// The wheel. Nodes go by the index of their socket.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Vec<u32>,
    /// One bit per slot that has nodes.
    occupied: [u64; SLOTS / 64],
    nodes: Vec<Node>,
    /// The next grain to be looked at; all before have been.
    now: u64,
}

impl Wheel {
    pub(crate) fn new(now_us: u64) -> Wheel {
        Wheel {
            heads: vec![NONE; SLOTS],
            occupied: [0; SLOTS / 64],
            nodes: Vec::new(),
            now: now_us / GRAIN_US,
        }
    }

    /// Arms the node for a time, instead of any other.
    pub(crate) fn arm(&mut self, index: u32, at_us: u64) {
        self.disarm(index);
        let at = at_us.div_ceil(GRAIN_US).max(self.now);
        let wanted = index as usize + 1;
        if self.nodes.len() < wanted {
            self.nodes.resize(wanted, Node { at: 0, next: NONE, previous: NONE, armed: false });
        }
        let slot = at as usize % SLOTS;
        let next = self.heads[slot];
        self.nodes[index as usize] = Node { at, next, previous: NONE, armed: true };
        if next != NONE {
            self.nodes[next as usize].previous = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Forgets the node's deadline.
    pub(crate) fn disarm(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize).filter(|node| node.armed) else { return };
        node.armed = false;
        let Node { at, next, previous, .. } = *node;
        let slot = at as usize % SLOTS;
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        } else {
            self.heads[slot] = next;
            if next == NONE {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        }
    }

    pub(crate) fn is_armed(&self, index: u32) -> bool {
        self.nodes.get(index as usize).is_some_and(|node| node.armed)
    }

    /// Takes out every node whose time has come.
    pub(crate) fn expire(&mut self, now_us: u64, expired: &mut Vec<u32>) {
        let end = now_us / GRAIN_US;
        // After a long sleep every slot is looked at once, not once per turn missed.
        let first = self.now.max((end + 1).saturating_sub(SLOTS as u64));
        for grain in first..=end {
            let slot = grain as usize % SLOTS;
            if self.occupied[slot / 64] & (1 << (slot % 64)) == 0 {
                continue;
            }
            let mut index = self.heads[slot];
            while index != NONE {
                let Node { at, next, .. } = self.nodes[index as usize];
                if at <= end {
                    self.disarm(index);
                    expired.push(index);
                }
                index = next;
            }
        }
        self.now = self.now.max(end + 1);
    }

    /// When the next occupied slot comes round, in microseconds; `None` if the wheel is empty. Its nodes may be due
    /// only turns later.
    pub(crate) fn next_us(&self) -> Option<u64> {
        let start = self.now as usize % SLOTS;
        let mut ahead = 0;
        while ahead < SLOTS {
            let slot = (start + ahead) % SLOTS;
            let word = self.occupied[slot / 64] >> (slot % 64);
            if word != 0 {
                ahead += word.trailing_zeros() as usize;
                // Bits past the end of the wheel belong to the next word round; the loop has not skipped any.
                return Some((self.now + ahead as u64) * GRAIN_US);
            }
            ahead += 64 - slot % 64;
        }
        // The first word again, for the slots before `start`.
        let slot = start;
        let word = self.occupied[slot / 64] & ((1u64 << (slot % 64)) - 1);
        (word != 0).then(|| {
            let at = slot / 64 * 64 + word.trailing_zeros() as usize;
            (self.now + (at + SLOTS - start) as u64) * GRAIN_US
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expired(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut out = Vec::new();
        wheel.expire(now, &mut out);
        out.sort_unstable();
        out
    }

    /// Deadlines fire at their time, not before, and once.
    #[test]
    fn fires_once_and_not_early() {
        let mut wheel = Wheel::new(0);
        wheel.arm(0, 1_000_000);
        wheel.arm(1, 1_000_000);
        wheel.arm(2, 3_000_000);
        assert!(expired(&mut wheel, 900_000).is_empty());
        assert_eq!(expired(&mut wheel, 1_100_000), [0, 1]);
        assert!(expired(&mut wheel, 2_900_000).is_empty());
        assert_eq!(expired(&mut wheel, 3_100_000), [2]);
        assert_eq!(wheel.next_us(), None);
    }

    /// A deadline beyond one turn of the wheel waits for its own turn.
    #[test]
    fn longer_than_a_turn() {
        let mut wheel = Wheel::new(0);
        let hour = 3_600_000_000;
        wheel.arm(7, hour);
        for minute in 1..60 {
            assert!(expired(&mut wheel, minute * 60_000_000).is_empty());
        }
        assert_eq!(expired(&mut wheel, hour + GRAIN_US), [7]);
    }

    /// Compared with a plain map, for a long run of arming, moving, removing and waiting.
    #[test]
    fn agrees_with_a_map() {
        let mut wheel = Wheel::new(5_000_000);
        let mut map = std::collections::BTreeMap::new();
        let (mut now, mut state) = (5_000_000u64, 88_172_645_463_325_252u64);
        let mut random = move |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        for _ in 0..200_000 {
            let index = random(300) as u32;
            match random(10) {
                0..5 => {
                    let at = now + random(150_000_000);
                    wheel.arm(index, at);
                    map.insert(index, at.div_ceil(GRAIN_US).max(wheel.now));
                }
                5..7 => {
                    wheel.disarm(index);
                    map.remove(&index);
                }
                _ => {
                    now += random(400_000);
                    let due: Vec<u32> = map
                        .iter()
                        .filter(|&(_, &at)| at <= now / GRAIN_US)
                        .map(|(&index, _)| index)
                        .collect();
                    assert_eq!(expired(&mut wheel, now), due);
                    map.retain(|_, &mut at| at > now / GRAIN_US);
                    let soonest = map.values().min().copied();
                    match (wheel.next_us(), soonest) {
                        (None, None) => {}
                        (Some(next), Some(at)) => {
                            assert!(next <= at * GRAIN_US, "next event announced too late");
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }
}
