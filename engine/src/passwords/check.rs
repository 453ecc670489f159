//! Whether a password is the one that a file of users means.

use openssl::hash::{Hasher, MessageDigest, hash};
use ounce_conf::listing::Hashing;
use ounce_core::route::auth::Secret;
use ounce_sys::crypt;

/// Turns of MD5 in `$apr1$`.
const APR1_TURNS: usize = 1000;
/// The digits of crypt(3)'s own base64, the lowest six bits first.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Finding out takes no longer than a request may.
pub(super) fn is_quick(secret: &Secret) -> bool {
    matches!(secret.hashing, Hashing::Plain | Hashing::Sha1)
}

/// Whether it is the one. How long that takes tells nothing of where they differ.
pub(super) fn is_right(secret: &Secret, password: &[u8]) -> bool {
    let text = secret.text.as_str();
    match secret.hashing {
        Hashing::Plain => alike(text.as_bytes(), password),
        Hashing::Sha1 => sha1(password).is_some_and(|made| alike(text.as_bytes(), made.as_bytes())),
        Hashing::Apr1 => apr1(text, password).is_some_and(|made| alike(text.as_bytes(), made.as_bytes())),
        Hashing::Crypt => {
            crypt::crypt(password, text).is_some_and(|made| alike(text.as_bytes(), made.as_bytes()))
        }
        Hashing::Argon2 => argon2(text, password),
    }
}

/// Compares digests, whose length says nothing of what was compared.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let digest = |bytes| hash(MessageDigest::sha256(), bytes);
    match (digest(one), digest(other)) {
        (Ok(one), Ok(other)) => openssl::memcmp::eq(&one, &other),
        _ => false,
    }
}

fn sha1(password: &[u8]) -> Option<String> {
    let digest = hash(MessageDigest::sha1(), password).ok()?;
    Some(format!("{{SHA}}{}", openssl::base64::encode_block(&digest)))
}

fn argon2(text: &str, password: &[u8]) -> bool {
    use argon2::password_hash::PasswordVerifier;
    // What it costs is what the hash says, not what this one is made with.
    argon2::Argon2::default().verify_password(password, text).is_ok()
}

/// `$apr1$SALT$DIGEST`: the `$1$` of crypt(3) under a name of its own.
fn apr1(text: &str, password: &[u8]) -> Option<String> {
    let (salt, _) = text.strip_prefix("$apr1$")?.split_once('$')?;
    let salt = salt.get(..salt.len().min(8))?;
    let digest = apr1_digest(salt.as_bytes(), password).ok()?;
    let mut made = format!("$apr1${salt}$");
    let at = |index: usize| u32::from(digest.get(index).copied().unwrap_or_default());
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        put(at(high) << 16 | at(middle) << 8 | at(low), 4, &mut made);
    }
    put(at(11), 2, &mut made);
    Some(made)
}

fn put(mut bits: u32, digits: usize, into: &mut String) {
    for _ in 0..digits {
        into.push(char::from(DIGITS[(bits & 63) as usize]));
        bits >>= 6;
    }
}

fn apr1_digest(salt: &[u8], password: &[u8]) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let md5 = MessageDigest::md5();
    let inner = {
        let mut inner = Hasher::new(md5)?;
        [password, salt, password].iter().try_for_each(|part| inner.update(part))?;
        inner.finish()?
    };
    let mut first = Hasher::new(md5)?;
    [password, b"$apr1$", salt].iter().try_for_each(|part| first.update(part))?;
    for part in 0..password.len().div_ceil(16) {
        first.update(&inner[..(password.len() - part * 16).min(16)])?;
    }
    let mut bits = password.len();
    while bits != 0 {
        first.update(if bits & 1 != 0 { &[0] } else { password.get(..1).unwrap_or_default() })?;
        bits >>= 1;
    }
    let mut digest = first.finish()?.to_vec();
    for turn in 0..APR1_TURNS {
        let mut next = Hasher::new(md5)?;
        next.update(if turn % 2 != 0 { password } else { &digest })?;
        if turn % 3 != 0 {
            next.update(salt)?;
        }
        if turn % 7 != 0 {
            next.update(password)?;
        }
        next.update(if turn % 2 != 0 { &digest } else { password })?;
        digest = next.finish()?.to_vec();
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ounce_conf::listing;
    use std::process::Command;

    fn check(secret: &str, password: &str) -> bool {
        let line = format!("user:{secret}\n");
        let user = listing::users(line.as_bytes()).expect("a user").remove(0);
        let secret = Secret { text: user.secret, hashing: user.hashing };
        is_right(&secret, password.as_bytes())
    }

    #[test]
    fn every_kind_of_hash_knows_its_password() {
        let salted = |setting: &str| crypt::crypt(b"myPassword", setting).expect("a hash");
        for secret in [
            "myPassword".to_owned(),
            "{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=".to_owned(),
            // Of Apache's documentation of password formats.
            "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/".to_owned(),
            salted("rq"),
            salted("$1$saltsalt$"),
            salted("$5$saltstring$"),
            salted("$6$saltstring$"),
            salted("$2y$04$abcdefghijklmnopqrstuu"),
            salted("$y$j75$saltsaltsalt$"),
        ] {
            assert!(check(&secret, "myPassword"), "{secret}");
            assert!(!check(&secret, "mypassword"), "{secret}");
            assert!(!check(&secret, ""), "{secret}");
        }
    }

    /// What another program makes, passwords of all lengths.
    #[test]
    fn openssl_makes_the_same_of_passwords() {
        for password in ["a", "fifteen letters", "sixteen letters!", "more than sixteen letters"] {
            let made = Command::new("openssl").args(["passwd", "-apr1", "-salt", "salt", password]).output();
            let made = String::from_utf8(made.expect("openssl").stdout).expect("a hash");
            assert!(check(made.trim(), password), "{made}");
        }
    }

    #[test]
    fn argon2_is_known() {
        use argon2::password_hash::PasswordHasher;
        let params = argon2::Params::new(64, 1, 1, None).expect("parameters");
        let maker = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let made = maker.hash_password_with_salt(b"myPassword", b"saltsalt").expect("a hash").to_string();
        assert!(check(&made, "myPassword"), "{made}");
        assert!(!check(&made, "other"));
        assert!(!check("$argon2id$nonsense", "other"));
    }
}
