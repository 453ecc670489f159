//! Files of lines: what `-file` and `-filewatch` name, read from their bytes.
//!
//! The configuration and the workers read them with the same functions, so that a file that was found good once is good
//! everywhere.

use ipnet::{IpNet, Ipv4Net};
use std::fmt::{self, Write as _};
use std::net::IpAddr;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; `None` if it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong there.
    pub text: String,
}

impl Fault {
    /// Something is wrong with a line.
    #[must_use]
    pub fn at(line: usize, text: impl Into<String>) -> Fault {
        Fault { line: Some(line), text: text.into() }
    }
}

/// As it follows a file's name: `:LINE: TEXT`.
impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, ":{line}: {}", self.text),
            None => write!(out, ": {}", self.text),
        }
    }
}

/// The lines of a file with their numbers; empty lines and those that start with `#` are left out.
///
/// # Errors
/// That it is no text.
pub fn lines(bytes: &[u8]) -> Result<Vec<(usize, &str)>, Fault> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Fault::at(line, "not UTF-8 text")
    })?;
    let lines = text.lines().map(str::trim).enumerate();
    let kept = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    Ok(kept.map(|(index, line)| (index + 1, line)).collect())
}

/// Networks, one a line, in quotes or not; `#` starts a comment.
///
/// # Errors
/// Each line that is no network.
pub fn networks(bytes: &[u8]) -> Result<Vec<IpNet>, Vec<Fault>> {
    let (mut networks, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in lines(bytes).map_err(|fault| vec![fault])? {
        let bare = line.split('#').next().unwrap_or("").trim();
        let bare = bare.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(bare);
        match network(bare) {
            Some(network) => networks.push(network),
            None => faults.push(Fault::at(number, format!("{bare} is no network"))),
        }
    }
    if faults.is_empty() { Ok(networks) } else { Err(faults) }
}

/// A user and what is known of its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// The password, or what was made of it.
    pub secret: String,
    /// Which of them it is.
    pub hashing: Hashing,
}

/// What is made of passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashing {
    /// Nothing.
    Plain,
    /// `{SHA}`: SHA-1 in base64.
    Sha1,
    /// `$apr1$`: a thousand turns of MD5, as Apache's htpasswd makes them.
    Apr1,
    /// Something of crypt(3): DES, `$1$`, `$5$`, `$6$`, `$y$`, bcrypt and others.
    Crypt,
    /// `$argon2id$` and its kin.
    Argon2,
}

/// What crypt(3) knows, by the word behind the first dollar.
const CRYPT: [&str; 12] = ["1", "2a", "2b", "2x", "2y", "5", "6", "7", "y", "gy", "md5", "sha1"];

/// Memory that an Argon2 hash may take, in KiB: several are made at a time, in each worker.
const ARGON2_KIB_MAX: u64 = 1 << 20;

impl Hashing {
    /// What a secret is, by how it looks.
    ///
    /// # Errors
    /// Why nothing can be done with it.
    fn of(secret: &str) -> Result<Hashing, &'static str> {
        const UNKNOWN: &str = "a password hash of an unknown kind";
        if let Some(digest) = secret.strip_prefix("{SHA}") {
            let whole = digest.len() == 28 && digest.ends_with('=');
            return if whole { Ok(Hashing::Sha1) } else { Err(UNKNOWN) };
        }
        if let Some((word, rest)) = secret.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
            return match word {
                "apr1" => Ok(Hashing::Apr1),
                "argon2i" | "argon2d" | "argon2id" if argon2_kib(rest) > ARGON2_KIB_MAX => {
                    Err("a password hash that takes more than 1 GiB of memory")
                }
                "argon2i" | "argon2d" | "argon2id" => Ok(Hashing::Argon2),
                _ if CRYPT.contains(&word) => Ok(Hashing::Crypt),
                _ => Err(UNKNOWN),
            };
        }
        let of_des = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
        let des = secret.len() == 13 && secret.bytes().all(of_des);
        Ok(if des { Hashing::Crypt } else { Hashing::Plain })
    }
}

/// The memory parameter of an Argon2 hash, in KiB.
fn argon2_kib(parts: &str) -> u64 {
    let parameters = parts.split('$').flat_map(|part| part.split(','));
    let memory = parameters.filter_map(|parameter| parameter.strip_prefix("m="));
    memory.map(|kib| kib.parse().unwrap_or(u64::MAX)).max().unwrap_or(0)
}

/// Users, one `NAME:PASSWORD` a line, the password plain or as a hash. What is wrong with a line is told without it.
///
/// # Errors
/// Each line that is none of this.
pub fn users(bytes: &[u8]) -> Result<Vec<User>, Vec<Fault>> {
    let (mut users, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in lines(bytes).map_err(|fault| vec![fault])? {
        match line.split_once(':').filter(|(name, _)| !name.is_empty()) {
            None => faults.push(Fault::at(number, "no user and password with a colon between them")),
            Some((name, secret)) => match Hashing::of(secret) {
                Ok(hashing) => {
                    users.push(User { name: name.to_owned(), secret: secret.to_owned(), hashing });
                }
                Err(why) => faults.push(Fault::at(number, why)),
            },
        }
    }
    if faults.is_empty() { Ok(users) } else { Err(faults) }
}

/// What `-trim` removes from the end.
pub(crate) const WHITE: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

/// A text that stands in others, as it is and encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// As it is.
    pub plain: String,
    /// RFC 3986 2.1: all but unreserved characters as `%XX`.
    pub url: String,
    /// RFC 4648 4.
    pub base64: String,
}

/// The text of a constant; `trim` removes white space from its end.
///
/// # Errors
/// That it is no text, or none that may stand in a header or URL.
pub fn text(bytes: &[u8], trim: bool) -> Result<Text, Fault> {
    let whole = str::from_utf8(bytes).map_err(|_| Fault { line: None, text: "not UTF-8 text".to_owned() })?;
    let plain = if trim { whole.trim_end_matches(WHITE) } else { whole };
    if plain.chars().any(char::is_control) {
        let text = "it holds control characters, such as the end of a line".to_owned();
        return Err(Fault { line: None, text });
    }
    let (url, base64) = (percent_encoded(plain.as_bytes()), base64(plain.as_bytes()));
    Ok(Text { plain: plain.to_owned(), url, base64 })
}

pub(crate) fn percent_encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// A network in CIDR form, or one address. What is IPv4 written as IPv6 becomes IPv4, as clients' addresses do.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network.trunc(),
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    if let IpNet::V6(six) = network
        && six.prefix_len() >= 96
        && let Some(four) = six.addr().to_ipv4_mapped()
    {
        return Ipv4Net::new(four, six.prefix_len() - 96).ok().map(IpNet::V4);
    }
    Some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_cidr_or_single_addresses() {
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ] {
            assert_eq!(network(text).map(|n| n.to_string()).as_deref(), Some(read), "{text}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "host", "10.0.0.0/255.0.0.0", " 10.0.0.1"] {
            assert_eq!(network(text), None, "{text}");
        }
    }

    #[test]
    fn hashes_are_known_by_their_looks() {
        for (secret, hashing) in [
            ("secret", Some(Hashing::Plain)),
            ("", Some(Hashing::Plain)),
            ("with:colon", Some(Hashing::Plain)),
            ("$5 a month", Some(Hashing::Plain)),
            ("{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", Some(Hashing::Sha1)),
            ("{SHA}short=", None),
            ("$apr1$salt$hash", Some(Hashing::Apr1)),
            ("$2y$05$hash", Some(Hashing::Crypt)),
            ("$y$j9T$salt$hash", Some(Hashing::Crypt)),
            ("rqXexS6ZhobKA", Some(Hashing::Crypt)),
            ("$argon2id$v=19$m=65536,t=3,p=4$salt$hash", Some(Hashing::Argon2)),
            ("$argon2id$v=19$t=3,m=1048577,p=4$salt$hash", None),
            ("$argon2i$m=99999999999999999999,t=3,p=4$salt$hash", None),
            ("$new$hash", None),
        ] {
            assert_eq!(Hashing::of(secret).ok(), hashing, "{secret}");
        }
    }

    #[test]
    fn users_are_read_and_what_is_wrong_is_told_without_passwords() {
        let read = users(b"# us\na:b:c\n  d:\n").unwrap();
        let pairs: Vec<_> = read.iter().map(|user| (&*user.name, &*user.secret)).collect();
        assert_eq!(pairs, [("a", "b:c"), ("d", "")]);
        let faults = users(b"secret\n:secret\na:$what$secret\nb:c\n").unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
        assert!(faults.iter().all(|fault| !fault.text.contains("secret")));
    }

    #[test]
    fn every_wrong_line_is_named() {
        let faults = networks(b"# nets\n10.0.0.0/8 # ours\nx\n\n\"::1\"\n10.0.0.0/40\n").unwrap_err();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(shown, [":3: x is no network", ":6: 10.0.0.0/40 is no network"]);
        assert_eq!(networks(b"10.0.0.0/8\n\xff\n").unwrap_err()[0].to_string(), ":2: not UTF-8 text");
        assert_eq!(networks(b""), Ok(Vec::new()));
    }

    /// RFC 4648 10.
    #[test]
    fn base64_of_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn all_but_unreserved_characters_are_encoded() {
        assert_eq!(percent_encoded("a-Z_0.~ /é%".as_bytes()), "a-Z_0.~%20%2F%C3%A9%25");
    }

    #[test]
    fn texts_are_trimmed_and_encoded() {
        let read = text("a b\u{e9} \n".as_bytes(), true).unwrap();
        assert_eq!((&*read.plain, &*read.url, &*read.base64), ("a b\u{e9}", "a%20b%C3%A9", "YSBiw6k="));
        assert!(text(b"a\n", false).is_err());
        assert!(text(b"a\nb", true).is_err());
        assert!(text(b"\xff", true).is_err());
        assert_eq!(text(b"", false).unwrap().plain, "");
    }
}
