//! Back-pressure, cancellation, shortage.

use crate::Script;
use crate::bench::{ACCEPT, Bench, POLL, RECEIVE, SEND, pattern, token};
use crate::outside::Outside;
use ounce_mem::{Buf, PAGE_BYTES};
use ounce_sys::ring::{BURST_BYTES, Interest, Outcome, Ring};
use std::time::Duration;

/// A peer that does not read stops a send in flight; it goes on when the peer reads, or gives its buffer back when it is
/// cancelled. Not a byte is lost or doubled.
pub(crate) struct FullPeerHoldsBack;
impl Script for FullPeerHoldsBack {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let send = token(SEND, 0);
        let block = pattern(10_000);
        let mut sent = Vec::new();
        let mut page = bench.page(&block);
        bench.ring.send(fd, page, send);
        let mut idle = 0;
        // Ten turns of 10 ms without an end: nothing more fits.
        while idle < 10 {
            match bench.told(send).map(|completion| completion.outcome) {
                None => {
                    bench.turn();
                    idle += 1;
                }
                Some(Outcome::Sent(buf, count)) => {
                    idle = 0;
                    sent.extend_from_slice(&buf[..count]);
                    assert!(sent.len() <= bench.outside.overfull(), "something must hold a writer back");
                    page = rest(bench, buf, count, &block);
                    bench.ring.send(fd, page, send);
                }
                Some(outcome) => panic!("{outcome:?}"),
            }
        }
        bench.ring.cancel(send);
        match bench.next(send).outcome {
            Outcome::Cancelled(Some(buf)) => assert!(!buf.is_empty()),
            Outcome::Sent(buf, count) => sent.extend_from_slice(&buf[..count]),
            outcome => panic!("{outcome:?}"),
        }
        assert!(bench.far_read(far, sent.len()) == sent);
        bench.send(fd, send, b"and on it goes");
        assert_eq!(bench.far_read(far, 14), b"and on it goes");
        bench.close(fd, far);
    }
}

/// What is left of a page, or a full one.
fn rest<R: Ring, O: Outside>(bench: &mut Bench<R, O>, mut buf: Buf, count: usize, block: &[u8]) -> Buf {
    buf.advance(count);
    if buf.is_empty() { bench.page(block) } else { buf }
}

/// A receive that may bring so much ends by itself, and the rest stays where it is until it is asked for.
pub(crate) struct ReceivesEndInTime;
impl Script for ReceivesEndInTime {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let receive = token(RECEIVE, 0);
        let bytes = pattern(300_000);
        let (mut written, mut got) = (0, Vec::new());
        for most in [1, 16 * 1024, 40_000, BURST_BYTES].into_iter().cycle() {
            written += bench.outside.write(far, &bytes[written..]).unwrap();
            if got.len() == bytes.len() {
                break;
            }
            bench.ring.receive_at_most(fd, most, receive);
            let before = got.len();
            loop {
                written += bench.outside.write(far, &bytes[written..]).unwrap();
                let Some(completion) = bench.told(receive) else {
                    bench.turn();
                    continue;
                };
                if let Outcome::Received(buf) = &completion.outcome {
                    got.extend_from_slice(buf);
                }
                assert!(got.len() < before + most + PAGE_BYTES, "{} of {most}", got.len() - before);
                if !completion.more {
                    break;
                }
                if got.len() == bytes.len() {
                    bench.stop(receive);
                    break;
                }
            }
        }
        assert!(got == bytes);
        // What was asked for and did not come yet comes all the same.
        bench.ring.receive_at_most(fd, 2, receive);
        for part in [b"a", b"b"] {
            bench.far_write(far, part);
            let completion = bench.next(receive);
            let Outcome::Received(buf) = completion.outcome else {
                // For want of buffers, or by chance.
                bench.ring.receive_at_most(fd, 2, receive);
                assert_eq!(bench.receive(fd, receive, 1), part);
                continue;
            };
            assert_eq!(&*buf, part);
            if !completion.more {
                bench.ring.receive_at_most(fd, 2, receive);
            }
        }
        bench.stop(receive);
        bench.close(fd, far);
    }
}

/// An idle receive ends as cancelled, and the same token serves again; bytes that come between wait for it.
pub(crate) struct ReceiveCanBeCancelled;
impl Script for ReceiveCanBeCancelled {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let receive = token(RECEIVE, 0);
        for _ in 0..5 {
            bench.ring.receive(fd, receive);
            bench.ring.cancel(receive);
            let end = bench.next(receive);
            assert!(matches!(end.outcome, Outcome::Cancelled(None)), "{end:?}");
            assert!(!end.more);
            bench.far_write(far, b"between");
            bench.turn();
            assert!(bench.told(receive).is_none());
            bench.ring.receive(fd, receive);
            assert_eq!(bench.receive(fd, receive, 7), b"between");
            bench.stop(receive);
        }
        bench.close(fd, far);
    }
}

/// Whether a cancel or the bytes come first: the receive ends once, and every byte is told once, by it or the next.
pub(crate) struct CancelRacesLoseNothing;
impl Script for CancelRacesLoseNothing {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let receive = token(RECEIVE, 0);
        let bytes = pattern(2_000);
        let mut got = Vec::new();
        for (round, part) in bytes.chunks(20).enumerate() {
            bench.ring.receive(fd, receive);
            if round % 3 == 0 {
                bench.turn();
            }
            bench.far_write(far, part);
            if round % 2 == 0 {
                bench.turn();
            }
            bench.ring.cancel(receive);
            loop {
                let completion = bench.next(receive);
                match completion.outcome {
                    Outcome::Received(buf) => got.extend_from_slice(&buf),
                    Outcome::NoBuffers | Outcome::Cancelled(None) => {}
                    outcome => panic!("{outcome:?}"),
                }
                if !completion.more {
                    break;
                }
            }
        }
        bench.ring.receive(fd, receive);
        let left = bytes.len() - got.len();
        got.extend(bench.receive(fd, receive, left));
        assert!(got == bytes);
        bench.stop(receive);
        bench.close(fd, far);
    }
}

/// To cancel what is over, or never was, does nothing; above all not to another generation of the slot.
pub(crate) struct UnknownCancelIsIgnored;
impl Script for UnknownCancelIsIgnored {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let receive = token(RECEIVE, 3);
        bench.ring.receive(fd, receive);
        let mut other = receive;
        other.generation += 1;
        bench.ring.cancel(other);
        bench.ring.cancel(token(SEND, 3));
        bench.ring.cancel(token(77, 100_000));
        for _ in 0..3 {
            bench.turn();
        }
        bench.far_write(far, b"still there");
        assert_eq!(bench.receive(fd, receive, 11), b"still there");
        bench.stop(receive);
        bench.ring.cancel(receive);
        bench.turn();
        assert!(bench.told(receive).is_none());
        bench.close(fd, far);
    }
}

/// With every page in use a receive ends with `NoBuffers`; with pages back it goes on where it was.
pub(crate) struct NoBuffersAndRecovery;
impl Script for NoBuffersAndRecovery {
    const PAGES: u32 = 8;
    const SEEDS: u64 = 20;

    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let receive = token(RECEIVE, 0);
        let bytes = pattern(400_000);
        for _ in 0..3 {
            let mut hoard = Vec::new();
            while let Some(page) = bench.ring.pool().take() {
                hoard.push(page);
            }
            bench.ring.receive(fd, receive);
            let (mut written, mut got) = (0, Vec::new());
            let mut starved = false;
            while !starved {
                written += bench.outside.write(far, &bytes[written..]).unwrap();
                let Some(completion) = bench.told(receive) else {
                    bench.turn();
                    continue;
                };
                match completion.outcome {
                    Outcome::Received(buf) => {
                        got.extend_from_slice(&buf);
                        hoard.push(buf);
                    }
                    Outcome::NoBuffers => starved = true,
                    outcome => panic!("{outcome:?}"),
                }
                if !completion.more && !starved {
                    bench.ring.receive(fd, receive);
                }
            }
            hoard.clear();
            bench.turn();
            bench.ring.receive(fd, receive);
            while got.len() < bytes.len() {
                written += bench.outside.write(far, &bytes[written..]).unwrap();
                let more = bench.receive(fd, receive, 0);
                assert!(more.is_empty());
                let completion = bench.next(receive);
                if let Outcome::Received(buf) = &completion.outcome {
                    got.extend_from_slice(buf);
                }
                if !completion.more {
                    bench.ring.receive(fd, receive);
                }
            }
            assert!(got == bytes);
            bench.stop(receive);
        }
        bench.close(fd, far);
    }
}

/// A poll tells readiness that was there before it, that comes later, and the end of the stream; once each.
pub(crate) struct Polls;
impl Script for Polls {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let (read, write) = (token(POLL, 1), token(POLL, 2));
        bench.ring.poll(fd, Interest::Write, write);
        assert!(matches!(bench.next(write).outcome, Outcome::Ready));
        bench.ring.poll(fd, Interest::Read, read);
        for _ in 0..3 {
            bench.turn();
            assert!(bench.told(read).is_none());
        }
        bench.far_write(far, b"x");
        assert!(matches!(bench.next(read).outcome, Outcome::Ready));
        bench.ring.poll(fd, Interest::Read, read);
        assert!(matches!(bench.next(read).outcome, Outcome::Ready));
        bench.ring.receive(fd, token(RECEIVE, 0));
        assert_eq!(bench.receive(fd, token(RECEIVE, 0), 1), b"x");
        bench.stop(token(RECEIVE, 0));
        bench.ring.poll(fd, Interest::Read, read);
        bench.ring.cancel(read);
        assert!(matches!(bench.next(read).outcome, Outcome::Cancelled(None)));
        bench.ring.poll(fd, Interest::Read, read);
        bench.turn();
        bench.outside.close(far);
        assert!(matches!(bench.next(read).outcome, Outcome::Ready));
        bench.ring.close(fd, false);
        bench.turn();
    }
}

/// A wait ends at its time, and the clock that it leaves says so; one of no time at all ends at once.
pub(crate) struct WaitsNoLongerThanAsked;
impl Script for WaitsNoLongerThanAsked {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        bench.ring.receive(fd, token(RECEIVE, 0));
        let start = bench.ring.now().mono_us;
        let mut told = Vec::new();
        let mut turns = 0;
        while bench.ring.now().mono_us < start + 30_000 {
            let left = start + 30_000 - bench.ring.now().mono_us;
            bench.ring.wait(Some(Duration::from_micros(left)), &mut told).unwrap();
            assert!(told.is_empty(), "{told:?}");
            turns += 1;
            assert!(turns < 1_000_000, "time stands still");
        }
        // A machine with much else to do wakes us late, but not after many times as long.
        assert!(bench.ring.now().mono_us < start + 5_000_000);
        for _ in 0..100 {
            bench.ring.wait(Some(Duration::ZERO), &mut told).unwrap();
        }
        assert!(bench.ring.now().mono_us < start + 5_000_000);
        bench.stop(token(RECEIVE, 0));
        bench.close(fd, far);
    }
}

/// More operations than any queue holds can be started between two waits.
pub(crate) struct ManyOperationsInOneTurn;
impl Script for ManyOperationsInOneTurn {
    const SEEDS: u64 = 2;

    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (listener, address) = bench.outside.listener();
        bench.ring.accept(listener, token(ACCEPT, 0));
        let mut open = Vec::new();
        for _ in 0..700 {
            let far = bench.outside.connect(&address);
            open.push((bench.accepted(listener, token(ACCEPT, 0)), far));
        }
        for (slot, (fd, _)) in open.iter().enumerate() {
            let slot = slot as u32;
            bench.ring.receive(*fd, token(RECEIVE, slot));
            bench.ring.send(*fd, Buf::heap_from(&slot.to_be_bytes()), token(SEND, slot));
        }
        for (slot, (fd, far)) in open.into_iter().enumerate() {
            let slot = slot as u32;
            let mut left = match bench.next(token(SEND, slot)).outcome {
                Outcome::Sent(mut buf, count) => {
                    buf.advance(count);
                    buf.to_vec()
                }
                outcome => panic!("{outcome:?}"),
            };
            while !left.is_empty() {
                bench.ring.send(fd, Buf::heap_from(&left), token(SEND, slot));
                if let Outcome::Sent(_, count) = bench.next(token(SEND, slot)).outcome {
                    left.drain(..count);
                }
            }
            assert_eq!(bench.far_read(far, 4), slot.to_be_bytes());
            bench.outside.close(far);
            assert!(matches!(bench.receive_end(fd, token(RECEIVE, slot)), Outcome::Eof));
            bench.ring.close(fd, false);
        }
        bench.stop(token(ACCEPT, 0));
        bench.turn();
    }
}
