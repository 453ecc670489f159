//! [`Segment`]: the mapping. Made once by the supervisor, inherited by fork, or attached to after an exec.
//!
//! The file behind it is sealed against growing and shrinking, so that no process can make another fault. Limits and
//! places are copied to private memory and checked, so that nobody who scribbles over the segment can make another
//! read outside of it.

use super::claim::Claims;
use super::counters::{CounterPage, Counters};
use super::fleet::Fleet;
use super::health::Backends;
use super::layout::{
    BackendCell, BackendRow, HASH, Header, Limits, ListenerRow, MAGIC, MemberRow, PlaceRow, Plan, ServiceRow,
    Tag, VERSION,
};
use super::listener::Listeners;
use super::place::Places;
use super::rate::{self, RateRow, Rates};
use super::resumption::{ENTRIES, ResumptionEntry, Resumptions};
use super::service::Services;
use super::session::{SessionBucket, Sessions};
use super::ticket::{TicketRow, Tickets};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Seals that every segment carries before anybody else sees it.
const SEALS: SealFlag = SealFlag::F_SEAL_GROW.union(SealFlag::F_SEAL_SHRINK).union(SealFlag::F_SEAL_SEAL);

/// The tables that claim rows by identity, in the order of their tags and peaks.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Backend,
    Service,
    Listener,
}

/// The shared memory of one supervisor and all its children.
pub struct Segment {
    /// INVARIANT: the start of a shared mapping of `plan.total` bytes that lives as long as self, laid out by `plan`.
    base: NonNull<u8>,
    plan: Plan,
    limits: Limits,
    secret: [u64; 2],
    file: OwnedFd,
}

// SAFETY: the mapping belongs to no thread, and all that is reachable in it through &self is atomic.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// Makes a segment with empty tables and a secret of its own. Memory is backed as it is touched.
    ///
    /// # Errors
    /// `InvalidInput` for limits out of range; else what memfd_create(2), ftruncate(2), mmap(2) or getrandom(2) report.
    pub fn create(limits: Limits) -> io::Result<Segment> {
        if !limits.are_sane() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "limits of the shared segment out of range",
            ));
        }
        let plan = Plan::new(&limits);
        let file = memfd_create(c"ounce", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        nix::unistd::ftruncate(&file, i64::try_from(plan.total).map_err(io::Error::other)?)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
        let base = map(&file, plan.total)?;
        let segment = Segment { base, plan, limits, secret: draw()?, file };
        segment.write_header()?;
        Ok(segment)
    }

    /// Maps a segment that another process, or this one before an exec, has created.
    ///
    /// # Errors
    /// `InvalidData` if the file is no segment of this very layout, or could still change its size; else what
    /// fcntl(2), fstat(2) or mmap(2) report.
    pub fn attach(file: OwnedFd) -> io::Result<Segment> {
        let seals = SealFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GET_SEALS)?);
        if !seals.contains(SEALS) {
            return Err(invalid("the shared segment is not sealed"));
        }
        let bytes = usize::try_from(fstat(&file)?.st_size).map_err(io::Error::other)?;
        if bytes < size_of::<Header>() {
            return Err(invalid("the shared segment has no header"));
        }
        // Until its own limits are known it is a header and nothing else.
        let least = Limits { backends: 1, services: 1, listeners: 1, session_buckets: 1, workers: 1 };
        let plan = Plan { total: bytes, ..Plan::new(&least) };
        let mut segment = Segment { base: map(&file, bytes)?, plan, limits: least, secret: [0; 2], file };
        let (limits, secret) = segment.read_header()?;
        let plan = Plan::new(&limits);
        if plan.total != bytes {
            return Err(invalid("the shared segment has not the size that its limits ask for"));
        }
        (segment.plan, segment.limits, segment.secret) = (plan, limits, secret);
        Ok(segment)
    }

    /// The file behind the mapping: for handing it over an exec. It closes on exec until told otherwise.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// How many rows the tables have.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What TLS session tickets are sealed with.
    #[inline]
    #[must_use]
    pub fn tickets(&self) -> Tickets<'_> {
        Tickets::new(self)
    }

    /// TLS sessions of clients that take no tickets.
    #[inline]
    #[must_use]
    pub fn resumptions(&self) -> Resumptions<'_> {
        Resumptions::new(self)
    }

    /// Token buckets.
    #[inline]
    #[must_use]
    pub fn rates(&self) -> Rates<'_> {
        Rates::new(self)
    }

    /// Moves whenever a listener, a service or a backend is switched on or off. A worker that kept the last value it
    /// saw learns with one load that it has nothing to look at.
    #[inline]
    #[must_use]
    pub fn change_epoch(&self) -> u32 {
        self.header().epoch.0.load(Acquire)
    }

    /// Says that a switch was changed; called after the change.
    pub(super) fn bump_epoch(&self) {
        self.header().epoch.0.fetch_add(1, Release);
    }

    /// Health, switches and statistics of the backends.
    #[inline]
    #[must_use]
    pub fn backends(&self) -> Backends<'_> {
        Backends::new(self)
    }

    /// Addresses that were looked up.
    #[inline]
    #[must_use]
    pub fn places(&self) -> Places<'_> {
        Places::new(self)
    }

    /// Balancer positions and switches of the services.
    #[inline]
    #[must_use]
    pub fn services(&self) -> Services<'_> {
        Services::new(self)
    }

    /// Switches of the listeners.
    #[inline]
    #[must_use]
    pub fn listeners(&self) -> Listeners<'_> {
        Listeners::new(self)
    }

    /// The sticky table.
    #[inline]
    #[must_use]
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions::new(self)
    }

    /// The counters of all workers.
    #[inline]
    #[must_use]
    pub fn counters(&self) -> Counters<'_> {
        Counters::new(self)
    }

    /// The workers.
    #[inline]
    #[must_use]
    pub fn fleet(&self) -> Fleet<'_> {
        Fleet::new(self)
    }

    pub(super) fn secret(&self) -> [u64; 2] {
        self.secret
    }

    #[inline]
    pub(super) fn header(&self) -> &Header {
        &self.rows(0, 1)[0]
    }

    pub(super) fn claims(&self, kind: Kind) -> Claims<'_> {
        let rows = [self.limits.backends, self.limits.services, self.limits.listeners][kind as usize];
        let tags: &[Tag] = self.rows(self.plan.tags[kind as usize], rows as usize);
        Claims::new(tags, &self.header().peaks[kind as usize], self.secret)
    }

    #[inline]
    pub(super) fn backend_rows(&self) -> &[BackendRow] {
        self.rows(self.plan.backends, self.limits.backends as usize)
    }

    #[inline]
    pub(super) fn place_rows(&self) -> &[PlaceRow] {
        self.rows(self.plan.places, self.limits.backends as usize)
    }

    /// The cells of one worker slot, one per backend.
    #[inline]
    pub(super) fn backend_cells(&self, worker: u16) -> &[BackendCell] {
        let backends = self.limits.backends as usize;
        let cells = self.rows(self.plan.cells, backends * self.limits.workers as usize);
        &cells[usize::from(worker) * backends..][..backends]
    }

    #[inline]
    pub(super) fn service_rows(&self) -> &[ServiceRow] {
        self.rows(self.plan.services, self.limits.services as usize)
    }

    #[inline]
    pub(super) fn listener_rows(&self) -> &[ListenerRow] {
        self.rows(self.plan.listeners, self.limits.listeners as usize)
    }

    #[inline]
    pub(super) fn member_rows(&self) -> &[MemberRow] {
        self.rows(self.plan.members, self.limits.workers as usize)
    }

    #[inline]
    pub(super) fn counter_pages(&self) -> &[CounterPage] {
        self.rows(self.plan.counters, self.limits.workers as usize)
    }

    #[inline]
    pub(super) fn session_buckets(&self) -> &[SessionBucket] {
        self.rows(self.plan.buckets, self.limits.session_buckets as usize)
    }

    #[inline]
    pub(super) fn ticket_row(&self) -> &TicketRow {
        &self.rows(self.plan.tickets, 1)[0]
    }

    #[inline]
    pub(super) fn resumption_entries(&self) -> &[ResumptionEntry] {
        self.rows(self.plan.resumptions, ENTRIES)
    }

    #[inline]
    pub(super) fn rate_rows(&self) -> &[RateRow] {
        self.rows(self.plan.rates, rate::ROWS)
    }

    /// `count` rows that start `offset` bytes into the segment. Private, and only called with a table of the plan and
    /// the row type of that table.
    #[inline]
    fn rows<T>(&self, offset: usize, count: usize) -> &[T] {
        debug_assert!(offset.is_multiple_of(align_of::<T>()));
        debug_assert!(offset + count * size_of::<T>() <= self.plan.total);
        // SAFETY: the plan puts `count` rows of T at this offset inside the mapping, aligned to a page. Rows consist of
        // atomics, for which any bytes are valid and which may be shared with other processes that write them.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset).cast(), count) }
    }

    fn write_header(&self) -> io::Result<()> {
        let header = self.header();
        let Limits { backends, services, listeners, session_buckets, workers } = self.limits;
        for (field, value) in
            header.limits.iter().zip([backends, services, listeners, session_buckets, workers])
        {
            field.store(value, Relaxed);
        }
        for (field, value) in header.secret.iter().zip(self.secret) {
            field.store(value, Relaxed);
        }
        header.version.store(VERSION, Relaxed);
        header.hash.store(HASH, Relaxed);
        self.tickets().rotate(0)?;
        header.magic.store(MAGIC, Release);
        Ok(())
    }

    fn read_header(&self) -> io::Result<(Limits, [u64; 2])> {
        let header = self.header();
        if header.magic.load(Acquire) != MAGIC {
            return Err(invalid("the file is no shared segment"));
        }
        if header.version.load(Relaxed) != VERSION || header.hash.load(Relaxed) != HASH {
            return Err(invalid("the shared segment has the layout of another version"));
        }
        let [backends, services, listeners, session_buckets, workers] =
            [0, 1, 2, 3, 4].map(|i: usize| header.limits[i].load(Relaxed));
        let limits = Limits { backends, services, listeners, session_buckets, workers };
        if !limits.are_sane() {
            return Err(invalid("the shared segment has limits out of range"));
        }
        Ok((limits, [header.secret[0].load(Relaxed), header.secret[1].load(Relaxed)]))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the mapping is self's own, and what was borrowed from it was borrowed from self.
        let unmapped = unsafe { munmap(self.base.cast(), self.plan.total) };
        debug_assert!(unmapped.is_ok());
    }
}

impl fmt::Debug for Segment {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("bytes", &self.plan.total).field("limits", &self.limits).finish()
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Maps the first `bytes` bytes of the file, shared.
fn map(file: &OwnedFd, bytes: usize) -> io::Result<NonNull<u8>> {
    let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let base =
        unsafe { mmap(None, length, access, MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE, file, 0) }?;
    Ok(base.cast())
}

/// Draws random words, up to 32 of them.
pub(super) fn draw<const WORDS: usize>() -> io::Result<[u64; WORDS]> {
    const { assert!(WORDS <= 32) }
    let mut secret = [0_u64; WORDS];
    // SAFETY: the pointer and the length are those of the array. Requests of up to 256 bytes are never cut short.
    let drawn = unsafe { libc::getrandom(secret.as_mut_ptr().cast(), size_of_val(&secret), 0) };
    if drawn == size_of_val(&secret) as isize { Ok(secret) } else { Err(io::Error::last_os_error()) }
}

/// The smallest segment, for tests of what lies in it.
#[cfg(test)]
pub(crate) fn smallest() -> Segment {
    let limits = Limits { backends: 1, services: 1, listeners: 1, session_buckets: 1, workers: 1 };
    Segment::create(limits).expect("a segment")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Limits {
        Limits { backends: 4, services: 2, listeners: 2, session_buckets: 2, workers: 2 }
    }

    #[test]
    fn who_attaches_sees_the_same_memory() {
        let one = Segment::create(small()).expect("a segment");
        let two =
            Segment::attach(one.fd().try_clone_to_owned().expect("a descriptor")).expect("the same segment");
        assert_eq!((two.limits(), two.secret()), (&small(), one.secret()));
        let id = one.backends().claim("service/10.0.0.1:80", 1).expect("a row");
        assert!(two.backends().is_active(id));
        assert!(two.backends().mark_dead(id, 7));
        assert!(!one.backends().is_active(id));
        assert_eq!(two.backends().claim("service/10.0.0.1:80", 2), Some(id), "the secret is shared too");
    }

    #[test]
    fn a_file_of_another_layout_is_refused() {
        let segment = Segment::create(small()).expect("a segment");
        let attach = || Segment::attach(segment.fd().try_clone_to_owned().expect("a descriptor"));
        segment.header().hash.store(HASH ^ 1, Relaxed);
        assert_eq!(attach().expect_err("another layout").kind(), io::ErrorKind::InvalidData);
        segment.header().hash.store(HASH, Relaxed);
        segment.header().limits[0].store(5000, Relaxed);
        assert_eq!(attach().expect_err("another size").kind(), io::ErrorKind::InvalidData);
        segment.header().limits[0].store(u32::MAX, Relaxed);
        assert_eq!(attach().expect_err("insane limits").kind(), io::ErrorKind::InvalidData);
        segment.header().magic.store(0, Relaxed);
        assert_eq!(attach().expect_err("no magic").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_file_that_could_shrink_is_refused() {
        let file =
            memfd_create(c"loose", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).expect("a file");
        nix::unistd::ftruncate(&file, 1 << 20).expect("a size");
        assert_eq!(Segment::attach(file).expect_err("not sealed").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_size_cannot_be_changed_by_anybody() {
        let segment = Segment::create(small()).expect("a segment");
        assert!(nix::unistd::ftruncate(segment.fd(), 0).is_err());
    }

    #[test]
    fn each_segment_has_a_secret_of_its_own() {
        let secrets = [(); 2].map(|()| Segment::create(small()).expect("a segment").secret());
        assert_ne!(secrets[0], secrets[1]);
        assert_ne!(secrets[0], [0; 2]);
    }

    #[test]
    fn a_switch_moves_the_epoch() {
        let segment = Segment::create(small()).expect("a segment");
        let before = segment.change_epoch();
        let id = segment.listeners().claim("main", 1).expect("a row");
        assert_eq!(segment.change_epoch(), before);
        segment.listeners().set_disabled(id, true);
        assert_ne!(segment.change_epoch(), before);
    }
}
