//! A TCP connection that can be cut after a number of bytes, with a FIN or an RST.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The stream that hyper writes to.
pub(super) struct Wire {
    stream: TcpStream,
    scissors: Arc<Scissors>,
}

/// Held by the handlers of a connection, to cut it.
pub(super) struct Scissors {
    /// Bytes that may still go out; `u64::MAX` is no limit.
    budget: AtomicU64,
    reset: AtomicBool,
}

impl Scissors {
    /// From now on `bytes` more go out; what is beyond them fails and ends the connection.
    pub(super) fn cut(&self, bytes: u64, reset: bool) {
        self.reset.store(reset, Ordering::Relaxed);
        self.budget.store(bytes, Ordering::Relaxed);
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> (Self, Arc<Scissors>) {
        let scissors = Arc::new(Scissors { budget: AtomicU64::new(u64::MAX), reset: AtomicBool::new(false) });
        (Self { stream, scissors: Arc::clone(&scissors) }, scissors)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        // Reads and writes of one connection are one task's, so a plain load and store will do.
        let budget = self.scissors.budget.load(Ordering::Relaxed);
        if budget == u64::MAX {
            return Pin::new(&mut self.stream).poll_write(cx, buffer);
        }
        if budget == 0 {
            if self.scissors.reset.load(Ordering::Relaxed) {
                // A linger time of zero makes the close an RST (socket(7), SO_LINGER).
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let allowed = buffer.len().min(usize::try_from(budget).unwrap_or(usize::MAX));
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, &buffer[..allowed]))?;
        self.scissors.budget.store(budget - written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
