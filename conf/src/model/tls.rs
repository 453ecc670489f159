//! TLS, towards clients and towards backends.

use super::Key;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListenerTls {
    /// `Cert`: PEM files with a chain and its key, at least one; the first is the default, others go by SNI.
    pub certificates: Vec<PathBuf>,
    /// `Key`: keys that are not in the file of their certificate, by its place among the certificates.
    pub keys: Vec<(usize, Key)>,
    /// `OCSP`: files with responses in DER that go out with certificates, by the place of each among those.
    pub staples: Vec<(usize, PathBuf)>,
    /// `Cert -filewatch`: what is read anew when it changes.
    pub watched: Vec<Watched>,
    /// `OCSP -filewatch`: responses that are, by the place of each certificate.
    pub watched_staples: Vec<usize>,
    /// `CAlist`, `VerifyList` and `CRLlist` that are, with `-filewatch`.
    pub watched_lists: Vec<ClientList>,
    /// `ClientCert`: whether clients are asked for a certificate.
    pub client: ClientCertificate,
    /// `ClientCert`: how many authorities may stand between a client's certificate and a known one.
    pub depth: u8,
    /// `Ciphers`.
    pub ciphers: Ciphers,
    /// `Disable` and `MinProto`: the oldest version that is spoken; `None` leaves it to the library.
    pub oldest: Option<TlsVersion>,
    /// `Disable TLSv1_3`: TLS 1.3 is not spoken.
    pub without_1_3: bool,
    /// `Groups`, in OpenSSL's form; `None` leaves them to the library.
    pub groups: Option<String>,
    /// `StrictSNI`: a client that asks for a name that no certificate has is refused.
    pub strict_names: bool,
    /// `HSTS`: the value of Strict-Transport-Security in every response.
    pub hsts: Option<String>,
    /// `SSLHonorCipherOrder`: our order of ciphers decides, not the client's.
    pub own_order: bool,
    /// `SSLAllowClientRenegotiation`.
    pub renegotiation: Renegotiation,
    /// `CAlist`: authorities whose names clients are sent.
    pub authority_names: Option<PathBuf>,
    /// `VerifyList`: authorities that clients' certificates are verified against.
    pub authorities: Option<PathBuf>,
    /// `CRLlist`: lists of revoked certificates.
    pub revoked: Option<PathBuf>,
    /// `NoHTTPS11`.
    pub one_request: OneRequest,
}

/// A list that says which clients are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientList {
    /// `CAlist`.
    AuthorityNames,
    /// `VerifyList`.
    Authorities,
    /// `CRLlist`.
    Revoked,
}

impl ListenerTls {
    /// The file of a list.
    #[must_use]
    pub fn list(&self, list: ClientList) -> Option<&Path> {
        let file = match list {
            ClientList::AuthorityNames => &self.authority_names,
            ClientList::Authorities => &self.authorities,
            ClientList::Revoked => &self.revoked,
        };
        file.as_deref()
    }

    /// One of the files that are followed; `None` if none is.
    #[must_use]
    pub fn first_watched(&self) -> Option<&Path> {
        let named = self.watched.first().map(|watched| watched.named.as_path());
        let staple = || {
            let place = self.watched_staples.first()?;
            self.staples.iter().find(|(of, _)| of == place).map(|(_, file)| file.as_path())
        };
        let list = || self.list(*self.watched_lists.first()?);
        named.or_else(staple).or_else(list)
    }
}

/// Certificates whose files are followed, and with them the files of their keys and responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// A file, a directory or a pattern.
    pub named: PathBuf,
    /// The places of what that was when it was read.
    pub places: Range<usize>,
}

/// TLS towards a backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerTls {
    /// Which of the file's it is, for [`Written`](crate::Written).
    pub number: u32,
    /// `Cert`: PEM file with our certificate and mostly its key.
    pub certificate: Option<PathBuf>,
    /// `Key`: the key, if it is not in the file of its certificate.
    pub key: Option<Key>,
    /// `Ciphers`.
    pub ciphers: Ciphers,
    /// `Disable` and `MinProto`: the oldest version that is spoken; `None` leaves it to the library.
    pub oldest: Option<TlsVersion>,
    /// `Disable TLSv1_3`: TLS 1.3 is not spoken.
    pub without_1_3: bool,
    /// `Groups`, in OpenSSL's form; `None` leaves them to the library.
    pub groups: Option<String>,
    /// `VerifyPeer`: how its certificate is verified; `None` takes any, as Pound does.
    pub verify: Option<Box<Verify>>,
}

/// How the certificate of a backend is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// The name that it must be for: `ServerName`, or the `Address` as it is written.
    pub name: PeerName,
    /// `VerifyList`: files of authorities; empty means those of the system.
    pub authorities: Vec<PathBuf>,
    /// `CRLlist`: lists of revoked certificates.
    pub revoked: Option<PathBuf>,
}

/// Whom a certificate must be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerName {
    /// A host name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// `Ciphers`, in OpenSSL's form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ciphers {
    /// Up to TLS 1.2.
    pub list: Option<String>,
    /// TLS 1.3.
    pub suites: Option<String>,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// `ClientCert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// Clients are not asked.
    #[default]
    No,
    /// They are asked, and may have none.
    Ask,
    /// Without one they are refused.
    Require,
    /// They are asked, and what they have is not verified.
    AskUnverified,
    /// As `AskUnverified`, for the services that look for one certificate each; no backend is told of others.
    ForServices,
}

/// `SSLAllowClientRenegotiation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renegotiation {
    /// Clients may not renegotiate.
    #[default]
    No,
    /// Only as RFC 5746 has it.
    Secure,
    /// In any way.
    Any,
}

/// `NoHTTPS11`: whether a connection ends after one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OneRequest {
    /// No.
    #[default]
    No,
    /// Yes.
    Always,
    /// For user agents that contain `MSIE`.
    OldBrowsers,
}
