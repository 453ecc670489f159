//! Which CPU does what, and how long a proxy has had its own.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use ounce_tests::process;

/// The two CPUs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus {
    /// The proxy's alone.
    pub proxy: usize,
    /// For the client and the origin.
    pub others: usize,
}

impl Cpus {
    /// The last and the first CPU that this process may use: interrupts tend to be served on the first.
    ///
    /// # Errors
    /// When there are not two.
    pub fn choose() -> Result<Cpus, String> {
        let set =
            sched_getaffinity(Pid::from_raw(0)).map_err(|error| format!("sched_getaffinity: {error}"))?;
        let usable: Vec<usize> = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect();
        match (usable.first(), usable.last()) {
            (Some(others), Some(proxy)) if others != proxy => Ok(Cpus { proxy: *proxy, others: *others }),
            _ => Err("two CPUs are needed: one for the proxy, one for its client and its origin".into()),
        }
    }
}

/// Binds the calling thread, and whatever it starts from now on, to one CPU.
///
/// # Errors
/// What the kernel reports.
pub fn bind_to(cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    let bound = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    bound.map_err(|error| format!("cannot use CPU {cpu}: {error}"))
}

/// Nanoseconds that a process and all its descendants have had a CPU.
#[must_use]
pub fn spent_ns(pid: i32) -> u64 {
    process::family(pid).into_iter().map(process::cpu_ns).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_bound_where_it_is_told() {
        let Ok(cpus) = Cpus::choose() else { return };
        let bound = std::thread::spawn(move || {
            bind_to(cpus.proxy).unwrap();
            sched_getaffinity(Pid::from_raw(0)).unwrap()
        });
        let set = bound.join().unwrap();
        assert_eq!((set.is_set(cpus.proxy), set.is_set(cpus.others)), (Ok(true), Ok(false)));
    }
}
