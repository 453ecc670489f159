//! What is in the files that a listener's certificates are made of, in memory.
//!
//! They are read by whoever has the rights, at once and not again when a worker starts: what a generation was checked
//! with is what it serves. Contexts are built of a wallet and of nothing else, so that a worker in its jail can be given
//! another one. There are keys in it: it travels as a sealed parcel from those who read files to those who serve with
//! them, and to nobody else, and what held it is wiped.

use super::packing::{Packer, Unpacker, wipe};
use super::{about, ffi, reason};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::x509::X509;
use ounce_conf::model::{ClientList, Key, ListenerTls};
use ounce_sys::{parcel, regular};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// Most bytes of a file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is wrong with a key that takes a password.
const ENCRYPTED: &str = "the key is encrypted, and nobody is there to be asked for its password";

/// Bytes that are wiped when nobody needs them any more.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(Vec<u8>);

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The contents of the files of one listener.
#[derive(Clone, PartialEq, Eq)]
pub struct Wallet {
    pub(super) pairs: Vec<Pair>,
    /// `CAlist`.
    pub(super) authority_names: Option<Vec<u8>>,
    /// `VerifyList`.
    pub(super) authorities: Option<Vec<u8>>,
    /// `CRLlist`.
    pub(super) revoked: Option<Vec<u8>>,
}

/// A certificate, its key and its response. Backends are shown such as well, read for them alone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// Its place among those that the configuration named; `None` for one that its directory has got since.
    pub(super) place: Option<usize>,
    /// The place of the first certificate of the statement that stands for it.
    pub(super) statement: usize,
    /// The certificate's file.
    pub(super) file: PathBuf,
    /// What is in it: the chain, and mostly the key.
    pub(super) chain: Secret,
    pub(super) key: KeyText,
    /// The response's file and what is in that.
    pub(super) response: Option<(PathBuf, Vec<u8>)>,
}

/// Where the key of a pair is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum KeyText {
    /// In the certificate's file.
    Beside,
    /// In this one.
    Apart(PathBuf, Secret),
    /// In no file.
    Elsewhere,
}

impl Wallet {
    /// Reads all that a listener's TLS names.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn read(tls: &ListenerTls) -> Result<Wallet, String> {
        let pairs = (0..tls.certificates.len()).map(|place| {
            let statement = tls.watched.iter().find(|of| of.places.contains(&place));
            let statement = statement.map_or(place, |of| of.places.start);
            let mut pair = Pair::read(tls, statement, Some(place), &tls.certificates[place])?;
            pair.response = response_file(tls, Some(place), &pair.file)
                .map(|file| contents(&file).map(|bytes| (file, bytes)))
                .transpose()?;
            Ok(pair)
        });
        let list = |file: &Option<PathBuf>| file.as_deref().map(contents).transpose();
        Ok(Wallet {
            pairs: pairs.collect::<Result<_, String>>()?,
            authority_names: list(&tls.authority_names)?,
            authorities: list(&tls.authorities)?,
            revoked: list(&tls.revoked)?,
        })
    }

    /// What is in the file of a list.
    pub(super) fn list_mut(&mut self, list: ClientList) -> &mut Option<Vec<u8>> {
        match list {
            ClientList::AuthorityNames => &mut self.authority_names,
            ClientList::Authorities => &mut self.authorities,
            ClientList::Revoked => &mut self.revoked,
        }
    }

    /// Tells this state of the lists from any other.
    pub(super) fn lists_print(&self) -> [u8; 32] {
        let lists = [&self.authority_names, &self.authorities, &self.revoked];
        let prints = lists.map(|list| list.as_ref().map_or([0; 32], |bytes| openssl::sha::sha256(bytes)));
        openssl::sha::sha256(prints.as_flattened())
    }

    /// A parcel of it, for a process that serves with it.
    ///
    /// # Errors
    /// What the system reports, or that it is too large.
    pub fn seal(&self) -> io::Result<OwnedFd> {
        parcel::seal(self.pack().as_slice())
    }

    /// The wallet in a parcel that this process inherited and knows by its number.
    ///
    /// # Errors
    /// What the system reports, or that it is none.
    pub fn open_inherited(parcel: RawFd) -> io::Result<Wallet> {
        let bytes = Secret(parcel::open_inherited(parcel)?);
        Wallet::unpack(&bytes.0).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// As it travels.
    fn pack(&self) -> Packer {
        let mut packer = Packer::default();
        for list in [&self.authority_names, &self.authorities, &self.revoked] {
            packer.number(u64::from(list.is_some()));
            packer.bytes(list.as_deref().unwrap_or_default());
        }
        packer.number(self.pairs.len() as u64);
        for pair in &self.pairs {
            packer.number(pair.place.map_or(u64::MAX, |place| place as u64));
            packer.number(pair.statement as u64);
            packer.path(&pair.file);
            packer.bytes(&pair.chain.0);
            match &pair.key {
                KeyText::Beside => packer.number(0),
                KeyText::Apart(file, key) => {
                    packer.number(1);
                    packer.path(file);
                    packer.bytes(&key.0);
                }
                KeyText::Elsewhere => packer.number(2),
            }
            packer.number(u64::from(pair.response.is_some()));
            if let Some((file, response)) = &pair.response {
                packer.path(file);
                packer.bytes(response);
            }
        }
        packer
    }

    /// One that has travelled; `None` if it is something else.
    pub(crate) fn unpack(bytes: &[u8]) -> Option<Wallet> {
        let mut unpacker = Unpacker(bytes);
        let mut list = || -> Option<Option<Vec<u8>>> {
            let is_there = unpacker.number()? == 1;
            let bytes = unpacker.bytes()?;
            Some(is_there.then(|| bytes.to_vec()))
        };
        let (authority_names, authorities, revoked) = (list()?, list()?, list()?);
        let mut pairs = Vec::new();
        for _ in 0..unpacker.number()? {
            let place = unpacker.number()?;
            pairs.push(Pair {
                place: usize::try_from(place).ok().filter(|_| place != u64::MAX),
                statement: usize::try_from(unpacker.number()?).ok()?,
                file: unpacker.path()?,
                chain: Secret(unpacker.bytes()?.to_vec()),
                key: match unpacker.number()? {
                    0 => KeyText::Beside,
                    1 => KeyText::Apart(unpacker.path()?, Secret(unpacker.bytes()?.to_vec())),
                    2 => KeyText::Elsewhere,
                    _ => return None,
                },
                response: match unpacker.number()? {
                    0 => None,
                    _ => Some((unpacker.path()?, unpacker.bytes()?.to_vec())),
                },
            });
        }
        unpacker.is_over().then_some(Wallet { pairs, authority_names, authorities, revoked })
    }
}

impl Pair {
    /// Reads a certificate and its key, without a response.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn read(
        tls: &ListenerTls,
        statement: usize,
        place: Option<usize>,
        file: &Path,
    ) -> Result<Pair, String> {
        Ok(Pair { place, statement, ..Pair::alone(file, named_key(tls, place))? })
    }

    /// Reads a certificate that stands for itself, and its key.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn alone(file: &Path, key: Option<&Key>) -> Result<Pair, String> {
        Ok(Pair {
            place: None,
            statement: 0,
            file: file.to_owned(),
            chain: Secret(contents(file)?),
            key: match key {
                None => KeyText::Beside,
                Some(Key::File(key)) => KeyText::Apart(key.clone(), Secret(contents(key)?)),
                Some(Key::Engine { .. } | Key::Store(_)) => KeyText::Elsewhere,
            },
            response: None,
        })
    }

    /// Gives a context the chain, which is this pair's, and the key: its own, or this one, which is in no file.
    ///
    /// # Errors
    /// What is wrong with them, with the file.
    pub(super) fn give(
        &self,
        context: &mut SslContextBuilder,
        chain: &[X509],
        held: Option<&PKey<Private>>,
    ) -> Result<(), String> {
        let failed = |error: ErrorStack| about(&self.file, reason(&error));
        ffi::use_chain(context, chain).map_err(failed)?;
        let own = self.key()?;
        let Some(key) = own.as_ref().or(held) else { return Ok(()) };
        context.set_private_key(key).map_err(failed)?;
        context.check_private_key().map_err(failed)
    }

    /// The certificate and those above it; there is at least one.
    ///
    /// # Errors
    /// What is wrong with them, with the file.
    pub(super) fn chain(&self) -> Result<Vec<X509>, String> {
        let chain = X509::stack_from_pem(&self.chain.0);
        let chain = chain.map_err(|error| about(&self.file, reason(&error)))?;
        if chain.is_empty() {
            return Err(about(&self.file, "there is no certificate in it"));
        }
        Ok(chain)
    }

    /// The key, if it is in a file.
    ///
    /// # Errors
    /// What is wrong with it, with the file.
    pub(super) fn key(&self) -> Result<Option<PKey<Private>>, String> {
        let (file, pem) = match &self.key {
            KeyText::Beside => (&self.file, &self.chain.0),
            KeyText::Apart(file, pem) => (file, &pem.0),
            KeyText::Elsewhere => return Ok(None),
        };
        // Nobody is at a terminal who could be asked for a password.
        let mut asked = false;
        let key = PKey::private_key_from_pem_callback(pem, |_| {
            asked = true;
            Ok(0)
        });
        let why = |error| if asked { ENCRYPTED.to_owned() } else { reason(&error) };
        key.map(Some).map_err(|error| about(file, why(error)))
    }

    /// Tells this state of its files from any other.
    pub(super) fn print(&self) -> [u8; 32] {
        let mut of_all = Vec::with_capacity(4 * 32);
        of_all.extend(openssl::sha::sha256(&self.chain.0));
        if let KeyText::Apart(_, key) = &self.key {
            of_all.extend(openssl::sha::sha256(&key.0));
        }
        if let Some((_, response)) = &self.response {
            of_all.extend(openssl::sha::sha256(response));
        }
        openssl::sha::sha256(&of_all)
    }
}

/// The `Key` of the certificate at a place.
pub(super) fn named_key(tls: &ListenerTls, place: Option<usize>) -> Option<&Key> {
    tls.keys.iter().find(|(of, _)| Some(*of) == place).map(|(_, key)| key)
}

/// Where there is a response about a certificate, if anywhere: in the file that is named for it, or in the one beside
/// it with `.ocsp` behind its name.
pub(super) fn response_file(tls: &ListenerTls, place: Option<usize>, file: &Path) -> Option<PathBuf> {
    if let Some((_, named)) = tls.staples.iter().find(|(of, _)| Some(*of) == place) {
        return Some(named.clone());
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".ocsp");
    Some(PathBuf::from(beside)).filter(|beside| beside.is_file())
}

/// What is in a file.
///
/// # Errors
/// Why it cannot be read, with its name.
pub(super) fn contents(file: &Path) -> Result<Vec<u8>, String> {
    regular::read(file, FILE_BYTES_MAX).map_err(|error| about(file, error))
}

/// Without what is in it.
impl std::fmt::Debug for Wallet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files: Vec<&PathBuf> = self.pairs.iter().map(|pair| &pair.file).collect();
        formatter.debug_tuple("Wallet").field(&files).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret(text.into())
    }

    #[test]
    fn a_wallet_travels_whole() {
        let pair = |place, key, response| Pair {
            place,
            statement: 5,
            file: "/c".into(),
            chain: secret("chain"),
            key,
            response,
        };
        let wallet = Wallet {
            pairs: vec![
                pair(Some(0), KeyText::Beside, None),
                pair(None, KeyText::Apart("/k".into(), secret("key")), Some(("/r".into(), b"r".to_vec()))),
                pair(Some(7), KeyText::Elsewhere, None),
            ],
            authority_names: None,
            authorities: Some(Vec::new()),
            revoked: Some(b"crl".to_vec()),
        };
        let packed = wallet.pack();
        let bytes = packed.as_slice();
        assert!(Wallet::unpack(bytes).is_some_and(|again| again == wallet));
        for cut in 0..bytes.len() {
            assert!(Wallet::unpack(&bytes[..cut]).is_none(), "{cut}");
        }
        assert!(Wallet::unpack(&[bytes, b"x"].concat()).is_none());
        assert!(!format!("{wallet:?}").contains("key"));
    }

    /// What differs in any file is told apart, even if bytes only move from one to the next.
    #[test]
    fn prints_tell_states_apart() {
        let pair = |chain: &str, key: &str, response: Option<&str>| Pair {
            place: None,
            statement: 0,
            file: "/c".into(),
            chain: secret(chain),
            key: KeyText::Apart("/k".into(), secret(key)),
            response: response.map(|text| ("/r".into(), text.into())),
        };
        let prints =
            [pair("a", "b", None), pair("ab", "", None), pair("a", "b", Some("")), pair("a", "", Some("b"))];
        let prints: std::collections::BTreeSet<_> = prints.iter().map(Pair::print).collect();
        assert_eq!(prints.len(), 4);
    }
}
