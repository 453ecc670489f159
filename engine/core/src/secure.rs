//! What is known of a client's TLS connection.

/// What a TLS connection agreed on, and who the client says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secure {
    /// Version and cipher: `TLSv1.3/` and OpenSSL's description of the cipher.
    pub cipher: String,
    /// An earlier session was resumed.
    pub resumed: bool,
    /// The client's certificate.
    pub certificate: Option<ClientCertificate>,
}

/// A client's certificate, in the forms that header fields give it (pound.md section 10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Subject on one line: `C = FR, O = "a, b", CN = x`.
    pub subject: String,
    /// Issuer on one line.
    pub issuer: String,
    /// `Nov 20 10:37:10 2026 GMT`.
    pub not_before: String,
    /// As `not_before`.
    pub not_after: String,
    /// In decimal digits, however long.
    pub serial: String,
    /// PEM without line ends.
    pub pem: String,
}

impl Secure {
    /// The version: `TLSv1.3`.
    pub(crate) fn version(&self) -> &str {
        self.cipher.split('/').next().unwrap_or_default()
    }

    /// OpenSSL's name of the cipher, which begins its description.
    pub(crate) fn cipher_name(&self) -> &str {
        let description = self.cipher.split_once('/').map_or("", |(_, description)| description);
        description.split_ascii_whitespace().next().unwrap_or_default()
    }

    /// The X-SSL lines of a request: name and value. `certificate`: those about the client's certificate as well.
    pub(crate) fn lines(&self, certificate: bool) -> Vec<(&[u8], &[u8])> {
        let mut lines: Vec<(&str, &str)> = vec![("X-SSL-cipher", &self.cipher)];
        if let Some(certificate) = self.certificate.as_ref().filter(|_| certificate) {
            lines.extend([
                ("X-SSL-Subject", certificate.subject.as_str()),
                ("X-SSL-Issuer", &certificate.issuer),
                ("X-SSL-notBefore", &certificate.not_before),
                ("X-SSL-notAfter", &certificate.not_after),
                ("X-SSL-serial", &certificate.serial),
                ("X-SSL-certificate", &certificate.pem),
            ]);
        }
        lines.into_iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }
}
