//! Operations on their way to io_uring: how a token becomes user data, and the submission entry of each operation.
//!
//! user_data = op 8 bits | generation 24 bits | slot 32 bits.

use crate::ring::{Fd, Interest, Token};
use crate::socket::RawAddress;
use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

/// Highest number that a caller may use as [`Token::op`].
pub(crate) const OP_MAX: u8 = 250;

/// User data of what the ring does for itself and nobody hears of: cancel and close.
pub(crate) const SWALLOWED: u64 = (255 << 56) | 1;

/// What an op number stands for. A completion of io_uring does not say what it completes, so each number keeps the
/// meaning of its first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unused,
    Accept,
    Connect,
    Receive,
    Send,
    Poll,
}

/// The meaning of every op number so far.
pub(crate) struct Kinds([Kind; 256]);

impl Kinds {
    pub(crate) fn new() -> Kinds {
        Kinds([Kind::Unused; 256])
    }

    /// Notes that an operation of this kind begins under this token.
    #[inline]
    pub(crate) fn begin(&mut self, token: Token, kind: Kind) {
        assert!(token.op <= OP_MAX, "op numbers above {OP_MAX} are the ring's own");
        let known = &mut self.0[usize::from(token.op)];
        assert!(
            *known == kind || *known == Kind::Unused,
            "op {} is {known:?} and cannot be {kind:?}",
            token.op
        );
        *known = kind;
    }

    #[inline]
    pub(crate) fn of(&self, op: u8) -> Kind {
        self.0[usize::from(op)]
    }
}

/// The token as user data.
#[inline]
pub(crate) fn pack(token: Token) -> u64 {
    assert!(token.generation < 1 << 24, "a generation has 24 bits");
    u64::from(token.op) << 56 | u64::from(token.generation) << 32 | u64::from(token.slot)
}

/// The token that became this user data.
#[inline]
pub(crate) fn unpack(data: u64) -> Token {
    Token { op: (data >> 56) as u8, generation: (data >> 32) as u32 & 0xff_ffff, slot: data as u32 }
}

pub(crate) fn accept(listener: Fd) -> Entry {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    opcode::AcceptMulti::new(types::Fd(listener.0)).flags(flags).build()
}

/// The address is read when the entry is submitted and must live until then (IORING_FEAT_SUBMIT_STABLE).
pub(crate) fn connect(fd: Fd, to: &RawAddress) -> Entry {
    opcode::Connect::new(types::Fd(fd.0), to.as_ptr(), to.len()).build()
}

#[inline]
pub(crate) fn receive(fd: Fd, buffers: u16) -> Entry {
    opcode::RecvMulti::new(types::Fd(fd.0), buffers).build()
}

/// As `receive`, and ends by itself after so many bytes. Before 6.17 kernels refuse it (EINVAL).
#[inline]
pub(crate) fn receive_at_most(fd: Fd, buffers: u16, most: u32) -> Entry {
    /// Where struct io_uring_sqe has `optlen`, in words of 32 bits.
    const OPTLEN: usize = 11;
    let entry = receive(fd, buffers);
    // SAFETY: an entry is struct io_uring_sqe and nothing else (`repr(C)`): 64 bytes without padding, good for any value.
    let mut words = unsafe { std::mem::transmute::<Entry, [u32; 16]>(entry) };
    words[OPTLEN] = most;
    // SAFETY: the same the other way round. What was changed is a number of the operation's own, no pointer.
    unsafe { std::mem::transmute::<[u32; 16], Entry>(words) }
}

/// Receives into one buffer, once.
#[inline]
pub(crate) fn receive_once(fd: Fd, buffers: u16) -> Entry {
    // Of length 0: as much as the buffer takes.
    let receive = opcode::Recv::new(types::Fd(fd.0), std::ptr::null_mut(), 0).buf_group(buffers);
    receive.build().flags(Flags::BUFFER_SELECT)
}

/// The bytes must stay where they are until the operation has ended.
#[inline]
pub(crate) fn send(fd: Fd, bytes: &[u8]) -> Entry {
    // Without MSG_WAITALL: the caller sees each piece that a slow peer takes, and so that it is slow but alive.
    opcode::Send::new(types::Fd(fd.0), bytes.as_ptr(), bytes.len() as u32).flags(libc::MSG_NOSIGNAL).build()
}

pub(crate) fn poll(fd: Fd, interest: Interest) -> Entry {
    let events = match interest {
        Interest::Read => libc::POLLIN | libc::POLLRDHUP,
        Interest::Write => libc::POLLOUT,
    };
    opcode::PollAdd::new(types::Fd(fd.0), events as u32).build()
}

pub(crate) fn cancel(user_data: u64) -> Entry {
    opcode::AsyncCancel::new(user_data).build().user_data(SWALLOWED).flags(Flags::SKIP_SUCCESS)
}

/// Ends everything that the ring still has.
pub(crate) fn cancel_all() -> Entry {
    opcode::AsyncCancel2::new(types::CancelBuilder::any()).build().user_data(SWALLOWED)
}

#[inline]
pub(crate) fn close(fd: Fd) -> Entry {
    opcode::Close::new(types::Fd(fd.0)).build().user_data(SWALLOWED).flags(Flags::SKIP_SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token comes back as it went, at its limits too, and is never taken for one of the ring's own.
    #[test]
    fn tokens_survive() {
        for op in [0, 7, OP_MAX] {
            for generation in [0, 1, 0xff_ffff] {
                for slot in [0, 1, u32::MAX] {
                    let token = Token { op, generation, slot };
                    assert_eq!(unpack(pack(token)), token);
                    assert_ne!(pack(token), SWALLOWED);
                }
            }
        }
    }

    /// One op number cannot stand for two kinds of operation.
    #[test]
    #[should_panic(expected = "op 3 is Send and cannot be Receive")]
    fn op_numbers_keep_their_meaning() {
        let mut kinds = Kinds::new();
        let token = Token { op: 3, generation: 1, slot: 1 };
        kinds.begin(token, Kind::Send);
        kinds.begin(token, Kind::Receive);
    }
}
