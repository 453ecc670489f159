//! What a word of the table can mean.

use super::super::fleet::Owner;

/// The state of an entry.
///
/// ```text
///   63            24 23        2 1  0
///   | detail       | version   | kind |
///   full:    detail = 40 bits of the key's hash (tag)
///   writing: detail = 8 bits of the tag | worker 16 | incarnation 16
/// ```
///
/// The version moves whenever an entry is taken for writing. So a full state comes round only after 4 million
/// rewrites of one entry, and a reader that sees the same state before and after has read one tenant's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

/// What a state says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody's.
    Free,
    /// Being written by this owner; the words behind it mean nothing.
    Writing(Owner),
    /// A session.
    Full,
}

const KIND_WRITING: u64 = 1;
const KIND_FULL: u64 = 2;
const KIND_BITS: u32 = 2;
const VERSION_BITS: u32 = 22;
const DETAIL_SHIFT: u32 = KIND_BITS + VERSION_BITS;

/// Bits of hash in a full state.
pub(super) const TAG_BITS: u32 = 64 - DETAIL_SHIFT;
/// Bits of hash in a writing state.
const MARK_BITS: u32 = 8;

impl State {
    #[inline]
    pub(super) fn version(self) -> u64 {
        self.0 >> KIND_BITS & ((1 << VERSION_BITS) - 1)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        match self.0 & ((1 << KIND_BITS) - 1) {
            KIND_WRITING => Kind::Writing(Owner {
                worker: (self.0 >> (DETAIL_SHIFT + 16)) as u16,
                incarnation: (self.0 >> DETAIL_SHIFT) as u16,
            }),
            KIND_FULL => Kind::Full,
            _ => Kind::Free,
        }
    }

    /// Could this full entry be of a key with this tag?
    #[inline]
    pub(super) fn is_full_of(self, tag: u64) -> bool {
        self.0 >> DETAIL_SHIFT == tag && self.kind() == Kind::Full
    }

    /// Could this entry be in writing for a key with this tag? One in 256 of others says yes too, and is waited for
    /// in vain.
    #[inline]
    pub(super) fn is_writing_of(self, tag: u64) -> bool {
        self.0 >> (DETAIL_SHIFT + 32) == tag & ((1 << MARK_BITS) - 1)
            && matches!(self.kind(), Kind::Writing(_))
    }

    /// This entry, taken for writing.
    #[inline]
    pub(super) fn taken(self, tag: u64, owner: Owner) -> State {
        let version = (self.version() + 1) & ((1 << VERSION_BITS) - 1);
        let mark = tag & ((1 << MARK_BITS) - 1);
        let detail = mark << 32 | u64::from(owner.worker) << 16 | u64::from(owner.incarnation);
        State(detail << DETAIL_SHIFT | version << KIND_BITS | KIND_WRITING)
    }

    /// This entry, full.
    #[inline]
    pub(super) fn filled(self, tag: u64) -> State {
        State(tag << DETAIL_SHIFT | self.version() << KIND_BITS | KIND_FULL)
    }

    /// This entry, free.
    #[inline]
    pub(super) fn freed(self) -> State {
        State(self.version() << KIND_BITS)
    }
}

/// When an entry expires, milliseconds, with the version of the entry above: so that who moves the expiry of a session
/// cannot move that of the next tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry(pub(super) u64);

const EXPIRY_BITS: u32 = 64 - VERSION_BITS;

impl Expiry {
    /// 42 bits of milliseconds are 139 years; what lies beyond is cut to that.
    #[inline]
    pub(super) fn new(version: u64, ms: u64) -> Expiry {
        Expiry(version << EXPIRY_BITS | ms.min((1 << EXPIRY_BITS) - 1))
    }

    #[inline]
    pub(super) fn version(self) -> u64 {
        self.0 >> EXPIRY_BITS
    }

    #[inline]
    pub(super) fn ms(self) -> u64 {
        self.0 & ((1 << EXPIRY_BITS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_what_was_put_in() {
        let tag = 0xab_cdef_0123;
        let owner = Owner { worker: 0xfffe, incarnation: 0x8001 };
        let taken = State(0).taken(tag, owner);
        assert_eq!((taken.kind(), taken.version()), (Kind::Writing(owner), 1));
        assert!(taken.is_writing_of(tag) && !taken.is_writing_of(tag + 1) && !taken.is_full_of(tag));
        let full = taken.filled(tag);
        assert_eq!((full.kind(), full.version()), (Kind::Full, 1));
        assert!(
            full.is_full_of(tag) && !full.is_full_of(tag ^ 1 << (TAG_BITS - 1)) && !full.is_writing_of(tag)
        );
        assert_eq!((full.freed().kind(), full.freed().version()), (Kind::Free, 1));
        assert_eq!(full.freed().taken(tag, owner).version(), 2);
    }

    #[test]
    fn versions_come_round_within_their_bits() {
        let last = State(((1 << VERSION_BITS) - 1) << KIND_BITS);
        let owner = Owner { worker: 0, incarnation: 0 };
        assert_eq!(last.taken(0, owner).version(), 0);
        assert_eq!(Expiry::new(last.version(), u64::MAX).version(), last.version());
        assert_eq!(Expiry::new(3, 77).ms(), 77);
    }
}
