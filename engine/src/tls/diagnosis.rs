//! All that is wrong with what a configuration says about TLS, each thing by itself.
//!
//! Whoever builds contexts stops at the first thing that the library refuses. Once that has happened, here is looked at
//! what, one directive after the other, so that one correction is enough.

use super::card::Keys;
use super::client::Dialer;
use super::staple::Staple;
use super::wallet::{KeyText, Pair, Wallet, contents, response_file};
use super::{reason, renew, server, set_ciphers, set_groups};
use openssl::ssl::{SslContextBuilder, SslMethod};
use ounce_conf::model::{Ciphers, ListenerTls, ServerTls, Verify};
use ounce_conf::{Clause, Subject};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// With what.
    pub subject: Subject,
    /// What, with the file that it is about.
    pub text: String,
}

/// What is wrong with a listener; `first` if that is nothing that stands in one directive.
pub(super) fn of_listener(listener: usize, tls: &ListenerTls, first: String) -> Vec<Fault> {
    let mut wrong: Vec<(Clause, String)> = Vec::new();
    for place in 0..tls.certificates.len() {
        wrong.extend(of_certificate(tls, place));
    }
    for (clause, list) in [
        (Clause::AuthorityNames, &tls.authority_names),
        (Clause::Authorities, &tls.authorities),
        (Clause::Revoked, &tls.revoked),
    ] {
        let only = |is_it: bool| list.clone().filter(|_| is_it);
        let alone = ListenerTls {
            authority_names: only(clause == Clause::AuthorityNames),
            authorities: only(clause == Clause::Authorities),
            revoked: only(clause == Clause::Revoked),
            certificates: Vec::new(),
            ..tls.clone()
        };
        let wallet = Wallet::read(&alone);
        let checked = wallet.and_then(|wallet| server::verification(&alone, &wallet, &mut context()?));
        wrong.extend(checked.err().map(|text| (clause, text)));
    }
    wrong.extend(of_words(&tls.ciphers, tls.groups.as_deref()));
    faults(wrong, |clause| Subject::Listener(listener, clause), first)
}

/// The same for a server.
pub(super) fn of_server(tls: &ServerTls, first: String) -> Vec<Fault> {
    let mut wrong: Vec<(Clause, String)> = Vec::new();
    if let Some(file) = &tls.certificate {
        wrong.extend(match Pair::alone(file, tls.key.as_ref()) {
            Ok(pair) => of_pair(&pair, 0),
            Err(text) => Some((Clause::Cert(0), text)),
        });
    }
    if let Some(verify) = tls.verify.as_deref() {
        let with = |authorities, revoked| Verify { name: verify.name.clone(), authorities, revoked };
        let known =
            verify.authorities.iter().map(|file| (Clause::Authorities, with(vec![file.clone()], None)));
        let revoked =
            verify.revoked.iter().map(|file| (Clause::Revoked, with(Vec::new(), Some(file.clone()))));
        for (clause, verify) in known.chain(revoked) {
            let alone = ServerTls { verify: Some(Box::new(verify)), ..ServerTls::default() };
            let dialer = Dialer::build(&alone, None, Keys::LeftOut);
            wrong.extend(dialer.err().map(|text| (clause, text)));
        }
    }
    wrong.extend(of_words(&tls.ciphers, tls.groups.as_deref()));
    faults(wrong, |clause| Subject::Server(tls.number, clause), first)
}

fn faults(wrong: Vec<(Clause, String)>, of: impl Fn(Clause) -> Subject, first: String) -> Vec<Fault> {
    let wrong = if wrong.is_empty() { vec![(Clause::Whole, first)] } else { wrong };
    wrong.into_iter().map(|(clause, text)| Fault { subject: of(clause), text }).collect()
}

/// A certificate of a listener with its key and its response.
fn of_certificate(tls: &ListenerTls, place: usize) -> Vec<(Clause, String)> {
    let pair = match Pair::read(tls, place, Some(place), &tls.certificates[place]) {
        Ok(pair) => pair,
        Err(text) => return vec![(Clause::Cert(place), text)],
    };
    let mut wrong = Vec::from_iter(of_pair(&pair, place));
    if let (Ok(chain), Some(file)) = (pair.chain(), response_file(tls, Some(place), &pair.file)) {
        let staple = contents(&file).and_then(|bytes| Staple::of(&file, &bytes, &chain));
        wrong.extend(staple.err().map(|text| (Clause::Ocsp(place), text)));
    }
    wrong
}

/// A certificate and its key: each in itself, whether they belong together, and whether the library takes them.
fn of_pair(pair: &Pair, place: usize) -> Option<(Clause, String)> {
    let chain = match pair.chain() {
        Ok(chain) => chain,
        Err(text) => return Some((Clause::Cert(place), text)),
    };
    if let Err(text) = renew::check(pair, None) {
        let is_apart = matches!(pair.key, KeyText::Apart(..));
        return Some((if is_apart { Clause::Key(place) } else { Clause::Cert(place) }, text));
    }
    let given = context().and_then(|mut context| pair.give(&mut context, &chain, None));
    given.err().map(|text| (Clause::Cert(place), text))
}

fn context() -> Result<SslContextBuilder, String> {
    SslContextBuilder::new(SslMethod::tls()).map_err(|error| reason(&error))
}

/// What is in no file.
fn of_words(ciphers: &Ciphers, groups: Option<&str>) -> Vec<(Clause, String)> {
    let lists = [
        (Clause::Ciphers, Ciphers { suites: None, ..ciphers.clone() }),
        (Clause::Suites, Ciphers { list: None, ..ciphers.clone() }),
    ];
    let mut wrong = Vec::new();
    for (clause, alone) in lists {
        let set = context().and_then(|mut context| set_ciphers(&mut context, &alone));
        wrong.extend(set.err().map(|text| (clause, text)));
    }
    let set = context().and_then(|mut context| set_groups(&mut context, groups));
    wrong.extend(set.err().map(|text| (Clause::Groups, text)));
    wrong
}
