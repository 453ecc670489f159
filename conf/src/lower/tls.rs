//! TLS of listeners and servers.

use super::Lowering;
use crate::diag::Problem;
use crate::grammar::Switch;
use crate::model::{
    Ciphers, ClientCertificate, ClientList, Feed, FeedKind, Listener, ListenerTls, OneRequest, PeerName,
    Renegotiation, ServerTls, TlsVersion, Verify, Watched,
};
use crate::source::{self, Span};
use crate::tree::{Given, Statement, Value};
use crate::{Clause, Subject};
use std::path::{Path, PathBuf};

/// How many authorities may stand in a client's chain when nothing is said.
const DEPTH: u8 = 9;

/// What a listener has before its directives are read.
pub(super) fn listener_default() -> ListenerTls {
    ListenerTls { depth: DEPTH, ..ListenerTls::default() }
}

/// What is known of a `ListenHTTPS` while its services are read.
#[derive(Debug)]
pub(super) struct Reading {
    /// Its place among the listeners.
    position: usize,
    /// Its own `ClientCert`.
    own: Option<Span>,
    /// A service looks for a certificate.
    for_services: bool,
}

impl Reading {
    pub(super) fn of(listener: &Statement, position: usize) -> Reading {
        let own = super::find(listener.block(), "ClientCert").map(|statement| statement.keyword);
        Reading { position, own, for_services: false }
    }

    /// A service looks for a certificate; the listener's own `ClientCert` is in its way.
    pub(super) fn ask_for_service(&mut self) -> Option<Span> {
        self.for_services = true;
        self.own
    }

    /// Clients have to be asked for the sake of services.
    pub(super) fn asks_for_services(&self) -> bool {
        self.for_services && self.own.is_none()
    }
}

impl Lowering<'_> {
    /// A directive of `ListenHTTPS`; false if it is none.
    pub(super) fn listener_tls(&mut self, statement: &Statement, tls: &mut ListenerTls) -> bool {
        let position = self.https.as_ref().map_or(0, |reading| reading.position);
        let here = |clause| Subject::Listener(position, clause);
        self.note_clauses(statement, here);
        let last = tls.certificates.len().saturating_sub(1);
        match statement.row.name {
            "Cert" => {
                let first = tls.certificates.len();
                self.certificate(statement, tls);
                let places = first..tls.certificates.len();
                self.noted.extend(places.map(|place| (here(Clause::Cert(place)), statement.place(0))));
            }
            "Key" => {
                self.noted.push((here(Clause::Key(last)), statement.place(0)));
                self.key(statement, tls);
            }
            "OCSP" => {
                self.noted.push((here(Clause::Ocsp(last)), statement.place(0)));
                self.staple(statement, tls);
            }
            "ClientCert" => {
                tls.client = match statement.number(0) {
                    Some(1) => ClientCertificate::Ask,
                    Some(2) => ClientCertificate::Require,
                    Some(3) => ClientCertificate::AskUnverified,
                    _ => ClientCertificate::No,
                };
                tls.depth = statement.number(1).and_then(|n| u8::try_from(n).ok()).unwrap_or(DEPTH);
            }
            "Ciphers" => self.ciphers(statement, &mut tls.ciphers),
            "Disable" => self.disable(statement, &mut tls.oldest, &mut tls.without_1_3),
            "DisableSSLv2" | "DisableSSLv3" => tls.oldest = tls.oldest.max(Some(TlsVersion::Tls10)),
            "MinProto" => self.at_least(statement, &mut tls.oldest, tls.without_1_3),
            "Groups" => tls.groups = groups(statement),
            "StrictSNI" => tls.strict_names = statement.flag(),
            "HSTS" => tls.hsts = Some(transport_security(statement)),
            "SSLHonorCipherOrder" => tls.own_order = statement.flag(),
            "SSLAllowClientRenegotiation" => {
                tls.renegotiation = match statement.number(0) {
                    Some(1) => Renegotiation::Secure,
                    Some(2) => Renegotiation::Any,
                    _ => Renegotiation::No,
                };
            }
            "CAlist" => {
                tls.authority_names = self.readable(statement);
                follow(statement, ClientList::AuthorityNames, tls);
            }
            "VerifyList" => {
                tls.authorities = self.readable(statement);
                follow(statement, ClientList::Authorities, tls);
            }
            "CRLlist" => {
                tls.revoked = self.readable(statement);
                follow(statement, ClientList::Revoked, tls);
            }
            "NoHTTPS11" => {
                tls.one_request = match statement.number(0) {
                    Some(1) => OneRequest::Always,
                    Some(2) => OneRequest::OldBrowsers,
                    _ => OneRequest::No,
                };
            }
            _ => return false,
        }
        true
    }

    /// Remembers where a statement's parts stand that others judge, `of` this or that listener or server.
    fn note_clauses(&mut self, statement: &Statement, of: impl Fn(Clause) -> Subject) {
        let clause = match statement.row.name {
            "Ciphers" => {
                for given in &statement.values {
                    let suites = are_suites(statement, given);
                    let clause = if suites { Clause::Suites } else { Clause::Ciphers };
                    self.noted.push((of(clause), given.span));
                }
                return;
            }
            "Groups" => Clause::Groups,
            "CAlist" => Clause::AuthorityNames,
            "VerifyList" => Clause::Authorities,
            "CRLlist" => Clause::Revoked,
            _ => return,
        };
        self.noted.push((of(clause), statement.place(0)));
    }

    /// The same for what is said of a server, which gets a number.
    fn note_server(&mut self, meant: &[&Statement]) -> u32 {
        let number = self.servers;
        self.servers += 1;
        let here = |clause| Subject::Server(number, clause);
        for statement in meant {
            self.note_clauses(statement, here);
            let clause = match statement.row.name {
                "HTTPS" => Clause::Whole,
                "Cert" => Clause::Cert(0),
                "Key" => Clause::Key(0),
                _ => continue,
            };
            self.noted.push((here(clause), statement.place(0)));
        }
        number
    }

    fn ciphers(&mut self, statement: &Statement, ciphers: &mut Ciphers) {
        for given in &statement.values {
            let Value::Text(text) = &given.value else { continue };
            let suites = are_suites(statement, given);
            self.check_ciphers(text, given.span, suites);
            let into = if suites { &mut ciphers.suites } else { &mut ciphers.list };
            *into = Some(match into.take() {
                Some(before) => format!("{before}:{text}"),
                None => text.clone(),
            });
        }
    }

    /// Ciphers up to TLS 1.2 and suites of TLS 1.3 are two lists. The library passes in silence what is in the wrong one,
    /// unless nothing else is in it.
    fn check_ciphers(&mut self, text: &str, place: Span, suites: bool) {
        let names = || text.split([':', ' ', ',']).filter(|name| !name.is_empty());
        let is_suite = |name: &&str| name.starts_with("TLS_");
        let problem = match suites {
            true => names().find(|name| !is_suite(name)).map(|name| {
                let problem = Problem::error(place, format!("{name} is no suite of TLS 1.3"));
                problem.help("others stand in Ciphers without -ciphersuites")
            }),
            false => names().find(is_suite).map(|name| {
                let strays: Vec<&str> = names().filter(is_suite).collect();
                let text = format!("{name} is a suite of TLS 1.3, which this list is not about");
                let problem = match names().all(|name| is_suite(&name)) {
                    true => Problem::error(place, text),
                    false => Problem::warning(place, text),
                };
                problem.help(format!("write Ciphers -ciphersuites \"{}\"", strays.join(":")))
            }),
        };
        if let Some(problem) = problem {
            self.findings.push(problem);
        }
    }

    fn certificate(&mut self, statement: &Statement, tls: &mut ListenerTls) {
        let first = tls.certificates.len();
        tls.certificates.extend(self.certificates(statement));
        if let (true, Some(named)) = (statement.has(Switch::FileWatch), statement.file(0)) {
            let places = first..tls.certificates.len();
            tls.watched.push(Watched { named: named.to_owned(), places });
        }
    }

    /// `OCSP` belongs to the certificate that was named before it.
    fn staple(&mut self, statement: &Statement, tls: &mut ListenerTls) {
        let Some(place) = tls.certificates.len().checked_sub(1) else {
            let problem =
                Problem::error(statement.keyword, "OCSP stands before the certificate that it is about");
            self.findings.push(problem.expected("Cert before this line"));
            return;
        };
        if tls.staples.iter().any(|(known, _)| *known == place) {
            return self.error(statement.keyword, "a second OCSP for one certificate");
        }
        if statement.has(Switch::FileWatch) {
            tls.watched_staples.push(place);
        }
        tls.staples.extend(self.readable(statement).map(|file| (place, file)));
    }

    /// `Disable` of a version and all older ones; but of TLS 1.3 alone, since nothing would be left.
    fn disable(&mut self, statement: &Statement, oldest: &mut Option<TlsVersion>, without_1_3: &mut bool) {
        match statement.word(0) {
            Some(2) => *oldest = (*oldest).max(Some(TlsVersion::Tls11)),
            Some(3) => *oldest = (*oldest).max(Some(TlsVersion::Tls12)),
            Some(4) => *oldest = Some(TlsVersion::Tls13),
            Some(5) => *without_1_3 = true,
            // SSLv2 and SSLv3.
            _ => *oldest = (*oldest).max(Some(TlsVersion::Tls10)),
        }
        self.check_versions(statement, *oldest, *without_1_3);
    }

    /// `MinProto`.
    fn at_least(&mut self, statement: &Statement, oldest: &mut Option<TlsVersion>, without_1_3: bool) {
        *oldest = (*oldest).max(Some(match statement.word(0) {
            Some(0) => TlsVersion::Tls10,
            Some(1) => TlsVersion::Tls11,
            Some(2) => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        }));
        self.check_versions(statement, *oldest, without_1_3);
    }

    fn check_versions(&mut self, statement: &Statement, oldest: Option<TlsVersion>, without_1_3: bool) {
        if without_1_3 && oldest == Some(TlsVersion::Tls13) {
            self.error(statement.keyword, "no version of TLS is left");
        }
    }

    /// What `ListenHTTPS` cannot do without.
    pub(super) fn check_listener_tls(&mut self, statement: &Statement) {
        if super::find(statement.block(), "Cert").is_none() {
            let problem = Problem::error(statement.keyword, "ListenHTTPS has no Cert");
            self.findings.push(problem.expected("Cert with the file of a certificate and its key"));
        }
    }

    /// The TLS directives of a backend's section, which are given as they were meant: TLS, and the server's name.
    pub(super) fn server_tls(&mut self, meant: &[&Statement]) -> (Option<Box<ServerTls>>, Option<String>) {
        let mut server_name = None;
        let mut tls = ServerTls::default();
        let https = meant.iter().any(|statement| statement.row.name == "HTTPS");
        let (mut verified, mut authorities, mut revoked) = (None, Vec::new(), None);
        let (mut needs_verification, mut needs_certificate) = (None, None);
        for statement in meant {
            match statement.row.name {
                "HTTPS" | "Cert" if statement.file(0).is_some() => tls.certificate = self.readable(statement),
                "Key" => {
                    tls.key = self.key_named(statement);
                    needs_certificate = Some(*statement);
                }
                "Ciphers" => self.ciphers(statement, &mut tls.ciphers),
                "Disable" => self.disable(statement, &mut tls.oldest, &mut tls.without_1_3),
                "MinProto" => self.at_least(statement, &mut tls.oldest, tls.without_1_3),
                "Groups" => tls.groups = groups(statement),
                "ServerName" => server_name = self.server_name(statement),
                "VerifyPeer" => verified = statement.flag().then_some(*statement),
                "VerifyList" => {
                    authorities.extend(self.certificates(statement));
                    needs_verification = Some(*statement);
                }
                "CRLlist" => {
                    revoked = self.readable(statement);
                    needs_verification = Some(*statement);
                }
                _ => continue,
            }
            if !https && statement.row.name != "ServerName" {
                let problem =
                    Problem::error(statement.keyword, format!("{} stands without HTTPS", statement.word));
                self.findings.push(problem.expected("HTTPS in this section"));
            }
        }
        let certificate = |statement: &&Statement| {
            matches!(statement.row.name, "HTTPS" | "Cert") && statement.file(0).is_some()
        };
        if let Some(statement) = needs_certificate
            && !meant.iter().any(certificate)
        {
            let problem = Problem::error(statement.keyword, "Key stands without Cert");
            self.findings.push(problem.expected("Cert with the file of its certificate in this section"));
        }
        if https {
            tls.number = self.note_server(meant);
        }
        if let Some(statement) = verified {
            let name = self.peer_name(statement, meant, server_name.as_deref());
            tls.verify = name.map(|name| Box::new(Verify { name, authorities, revoked }));
        } else if let Some(statement) = needs_verification {
            // Half of what is needed must not look like the whole.
            let text = format!("{} stands without VerifyPeer", statement.word);
            let problem = Problem::error(statement.keyword, text);
            self.findings.push(problem.expected("VerifyPeer yes in this section"));
        }
        (https.then(|| Box::new(tls)), server_name)
    }

    /// Whom the certificate of a backend must be for.
    fn peer_name(
        &mut self,
        verify: &Statement,
        meant: &[&Statement],
        server_name: Option<&str>,
    ) -> Option<PeerName> {
        let address = meant.iter().rfind(|statement| statement.row.name == "Address");
        let name = server_name.or_else(|| address?.text(0))?;
        if name.contains('/') {
            let problem = Problem::error(verify.keyword, "there is no name that the certificate must be for");
            self.findings.push(problem.expected("ServerName in this section"));
            return None;
        }
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        Some(bare.parse().map_or_else(|_| PeerName::Dns(name.to_owned()), PeerName::Ip))
    }

    fn server_name(&mut self, statement: &Statement) -> Option<String> {
        let name = statement.text(0)?;
        // It becomes a header field and a TLS extension.
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            let problem = Problem::error(statement.place(0), "this cannot be the name of a server");
            self.findings.push(problem.expected("a host name"));
            return None;
        }
        Some(name.to_owned())
    }

    /// The files of a `Cert`: the one named, those of the directory named, or those that match.
    fn certificates(&mut self, statement: &Statement) -> Vec<PathBuf> {
        let (Some(path), place) = (statement.file(0), statement.place(0)) else { return Vec::new() };
        match certificate_files(path) {
            Ok(files) if files.is_empty() => {
                self.error(place, format!("{} holds no certificate", path.display()));
                Vec::new()
            }
            Ok(files) => files.into_iter().filter(|file| self.is_readable(file, statement)).collect(),
            Err(reason) => {
                self.error(place, reason);
                Vec::new()
            }
        }
    }

    /// The file that a statement names, if it can be read.
    pub(super) fn readable(&mut self, statement: &Statement) -> Option<PathBuf> {
        let path = statement.file(0)?.to_owned();
        self.is_readable(&path, statement).then_some(path)
    }

    fn is_readable(&mut self, path: &Path, statement: &Statement) -> bool {
        match source::open_regular(path) {
            Ok(_) => true,
            Err(error) => {
                let text = format!("cannot read {}: {}", path.display(), source::reason(&error));
                self.error(statement.place(0), text);
                false
            }
        }
    }
}

/// The files that a `Cert` stands for: the one named, those of the directory named, or those that match.
///
/// # Errors
/// Why they cannot be found.
pub fn certificate_files(named: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = source::expand(&if named.is_dir() { named.join("*") } else { named.to_owned() })?;
    // What stands beside a certificate with the ending `.ocsp` is about it.
    files.retain(|file| file.extension().is_none_or(|ending| ending != "ocsp"));
    Ok(files)
}

/// What is followed for the sake of listeners' certificates, one feed for each listener that has some.
pub(super) fn certificate_feeds(listeners: &[Listener]) -> impl Iterator<Item = Feed> {
    let of = |(listener, of): (usize, &Listener)| {
        let tls = of.tls.as_ref()?;
        let path = tls.first_watched()?.to_owned();
        let kind = FeedKind::Certificates { listener };
        Some(Feed { path, kind, watched: true, bytes: Vec::new() })
    };
    listeners.iter().enumerate().filter_map(of)
}

/// Follows a list, or not any more: the last line about it holds.
fn follow(statement: &Statement, list: ClientList, tls: &mut ListenerTls) {
    tls.watched_lists.retain(|known| *known != list);
    if statement.has(Switch::FileWatch) {
        tls.watched_lists.push(list);
    }
}

/// An option says what the strings after it are.
fn are_suites(statement: &Statement, given: &Given) -> bool {
    let mut before = statement.switches.iter().filter(|switched| switched.span.start < given.span.start);
    before.next_back().is_some_and(|switched| switched.switch == Switch::CipherSuites)
}

/// `Groups`: several strings, and several names in each.
fn groups(statement: &Statement) -> Option<String> {
    let texts = statement.values.iter().filter_map(|given| match &given.value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    });
    Some(texts.collect::<Vec<_>>().join(":"))
}

/// The value of Strict-Transport-Security (RFC 6797 6.1).
fn transport_security(statement: &Statement) -> String {
    let mut value = format!("max-age={}", statement.time().as_secs());
    let words: Vec<Option<usize>> = (1..statement.values.len()).map(|n| statement.word(n)).collect();
    for (index, word) in ["includeSubDomains", "preload"].into_iter().enumerate() {
        if words.contains(&Some(index)) {
            value.push_str("; ");
            value.push_str(word);
        }
    }
    value
}
