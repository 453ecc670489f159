//! Local time in writing.

use ounce_core::observe::time::{MONTHS, civil};

/// `Mmm dd hh:mm:ss` in local time, the day padded with a blank (RFC 3164 4.1.2).
pub(crate) fn syslog_time(epoch_s: i64) -> String {
    let (days, second) = split(epoch_s);
    let (_, month, day) = civil(days);
    format!("{} {day:2} {}", MONTHS[month], clock(second))
}

/// `yyyy-mm-ddThh:mm:ss.ffffff` in local time, without zone, as the control API writes moments.
pub(super) fn api_time(epoch_us: i64) -> String {
    let (days, second) = split(epoch_us.div_euclid(1_000_000));
    let (year, month, day) = civil(days);
    let micros = epoch_us.rem_euclid(1_000_000);
    format!("{year:04}-{:02}-{day:02}T{}.{micros:06}", month + 1, clock(second))
}

/// `yyyy-mm-ddThh:mm:ss.ffffff+hh:mm` in local time (RFC 5424 6.2.3).
pub(super) fn ietf_time(epoch_us: i64) -> String {
    let offset_s = ounce_sys::clock::utc_offset_s(epoch_us.div_euclid(1_000_000));
    let minutes = offset_s.unsigned_abs() / 60;
    let sign = if offset_s < 0 { '-' } else { '+' };
    format!("{}{sign}{:02}:{:02}", api_time(epoch_us), minutes / 60, minutes % 60)
}

/// Days since 1970-01-01 and seconds of the day, in local time.
fn split(epoch_s: i64) -> (i64, i64) {
    let local = epoch_s.saturating_add(i64::from(ounce_sys::clock::utc_offset_s(epoch_s)));
    (local.div_euclid(86_400), local.rem_euclid(86_400))
}

fn clock(second: i64) -> String {
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each day is the day after the one before it, over all kinds of years.
    #[test]
    fn no_day_is_missing() {
        let mut last = (1969, 11, 31);
        for days in 0..200_000 {
            let next = civil(days);
            let (year, month, day) = next;
            let follows = day == last.2 + 1 && (year, month) == (last.0, last.1);
            let begins =
                day == 1 && last.2 >= 28 && (year * 12 + month as i64) == (last.0 * 12 + last.1 as i64 + 1);
            assert!(follows || begins, "{last:?} {next:?}");
            last = next;
        }
    }

    /// The tests run in whatever zone the machine is in: what does not depend on it is compared.
    #[test]
    fn both_forms_are_those_that_readers_expect() {
        let epoch_s = 1_795_176_000;
        let (date, time) = (api_time(epoch_s * 1_000_000 + 7), syslog_time(epoch_s));
        assert_eq!((date.len(), &date[..8]), ("2026-11-20T12:00:00.000007".len(), "2026-11-"));
        assert_eq!((time.len(), &time[..4]), ("Nov 20 12:00:00".len(), "Nov "));
        assert!(date.ends_with(":00.000007"), "{date}");
        // The same clock in both.
        assert_eq!(date[11..19], time[7..15]);
        // The fifth day of a month has a blank where the fifteenth has a digit.
        assert_eq!(&syslog_time(epoch_s - 15 * 86_400)[..6], "Nov  5");
    }
}
