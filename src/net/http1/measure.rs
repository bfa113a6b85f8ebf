//! The reading of bytes as a function: for fuzzing and for comparison with other parsers.

use bytes::BytesMut;

use super::Refusal;
use super::head::{Framing, Scanner};
use crate::net::chunked::{Blanks, Chunked};

/// A request's head, as far as it says where the message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Bytes from the start to the end of the head's empty line.
    pub head: usize,
    /// The length of the body; `None` where it is chunked.
    pub length: Option<u64>,
}

/// Judges the head that `pieces` begin with, as a connection does that gets them one by one. `None`
/// where it is not complete.
///
/// # Errors
///
/// Why it would be refused.
pub fn measure_head<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Measured>, Refusal> {
    let (mut scanner, mut held) = (Scanner::default(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        if let Some(head) = scanner.scan(&held)? {
            let length = match head.body {
                Framing::Length(length) => Some(length),
                Framing::Chunked => None,
            };
            return Ok(Some(Measured { head: head.len, length }));
        }
    }
    Ok(None)
}

/// Where the chunked body that `pieces` begin with ends, in bytes. `None` where it is not
/// complete.
///
/// # Errors
///
/// Why it cannot be read on.
pub fn measure_chunked<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<usize>, &'static str> {
    let (mut chunked, mut input, mut read) = (Chunked::new(Blanks::Refused), BytesMut::new(), 0);
    for piece in pieces {
        input.extend_from_slice(piece);
        read += piece.len();
        while chunked.decode(&mut input)?.is_some() {}
        if chunked.is_end() {
            return Ok(Some(read - input.len()));
        }
    }
    Ok(None)
}
