//! The work of children: one worker, or the warden.

use crate::child::{Outfit, fork};
use crate::house::House;
use crate::inheritance::Inheritance;
use crate::listen::Bindings;
use crate::source::Generation;
use crate::warden;
use ounce_engine::tls::Greeter;
use ounce_engine::{Heritage, ListeningSocket};
use ounce_mem::{Owner, Segment};
use ounce_sys::privilege::Descent;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

/// What every child of a generation has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth<'a> {
    /// Whose configuration it serves.
    pub(crate) generation: &'a Generation,
    /// The shared segment.
    pub(crate) segment: &'a Arc<Segment>,
    /// Who it is in the segment.
    pub(crate) owner: Owner,
    /// Its end of the orders socket.
    pub(crate) orders: RawFd,
    /// The supervisor has left the terminal.
    pub(crate) detached: bool,
}

/// Forks the worker of a position, which writes its lines to `log` and is given what has changed in `feeds`
/// since its configuration was read. Returns its number.
///
/// # Errors
/// What fork(2) reports.
pub(crate) fn fork_worker(
    birth: Birth<'_>,
    position: u16,
    bindings: &Bindings,
    cpus: &[usize],
    log: RawFd,
    feeds: Vec<(u32, RawFd)>,
) -> io::Result<i32> {
    let Birth { generation, segment, owner, orders, detached } = birth;
    let sockets = deal(generation, position, bindings);
    let mut keep: Vec<RawFd> = sockets.iter().map(|socket| socket.fd).collect();
    keep.push(log);
    let house = generation.house.as_ref().map(House::worker_end);
    keep.extend(house);
    keep.extend(feeds.iter().map(|(_, parcel)| *parcel));
    let cpu = cpus.get(usize::from(position) % cpus.len().max(1)).copied();
    let outfit = Outfit { name: "ounce-worker", cpu, keep, orders: Some(orders), detached };
    let heritage = Heritage {
        slot: owner.worker,
        generation: generation.number,
        owner,
        plan: Arc::clone(&generation.plan),
        segment: Arc::clone(segment),
        sockets,
        feeds,
        orders,
        log,
        house,
        ticket_lifetime_s: generation.config.global.ticket_lifetime.as_secs(),
        io_engine: generation.config.global.io_engine,
        cpus: cpus.to_vec(),
        cards: generation.config.global.cards.clone(),
    };
    fork(&outfit, || ounce_engine::serve(&heritage, || descend(&generation.descent)))
}

/// Forks the warden. Returns its number.
///
/// # Errors
/// What fork(2) reports.
pub(crate) fn fork_warden(birth: Birth<'_>, mut inheritance: Inheritance) -> io::Result<i32> {
    let papers = inheritance.newest_papers.iter().map(|(_, papers)| papers);
    let sockets = inheritance.log.iter().chain(&inheritance.control).chain(&inheritance.house);
    let keep = sockets.chain(papers).copied().collect();
    let outfit = Outfit {
        name: "ounce-warden",
        cpu: None,
        keep,
        orders: Some(birth.orders),
        detached: birth.detached,
    };
    // It needs the syslog socket and the name servers' configuration for as long as it lives.
    let descent = Descent { root: None, ..birth.generation.descent.clone() };
    fork(&outfit, || {
        // Keys are root's to read.
        inheritance.greeters = Greeter::build(&inheritance.plan)?;
        // What only root may reach is opened before; what is in it must be for the user to read.
        let directories = warden::open_directories(&inheritance);
        descend(&descent)?;
        warden::run(inheritance, directories)
    })
}

/// The sockets of one worker of a generation.
fn deal(generation: &Generation, position: u16, bindings: &Bindings) -> Vec<ListeningSocket> {
    let mut sockets = Vec::new();
    for (listener, place) in generation.places.iter().enumerate() {
        let dealt = bindings.deal(place, position, generation.workers);
        sockets.extend(dealt.into_iter().map(|fd| ListeningSocket { listener, fd }));
    }
    sockets
}

fn descend(descent: &Descent) -> Result<(), String> {
    descent.apply().map_err(|error| error.to_string())
}
