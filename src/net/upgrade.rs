//! [`OnUpgrade`]: the client's connection, once it is no longer HTTP (RFC 9110 §7.8, §9.3.6).

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::Request;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::transport::Transport;

/// Resolves when the response that switches protocols, or opens a tunnel, has been sent.
#[derive(Debug)]
pub struct OnUpgrade(
    /// `None` where it never does.
    Option<Box<Kind>>,
);

#[derive(Debug)]
enum Kind {
    Http1(oneshot::Receiver<Upgraded>),
    Http2(hyper::upgrade::OnUpgrade),
}

/// The connection was gone, or the response was another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection did not become a tunnel")]
pub struct NoUpgrade;

/// A stream of bytes where there was HTTP.
pub struct Upgraded {
    stream: Stream,
    /// What the client had sent ahead of the answer.
    early: Bytes,
}

enum Stream {
    Http1(Transport),
    Http2(TokioIo<hyper::upgrade::Upgraded>),
}

/// What an HTTP/1 connection may become, and where it is to be left then.
pub(super) fn promise() -> (oneshot::Sender<Upgraded>, OnUpgrade) {
    let (sender, receiver) = oneshot::channel();
    (sender, OnUpgrade(Some(Box::new(Kind::Http1(receiver)))))
}

/// What a stream of HTTP/2 may become.
pub(super) fn of_http2<B>(request: &mut Request<B>) -> OnUpgrade {
    if request.extensions().is_empty() {
        return OnUpgrade::never();
    }
    OnUpgrade(Some(Box::new(Kind::Http2(hyper::upgrade::on(request)))))
}

impl OnUpgrade {
    /// The connection stays what it is.
    pub fn never() -> Self {
        Self(None)
    }
}

impl Upgraded {
    pub(super) fn new(transport: Transport, early: Bytes) -> Self {
        Self { stream: Stream::Http1(transport), early }
    }

    fn pinned(self: Pin<&mut Self>) -> Pin<&mut dyn super::transport::Stream> {
        match &mut self.get_mut().stream {
            Stream::Http1(transport) => Pin::new(transport),
            Stream::Http2(stream) => Pin::new(stream),
        }
    }
}

impl Future for OnUpgrade {
    type Output = Result<Upgraded, NoUpgrade>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.as_deref_mut() {
            None => Poll::Ready(Err(NoUpgrade)),
            Some(Kind::Http1(receiver)) => Pin::new(receiver).poll(cx).map_err(|_| NoUpgrade),
            Some(Kind::Http2(upgrade)) => {
                let upgraded = ready!(Pin::new(upgrade).poll(cx)).map_err(|_| NoUpgrade)?;
                let stream = Stream::Http2(TokioIo::new(upgraded));
                Poll::Ready(Ok(Upgraded { stream, early: Bytes::new() }))
            }
        }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.has_remaining() {
            let here = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(here));
            return Poll::Ready(Ok(()));
        }
        self.pinned().poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.pinned().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_shutdown(cx)
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}
