//! What part of a file a request wants, if it wants any: preconditions (RFC 9110 13) and a range (RFC 9110 14).
//!
//! What asks for more than it needs, by ranges that overlap or by too many of them, is answered with the whole, which is
//! always right (RFC 9110 14.2).

use hyper::HeaderMap;
use hyper::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// Most ranges of one request.
const PARTS_MAX: usize = 16;

/// How a file is told from others and from itself at other times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Its length in bytes.
    pub(super) length: u64,
    /// When it was last written, in whole seconds: HTTP knows no others.
    pub(super) modified: SystemTime,
    /// Its tag, in quotes.
    pub(super) tag: String,
}

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it.
    Whole,
    /// These bytes; at least one.
    Part(Range<u64>),
    /// Two or more such parts, in the order in which they were asked for.
    Parts(Vec<Range<u64>>),
    /// 304: the client has it.
    Unmodified,
    /// 412: it is not what the client takes it for.
    Mismatch,
    /// 416: it has no such bytes.
    Unsatisfiable,
}

impl Version {
    /// The version of a file with this length and time of its last change.
    pub(super) fn new(length: u64, modified: SystemTime) -> Version {
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let tag = format!("\"{length:x}-{:x}\"", since.as_nanos());
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs());
        Version { length, modified, tag }
    }
}

/// What these fields of a GET or HEAD want of a file, in the order of RFC 9110 13.2.2.
pub(super) fn asked(fields: &HeaderMap, of: &Version) -> Asked {
    let date = |name: HeaderName| text(fields, name).and_then(|date| httpdate::parse_http_date(date).ok());
    if fields.contains_key(IF_MATCH) {
        if !lists(fields, IF_MATCH, |tag| tag == of.tag) {
            return Asked::Mismatch;
        }
    } else if date(IF_UNMODIFIED_SINCE).is_some_and(|since| of.modified > since) {
        return Asked::Mismatch;
    }
    if fields.contains_key(IF_NONE_MATCH) {
        if lists(fields, IF_NONE_MATCH, |tag| tag.strip_prefix("W/").unwrap_or(tag) == of.tag) {
            return Asked::Unmodified;
        }
    } else if date(IF_MODIFIED_SINCE).is_some_and(|since| of.modified <= since) {
        return Asked::Unmodified;
    }
    match text(fields, RANGE) {
        Some(range) if may_be_partial(fields, of) => self::range(range, of.length),
        _ => Asked::Whole,
    }
}

/// `If-Range`: a part is of use only beside other parts of the same version.
fn may_be_partial(fields: &HeaderMap, of: &Version) -> bool {
    if !fields.contains_key(IF_RANGE) {
        return true;
    }
    match text(fields, IF_RANGE) {
        Some(tag) if tag.starts_with(['"', 'W']) && tag.contains('"') => tag == of.tag,
        // RFC 9110 8.8.2.2: a date tells versions apart if it is well in the past, and must be the same.
        Some(date) => httpdate::parse_http_date(date).is_ok_and(|date| {
            let settled = of.modified + Duration::from_secs(2);
            date == of.modified && settled <= SystemTime::now()
        }),
        None => false,
    }
}

/// Reads `bytes=` and ranges with commas between them. What has another form is as if it were not there.
fn range(text: &str, length: u64) -> Asked {
    let unit = text.get(..6).filter(|unit| unit.eq_ignore_ascii_case("bytes="));
    let list = unit.map_or("", |_| &text[6..]);
    let specs = list.split(',').map(str::trim).filter(|spec| !spec.is_empty());
    let parts: Option<Vec<Range<u64>>> = specs.take(PARTS_MAX + 1).map(|spec| part(spec, length)).collect();
    let Some(mut parts) = parts.filter(|parts| (1..=PARTS_MAX).contains(&parts.len())) else {
        return Asked::Whole;
    };
    parts.retain(|part| !part.is_empty());
    match &parts[..] {
        [] => Asked::Unsatisfiable,
        [part] => Asked::Part(part.clone()),
        _ if overlap(&parts) => Asked::Whole,
        _ => Asked::Parts(parts),
    }
}

/// Reads `FIRST-LAST`, `FIRST-` or `-COUNT`; empty when there are no such bytes.
fn part(spec: &str, length: u64) -> Option<Range<u64>> {
    let read = |digits: &str| -> Option<u64> {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large to be one is larger than any file.
        plain.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = spec.split_once('-')?;
    match (read(first), read(last)) {
        (Some(first), Some(last)) if first > last => None,
        (Some(first), Some(last)) => Some(first..last.saturating_add(1).min(length)),
        (Some(first), None) if last.is_empty() => Some(first..length),
        (None, Some(count)) if first.is_empty() => Some(length.saturating_sub(count)..length),
        _ => None,
    }
}

/// Whether some bytes are asked for twice.
fn overlap(parts: &[Range<u64>]) -> bool {
    let mut sorted: Vec<&Range<u64>> = parts.iter().collect();
    sorted.sort_by_key(|part| part.start);
    sorted.windows(2).any(|pair| pair[0].end > pair[1].start)
}

/// The value of a field that may stand once.
fn text(fields: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = fields.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() { None } else { Some(value.trim()) }
}

/// Whether some tag of a list is the right one; `*` is any.
fn lists(fields: &HeaderMap, name: HeaderName, is_right: impl Fn(&str) -> bool) -> bool {
    let values = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
    // Our tags hold no comma, so that a tag which does, and is cut here, is not ours anyway.
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || is_right(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const DATE: &str = "Fri, 20 Nov 2026 10:37:10 GMT";

    fn version() -> Version {
        let modified = httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(500);
        // Well in the past, whatever the clock says.
        Version::new(1000, modified - Duration::from_secs(315_360_000))
    }

    fn ask(lines: &[(&'static str, &str)]) -> Asked {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, HeaderValue::from_str(value).unwrap());
        }
        asked(&fields, &version())
    }

    #[test]
    fn one_range_is_a_part() {
        for (range, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=0-999", Asked::Part(0..1000)),
            ("bytes=990-5000", Asked::Part(990..1000)),
            ("bytes=990-99999999999999999999", Asked::Part(990..1000)),
            ("bytes=999-", Asked::Part(999..1000)),
            ("bytes=-1", Asked::Part(999..1000)),
            ("bytes=-5000", Asked::Part(0..1000)),
            ("Bytes= 1-2", Asked::Part(1..3)),
            ("bytes=1000-", Asked::Unsatisfiable),
            ("bytes=5000-6000", Asked::Unsatisfiable),
            ("bytes=0-1,", Asked::Part(0..2)),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=18446744073709551615-", Asked::Unsatisfiable),
            ("bytes=0-18446744073709551615", Asked::Part(0..1000)),
        ] {
            assert_eq!(ask(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn several_ranges_are_parts_as_long_as_they_are_modest() {
        for (range, expected) in [
            ("bytes=0-1,5-6", Asked::Parts(vec![0..2, 5..7])),
            ("bytes= 5-6 , 0-1,", Asked::Parts(vec![5..7, 0..2])),
            ("bytes=0-1,2-3,-1", Asked::Parts(vec![0..2, 2..4, 999..1000])),
            ("bytes=0-1,5000-", Asked::Part(0..2)),
            ("bytes=1000-,5000-", Asked::Unsatisfiable),
        ] {
            assert_eq!(ask(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn what_is_no_range_or_too_much_is_the_whole() {
        for range in [
            "bytes=",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1",
            "lines=1-2",
            "",
            "bytes=,",
            "bytes=0-1,5",
            "bytes=0-1,2-1",
            "bytes=0-1,1-2",
            "bytes=5-,0-5",
            "bytes=-5,-6",
            "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32",
            "bytés=0-1",
        ] {
            let value = HeaderValue::from_bytes(range.as_bytes()).unwrap();
            let fields = HeaderMap::from_iter([(RANGE, value)]);
            assert_eq!(asked(&fields, &version()), Asked::Whole, "{range}");
        }
        assert_eq!(ask(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]), Asked::Whole);
    }

    #[test]
    fn nothing_of_an_empty_file_can_be_asked_for() {
        let fields = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-"))]);
        assert_eq!(asked(&fields, &Version::new(0, SystemTime::UNIX_EPOCH)), Asked::Unsatisfiable);
    }

    #[test]
    fn a_client_that_has_it_is_told_so() {
        let tag = version().tag;
        let weak = format!("\"x\", W/{tag}");
        let date = httpdate::fmt_http_date(version().modified);
        for lines in [
            [("if-none-match", tag.as_str())],
            [("if-none-match", weak.as_str())],
            [("if-none-match", "*")],
            [("if-modified-since", date.as_str())],
            [("if-modified-since", DATE)],
        ] {
            assert_eq!(ask(&lines), Asked::Unmodified, "{lines:?}");
        }
        let before = httpdate::fmt_http_date(version().modified - Duration::from_secs(1));
        assert_eq!(ask(&[("if-modified-since", &before)]), Asked::Whole);
        assert_eq!(ask(&[("if-modified-since", "yesterday")]), Asked::Whole);
        // The tag is the better witness (RFC 9110 13.1.3).
        assert_eq!(ask(&[("if-none-match", "\"x\""), ("if-modified-since", DATE)]), Asked::Whole);
    }

    #[test]
    fn a_client_that_takes_it_for_another_is_told_so() {
        let tag = version().tag;
        let weak = format!("W/{tag}");
        let before = httpdate::fmt_http_date(version().modified - Duration::from_secs(1));
        assert_eq!(ask(&[("if-match", &tag)]), Asked::Whole);
        assert_eq!(ask(&[("if-match", "*")]), Asked::Whole);
        assert_eq!(ask(&[("if-match", &weak)]), Asked::Mismatch);
        assert_eq!(ask(&[("if-match", "\"x\"")]), Asked::Mismatch);
        assert_eq!(ask(&[("if-unmodified-since", &before)]), Asked::Mismatch);
        assert_eq!(ask(&[("if-unmodified-since", DATE)]), Asked::Whole);
    }

    #[test]
    fn a_part_of_another_version_is_not_sent() {
        let range = ("range", "bytes=0-0");
        let tag = version().tag;
        let weak = format!("W/{tag}");
        let date = httpdate::fmt_http_date(version().modified);
        assert_eq!(ask(&[range, ("if-range", &tag)]), Asked::Part(0..1));
        assert_eq!(ask(&[range, ("if-range", &date)]), Asked::Part(0..1));
        for other in [weak.as_str(), "\"x\"", DATE, "W", ""] {
            assert_eq!(ask(&[range, ("if-range", other)]), Asked::Whole, "{other}");
        }
    }

    #[test]
    fn versions_differ_by_length_and_time() {
        let at = |ns| SystemTime::UNIX_EPOCH + Duration::from_nanos(ns);
        assert_ne!(Version::new(1, at(1)).tag, Version::new(1, at(2)).tag);
        assert_ne!(Version::new(1, at(1)).tag, Version::new(2, at(1)).tag);
        // A clock that was wrong is no reason to panic.
        assert_eq!(Version::new(1, at(0) - Duration::from_secs(5)).modified, at(0));
    }
}
