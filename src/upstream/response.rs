//! [`ResponseBody`]: an upstream's body on its way to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connector::UpstreamStream;
use super::http1::Http1Body;
use super::http2::{Broken, Http2Body};

/// A response's body. Dropped before its end, it cancels the exchange: an HTTP/1 connection is
/// closed, an HTTP/2 stream reset.
pub struct ResponseBody(Kind);

enum Kind {
    Empty,
    /// No body, but a `Content-Length` that is to be kept: of a 304, say. A server may
    /// drop the field where a body is known to be empty, so this one does not say so.
    Bodiless,
    /// All of it is here; `None` once it was given out.
    Whole(Option<Bytes>),
    Http1(Box<Http1Body>),
    Http2(Box<Http2Body>),
    Upgraded(Option<Box<Upgraded>>),
}

/// Why a body broke off. The client's transfer is broken off too, so that no part is taken for
/// the whole.
#[derive(Debug, thiserror::Error)]
pub enum ResponseBodyError {
    #[error("the upstream broke off in the middle of the body")]
    Http1(#[source] io::Error),
    #[error("the upstream's body cannot be read on: {0}")]
    Malformed(&'static str),
    #[error("the upstream broke off in the middle of the body")]
    Http2(#[source] Broken),
    #[error("nothing of the upstream's body has come for 60 s")]
    Stalled,
}

/// The connection after the upstream has switched protocols (RFC 9110 §7.8).
#[derive(Debug)]
pub struct Upgraded {
    stream: UpstreamStream,
    /// What came with the head.
    early: Bytes,
}

impl ResponseBody {
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    pub(super) fn bodiless(keeps_length: bool) -> Self {
        Self(if keeps_length { Kind::Bodiless } else { Kind::Empty })
    }

    /// Whether there is nothing to come, whatever the head announces.
    pub fn is_bodiless(&self) -> bool {
        matches!(self.0, Kind::Empty | Kind::Bodiless | Kind::Upgraded(_))
    }

    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(Some(bytes)))
    }

    pub(super) fn http1(body: Http1Body) -> Self {
        Self(Kind::Http1(Box::new(body)))
    }

    pub(super) fn http2(body: Http2Body) -> Self {
        Self(Kind::Http2(Box::new(body)))
    }

    pub(super) fn upgraded(stream: UpstreamStream, early: Bytes) -> Self {
        Self(Kind::Upgraded(Some(Box::new(Upgraded { stream, early }))))
    }

    /// Gives up when nothing of it has come for `timeout`, in place of a minute.
    pub fn within(mut self, timeout: Duration) -> Self {
        match &mut self.0 {
            Kind::Http1(body) => body.set_timeout(timeout),
            Kind::Http2(body) => body.set_timeout(timeout),
            Kind::Empty | Kind::Bodiless | Kind::Whole(_) | Kind::Upgraded(_) => {}
        }
        self
    }

    /// The connection under a 101.
    pub fn into_upgraded(self) -> Option<Upgraded> {
        match self.0 {
            Kind::Upgraded(upgraded) => upgraded.map(|upgraded| *upgraded),
            _ => None,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        match &mut self.0 {
            Kind::Empty | Kind::Bodiless | Kind::Upgraded(_) => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Http1(body) => body.poll_frame(cx),
            Kind::Http2(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty | Kind::Upgraded(_) => true,
            Kind::Bodiless => false,
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Http1(body) => body.is_end_stream(),
            Kind::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty | Kind::Upgraded(_) => SizeHint::with_exact(0),
            Kind::Bodiless => SizeHint::default(),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Http1(body) => body.size_hint(),
            Kind::Http2(body) => body.size_hint(),
        }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.has_remaining() {
            let here = this.early.split_to(this.early.len().min(buf.remaining()));
            buf.put_slice(&here);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
