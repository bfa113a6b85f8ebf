//! Field lines as HTTP/1.1 has them on the wire (RFC 9112 §5).

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::message;

/// Writes a line. None can be added through it: neither a name nor a [`HeaderValue`] holds CR or
/// LF.
#[inline]
pub fn write(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    message::write_line(out, name.as_bytes(), value);
}

/// Reads a line that the parser found in `whole`, whose memory the value shares.
///
/// # Errors
///
/// What is no field by the narrower rules of the types that hold it.
#[inline]
pub fn read(line: &httparse::Header<'_>, whole: &Bytes) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| "invalid header name")?;
    let value = HeaderValue::from_maybe_shared(whole.slice_ref(line.value));
    Ok((name, value.map_err(|_| "invalid header value")?))
}

/// The number that `digits` and nothing else make.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    let number = digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    number.filter(|_| !digits.is_empty())
}
