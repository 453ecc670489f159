//! What clients and origins of the simulation say to each other, written and read without any code of the product.

use std::collections::BTreeMap;

/// What an origin does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Answers with a Content-Length.
    Length,
    /// Answers in chunks.
    Chunked,
    /// Answers in chunks, with a trailer section.
    Trailers,
    /// Answers without length and closes.
    UntilClose,
    /// Answers as an HTTP/1.0 server.
    Old,
    /// Sends interim responses first.
    Interim,
    /// Answers as soon as it has the head.
    Early,
    /// Answers and closes although it need not.
    ThenClose,
    /// Breaks the connection before it answers; answers at the second try.
    DieFirst,
    /// Closes in the middle of its answer's head; answers at the second try.
    DieInHead,
    /// Closes in the middle of its answer's body.
    DieInBody,
}

/// What an origin does that keeps to the rules; the last one says nothing of its closing, so only what can be sent twice
/// may follow it on its connection.
pub(crate) const SOUND: [Deed; 8] = [
    Deed::Length,
    Deed::Chunked,
    Deed::Trailers,
    Deed::UntilClose,
    Deed::Old,
    Deed::Interim,
    Deed::Early,
    Deed::ThenClose,
];

pub(crate) const ANY: [Deed; 11] = [
    Deed::Length,
    Deed::Chunked,
    Deed::Trailers,
    Deed::UntilClose,
    Deed::Old,
    Deed::Interim,
    Deed::Early,
    Deed::ThenClose,
    Deed::DieFirst,
    Deed::DieInHead,
    Deed::DieInBody,
];

impl Deed {
    fn name(self) -> String {
        format!("{self:?}")
    }

    /// Offers of a tunnel are accepted; the others answer them as any request.
    pub(crate) fn accepts_upgrade(self) -> bool {
        matches!(self, Deed::Length | Deed::Chunked | Deed::Trailers | Deed::Early | Deed::DieInBody)
    }

    fn of(name: &str) -> Deed {
        *ANY.iter().find(|deed| deed.name() == name).unwrap_or_else(|| panic!("no deed {name}"))
    }
}

/// One request of a script.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) id: u64,
    pub(crate) method: &'static str,
    pub(crate) body: usize,
    pub(crate) chunked: bool,
    pub(crate) old: bool,
    pub(crate) last: bool,
    /// Its body waits for an invitation (RFC 9110 10.1.1).
    pub(crate) expect: bool,
    /// It offers to make the connection a tunnel; through it go as many bytes as `answer` says, and come back.
    pub(crate) upgrade: bool,
    pub(crate) answer: usize,
    pub(crate) deed: Deed,
}

impl Ask {
    /// The request's head and body as they go over the wire; `cut` draws where chunks end.
    pub(crate) fn wire(&self, mut cut: impl FnMut(usize) -> usize) -> (Vec<u8>, Vec<u8>) {
        let version = if self.old { "1.0" } else { "1.1" };
        let path = format!("/{}/{}/{}", self.id, self.answer, self.deed.name());
        let mut wire = format!("{} {path} HTTP/{version}\r\nHost: sim\r\nX-Id: {}\r\n", self.method, self.id);
        if self.upgrade {
            wire += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        } else if self.last {
            wire += "Connection: close\r\n";
        }
        if self.expect {
            wire += "Expect: 100-continue\r\n";
        }
        let mut body = pattern(self.id, self.body);
        if self.chunked {
            wire += "Transfer-Encoding: chunked\r\n";
            let mut framed = Vec::new();
            chunks(&body, &mut framed, &mut cut, "");
            body = framed;
        } else if self.method == "POST" || self.method == "PUT" {
            wire += &format!("Content-Length: {}\r\n", self.body);
        }
        ((wire + "\r\n").into_bytes(), body)
    }

    pub(crate) fn idempotent(&self) -> bool {
        self.method != "POST"
    }
}

/// Bytes that belong to one request and no other.
pub(crate) fn pattern(id: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (id.wrapping_mul(0x9E37_79B9) ^ at.wrapping_mul(31) ^ (at >> 8)) as u8).collect()
}

/// Writes a body in chunks.
pub(crate) fn chunks(body: &[u8], wire: &mut Vec<u8>, cut: &mut impl FnMut(usize) -> usize, trailers: &str) {
    let mut rest = body;
    while !rest.is_empty() {
        let part = cut(rest.len()).clamp(1, rest.len());
        wire.extend(format!("{part:x}\r\n").bytes());
        wire.extend(&rest[..part]);
        wire.extend(b"\r\n");
        rest = &rest[part..];
    }
    wire.extend(format!("0\r\n{trailers}\r\n").bytes());
}

/// A head, taken apart by splitting at colons.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) len: usize,
}

impl Head {
    /// The head at the front of `bytes`, if it is whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<Head> {
        let len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = String::from_utf8(bytes[..len - 4].to_vec()).expect("heads here are ASCII");
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let mut fields = BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header line: {line:?}"));
            let twice = fields.insert(name.to_ascii_lowercase(), value.to_owned());
            assert!(twice.is_none(), "{name} came twice in {text:?}");
        }
        Some(Head { first, fields, len })
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        self.first
            .split(' ')
            .nth(1)
            .expect("a status line has a status")
            .parse()
            .expect("a status is a number")
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The request's id, answer length and deed, from its path.
    pub(crate) fn path(&self) -> (u64, usize, Deed) {
        let path = self.first.split(' ').nth(1).expect("a request line has a target");
        let parts: Vec<&str> = path.split('/').collect();
        (parts[1].parse().expect("id"), parts[2].parse().expect("length"), Deed::of(parts[3]))
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Reads one body as it comes in.
#[derive(Debug)]
pub(crate) struct Reader {
    frame: Frame,
    body: Vec<u8>,
    /// How far chunks have been taken apart.
    at: usize,
    in_trailers: bool,
}

impl Reader {
    pub(crate) fn new(frame: Frame) -> Reader {
        Reader { frame, body: Vec::new(), at: 0, in_trailers: false }
    }

    pub(crate) fn frame(&self) -> Frame {
        self.frame
    }

    /// The body and how many of `bytes`, which begin with it, it takes, once it is whole. `closed`: no more will come.
    pub(crate) fn read(&mut self, bytes: &[u8], closed: bool) -> Option<(Vec<u8>, usize)> {
        match self.frame {
            Frame::Length(len) => (bytes.len() >= len).then(|| (bytes[..len].to_vec(), len)),
            Frame::UntilClose => closed.then(|| (bytes.to_vec(), bytes.len())),
            Frame::Chunked => self.chunks(bytes),
        }
    }

    fn chunks(&mut self, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        loop {
            let end = self.at + bytes[self.at..].windows(2).position(|two| two == b"\r\n")?;
            let next = end + 2;
            if self.in_trailers {
                let empty = end == self.at;
                self.at = next;
                if empty {
                    return Some((std::mem::take(&mut self.body), next));
                }
                continue;
            }
            let size = std::str::from_utf8(&bytes[self.at..end]).expect("chunk sizes are ASCII");
            let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("chunk size {size:?}"));
            if size == 0 {
                self.in_trailers = true;
                self.at = next;
                continue;
            }
            let chunk = bytes.get(next..next + size + 2)?;
            assert_eq!(&chunk[size..], b"\r\n", "a chunk ends with a line end");
            self.body.extend(&chunk[..size]);
            self.at = next + size + 2;
        }
    }
}
