//! Services that the program answers itself: `Metrics`, `Control`, `SendFile`, `ACME`.
//!
//! A worker reaches them as it reaches a server, by a connection on which it sends requests: so whatever takes time here,
//! a disk above all, takes it from nobody else. The connection comes through a passage ([`ounce_sys::passage`]) that has
//! no address and that only the workers of this generation have the other end of; the number that comes with it says
//! which backend of the plan it is for. So no request can say so, and what a client sends is a request and nothing more.

mod asked;
mod directory;
mod files;
mod pieces;

use super::control::Control;
use crate::inheritance::Inheritance;
use directory::Directory;
use files::{Files, Kind};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ounce_conf::model::HouseWork;
use ounce_core::route::plan::BackendKind;
use ounce_sys::passage;
use pieces::Pieces;
use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::sync::Semaphore;

/// Most connections at a time; more wait in the passage. Workers keep idle ones, so there are more than requests.
const CONNECTIONS_MAX: usize = 8192;
/// Most files that are being sent at a time, each with a piece or two in memory.
const FILES_MAX: usize = 2048;
/// Room for a request's head: the longest that a worker passes on, and what it adds.
const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Fields of a request's head: more than a worker passes on.
const FIELDS_MAX: usize = 512;
/// How long to wait when no more descriptors are to be had.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// The body of an answer.
type Reply = Either<Full<Bytes>, Pieces>;

/// The directories of a plan by the number of their backend, opened before rights are given up.
#[derive(Debug)]
pub(crate) struct Directories(Vec<Option<io::Result<Directory>>>);

/// Opens the directories of `SendFile` and `ACME`.
pub(crate) fn open_directories(of: &Inheritance) -> Directories {
    let open = |path: &Path| Some(Directory::open(&of.folder.join(path)));
    let backends = of.plan.backends.iter().map(|backend| match &backend.kind {
        BackendKind::House { work: HouseWork::SendFile(path) | HouseWork::Acme(path), .. } => open(path),
        _ => None,
    });
    Directories(backends.collect())
}

/// See the module.
pub(super) struct House {
    control: Arc<Control>,
    /// By the number of the backend.
    works: Vec<Option<Work>>,
    files: Arc<Semaphore>,
}

enum Work {
    Metrics,
    Control,
    Files(Files),
}

impl House {
    /// What this plan has to be answered. What could not be opened is told by `problem`, and answered with 404.
    pub(super) fn new(
        of: &Inheritance,
        control: Arc<Control>,
        directories: Directories,
        problem: impl Fn(&str),
    ) -> House {
        let mut works = Vec::with_capacity(of.plan.backends.len());
        for (backend, directory) in of.plan.backends.iter().zip(directories.0) {
            let directory = directory.and_then(|opened| {
                opened
                    .inspect_err(|error| problem(&format!("{}: {}: {error}", backend.locus, backend.name)))
                    .ok()
            });
            works.push(match &backend.kind {
                BackendKind::House { work, .. } => Some(match work {
                    HouseWork::Metrics => Work::Metrics,
                    HouseWork::Control => Work::Control,
                    HouseWork::SendFile(_) => Work::Files(Files::new(Kind::Any, directory)),
                    HouseWork::Acme(_) => Work::Files(Files::new(Kind::Challenges, directory)),
                }),
                _ => None,
            });
        }
        House { control, works, files: Arc::new(Semaphore::new(FILES_MAX)) }
    }

    /// Answers whoever comes through the passage, for ever.
    pub(super) async fn serve(self: Arc<Self>, passage: UnixDatagram) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let received = passage.async_io(Interest::READABLE, || passage::receive(passage.as_fd())).await;
            let Ok((number, stream)) = received else {
                // Descriptors ran out, and the connection with them: the worker sees it closed and tries again.
                tokio::time::sleep(EXHAUSTED_WAIT).await;
                continue;
            };
            let Ok(stream) = UnixStream::from_std(stream.into()) else { continue };
            let house = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let house = Arc::clone(&house);
                    async move { Ok::<_, Infallible>(house.respond(number, request).await) }
                });
                // Whether the worker got its answer is the worker's business.
                let _ = http1::Builder::new()
                    .header_read_timeout(None)
                    .max_buf_size(HEAD_BYTES_MAX)
                    .max_headers(FIELDS_MAX)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                drop(place);
            });
        }
    }

    async fn respond(&self, backend: u32, request: Request<Incoming>) -> Response<Reply> {
        match self.works.get(backend as usize) {
            Some(Some(Work::Metrics)) => self.control.metrics(request.method()).map(Either::Left),
            Some(Some(Work::Control)) => self.control.respond(request).await.map(Either::Left),
            Some(Some(Work::Files(files))) => files.respond(request.into_parts().0, &self.files).await,
            // A worker of another plan; there is none.
            Some(None) | None => page(StatusCode::NOT_FOUND),
        }
    }
}

/// An error with the page that workers answer with.
fn page(status: StatusCode) -> Response<Reply> {
    let text = ounce_core::http::reply::built_in(status.as_u16());
    let mut response = Response::new(Either::Left(Full::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}
