//! Writing heads.
//!
//! What is passed on is copied; what concerns one connection only is made here. Lines that stay as they are
//! and lie next to each other are copied in one go. A field can be dropped or given another value by the
//! caller's `edit`; framing and `Connection` are not asked about: they belong to the side that is written to.

use crate::http::fields::{Field, Fields, Known};
use crate::http::head::{Framing, RequestHead, ResponseHead, Version};
use crate::http::limits::CHUNK_HEADER_BYTES_MAX;
use crate::http::octets::{self, NOT_VALUE, OCTETS};

/// What heads are written into. `false` means that nothing was appended for want of room.
pub trait Sink {
    /// Appends all of `bytes` or nothing.
    fn put(&mut self, bytes: &[u8]) -> bool;
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.extend_from_slice(bytes);
        true
    }
}

impl Sink for ounce_mem::Buf {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.push(bytes)
    }
}

/// Ends a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The chunk of size 0; the trailer section and an empty line follow.
pub const LAST_CHUNK: &[u8] = b"0\r\n";
/// The interim response that lets a client send its body (RFC 9110 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The line before a chunk of `len` bytes, and how long that line is.
#[must_use]
pub fn chunk_header(len: usize) -> ([u8; CHUNK_HEADER_BYTES_MAX], usize) {
    let mut line = [0; CHUNK_HEADER_BYTES_MAX];
    let len = len as u64;
    let digits = (64 - (len | 1).leading_zeros() as usize).div_ceil(4);
    for (place, byte) in line[..digits].iter_mut().enumerate() {
        let shift = 4 * (digits - 1 - place);
        *byte = b"0123456789abcdef"[(len >> shift) as usize & 15];
    }
    line[digits..digits + 2].copy_from_slice(b"\r\n");
    (line, digits + 2)
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<'e> {
    /// It is passed on as it is.
    Keep,
    /// It is left out.
    Drop,
    /// It is passed on with this value.
    Value(&'e [u8]),
}

/// A header line that is about to be written.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its name as it will be written.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// What is known of its name.
    pub known: Known,
}

/// An `edit` that leaves everything as it is.
pub fn keep(_: Line<'_>) -> Edit<'static> {
    Edit::Keep
}

/// Writes lines into a sink, and remembers whether all of them found room.
#[derive(Debug)]
pub struct Lines<'s, S: Sink> {
    sink: &'s mut S,
    whole: bool,
}

impl<'s, S: Sink> Lines<'s, S> {
    /// Nothing written yet.
    pub fn new(sink: &'s mut S) -> Lines<'s, S> {
        Lines { sink, whole: true }
    }

    /// Raw bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        // Once something is missing nothing more is written: half a head must not look like a whole one.
        self.whole = self.whole && self.sink.put(bytes);
    }

    /// `Name: value`, unless the name says how long the body is: that is not for rules to say. Control bytes
    /// in the value become spaces (RFC 9110 5.5): values are made from configuration and from parts of
    /// requests, and none of them may begin a line.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        if !matches!(Known::of(name), Known::ContentLength | Known::TransferEncoding | Known::Disguised) {
            self.line(name, value);
        }
    }

    /// `Name: value`, whatever the name.
    pub(crate) fn line(&mut self, name: &[u8], value: &[u8]) {
        self.put(name);
        self.put(b": ");
        if octets::union(value) & NOT_VALUE == 0 {
            self.put(value);
        } else {
            for &byte in value {
                self.put(&[if OCTETS[byte as usize] & NOT_VALUE == 0 { byte } else { b' ' }]);
            }
        }
        self.put(b"\r\n");
    }

    /// `Name: number`.
    pub(crate) fn number(&mut self, name: &[u8], value: u64) {
        let mut digits = [0; 20];
        self.line(name, decimal(value, &mut digits));
    }

    /// A line after it was edited.
    fn edited<'e>(&mut self, line: Line<'_>, edit: &mut impl FnMut(Line<'_>) -> Edit<'e>) {
        match edit(line) {
            Edit::Keep => self.line(line.name, line.value),
            Edit::Drop => {}
            Edit::Value(value) => self.line(line.name, value),
        }
    }

    /// The empty line. Whether everything found room.
    #[must_use]
    pub fn end(mut self) -> bool {
        self.put(b"\r\n");
        self.whole
    }

    /// The empty line, of a sink that always has room.
    pub(crate) fn close(mut self) -> &'s mut S {
        self.put(b"\r\n");
        self.sink
    }
}

/// `n` in decimal digits.
pub(crate) fn decimal(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &digits[at..];
        }
    }
}

/// What is to be done with a field besides editing.
enum Fate {
    /// It is passed on, if `edit` agrees.
    Pass,
    /// It is left out.
    Omit,
    /// It is the Content-Length that is written in its place.
    Length(u64),
}

/// Copies fields, as many in one go as lie next to each other and stay as they are.
struct Copier<'a, 's, S: Sink> {
    bytes: &'a [u8],
    lines: Lines<'s, S>,
    /// Lines that are to be copied and have not been: a range of `bytes`.
    run: (usize, usize),
    /// A length has been written.
    length: bool,
}

impl<S: Sink> Copier<'_, '_, S> {
    fn flush(&mut self) {
        let (start, end) = self.run;
        if start < end {
            self.lines.put(&self.bytes[start..end]);
        }
        self.run = (0, 0);
    }

    fn copy(&mut self, field: &Field) {
        let start = field.name.start as usize;
        let end = field.value.end as usize + 2;
        if !field.is_plain(self.bytes) {
            self.flush();
            self.lines.line(field.name.of(self.bytes), field.value.of(self.bytes));
        } else if self.run.1 == start {
            self.run.1 = end;
        } else {
            self.flush();
            self.run = (start, end);
        }
    }

    fn fields<'e>(
        &mut self,
        fields: &Fields,
        mut fate: impl FnMut(&Field) -> Fate,
        edit: &mut impl FnMut(Line<'_>) -> Edit<'e>,
    ) {
        for field in fields {
            match fate(field) {
                Fate::Omit => {}
                Fate::Length(_) if self.length => {}
                Fate::Length(length) => {
                    self.length = true;
                    // A list, zeros in front, or another body than the one it was sent with: written anew.
                    if field.value.of(self.bytes) == decimal(length, &mut [0; 20]) {
                        self.copy(field);
                    } else {
                        self.flush();
                        self.lines.number(field.name.of(self.bytes), length);
                    }
                }
                Fate::Pass => {
                    let name = field.name.of(self.bytes);
                    match edit(Line { name, value: field.value.of(self.bytes), known: field.known }) {
                        Edit::Keep => self.copy(field),
                        Edit::Drop => {}
                        Edit::Value(value) => {
                            self.flush();
                            self.lines.line(name, value);
                        }
                    }
                }
            }
        }
        self.flush();
    }
}

/// The canned lines about the client (HeaderOption `forwarded`).
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// The client's address; appended to the X-Forwarded-For that came.
    pub client: &'a [u8],
    /// `http` or `https`.
    pub proto: &'a [u8],
    /// The listener's port; none for a UNIX socket.
    pub port: Option<&'a [u8]>,
}

/// How a request is written to a backend.
#[derive(Debug, Clone, Copy)]
pub struct RequestPlan<'a> {
    /// The target: [`RequestHead::target`], or what it was rewritten to.
    pub target: &'a [u8],
    /// The version to speak.
    pub version: Version,
    /// The canned lines; without them the client's own X-Forwarded fields pass.
    pub forwarded: Option<Forwarded<'a>>,
    /// X-SSL lines (HeaderOption `ssl`): name and value.
    pub ssl: &'a [(&'a [u8], &'a [u8])],
    /// The backend is told to close.
    pub close: bool,
}

/// Writes the head of a request for a backend, framed as it came.
///
/// Fields that end at us are left out, and the client's own X-SSL fields always. Each line that is passed on,
/// and each canned one, is shown to `edit`; `more` may add lines at the end. `false` if the sink had no room
/// for the whole head: what it holds then is of no use.
pub fn request<'e, S: Sink>(
    sink: &mut S,
    bytes: &[u8],
    head: &RequestHead,
    plan: &RequestPlan<'_>,
    edit: &mut impl FnMut(Line<'_>) -> Edit<'e>,
    more: impl FnOnce(&mut Lines<'_, S>),
) -> bool {
    let mut lines = Lines::new(sink);
    lines.put(head.method_span.of(bytes));
    lines.put(b" ");
    lines.put(plan.target);
    lines.put(b" ");
    lines.put(plan.version.text().as_bytes());
    lines.put(b"\r\n");
    let mut copier = Copier { bytes, lines, run: (0, 0), length: false };
    let ours = plan.forwarded.is_some();
    let fate = |field: &Field| match field.known {
        _ if field.hop => Fate::Omit,
        Known::XSsl | Known::TransferEncoding => Fate::Omit,
        Known::ContentLength => match head.framing {
            Framing::Length(length) => Fate::Length(length),
            _ => Fate::Omit,
        },
        Known::XForwardedFor | Known::XForwardedProto | Known::XForwardedPort if ours => Fate::Omit,
        _ => Fate::Pass,
    };
    copier.fields(&head.fields, fate, edit);
    let mut lines = copier.lines;
    write_canned(&mut lines, bytes, head, plan, edit);
    if head.framing == Framing::Chunked {
        lines.put(b"Transfer-Encoding: chunked\r\n");
    }
    if head.hop.upgrade {
        lines.put(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if head.hop.te_trailers && plan.version == Version::H11 {
        // RFC 9110 10.1.4: who sends TE names it in Connection.
        lines.put(if plan.close { b"Connection: close, TE\r\n" } else { b"Connection: TE\r\n" });
        lines.put(b"TE: trailers\r\n");
    } else if plan.close {
        lines.put(b"Connection: close\r\n");
    } else if plan.version == Version::H10 {
        lines.put(b"Connection: keep-alive\r\n");
    }
    more(&mut lines);
    lines.end()
}

/// The lines that a request gets from us.
fn write_canned<'e, S: Sink>(
    lines: &mut Lines<'_, S>,
    bytes: &[u8],
    head: &RequestHead,
    plan: &RequestPlan<'_>,
    edit: &mut impl FnMut(Line<'_>) -> Edit<'e>,
) {
    if let (Some(host), false) = (head.host, head.fields.has(Known::Host)) {
        // It was in the target alone (HTTP/1.0, absolute form), which is passed on without it.
        lines.edited(Line { name: b"Host", value: host.of(bytes), known: Known::Host }, edit);
    }
    if let Some(forwarded) = &plan.forwarded {
        write_forwarded(lines, bytes, &head.fields, forwarded, edit);
    }
    for &(name, value) in plan.ssl {
        lines.edited(Line { name, value, known: Known::XSsl }, edit);
    }
}

/// Shows the lines that a request gets from us, for a head that is changed before it is written.
pub(crate) fn canned(
    bytes: &[u8],
    head: &RequestHead,
    plan: &RequestPlan<'_>,
    mut show: impl FnMut(&[u8], &[u8]),
) {
    let mut edit = |line: Line<'_>| {
        show(line.name, line.value);
        Edit::Drop
    };
    write_canned(&mut Lines::new(&mut Vec::new()), bytes, head, plan, &mut edit);
}

/// X-Forwarded-For with all that came before us, and the two others anew.
fn write_forwarded<'e, S: Sink>(
    lines: &mut Lines<'_, S>,
    bytes: &[u8],
    fields: &Fields,
    forwarded: &Forwarded<'_>,
    edit: &mut impl FnMut(Line<'_>) -> Edit<'e>,
) {
    let earlier =
        || fields.all(Known::XForwardedFor).filter(|field| !field.hop).map(|field| field.value.of(bytes));
    let len = earlier().map(|value| value.len() + 2).sum::<usize>() + forwarded.client.len();
    // A list of a dozen proxies fits on the stack.
    let (mut short, mut long) = ([0; 256], Vec::new());
    let list = if len <= short.len() {
        &mut short[..]
    } else {
        long.resize(len, 0);
        long.as_mut_slice()
    };
    let mut end = 0;
    let parts = earlier().filter(|value| !value.is_empty()).flat_map(|value| [value, b", "]);
    for part in parts.chain([forwarded.client]) {
        list[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    let value = &list[..end];
    lines.edited(Line { name: b"X-Forwarded-For", value, known: Known::XForwardedFor }, edit);
    let proto = Line { name: b"X-Forwarded-Proto", value: forwarded.proto, known: Known::XForwardedProto };
    lines.edited(proto, edit);
    if let Some(port) = forwarded.port {
        let port = Line { name: b"X-Forwarded-Port", value: port, known: Known::XForwardedPort };
        lines.edited(port, edit);
    }
}

/// How a response is written to a client.
#[derive(Debug, Clone, Copy)]
pub struct ResponsePlan {
    /// How the client finds the end of the body. With [`Framing::None`], [`ResponseHead::length`] is passed
    /// on as the length that the body would have.
    pub framing: Framing,
    /// The connection closes after this response.
    pub close: bool,
}

/// Writes the head of a response for a client: HTTP/1.1, status and reason as sent, framed as the plan says.
///
/// Fields that end at us are left out; an accepted upgrade is passed on. Each line that is passed on is shown
/// to `edit`; `more` may add lines at the end. `false` if the sink had no room for the whole head.
pub fn response<'e, S: Sink>(
    sink: &mut S,
    bytes: &[u8],
    head: &ResponseHead,
    plan: &ResponsePlan,
    edit: &mut impl FnMut(Line<'_>) -> Edit<'e>,
    more: impl FnOnce(&mut Lines<'_, S>),
) -> bool {
    let mut lines = Lines::new(sink);
    put_status(&mut lines, head.status);
    lines.put(head.reason.of(bytes));
    lines.put(b"\r\n");
    let length = match plan.framing {
        Framing::Length(length) => Some(length),
        Framing::None => head.length,
        Framing::Chunked | Framing::UntilClose => None,
    };
    let mut copier = Copier { bytes, lines, run: (0, 0), length: false };
    let chunked = plan.framing == Framing::Chunked;
    let fate = |field: &Field| match field.known {
        _ if field.hop => Fate::Omit,
        Known::TransferEncoding => Fate::Omit,
        // Without chunks there is no place for what it announces.
        Known::Trailer if !chunked => Fate::Omit,
        Known::ContentLength => length.map_or(Fate::Omit, Fate::Length),
        _ => Fate::Pass,
    };
    copier.fields(&head.fields, fate, edit);
    let Copier { mut lines, length: written, .. } = copier;
    if let Some(length) = length.filter(|_| !written) {
        lines.number(b"Content-Length", length);
    }
    if chunked {
        lines.put(b"Transfer-Encoding: chunked\r\n");
    }
    if head.hop.upgrade {
        lines.put(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if plan.close && !head.is_interim() {
        lines.put(b"Connection: close\r\n");
    }
    more(&mut lines);
    lines.end()
}

/// `HTTP/1.1 NNN `.
pub(crate) fn put_status<S: Sink>(lines: &mut Lines<'_, S>, status: u16) {
    let mut digits = [0; 20];
    lines.put(b"HTTP/1.1 ");
    lines.put(decimal(u64::from(status), &mut digits));
    lines.put(b" ");
}
