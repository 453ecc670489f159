//! The control socket: the API of [`ounce_ctl::api`] over HTTP/1.1.
//!
//! Each connection is answered once and closed. A switch is a flag in the segment; the workers are told to look by way
//! of the supervisor. Everything a client may send is bounded, in size and in time.

use super::json::{Moment, View};
use super::metrics;
use super::objects::{Found, Objects};
use crate::inheritance::Inheritance;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ounce_core::observe::level;
use ounce_core::route::plan::BackendKind;
use ounce_ctl::api::{LogChange, Name, Object, Refusal, Request, ServicePath};
use ounce_ctl::render::json::render;
use ounce_mem::{BackendId, ListenerId, ServiceId};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Most clients that are served at a time; more wait to be accepted.
const CLIENTS_MAX: usize = 32;
/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest body of a request, in bytes. No request of the API needs one.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take over a request's head, and over the whole exchange.
const TIMES_MAX: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// How long to wait when no more descriptors are to be had.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// What requests are answered from.
pub(super) struct Control {
    of: Arc<Inheritance>,
    objects: Objects,
    orders: Arc<UnixDatagram>,
}

/// An answer without its HTTP form.
enum Answer {
    Object(Value),
    Text(String),
    Refused(Refusal),
    /// The session table cannot take the session now.
    Unavailable,
}

impl Control {
    /// Answers about what was inherited. Switches are announced on `orders`.
    pub(super) fn new(of: Arc<Inheritance>, orders: Arc<UnixDatagram>) -> Control {
        let objects = Objects::new(&of.config, &of.plan);
        Control { of, objects, orders }
    }

    /// Accepts clients for ever.
    pub(super) async fn serve(self: Arc<Self>, listener: UnixListener) {
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(EXHAUSTED_WAIT).await;
                continue;
            };
            let control = Arc::clone(&self);
            tokio::spawn(async move {
                // Whether the client got its answer is the client's business.
                let _ = tokio::time::timeout(TIMES_MAX.1, control.exchange(stream)).await;
                drop(place);
            });
        }
    }

    async fn exchange(self: Arc<Self>, stream: UnixStream) -> hyper::Result<()> {
        let service = service_fn(move |request| {
            let control = Arc::clone(&self);
            async move { Ok::<_, Infallible>(control.respond(request).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(TIMES_MAX.0)
            .max_buf_size(HEAD_BYTES_MAX)
            .keep_alive(false)
            // A client may close its sending side after the request and still wait for the answer.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .await
    }

    /// Answers a request for metrics.
    pub(super) fn metrics(&self, method: &Method) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD"));
        }
        granted(metrics::CONTENT_TYPE, metrics::render(&self.view()))
    }

    fn view(&self) -> View<'_> {
        View { of: &self.of, objects: &self.objects, papers: self.of.papers.now(), at: Moment::now() }
    }

    /// Answers a request of the API.
    pub(super) async fn respond(&self, request: hyper::Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if Limited::new(body, BODY_BYTES_MAX).collect().await.is_err() {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, None);
        }
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        let (answer, indent) = match Request::parse(head.method.as_str(), target) {
            Ok((request, indent)) => (self.answer(&request).await, indent),
            Err(refused) => (Answer::Refused(refused), None),
        };
        match answer {
            Answer::Object(value) => granted("application/json", render(&value, indent)),
            Answer::Text(text) => granted(metrics::CONTENT_TYPE, text),
            Answer::Refused(Refusal::BadParameter) => refusal(StatusCode::BAD_REQUEST, None),
            Answer::Refused(Refusal::NotFound) => refusal(StatusCode::NOT_FOUND, None),
            Answer::Refused(Refusal::MethodNotAllowed(allowed)) => {
                refusal(StatusCode::METHOD_NOT_ALLOWED, Some(allowed))
            }
            Answer::Unavailable => refusal(StatusCode::SERVICE_UNAVAILABLE, None),
        }
    }

    async fn answer(&self, request: &Request) -> Answer {
        let view = self.view();
        match request {
            Request::Metrics => Answer::Text(metrics::render(&view)),
            Request::Core => Answer::Object(view.core()),
            Request::Show(object) => match self.objects.find(&self.of.plan, &self.of.segment, object) {
                Some(found) => Answer::Object(view.object(found)),
                None => Answer::Refused(Refusal::NotFound),
            },
            Request::Switch { object, enable } => match self.switch(object, *enable) {
                Ok(()) => {
                    // The supervisor reads its orders at once, or is gone. The switch holds either way: workers that
                    // are not told see it when they next look.
                    let _ = self.orders.send(b"C").await;
                    Answer::Object(Value::Bool(true))
                }
                Err(refused) => Answer::Refused(refused),
            },
            Request::AddSession { service, backend, key } => {
                self.add_session(&view, service, *backend, key).unwrap_or_else(Answer::Refused)
            }
            Request::Log { listener, change } => match self.log(&view, listener.as_ref(), change) {
                Ok(value) => {
                    if *change != LogChange::Show {
                        let _ = self.orders.send(b"C").await;
                    }
                    Answer::Object(value)
                }
                Err(refused) => Answer::Refused(refused),
            },
            Request::ForgetSession { service, key } => {
                self.forget_session(&view, service, key).unwrap_or_else(Answer::Refused)
            }
        }
    }

    fn switch(&self, object: &Object, enable: bool) -> Result<(), Refusal> {
        let (plan, segment) = (&self.of.plan, &self.of.segment);
        match self.objects.find(plan, segment, object).ok_or(Refusal::NotFound)? {
            found if self.objects.controls(plan, found) => return Err(Refusal::BadParameter),
            Found::Listener(listener) => {
                segment.listeners().set_disabled(ListenerId(plan.listeners[listener].row), !enable);
            }
            Found::Service(service) => {
                segment.services().set_disabled(ServiceId(plan.service(service).row), !enable);
            }
            Found::Backend(backend) => {
                segment.backends().set_disabled(BackendId(plan.backend(backend).row), !enable);
            }
            // Whoever switched off the control socket could not switch it on again.
            Found::Everything | Found::Control(_) | Found::ControlService | Found::ControlBackend => {
                return Err(Refusal::BadParameter);
            }
        }
        Ok(())
    }

    /// Shows or changes how request lines are written.
    fn log(&self, view: &View<'_>, of: Option<&Name>, change: &LogChange) -> Result<Value, Refusal> {
        let plan = &self.of.plan;
        let listener = match of {
            None => None,
            Some(name) => match self.objects.find(plan, &self.of.segment, &Object::Listener(name.clone())) {
                Some(Found::Listener(listener)) => Some(&plan.listeners[listener]),
                // The control socket writes none.
                Some(_) => return Err(Refusal::BadParameter),
                None => return Err(Refusal::NotFound),
            },
        };
        let rows = self.of.segment.listeners();
        let row = listener.map(|listener| ListenerId(listener.row));
        match change {
            LogChange::Show => {}
            LogChange::Reset => rows.set_log_level(row, 0),
            LogChange::Set(level) => {
                let known = level::named(plan, level).ok_or(Refusal::BadParameter)?;
                rows.set_log_level(row, level::key(&plan.log_formats[known].0));
            }
        }
        Ok(view.log(listener, of))
    }

    fn add_session(
        &self,
        view: &View<'_>,
        path: &ServicePath,
        backend: usize,
        key: &[u8],
    ) -> Result<Answer, Refusal> {
        let (found, row, ttl_ms) = self.sticky(path)?;
        let Some(Found::Backend(backend)) =
            self.objects.find(&self.of.plan, &self.of.segment, &Object::Backend(path.clone(), backend))
        else {
            return Err(Refusal::NotFound);
        };
        if matches!(self.of.plan.backend(backend).kind, BackendKind::Name(_)) {
            // Sessions are with one of its servers.
            return Err(Refusal::BadParameter);
        }
        let backend = BackendId(self.of.plan.backend(backend).row);
        let sessions = self.of.segment.sessions();
        if sessions.replace(row, key, backend, view.at.mono_ms, ttl_ms, self.of.owner) {
            Ok(Answer::Object(view.object(found)))
        } else {
            Ok(Answer::Unavailable)
        }
    }

    fn forget_session(&self, view: &View<'_>, path: &ServicePath, key: &[u8]) -> Result<Answer, Refusal> {
        let (found, row, _) = self.sticky(path)?;
        if self.of.segment.sessions().remove(row, key) {
            Ok(Answer::Object(view.object(found)))
        } else {
            Err(Refusal::NotFound)
        }
    }

    /// A service that keeps sessions: as an object, its row and the life of a session in milliseconds.
    fn sticky(&self, path: &ServicePath) -> Result<(Found<'_>, ServiceId, u64), Refusal> {
        let found = self.objects.service(&self.of.plan, path).ok_or(Refusal::NotFound)?;
        let Found::Service(service) = found else { return Err(Refusal::BadParameter) };
        let service = self.of.plan.service(service);
        let ttl_ms = service.session.as_ref().and_then(|session| session.ttl_ms);
        Ok((found, ServiceId(service.row), ttl_ms.ok_or(Refusal::BadParameter)?))
    }
}

fn granted(content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn refusal(status: StatusCode, allowed: Option<&'static str>) -> Response<Full<Bytes>> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut response = granted("application/json", render(&json!({"error": reason}), None));
    *response.status_mut() = status;
    if let Some(allowed) = allowed {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    response
}
