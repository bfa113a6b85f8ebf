//! The head of a request as HTTP/1.1 has it on the wire.

use http::header::{CONTENT_LENGTH, COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Version};
use http_body::Body;

use crate::hint::seldom;
use crate::http::cookie;
use crate::message::{Name, RequestHead, decimal, write_line as line};
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
/// No line can get in: neither [`Fields`](crate::message::Fields) nor a [`Uri`](http::Uri) hold CR,
/// LF or NUL.
pub(super) fn encode(
    head: &RequestHead,
    body: &RequestBody,
    origin: &Origin,
) -> Result<Encoded, UpstreamError> {
    let mut out = spare::take(USUAL_HEAD);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if !target.starts_with('/') && target != "*" {
        seldom();
        // `http://host?query` has no path; origin-form must (RFC 9112 §3.2.1).
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    out.extend_from_slice(origin.host_line().as_bytes());

    let is_empty = body.is_empty();
    let mut announced = None;
    let mut expects = false;
    let mut is_writable = true;
    let cookies = cookie::joined(&head.fields);
    if let Some(cookies) = &cookies {
        seldom();
        line(&mut out, &COOKIE, cookies);
    }
    head.fields.write(&mut out, |name, value| match name {
        Name::ContentLength => {
            let length = decimal(value).filter(|_| announced.is_none());
            is_writable &= length.is_some();
            announced = length;
            true
        }
        Name::Expect => {
            expects |= !is_empty && value.eq_ignore_ascii_case(b"100-continue");
            !is_empty
        }
        // The origin's, and the body's own.
        Name::Host | Name::TransferEncoding => false,
        Name::Cookie => cookies.is_none(),
        _ => true,
    });
    if !is_writable {
        seldom();
        return Err(UNWRITABLE);
    }
    let framing = match (is_empty, announced) {
        (false, announced) => frame(&mut out, announced, body),
        // What was announced would be looked for in the next request.
        (true, Some(1..)) => {
            seldom();
            return Err(UNWRITABLE);
        }
        (true, announced) => {
            if announced.is_none() && head.version == Version::HTTP_2 && announces_body(&head.method) {
                seldom();
                // HTTP/2 has other means to say so (RFC 9110 §8.6).
                line(&mut out, &CONTENT_LENGTH, b"0");
            }
            Framing::Empty
        }
    };
    out.extend_from_slice(b"\r\n");
    Ok(Encoded { bytes: out, framing, expects })
}

/// How a body is framed, with the line that says so where the client has not.
#[inline(never)]
fn frame(out: &mut Vec<u8>, announced: Option<u64>, body: &RequestBody) -> Framing {
    if let Some(length) = announced {
        return Framing::Length(length);
    }
    match body.size_hint().exact() {
        Some(length) => {
            line(out, &CONTENT_LENGTH, length.to_string().as_bytes());
            Framing::Length(length)
        }
        None => {
            line(out, &TRANSFER_ENCODING, b"chunked");
            Framing::Chunked
        }
    }
}

const UNWRITABLE: UpstreamError = UpstreamError::Request("its head cannot be written as HTTP/1.1");

fn announces_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The end of a chunked body.
pub(super) fn last_chunk(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        line(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}
