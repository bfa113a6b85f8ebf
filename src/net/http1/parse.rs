//! From the bytes of a head that the [scanner](super::head) has passed to a request.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

use super::Refusal;
use super::head::{Head, Scanner};
use crate::message::{Fields, RequestHead};

/// Reads a whole head, which `scanner` has passed. The request shares its memory.
///
/// # Errors
///
/// What is no method or target by the narrower rules of the types that hold them.
pub(super) fn parse(bytes: Bytes, head: &Head, scanner: &mut Scanner) -> Result<Box<RequestHead>, Refusal> {
    let line = scanner.request_line;
    let method = &bytes[line.start..line.method_end];
    let method = Method::from_bytes(method).map_err(|_| Refusal::RequestLine)?;
    let target = bytes.slice(line.method_end + 1..line.target_end);
    let uri = if target.starts_with(b"/") {
        Uri::from(PathAndQuery::from_maybe_shared(target).map_err(|_| Refusal::RequestLine)?)
    } else {
        Uri::from_maybe_shared(target).map_err(|_| Refusal::RequestLine)?
    };
    let version = if head.http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
    let fields = Fields::of_lines(bytes, std::mem::take(&mut scanner.lines));
    Ok(Box::new(RequestHead { method, uri, version, fields }))
}
