//! What there is to know about the certificates of a configuration: whose they are, and until when.

use super::names;
use super::packing::{Packer, Unpacker};
use super::staple::{Note, Staple};
use super::wallet::{Pair, Wallet};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::x509::X509;
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

/// The certificates of a listener. Those that cannot be used are left out.
#[must_use]
pub fn papers(listener: usize, wallet: &Wallet) -> Vec<Paper> {
    wallet.pairs.iter().filter_map(|pair| of(listener, pair)).collect()
}

/// What there is to know about one.
pub(super) fn of(listener: usize, pair: &Pair) -> Option<Paper> {
    let chain = pair.chain().ok()?;
    let certificate = chain.first()?;
    let mut notes = Vec::new();
    notes.extend(date_note(&pair.file, certificate));
    if let Some((response, bytes)) = &pair.response
        && let Ok(staple) = Staple::of(response, bytes, &chain)
    {
        notes.extend(staple.note().map(|note| response_note(response, note)));
    }
    let ends_s = seconds(certificate.not_after())?;
    Some(Paper { listener, file: pair.file.clone(), names: names::of(certificate), ends_s, notes })
}

/// Papers as they travel to whoever tells of them.
#[must_use]
pub fn pack(papers: &[Paper]) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.number(papers.len() as u64);
    for paper in papers {
        packer.number(paper.listener as u64);
        packer.path(&paper.file);
        packer.number(paper.ends_s.cast_unsigned());
        for texts in [&paper.names, &paper.notes] {
            packer.number(texts.len() as u64);
            texts.iter().for_each(|text| packer.text(text));
        }
    }
    packer.as_slice().to_vec()
}

/// Papers that have travelled; `None` if it is something else.
#[must_use]
pub fn unpack(bytes: &[u8]) -> Option<Vec<Paper>> {
    let mut unpacker = Unpacker(bytes);
    let mut papers = Vec::new();
    for _ in 0..unpacker.number()? {
        let listener = usize::try_from(unpacker.number()?).ok()?;
        let (file, ends_s) = (unpacker.path()?, unpacker.number()?.cast_signed());
        let mut texts = || -> Option<Vec<String>> {
            let mut texts = Vec::new();
            for _ in 0..unpacker.number()? {
                texts.push(unpacker.text()?);
            }
            Some(texts)
        };
        let (names, notes) = (texts()?, texts()?);
        papers.push(Paper { listener, file, names, ends_s, notes });
    }
    unpacker.is_over().then_some(papers)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn papers_travel_whole() {
        let paper = |names: &[&str], notes: &[&str]| Paper {
            listener: 3,
            file: "/c".into(),
            names: names.iter().map(ToString::to_string).collect(),
            ends_s: -7,
            notes: notes.iter().map(ToString::to_string).collect(),
        };
        let papers = vec![paper(&["a", "b"], &[]), paper(&[], &["late"])];
        let packed = pack(&papers);
        assert_eq!(unpack(&packed), Some(papers));
        for cut in 0..packed.len() {
            assert_eq!(unpack(&packed[..cut]), None, "{cut}");
        }
    }
}
