//! Every cap of the message syntax in one place, with its reason.

/// Bytes of a whole head, line ends included: a head lies in one page, where it is parsed without being
/// gathered. The common servers stop between 8 and 32 KiB.
pub const HEAD_BYTES_MAX: usize = ounce_mem::PAGE_BYTES;

/// Header fields of a head. Browsers send 10 to 20, busy intranets 40; the table for the tokeniser lies on
/// the stack, and checks that compare fields with each other stay cheap at this size.
pub const FIELDS_MAX: usize = 128;

/// Bytes of a line when nothing else is configured (`LineBufferSize`). A line, its end and one byte fit, so
/// that lines of 4093 bytes pass with CRLF and lines of 4094 with a bare LF.
pub const LINE_BYTES_DEFAULT: u32 = 4096;

/// Names in the Connection fields of one head that are not options we know: each is compared with each field.
pub const CONNECTION_OPTIONS_MAX: usize = 16;

/// Largest accepted Content-Length: beyond it, a backend that counts in signed 64-bit numbers sees a negative
/// one.
pub const CONTENT_LENGTH_MAX: u64 = i64::MAX as u64;

/// Hexadecimal digits of a chunk size, leading zeros included; 15 digits cannot overflow anything.
pub const CHUNK_DIGITS_MAX: u8 = 15;

/// Bytes of chunk extensions that may be ahead of the payload: each extension byte counts one up, each
/// payload byte one down. Extensions are removed, so without this a sender could keep us busy for ever and
/// send nothing.
pub const EXTENSION_BYTES_MAX: u32 = 4096;

/// Bytes of a trailer section, line ends included. It is kept until it is complete.
pub const TRAILER_BYTES_MAX: usize = 4096;

/// Bytes of framing that [`crate::http::h1::write::chunk_header`] makes at most: 16 digits and CRLF.
pub const CHUNK_HEADER_BYTES_MAX: usize = 18;
