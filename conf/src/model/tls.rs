//! TLS, towards clients and towards backends.

use std::path::PathBuf;

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListenerTls {
    /// `Cert`: PEM files with a chain and its key, at least one; the first is the default, others go by SNI.
    pub certificates: Vec<PathBuf>,
    /// `ClientCert`: whether clients are asked for a certificate.
    pub client: ClientCertificate,
    /// `ClientCert`: how many authorities may stand between a client's certificate and a known one.
    pub depth: u8,
    /// `Ciphers`.
    pub ciphers: Ciphers,
    /// `Disable`: the oldest version that is spoken; `None` leaves it to the library.
    pub oldest: Option<TlsVersion>,
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

/// TLS towards a backend, whose certificate is not verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerTls {
    /// `Cert`: PEM file with our certificate and its key.
    pub certificate: Option<PathBuf>,
    /// `Ciphers`.
    pub ciphers: Ciphers,
    /// `Disable`: the oldest version that is spoken; `None` leaves it to the library.
    pub oldest: Option<TlsVersion>,
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
