//! HPACK (RFC 7541): how HTTP/2 writes header and trailer sections. [`Decoder`] reads what an
//! upstream sends, [`Encoder`] writes requests. Each lives as long as its connection, since each
//! block may refer to fields of those before it.
//!
//! This knows of fields alone: whether they make a message is for the caller to judge.

mod decode;
mod encode;
mod huffman;
mod integer;
mod statics;
mod table;
#[cfg(test)]
mod tests;

use http::{HeaderName, HeaderValue, StatusCode};

pub(crate) use decode::Decoder;
pub(crate) use encode::{Encoder, Scheme};

/// The size that every peer's table begins with (RFC 7541 §4.2, RFC 9113 §6.5.2).
pub(crate) const DEFAULT_TABLE_SIZE: usize = 4096;

/// What each field counts for besides its name and value, in tables and in lists (RFC 7541 §4.1).
const FIELD_OVERHEAD: usize = 32;

/// A line of a header or trailer section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `:status`; `None` where that is not three digits from 100 to 999.
    Status(Option<StatusCode>),
    /// Any other name that begins with a colon.
    Pseudo,
    Header(HeaderName, HeaderValue),
    /// What no message may hold (RFC 9113 §8.2.1). The message is malformed, but the connection
    /// goes on.
    Invalid,
}

/// Whether all of a block's fields have been handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Those beyond the limit have not.
    TooLarge,
}

/// Why a block cannot be read. What it would have done to the table is unknown, so that no other
/// block can be read either: a connection error of type COMPRESSION_ERROR (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadBlock(pub(crate) &'static str);

const TRUNCATED: BadBlock = BadBlock("a header block ends within a field");
