//! What a ring keeps for each operation in flight: a table by op number and slot, without hashing.

use crate::ring::Token;

/// Values by token. A lane (one op number) has at most one token per slot.
pub(crate) struct Lanes<T> {
    /// Indexed by op number.
    lanes: Vec<Vec<Option<(u32, T)>>>,
    live: usize,
}

/// Slots are indices of a table, so they are dense; a number beyond this is a mistake and would cost memory.
const SLOTS_MAX: u32 = 1 << 24;

impl<T> Lanes<T> {
    pub(crate) fn new() -> Lanes<T> {
        Lanes { lanes: Vec::new(), live: 0 }
    }

    /// Keeps a value. One operation per slot and op number: two of them are a mistake of the caller's.
    #[inline]
    pub(crate) fn put(&mut self, token: Token, value: T) -> &mut T {
        let (op, slot) = (usize::from(token.op), token.slot as usize);
        if self.lanes.get(op).is_none_or(|lane| slot >= lane.len()) {
            self.grow(token);
        }
        let place = &mut self.lanes[op][slot];
        assert!(place.is_none(), "two operations in flight under one slot and op: {token:?}");
        self.live += 1;
        &mut place.insert((token.generation, value)).1
    }

    /// Removes the value of exactly this token.
    #[inline]
    pub(crate) fn take(&mut self, token: Token) -> Option<T> {
        let place = self.lanes.get_mut(usize::from(token.op))?.get_mut(token.slot as usize)?;
        if place.as_ref().is_none_or(|(generation, _)| *generation != token.generation) {
            return None;
        }
        self.live -= 1;
        place.take().map(|(_, value)| value)
    }

    #[cold]
    fn grow(&mut self, token: Token) {
        assert!(token.slot < SLOTS_MAX, "a slot is an index: {token:?}");
        let op = usize::from(token.op);
        if op >= self.lanes.len() {
            self.lanes.resize_with(op + 1, Vec::new);
        }
        // Doubling, so that a table that fills up slot by slot is not copied for each.
        let slots = (token.slot as usize + 1).next_power_of_two();
        self.lanes[op].resize_with(slots, || None);
    }

    /// How many values it holds.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Removes everything.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.live = 0;
        std::mem::take(&mut self.lanes).into_iter().flatten().flatten().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(op: u8, generation: u32, slot: u32) -> Token {
        Token { op, generation, slot }
    }

    /// A value is found under its own token only; a stale generation finds nothing.
    #[test]
    fn only_the_exact_token_finds_it() {
        let mut lanes = Lanes::new();
        lanes.put(token(2, 5, 900), "a");
        lanes.put(token(3, 5, 900), "b");
        assert_eq!(lanes.take(token(2, 6, 900)), None);
        assert_eq!(lanes.take(token(9, 5, 5000)), None);
        assert_eq!(lanes.live(), 2);
        assert_eq!(lanes.take(token(3, 5, 900)), Some("b"));
        assert_eq!(lanes.take(token(3, 5, 900)), None);
        assert_eq!(lanes.drain().collect::<Vec<_>>(), ["a"]);
        assert_eq!(lanes.live(), 0);
    }

    /// A second operation of one kind for one slot is stopped before it overwrites what the kernel holds.
    #[test]
    #[should_panic(expected = "two operations in flight")]
    fn two_in_one_place() {
        let mut lanes = Lanes::new();
        lanes.put(token(2, 5, 1), ());
        lanes.put(token(2, 6, 1), ());
    }
}
