//! OCSP responses that go out with certificates (RFC 6066 8): from files, which somebody else keeps fresh.

use super::{about, reason};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ocsp::{
    OcspBasicResponse, OcspCertId, OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus,
};
use openssl::ssl::SslContextBuilder;
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use std::path::Path;

/// Clocks of responders and clients may be so far apart.
const SKEW_S: u32 = 300;

/// What a client may be told about one certificate.
pub(super) struct Staple {
    /// Of the certificate.
    digest: Vec<u8>,
    /// As it was signed.
    bytes: Vec<u8>,
    response: OcspBasicResponse,
    id: OcspCertId,
}

/// What is noteworthy of a response that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// It is past, or of the future; it is not sent while it is.
    NotNow,
    /// It says that the certificate is revoked, or that it is not known.
    NotGood,
}

impl Staple {
    /// The response that is in `file`, about the first certificate of a chain.
    ///
    /// # Errors
    /// Why it cannot be used, with the file.
    pub(super) fn of(file: &Path, bytes: &[u8], chain: &[X509]) -> Result<Staple, String> {
        let response = OcspResponse::from_der(bytes).map_err(|_| about(file, "no OCSP response in DER"))?;
        if response.status() != OcspResponseStatus::SUCCESSFUL {
            return Err(about(file, "the responder had no answer"));
        }
        let response = response.basic().map_err(|error| about(file, reason(&error)))?;
        let certificate = chain.first().ok_or_else(|| about(file, "there is no certificate for it"))?;
        // Who signs himself is his own issuer.
        let issuer = chain.get(1).unwrap_or(certificate);
        let id = OcspCertId::from_cert(MessageDigest::sha1(), certificate, issuer)
            .map_err(|error| about(file, reason(&error)))?;
        if response.find_status(&id).is_none() {
            return Err(about(file, "it is not about this certificate, or the chain lacks its issuer"));
        }
        let digest = certificate.digest(MessageDigest::sha256()).map_err(|error| reason(&error))?.to_vec();
        let staple = Staple { digest, bytes: bytes.to_vec(), response, id };
        staple.verify(issuer).map_err(|error| {
            about(file, format!("the issuer of the certificate has not signed it: {}", reason(&error)))
        })?;
        Ok(staple)
    }

    /// Whether it was signed by the issuer, or by whom the issuer has let answer (RFC 6960 4.2.2.2).
    fn verify(&self, issuer: &X509) -> Result<(), ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        store.add_cert(issuer.clone())?;
        let mut flags = X509VerifyFlags::PARTIAL_CHAIN;
        if self.note() == Some(Note::NotNow) {
            // What is past was signed by somebody whose time may be past as well.
            flags |= X509VerifyFlags::NO_CHECK_TIME;
        }
        store.set_flags(flags)?;
        let mut known = Stack::new()?;
        known.push(issuer.clone())?;
        self.response.verify(&known, &store.build(), OcspFlag::empty())
    }

    /// What its owner may want to know.
    pub(super) fn note(&self) -> Option<Note> {
        let status = self.response.find_status(&self.id)?;
        if status.check_validity(SKEW_S, None).is_err() {
            return Some(Note::NotNow);
        }
        (status.status != OcspCertStatus::GOOD).then_some(Note::NotGood)
    }
}

/// Sends responses to the clients that ask for them. RSA and ECDSA certificates of one name each have their own.
pub(super) fn serve(context: &mut SslContextBuilder, staples: Vec<Staple>) -> Result<(), String> {
    let set = context.set_status_callback(move |ssl| {
        let shown = ssl.certificate().and_then(|shown| shown.digest(MessageDigest::sha256()).ok());
        let staple = shown.and_then(|shown| staples.iter().find(|staple| staple.digest == *shown));
        // A response that is past would make clients turn away that do without one.
        let Some(staple) = staple.filter(|staple| staple.note() != Some(Note::NotNow)) else {
            return Ok(false);
        };
        ssl.set_ocsp_status(&staple.bytes)?;
        Ok(true)
    });
    set.map_err(|error| reason(&error))
}
