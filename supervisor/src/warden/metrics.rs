//! The counters of all workers and the state of every object, in the OpenMetrics text format 1.0.
//!
//! Families whose names begin with `pound_` are Pound's. It types the on/off ones as state sets,
//! whose samples would need a label of the family's own name; they are gauges here, which strict readers accept.

use super::json::{View, listener_address, protocol, whole};
use super::objects::{Door, shown};
use ounce_core::route::plan::{BackendKind, ServiceIx};
use ounce_mem::{BackendId, Counter, CounterKind, Stats};
use std::fmt::{self, Write};

/// The type of the answer.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes all families.
pub(super) fn render(view: &View<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = families(view, &mut text);
    text
}

fn families(view: &View<'_>, text: &mut String) -> fmt::Result {
    for &counter in Counter::ALL {
        let kind = match counter.kind() {
            CounterKind::Counter => "counter",
            CounterKind::Gauge => "gauge",
        };
        // A counter's samples end in `_total`, its family does not (OpenMetrics 1.0, "Counter").
        let family = counter.name().strip_suffix("_total").unwrap_or(counter.name());
        head(text, family, kind, counter.help())?;
        writeln!(text, "{} {}", counter.name(), view.of.segment.counters().sum(counter))?;
    }
    head(text, "pound_uptime", "gauge", "Microseconds since the program was started.")?;
    writeln!(text, "pound_uptime {}", view.uptime_us())?;
    let workers = view.workers();
    head(text, "pound_workers", "gauge", "Worker processes.")?;
    let wanted = usize::from(workers.wanted);
    for (kind, count) in
        [("active", workers.active), ("count", workers.count), ("max", wanted), ("min", wanted)]
    {
        writeln!(text, "pound_workers{{type=\"{kind}\"}} {count}")?;
    }
    // Connections wait in the kernel's queues, of which there is no count.
    head(text, "pound_queue", "gauge", "Connections that wait for a worker.")?;
    text.push_str("pound_queue{type=\"len\"} 0\npound_queue{type=\"max\"} 0\n");
    head(text, "pound_queue_len", "gauge", "Connections that wait for a worker.")?;
    text.push_str("pound_queue_len 0\n");
    listeners(view, text)?;
    services(view, text)?;
    text.push_str("# EOF\n");
    Ok(())
}

fn head(text: &mut String, family: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# TYPE {family} {kind}\n# HELP {family} {help}")
}

fn listeners(view: &View<'_>, text: &mut String) -> fmt::Result {
    // Name, address, protocol and state of each, in file order.
    let rows: Vec<(&str, String, &str, bool)> = view
        .objects
        .doors()
        .iter()
        .map(|door| match door {
            Door::Control(path) => ("", path.to_string_lossy().into_owned(), "http", true),
            Door::Listener(listener) => {
                let plan = &view.of.plan.listeners[*listener];
                (plan.name.as_str(), listener_address(plan), protocol(plan), view.listener_enabled(plan))
            }
        })
        .collect();
    head(text, "pound_listener_enabled", "gauge", "Whether a listener is enabled.")?;
    for (number, (name, _, _, enabled)) in rows.iter().enumerate() {
        let name = optional("listener_name", name);
        writeln!(text, "pound_listener_enabled{{listener=\"{number}\"{name}}} {}", u8::from(*enabled))?;
    }
    certificates(view, text)?;
    head(text, "pound_listener", "info", "Where a listener listens.")?;
    for (number, (name, address, protocol, _)) in rows.iter().enumerate() {
        let (name, address) = (optional("listener_name", name), escape(address));
        writeln!(
            text,
            "pound_listener_info{{listener=\"{number}\"{name},address=\"{address}\",protocol=\"{protocol}\"}} 1"
        )?;
    }
    Ok(())
}

fn certificates(view: &View<'_>, text: &mut String) -> fmt::Result {
    const HELP: &str = "When a certificate ends, in seconds since 1970.";
    head(text, "ounce_tls_certificate_not_after_seconds", "gauge", HELP)?;
    for (number, door) in view.objects.doors().iter().enumerate() {
        let Door::Listener(listener) = door else { continue };
        for paper in view.papers(*listener) {
            let file = escape(&paper.file.to_string_lossy());
            let name = escape(paper.names.first().map_or("", String::as_str));
            writeln!(
                text,
                "ounce_tls_certificate_not_after_seconds{{listener=\"{number}\",file=\"{file}\",name=\"{name}\"}} {}",
                paper.ends_s
            )?;
        }
    }
    Ok(())
}

/// A service with the labels that name it.
struct Row {
    service: ServiceIx,
    labels: String,
}

fn services(view: &View<'_>, text: &mut String) -> fmt::Result {
    let rows = service_rows(view);
    head(text, "pound_service_enabled", "gauge", "Whether a service is enabled.")?;
    for Row { service, labels } in &rows {
        let enabled = u8::from(view.service_enabled(view.of.plan.service(*service)));
        writeln!(text, "pound_service_enabled{{{labels}}} {enabled}")?;
    }
    head(
        text,
        "pound_backends",
        "gauge",
        "Backends of a service by state; active ones are alive and enabled.",
    )?;
    for Row { service, labels } in &rows {
        let states: Vec<(bool, bool)> = backends(view, *service).map(|(_, _, state)| state).collect();
        let count = |which: fn(&(bool, bool)) -> bool| states.iter().filter(|state| which(state)).count();
        for (name, count) in [
            ("total", states.len()),
            ("alive", count(|state| state.0)),
            ("enabled", count(|state| state.1)),
            ("active", count(|state| state.0 && state.1)),
        ] {
            writeln!(text, "pound_backends{{{labels},state=\"{name}\"}} {count}")?;
        }
    }
    head(text, "pound_backend_state", "gauge", "Whether a backend is alive, and whether it is enabled.")?;
    for Row { service, labels } in &rows {
        for (number, _, (alive, enabled)) in backends(view, *service) {
            for (name, value) in [("alive", alive), ("enabled", enabled)] {
                let value = u8::from(value);
                writeln!(
                    text,
                    "pound_backend_state{{{labels},backend=\"{number}\",state=\"{name}\"}} {value}"
                )?;
            }
        }
    }
    if view.of.plan.backend_stats { statistics(view, &rows, text) } else { Ok(()) }
}

fn statistics(view: &View<'_>, rows: &[Row], text: &mut String) -> fmt::Result {
    let families = [
        ("pound_backend_requests", "Requests that a backend has answered."),
        ("pound_backend_request_time_avg_nanoseconds", "Mean time that a backend took to answer."),
        (
            "pound_backend_request_stddev_nanoseconds",
            "Standard deviation of the time that a backend took to answer.",
        ),
    ];
    for (which, (family, help)) in families.into_iter().enumerate() {
        head(text, family, "gauge", help)?;
        for Row { service, labels } in rows {
            for (number, id, _) in backends(view, *service) {
                let Stats { count, mean_ns, stddev_ns } = view.of.segment.backends().stats(id);
                let value = [count, whole(mean_ns), whole(stddev_ns)][which];
                writeln!(text, "{family}{{{labels},backend=\"{number}\"}} {value}")?;
            }
        }
    }
    Ok(())
}

/// All services in file order, those of listeners first. The control socket has none that could be counted.
fn service_rows(view: &View<'_>) -> Vec<Row> {
    let plan = &view.of.plan;
    let label = |service: ServiceIx, before: &str, number: usize| {
        let name = optional("service_name", &plan.service(service).name);
        Row { service, labels: format!("{before}service=\"{number}\"{name}") }
    };
    let mut rows = Vec::with_capacity(plan.services.len());
    for (number, door) in view.objects.doors().iter().enumerate() {
        if let Door::Listener(listener) = door {
            let name = optional("listener_name", &plan.listeners[*listener].name);
            let before = format!("listener=\"{number}\"{name},");
            let services = view.objects.services(*listener).iter().enumerate();
            rows.extend(services.map(|(number, service)| label(*service, &before, number)));
        }
    }
    rows.extend(
        view.objects.global().iter().enumerate().map(|(number, service)| label(*service, "", number)),
    );
    rows
}

/// Number, row, and whether it is alive and enabled, of each backend of a service.
fn backends<'a>(
    view: &'a View<'_>,
    service: ServiceIx,
) -> impl Iterator<Item = (usize, BackendId, (bool, bool))> + use<'a> {
    let shown = shown(&view.of.plan, &view.of.segment, service);
    shown.into_iter().enumerate().filter_map(|(number, ix)| {
        let backend = view.of.plan.backend(ix);
        // A name is no server: its places are.
        let server = !matches!(backend.kind, BackendKind::Name(_));
        server.then(|| (number, BackendId(backend.row), view.backend_state(backend)))
    })
}

/// A further label, or nothing if it would be empty.
fn optional(label: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!(",{label}=\"{}\"", escape(value)) }
}

/// A label's value between its quotes (OpenMetrics 1.0, "escaped-string").
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
