//! `SendFile` and `ACME`: requests answered with the files of a directory.

use super::asked::{Asked, Version, asked};
use super::directory::{Denial, Directory, name};
use super::pieces::{Pieces, Segment};
use super::{Reply, page};
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where challenges are asked for (RFC 8555 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge";
/// The type of answers to challenges, as Pound sends it.
const CHALLENGE_TYPE: &str = "text/html";
/// The type of what has no other.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Which files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any, by the request's path.
    Any,
    /// Answers to challenges.
    Challenges,
}

/// A directory and what it is for.
#[derive(Debug)]
pub(super) struct Files {
    kind: Kind,
    /// `None` if it could not be opened.
    directory: Option<Arc<Directory>>,
}

impl Files {
    pub(super) fn new(kind: Kind, directory: Option<Directory>) -> Files {
        Files { kind, directory: directory.map(Arc::new) }
    }

    /// Answers a request. `places` are those for answers that are on their way.
    pub(super) async fn respond(&self, request: Parts, places: &Arc<Semaphore>) -> Response<Reply> {
        if request.method != Method::GET && request.method != Method::HEAD {
            let mut response = page(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri.path();
        let below = match self.kind {
            Kind::Any => Some(path),
            Kind::Challenges => path.strip_prefix(CHALLENGES),
        };
        let Some(name) = below.and_then(name) else { return page(StatusCode::NOT_FOUND) };
        let Some(directory) = self.directory.clone() else { return page(StatusCode::NOT_FOUND) };
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            return page(StatusCode::SERVICE_UNAVAILABLE);
        };
        let kind = self.kind;
        let look = move || look(kind, &directory, &name, &request, place);
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(response)) => response,
            Ok(Err(denial)) => page(match denial {
                Denial::Absent => StatusCode::NOT_FOUND,
                Denial::Forbidden => StatusCode::FORBIDDEN,
                Denial::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
                Denial::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            }),
            // Only a runtime that is being shut down lets go of a thread's work.
            Err(_) => page(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

/// Looks for the file and begins to read it. Runs on a thread that may block.
fn look(
    kind: Kind,
    directory: &Directory,
    name: &Path,
    request: &Parts,
    place: OwnedSemaphorePermit,
) -> Result<Response<Reply>, Denial> {
    let (file, metadata) = directory.file(name)?;
    let version = version(&metadata);
    let mut shown_type = content_type(kind, name);
    let mut response = match asked(&request.headers, &version) {
        Asked::Whole => {
            let whole = vec![Segment::File(0..version.length)];
            content(StatusCode::OK, request, file, whole, place)?
        }
        Asked::Part(range) => {
            let shown = shown(&range, &version);
            let part = vec![Segment::File(range)];
            let mut response = content(StatusCode::PARTIAL_CONTENT, request, file, part, place)?;
            put(&mut response, CONTENT_RANGE, &shown);
            response
        }
        Asked::Parts(ranges) => {
            let boundary = boundary();
            let parts = parts(ranges, &version, &shown_type, &boundary);
            shown_type = format!("multipart/byteranges; boundary={boundary}");
            content(StatusCode::PARTIAL_CONTENT, request, file, parts, place)?
        }
        Asked::Unmodified => empty(StatusCode::NOT_MODIFIED),
        Asked::Mismatch => return Ok(page(StatusCode::PRECONDITION_FAILED)),
        Asked::Unsatisfiable => {
            let mut response = page(StatusCode::RANGE_NOT_SATISFIABLE);
            put(&mut response, CONTENT_RANGE, &format!("bytes */{}", version.length));
            return Ok(response);
        }
    };
    put(&mut response, ETAG, &version.tag);
    put(&mut response, LAST_MODIFIED, &httpdate::fmt_http_date(version.modified));
    if response.status() != StatusCode::NOT_MODIFIED {
        put(&mut response, ACCEPT_RANGES, "bytes");
        put(&mut response, CONTENT_TYPE, &shown_type);
    }
    Ok(response)
}

fn version(metadata: &Metadata) -> Version {
    // RFC 9110 8.8.2.1: not later than the answer.
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH).min(SystemTime::now());
    Version::new(metadata.len(), modified)
}

/// The value of Content-Range.
fn shown(range: &Range<u64>, of: &Version) -> String {
    format!("bytes {}-{}/{}", range.start, range.end - 1, of.length)
}

/// Several ranges as one body (RFC 9110 14.6).
fn parts(ranges: Vec<Range<u64>>, of: &Version, content_type: &str, boundary: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    for range in ranges {
        let end = if segments.is_empty() { "" } else { "\r\n" };
        let shown = shown(&range, of);
        let head =
            format!("{end}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {shown}\r\n\r\n");
        segments.extend([Segment::Text(head.into()), Segment::File(range)]);
    }
    segments.push(Segment::Text(format!("\r\n--{boundary}--\r\n").into()));
    segments
}

/// A text that nobody who wrote the file can have put into it.
fn boundary() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

fn content(
    status: StatusCode,
    request: &Parts,
    file: File,
    segments: Vec<Segment>,
    place: OwnedSemaphorePermit,
) -> Result<Response<Reply>, Denial> {
    let length: u64 = segments.iter().map(Segment::length).sum();
    let body = if request.method == Method::HEAD {
        Either::Left(Full::default())
    } else {
        Either::Right(Pieces::begin(file, segments, place).map_err(
            |error: io::Error| match error.kind() {
                io::ErrorKind::PermissionDenied => Denial::Forbidden,
                _ => Denial::Failed,
            },
        )?)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

fn empty(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Either::Left(Full::<Bytes>::default()));
    *response.status_mut() = status;
    response
}

fn put(response: &mut Response<Reply>, name: hyper::header::HeaderName, value: &str) {
    // Nothing that is put here holds a control byte.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The type of a file by the ending of its name.
fn content_type(kind: Kind, name: &Path) -> String {
    match kind {
        Kind::Challenges => CHALLENGE_TYPE.to_owned(),
        Kind::Any => mime_guess::from_path(name).first_raw().unwrap_or(UNKNOWN_TYPE).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use hyper::Request;

    async fn ask(files: &Files, method: &str, path: &str, lines: &[(&str, &str)]) -> (Response<()>, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let response = files.respond(parts, &Arc::new(Semaphore::new(1))).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (Response::from_parts(parts, ()), body)
    }

    fn files(kind: Kind) -> (Files, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("page.html"), "0123456789").unwrap();
        let files = Files::new(kind, Some(Directory::open(folder.path()).unwrap()));
        (files, folder)
    }

    #[tokio::test]
    async fn a_file_comes_with_its_type_and_version() {
        let (files, folder) = files(Kind::Any);
        let (response, body) = ask(&files, "GET", "/page.html?query", &[]).await;
        assert_eq!((response.status(), body.as_slice()), (StatusCode::OK, b"0123456789".as_slice()));
        let field = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!((field("content-type"), field("content-length")), ("text/html", "10"));
        assert_eq!(field("accept-ranges"), "bytes");
        let tag = field("etag").to_owned();
        let (response, body) = ask(&files, "HEAD", "/page.html", &[]).await;
        assert_eq!((response.headers()["content-length"].to_str().unwrap(), body.len()), ("10", 0));
        let (response, body) = ask(&files, "GET", "/page.html", &[("if-none-match", &tag)]).await;
        assert_eq!((response.status(), body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(response.headers()["etag"].to_str().unwrap(), tag);
        let (response, body) = ask(&files, "GET", "/page.html", &[("range", "bytes=2-4")]).await;
        assert_eq!((response.status(), body.as_slice()), (StatusCode::PARTIAL_CONTENT, b"234".as_slice()));
        assert_eq!(response.headers()["content-range"], "bytes 2-4/10");
        let (response, _) = ask(&files, "GET", "/page.html", &[("range", "bytes=10-")]).await;
        assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(response.headers()["content-range"], "bytes */10");
        std::fs::write(folder.path().join("odd"), "").unwrap();
        let (response, body) = ask(&files, "GET", "/odd", &[]).await;
        assert_eq!((response.headers()["content-type"].as_bytes(), body.len()), (UNKNOWN_TYPE.as_bytes(), 0));
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_to_be_done_is_refused() {
        let (files, _folder) = files(Kind::Any);
        for path in ["/absent", "/", "//page.html", "/../page.html", "/%2e%2e/page.html"] {
            assert_eq!(ask(&files, "GET", path, &[]).await.0.status(), StatusCode::NOT_FOUND, "{path}");
        }
        let (response, _) = ask(&files, "DELETE", "/page.html", &[]).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
        let closed = Files::new(Kind::Any, None);
        assert_eq!(ask(&closed, "GET", "/page.html", &[]).await.0.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn challenges_are_looked_for_below_their_own_path() {
        let (files, _folder) = files(Kind::Challenges);
        let (response, body) = ask(&files, "GET", "/.well-known/acme-challenge/page.html", &[]).await;
        assert_eq!(response.headers()["content-type"], "text/html");
        assert_eq!(body, b"0123456789");
        for path in ["/page.html", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/../page.html"]
        {
            assert_eq!(ask(&files, "GET", path, &[]).await.0.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
