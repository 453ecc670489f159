//! Which certificate a client gets, by the name that it asks for (SNI, RFC 6066 3).

use openssl::nid::Nid;
use openssl::x509::X509Ref;

/// The DNS names of a certificate, in lower case: its alternative names, or its common name if it has none.
pub(super) fn of(certificate: &X509Ref) -> Vec<String> {
    let alternatives = certificate.subject_alt_names();
    let mut names: Vec<String> = alternatives
        .iter()
        .flatten()
        .filter_map(|name| name.dnsname())
        .map(str::to_ascii_lowercase)
        .collect();
    if names.is_empty() {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
        names.extend(common.and_then(|entry| Some(entry.data().to_string().ok()?.to_ascii_lowercase())));
    }
    names
}

/// How well `pattern`, a name of a certificate, fits the name asked for: exactly, by a wildcard for the first label
/// (RFC 6125 6.4.3), or not. Allocates nothing: it runs on the small stack of a handshake.
pub(super) fn fit(pattern: &str, asked: &str) -> Option<Fit> {
    if pattern.eq_ignore_ascii_case(asked) {
        return Some(Fit::Exact);
    }
    let rest = pattern.strip_prefix('*')?;
    let dot = asked.find('.')?;
    (dot > 0 && rest.starts_with('.') && rest.eq_ignore_ascii_case(&asked[dot..])).then_some(Fit::Wildcard)
}

/// How well a certificate's name fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// `*.example.org` for `www.example.org`.
    Wildcard,
    /// The name itself.
    Exact,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wildcard stands for exactly one whole label.
    #[test]
    fn wildcards_stand_for_one_label() {
        assert_eq!(fit("www.example.org", "WWW.example.org"), Some(Fit::Exact));
        assert_eq!(fit("*.example.org", "www.Example.org"), Some(Fit::Wildcard));
        for asked in ["example.org", "a.b.example.org", ".example.org", "wwwexample.org", "*", ""] {
            assert_eq!(fit("*.example.org", asked), None, "{asked}");
        }
        assert_eq!(fit("w*.example.org", "www.example.org"), None);
    }
}
