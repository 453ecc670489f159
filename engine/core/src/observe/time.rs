//! Local time as log lines print it. The offset is an argument: core has no time zones.

use std::io::Write;

/// The English names of the months, cut to three letters.
pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment, and how far local time was ahead of UTC then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalTime {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub unix_seconds: i64,
    /// Local time minus UTC in seconds.
    pub offset_seconds: i32,
}

impl LocalTime {
    /// Appends `[dd/Mon/yyyy:hh:mm:ss +zzzz]`.
    pub fn common_log(self, out: &mut Vec<u8>) {
        let local = self.unix_seconds.saturating_add(i64::from(self.offset_seconds));
        let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let zone = i64::from(self.offset_seconds.unsigned_abs() / 60);
        out.push(b'[');
        two(day, b'/', out);
        out.extend_from_slice(MONTHS[month].as_bytes());
        // Writing to a Vec cannot fail.
        _ = write!(out, "/{year:04}:");
        two(second / 3600, b':', out);
        two(second / 60 % 60, b':', out);
        two(second % 60, b' ', out);
        out.push(if self.offset_seconds < 0 { b'-' } else { b'+' });
        out.extend_from_slice(&digits(zone / 60));
        two(zone % 60, b']', out);
    }
}

fn two(number: i64, then: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&digits(number));
    out.push(then);
}

/// The last two digits of a number that is not negative.
fn digits(number: i64) -> [u8; 2] {
    [number / 10 % 10, number % 10].map(|digit| b'0' + digit as u8)
}

/// Year, month from 0 and day from 1 of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are taken to start in March, so that the leap day is the last; an era is 400 of them.
pub fn civil(days: i64) -> (i64, usize, i64) {
    let since_march_0 = days + 719_468;
    let (era, day_of_era) = (since_march_0.div_euclid(146_097), since_march_0.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    (year, month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(unix_seconds: i64, offset_seconds: i32) -> String {
        let mut out = Vec::new();
        LocalTime { unix_seconds, offset_seconds }.common_log(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_calendar_is_gregorian_and_local() {
        assert_eq!(shown(0, 0), "[01/Jan/1970:00:00:00 +0000]");
        assert_eq!(shown(0, -3600), "[31/Dec/1969:23:00:00 -0100]");
        assert_eq!(shown(951_782_399, 0), "[28/Feb/2000:23:59:59 +0000]");
        assert_eq!(shown(951_782_400, 0), "[29/Feb/2000:00:00:00 +0000]");
        assert_eq!(shown(951_868_800, 0), "[01/Mar/2000:00:00:00 +0000]");
        assert_eq!(shown(1_795_170_912, 19_800), "[20/Nov/2026:16:05:12 +0530]");
        assert_eq!(shown(4_107_542_400, -12_600), "[28/Feb/2100:20:30:00 -0330]");
    }

    /// A clock that is far off must not take a worker down.
    #[test]
    fn any_number_of_seconds_is_some_date() {
        for seconds in [i64::MIN, i64::MAX, -62_135_596_801, 253_402_300_800] {
            assert!(shown(seconds, i32::MAX).starts_with('['));
        }
    }
}
