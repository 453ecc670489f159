//! A worker process from its first line to its last.

use crate::crew::Manner;
use crate::feeds;
use crate::heritage::Heritage;
use crate::orders::{self, LEFT, Order, READY};
use crate::socket::op;
use crate::tls::{Resume, Tls, Wallet};
use crate::worker::{Worker, WorkerSetup};
use ounce_conf::model::IoEngine;
use ounce_mem::Pool;
use ounce_sys::epoll::EpollRing;
use ounce_sys::ring::{Completion, Fd, Interest, Ring, Token};
use ounce_sys::uring::UringRing;
use ounce_sys::{clock, pairs, parcel, process};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Pages of a worker's pool, 16 KiB each: 48 MiB that are touched only when traffic needs them.
const PAGES: u32 = 3072;

/// Descriptors that are no clients': listeners, log, orders, pipes.
const RESERVED_FDS: u64 = 256;

/// How many descriptors the kernel's table has room for from the start, if so many may be open: half a mebibyte of it.
const TABLE_FDS: u64 = 1 << 16;

/// Bytes of an order at most.
const MESSAGE_BYTES_MAX: usize = 64;

/// Serves until told to stop, or until the last connection has ended after an order to drain.
///
/// `drop_privileges` is called once the ring and its buffers exist, since they may need rights that serving does not;
/// READY is said after it.
///
/// # Errors
/// Why the worker cannot serve, or cannot go on: in words for the supervisor's log.
pub fn serve(
    heritage: &Heritage,
    drop_privileges: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let pool = Pool::new(PAGES).map_err(|error| format!("buffer pool: {error}"))?;
    let uring = match heritage.io_engine {
        IoEngine::Epoll => None,
        IoEngine::Auto => UringRing::new(pool.clone()).ok(),
        IoEngine::Uring => Some(UringRing::new(pool.clone()).map_err(|error| format!("io_uring: {error}"))?),
    };
    match uring {
        Some(ring) => run(ring, heritage, drop_privileges),
        None => {
            let ring = EpollRing::new(pool).map_err(|error| format!("epoll: {error}"))?;
            run(ring, heritage, drop_privileges)
        }
    }
}

fn run<R: Ring>(
    ring: R,
    heritage: &Heritage,
    drop_privileges: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let files = process::raise_open_files().map_err(|error| format!("open files: {error}"))?;
    // Now that there are no threads it takes no time. Whoever has more open will hardly notice.
    let _ = process::reserve_descriptors(heritage.orders, files.min(TABLE_FDS));
    let utc_offset = clock::utc_offset_s(i64::try_from(clock::wall_us() / 1_000_000).unwrap_or(0));
    // Keys are root's to read, and lie outside of a jail.
    let resume = Resume { segment: Arc::clone(&heritage.segment), lifetime_s: heritage.ticket_lifetime_s };
    let (mut wallets, mut feeds) = (BTreeMap::new(), Vec::new());
    for (feed, parcel) in &heritage.feeds {
        match feeds::of_listener(&heritage.plan, *feed) {
            Some(listener) => {
                let wallet =
                    Wallet::open_inherited(*parcel).map_err(|error| format!("feed {feed}: {error}"))?;
                wallets.insert(listener, wallet);
            }
            None => feeds.push((*feed, *parcel)),
        }
    }
    let mut tls = Tls::build(&heritage.plan, &heritage.cards, Some(&resume), wallets)?;
    drop_privileges()?;
    // A key that signed as root may not any more: better told now than to each client.
    tls.prove()?;
    // However many they may be, clients come first.
    let inherited = (heritage.sockets.len() + heritage.feeds.len()) as u64;
    let others = inherited + tls.descriptors_max().min(files / 2);
    let log = heritage.log;
    let mut worker = Worker::new(WorkerSetup {
        ring,
        plan: &heritage.plan,
        segment: &heritage.segment,
        owner: heritage.owner,
        sockets: heritage.sockets.clone(),
        tls,
        seed: seed(heritage),
        id: process::pid().unsigned_abs(),
        utc_offset,
        clients_max: clients_max(files, others),
        house: heritage.house,
        helpers: Manner::Threads(heritage.cpus.clone()),
        log: Box::new(move |batch: &[u8]| pairs::send(log, batch).unwrap_or(false)),
    });
    for (feed, parcel) in feeds {
        let bytes = parcel::open_inherited(parcel).map_err(|error| format!("feed {feed}: {error}"))?;
        use_feed(&mut worker, feed, &bytes)?;
    }
    worker.start();
    watch_orders(worker.ring(), heritage.orders);
    heritage.segment.fleet().ready(heritage.owner);
    pairs::send(heritage.orders, &[READY]).map_err(|error| format!("supervisor: {error}"))?;
    let (mut stop, mut left) = (false, false);
    while !stop && !worker.is_done() {
        let turned = worker.turn(|worker, completion| stop |= obey(worker, &completion, heritage));
        turned.map_err(|error| format!("ring: {error}"))?;
        if !left && worker.has_left() {
            left = true;
            // A supervisor that is gone, or has no room for this, will not wait for it.
            let _ = pairs::send(heritage.orders, &[LEFT]);
        }
    }
    Ok(())
}

/// Reads the orders that have come; true if the worker must stop now.
fn obey<R: Ring>(worker: &mut Worker<'_, R>, completion: &Completion, heritage: &Heritage) -> bool {
    if completion.token.op != op::ORDERS {
        return false;
    }
    let mut stop = false;
    let mut message = [0; MESSAGE_BYTES_MAX];
    loop {
        match pairs::receive_with_fds(heritage.orders, &mut message) {
            // The supervisor is gone, and with it everything that a worker is for.
            Ok(Some((0, _))) | Err(_) => return true,
            Ok(Some((count, fds))) => {
                if let Some((feed, _)) = orders::feed_of(&message[..count]) {
                    take_feed(worker, heritage, feed, &fds);
                    continue;
                }
                match Order::of(message[0]) {
                    Some(Order::Stop) => stop = true,
                    Some(order) => {
                        if order == Order::Drain {
                            heritage.segment.fleet().draining(heritage.owner);
                        }
                        worker.order(order);
                    }
                    None => {}
                }
            }
            Ok(None) => break,
        }
    }
    watch_orders(worker.ring(), heritage.orders);
    stop
}

/// Takes the new contents of a watched file, and says so.
fn take_feed<R: Ring>(worker: &mut Worker<'_, R>, heritage: &Heritage, feed: u32, parcel: &[OwnedFd]) {
    let bytes = match parcel {
        [parcel] => parcel::open(parcel.as_fd()).map_err(|error| error.to_string()),
        _ => Err("no contents were sent".to_owned()),
    };
    let taken = bytes.and_then(|bytes| use_feed(worker, feed, &bytes));
    let mut answer = orders::feed_message(feed).to_vec();
    answer.extend(taken.err().unwrap_or_default().into_bytes());
    // A supervisor that has no room for this asks again.
    let _ = pairs::send(heritage.orders, &answer);
}

fn use_feed<R: Ring>(worker: &mut Worker<'_, R>, feed: u32, bytes: &[u8]) -> Result<(), String> {
    worker.feed(feed, bytes).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn watch_orders<R: Ring>(ring: &mut R, orders: std::os::fd::RawFd) {
    ring.poll(Fd(orders), Interest::Read, Token { op: op::ORDERS, generation: 0, slot: 0 });
}

/// How many clients fit into the descriptors of this process, each with a connection to a backend, half as many parked
/// ones, and the two ends of a pipe for each eighth.
fn clients_max(files: u64, others: u64) -> u32 {
    let free = files.saturating_sub(RESERVED_FDS + others);
    u32::try_from(free * 4 / 11).unwrap_or(u32::MAX).clamp(16, 1 << 20)
}

/// Different in each worker and each start; it spreads load and guards no secret.
fn seed(heritage: &Heritage) -> u64 {
    let mixed = clock::wall_us() ^ (u64::from(heritage.slot) << 48) ^ (u64::from(heritage.generation) << 32);
    mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
