//! The head of a request as HTTP/1.1 has it on the wire.

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Version, request};
use http_body::Body;

use crate::net::field::{decimal, write as line};
use crate::net::spare;
use crate::upstream::body::RequestBody;
use crate::upstream::error::UpstreamError;
use crate::upstream::origin::Origin;

/// Room for the head of a request with a token in it: it seldom has to grow.
const USUAL_HEAD: usize = 2 * 1024;

/// How the end of a request's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    Chunked,
    /// Bytes that are still to be sent.
    Length(u64),
}

/// A request's head in bytes, and what it says of the body.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) framing: Framing,
    /// The client wants to be told to go on before it sends the body (RFC 9110 §10.1.1).
    pub(super) expects: bool,
}

/// Writes the head out, in origin-form and with the origin's `Host`.
///
/// No line can get in: neither a [`HeaderValue`](http::HeaderValue) nor a
/// [`Uri`](http::Uri) holds CR, LF or NUL.
pub(super) fn encode(
    head: &request::Parts,
    body: &RequestBody,
    origin: &Origin,
) -> Result<Encoded, UpstreamError> {
    let mut out = spare::take(USUAL_HEAD);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if !target.starts_with('/') && target != "*" {
        // `http://host?query` has no path; origin-form must (RFC 9112 §3.2.1).
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    line(&mut out, HOST.as_str(), origin.host_field().as_bytes());

    let is_empty = body.is_empty();
    let mut announced = None;
    let mut expects = false;
    let mut in_cookies = false;
    for (name, value) in &head.headers {
        let value = value.as_bytes();
        if name == CONTENT_LENGTH {
            let length = decimal(value).filter(|_| announced.is_none());
            announced = Some(length.ok_or(UNWRITABLE)?);
        } else if name == EXPECT {
            if is_empty {
                continue;
            }
            expects |= value.eq_ignore_ascii_case(b"100-continue");
        } else if name == HOST || name == TRANSFER_ENCODING {
            // The origin's, and the body's own.
            continue;
        } else if name == COOKIE && in_cookies {
            // HTTP/2 clients may send each cookie by itself, which HTTP/1.1 has not
            // (RFC 9113 §8.2.3). The lines of one name come one after another.
            out.truncate(out.len() - 2);
            out.extend_from_slice(b"; ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
            continue;
        }
        in_cookies = name == COOKIE;
        line(&mut out, name.as_str(), value);
    }
    let framing = match (is_empty, announced, body.size_hint().exact()) {
        // What was announced would be looked for in the next request.
        (true, Some(1..), _) => return Err(UNWRITABLE),
        (true, announced, _) => {
            if announced.is_none() && head.version == Version::HTTP_2 && announces_body(&head.method) {
                // HTTP/2 has other means to say so (RFC 9110 §8.6).
                line(&mut out, CONTENT_LENGTH.as_str(), b"0");
            }
            Framing::Empty
        }
        (false, Some(length), _) => Framing::Length(length),
        (false, None, Some(length)) => {
            line(&mut out, CONTENT_LENGTH.as_str(), length.to_string().as_bytes());
            Framing::Length(length)
        }
        (false, None, None) => {
            line(&mut out, TRANSFER_ENCODING.as_str(), b"chunked");
            Framing::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    Ok(Encoded { bytes: out, framing, expects })
}

const UNWRITABLE: UpstreamError = UpstreamError::Request("its head cannot be written as HTTP/1.1");

fn announces_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The end of a chunked body.
pub(super) fn last_chunk(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        line(out, name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}
