//! What a head is measured by: what a listener allows, what is known of a response before it comes, and how long lines are.

use super::head::Refusal;
use super::limits::LINE_BYTES_DEFAULT;

/// What a listener allows beyond the syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `LineBufferSize`: a line with its end must be shorter than this, in bytes.
    pub line_max: u32,
    /// `xHTTP`: the highest allowed level of methods.
    pub methods: u8,
    /// `MaxURI`: longest request target as sent, in bytes.
    pub max_uri: Option<u32>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { line_max: LINE_BYTES_DEFAULT, methods: 0, max_uri: None }
    }
}

/// What is known of a response before it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseRules {
    /// `LineBufferSize`: a line with its end must be shorter than this, in bytes.
    pub line_max: u32,
    /// The request was HEAD.
    pub request_is_head: bool,
    /// The request was CONNECT: a 2xx response turns the connection into a tunnel.
    pub request_is_connect: bool,
    /// The request offered an upgrade and the offer was passed on ([`crate::http::Hop::upgrade`]); without,
    /// 101 is a fault.
    pub upgrade_offered: bool,
}

impl Default for ResponseRules {
    fn default() -> ResponseRules {
        ResponseRules {
            line_max: LINE_BYTES_DEFAULT,
            request_is_head: false,
            request_is_connect: false,
            upgrade_offered: false,
        }
    }
}

/// Lengths of lines, their ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) start_line: u32,
    /// Of the header lines.
    pub(crate) longest: u32,
}

/// A request line that is not below the limit.
pub(crate) const LONG_REQUEST_LINE: Refusal = Refusal::new(414, "request line too long");
/// 413 and not 431: what Pound answers, and what its users' error pages are for.
pub(crate) const LONG_HEADER_LINE: Refusal = Refusal::new(413, "header line too long");
