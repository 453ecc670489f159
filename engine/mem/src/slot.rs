//! [`Slots`]: a bounded table whose keys carry a generation, so that a key which outlived its value finds nothing.

use slab::Slab;

/// The highest generation: it travels in the 24 bits that a ring's token has for it.
const GENERATION_MAX: u32 = (1 << 24) - 1;

/// Names one tenant of one slot. It never names the next tenant of the same slot.
///
/// An index comes round to the same generation after 16.7 million tenants, far more than can pass while an operation
/// is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The slot.
    pub index: u32,
    /// Which tenant of the slot: 24 bits, never 0.
    pub generation: u32,
}

impl From<Key> for u64 {
    /// The generation in the upper half, the index in the lower.
    #[inline]
    fn from(key: Key) -> u64 {
        u64::from(key.generation) << 32 | u64::from(key.index)
    }
}

impl From<u64> for Key {
    #[inline]
    fn from(word: u64) -> Key {
        Key { index: word as u32, generation: (word >> 32) as u32 }
    }
}

/// At most so many values, each found by its [`Key`].
#[derive(Debug)]
pub struct Slots<T> {
    tenants: Slab<T>,
    /// INVARIANT: as long as the highest index ever used plus one; the generation of the slot's latest tenant, which
    /// is in `tenants` or gone.
    generations: Vec<u32>,
    bound: u32,
}

impl<T> Slots<T> {
    /// Room for `bound` values and never more. The memory is reserved at once, so that no insertion moves the others.
    #[must_use]
    pub fn with_capacity(bound: u32) -> Slots<T> {
        Slots {
            tenants: Slab::with_capacity(bound as usize),
            generations: Vec::with_capacity(bound as usize),
            bound,
        }
    }

    /// Puts a value in.
    ///
    /// # Panics
    /// At the bound: only for callers that have asked [`Slots::is_full`].
    #[inline]
    pub fn insert(&mut self, value: T) -> Key {
        self.try_insert(value).expect("the caller keeps the bound")
    }

    /// Puts a value in, or drops it and says `None` at the bound.
    #[inline]
    pub fn try_insert(&mut self, value: T) -> Option<Key> {
        self.try_insert_with(|_| value)
    }

    /// Puts in a value that knows its own key, or says `None` at the bound without making it.
    #[inline]
    pub fn try_insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Option<Key> {
        if self.is_full() {
            return None;
        }
        let vacant = self.tenants.vacant_entry();
        let index = vacant.key();
        if index == self.generations.len() {
            self.generations.push(0);
        }
        let generation = self.generations[index] % GENERATION_MAX + 1;
        let key = Key { index: index as u32, generation };
        vacant.insert(make(key));
        // Only now: had `make` panicked, the slot would still be empty and its generation unused.
        self.generations[index] = generation;
        Some(key)
    }

    /// The value under this key, if it is still there.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        if self.is_current(key) { self.tenants.get(key.index as usize) } else { None }
    }

    /// The value under this key, to change it.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        if self.is_current(key) { self.tenants.get_mut(key.index as usize) } else { None }
    }

    /// Takes the value out. From now on the key is stale.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        if self.is_current(key) { self.tenants.try_remove(key.index as usize) } else { None }
    }

    /// Is there a value under this key?
    #[inline]
    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// Is this the latest tenant of its slot, here or gone?
    #[inline]
    fn is_current(&self, key: Key) -> bool {
        self.generations.get(key.index as usize) == Some(&key.generation)
    }

    /// How many values there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.tenants.len()
    }

    /// Are there none?
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// Would [`Slots::insert`] panic?
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tenants.len() >= self.bound as usize
    }

    /// The most values that it takes.
    #[inline]
    #[must_use]
    pub fn bound(&self) -> u32 {
        self.bound
    }

    /// All values with their keys, by index.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        let generations = &self.generations;
        self.tenants
            .iter()
            .map(move |(index, value)| (Key { index: index as u32, generation: generations[index] }, value))
    }

    /// All values with their keys, by index, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        let generations = &self.generations;
        self.tenants
            .iter_mut()
            .map(move |(index, value)| (Key { index: index as u32, generation: generations[index] }, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_outlived_its_value_finds_nothing() {
        let mut slots = Slots::with_capacity(2);
        let old = slots.insert("old");
        assert_eq!(slots.remove(old), Some("old"));
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.remove(old), None);
        let new = slots.insert("new");
        assert_eq!(new.index, old.index, "the slot is used again");
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
    }

    #[test]
    fn the_bound_holds_and_the_value_is_not_made() {
        let mut slots = Slots::with_capacity(1);
        let key = slots.try_insert(1).expect("room for one");
        assert!(slots.is_full());
        assert_eq!(slots.try_insert_with(|_| unreachable!()), None);
        assert!(slots.remove(key).is_some() && slots.is_empty());
        assert!(slots.try_insert_with(|key| key.index).is_some());
    }

    #[test]
    fn generations_come_round_past_zero() {
        let mut slots = Slots::with_capacity(1);
        slots.insert(());
        slots.generations[0] = GENERATION_MAX;
        let last = Key { index: 0, generation: GENERATION_MAX };
        assert!(slots.remove(last).is_some());
        assert_eq!(slots.insert(()), Key { index: 0, generation: 1 });
    }

    #[test]
    fn keys_from_outside_the_table_find_nothing() {
        let mut slots = Slots::with_capacity(1);
        slots.insert(());
        assert!(!slots.contains(Key { index: 9, generation: 1 }));
        assert!(!slots.contains(Key { index: 0, generation: 0 }));
        assert!(slots.remove(Key { index: u32::MAX, generation: 1 }).is_none());
    }

    #[test]
    fn a_key_survives_the_journey_through_a_word() {
        let key = Key { index: 0xdead_beef, generation: 0x00ff_fffe };
        assert_eq!(Key::from(u64::from(key)), key);
    }

    #[test]
    fn iteration_gives_keys_that_work() {
        let mut slots = Slots::with_capacity(4);
        let keys = ["a", "b", "c"].map(|value| slots.insert(value));
        slots.remove(keys[1]);
        for (_, value) in slots.iter_mut() {
            *value = "x";
        }
        let found: Vec<Key> = slots.iter().map(|(key, _)| key).collect();
        assert_eq!(found, [keys[0], keys[2]]);
        assert!(found.iter().all(|key| slots.get(*key) == Some(&"x")));
    }
}
