//! Sets of services, and their intersection.

/// Facts of one service that are looked up at most.
pub(super) const COLUMNS_MAX: usize = 3;

/// A set of positions.
#[derive(Debug)]
pub(super) enum Set {
    /// One by one.
    Sparse(Box<[u32]>),
    /// A bit for each: the smaller form of many.
    Dense(Box<[u64]>),
}

impl Set {
    pub(super) fn new(positions: &[u32], words: usize) -> Set {
        if positions.len() <= words {
            return Set::Sparse(positions.into());
        }
        let mut bits = vec![0; words];
        positions.iter().for_each(|&position| insert(&mut bits, position));
        Set::Dense(bits.into())
    }

    pub(super) fn add_to(&self, bits: &mut [u64]) {
        match self {
            Set::Sparse(positions) => positions.iter().for_each(|&position| insert(bits, position)),
            Set::Dense(some) => bits.iter_mut().zip(some).for_each(|(word, some)| *word |= some),
        }
    }
}

pub(super) fn insert(bits: &mut [u64], position: u32) {
    bits[position as usize / 64] |= 1 << (position % 64);
}

/// The first position that is in all of `columns`, which are `words` long each, and that `wanted` takes.
pub(super) fn first_common(
    columns: &[u64],
    words: usize,
    mut wanted: impl FnMut(usize) -> bool,
) -> Option<usize> {
    for word in 0..words {
        let mut bits = columns[word..].iter().step_by(words).fold(u64::MAX, |bits, column| bits & column);
        while bits != 0 {
            let position = word * 64 + bits.trailing_zeros() as usize;
            if wanted(position) {
                return Some(position);
            }
            bits &= bits - 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_positions_come_in_order() {
        let words = 3;
        let mut columns = vec![0; 2 * words];
        let (one, other) = columns.split_at_mut(words);
        Set::new(&[1, 63, 64, 130, 190, 191], words).add_to(one);
        Set::new(&[63, 130, 191], words).add_to(other);
        let mut seen = Vec::new();
        let none = first_common(&columns, words, |position| {
            seen.push(position);
            false
        });
        assert_eq!((none, seen), (None, vec![63, 130, 191]));
        assert_eq!(first_common(&columns, words, |position| position > 63), Some(130));
    }
}
