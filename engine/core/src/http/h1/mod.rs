//! HTTP/1.0 and HTTP/1.1 on the wire (RFC 9112).

pub mod chunked;
pub mod framing;
pub mod parse;
pub mod write;
