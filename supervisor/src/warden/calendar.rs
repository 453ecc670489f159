//! Local time in writing.

/// A moment as a clock on the wall shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wall {
    year: i64,
    /// 1 to 12.
    month: usize,
    /// 1 to 31.
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Mmm dd hh:mm:ss` in local time, the day padded with a blank (RFC 3164 4.1.2).
pub(super) fn syslog_time(epoch_s: i64) -> String {
    let wall = Wall::at(local(epoch_s));
    let month = MONTHS[wall.month - 1];
    format!("{month} {:2} {:02}:{:02}:{:02}", wall.day, wall.hour, wall.minute, wall.second)
}

/// `yyyy-mm-ddThh:mm:ss.ffffff` in local time, without zone, as the control API writes moments.
pub(super) fn api_time(epoch_us: i64) -> String {
    let wall = Wall::at(local(epoch_us.div_euclid(1_000_000)));
    let Wall { year, month, day, hour, minute, second } = wall;
    let micros = epoch_us.rem_euclid(1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}")
}

fn local(epoch_s: i64) -> i64 {
    epoch_s.saturating_add(i64::from(ounce_sys::clock::utc_offset_s(epoch_s)))
}

impl Wall {
    /// The date and time so many seconds after the first of January 1970, in the zone of `epoch_s`.
    fn at(epoch_s: i64) -> Wall {
        let (days, seconds) = (epoch_s.div_euclid(86_400), epoch_s.rem_euclid(86_400));
        // Eras of 400 years, each beginning on the first of March, so that leap days end the years.
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Wall {
            year,
            month: usize::try_from(month).unwrap_or(1),
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(epoch_s: i64) -> (i64, usize, i64, i64, i64, i64) {
        let Wall { year, month, day, hour, minute, second } = Wall::at(epoch_s);
        (year, month, day, hour, minute, second)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(wall(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(wall(-1), (1969, 12, 31, 23, 59, 59));
        assert_eq!(wall(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(wall(951_868_799), (2000, 2, 29, 23, 59, 59));
        assert_eq!(wall(951_868_800), (2000, 3, 1, 0, 0, 0));
        assert_eq!(wall(4_107_542_400), (2100, 3, 1, 0, 0, 0));
        assert_eq!(wall(1_795_176_000), (2026, 11, 20, 12, 0, 0));
    }

    /// Each day is the day after the one before it, over all kinds of years.
    #[test]
    fn no_day_is_missing() {
        let mut last = Wall::at(-86_400);
        for day in 0..200_000 {
            let next = Wall::at(day * 86_400);
            assert!((1..=12).contains(&next.month));
            let follows = next.day == last.day + 1 && (next.month, next.year) == (last.month, last.year);
            let begins_month = next.day == 1 && last.day >= 28;
            assert!(follows || begins_month, "{last:?} {next:?}");
            last = next;
        }
    }

    #[test]
    fn both_forms_have_the_width_that_readers_expect() {
        for epoch_s in [0, 1_795_176_000, 1_795_176_000 - 15 * 86_400] {
            let text = syslog_time(epoch_s);
            assert_eq!(text.len(), "Nov  5 12:00:00".len(), "{text}");
            let text = api_time(epoch_s * 1_000_000 + 7);
            assert_eq!(text.len(), "2026-11-05T12:00:00.000007".len(), "{text}");
            assert!(text.ends_with(".000007"), "{text}");
        }
    }
}
