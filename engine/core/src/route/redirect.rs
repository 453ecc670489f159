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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::matcher::Matcher;
    use crate::route::pattern::{Groups, Pattern};
    use crate::route::sample::{Sample, posix};

    fn sent_to(url: &str, target: &str) -> String {
        let redirect = compile(302, url).expect("a good URL");
        let sample = Sample::get(target, &["Host: old.example"]);
        let mut captures = Captures::new();
        let path = Pattern::compile(&posix("^/([^/]*)"), Groups::Wanted).expect("a good pattern");
        assert!(Matcher::Path(path).holds(&sample.request(), Some(&mut captures)));
        let location = location(&redirect, &sample.request(), &captures).expect("an expansion");
        String::from_utf8(location).expect("text")
    }

    #[test]
    fn what_is_appended_depends_on_the_path() {
        assert_eq!(sent_to("https://new.example", "/a?b=c"), "https://new.example/a?b=c");
        assert_eq!(sent_to("https://new.example:8443", "/"), "https://new.example:8443/");
        assert_eq!(sent_to("https://new.example/", "/a?b=c"), "https://new.example");
        assert_eq!(sent_to("https://new.example/x", "/a?b=c"), "https://new.example/x");
        assert_eq!(sent_to("https://new.example/x/", "/a"), "https://new.example/x/");
        assert_eq!(sent_to("HTTP://new.example", "/a"), "HTTP://new.example/a");
    }

    #[test]
    fn nothing_is_appended_to_a_url_with_expansions() {
        assert_eq!(sent_to("https://new.example/$1/x", "/a/b?c"), "https://new.example/a/x");
        assert_eq!(sent_to("https://$1.example", "/a/b"), "https://a.example");
        assert_eq!(sent_to("https://%[host]%[url]", "/a/b?c"), "https://old.example/a/b?c");
        assert_eq!(sent_to("https://new.example/%20", "/a"), "https://new.example/%20");
    }

    #[test]
    fn urls_that_name_no_place_are_refused() {
        for url in ["/path", "ftp://h/", "https://", "https:///x", "$1", "http://h/\r\nX: y", ""] {
            assert!(compile(302, url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn a_missing_group_is_an_error() {
        let redirect = compile(302, "https://h/$2").expect("a good URL");
        let sample = Sample::get("/", &["Host: h"]);
        assert!(location(&redirect, &sample.request(), &Captures::new()).is_err());
    }
}
