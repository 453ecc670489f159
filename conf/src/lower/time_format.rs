//! The argument of `%{...}t` in a log format: strftime(3) in the C locale, and words of Apache's.

use crate::model::{LogMoment, TimeFormat, TimePart};

/// Letters that stand for other formats.
const SHORTHANDS: [(char, &str); 9] = [
    ('c', "%a %b %e %H:%M:%S %Y"),
    ('D', "%m/%d/%y"),
    ('F', "%Y-%m-%d"),
    ('h', "%b"),
    ('r', "%I:%M:%S %p"),
    ('R', "%H:%M"),
    ('T', "%H:%M:%S"),
    ('x', "%m/%d/%y"),
    ('X', "%H:%M:%S"),
];

static LETTERS: [(char, TimePart); 28] = [
    ('a', TimePart::WeekdayShort),
    ('A', TimePart::Weekday),
    ('b', TimePart::MonthShort),
    ('B', TimePart::Month),
    ('C', TimePart::Century),
    ('d', TimePart::Day),
    ('e', TimePart::DayBlank),
    ('G', TimePart::WeekYear),
    ('g', TimePart::WeekYearShort),
    ('H', TimePart::Hour),
    ('k', TimePart::HourBlank),
    ('I', TimePart::Hour12),
    ('l', TimePart::Hour12Blank),
    ('j', TimePart::DayOfYear),
    ('m', TimePart::MonthNumber),
    ('M', TimePart::Minute),
    ('p', TimePart::Half),
    ('P', TimePart::HalfLower),
    ('s', TimePart::Epoch),
    ('S', TimePart::Second),
    ('u', TimePart::WeekdayNumber),
    ('w', TimePart::WeekdayFromSunday),
    ('U', TimePart::WeekFromSunday),
    ('V', TimePart::Week),
    ('W', TimePart::WeekFromMonday),
    ('Y', TimePart::Year),
    ('y', TimePart::YearShort),
    ('z', TimePart::Zone),
];

/// Reads the argument. The error is a sentence.
pub(super) fn parse(argument: &str) -> Result<(LogMoment, TimeFormat), String> {
    let (moment, text) = match (argument.strip_prefix("begin:"), argument.strip_prefix("end:")) {
        (Some(text), _) => (LogMoment::Begin, text),
        (_, Some(text)) => (LogMoment::End, text),
        _ => (LogMoment::Begin, argument),
    };
    let format = match text {
        "" => TimeFormat::Common,
        "sec" | "s" => TimeFormat::Seconds,
        "msec" => TimeFormat::Millis,
        "usec" => TimeFormat::Micros,
        "msec_frac" => TimeFormat::MillisOfSecond,
        "usec_frac" => TimeFormat::MicrosOfSecond,
        _ => {
            let mut parts = Vec::new();
            add_parts(text, &mut parts)?;
            TimeFormat::Parts(parts)
        }
    };
    Ok((moment, format))
}

fn add_parts(text: &str, parts: &mut Vec<TimePart>) -> Result<(), String> {
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            add_text(char, parts);
            continue;
        }
        // E and O ask for other calendars and digits, which the C locale has not.
        let mut letter = chars.next();
        if matches!(letter, Some('E' | 'O')) {
            letter = chars.next();
        }
        let Some(letter) = letter else {
            return Err("the time of the log format ends within a conversion".to_owned());
        };
        let known = LETTERS.iter().find(|(known, _)| *known == letter);
        let shorthand = SHORTHANDS.iter().find(|(known, _)| *known == letter);
        match (letter, known, shorthand) {
            (_, Some((_, part)), _) => parts.push(part.clone()),
            // Bounded: no shorthand stands for another.
            (_, _, Some((_, longhand))) => add_parts(longhand, parts)?,
            ('%', ..) => add_text('%', parts),
            ('n' | 't', ..) => add_text(' ', parts),
            // The name of a zone is known nowhere but here; its distance says the same.
            ('Z', ..) => parts.push(TimePart::Zone),
            _ => return Err(format!("%{letter} is no conversion of a time")),
        }
    }
    Ok(())
}

fn add_text(char: char, parts: &mut Vec<TimePart>) {
    match parts.last_mut() {
        Some(TimePart::Text(text)) => text.push(char),
        _ => parts.push(TimePart::Text(char.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_words_and_parts_are_told_apart() {
        assert_eq!(parse("end:"), Ok((LogMoment::End, TimeFormat::Common)));
        assert_eq!(parse("begin:usec_frac"), Ok((LogMoment::Begin, TimeFormat::MicrosOfSecond)));
        let text = |text: &str| TimePart::Text(text.to_owned());
        let day = vec![TimePart::Year, text("-"), TimePart::MonthNumber, text("-"), TimePart::Day];
        assert_eq!(parse("end:%F"), Ok((LogMoment::End, TimeFormat::Parts(day))));
        let odd = vec![text("100% "), TimePart::Zone, text(" x")];
        assert_eq!(parse("100%%%n%Z x"), Ok((LogMoment::Begin, TimeFormat::Parts(odd))));
    }

    #[test]
    fn what_strftime_does_not_know_is_an_error() {
        for format in ["%", "%E", "%Q", "%-d", "%é"] {
            assert!(parse(format).is_err(), "{format}");
        }
    }

    #[test]
    fn shorthands_stand_for_letters_alone() {
        for (letter, longhand) in SHORTHANDS {
            let mut parts = Vec::new();
            assert_eq!(add_parts(longhand, &mut parts), Ok(()), "{letter}");
            let direct = longhand.split('%').skip(1).filter_map(|part| part.chars().next());
            assert!(direct.into_iter().all(|letter| LETTERS.iter().any(|(known, _)| *known == letter)));
        }
    }
}
