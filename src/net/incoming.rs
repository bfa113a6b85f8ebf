//! [`Incoming`]: the body of a client's request, whichever version it came by.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::http1::{BadChunk, Http1Body};

/// A request's body as it comes from the client. Dropped before its end, the rest of it is not
/// waited for, and an HTTP/1 connection closes behind the response.
pub struct Incoming(
    /// `None` where it is empty: a request without a body has little to carry.
    Option<Box<Kind>>,
);

enum Kind {
    Http1(Http1Body),
    Http2(hyper::body::Incoming),
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the client hung up in the middle of the body")]
    Gone,
    #[error(transparent)]
    BadChunk(#[from] BadChunk),
    #[error("the client broke off the body")]
    Http2(#[source] hyper::Error),
}

impl Incoming {
    pub fn empty() -> Self {
        Self(None)
    }

    pub(super) fn http1(body: Http1Body) -> Self {
        Self(Some(Box::new(Kind::Http1(body))))
    }
}

impl From<hyper::body::Incoming> for Incoming {
    fn from(body: hyper::body::Incoming) -> Self {
        Self(Some(Box::new(Kind::Http2(body))))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.0.as_deref_mut() {
            None => Poll::Ready(None),
            Some(Kind::Http1(body)) => body.poll_frame(cx),
            Some(Kind::Http2(body)) => Pin::new(body).poll_frame(cx).map_err(BodyError::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.0.as_deref() {
            None => true,
            Some(Kind::Http1(body)) => body.is_end_stream(),
            Some(Kind::Http2(body)) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.0.as_deref() {
            None => SizeHint::with_exact(0),
            Some(Kind::Http1(body)) => body.size_hint(),
            Some(Kind::Http2(body)) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}
