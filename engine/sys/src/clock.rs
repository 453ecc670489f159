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

/// How far local time is ahead of UTC at this moment (seconds since the UNIX epoch), in seconds; 0 if the system cannot
/// tell. The first call reads the time zone from the file system, so it is to be made before a chroot.
pub fn utc_offset_s(epoch_s: i64) -> i32 {
    let moment: libc::time_t = epoch_s;
    // SAFETY: a tm is integers and a pointer that may be null.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values that live over the call. It reads the environment, which nothing in these
    // single-threaded programs changes once they run.
    let filled = unsafe { libc::localtime_r(&raw const moment, &raw mut broken_down) };
    // Offsets lie within a day or so of zero; anything else is no time zone.
    if filled.is_null() { 0 } else { i32::try_from(broken_down.tm_gmtoff).unwrap_or(0) }
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

    /// Every zone there ever was lies within sixteen hours of UTC, and a moment outside the calendar has none.
    #[test]
    fn local_time_is_near_utc() {
        for moment in [0, 1_600_000_000, 4_000_000_000] {
            assert!(utc_offset_s(moment).abs() <= 16 * 3600);
        }
        assert_eq!(utc_offset_s(i64::MAX), 0);
    }
}
