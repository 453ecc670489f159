//! Text with back-references and accessors, as redirect URLs and header values have it (pound.md section 6).

use super::captures::Captures;
use super::feed::Cell;
use super::request::Request;
use ounce_conf::listing::Text;
use std::sync::Arc;

/// A text to be expanded for each request.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
    /// The text cannot be expanded at all; requests that need it fail, as they do with Pound.
    fault: Option<ExpandError>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(Box<[u8]>),
    Group { group: usize, depth: usize, offset: usize },
    Tagged { group: usize, tag: Box<[u8]>, offset: usize },
    Url,
    Path,
    Query,
    Param(Box<[u8]>),
    Header(Box<str>),
    Host,
    Port,
    RemoteIp,
    Originator,
    User,
    Watched { feed: usize, encoding: Encoding, text: Arc<Cell<Text>> },
}

/// How a watched text is put in.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    None,
    Url,
    Base64,
}

/// Why a text could not be expanded. The request is answered 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandError {
    /// Byte of the text, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub why: &'static str,
}

impl std::fmt::Display for ExpandError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} at byte {} of the text to expand", self.why, self.offset + 1)
    }
}

impl Template {
    /// Reads a text. One that cannot be expanded is kept, and says so when it is used: files that older
    /// versions took verbatim still load.
    pub fn parse(text: &str) -> Template {
        let mut reader = Reader { text: text.as_bytes(), at: 0, parts: Vec::new(), literal: Vec::new() };
        let fault = reader.read().err();
        reader.flush();
        Template { parts: reader.parts, fault }
    }

    /// Connects what stands for watched files with their contents.
    pub(crate) fn connect(&mut self, mut text_of: impl FnMut(usize) -> Option<Arc<Cell<Text>>>) {
        for part in &mut self.parts {
            if let Part::Watched { feed, text, .. } = part
                && let Some(found) = text_of(*feed)
            {
                *text = found;
            }
        }
    }

    /// Why this text can never be expanded, if so.
    pub fn fault(&self) -> Option<&ExpandError> {
        self.fault.as_ref()
    }

    /// Whether anything in it depends on the request.
    pub fn has_expansions(&self) -> bool {
        self.fault.is_some() || self.parts.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// Whether it refers to groups of what selected the service.
    pub fn has_groups(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Group { .. } | Part::Tagged { .. }))
    }

    /// The header fields that it reads.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Header(name) => Some(&**name),
            Part::Host | Part::Port => Some("Host"),
            _ => None,
        })
    }

    /// Appends the expansion to `out`.
    ///
    /// # Errors
    /// When the text is malformed or refers to a group that no match had. `out` then holds a part of it.
    pub fn expand(
        &self,
        request: &Request<'_>,
        captures: &Captures,
        out: &mut Vec<u8>,
    ) -> Result<(), ExpandError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group { group, depth, offset } => match captures.group(*depth, *group) {
                    Some(text) => out.extend_from_slice(text),
                    None => return Err(ExpandError { offset: *offset, why: "no such group" }),
                },
                Part::Tagged { group, tag, offset } => match captures.tagged(tag, *group) {
                    Some(text) => out.extend_from_slice(text),
                    None => return Err(ExpandError { offset: *offset, why: "no such group" }),
                },
                Part::Url => out.extend_from_slice(request.target()),
                Part::Path => out.extend_from_slice(request.path()),
                Part::Query => out.extend_from_slice(request.query().unwrap_or_default()),
                Part::Param(name) => out.extend_from_slice(request.parameter(name).unwrap_or_default()),
                Part::Header(name) => out.extend_from_slice(request.header(name).unwrap_or_default()),
                Part::Host => {
                    out.extend_from_slice(request.host().map_or(&[][..], |host| split_port(host).0));
                }
                Part::Port => {
                    out.extend_from_slice(request.host().map_or(&[][..], |host| split_port(host).1));
                }
                Part::RemoteIp => {
                    if let Some(address) = request.peer.ip() {
                        out.extend_from_slice(address.to_string().as_bytes());
                    }
                }
                Part::Watched { encoding, text, .. } => {
                    let text = text.get();
                    out.extend_from_slice(match encoding {
                        Encoding::None => text.plain.as_bytes(),
                        Encoding::Url => text.url.as_bytes(),
                        Encoding::Base64 => text.base64.as_bytes(),
                    });
                }
                Part::User => out.extend(request.basic_name().unwrap_or_default()),
                Part::Originator => {
                    if let Some(address) = request.originator() {
                        out.extend_from_slice(address.to_string().as_bytes());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Splits a Host value into the name (IPv6 in its brackets) and the port with its colon, if any.
pub(crate) fn split_port(host: &[u8]) -> (&[u8], &[u8]) {
    let name_end = if host.first() == Some(&b'[') {
        memchr::memchr(b']', host).map_or(host.len(), |close| close + 1)
    } else {
        memchr::memchr(b':', host).unwrap_or(host.len())
    };
    host.split_at(name_end)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    parts: Vec<Part>,
    literal: Vec<u8>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), ExpandError> {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'$' => self.dollar()?,
                b'%' => self.percent()?,
                _ => self.copy(1),
            }
        }
        Ok(())
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn copy(&mut self, length: usize) {
        self.literal.extend_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.literal).into()));
        }
    }

    fn dollar(&mut self) -> Result<(), ExpandError> {
        match self.byte(1) {
            Some(escaped @ (b'$' | b'%')) => {
                self.literal.push(escaped);
                self.at += 2;
                Ok(())
            }
            Some(b'0'..=b'9' | b'{') => self.group(0),
            // Not an expansion: texts of older versions hold plain dollars.
            _ => {
                self.copy(1);
                Ok(())
            }
        }
    }

    fn percent(&mut self) -> Result<(), ExpandError> {
        let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        if hex(self.byte(1)) && hex(self.byte(2)) {
            self.copy(3);
            return Ok(());
        }
        match self.byte(1) {
            Some(b'0'..=b'9' | b'{') => self.group(1),
            Some(b'[') => self.accessor(),
            _ => Err(ExpandError { offset: self.at, why: "stray %" }),
        }
    }

    /// `$N`, `$N(M)`, `$N(TAG)`, the same in braces, and the same with `%`, where the M-th latest match counts
    /// from `base`.
    fn group(&mut self, base: usize) -> Result<(), ExpandError> {
        let offset = self.at;
        self.at += 1;
        let braced = self.byte(0) == Some(b'{');
        self.at += usize::from(braced);
        let group = self.number().ok_or(ExpandError { offset, why: "expected the number of a group" })?;
        let mut depth = base;
        let tag = self.tag();
        if let Some(tag) = &tag {
            self.at += tag.len() + 1;
            if self.byte(0) != Some(b')') {
                return Err(ExpandError { offset, why: "unclosed parenthesis" });
            }
            self.at += 1;
        }
        if self.byte(0) == Some(b'(') && (braced || self.byte(1).is_some_and(|byte| byte.is_ascii_digit())) {
            self.at += 1;
            depth += self.number().ok_or(ExpandError { offset, why: "expected the number of a match" })?;
            if self.byte(0) != Some(b')') {
                return Err(ExpandError { offset, why: "unclosed parenthesis" });
            }
            self.at += 1;
        }
        if braced {
            if self.byte(0) != Some(b'}') {
                return Err(ExpandError { offset, why: "unclosed brace" });
            }
            self.at += 1;
        }
        self.flush();
        self.parts.push(match tag {
            Some(tag) => Part::Tagged { group, tag, offset },
            None => Part::Group { group, depth, offset },
        });
        Ok(())
    }

    /// The tag in the parenthesis that comes next, if it holds one.
    fn tag(&self) -> Option<Box<[u8]>> {
        let (b'(', first) = (self.byte(0)?, self.byte(1)?) else { return None };
        let rest = &self.text[self.at + 1..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        first.is_ascii_alphabetic().then(|| rest[..length].into())
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&self.text[self.at..self.at + digits]).ok()?;
        self.at += digits;
        text.parse().ok()
    }

    fn accessor(&mut self) -> Result<(), ExpandError> {
        let rest = &self.text[self.at..];
        let Some(length) = memchr::memchr(b']', rest) else {
            return Err(ExpandError { offset: self.at, why: "unclosed bracket" });
        };
        let inner = String::from_utf8_lossy(&rest[2..length]).into_owned();
        let (word, argument) =
            inner.split_once(' ').map_or((inner.as_str(), ""), |(word, rest)| (word, rest.trim()));
        let part = match (word, argument) {
            ("url", "") => Part::Url,
            ("path", "") => Part::Path,
            ("query", "") => Part::Query,
            ("host", "") => Part::Host,
            ("port", "") => Part::Port,
            ("remoteip", "" | "0") => Part::RemoteIp,
            ("remoteip", "1") => Part::Originator,
            ("user", "") => Part::User,
            ("feed", which) => match watched(which) {
                Some(part) => part,
                None => return Err(ExpandError { offset: self.at, why: "no such file" }),
            },
            ("param", name) if !name.is_empty() => Part::Param(name.as_bytes().into()),
            ("header", name) if !name.is_empty() => Part::Header(name.into()),
            _ => {
                self.copy(length + 1);
                return Ok(());
            }
        };
        self.flush();
        self.parts.push(part);
        self.at += length + 1;
        Ok(())
    }
}

/// What is in a file, by its place among the feeds and its encoding; nothing as long as it is not connected.
fn watched(which: &str) -> Option<Part> {
    let (feed, encoding) = which.split_once(' ')?;
    let encoding = match encoding {
        "none" => Encoding::None,
        "url" => Encoding::Url,
        "base64" => Encoding::Base64,
        _ => return None,
    };
    let nothing = Text { plain: String::new(), url: String::new(), base64: String::new() };
    Some(Part::Watched { feed: feed.parse().ok()?, encoding, text: Cell::new(nothing) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::matcher::Matcher;
    use crate::route::pattern::{Groups, Pattern};
    use crate::route::sample::{Sample, posix};
    use ounce_conf::model::Pattern as Written;

    fn request() -> Sample {
        Sample::get("/a/b?x=1&y=%202", &["Host: www.example.com:8080", "X-Color: red", "Empty:"])
    }

    fn captures(sample: &Sample) -> Captures {
        let matchers = [("^/(.)/", Some("first")), ("(b)(z)?", None)].map(|(text, tag)| {
            let written = Written { tag: tag.map(str::to_owned), ..posix(text) };
            Matcher::Path(Pattern::compile(&written, Groups::Wanted).expect("a good pattern"))
        });
        let mut captures = Captures::new();
        for matcher in &matchers {
            assert!(matcher.holds(&sample.request(), Some(&mut captures)));
        }
        captures
    }

    fn expand(text: &str) -> Result<String, ExpandError> {
        let sample = request();
        let captures = captures(&sample);
        let mut out = Vec::new();
        Template::parse(text).expand(&sample.request(), &captures, &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn expansions() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("$1", "b"),
            ("$0-$1", "b-b"),
            ("$2", ""),
            ("$1(1)", "a"),
            ("${1}0", "b0"),
            ("${1(1)}0", "a0"),
            ("%1", "a"),
            ("%0x", "/a/x"),
            ("$1(", "b("),
            ("$0(first)${1(first)}", "/a/a"),
            ("$$1", "$1"),
            ("$%", "%"),
            ("US$ 5", "US$ 5"),
            ("cost $", "cost $"),
            ("%20%2f%aB", "%20%2f%aB"),
            ("%[url]", "/a/b?x=1&y=%202"),
            ("%[path]|%[query]", "/a/b|x=1&y=%202"),
            ("%[param y]|%[param z]", "%202|"),
            ("%[header x-color]|%[header none]|%[header empty]", "red||"),
            ("%[host]%[port]", "www.example.com:8080"),
            ("%[remoteip]|%[remoteip 1]", "192.0.2.7|192.0.2.7"),
            ("%[unknown thing]", "%[unknown thing]"),
            ("%[]", "%[]"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_name_their_place() {
        for (text, offset) in [
            ("100%", 3),
            ("a%zz", 1),
            ("x%[url", 1),
            ("ab${1", 2),
            ("ab${x}", 2),
            ("$1(2", 0),
            ("$1(first", 0),
            ("a $1(none)", 2),
            ("a $3", 2),
            ("$1(2)", 0),
            ("$99999999999999999999999", 0),
        ] {
            assert_eq!(expand(text).expect_err(text).offset, offset, "{text}");
        }
    }

    #[test]
    fn what_a_text_depends_on_is_known_beforehand() {
        assert!(!Template::parse("http://h/%20$$").has_expansions());
        assert!(Template::parse("http://h/%[path]").has_expansions());
        assert!(!Template::parse("http://h/%[path]").has_groups());
        assert!(Template::parse("http://h/$1").has_groups());
        assert!(Template::parse("100%").fault().is_some());
    }

    #[test]
    fn ports_are_split_from_names_and_addresses() {
        for (host, name, port) in [
            ("a.b:80", "a.b", ":80"),
            ("a.b", "a.b", ""),
            ("[::1]:80", "[::1]", ":80"),
            ("[::1]", "[::1]", ""),
            ("[::1", "[::1", ""),
            (":80", "", ":80"),
            ("", "", ""),
        ] {
            assert_eq!(split_port(host.as_bytes()), (name.as_bytes(), port.as_bytes()), "{host}");
        }
    }
}
