//! The field table of a head: names and values as ranges, and which of the names we know.

/// A range of a head's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes it stands for; nothing if `bytes` are not those it was made from and too few.
    #[inline]
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Number of bytes.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether it stands for nothing.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// The span of `part`, a slice of `whole`. Of a foreign slice it is a span that stands for nothing in
    /// `whole`.
    #[inline]
    pub(crate) fn within(whole: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize) as u32;
        Span { start, end: start.wrapping_add(part.len() as u32) }
    }
}

macro_rules! known {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)+) => {
        /// A field name that something in the proxy cares about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            /// Any other name.
            Other,
            $($(#[$doc])* $variant,)+
        }

        impl Known {
            /// The field's name in its usual spelling; empty for [`Known::Other`].
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    Known::Other => "",
                    $(Known::$variant => $name,)+
                }
            }

            #[cfg(test)]
            const ALL: &'static [Known] = &[$(Known::$variant,)+];
        }
    };
}

known! {
    /// `Host`.
    Host "Host",
    /// `Content-Length`.
    ContentLength "Content-Length",
    /// `Transfer-Encoding`.
    TransferEncoding "Transfer-Encoding",
    /// `Content_Length` or `Transfer_Encoding`: for us a name like any other, for a backend that maps names
    /// to variables (CGI and its heirs) the body's length.
    Disguised "Content_Length",
    /// `Connection`.
    Connection "Connection",
    /// `Keep-Alive`.
    KeepAlive "Keep-Alive",
    /// `Proxy-Connection`.
    ProxyConnection "Proxy-Connection",
    /// `TE`.
    Te "TE",
    /// `Trailer`.
    Trailer "Trailer",
    /// `Upgrade`.
    Upgrade "Upgrade",
    /// `Expect`.
    Expect "Expect",
    /// `Max-Forwards`.
    MaxForwards "Max-Forwards",
    /// `Cookie`.
    Cookie "Cookie",
    /// `Set-Cookie`.
    SetCookie "Set-Cookie",
    /// `Authorization`.
    Authorization "Authorization",
    /// `Proxy-Authenticate`.
    ProxyAuthenticate "Proxy-Authenticate",
    /// `Proxy-Authorization`.
    ProxyAuthorization "Proxy-Authorization",
    /// `WWW-Authenticate`.
    WwwAuthenticate "WWW-Authenticate",
    /// `X-Forwarded-For`, also with underscores.
    XForwardedFor "X-Forwarded-For",
    /// `X-Forwarded-Proto`, also with underscores.
    XForwardedProto "X-Forwarded-Proto",
    /// `X-Forwarded-Port`, also with underscores.
    XForwardedPort "X-Forwarded-Port",
    /// Any `X-SSL-*`, also with underscores: those are ours alone to send.
    XSsl "X-SSL-",
    /// `Location`.
    Location "Location",
    /// `Content-Location`.
    ContentLocation "Content-Location",
    /// `Content-Type`.
    ContentType "Content-Type",
    /// `Content-Encoding`.
    ContentEncoding "Content-Encoding",
    /// `Content-Range`.
    ContentRange "Content-Range",
    /// `Cache-Control`.
    CacheControl "Cache-Control",
    /// `Destination`.
    Destination "Destination",
    /// `User-Agent`.
    UserAgent "User-Agent",
    /// `Referer`.
    Referer "Referer",
    /// `Date`.
    Date "Date",
    /// `Server`.
    Server "Server",
    /// `Sec-WebSocket-Key`.
    SecWebSocketKey "Sec-WebSocket-Key",
    /// `Sec-WebSocket-Accept`.
    SecWebSocketAccept "Sec-WebSocket-Accept",
}

impl Known {
    /// Recognises a field name, in any case. Length and first letter leave one or two candidates.
    #[must_use]
    pub fn of(name: &[u8]) -> Known {
        use Known as K;
        let Some(&first) = name.first() else { return K::Other };
        let is = |lower: &[u8], known: K| if name.eq_ignore_ascii_case(lower) { known } else { K::Other };
        match (name.len(), first | 0x20) {
            (2, b't') => is(b"te", K::Te),
            (4, b'd') => is(b"date", K::Date),
            (4, b'h') => is(b"host", K::Host),
            (6, b'c') => is(b"cookie", K::Cookie),
            (6, b'e') => is(b"expect", K::Expect),
            (6, b's') => is(b"server", K::Server),
            (7, b'r') => is(b"referer", K::Referer),
            (7, b't') => is(b"trailer", K::Trailer),
            (7, b'u') => is(b"upgrade", K::Upgrade),
            (8, b'l') => is(b"location", K::Location),
            (10, b'c') => is(b"connection", K::Connection),
            (10, b'k') => is(b"keep-alive", K::KeepAlive),
            (10, b's') => is(b"set-cookie", K::SetCookie),
            (10, b'u') => is(b"user-agent", K::UserAgent),
            (11, b'd') => is(b"destination", K::Destination),
            (12, b'c') => is(b"content-type", K::ContentType),
            (12, b'm') => is(b"max-forwards", K::MaxForwards),
            (13, b'a') => is(b"authorization", K::Authorization),
            (13, b'c') => match is(b"cache-control", K::CacheControl) {
                K::Other => is(b"content-range", K::ContentRange),
                found => found,
            },
            (14, b'c') => framing(name, b"content-length", K::ContentLength),
            (16, b'c') => match is(b"content-encoding", K::ContentEncoding) {
                K::Other => is(b"content-location", K::ContentLocation),
                found => found,
            },
            (16, b'p') => is(b"proxy-connection", K::ProxyConnection),
            (16, b'w') => is(b"www-authenticate", K::WwwAuthenticate),
            (17, b's') => is(b"sec-websocket-key", K::SecWebSocketKey),
            (17, b't') => framing(name, b"transfer-encoding", K::TransferEncoding),
            (18, b'p') => is(b"proxy-authenticate", K::ProxyAuthenticate),
            (19, b'p') => is(b"proxy-authorization", K::ProxyAuthorization),
            (20, b's') => is(b"sec-websocket-accept", K::SecWebSocketAccept),
            (6.., b'x') => ours(name),
            _ => K::Other,
        }
    }

    /// Its bit in a set of known names.
    #[inline]
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A framing field, or one that only looks like it.
fn framing(name: &[u8], lower: &[u8], known: Known) -> Known {
    if name.eq_ignore_ascii_case(lower) {
        known
    } else if same_variable(name, lower) {
        Known::Disguised
    } else {
        Known::Other
    }
}

/// The fields that tell a backend what only we can know. A backend that maps names to variables cannot tell
/// `-` from `_`, so neither do we: what we overwrite or remove must not come back spelt differently.
#[inline]
fn ours(name: &[u8]) -> Known {
    let prefix = name.get(..6).unwrap_or_default();
    if same_variable(prefix, b"x-ssl-") {
        return Known::XSsl;
    }
    match name.len() {
        15 if same_variable(name, b"x-forwarded-for") => Known::XForwardedFor,
        16 if same_variable(name, b"x-forwarded-port") => Known::XForwardedPort,
        17 if same_variable(name, b"x-forwarded-proto") => Known::XForwardedProto,
        _ => Known::Other,
    }
}

/// Equal in any case, where `_` is as good as `-`. `lower` is in lower case and has no underscore.
fn same_variable(name: &[u8], lower: &[u8]) -> bool {
    name.len() == lower.len()
        && name.iter().zip(lower).all(|(&a, &b)| a.to_ascii_lowercase() == b || (a == b'_' && b == b'-'))
}

/// A header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name as sent.
    pub name: Span,
    /// Its value without the white space around it.
    pub value: Span,
    /// What we know of the name.
    pub known: Known,
    /// It ends at us (RFC 9110 7.6.1): a hop-by-hop field, or one that the Connection field names.
    pub hop: bool,
}

impl Field {
    /// Whether its line can be passed on byte for byte: no space before the colon, nothing behind the value,
    /// CRLF.
    #[inline]
    pub(crate) fn is_plain(&self, bytes: &[u8]) -> bool {
        let end = self.value.end as usize;
        bytes.get(end..end + 2) == Some(b"\r\n") && bytes.get(self.name.end as usize) == Some(&b':')
    }
}

/// The fields of a head in their order. Reusable: [`Fields::clear`] keeps the memory.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    list: Vec<Field>,
    /// INVARIANT: the union of `known.bit()` over the list.
    present: u64,
    /// Fields were changed: their lines no longer lie one behind the other in the bytes of the head.
    scattered: bool,
}

impl Fields {
    /// Forgets all fields.
    pub fn clear(&mut self) {
        self.list.clear();
        self.present = 0;
        self.scattered = false;
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a field of this name is there.
    #[inline]
    #[must_use]
    pub fn has(&self, known: Known) -> bool {
        self.present & known.bit() != 0
    }

    /// Whether one of a set of [`Known::bit`]s is there.
    #[inline]
    pub(crate) fn has_any(&self, bits: u64) -> bool {
        self.present & bits != 0
    }

    /// The first field of this name.
    #[must_use]
    pub fn first(&self, known: Known) -> Option<&Field> {
        if self.has(known) { self.list.iter().find(|field| field.known == known) } else { None }
    }

    /// All fields of this name, in their order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &Field> {
        let list = if self.has(known) { self.list.as_slice() } else { &[] };
        list.iter().filter(move |field| field.known == known)
    }

    /// The first field of this name, in any case; `bytes` are those of the head.
    #[must_use]
    pub fn find(&self, bytes: &[u8], name: &str) -> Option<&Field> {
        self.list.iter().find(|field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// All fields in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.list.iter()
    }

    /// Adds fields, with room for all of them made at once.
    #[inline]
    pub(crate) fn extend(&mut self, fields: impl Iterator<Item = Field>) {
        let present = &mut self.present;
        self.list.extend(fields.inspect(|field| *present |= field.known.bit()));
    }

    /// Whether fields were changed, so that their lines no longer lie one behind the other.
    #[inline]
    pub(crate) fn is_scattered(&self) -> bool {
        self.scattered
    }

    /// Adds a field, or puts it in the place of another.
    pub(crate) fn put(&mut self, place: Option<usize>, field: Field) {
        match place.and_then(|place| self.list.get_mut(place)) {
            Some(old) => *old = field,
            None => self.list.push(field),
        }
        self.changed();
    }

    /// Leaves out the fields that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Field) -> bool) {
        self.list.retain(keep);
        self.changed();
    }

    fn changed(&mut self) {
        self.present = self.list.iter().fold(0, |bits, field| bits | field.known.bit());
        self.scattered = true;
    }

    /// All fields, for marking.
    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Field> {
        self.list.iter_mut()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = &'a Field;
    type IntoIter = std::slice::Iter<'a, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_recognised_in_any_case() {
        for &known in Known::ALL {
            let name = if known == Known::XSsl { "X-SSL-Subject" } else { known.name() };
            assert_eq!(Known::of(name.as_bytes()), known, "{name}");
            assert_eq!(Known::of(name.to_ascii_uppercase().as_bytes()), known, "{name}");
            assert_eq!(Known::of(name.to_ascii_lowercase().as_bytes()), known, "{name}");
            let mut other = name.as_bytes().to_vec();
            other[1] ^= 0x01;
            assert_eq!(Known::of(&other), Known::Other, "{name} changed by one letter");
        }
        assert!(Known::ALL.len() < 64, "the presence set has 64 bits");
    }

    #[test]
    fn underscores_do_not_hide_what_is_ours() {
        assert_eq!(Known::of(b"X_SSL_Subject"), Known::XSsl);
        assert_eq!(Known::of(b"x-ssl_cipher"), Known::XSsl);
        assert_eq!(Known::of(b"X_Forwarded-For"), Known::XForwardedFor);
        assert_eq!(Known::of(b"Transfer_Encoding"), Known::Disguised);
        assert_eq!(Known::of(b"content_length"), Known::Disguised);
        assert_eq!(Known::of(b"X-SSL"), Known::Other);
        assert_eq!(Known::of(b""), Known::Other);
    }

    #[test]
    fn a_span_of_other_bytes_stands_for_nothing() {
        assert_eq!(Span { start: 5, end: 9 }.of(b"abc"), b"");
        assert_eq!(Span { start: 9, end: 5 }.of(b"abcdefghijkl"), b"");
        assert_eq!(Span { start: 1, end: 3 }.of(b"abc"), b"bc");
    }

    #[test]
    fn clearing_forgets_presence() {
        let mut fields = Fields::default();
        let span = Span { start: 0, end: 4 };
        fields.extend([Field { name: span, value: span, known: Known::Host, hop: false }].into_iter());
        assert!(fields.has(Known::Host) && !fields.has(Known::Te));
        assert_eq!(fields.find(b"hOsT", "HOST").map(|field| field.known), Some(Known::Host));
        fields.clear();
        assert!(!fields.has(Known::Host) && fields.first(Known::Host).is_none());
    }
}
