//! What there is to know about the certificates of a configuration: whose they are, and until when.

use super::staple::{Note, Staple};
use super::{names, server};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::x509::X509;
use ounce_conf::model::Config;
use std::path::{Path, PathBuf};

const DAY_S: i64 = 24 * 3600;

/// A certificate of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paper {
    /// The place of its listener in the configuration.
    pub listener: usize,
    /// Where it was read from.
    pub file: PathBuf,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub ends_s: i64,
    /// What its owner may want to know.
    pub notes: Vec<String>,
}

/// The certificates of all listeners. Those that cannot be read are left out; see [`super::faults`].
#[must_use]
pub fn papers(config: &Config) -> Vec<Paper> {
    let mut papers = Vec::new();
    for (listener, of) in config.listeners.iter().enumerate() {
        let Some(tls) = &of.tls else { continue };
        for (place, file) in tls.certificates.iter().enumerate() {
            let Ok(chain) = server::chain(file) else { continue };
            let Some(certificate) = chain.first() else { continue };
            let mut notes = Vec::new();
            notes.extend(date_note(file, certificate));
            if let Some(response) = server::response_file(tls, place)
                && let Ok(staple) = Staple::read(&response, &chain)
            {
                notes.extend(staple.note().map(|note| response_note(&response, note)));
            }
            let names = names::of(certificate);
            let Some(ends_s) = seconds(certificate.not_after()) else { continue };
            papers.push(Paper { listener, file: file.clone(), names, ends_s, notes });
        }
    }
    papers
}

fn date_note(file: &Path, certificate: &X509) -> Option<String> {
    let now = Asn1Time::days_from_now(0).ok()?;
    let shown = file.display();
    if certificate.not_after() < now {
        return Some(format!("{shown}: the certificate has expired on {}", certificate.not_after()));
    }
    let early = certificate.not_before() > now;
    early.then(|| format!("{shown}: the certificate is not valid before {}", certificate.not_before()))
}

fn response_note(file: &Path, note: Note) -> String {
    let shown = file.display();
    match note {
        Note::NotNow => format!("{shown}: this OCSP response is not valid now and is not sent"),
        Note::NotGood => format!("{shown}: this OCSP response does not say that the certificate is good"),
    }
}

/// Seconds since 1970.
fn seconds(time: &Asn1TimeRef) -> Option<i64> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    Some(i64::from(since.days) * DAY_S + i64::from(since.secs))
}
