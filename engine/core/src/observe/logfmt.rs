//! The six built-in request log formats (pound.md section 12).

use super::escape;
use super::record::{Part, Record, status};
use crate::route::expand::split_port;
use crate::route::plan::{ListenerPlan, Plan};
use ounce_conf::model::LogLevel;

/// Appends the log line of a request that came in on `listener`, with its line feed; nothing at level
/// [`LogLevel::Null`].
pub fn render(level: LogLevel, record: &Record, plan: &Plan, listener: &ListenerPlan, out: &mut Vec<u8>) {
    let line = Line { record, plan, listener };
    match level {
        LogLevel::Null => return,
        LogLevel::Regular => line.regular(out),
        LogLevel::Extended => {
            line.regular(out);
            out.extend_from_slice(b" (");
            line.header(Part::Host, out);
            out.push(b'/');
            line.tail(out);
        }
        LogLevel::VhostCombined => line.vhost_combined(out),
        LogLevel::Combined => line.combined(out),
        LogLevel::Detailed => {
            line.vhost_combined(out);
            out.extend_from_slice(b" (");
            line.tail(out);
        }
    }
    out.push(b'\n');
}

struct Line<'a> {
    record: &'a Record,
    plan: &'a Plan,
    listener: &'a ListenerPlan,
}

impl Line<'_> {
    /// `%a %r - %>s`
    fn regular(&self, out: &mut Vec<u8>) {
        self.peer(out);
        out.push(b' ');
        self.header(Part::RequestLine, out);
        out.extend_from_slice(b" - ");
        self.header(Part::StatusLine, out);
    }

    /// `%{service}N -> %{backend}N) %{f}T sec`
    fn tail(&self, out: &mut Vec<u8>) {
        let service = self.record.service.map_or("", |ix| self.plan.service(ix).name.as_str());
        let backend = self.record.backend.map_or("", |ix| self.plan.backend(ix).name.as_str());
        name(service, out);
        out.extend_from_slice(b" -> ");
        name(backend, out);
        let millis = self.record.elapsed_us / 1000;
        out.extend_from_slice(b") ");
        escape::number(millis / 1000, out);
        // Three digits: the first of a thousand and more becomes the point.
        let point = out.len();
        escape::number(1000 + millis % 1000, out);
        out[point] = b'.';
        out.extend_from_slice(b" sec");
    }

    /// `%v:%p `, then combined.
    fn vhost_combined(&self, out: &mut Vec<u8>) {
        match self.record.part(Part::Host) {
            Some(host) => escape::text(split_port(host).0, out),
            None => escape::text(self.listener.address_text.as_bytes(), out),
        }
        out.push(b':');
        escape::number(u64::from(self.listener.port), out);
        out.push(b' ');
        self.combined(out);
    }

    /// `%a %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"`
    fn combined(&self, out: &mut Vec<u8>) {
        self.peer(out);
        out.extend_from_slice(b" - ");
        match self.record.part(Part::Credentials).and_then(user) {
            Some(user) => escape::text(&user, out),
            None => out.push(b'-'),
        }
        out.push(b' ');
        self.record.began.common_log(out);
        out.extend_from_slice(b" \"");
        self.header(Part::RequestLine, out);
        out.extend_from_slice(b"\" ");
        out.extend_from_slice(&status(self.record.status));
        out.push(b' ');
        match self.record.body_bytes {
            0 => out.push(b'-'),
            bytes => escape::number(bytes, out),
        }
        out.extend_from_slice(b" \"");
        self.header(Part::Referer, out);
        out.extend_from_slice(b"\" \"");
        self.header(Part::UserAgent, out);
        out.push(b'"');
    }

    fn peer(&self, out: &mut Vec<u8>) {
        match self.record.peer {
            Some(peer) => escape::peer(peer, self.plan.anonymise, out),
            None => out.push(b'-'),
        }
    }

    /// A text of the record; nothing if it is missing.
    fn header(&self, part: Part, out: &mut Vec<u8>) {
        escape::text(self.record.part(part).unwrap_or_default(), out);
    }
}

fn name(name: &str, out: &mut Vec<u8>) {
    escape::text(if name.is_empty() { b"-" } else { name.as_bytes() }, out);
}

/// The user name in Basic credentials (RFC 7617 2): base64 of `user:password`.
fn user(credentials: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(credentials.len());
    let (mut bits, mut held) = (0_u32, 0);
    for &byte in credentials {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    // The password must not be kept longer than needed, let alone logged.
    let colon = memchr::memchr(b':', &decoded)?;
    decoded.truncate(colon);
    (!decoded.is_empty()).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Peer;
    use crate::http::Version;
    use crate::observe::time::LocalTime;
    use crate::route::plan::{BackendIx, ServiceIx};
    use crate::route::sample::{Sample, config, listener, plan, redirect, server, service};

    const BEGAN: LocalTime = LocalTime { unix_seconds: 1_795_170_912, offset_seconds: 3600 };
    const BACKEND: &str = "10.0.0.1:8080";

    fn world() -> Plan {
        let services = vec![
            service(Some("shop"), Vec::new(), vec![server(BACKEND, 5)]),
            service(None, Vec::new(), vec![redirect("https://new.example")]),
        ];
        plan(&config(vec![listener("[::1]:8080", services)], Vec::new()))
    }

    fn typical(level: LogLevel) -> Record {
        let sample = Sample::get(
            "/a?b=c",
            &[
                "Host: shop.example:8080",
                "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                "Referer: http://r.example/",
                "User-Agent: agent \"x\"/1",
            ],
        );
        let mut record = Record::new();
        record.begin(sample.request().peer, BEGAN);
        record.request(&sample.request(), level);
        record.answered(Version::H11, 200, b"OK");
        (record.service, record.backend) = (Some(ServiceIx(0)), Some(BackendIx(0)));
        (record.body_bytes, record.elapsed_us) = (1234, 12_345_999);
        record
    }

    fn line(level: LogLevel, record: &Record, plan: &Plan) -> String {
        let mut out = Vec::new();
        render(level, record, plan, &plan.listeners[0], &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_six_formats_of_a_typical_request() {
        let plan = world();
        let combined = "192.0.2.7 - Aladdin [20/Nov/2026:11:35:12 +0100] \"GET /a?b=c HTTP/1.1\" 200 1234 \
                        \"http://r.example/\" \"agent \\\"x\\\"/1\"";
        for (level, expected) in [
            (LogLevel::Null, String::new()),
            (LogLevel::Regular, "192.0.2.7 GET /a?b=c HTTP/1.1 - HTTP/1.1 200 OK\n".to_owned()),
            (
                LogLevel::Extended,
                "192.0.2.7 GET /a?b=c HTTP/1.1 - HTTP/1.1 200 OK \
                 (shop.example:8080/shop -> 10.0.0.1:8080) 12.345 sec\n"
                    .to_owned(),
            ),
            (LogLevel::VhostCombined, format!("shop.example:8080 {combined}\n")),
            (LogLevel::Combined, format!("{combined}\n")),
            (
                LogLevel::Detailed,
                format!("shop.example:8080 {combined} (shop -> 10.0.0.1:8080) 12.345 sec\n"),
            ),
        ] {
            assert_eq!(line(level, &typical(level), &plan), expected, "{level:?}");
        }
    }

    /// Answers of our own have no version in the status line; what is missing is empty or a dash.
    #[test]
    fn the_six_formats_of_a_bare_request() {
        let plan = world();
        let sample = Sample::get("/", &[]).over_unix();
        let combined = "socket - - [20/Nov/2026:11:35:12 +0100] \"GET / HTTP/1.0\" 302 - \"\" \"\"";
        for (level, expected) in [
            (LogLevel::Null, String::new()),
            (LogLevel::Regular, "socket GET / HTTP/1.0 - 302 Found\n".to_owned()),
            (
                LogLevel::Extended,
                "socket GET / HTTP/1.0 - 302 Found (/- -> redirect:https://new.example) 0.000 sec\n"
                    .to_owned(),
            ),
            (LogLevel::VhostCombined, format!("[::1]:8080 {combined}\n")),
            (LogLevel::Combined, format!("{combined}\n")),
            (
                LogLevel::Detailed,
                format!("[::1]:8080 {combined} (- -> redirect:https://new.example) 0.000 sec\n"),
            ),
        ] {
            let mut record = Record::new();
            record.begin(sample.request().peer, BEGAN);
            record.request(&sample.request(), level);
            record.answered_here(302, b"Found");
            (record.service, record.backend) = (Some(ServiceIx(1)), Some(BackendIx(1)));
            assert_eq!(line(level, &record, &plan), expected, "{level:?}");
        }
    }

    #[test]
    fn a_request_refused_before_its_line_was_known_still_has_a_line() {
        let plan = world();
        let mut record = Record::new();
        record.begin(Peer::Inet("192.0.2.7:1".parse().expect("an address")), BEGAN);
        record.answered_here(400, b"Bad Request");
        assert_eq!(line(LogLevel::Regular, &record, &plan), "192.0.2.7  - 400 Bad Request\n");
        assert_eq!(
            line(LogLevel::Detailed, &record, &plan),
            "[::1]:8080 192.0.2.7 - - [20/Nov/2026:11:35:12 +0100] \"\" 400 - \"\" \"\" (- -> -) 0.000 sec\n"
        );
        record.request_line(b"GET /\x01\" HTTP/1.1");
        assert_eq!(
            line(LogLevel::Regular, &record, &plan),
            "192.0.2.7 GET /\\x01\\\" HTTP/1.1 - 400 Bad Request\n"
        );
    }

    #[test]
    fn anonymised_lines_hide_the_last_octet() {
        let mut plan = world();
        plan.anonymise = true;
        assert!(line(LogLevel::Regular, &typical(LogLevel::Regular), &plan).starts_with("192.0.2.0 GET "));
    }

    #[test]
    fn a_record_starts_afresh_for_each_request() {
        let plan = world();
        let mut record = typical(LogLevel::Detailed);
        record.begin(Peer::Unix, BEGAN);
        assert_eq!(
            line(LogLevel::Detailed, &record, &plan),
            "[::1]:8080 socket - - [20/Nov/2026:11:35:12 +0100] \"\" 000 - \"\" \"\" (- -> -) 0.000 sec\n"
        );
    }

    #[test]
    fn reasons_of_backends_are_escaped_and_may_be_missing() {
        let plan = world();
        let mut record = typical(LogLevel::Regular);
        record.answered(Version::H10, 404, b"No\tpe \xe9");
        assert!(line(LogLevel::Regular, &record, &plan).ends_with(" - HTTP/1.0 404 No\\x09pe \\xe9\n"));
        record.answered(Version::H11, 204, b"");
        assert!(line(LogLevel::Regular, &record, &plan).ends_with(" - HTTP/1.1 204\n"));
    }

    #[test]
    fn user_names_are_decoded_and_passwords_dropped() {
        for (credentials, expected) in [
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("YTpi", Some("a")),
            ("YTo", Some("a")),
            ("OnB3", None),
            ("bm9jb2xvbg==", None),
            ("not base64", None),
            ("", None),
        ] {
            let decoded = user(credentials.as_bytes());
            assert_eq!(decoded.as_deref(), expected.map(str::as_bytes), "{credentials}");
        }
    }
}
