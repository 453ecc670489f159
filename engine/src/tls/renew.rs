//! What has become of the files of a listener: looked at by whoever may read them, while workers serve with what was in
//! them before.
//!
//! Only what is right takes the place of what was: a key that is not its certificate's, as while the two are being
//! written, changes nothing of either, and another certificate is none the worse for it. A response that cannot be used
//! leaves the one before it in place, which goes out until it ends; but a new certificate does not wait for its response.
//! So it is with the lists that clients' certificates are verified against.

use super::card::Keys;
use super::server::{Certificates, check_list};
use super::staple::{Note, Staple};
use super::wallet::{KeyText, Pair, Wallet, contents, response_file};
use super::{about, papers};
use openssl::pkey::{PKey, Public};
use ounce_conf::model::{Key, ListenerTls, Watched};
use std::path::{Path, PathBuf};

/// What has changed.
#[derive(Debug)]
pub struct Renewal {
    /// What is to be used from now on.
    pub wallet: Wallet,
    /// The files that have changed and can be used; none of them: nothing has changed.
    pub changed: Vec<PathBuf>,
    /// What is wrong with others, and what its owner may want to know.
    pub notes: Vec<String>,
}

/// All that is to be looked at for the sake of a listener's certificates and lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sights {
    /// Files, whether they are there or not.
    pub files: Vec<PathBuf>,
    /// Directories in which any name counts.
    pub folders: Vec<PathBuf>,
}

/// What is watched for a listener, as things stand in its directories.
#[must_use]
pub fn sights(tls: &ListenerTls) -> Sights {
    let mut sights = Sights::default();
    for watched in &tls.watched {
        let fixed = fixed_part(&watched.named);
        if fixed != watched.named || fixed.is_dir() {
            sights.folders.push(fixed);
        }
        let found = ounce_conf::certificate_files(&watched.named).unwrap_or_default();
        for file in found.iter().chain(&tls.certificates[watched.places.clone()]) {
            let mut beside = file.as_os_str().to_owned();
            beside.push(".ocsp");
            sights.files.extend([file.clone(), beside.into()]);
        }
        for place in watched.places.clone() {
            sights.files.extend(tls.keys.iter().filter_map(|(of, key)| match key {
                Key::File(file) if *of == place => Some(file.clone()),
                _ => None,
            }));
            sights.files.extend(staple_of(tls, place));
        }
    }
    sights.files.extend(tls.watched_lists.iter().filter_map(|list| tls.list(*list)).map(Path::to_owned));
    sights.files.extend(tls.watched_staples.iter().filter_map(|place| staple_of(tls, *place)));
    sights.files.sort();
    sights.files.dedup();
    sights
}

fn staple_of(tls: &ListenerTls, place: usize) -> Option<PathBuf> {
    tls.staples.iter().find(|(of, _)| *of == place).map(|(_, file)| file.clone())
}

/// The part of a name before the first that is a pattern.
fn fixed_part(named: &Path) -> PathBuf {
    let is_pattern = |part: &std::path::Component<'_>| {
        part.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
    };
    named.components().take_while(|part| !is_pattern(part)).collect()
}

/// Looks at the files of a listener.
#[must_use]
pub fn renew(listener: usize, tls: &ListenerTls, before: &Wallet) -> Renewal {
    let mut look = Look { tls, before, changed: Vec::new(), notes: Vec::new() };
    let mut wallet = before.clone();
    wallet.pairs = look.pairs();
    look.lists(&mut wallet);
    let Look { changed, mut notes, .. } = look;
    let kept = |notes| Renewal { wallet: before.clone(), changed: Vec::new(), notes };
    if changed.is_empty() {
        return kept(notes);
    }
    // What only shows when all come together.
    if let Err(error) = Certificates::of(tls, &wallet, None, Keys::LeftOut) {
        notes.push(error);
        notes.extend(changed.iter().map(|file| stays(file)));
        return kept(notes);
    }
    let fresh = wallet.pairs.iter().filter(|pair| !before.pairs.contains(pair));
    let papers = fresh.filter_map(|pair| papers::of(listener, pair));
    notes.extend(papers.flat_map(|paper| paper.notes).map(|note| format!("warning: {note}")));
    Renewal { wallet, changed, notes }
}

fn stays(file: &Path) -> String {
    about(file, "what was read before stays in use")
}

struct Look<'a> {
    tls: &'a ListenerTls,
    before: &'a Wallet,
    changed: Vec<PathBuf>,
    notes: Vec<String>,
}

impl Look<'_> {
    fn pairs(&mut self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        let mut place = 0;
        while place < self.tls.certificates.len() {
            if let Some(watched) = self.tls.watched.iter().find(|of| of.places.start == place) {
                pairs.extend(self.watched(watched));
                place = watched.places.end;
                continue;
            }
            pairs.extend(self.at(place).map(|pair| {
                if self.tls.watched_staples.contains(&place) {
                    self.with_response(pair.clone())
                } else {
                    pair.clone()
                }
            }));
            place += 1;
        }
        pairs
    }

    /// What was known of the certificate at a place of the configuration.
    fn at(&self, place: usize) -> Option<Pair> {
        self.before.pairs.iter().find(|pair| pair.place == Some(place)).cloned()
    }

    /// The certificates that a statement stands for.
    fn watched(&mut self, watched: &Watched) -> Vec<Pair> {
        let places = watched.places.clone();
        let several = fixed_part(&watched.named) != watched.named || watched.named.is_dir();
        if !several {
            return places
                .filter_map(|place| self.pair(place, Some(place), &self.tls.certificates[place]))
                .collect();
        }
        let known = || self.tls.certificates[places.clone()].iter().zip(places.clone());
        let of_it = self.before.pairs.iter().filter(|pair| pair.statement == places.start);
        let before: Vec<Pair> = of_it.cloned().collect();
        let files = match ounce_conf::certificate_files(&watched.named) {
            Ok(files) if !files.is_empty() => files,
            Ok(_) => {
                self.notes.push(about(&watched.named, "it holds no certificate"));
                self.notes.push(stays(&watched.named));
                return before;
            }
            Err(error) => {
                self.notes.push(error);
                self.notes.push(stays(&watched.named));
                return before;
            }
        };
        let placed: Vec<(Option<usize>, PathBuf)> = files
            .into_iter()
            .map(|file| (known().find(|(of, _)| **of == file).map(|(_, place)| place), file))
            .collect();
        let gone = before.iter().filter(|pair| !placed.iter().any(|(_, file)| *file == pair.file));
        self.changed.extend(gone.map(|pair| pair.file.clone()));
        placed.iter().filter_map(|(place, file)| self.pair(places.start, *place, file)).collect()
    }

    /// A certificate as it is now, or as it was if that cannot be used.
    fn pair(&mut self, statement: usize, place: Option<usize>, file: &Path) -> Option<Pair> {
        let is_it = |pair: &&Pair| pair.statement == statement && pair.place == place && pair.file == file;
        let before = self.before.pairs.iter().find(is_it).cloned();
        let now = Pair::read(self.tls, statement, place, file).and_then(|now| {
            check(&now, before.as_ref())?;
            Ok(now)
        });
        match (now, before) {
            (Ok(now), Some(before)) if now.chain == before.chain && now.key == before.key => {
                Some(self.with_response(before))
            }
            (Ok(now), _) => {
                self.changed.push(file.to_owned());
                Some(self.with_response(now))
            }
            (Err(error), before) => {
                self.notes.push(error);
                let what = if before.is_some() { stays(file) } else { about(file, "it is left out") };
                self.notes.push(what);
                // A response goes with the certificate that is served.
                before.map(|before| self.with_response(before))
            }
        }
    }

    /// The lists that are followed as they are now, or as they were if that cannot be used.
    fn lists(&mut self, wallet: &mut Wallet) {
        for list in &self.tls.watched_lists {
            let Some(file) = self.tls.list(*list) else { continue };
            let kept = wallet.list_mut(*list);
            match contents(file).and_then(|now| check_list(*list, file, &now).map(|()| now)) {
                Ok(now) if kept.as_ref() == Some(&now) => {}
                Ok(now) => {
                    *kept = Some(now);
                    self.changed.push(file.to_owned());
                }
                Err(error) => self.notes.extend([error, stays(file)]),
            }
        }
    }

    /// A pair with its response as it is now, or as it was if that cannot be used.
    fn with_response(&mut self, pair: Pair) -> Pair {
        let Some(file) = response_file(self.tls, pair.place, &pair.file) else { return pair };
        let now = contents(&file).and_then(|bytes| {
            if pair.response.as_ref().is_some_and(|(_, before)| *before == bytes) {
                return Ok(None);
            }
            let staple = Staple::of(&file, &bytes, &pair.chain()?)?;
            if staple.note() == Some(Note::NotNow) {
                return Err(about(&file, "this OCSP response is not valid now"));
            }
            Ok(Some(bytes))
        });
        match now {
            Ok(None) => pair,
            Ok(Some(bytes)) => {
                self.changed.push(file.clone());
                Pair { response: Some((file, bytes)), ..pair }
            }
            Err(error) => {
                self.notes.push(error);
                let has_one = pair.response.is_some();
                self.notes.push(if has_one { stays(&file) } else { about(&file, "none is sent") });
                pair
            }
        }
    }
}

/// Whether a certificate goes with its key.
pub(super) fn check(now: &Pair, before: Option<&Pair>) -> Result<(), String> {
    let public = public_key(now)?;
    let fits = match now.key()? {
        Some(key) => public.public_eq(&key),
        // The card has the same key as before.
        None => match before.map(public_key).transpose()? {
            Some(before) => public.public_eq(&before),
            None => true,
        },
    };
    match &now.key {
        _ if fits => Ok(()),
        KeyText::Beside => Err(about(&now.file, "the key in it is not the certificate's")),
        KeyText::Apart(key, _) => {
            Err(about(&now.file, format!("the key in {} is not its own", key.display())))
        }
        KeyText::Elsewhere => {
            Err(about(&now.file, "its key is not the one that is used so far, and that is in no file"))
        }
    }
}

fn public_key(pair: &Pair) -> Result<PKey<Public>, String> {
    let chain = pair.chain()?;
    let key = chain.first().map(|certificate| certificate.public_key());
    key.ok_or("no certificate")?.map_err(|error| about(&pair.file, super::reason(&error)))
}
