//! The kernel's clocks.

use crate::ring::Now;

/// Microseconds of CLOCK_MONOTONIC.
pub fn monotonic_us() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Milliseconds of CLOCK_MONOTONIC: the time of the shared segment.
pub fn monotonic_ms() -> u64 {
    monotonic_us() / 1000
}

/// Microseconds since the UNIX epoch.
pub fn wall_us() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// Both clocks, read one after the other.
pub fn now() -> Now {
    Now { mono_us: monotonic_us(), wall_us: wall_us() }
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec. Both clocks exist on every Linux, so it cannot fail.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The monotonic clock never goes back, and the wall clock is past 2020.
    #[test]
    fn clocks_run() {
        let first = now();
        let second = now();
        assert!(second.mono_us >= first.mono_us);
        assert!(first.wall_us > 1_577_836_800_000_000);
    }
}
