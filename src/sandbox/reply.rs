//! What a handler answers, before the fault switches have had their say.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

/// The body of every response of the sandbox.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, io::Error>;

/// A response whose body is still whole where it is small, so that a fault can change it.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// Boxed, since replies travel as the error of a `Result`.
    pub(super) headers: Box<HeaderMap>,
    pub(super) content: Content,
}

pub(super) enum Content {
    Whole(Bytes),
    Streamed(ReplyBody),
}

impl Reply {
    pub(super) fn new(status: StatusCode) -> Self {
        Self { status, headers: Box::default(), content: Content::Whole(Bytes::new()) }
    }

    /// JSON that is not to be cached (RFC 6749 §5.1).
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::text(status, "application/json;charset=UTF-8", value.to_string())
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    pub(super) fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    pub(super) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Box::default(), content: Content::Whole(body.into()) }
            .with(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    pub(super) fn streamed<B>(content_type: &'static str, body: B) -> Self
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let body = body.map_err(|never| match never {}).boxed_unsync();
        Self { content: Content::Streamed(body), ..Self::new(StatusCode::OK) }
            .with(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// An error of the self-service API, of Altinn's exchange or of the echo API.
    pub(super) fn problem(status: StatusCode, error: &str, description: &str) -> Self {
        let body = json!({ "status": status.as_u16(), "error": error, "error_description": description });
        Self::json(status, &body)
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::problem(StatusCode::NOT_FOUND, "not_found", what)
    }

    pub(super) fn bad_request(what: &str) -> Self {
        Self::problem(StatusCode::BAD_REQUEST, "invalid_request", what)
    }

    pub(super) fn conflict(what: &str) -> Self {
        Self::problem(StatusCode::CONFLICT, "conflict", what)
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self::problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path has other methods")
            .with(ALLOW, HeaderValue::from_static(allow))
    }

    /// A request without a token has no error code in its challenge (RFC 6750 §3.1).
    pub(super) fn token_missing() -> Self {
        Self::problem(StatusCode::UNAUTHORIZED, "unauthorized", "a Bearer token is required")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sandbox\""))
    }

    pub(super) fn token_invalid(description: &str) -> Self {
        let challenge =
            format!("Bearer realm=\"sandbox\", error=\"invalid_token\", error_description=\"{description}\"");
        Self::problem(StatusCode::UNAUTHORIZED, "invalid_token", description)
            .with(WWW_AUTHENTICATE, challenge_value(&challenge))
    }

    pub(super) fn insufficient_scope(needed: &str) -> Self {
        let challenge = format!("Bearer realm=\"sandbox\", error=\"insufficient_scope\", scope=\"{needed}\"");
        let description = format!("the token lacks a scope that this asks for: {needed}");
        Self::problem(StatusCode::FORBIDDEN, "insufficient_scope", &description)
            .with(WWW_AUTHENTICATE, challenge_value(&challenge))
    }

    pub(super) fn into_response(self) -> Response<ReplyBody> {
        let body = match self.content {
            Content::Whole(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
            Content::Streamed(body) => body,
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = *self.headers;
        response
    }
}

fn challenge_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("challenges are made of constants in visible ASCII")
}

/// A body of `n` bytes (or without end) made of one repeated pattern, in chunks of 64 KiB.
pub(super) struct Pattern {
    left: Option<u64>,
    at: usize,
}

/// Prime, so that a chunk lost or repeated by a relay shifts the pattern and is seen.
const PERIOD: usize = 251;
static PATTERN: [u8; 65_536 + PERIOD] = {
    let mut bytes = [0; 65_536 + PERIOD];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at % PERIOD) as u8;
        at += 1;
    }
    bytes
};

impl Pattern {
    pub(super) fn of(length: u64) -> Self {
        Self { left: Some(length), at: 0 }
    }

    pub(super) fn endless() -> Self {
        Self { left: None, at: 0 }
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = match self.left {
            Some(0) => return Poll::Ready(None),
            Some(left) => usize::try_from(left.min(65_536)).expect("at most 65,536"),
            None => 65_536,
        };
        let chunk = Bytes::from_static(&PATTERN[self.at..self.at + length]);
        self.at = (self.at + length) % PERIOD;
        self.left = self.left.map(|left| left - length as u64);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

/// The first `left` bytes of another body, and then a failure in place of its end.
pub(super) struct Broken {
    inner: ReplyBody,
    left: u64,
    length: SizeHint,
    flushed: bool,
}

impl Broken {
    pub(super) fn after(bytes: u64, inner: ReplyBody) -> Self {
        Self { length: inner.size_hint(), inner, left: bytes, flushed: false }
    }
}

impl Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left > 0 {
            let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
            if let Some(Ok(Ok(mut data))) = frame.map(|result| result.map(Frame::into_data)) {
                data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= data.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        // One idle turn, in which hyper flushes what it holds; an error would discard it.
        if !self.flushed {
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::other("the sandbox was told to break this body off"))))
    }

    fn size_hint(&self) -> SizeHint {
        self.length
    }
}
