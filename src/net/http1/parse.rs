//! From the bytes of a head that the [scanner](super::head) has passed to a request.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request};

use super::head::{Head, Refusal, trim};

/// Room for what a proxy puts on a request, so that the map does not grow on the way.
const ROOM: usize = 4;

/// Reads a whole head. The request shares its memory.
///
/// # Errors
///
/// What is no method, target or field by the narrower rules of the types that hold them.
pub(super) fn parse(bytes: &Bytes, head: &Head) -> Result<request::Parts, Refusal> {
    let mut at = 0;
    while bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    let end = line_end(bytes, at);
    let line = &bytes[at..end];
    let spaces = memchr::memchr(b' ', line).zip(memchr::memrchr(b' ', line));
    let (first, last) = spaces.ok_or(Refusal::RequestLine)?;

    let mut parts = Request::new(()).into_parts().0;
    parts.method = Method::from_bytes(&line[..first]).map_err(|_| Refusal::RequestLine)?;
    parts.uri =
        Uri::from_maybe_shared(bytes.slice(at + first + 1..at + last)).map_err(|_| Refusal::RequestLine)?;
    parts.version = if head.http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = fields(bytes, end + 2, head.fields + ROOM)?;
    Ok(parts)
}

/// The fields from `at` up to the empty line, or to the end.
pub(super) fn fields(bytes: &Bytes, mut at: usize, room: usize) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::with_capacity(room);
    while at < bytes.len() {
        let end = line_end(bytes, at);
        let line = &bytes[at..end];
        at = end + 2;
        let Some(colon) = memchr::memchr(b':', line) else { break };
        let value = trim(&line[colon + 1..]);
        if colon == 10 && is_about_connection_alone(&line[..colon], value) {
            continue;
        }
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| Refusal::FieldName)?;
        let value =
            HeaderValue::from_maybe_shared(bytes.slice_ref(value)).map_err(|_| Refusal::FieldValue)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What nearly every client says of its connection, and the scanner has taken note of: nobody else
/// has to know.
fn is_about_connection_alone(name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"connection")
        && (value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close"))
}

/// Where the line that begins `at` ends, ahead of its CRLF.
fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |found| at + found.saturating_sub(1))
}
