//! Lines in the built-in formats, in formats of one's own, and as objects.

use super::logfmt::{Format, Line};
use super::record::{EndedBy, Record};
use crate::Peer;
use crate::http::Version;
use crate::route::plan::{BackendIx, Plan, ServiceIx};
use crate::route::sample::{Sample, config, listener, plan, redirect, server, service};
use ounce_conf::model::LogFormat;
use ounce_conf::{Options, built_in_log_format, load_text};
use proptest::prelude::*;

const BEGAN_US: u64 = 1_795_170_912_034_567;
const OFFSET: i32 = 3600;
const BACKEND: &str = "10.0.0.1:8080";

/// A plan whose one listener logs in this format.
fn world(format: &LogFormat) -> Plan {
    let mut shop = service(Some("shop"), Vec::new(), vec![server(BACKEND, 5)]);
    shop.locus = "a.cfg:9.3-9".to_owned();
    let services = vec![shop, service(None, Vec::new(), vec![redirect("https://new.example")])];
    let mut plan = plan(&config(vec![listener("[::1]:8080", services)], Vec::new()));
    plan.listeners[0].log_format = Format::compile(format);
    plan
}

fn level(level: usize) -> LogFormat {
    built_in_log_format(level).expect("a level")
}

/// What `LogFormat` makes of this text.
fn format(switch: &str, text: &str) -> LogFormat {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!("LogFormat {switch} \"x\" \"{text}\"\nLogLevel \"x\"\nListenHTTP\nEnd\n");
    let loaded = load_text("test", &text, &Options::default()).expect("a format");
    loaded.config.listeners.into_iter().next().expect("a listener").log_format
}

fn sample() -> Sample {
    Sample::get(
        "/a?b=c",
        &[
            "Host: shop.example:8080",
            "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Referer: http://r.example/",
            "User-Agent: agent \"x\"/1",
            "X-Own: one\ttwo",
        ],
    )
}

fn typical(plan: &Plan) -> Record {
    let mut record = Record::new();
    let sample = sample();
    record.begin(sample.request().peer, BEGAN_US, OFFSET);
    record.request(&sample.request(), &plan.listeners[0].log_format);
    record.answered(Version::H11, 200, b"OK");
    (record.service, record.backend) = (Some(ServiceIx(0)), Some(BackendIx(0)));
    (record.body_bytes, record.elapsed_us) = (1234, 12_345_999);
    (record.request_bytes, record.retries, record.ended_in) = (99, 2, "relay");
    record.spent_us = [1, 2, 3, 4_000, 5_000_000, 6, 7, 0];
    record
}

fn line(record: &Record, sample: Option<&Sample>, plan: &Plan) -> String {
    let mut out = Vec::new();
    let request = sample.map(Sample::request);
    Line { record, request, plan, listener: &plan.listeners[0], local: None, secure: None, worker: 4711 }
        .render(&mut out);
    String::from_utf8(out).expect("text")
}

fn typical_line(format: &LogFormat) -> String {
    let plan = world(format);
    line(&typical(&plan), Some(&sample()), &plan)
}

#[test]
fn the_six_formats_of_a_typical_request() {
    let combined = "192.0.2.7 - Aladdin [20/Nov/2026:11:35:12 +0100] \"GET /a?b=c HTTP/1.1\" 200 1234 \
                    \"http://r.example/\" \"agent \\\"x\\\"/1\"";
    for (number, expected) in [
        String::new(),
        "192.0.2.7 GET /a?b=c HTTP/1.1 - HTTP/1.1 200 OK\n".to_owned(),
        "192.0.2.7 GET /a?b=c HTTP/1.1 - HTTP/1.1 200 OK \
         (shop.example:8080/shop -> 10.0.0.1:8080) 12.345 sec\n"
            .to_owned(),
        format!("shop.example:8080 {combined}\n"),
        format!("{combined}\n"),
        format!("shop.example:8080 {combined} (shop -> 10.0.0.1:8080) 12.345 sec\n"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(typical_line(&level(number)), expected, "level {number}");
    }
}

/// Answers of our own have no version in the status line; what is missing is empty or a dash.
#[test]
fn the_six_formats_of_a_bare_request() {
    let sample = Sample::get("/", &[]).over_unix();
    let combined = "socket - - [20/Nov/2026:11:35:12 +0100] \"GET / HTTP/1.0\" 302 - \"\" \"\"";
    for (number, expected) in [
        String::new(),
        "socket GET / HTTP/1.0 - 302 Found\n".to_owned(),
        "socket GET / HTTP/1.0 - 302 Found (/- -> redirect:https://new.example) 0.000 sec\n".to_owned(),
        format!("[::1]:8080 {combined}\n"),
        format!("{combined}\n"),
        format!("[::1]:8080 {combined} (- -> redirect:https://new.example) 0.000 sec\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let plan = world(&level(number));
        let mut record = Record::new();
        record.begin(sample.request().peer, BEGAN_US, OFFSET);
        record.request(&sample.request(), &plan.listeners[0].log_format);
        record.answered_here(302, b"Found");
        (record.service, record.backend) = (Some(ServiceIx(1)), Some(BackendIx(1)));
        assert_eq!(line(&record, Some(&sample), &plan), expected, "level {number}");
    }
}

#[test]
fn a_request_refused_before_its_line_was_known_still_has_a_line() {
    let (regular, detailed) = (world(&level(1)), world(&level(5)));
    let mut record = Record::new();
    record.begin(Peer::Inet("192.0.2.7:1".parse().expect("an address")), BEGAN_US, OFFSET);
    record.answered_here(400, b"Bad Request");
    assert_eq!(line(&record, None, &regular), "192.0.2.7  - 400 Bad Request\n");
    assert_eq!(
        line(&record, None, &detailed),
        "[::1]:8080 192.0.2.7 - - [20/Nov/2026:11:35:12 +0100] \"\" 400 - \"\" \"\" (- -> -) 0.000 sec\n"
    );
    record.request_line(b"GET /\x01\" HTTP/1.1");
    assert_eq!(line(&record, None, &regular), "192.0.2.7 GET /\\x01\\\" HTTP/1.1 - 400 Bad Request\n");
}

#[test]
fn anonymised_lines_hide_the_last_octet() {
    let mut plan = world(&format("", "%a %h"));
    plan.anonymise = true;
    assert_eq!(line(&typical(&plan), None, &plan), "192.0.2.0 192.0.2.0\n");
}

#[test]
fn a_record_starts_afresh_for_each_request() {
    let plan = world(&level(5));
    let mut record = typical(&plan);
    record.begin(Peer::Unix, BEGAN_US, OFFSET);
    assert_eq!(
        line(&record, None, &plan),
        "[::1]:8080 socket - - [20/Nov/2026:11:35:12 +0100] \"\" 000 - \"\" \"\" (- -> -) 0.000 sec\n"
    );
}

#[test]
fn reasons_of_backends_are_escaped_and_may_be_missing() {
    let plan = world(&level(1));
    let mut record = typical(&plan);
    record.answered(Version::H10, 404, b"No\tpe \xe9");
    assert!(line(&record, None, &plan).ends_with(" - HTTP/1.0 404 No\\x09pe \\xe9\n"));
    record.answered(Version::H11, 204, b"");
    assert!(line(&record, None, &plan).ends_with(" - HTTP/1.1 204\n"));
}

#[test]
fn every_conversion_of_a_typical_request() {
    for (text, expected) in [
        ("%a %h %A %H", "192.0.2.7 192.0.2.7 [::1] http"),
        ("%{Host}i %{host}I %{X-Own}i", "shop.example:8080 shop.example:8080 one\\x09two"),
        ("%{X-None}i|%{X-None}I|%{TE}i|%{TE}I", "|-||-"),
        ("%l %u %m %q %U", "- Aladdin GET ?b=c /a"),
        ("\"%r\" %>s %s", "\"GET /a?b=c HTTP/1.1\" HTTP/1.1 200 OK 200"),
        ("%b %B %{request}B %{response}B", "1234 1234 99 1234"),
        ("%v %p %P", "shop.example 8080 4711"),
        ("%{listener}N %{service}N %{backend}N", "- shop 10.0.0.1:8080"),
        ("%{listener}L %{service}L %{backend}L", "- a.cfg:9.3-9 -"),
        ("%D %T %{f}T %{s}T %{ms}T %{us}T", "12345999 12 12.345 12 12345 12345999"),
        ("%{receive}T %{route}T %{pick}T %{link}T", "1 2 3 4000"),
        ("%{ask:s}T %{ask:f}T %{link:ms}T %{answer:us}T %{relay}T %{tunnel}T", "5 5.000 4 6 7 0"),
        ("%{side}E %{step}E %{retries}E", "- relay 2"),
        ("%t %{%F %T}t", "[20/Nov/2026:11:35:12 +0100] 2026-11-20 11:35:12"),
        ("%{end:%T}t %{end:usec_frac}t %{begin:usec_frac}t", "11:35:24 380566 034567"),
        ("%{sec}t %{msec}t", "1795170912 1795170912034"),
        ("100%% \\n é\t.", "100% \\n é\t."),
    ] {
        assert_eq!(typical_line(&format("", text)), format!("{expected}\n"), "{text}");
    }
    assert_eq!(typical_line(&format("", "")), "", "no format, no line");
}

#[test]
fn what_is_missing_is_empty_or_a_dash() {
    let text = "%u|%m|%q|%r|%U|%v|%>s|%s|%b|%{Host}i|%{Host}I|%{service}N|%{backend}L|%{side}E";
    let plan = world(&format("", text));
    let mut record = Record::new();
    assert_eq!(line(&record, None, &plan), "-|-|||-|[::1]||000|-||-|-|-|-\n");
    record.ended_by = EndedBy::Client;
    assert!(line(&record, None, &plan).ends_with("|client\n"));
}

#[test]
fn members_of_an_object_have_types() {
    let text = "%a code=%s %u %b %T took=%{f}T %t at=%{msec}t frac=%{msec_frac}t %{User-Agent}i %{X-None}i \
                %{X-Own}i %l %{side}E %p";
    let shown = typical_line(&format("-json", text));
    assert_eq!(
        shown,
        "{\"client\":\"192.0.2.7\",\"code\":200,\"user\":\"Aladdin\",\"bytes\":1234,\"seconds\":12,\"took\":12.345,\
         \"time\":\"[20/Nov/2026:11:35:12 +0100]\",\"at\":1795170912034,\"frac\":\"034\",\
         \"user_agent\":\"agent \\\"x\\\"/1\",\"x_none\":null,\"x_own\":\"one\\u0009two\",\"ident\":null,\
         \"ended_by\":null,\"port\":8080}\n"
    );
    let plan = world(&format("-json", "%s %m %>s t=%{\"%H\\}t"));
    let shown = line(&Record::new(), None, &plan);
    assert_eq!(shown, "{\"status\":null,\"method\":null,\"status_line\":null,\"t\":\"\\\"00\\\\\"}\n");
}

/// Whatever a peer sends, a line is one line, and an object is an object.
fn held(bytes: &[u8]) -> Result<(), TestCaseError> {
    let plan = world(&format("-json", "%r %>s %u who=%{service}N"));
    let mut record = Record::new();
    record.request_line(bytes);
    record.answered(Version::H11, 200, bytes);
    let shown = line(&record, None, &plan);
    let object: serde_json::Value =
        serde_json::from_str(&shown).map_err(|error| TestCaseError::fail(format!("{error}: {shown}")))?;
    prop_assert_eq!(object["request"].as_str(), Some(&*String::from_utf8_lossy(bytes)));
    prop_assert_eq!(shown.matches(|c: char| c.is_control()).collect::<String>(), "\n");
    let plan = world(&format("", "\"%r\" %>s"));
    let shown = line(&record, None, &plan);
    prop_assert!(shown.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    prop_assert_eq!(shown.matches('\n').count(), 1);
    let inside = &shown[1..];
    let mut escaped = false;
    let closing = inside.find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    prop_assert!(closing.is_some_and(|at| inside[at..].starts_with("\" HTTP/1.1 200")));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_that_a_peer_sends_leaves_its_field(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        held(&bytes)?;
    }
}
