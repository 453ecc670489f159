//! What connections go through.

use crate::Script;
use crate::bench::{ACCEPT, Bench, CONNECT, RECEIVE, SEND, pattern, token};
use crate::outside::{Got, Outside};
use ounce_sys::errno::Kind;
use ounce_sys::ring::{Moved, Outcome, Ring};
use std::collections::HashSet;

/// Every connection of a burst is accepted once, with its peer's address, by one accept; none is lost or doubled.
pub(crate) struct AcceptsThousands;
impl Script for AcceptsThousands {
    const SEEDS: u64 = 10;

    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (listener, address) = bench.outside.listener();
        let accept = token(ACCEPT, 0);
        bench.ring.accept(listener, accept);
        let mut peers = HashSet::new();
        for _ in 0..20 {
            let burst: Vec<usize> = (0..100).map(|_| bench.outside.connect(&address)).collect();
            for _ in 0..burst.len() {
                let fd = bench.accepted(listener, accept);
                assert_eq!(bench.ring.local(fd), Some(address.clone()));
                assert!(peers.insert(bench.ring.peer(fd)));
                bench.ring.close(fd, false);
            }
            for far in burst {
                let own = bench.outside.local(far);
                assert!(peers.contains(&Some(own)));
                assert_eq!(bench.far_end(far), Got::End);
                bench.outside.close(far);
            }
            peers.clear();
        }
        bench.stop(accept);
    }
}

/// An accept that is cancelled says so once, and connections that come later wait for the next accept.
pub(crate) struct AcceptCanBeCancelled;
impl Script for AcceptCanBeCancelled {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (listener, address) = bench.outside.listener();
        let accept = token(ACCEPT, 0);
        for _ in 0..3 {
            bench.ring.accept(listener, accept);
            bench.turn();
            bench.ring.cancel(accept);
            let end = bench.next(accept);
            assert!(matches!(end.outcome, Outcome::Cancelled(None)), "{end:?}");
            let far = bench.outside.connect(&address);
            bench.turn();
            assert!(bench.told(accept).is_none());
            bench.ring.accept(listener, accept);
            let fd = bench.accepted(listener, accept);
            bench.stop(accept);
            bench.close(fd, far);
        }
    }
}

/// Bytes come in and go out in order and whole, from one byte to more than all buffers hold.
pub(crate) struct EchoesInOrder;
impl Script for EchoesInOrder {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let (receive, send) = (token(RECEIVE, 0), token(SEND, 0));
        bench.ring.receive(fd, receive);
        for count in [1, 100, 16 * 1024, 16 * 1024 + 1, 100_000] {
            let bytes = pattern(count);
            let mut written = 0;
            let mut back = Vec::new();
            while back.len() < count {
                written += bench.outside.write(far, &bytes[written..]).unwrap();
                if let Some(completion) = bench.told(receive) {
                    if let Outcome::Received(buf) = completion.outcome {
                        // As much as fits between here and there is sent before the outside reads.
                        for part in buf.chunks(256) {
                            bench.send(fd, send, part);
                            back.extend(bench.far_read(far, part.len()));
                        }
                    }
                    if !completion.more {
                        bench.ring.receive(fd, receive);
                    }
                } else {
                    bench.turn();
                }
            }
            assert!(back == bytes);
        }
        bench.stop(receive);
        bench.close(fd, far);
    }
}

/// The end of the peer's stream is told once, after its last byte.
pub(crate) struct EndsAreTold;
impl Script for EndsAreTold {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        for told_before in [false, true] {
            let (fd, far) = bench.connection();
            let receive = token(RECEIVE, 0);
            if told_before {
                bench.ring.receive(fd, receive);
                bench.turn();
            }
            bench.far_write(far, b"last");
            bench.outside.close(far);
            bench.turn();
            if !told_before {
                bench.ring.receive(fd, receive);
            }
            assert_eq!(bench.receive(fd, receive, 4), b"last");
            assert!(matches!(bench.receive_end(fd, receive), Outcome::Eof));
            bench.ring.close(fd, false);
            bench.turn();
            assert!(bench.told(receive).is_none());
        }
    }
}

/// Each direction ends for itself.
pub(crate) struct HalfClose;
impl Script for HalfClose {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let (receive, send) = (token(RECEIVE, 0), token(SEND, 0));
        bench.ring.receive(fd, receive);
        bench.send(fd, send, b"ours");
        bench.ring.shutdown_write(fd);
        assert_eq!(bench.far_read(far, 4), b"ours");
        assert_eq!(bench.far_end(far), Got::End);
        bench.far_write(far, b"theirs");
        assert_eq!(bench.receive(fd, receive, 6), b"theirs");
        bench.outside.shutdown_write(far);
        assert!(matches!(bench.receive_end(fd, receive), Outcome::Eof));
        bench.close(fd, far);
    }
}

/// A connection that the peer breaks ends a receive with an error of the right kind.
pub(crate) struct PeerResetIsTold;
impl Script for PeerResetIsTold {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        let receive = token(RECEIVE, 0);
        bench.ring.receive(fd, receive);
        bench.turn();
        bench.outside.reset(far);
        match bench.receive_end(fd, receive) {
            Outcome::Failed(errno, None) => assert_eq!(errno.kind(), Kind::Reset),
            outcome => panic!("{outcome:?}"),
        }
        bench.ring.close(fd, false);
        bench.turn();
    }
}

/// A close with `abort` breaks the connection where an ordinary one ends it.
pub(crate) struct AbortResetsThePeer;
impl Script for AbortResetsThePeer {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        for (abort, end) in [(true, Got::Reset), (false, Got::End)] {
            let (fd, far) = bench.connection();
            bench.ring.close(fd, abort);
            assert_eq!(bench.far_end(far), end);
            bench.outside.close(far);
        }
    }
}

/// A connection to an origin carries bytes both ways, and knows both its ends.
pub(crate) struct Connects;
impl Script for Connects {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        for _ in 0..20 {
            let (fd, far, origin) = bench.backend();
            assert_eq!(bench.ring.peer(fd), Some(origin.clone()));
            assert_eq!(bench.outside.local(far), origin);
            bench.ring.receive(fd, token(RECEIVE, 0));
            bench.send(fd, token(SEND, 0), b"question");
            assert_eq!(bench.far_read(far, 8), b"question");
            bench.far_write(far, b"answer");
            assert_eq!(bench.receive(fd, token(RECEIVE, 0), 6), b"answer");
            bench.stop(token(RECEIVE, 0));
            bench.close(fd, far);
            bench.outside.refuse(&origin);
        }
    }
}

/// Where nobody listens a connect is refused, and the descriptor is still the caller's to close.
pub(crate) struct RefusedIsTold;
impl Script for RefusedIsTold {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let origin = bench.outside.origin();
        bench.outside.refuse(&origin);
        let fd = bench.ring.socket(&origin).unwrap();
        bench.ring.connect(fd, &origin, token(CONNECT, 0));
        let end = bench.next(token(CONNECT, 0));
        match end.outcome {
            Outcome::Failed(errno, None) => assert_eq!(errno.kind(), Kind::Refused),
            outcome => panic!("{outcome:?}"),
        }
        assert_eq!(bench.ring.peer(fd), None);
        bench.ring.close(fd, false);
        bench.turn();
    }
}

/// Bytes for a peer that has gone come back with an error, not with a signal.
pub(crate) struct SendingToNobodyFails;
impl Script for SendingToNobodyFails {
    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (fd, far) = bench.connection();
        bench.outside.close(far);
        // The first send may be taken before the peer's answer to it is here.
        for _ in 0..10_000 {
            let page = bench.page(b"is anybody there?");
            bench.ring.send(fd, page, token(SEND, 0));
            match bench.next(token(SEND, 0)).outcome {
                Outcome::Sent(..) => bench.turn(),
                Outcome::Failed(errno, Some(buf)) => {
                    assert_eq!(errno.kind(), Kind::Reset);
                    assert_eq!(&*buf, b"is anybody there?");
                    bench.ring.close(fd, false);
                    return bench.turn();
                }
                outcome => panic!("{outcome:?}"),
            }
        }
        panic!("nobody there, and it was never told");
    }
}

/// Bytes pass from one connection to another through a pipe, with both kinds of "nothing now", to the end.
pub(crate) struct Splices;
impl Script for Splices {
    const SEEDS: u64 = 20;

    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>) {
        let (from, client) = bench.connection();
        let (to, origin, _) = bench.backend();
        let pipe = bench.ring.pipe().unwrap();
        assert!(pipe.capacity >= 4096);
        assert_eq!(bench.ring.splice(from, pipe.write, 100), Ok(Moved::Nothing));
        assert_eq!(bench.ring.splice(pipe.read, to, 100), Ok(Moved::Nothing));
        let bytes = pattern((4 * bench.outside.overfull()).min(1_000_000));
        let (mut written, mut held, mut arrived, mut ended) = (0, 0, Vec::new(), false);
        bench.until("the end of the stream", |bench| {
            if written < bytes.len() {
                written += bench.outside.write(client, &bytes[written..]).unwrap();
                if written == bytes.len() {
                    bench.outside.shutdown_write(client);
                }
            }
            match bench.ring.splice(from, pipe.write, pipe.capacity - held.min(pipe.capacity)).unwrap() {
                Moved::Bytes(count) => held += count,
                Moved::End => ended = true,
                Moved::Nothing => {}
            }
            while held > 0 {
                match bench.ring.splice(pipe.read, to, held).unwrap() {
                    Moved::Bytes(count) => held -= count,
                    moved => {
                        assert_eq!(moved, Moved::Nothing);
                        break;
                    }
                }
            }
            while let Got::Bytes(more) = bench.outside.read(origin) {
                arrived.extend(more);
            }
            (ended && held == 0 && arrived.len() >= bytes.len()).then_some(())
        });
        assert!(arrived == bytes);
        bench.ring.close(pipe.read, false);
        bench.ring.close(pipe.write, false);
        bench.close(from, client);
        bench.close(to, origin);
    }
}
