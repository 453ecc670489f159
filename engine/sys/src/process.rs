//! Processes: fork, wait, names, CPUs, and which descriptors a child keeps.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill as nix_kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, with the number of the new one.
    Parent(i32),
}

/// Forks. Only in a process of one thread: the child of any other inherits locks that nobody will ever release.
///
/// # Errors
/// What fork(2) reports, or a refusal if this process has more than one thread.
pub fn fork() -> io::Result<Fork> {
    let threads = thread_count()?;
    if threads != 1 {
        return Err(io::Error::other(format!("fork in a process of {threads} threads")));
    }
    // SAFETY: this is the only thread, so the child is a complete copy and may do all that we may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Fork::Child),
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw())),
    }
}

/// How many threads this process has.
///
/// # Errors
/// What reading `/proc/self/task` reports.
pub fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// A child that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its number.
    pub pid: i32,
    /// How it ended.
    pub how: End,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// A child that has ended, if there is one; does not wait. Call it until it says `None`: one SIGCHLD may stand for
/// several children.
///
/// # Errors
/// What waitpid(2) reports; having no child is not an error.
pub fn reap() -> io::Result<Option<Ended>> {
    wait_for_end(None, WaitPidFlag::WNOHANG)
}

/// Waits for this child to end.
///
/// # Errors
/// What waitpid(2) reports, ECHILD if it is no child of ours.
pub fn wait(pid: i32) -> io::Result<Ended> {
    match wait_for_end(Some(Pid::from_raw(pid)), WaitPidFlag::empty())? {
        Some(ended) => Ok(ended),
        None => Err(io::Error::from_raw_os_error(libc::ECHILD)),
    }
}

fn wait_for_end(pid: Option<Pid>, flags: WaitPidFlag) -> io::Result<Option<Ended>> {
    loop {
        return match waitpid(pid, Some(flags)) {
            Ok(WaitStatus::Exited(pid, status)) => {
                Ok(Some(Ended { pid: pid.as_raw(), how: End::Exited(status) }))
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                Ok(Some(Ended { pid: pid.as_raw(), how: End::Killed(signal as i32) }))
            }
            Ok(WaitStatus::StillAlive) => Ok(None),
            // Stopped and continued children are not asked for; whatever else there is, is no end.
            Ok(_) | Err(nix::Error::EINTR) => continue,
            Err(nix::Error::ECHILD) if pid.is_none() => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// What kill(2) reports; EINVAL for a number that is no signal or a `pid` that is not one process.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // 0, -1 and other negatives address groups of processes, ours or everybody's.
    if pid <= 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(nix_kill(Pid::from_raw(pid), Signal::try_from(signal)?)?)
}

/// Asks to be killed when the parent ends, so that no orphan goes on serving. `parent` is the number it had before the
/// fork: if it has ended meanwhile, this is an error.
///
/// # Errors
/// What prctl(2) reports, or ESRCH if the parent is gone.
pub fn die_with_parent(parent: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    crate::socket::check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    if nix::unistd::getppid().as_raw() == parent {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

/// The number of this process.
pub fn pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Ends this process at once: no destructors, no exit handlers. For children, which must not run their parent's.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) takes no memory and does not return.
    unsafe { libc::_exit(status) }
}

/// Names this process as `ps` and `top` show it: the first 15 bytes.
///
/// # Errors
/// `InvalidInput` if the name holds a NUL.
pub fn set_name(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the pointer is to a string with a NUL that lives over the call; the kernel copies at most 16 bytes of it.
    crate::socket::check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }).map(drop)
}

/// The CPUs that this process may run on, in ascending order.
///
/// # Errors
/// What sched_getaffinity(2) reports.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// Lets the calling thread, and with it those that it starts, run on one CPU only.
///
/// # Errors
/// What sched_setaffinity(2) reports, EINVAL for a CPU that is not there or not allowed.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    allow_cpus(&[cpu])
}

/// Lets the calling thread, and with it those that it starts, run on these CPUs only.
///
/// # Errors
/// What sched_setaffinity(2) reports, EINVAL for a CPU that is not there or not allowed.
pub fn allow_cpus(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Makes room in the table of descriptors for so many: copies `fd`, which has to be open, for a moment. Once threads share
/// the table, the kernel makes room only after a grace period of RCU, for which whoever needs a descriptor then has to
/// wait: some tens of milliseconds.
///
/// # Errors
/// What fcntl(2) reports, such as EINVAL for more than may be open.
pub fn reserve_descriptors(fd: RawFd, count: u64) -> io::Result<()> {
    let last = libc::c_int::try_from(count.saturating_sub(1)).unwrap_or(libc::c_int::MAX);
    // SAFETY: no memory is passed; a number that is no descriptor is refused by the kernel.
    let copy = crate::socket::check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, last) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(copy) });
    Ok(())
}

/// Lets the calling thread stand back by so many steps of nice(2) when others want its CPU.
///
/// # Errors
/// What setpriority(2) reports.
pub fn give_way(steps: u8) -> io::Result<()> {
    // SAFETY: no memory is passed. On Linux 0 names the calling thread, not its process; -1 may be an error or a priority,
    // and is taken for the latter.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: as above. What is too much for the kernel counts as the most.
    crate::socket::check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, now + i32::from(steps)) })
        .map(drop)
}

/// Lets the calling thread run when nobody else wants its CPU, and stop as soon as somebody does (SCHED_IDLE, sched(7)).
///
/// # Errors
/// What sched_setscheduler(2) reports.
pub fn stand_back() -> io::Result<()> {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a value that lives over the call. 0 names the calling thread.
    crate::socket::check(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) }).map(drop)
}

/// Closes every descriptor but 0, 1, 2 and these.
///
/// # Errors
/// What close_range(2) reports (since Linux 5.9).
pub fn close_fds_except(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> =
        keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut from = 3;
    for fd in keep {
        if fd > from {
            close_range(from, fd - 1)?;
        }
        from = fd + 1;
    }
    close_range(from, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: no memory is passed. That the descriptors are not in use is what the caller of close_fds_except decides;
    // a std type that still owns one sees EBADF later, which is no breach of memory.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Raises the limit of open descriptors as far as this process may; returns the limit that holds now.
///
/// # Errors
/// What getrlimit(2) reports.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an rlimit that lives over the call.
    crate::socket::check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: as above.
    match crate::socket::check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) }) {
        Ok(_) => Ok(raised.rlim_cur),
        Err(_) => Ok(limit.rlim_cur),
    }
}

/// CPU time of this process so far: in user space, and in the kernel.
pub fn cpu_time() -> (Duration, Duration) {
    // SAFETY: all zeroes is a valid rusage: plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to an rusage that lives over the call, which cannot fail with these arguments.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    (time(usage.ru_utime), time(usage.ru_stime))
}

/// Waits until one of these descriptors is readable; false if that takes longer. For a process with nothing else to do.
///
/// # Errors
/// What poll(2) reports.
pub fn wait_readable(fds: &[RawFd], limit: Duration) -> io::Result<bool> {
    let mut watched: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 }).collect();
    let limit = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer is to as many entries as are told, which live over the call.
    let ready = unsafe { libc::poll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, limit) };
    crate::socket::check(ready).map(|ready| ready > 0)
}

/// Another descriptor of the same file.
///
/// # Errors
/// What fcntl(2) reports.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; a number that is no descriptor is refused by the kernel.
    let copy = crate::socket::check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Makes reads and writes on this descriptor return EAGAIN instead of waiting.
///
/// # Errors
/// What fcntl(2) reports.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
