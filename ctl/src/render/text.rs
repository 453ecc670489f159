//! Answers as a text for people, laid out like Pound's `poundctl list`.
//!
//! Each object of the API says what it is in `kind`; what an object lacks is left out of the text, so that an answer
//! of an older or newer version still shows what is known of it. Text that came from outside (labels, addresses,
//! session keys) is shown with its control characters escaped: it ends on a terminal.

use serde_json::Value;
use std::fmt::Write;

/// `weight` of an emergency backend; lower numbers are groups of their own.
const EMERGENCY: u64 = 65535;

/// Writes an answer's object. A bare `true`, the answer of a switch, is an empty text.
#[must_use]
pub fn render(answer: &Value) -> String {
    let mut text = String::new();
    match answer["kind"].as_str() {
        Some("pound") => everything(answer, &mut text),
        Some("core") => core(answer, &mut text),
        Some("listener") => listener(answer, 0, &mut text),
        Some("service") => service(answer, 0, &mut text),
        Some("backend") => backend(answer, &mut text),
        Some("log") => {
            let global = if is(&answer["global"]) && has_listener(answer) { " (as all others)" } else { "" };
            line(&mut text, format_args!("Log level: {}{global}\n", word(&answer["level"])));
        }
        _ => {}
    }
    text
}

fn has_listener(answer: &Value) -> bool {
    !answer["listener_index"].is_null() || !answer["listener_name"].is_null()
}

fn everything(answer: &Value, text: &mut String) {
    core(&answer["core"], text);
    text.push_str("\nListeners:\n");
    for (index, one) in items(&answer["listeners"]).enumerate() {
        line(text, format_args!("\n{index:3}. "));
        listener(one, 5, text);
    }
    if items(&answer["services"]).next().is_some() {
        text.push_str("\nGlobal services:\n");
        services(&answer["services"], 0, text);
    }
}

fn core(core: &Value, text: &mut String) {
    let mut row = |title: &str, value: &Value| {
        if !value.is_null() {
            line(text, format_args!("{:<14}{}\n", format!("{title}:"), word(value)));
        }
    };
    row("Server time", &core["timestamp"]);
    row("Version", &core["version"]);
    row("PID", &core["pid"]);
    if let Some(uptime) = core["uptime"].as_u64() {
        row("Uptime", &Value::from(duration(uptime / 1_000_000)));
    }
    let workers = &core["workers"];
    if workers.is_object() {
        let counts = format!("{} ({} active)", word(&workers["count"]), word(&workers["active"]));
        row("Workers", &Value::from(counts));
    }
    for process in items(&core["fleet"]) {
        line(
            text,
            format_args!(
                "{:3}. Worker {} {} generation {}\n",
                process["slot"].as_u64().unwrap_or_default(),
                word(&process["pid"]),
                word(&process["phase"]),
                word(&process["generation"])
            ),
        );
    }
}

fn listener(listener: &Value, indent: usize, text: &mut String) {
    line(
        text,
        format_args!(
            "Listener {}{}://{} {}\n",
            quoted(&listener["name"]),
            word(&listener["protocol"]),
            word(&listener["address"]),
            if is(&listener["enabled"]) { "enabled" } else { "disabled" }
        ),
    );
    for one in items(&listener["certificates"]) {
        certificate(one, indent, text);
    }
    services(&listener["services"], indent, text);
}

fn certificate(certificate: &Value, indent: usize, text: &mut String) {
    let names: Vec<String> = items(&certificate["names"]).map(word).collect();
    let names = if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) };
    let ends = certificate["not_after"].as_i64().map(|ends| format!(" until {}", date(ends)));
    let (file, ends) = (word(&certificate["file"]), ends.unwrap_or_default());
    line(text, format_args!("{:indent$}Certificate {file}{names}{ends}\n", ""));
}

fn services(list: &Value, indent: usize, text: &mut String) {
    for (index, one) in items(list).enumerate() {
        line(text, format_args!("{:indent$}{index:3}. ", ""));
        service(one, indent + 5, text);
    }
}

fn service(service: &Value, indent: usize, text: &mut String) {
    line(text, format_args!("Service {}{}\n", quoted(&service["name"]), enabled(service)));
    for (index, one) in items(&service["backends"]).enumerate() {
        line(text, format_args!("{:indent$}{index:3}. ", ""));
        backend(one, text);
    }
    let kind = word(&service["session_type"]);
    if kind.is_empty() || kind == "NONE" {
        return;
    }
    line(text, format_args!("{:indent$}Session type: {kind}\n", ""));
    for (index, session) in items(&service["sessions"]).enumerate() {
        line(
            text,
            format_args!(
                "{:indent$}{index:5}. Session {} backend {} until {}\n",
                "",
                word(&session["key"]),
                word(&session["backend"]),
                word(&session["expire"])
            ),
        );
    }
}

fn backend(backend: &Value, text: &mut String) {
    let kind = word(&backend["type"]);
    let weight = match backend["weight"].as_u64() {
        None | Some(0) => String::new(),
        Some(EMERGENCY) => " (emergency)".to_owned(),
        Some(group) => format!(" (group {group})"),
    };
    line(text, format_args!("{kind}{weight} "));
    match kind.as_str() {
        "backend" => line(
            text,
            format_args!(
                "{}://{} priority {} {} ",
                word(&backend["protocol"]),
                word(&backend["address"]),
                word(&backend["priority"]),
                if is(&backend["alive"]) { "alive" } else { "dead" }
            ),
        ),
        "matrix" if backend["hostname"].is_string() => line(
            text,
            format_args!(
                "{} {} until {} ",
                word(&backend["hostname"]),
                word(&backend["resolve_mode"]),
                if backend["expire"].is_null() { "it is found".to_owned() } else { word(&backend["expire"]) },
            ),
        ),
        "redirect" => line(text, format_args!("{} {} ", word(&backend["code"]), word(&backend["url"]))),
        "file" | "acme" => line(text, format_args!("{} ", word(&backend["path"]))),
        "error" => line(text, format_args!("{} ", word(&backend["status"]))),
        _ => {}
    }
    text.push_str(enabled(backend));
    let stats = &backend["stats"];
    // What is answered by the proxy itself takes no time worth counting.
    if kind == "backend" && stats.is_object() {
        line(text, format_args!(" - {} requests", word(&stats["request_count"])));
        if stats["request_count"].as_u64().is_some_and(|count| count > 0) {
            let mean = milliseconds(&stats["request_time_avg"]);
            let deviation = milliseconds(&stats["request_time_stddev"]);
            line(text, format_args!(", {mean} ms avg, {deviation} ms stddev"));
        }
    }
    text.push('\n');
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn is(flag: &Value) -> bool {
    flag.as_bool().unwrap_or_default()
}

fn enabled(object: &Value) -> &'static str {
    if is(&object["enabled"]) { "active" } else { "disabled" }
}

fn quoted(name: &Value) -> String {
    if name.is_null() { String::new() } else { format!("\"{}\" ", word(name)) }
}

pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(string) => string
            .chars()
            .flat_map(|one| if one.is_control() { one.escape_default().collect() } else { vec![one] })
            .collect(),
        other => other.to_string(),
    }
}

/// Nanoseconds as milliseconds with two decimals.
fn milliseconds(nanoseconds: &Value) -> String {
    let hundredths = nanoseconds.as_u64().unwrap_or_default() / 10_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn duration(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let (days, hours) = (hours / 24, hours % 24);
    let clock = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if days > 0 { format!("{days} d {clock}") } else { clock }
}

/// Seconds since 1970 as a day and a time of UTC.
fn date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March have their odd day at their end; eras of 400 of them are alike.
    let days = days.saturating_add(719_468);
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) =
        if month < 10 { (year + era * 400, month + 3) } else { (year + era * 400 + 1, month - 9) };
    let (hours, minutes) = (rest / 3600, rest / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{:02} UTC", rest % 60)
}

#[cfg(test)]
mod tests {
    use super::{date, render};
    use serde_json::{Value, json};

    fn example_service() -> Value {
        json!({
            "kind": "service", "name": "main", "enabled": true, "session_type": "COOKIE",
            "sessions": [{"key": "abc\u{1b}[2J", "backend": 1, "expire": "2026-11-20T12:00:00.000001"}],
            "backends": [
                {"kind": "backend", "type": "backend", "protocol": "http", "address": "127.0.0.1:8081", "priority": 5,
                 "weight": 0, "alive": true, "enabled": true,
                 "stats": {"request_count": 3, "request_time_avg": 1_234_567, "request_time_stddev": 5_000}},
                {"kind": "backend", "type": "redirect", "code": 301, "url": "http://x/", "weight": 0,
                 "alive": true, "enabled": false, "stats": {"request_count": 0}},
                {"kind": "backend", "type": "error", "status": 503, "weight": 65535, "alive": true, "enabled": true},
            ],
        })
    }

    #[test]
    fn a_service_is_a_table_of_its_backends_and_sessions() {
        let expected = concat!(
            "Service \"main\" active\n",
            "  0. backend http://127.0.0.1:8081 priority 5 alive active - 3 requests, 1.23 ms avg, 0.00 ms stddev\n",
            "  1. redirect 301 http://x/ disabled\n",
            "  2. error (emergency) 503 active\n",
            "Session type: COOKIE\n",
            "    0. Session abc\\u{1b}[2J backend 1 until 2026-11-20T12:00:00.000001\n",
        );
        assert_eq!(render(&example_service()), expected);
    }

    #[test]
    fn the_whole_listing_nests() {
        let answer = json!({
            "kind": "pound",
            "core": {"kind": "core", "timestamp": "T", "version": "0.1.0", "pid": 7, "uptime": 90_061_000_000_u64,
                "workers": {"count": 2, "active": 1, "min": 2, "max": 2, "timeout": 0},
                "fleet": [{"slot": 0, "pid": 9, "phase": "ready", "generation": 1}]},
            "listeners": [{"kind": "listener", "name": null, "protocol": "http", "address": "0.0.0.0:80",
                "enabled": false, "services": [example_service()]}],
            "services": [{"kind": "service", "name": null, "enabled": true, "session_type": "NONE", "backends": []}],
        });
        let text = render(&answer);
        let expected = concat!(
            "Server time:  T\nVersion:      0.1.0\nPID:          7\nUptime:       1 d 01:01:01\n",
            "Workers:      2 (1 active)\n  0. Worker 9 ready generation 1\n",
            "\nListeners:\n",
            "\n  0. Listener http://0.0.0.0:80 disabled\n",
            "       0. Service \"main\" active\n",
            "            0. backend http://127.0.0.1:8081 priority 5 alive active",
        );
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("\nGlobal services:\n  0. Service active\n"), "{text}");
    }

    #[test]
    fn a_listener_tells_of_its_certificates() {
        let answer = json!({
            "kind": "listener", "name": null, "protocol": "https", "address": "0.0.0.0:443", "enabled": true,
            "certificates": [
                {"file": "/etc/a.pem", "names": ["a.test", "*.a.test"], "not_after": 1_795_564_799},
                {"file": "/etc/b.pem", "names": []},
            ],
            "services": [],
        });
        let expected = concat!(
            "Listener https://0.0.0.0:443 enabled\n",
            "Certificate /etc/a.pem for a.test, *.a.test until 2026-11-24 23:59:59 UTC\n",
            "Certificate /etc/b.pem\n",
        );
        assert_eq!(render(&answer), expected);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(seconds), shown);
        }
        assert!(!date(i64::MAX).is_empty() && !date(i64::MIN).is_empty());
    }

    #[test]
    fn what_is_missing_is_left_out() {
        assert_eq!(render(&json!(true)), "");
        assert_eq!(render(&json!({"kind": "core"})), "");
        assert_eq!(render(&json!({"kind": "backend", "type": "matrix", "enabled": true})), "matrix active\n");
    }
}
