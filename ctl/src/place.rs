//! Where the control interface is, and the way there: a UNIX socket, or a service with `Control` behind a URL.

use crate::api::unescape;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A place that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A control socket.
    Unix(PathBuf),
    /// A service.
    Web(Web),
}

/// A service behind a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    secure: bool,
    host: String,
    port: u16,
    /// What stands before the paths of the interface; no slash at its end.
    base: String,
    /// For `Authorization: Basic`.
    credentials: Option<String>,
}

/// Whom to believe, and how to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// Certificates of authorities, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A directory of such certificates.
    pub ca_path: Option<PathBuf>,
    /// A certificate and key of our own.
    pub client_cert: Option<PathBuf>,
    /// Any server is believed.
    pub anybody: bool,
}

/// A connection.
pub(crate) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

impl Place {
    /// Reads a path, `unix:PATH`, or a URL of `http` or `https` with credentials and a path, perhaps.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Place, String> {
        let (secure, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("unix") => {
                return Ok(Place::Unix(rest.into()));
            }
            Some((scheme, _)) => return Err(format!("{scheme} is no scheme of a control interface")),
            None => return Ok(Place::Unix(text.strip_prefix("unix:").unwrap_or(text).into())),
        };
        let wrong = || format!("{text} is no URL of a control interface");
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, authority),
        };
        let credentials = match credentials.map(unescape) {
            Some(Some(credentials)) => Some(openssl::base64::encode_block(&credentials)),
            Some(None) => return Err(wrong()),
            None => None,
        };
        let default = if secure { 443 } else { 80 };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (address, default),
        };
        let odd = |letter: char| letter.is_whitespace() || letter.is_control();
        if host.is_empty() || host.contains(odd) || path.contains(odd) || path.contains(['?', '#']) {
            return Err(wrong());
        }
        let (host, base) = (host.to_owned(), path.trim_end_matches('/').to_owned());
        Ok(Place::Web(Web { secure, host, port, base, credentials }))
    }

    /// The head of a request, up to the empty line.
    pub(crate) fn head(&self, method: &str, target: &str) -> String {
        let (base, host, authorization) = match self {
            Place::Unix(_) => ("", "localhost".to_owned(), String::new()),
            Place::Web(web) => {
                let host = match web.port {
                    port if port == if web.secure { 443 } else { 80 } => web.host.clone(),
                    port => format!("{}:{port}", web.host),
                };
                let authorization = web.credentials.as_ref();
                let authorization = authorization.map(|text| format!("Authorization: Basic {text}\r\n"));
                (web.base.as_str(), host, authorization.unwrap_or_default())
            }
        };
        format!(
            "{method} {base}{target} HTTP/1.1\r\nHost: {host}\r\n{authorization}Connection: close\r\nContent-Length: 0\r\n\r\n"
        )
    }

    /// Connects. Neither side may be silent for longer than `silence`.
    ///
    /// # Errors
    /// What the system or TLS reports.
    pub(crate) fn connect(&self, trust: &Trust, silence: Duration) -> io::Result<Box<dyn Stream>> {
        let web = match self {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(silence))?;
                stream.set_write_timeout(Some(silence))?;
                return Ok(Box::new(stream));
            }
            Place::Web(web) => web,
        };
        let host = web.host.trim_start_matches('[').trim_end_matches(']');
        let mut outcome = Err(io::ErrorKind::NotFound.into());
        for address in (host, web.port).to_socket_addrs()? {
            outcome = TcpStream::connect_timeout(&address, CONNECT_MAX);
            if outcome.is_ok() {
                break;
            }
        }
        let stream = outcome?;
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        if !web.secure {
            return Ok(Box::new(stream));
        }
        let connector = trust.connector().map_err(io::Error::other)?;
        // Its text says what is wrong with the other side's certificate.
        let secured = connector.connect(host, stream).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Box::new(secured))
    }
}

impl Trust {
    fn connector(&self) -> Result<SslConnector, openssl::error::ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        if self.ca_file.is_some() || self.ca_path.is_some() {
            let mut store = openssl::x509::store::X509StoreBuilder::new()?;
            let text = |path: &Path| path.to_string_lossy().into_owned();
            if let Some(file) = &self.ca_file {
                let lookup = store.add_lookup(openssl::x509::store::X509Lookup::file())?;
                lookup.load_cert_file(text(file), SslFiletype::PEM)?;
            }
            if let Some(path) = &self.ca_path {
                let lookup = store.add_lookup(openssl::x509::store::X509Lookup::hash_dir())?;
                lookup.add_dir(&text(path), SslFiletype::PEM)?;
            }
            builder.set_cert_store(store.build());
        }
        if let Some(file) = &self.client_cert {
            builder.set_certificate_chain_file(file)?;
            builder.set_private_key_file(file, SslFiletype::PEM)?;
        }
        if self.anybody {
            builder.set_verify(SslVerifyMode::NONE);
        }
        Ok(builder.build())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Unix(path) => path.display().fmt(out),
            Place::Web(Web { secure, host, port, base, .. }) => {
                write!(out, "{}://{host}:{port}{base}", if *secure { "https" } else { "http" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls() {
        for text in ["/run/control", "unix:/run/control", "unix:///run/control"] {
            assert_eq!(Place::parse(text), Ok(Place::Unix("/run/control".into())), "{text}");
        }
        let shown = |text: &str| Place::parse(text).map(|place| place.to_string());
        assert_eq!(shown("http://a.example"), Ok("http://a.example:80".into()));
        assert_eq!(shown("HTTPS://u:p@a.example:8443/api/"), Ok("https://a.example:8443/api".into()));
        assert_eq!(shown("http://[::1]:81/x"), Ok("http://[::1]:81/x".into()));
        assert_eq!(shown("https://[::1]"), Ok("https://[::1]:443".into()));
        for text in [
            "ftp://a",
            "http://",
            "http:///x",
            "http://a:b",
            "http://a:70000",
            "http://a b",
            "http://a/?x",
            "http://%zz@a",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_says_where_it_goes_and_who_asks() {
        let place = Place::parse("http://user:p%40ss@host:8080/api").unwrap();
        let head = place.head("GET", "/core");
        assert!(head.starts_with("GET /api/core HTTP/1.1\r\nHost: host:8080\r\n"), "{head}");
        assert!(head.contains("Authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
        let head = Place::parse("https://host/").unwrap().head("PUT", "/listener/0");
        assert!(head.starts_with("PUT /listener/0 HTTP/1.1\r\nHost: host\r\n"), "{head}");
    }
}
