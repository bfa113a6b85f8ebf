//! [`Transport`]: the stream of bytes under a client's connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::tcp;

/// Both directions of a stream of bytes, wherever it comes from.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a client's connection runs over.
pub enum Transport {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    Tls(Box<TlsStream<Transport>>),
    /// A stream inside another one, such as the inside of an intercepted tunnel.
    Other(Box<dyn Stream>),
}

impl Transport {
    /// Makes the coming close an abort (RST), which no peer can take for the end of a message
    /// that is framed by the end of its connection.
    pub(crate) fn abort(&self) {
        match self {
            Self::Tcp(stream) => {
                // Where it fails the connection is gone, and nothing is left to abort.
                let _ = stream.set_zero_linger();
            }
            Self::Tls(stream) => stream.get_ref().0.abort(),
            #[cfg(unix)]
            Self::Unix(_) => {}
            Self::Other(_) => {}
        }
    }

    /// Whether a read is worth its while: `false` where it is known that nothing has come, and the
    /// task will be woken. Costs less than a read.
    #[inline]
    pub(super) fn is_readable(&self, cx: &mut Context<'_>) -> bool {
        match self {
            // What is wrong with it is told by the read.
            Self::Tcp(stream) => stream.poll_read_ready(cx).is_ready(),
            _ => true,
        }
    }

    /// As `poll_read`, to the start of `buffer`; the number of bytes.
    #[inline]
    pub(super) fn poll_read_to(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => tcp::poll_read(stream, cx, buffer),
            other => tcp::poll_read_to(other, cx, buffer),
        }
    }

    fn pinned(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream.as_mut()),
            Self::Other(stream) => Pin::new(stream.as_mut()),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            other => Pin::new(other).pinned().poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => tcp::poll_write(stream, cx, buf),
            other => Pin::new(other).pinned().poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pinned().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_shutdown(cx)
    }
}
