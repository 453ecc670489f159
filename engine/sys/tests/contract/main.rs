//! The contract of `Ring`: one script for each promise, run on io_uring, on epoll and on the simulation under many seeds.
//!
//! A script acts on both sides in one thread. It never sleeps: whatever it waits for, it lets the ring wait.

mod bench;
mod flow;
mod limits;
mod outside;

use bench::Bench;
use ounce_mem::Pool;
use ounce_sys::epoll::EpollRing;
use ounce_sys::probe::uring_available;
use ounce_sys::ring::Ring;
use ounce_sys::sim::{Faults, SimNet};
use ounce_sys::uring::UringRing;
use outside::{Kernel, Outside, Simulated};

/// One promise, as a script for any ring.
trait Script {
    /// Pages of the pool.
    const PAGES: u32 = 512;
    /// Seeds that it runs under on the simulation.
    const SEEDS: u64 = 60;

    fn run<R: Ring, O: Outside>(bench: &mut Bench<R, O>);
}

fn on_uring<S: Script>(dress: impl Fn(UringRing) -> UringRing) {
    if let Err(why) = uring_available() {
        eprintln!("not run: {why}");
        return;
    }
    let pool = Pool::new(S::PAGES).unwrap();
    let ring = dress(UringRing::new(pool.clone()).unwrap());
    finish::<S, _, _>(Bench::new(ring, Kernel::default()), &pool);
}

fn on_epoll<S: Script>() {
    let pool = Pool::new(S::PAGES).unwrap();
    let ring = EpollRing::new(pool.clone()).unwrap();
    finish::<S, _, _>(Bench::new(ring, Kernel::default()), &pool);
}

fn on_sim<S: Script>() {
    for seed in 0..S::SEEDS {
        // What breaks connections by chance is off: the scripts say themselves what breaks.
        let mut faults = if seed == 0 { Faults::none() } else { SimNet::new(seed).faults() };
        faults.reset = 0;
        faults.connect_fails = 0;
        faults.socket_fails = 0;
        faults.accept_fails = 0;
        faults.reset_drops = 0;
        let net = SimNet::with_faults(seed, faults);
        let pool = Pool::new(S::PAGES).unwrap();
        finish::<S, _, _>(Bench::new(net.ring(pool.clone()), Simulated::new(net.clone())), &pool);
        net.assert_all_returned(&net.listeners());
    }
}

fn finish<S: Script, R: Ring, O: Outside>(mut bench: Bench<R, O>, pool: &Pool) {
    S::run(&mut bench);
    drop(bench);
    assert_eq!(pool.free(), pool.capacity(), "every page is back once the ring is gone");
}

macro_rules! contract {
    ($($name:ident: $script:ty;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn uring() {
                on_uring::<$script>(|ring| ring);
            }

            #[test]
            fn uring_before_6_17() {
                on_uring::<$script>(UringRing::as_before_6_17);
            }

            #[test]
            fn epoll() {
                on_epoll::<$script>();
            }

            #[test]
            fn sim() {
                on_sim::<$script>();
            }
        }
    )*};
}

contract! {
    accepts_thousands: flow::AcceptsThousands;
    accept_can_be_cancelled: flow::AcceptCanBeCancelled;
    echoes_in_order: flow::EchoesInOrder;
    ends_are_told: flow::EndsAreTold;
    half_close: flow::HalfClose;
    peer_reset_is_told: flow::PeerResetIsTold;
    abort_resets_the_peer: flow::AbortResetsThePeer;
    connects: flow::Connects;
    refused_is_told: flow::RefusedIsTold;
    sending_to_nobody_fails: flow::SendingToNobodyFails;
    splices: flow::Splices;
    full_peer_holds_back: limits::FullPeerHoldsBack;
    receives_end_in_time: limits::ReceivesEndInTime;
    receive_can_be_cancelled: limits::ReceiveCanBeCancelled;
    cancel_races_lose_nothing: limits::CancelRacesLoseNothing;
    unknown_cancel_is_ignored: limits::UnknownCancelIsIgnored;
    no_buffers_and_recovery: limits::NoBuffersAndRecovery;
    polls: limits::Polls;
    waits_no_longer_than_asked: limits::WaitsNoLongerThanAsked;
    many_operations_in_one_turn: limits::ManyOperationsInOneTurn;
}
