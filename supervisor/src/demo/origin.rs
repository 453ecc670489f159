//! The origins of the demo: small web servers that say who they are and show what reached them.
//!
//! | path | answer |
//! |---|---|
//! | `/slow` | as below, after two seconds (`?seconds=N`, 60 at most) |
//! | `/large` | 100 MB of text (`?bytes=N`) |
//! | `/fail` | 500 |
//! | any other | the origin's name and the request as it was received |

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most connections that an origin serves at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// How much of a request's body is shown.
const SHOWN_BYTES_MAX: usize = 64 * 1024;
const LARGE_BYTES: u64 = 100_000_000;
const SLOW_SECONDS: u64 = 2;
const SLOW_SECONDS_MAX: u64 = 60;
/// How long a client may take to send a request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);

/// A bound origin.
#[derive(Debug)]
pub(crate) struct Origin {
    /// How it calls itself.
    pub(crate) name: &'static str,
    /// Where it is reached.
    pub(crate) listener: TcpListener,
}

type Answer = Response<Either<Full<Bytes>, Large>>;

/// Serves the origins until the process is ended.
///
/// # Errors
/// When the runtime or a listener cannot be used.
pub(crate) fn serve(origins: &[Origin]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the origins: {error}"))?;
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for origin in origins {
            let listener = origin.listener.try_clone().and_then(|listener| {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener)
            });
            let listener =
                listener.map_err(|error| format!("cannot serve origin {}: {error}", origin.name))?;
            tasks.push(tokio::spawn(accept(origin.name, listener)));
        }
        for task in tasks {
            // An origin's loop has no end; a join that comes back is a panic of it.
            task.await.map_err(|error| format!("an origin failed: {error}"))?;
        }
        Ok(())
    })
}

async fn accept(name: &'static str, listener: tokio::net::TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, as a rule: the connections that are there must end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(name, request));
            // A connection that breaks is the client's business.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(place);
        });
    }
}

async fn answer(name: &'static str, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let parameter = |wanted: &str| {
        let query = request.uri().query()?;
        query.split('&').find_map(|pair| pair.strip_prefix(wanted)?.strip_prefix('=')?.parse::<u64>().ok())
    };
    let mut answer = match path.as_str() {
        "/large" => {
            let bytes = parameter("bytes").unwrap_or(LARGE_BYTES);
            Response::new(Either::Right(Large::new(name, bytes)))
        }
        "/fail" => {
            let mut answer = text(format!("{name} fails, as asked\n"));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        }
        _ => {
            if path == "/slow" {
                let seconds = parameter("seconds").unwrap_or(SLOW_SECONDS).min(SLOW_SECONDS_MAX);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            text(echo(name, request).await)
        }
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(HeaderName::from_static("x-origin"), HeaderValue::from_static(name));
    Ok(answer)
}

fn text(text: String) -> Answer {
    Response::new(Either::Left(Full::new(Bytes::from(text))))
}

/// The request as it was received. Field names come in lower case: they have no case (RFC 9110 5.1), and the library
/// keeps none.
async fn echo(name: &str, request: Request<Incoming>) -> String {
    let (head, mut body) = request.into_parts();
    let mut text = format!("This is {name}. You sent:\n\n{} {} {:?}\n", head.method, head.uri, head.version);
    for (field, value) in &head.headers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{field}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let mut shown = Vec::new();
    let mut received = 0_u64;
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(piece) = frame.into_data() {
            received += piece.len() as u64;
            let room = SHOWN_BYTES_MAX - shown.len();
            shown.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }
    if received > 0 {
        let _ = write!(text, "\n{}", String::from_utf8_lossy(&shown));
        if received > shown.len() as u64 {
            let _ = write!(text, "\n... {received} bytes in all");
        }
        text.push('\n');
    }
    text
}

/// A long body, of one block over and over.
struct Large {
    block: Bytes,
    left: u64,
}

impl Large {
    fn new(name: &str, bytes: u64) -> Large {
        let line = format!("{name} has a lot to say. ");
        let block = line.repeat(64 * 1024 / line.len());
        Large { block: Bytes::from(block), left: bytes }
    }
}

impl Body for Large {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let bytes = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.block.len());
        self.left -= bytes as u64;
        Poll::Ready(Some(Ok(Frame::data(self.block.slice(..bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    /// Starts an origin that lives as long as the test process.
    fn start(name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&[Origin { name, listener }]));
        address
    }

    fn ask(origin: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(origin).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_says_its_name_and_shows_the_request() {
        let origin = start("alder");
        let answer = ask(
            origin,
            "POST /some/path?q=1 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\nhello",
        );
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for part in [
            "x-origin: alder\r\n",
            "This is alder.",
            "POST /some/path?q=1 HTTP/1.1\n",
            "x-forwarded-for: 10.0.0.1\n",
            "\nhello\n",
        ] {
            assert!(answer.contains(part), "{part:?} is not in {answer}");
        }
    }

    #[test]
    fn a_large_answer_is_as_long_as_asked() {
        let answer =
            ask(start("birch"), "GET /large?bytes=200001 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-length: 200001"), "{head}");
        assert_eq!(body.len(), 200_001);
    }

    #[test]
    fn it_fails_when_asked() {
        let answer = ask(start("cedar"), "GET /fail HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{answer}");
    }

    #[test]
    fn a_slow_answer_comes_in_the_end() {
        let answer =
            ask(start("alder"), "GET /slow?seconds=0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.contains("This is alder."), "{answer}");
    }
}
