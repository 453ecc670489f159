//! Moments as a log format asks for them.

use super::escape::number;
use super::time::{LocalTime, MONTHS, civil};
use ounce_conf::model::{TimeFormat, TimePart};

const MONTHS_WHOLE: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Sunday.
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Appends a moment, given in microseconds since 1970. Text between its parts goes through `literal`.
pub(super) fn render(
    format: &TimeFormat,
    at_us: u64,
    utc_offset: i32,
    literal: fn(&[u8], &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let at = LocalTime { unix_seconds: (at_us / 1_000_000) as i64, offset_seconds: utc_offset };
    match format {
        TimeFormat::Common => at.common_log(out),
        TimeFormat::Seconds => number(at_us / 1_000_000, out),
        TimeFormat::Millis => number(at_us / 1_000, out),
        TimeFormat::Micros => number(at_us, out),
        TimeFormat::MillisOfSecond => padded(at_us / 1_000 % 1_000, 3, b'0', out),
        TimeFormat::MicrosOfSecond => padded(at_us % 1_000_000, 6, b'0', out),
        TimeFormat::Parts(parts) => {
            let date = Date::of(at);
            for part in parts {
                match part {
                    TimePart::Text(text) => literal(text.as_bytes(), out),
                    part => date.part(part, out),
                }
            }
        }
    }
}

/// A moment in local time, in the numbers that people count with.
struct Date {
    at: LocalTime,
    year: u64,
    /// From 0.
    month: usize,
    /// From 1.
    day: u64,
    /// From 0.
    day_of_year: u64,
    /// From Sunday, 0.
    weekday: u64,
    second_of_day: u64,
}

impl Date {
    fn of(at: LocalTime) -> Date {
        let local = at.unix_seconds.saturating_add(i64::from(at.offset_seconds));
        let days = local.div_euclid(86_400);
        let (year, month, day) = civil(days);
        let new_year = days - days_before(year, month, day);
        Date {
            at,
            year: u64::try_from(year).unwrap_or(0),
            month,
            day: day as u64,
            day_of_year: (days - new_year) as u64,
            // 1970 began on a Thursday.
            weekday: (days + 4).rem_euclid(7) as u64,
            second_of_day: local.rem_euclid(86_400) as u64,
        }
    }

    fn part(&self, part: &TimePart, out: &mut Vec<u8>) {
        let hour = self.second_of_day / 3600;
        let hour12 = (hour + 11) % 12 + 1;
        let weekday = WEEKDAYS[self.weekday as usize];
        match part {
            TimePart::Text(_) => {}
            TimePart::WeekdayShort => out.extend_from_slice(&weekday.as_bytes()[..3]),
            TimePart::Weekday => out.extend_from_slice(weekday.as_bytes()),
            TimePart::MonthShort => out.extend_from_slice(MONTHS[self.month].as_bytes()),
            TimePart::Month => out.extend_from_slice(MONTHS_WHOLE[self.month].as_bytes()),
            TimePart::Century => padded(self.year / 100, 2, b'0', out),
            TimePart::Day => padded(self.day, 2, b'0', out),
            TimePart::DayBlank => padded(self.day, 2, b' ', out),
            TimePart::WeekYear => padded(self.iso_week().0, 4, b'0', out),
            TimePart::WeekYearShort => padded(self.iso_week().0 % 100, 2, b'0', out),
            TimePart::Week => padded(self.iso_week().1, 2, b'0', out),
            TimePart::Hour => padded(hour, 2, b'0', out),
            TimePart::HourBlank => padded(hour, 2, b' ', out),
            TimePart::Hour12 => padded(hour12, 2, b'0', out),
            TimePart::Hour12Blank => padded(hour12, 2, b' ', out),
            TimePart::DayOfYear => padded(self.day_of_year + 1, 3, b'0', out),
            TimePart::MonthNumber => padded(self.month as u64 + 1, 2, b'0', out),
            TimePart::Minute => padded(self.second_of_day / 60 % 60, 2, b'0', out),
            TimePart::Half => out.extend_from_slice(if hour < 12 { b"AM" } else { b"PM" }),
            TimePart::HalfLower => out.extend_from_slice(if hour < 12 { b"am" } else { b"pm" }),
            TimePart::Epoch => number(u64::try_from(self.at.unix_seconds).unwrap_or(0), out),
            TimePart::Second => padded(self.second_of_day % 60, 2, b'0', out),
            TimePart::WeekdayNumber => number((self.weekday + 6) % 7 + 1, out),
            TimePart::WeekdayFromSunday => number(self.weekday, out),
            TimePart::WeekFromSunday => padded((self.day_of_year + 7 - self.weekday) / 7, 2, b'0', out),
            TimePart::WeekFromMonday => {
                padded((self.day_of_year + 7 - (self.weekday + 6) % 7) / 7, 2, b'0', out);
            }
            TimePart::Year => padded(self.year, 4, b'0', out),
            TimePart::YearShort => padded(self.year % 100, 2, b'0', out),
            TimePart::Zone => {
                let minutes = u64::from(self.at.offset_seconds.unsigned_abs() / 60);
                out.push(if self.at.offset_seconds < 0 { b'-' } else { b'+' });
                padded(minutes / 60, 2, b'0', out);
                padded(minutes % 60, 2, b'0', out);
            }
        }
    }

    /// Year and week of ISO 8601: weeks begin on Monday and belong to the year of their Thursday.
    fn iso_week(&self) -> (u64, u64) {
        let from_monday = (self.weekday + 6) % 7;
        let thursday = self.day_of_year as i64 - from_monday as i64 + 3;
        let days = days_in(self.year) as i64;
        if thursday < 0 {
            let before = self.year.saturating_sub(1);
            (before, (thursday as u64).wrapping_add(days_in(before)) / 7 + 1)
        } else if thursday >= days {
            (self.year + 1, (thursday - days) as u64 / 7 + 1)
        } else {
            (self.year, thursday as u64 / 7 + 1)
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: u64) -> u64 {
    if is_leap(year as i64) { 366 } else { 365 }
}

/// Days of a year before this one; month from 0, day from 1.
fn days_before(year: i64, month: usize, day: i64) -> i64 {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    BEFORE_MONTH[month] + day - 1 + i64::from(month > 1 && is_leap(year))
}

/// Appends a number with at least so many digits.
fn padded(value: u64, digits: u32, pad: u8, out: &mut Vec<u8>) {
    let mut least = 10_u64.pow(digits - 1);
    while value < least && least > 1 {
        out.push(pad);
        least /= 10;
    }
    number(value, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: Vec<TimePart>, unix_seconds: u64, utc_offset: i32) -> String {
        let mut out = Vec::new();
        let literal = |text: &[u8], out: &mut Vec<u8>| out.extend_from_slice(text);
        render(&TimeFormat::Parts(parts), unix_seconds * 1_000_000, utc_offset, literal, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn text(text: &str) -> TimePart {
        TimePart::Text(text.to_owned())
    }

    #[test]
    fn every_part_of_a_moment() {
        use TimePart as P;
        let at = 1_795_143_787; // Fri 20 Nov 2026, 04:03:07 one hour ahead of UTC
        for (part, expected) in [
            (P::WeekdayShort, "Fri"),
            (P::Weekday, "Friday"),
            (P::MonthShort, "Nov"),
            (P::Month, "November"),
            (P::Century, "20"),
            (P::Day, "20"),
            (P::DayBlank, "20"),
            (P::WeekYear, "2026"),
            (P::WeekYearShort, "26"),
            (P::Week, "47"),
            (P::Hour, "04"),
            (P::HourBlank, " 4"),
            (P::Hour12, "04"),
            (P::Hour12Blank, " 4"),
            (P::DayOfYear, "324"),
            (P::MonthNumber, "11"),
            (P::Minute, "03"),
            (P::Half, "AM"),
            (P::HalfLower, "am"),
            (P::Epoch, "1795143787"),
            (P::Second, "07"),
            (P::WeekdayNumber, "5"),
            (P::WeekdayFromSunday, "5"),
            (P::WeekFromSunday, "46"),
            (P::WeekFromMonday, "46"),
            (P::Year, "2026"),
            (P::YearShort, "26"),
            (P::Zone, "+0100"),
        ] {
            assert_eq!(shown(vec![part.clone()], at, 3600), expected, "{part:?}");
        }
        assert_eq!(shown(vec![P::Hour12, text("|"), P::Half], at + 15 * 3600, 0), "06|PM");
        assert_eq!(shown(vec![P::Hour12, P::DayBlank, P::Zone], 20, -12_600), "0831-0330");
    }

    /// The week of ISO 8601 at the turns of years, where its year is not that of the calendar.
    #[test]
    fn iso_weeks_belong_to_the_year_of_their_thursday() {
        for (days, expected) in [
            (0, "1970-W01-4"),
            (366, "1970-W53-6"),    // 2 Jan 1971
            (11_016, "2000-W09-2"), // 29 Feb 2000
            (13_877, "2007-W52-7"), // 30 Dec 2007
            (13_878, "2008-W01-1"), // 31 Dec 2007
            (14_609, "2009-W53-4"), // 31 Dec 2009
            (14_613, "2010-W01-1"), // 4 Jan 2010
            (18_628, "2020-W53-5"), // 1 Jan 2021
        ] {
            let parts =
                vec![TimePart::WeekYear, text("-W"), TimePart::Week, text("-"), TimePart::WeekdayNumber];
            assert_eq!(shown(parts, days * 86_400, 0), expected, "{days}");
        }
    }

    #[test]
    fn days_of_a_year_are_counted_from_its_first() {
        for (days, expected) in [(0, "001"), (364, "365"), (365, "001"), (11_016, "060"), (11_322, "366")] {
            assert_eq!(shown(vec![TimePart::DayOfYear], days * 86_400, 0), expected, "{days}");
        }
    }

    #[test]
    fn moments_are_numbers_too() {
        for (format, expected) in [
            (TimeFormat::Seconds, "1795143787"),
            (TimeFormat::Millis, "1795143787012"),
            (TimeFormat::Micros, "1795143787012345"),
            (TimeFormat::MillisOfSecond, "012"),
            (TimeFormat::MicrosOfSecond, "012345"),
            (TimeFormat::Common, "[20/Nov/2026:03:03:07 +0000]"),
        ] {
            let mut out = Vec::new();
            render(&format, 1_795_143_787_012_345, 0, super::super::escape::text, &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), expected, "{format:?}");
        }
    }
}
