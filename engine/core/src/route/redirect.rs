//! Redirects answered without a backend (pound.md section 9).

use super::captures::Captures;
use super::expand::{ExpandError, Template};
use super::plan::RedirectPlan;
use super::request::Request;

/// Compiles a redirect.
///
/// A URL without a path gets the request's target appended; a path of `/` alone is not sent and nothing is
/// appended; a longer path is sent as it is. Nothing is appended to a URL with expansions.
///
/// # Errors
/// When the URL is not `http://` or `https://` followed by a host, or holds control characters: it becomes a
/// header field of the answer.
pub(crate) fn compile(code: u16, url: &str) -> Result<RedirectPlan, String> {
    if url.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("a redirect URL cannot hold control characters".to_owned());
    }
    let authority_at = ["http://", "https://"]
        .iter()
        .find(|scheme| url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)))
        .map(|scheme| scheme.len())
        .ok_or_else(|| format!("redirect URL {url:?} does not begin with http:// or https://"))?;
    let path_at = url[authority_at..].find('/').map_or(url.len(), |slash| authority_at + slash);
    if path_at == authority_at {
        return Err(format!("redirect URL {url:?} names no host"));
    }
    let template = Template::parse(url);
    let path = &url[path_at..];
    if template.has_expansions() {
        return Ok(RedirectPlan { code, url: template, append_target: false });
    }
    let url = if path == "/" { Template::parse(&url[..path_at]) } else { template };
    Ok(RedirectPlan { code, url, append_target: path.is_empty() })
}

/// The Location of the answer.
///
/// # Errors
/// When an expansion of the URL fails; the request is then answered 500.
pub fn location(
    redirect: &RedirectPlan,
    request: &Request<'_>,
    captures: &Captures,
) -> Result<Vec<u8>, ExpandError> {
    let mut location = Vec::with_capacity(256);
    redirect.url.expand(request, captures, &mut location)?;
    if redirect.append_target {
        location.extend_from_slice(request.target());
    }
    Ok(location)
}

/// The small HTML page that goes with `location`; nothing in it can break out of its markup.
pub fn body(location: &[u8]) -> Vec<u8> {
    let mut body =
        b"<html><head><title>Redirect</title></head><body><h1>Redirect</h1><p>You should go to <a href=\""
            .to_vec();
    escape(location, &mut body);
    body.extend_from_slice(b"\">");
    escape(location, &mut body);
    body.extend_from_slice(b"</a></p></body></html>");
    body
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            _ => out.push(byte),
        }
    }
}
