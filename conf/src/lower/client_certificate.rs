//! `ClientCert` of services: which certificate a client must have.

use super::Lowering;
use super::tls::Reading;
use crate::diag::Problem;
use crate::source;
use crate::tree::Statement;
use std::path::Path;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

impl Lowering<'_> {
    /// The certificate that a service looks for, as PEM without line ends.
    pub(super) fn client_certificate(&mut self, statement: &Statement) -> Option<String> {
        let path = statement.file(0)?;
        match self.https.as_mut().map(Reading::ask_for_service) {
            None => {
                let problem = Problem::error(statement.keyword, "ClientCert stands outside of ListenHTTPS");
                self.findings.push(problem.expected("a service of a ListenHTTPS"));
                return None;
            }
            Some(Some(own)) => {
                let text = "ClientCert cannot stand here: its listener has one";
                self.findings.push(Problem::error(statement.keyword, text).note(own, "which is here"));
                return None;
            }
            Some(None) => {}
        }
        match read(path) {
            Ok(certificate) => Some(certificate),
            Err(reason) => {
                self.error(statement.place(0), reason);
                None
            }
        }
    }
}

/// The first certificate of a file. What stands between its two lines is compared, not understood: two texts of
/// Base64 without blanks are the same where their certificates are.
fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let bytes = source::read_regular(path)
        .map_err(|error| format!("cannot read {shown}: {}", source::reason(&error)))?;
    let text = String::from_utf8_lossy(&bytes);
    let found = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let (inside, _) = found.ok_or_else(|| format!("{shown} holds no certificate"))?;
    let digits: String = inside.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    if digits.is_empty() || !digits.chars().all(base64) {
        return Err(format!("{shown} holds no certificate"));
    }
    Ok(format!("{BEGIN}{digits}{END}"))
}
