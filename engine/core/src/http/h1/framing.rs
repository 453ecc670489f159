//! How long a body is (RFC 9112 6): the only place that reads Content-Length and Transfer-Encoding.
//!
//! Request smuggling is two parties of one mind about everything but this. So no conflict is resolved:
//! whatever could be read in two ways is refused, and what is passed on is written anew from the one way we
//! read it.

use crate::http::fields::{Fields, Known};
use crate::http::head::{Framing, Refusal, ResponseFault, Version};
use crate::http::limits::CONTENT_LENGTH_MAX;
use crate::http::octets;
use crate::http::rules::ResponseRules;

/// What the Transfer-Encoding fields list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codings {
    /// `chunked` and nothing else.
    Chunked,
    /// Well-formed codings that we do not decode, or `chunked` on top of them.
    Unknown,
    /// Not a list of codings, or `chunked` where it must not be.
    Malformed(&'static str),
}

/// The framing of a request.
///
/// # Errors
/// 400 for everything malformed or ambiguous, 501 for codings that we do not decode.
pub(crate) fn request(bytes: &[u8], fields: &Fields, version: Version) -> Result<Framing, Refusal> {
    let encoded = fields.has(Known::TransferEncoding);
    if !fields.has(Known::ContentLength) {
        if !encoded {
            // RFC 9112 6.3, 7: a request with neither has no body.
            return Ok(Framing::None);
        }
        if version == Version::H10 {
            // RFC 9112 6.1: faulty framing, even where the coding is understood.
            return Err(Refusal::bad("Transfer-Encoding in HTTP/1.0"));
        }
        return match codings(bytes, fields) {
            Codings::Chunked => Ok(Framing::Chunked),
            // RFC 9112 6.1: 501 for a coding that is not understood. `gzip, chunked` could be dechunked and
            // passed on, but whether the backend unpacks the rest before it looks at it is not ours to know;
            // Pound's own table (accepted) is left here.
            Codings::Unknown => Err(Refusal::new(501, "Transfer-Encoding other than chunked")),
            Codings::Malformed(why) => Err(Refusal::bad(why)),
        };
    }
    if encoded {
        // RFC 9112 6.3, 3: both lengths present is smuggling; refuse, don't choose.
        return Err(Refusal::bad("Content-Length and Transfer-Encoding"));
    }
    let mut lengths = fields.all(Known::ContentLength);
    let first = lengths.next().and_then(|field| length(field.value.of(bytes)));
    if lengths.next().is_some() {
        // RFC 9112 6.3, 5 lets equal ones be merged; a client that needs it does not exist.
        return Err(Refusal::bad("two Content-Length"));
    }
    first.map(Framing::Length).ok_or(Refusal::bad("Content-Length is not a number"))
}

/// The framing of a response, and what it says about the rest of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) framing: Framing,
    /// The Content-Length that may be passed on although there is no body (HEAD, 304), or that frames the
    /// body.
    pub(crate) length: Option<u64>,
    /// Where the next response would begin is unknown: the connection must not be used again.
    pub(crate) last: bool,
}

/// The framing of a response, by status, by the request's method, and only then by its fields (RFC 9112 6.3).
pub(crate) fn response(
    bytes: &[u8],
    fields: &Fields,
    version: Version,
    status: u16,
    rules: &ResponseRules,
) -> Result<Answer, ResponseFault> {
    let fault = |why| Err(ResponseFault { why });
    let encoded = fields.has(Known::TransferEncoding);
    if encoded && version == Version::H10 {
        return fault("Transfer-Encoding in HTTP/1.0");
    }
    if encoded && fields.has(Known::ContentLength) {
        return fault("Content-Length and Transfer-Encoding");
    }
    let length = agreed_length(bytes, fields)?;
    if encoded {
        match codings(bytes, fields) {
            Codings::Chunked => {}
            // We never say that we would take anything else (TE), so nothing else may come.
            Codings::Unknown => return fault("Transfer-Encoding other than chunked"),
            Codings::Malformed(why) => return fault(why),
        }
    }
    let bodiless = |length| Ok(Answer { framing: Framing::None, length, last: false });
    match status {
        // RFC 9112 6.1 and 6.2 forbid both fields here; a backend that sends them may also send the body.
        100..=199 if encoded || length.is_some_and(|length| length > 0) => {
            fault("interim response with a body")
        }
        100..=199 => bodiless(None),
        204 => {
            let last = encoded || length.is_some_and(|length| length > 0);
            Ok(Answer { framing: Framing::None, length: None, last })
        }
        304 => bodiless(length),
        _ if rules.request_is_head => bodiless(length),
        // RFC 9112 6.3, 2: the connection is a tunnel from here on, whatever the fields say.
        200..=299 if rules.request_is_connect => {
            Ok(Answer { framing: Framing::UntilClose, length: None, last: true })
        }
        _ if encoded => Ok(Answer { framing: Framing::Chunked, length: None, last: false }),
        _ => Ok(match length {
            Some(bytes) => Answer { framing: Framing::Length(bytes), length, last: false },
            None => Answer { framing: Framing::UntilClose, length: None, last: true },
        }),
    }
}

/// The one length that all Content-Length fields of a response state. RFC 9112 6.3, 5: identical ones are
/// one.
fn agreed_length(bytes: &[u8], fields: &Fields) -> Result<Option<u64>, ResponseFault> {
    let mut agreed = None;
    for field in fields.all(Known::ContentLength) {
        for element in octets::elements(field.value.of(bytes)) {
            let Some(stated) = length(element) else {
                return Err(ResponseFault { why: "Content-Length is not a number" });
            };
            if agreed.is_some_and(|agreed| agreed != stated) {
                return Err(ResponseFault { why: "two different Content-Length" });
            }
            agreed = Some(stated);
        }
    }
    Ok(agreed)
}

/// RFC 9112 6.2: 1*DIGIT, and no more than can be counted to.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let number = value.iter().try_fold(0u64, |number, &byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })?;
    (number <= CONTENT_LENGTH_MAX).then_some(number)
}

/// RFC 9112 6.1: all Transfer-Encoding fields are one list; `chunked` comes once, and last.
fn codings(bytes: &[u8], fields: &Fields) -> Codings {
    let mut chunked = false;
    let mut others = false;
    for field in fields.all(Known::TransferEncoding) {
        for element in octets::elements(field.value.of(bytes)) {
            if chunked {
                return Codings::Malformed("a coding after chunked");
            }
            let (name, parameters) = element.split_at(memchr::memchr(b';', element).unwrap_or(element.len()));
            let name = octets::trim(name);
            // Empty elements included: here a list is not read leniently.
            if !octets::is_token(name) {
                return Codings::Malformed("Transfer-Encoding is not a list of codings");
            }
            if !name.eq_ignore_ascii_case(b"chunked") {
                others = true;
            } else if parameters.is_empty() {
                chunked = true;
            } else {
                // RFC 9112 7.1: it defines none, and their presence is an error.
                return Codings::Malformed("chunked with parameters");
            }
        }
    }
    if chunked && !others { Codings::Chunked } else { Codings::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::head::{RequestHead, ResponseHead};
    use crate::http::rules::Rules;

    fn of_request(version: &str, lines: &str) -> Result<Framing, u16> {
        let text = format!("POST / {version}\r\nHost: h\r\n{lines}\r\n");
        let mut head = RequestHead::default();
        parse::request(text.as_bytes(), &Rules::default(), &mut head).map_err(|refusal| refusal.status)?;
        Ok(head.framing)
    }

    fn of_response(
        start: &str,
        lines: &str,
        rules: &ResponseRules,
    ) -> Result<(Framing, Option<u64>, bool), &'static str> {
        let text = format!("{start}\r\n{lines}\r\n");
        let mut head = ResponseHead::default();
        let framing = parse::response(text.as_bytes(), rules, &mut head).map_err(|fault| fault.why)?;
        Ok((framing, head.length, head.must_close()))
    }

    #[test]
    fn well_framed_requests() {
        let of = |lines| of_request("HTTP/1.1", lines);
        assert_eq!(of(""), Ok(Framing::None));
        assert_eq!(of("Content-Length: 0\r\n"), Ok(Framing::Length(0)));
        assert_eq!(of("Content-Length: 007\r\n"), Ok(Framing::Length(7)));
        assert_eq!(of("Content-Length:\t 9223372036854775807 \r\n"), Ok(Framing::Length(i64::MAX as u64)));
        assert_eq!(of("Transfer-Encoding: chunked\r\n"), Ok(Framing::Chunked));
        assert_eq!(of("transfer-encoding:CHUNKED\t\r\n"), Ok(Framing::Chunked));
        assert_eq!(of_request("HTTP/1.0", "Content-Length: 3\r\n"), Ok(Framing::Length(3)));
    }

    #[test]
    fn lengths_that_are_none() {
        for value in [
            "",
            "+1",
            "-1",
            "1,1",
            "1, 1",
            "1 1",
            "0x1",
            "1.0",
            "1e3",
            "\u{663}",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert_eq!(of_request("HTTP/1.1", &format!("Content-Length: {value}\r\n")), Err(400), "{value}");
        }
        assert_eq!(of_request("HTTP/1.1", "Content-Length: 1\r\nContent-Length: 1\r\n"), Err(400));
        assert_eq!(of_request("HTTP/1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), Err(400));
        assert_eq!(of_request("HTTP/1.1", "Content_Length: 1\r\n"), Err(400));
    }

    #[test]
    fn codings_of_requests() {
        for (value, status) in [
            ("gzip", 501),
            ("identity", 501),
            ("xchunked", 501),
            ("gzip, chunked", 501),
            ("gzip;q=1", 501),
            ("identity, chunked", 501),
            ("chunked, chunked", 400),
            ("chunked, gzip", 400),
            ("chunked;a=b", 400),
            ("chunked,", 400),
            (",chunked", 400),
            ("", 400),
            ("chunked chunked", 400),
            ("\"chunked\"", 400),
            ("chunked\u{b}", 400),
            ("chun ked", 400),
        ] {
            let lines = format!("Transfer-Encoding: {value}\r\n");
            assert_eq!(of_request("HTTP/1.1", &lines), Err(status), "{value}");
        }
        let two = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(of_request("HTTP/1.1", two), Err(400));
        assert_eq!(of_request("HTTP/1.0", "Transfer-Encoding: chunked\r\n"), Err(400));
        assert_eq!(of_request("HTTP/1.1", "Transfer_Encoding: chunked\r\n"), Err(400));
    }

    #[test]
    fn responses_by_their_fields() {
        let of = |lines| of_response("HTTP/1.1 200 OK", lines, &ResponseRules::default());
        assert_eq!(of("Content-Length: 5\r\n"), Ok((Framing::Length(5), Some(5), false)));
        assert_eq!(
            of("Content-Length: 5\r\nContent-Length: 5, 05\r\n"),
            Ok((Framing::Length(5), Some(5), false))
        );
        assert_eq!(of("Transfer-Encoding: chunked\r\n"), Ok((Framing::Chunked, None, false)));
        assert_eq!(of(""), Ok((Framing::UntilClose, None, true)));
        assert!(of("Content-Length: 5\r\nContent-Length: 6\r\n").is_err());
        assert!(of("Content-Length: 5,\r\n").is_err());
        assert!(of("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n").is_err());
        assert!(of("Transfer-Encoding: gzip, chunked\r\n").is_err());
        assert!(of("Transfer-Encoding: identity\r\n").is_err());
        assert!(
            of_response("HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n", &ResponseRules::default())
                .is_err()
        );
    }

    #[test]
    fn responses_without_a_body() {
        let plain = ResponseRules::default();
        let head = ResponseRules { request_is_head: true, ..plain };
        let length = "Content-Length: 5\r\n";
        let chunked = "Transfer-Encoding: chunked\r\n";
        assert_eq!(of_response("HTTP/1.1 200 OK", length, &head), Ok((Framing::None, Some(5), false)));
        assert_eq!(of_response("HTTP/1.1 200 OK", chunked, &head), Ok((Framing::None, None, false)));
        assert_eq!(
            of_response("HTTP/1.1 304 Not Modified", length, &plain),
            Ok((Framing::None, Some(5), false))
        );
        assert_eq!(of_response("HTTP/1.1 204 No Content", "", &plain), Ok((Framing::None, None, false)));
        assert_eq!(of_response("HTTP/1.1 204 No Content", length, &plain), Ok((Framing::None, None, true)));
        assert_eq!(of_response("HTTP/1.1 204 No Content", chunked, &plain), Ok((Framing::None, None, true)));
        assert_eq!(of_response("HTTP/1.1 103 Early Hints", "", &plain), Ok((Framing::None, None, false)));
        assert!(of_response("HTTP/1.1 103 Early Hints", length, &plain).is_err());
        assert!(of_response("HTTP/1.1 200 OK", "Content-Length: x\r\n", &head).is_err());
    }

    #[test]
    fn an_accepted_connect_is_a_tunnel() {
        let connect = ResponseRules { request_is_connect: true, ..ResponseRules::default() };
        let length = "Content-Length: 5\r\n";
        assert_eq!(of_response("HTTP/1.1 200 OK", length, &connect), Ok((Framing::UntilClose, None, true)));
        assert_eq!(
            of_response("HTTP/1.1 403 Forbidden", length, &connect),
            Ok((Framing::Length(5), Some(5), false))
        );
    }
}
