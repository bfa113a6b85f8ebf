//! From the bytes of a head that the [scanner](super::head) has passed to a request.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request};

use super::Refusal;
use super::head::{Head, Scanner, trim};

/// Room for what a proxy puts on a request, so that the map does not grow on the way.
const ROOM: usize = 4;

/// Reads a whole head, which `scanner` has passed. The request shares its memory.
///
/// # Errors
///
/// What is no method, target or field by the narrower rules of the types that hold them.
pub(super) fn parse(bytes: &Bytes, head: &Head, scanner: &Scanner) -> Result<request::Parts, Refusal> {
    let line = scanner.request_line;
    let mut parts = Request::new(()).into_parts().0;
    parts.method =
        Method::from_bytes(&bytes[line.start..line.method_end]).map_err(|_| Refusal::RequestLine)?;
    parts.uri = Uri::from_maybe_shared(bytes.slice(line.method_end + 1..line.target_end))
        .map_err(|_| Refusal::RequestLine)?;
    parts.version = if head.http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = HeaderMap::with_capacity(scanner.lines.len() + ROOM);
    for line in &scanner.lines {
        let (name, value) = (&bytes[line.start..line.colon], trim(&bytes[line.colon + 1..line.end]));
        if is_about_connection_alone(name, value) {
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| Refusal::FieldName)?;
        let value =
            HeaderValue::from_maybe_shared(bytes.slice_ref(value)).map_err(|_| Refusal::FieldValue)?;
        parts.headers.append(name, value);
    }
    Ok(parts)
}

/// What nearly every client says of its connection, and the scanner has taken note of: nobody else
/// has to know.
fn is_about_connection_alone(name: &[u8], value: &[u8]) -> bool {
    name.len() == 10
        && name.eq_ignore_ascii_case(b"connection")
        && (value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close"))
}
