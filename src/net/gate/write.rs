//! The way to the client: interim responses, slow readers, and a close that loses nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Gate, State};
use crate::net::timer::Deadline;

/// After the close: silence that ends the wait for the client's own close, and the whole of it.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
const LINGER_WHOLE: Duration = Duration::from_secs(30);

/// The wait for the client's close, after ours.
pub(super) struct Linger {
    whole: Deadline,
    /// The client is expected to be still sending.
    wait: bool,
}

impl AsyncWrite for Gate {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        if !gate.dirty {
            ready!(gate.poll_interim(cx))?;
            gate.dirty = true;
        }
        let outcome = Pin::new(&mut gate.io).poll_write(cx, buf);
        gate.bound_write(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        if !gate.dirty {
            ready!(gate.poll_interim(cx))?;
            gate.dirty = true;
        }
        let outcome = Pin::new(&mut gate.io).poll_write_vectored(cx, bufs);
        gate.bound_write(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper asks for this only when all it had to write is written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        gate.dirty = false;
        if !matches!(gate.state, State::Opaque) && gate.shared.interim_is_timely() {
            ready!(gate.poll_interim(cx))?;
        }
        let outcome = Pin::new(&mut gate.io).poll_flush(cx);
        ready!(gate.bound_write(cx, outcome))?;
        if let State::Upgrade(index) = gate.state
            && gate.shared.has_answered(index)
        {
            // hyper has been told that nothing can be read; now something may be.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the way to the client, then reads what it still sends for a while: a close over
    /// unread bytes is a reset, which may take the answer with it (RFC 9112 §9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        if gate.linger.is_none() {
            let outcome = Pin::new(&mut gate.io).poll_shutdown(cx);
            ready!(gate.bound_write(cx, outcome))?;
            if matches!(gate.state, State::Opaque) {
                return Poll::Ready(Ok(()));
            }
            let wait = !gate.held.is_empty() || !matches!(gate.state, State::Head);
            let mut whole = Deadline::default();
            whole.set(LINGER_WHOLE);
            gate.deadline.set(LINGER_SILENCE);
            gate.linger = Some(Linger { whole, wait });
        }
        let Some(linger) = &mut gate.linger else { return Poll::Ready(Ok(())) };
        loop {
            let mut space = [0; 4096];
            let mut rest = ReadBuf::new(&mut space);
            match Pin::new(&mut gate.io).poll_read(cx, &mut rest) {
                Poll::Ready(Ok(())) if !rest.filled().is_empty() => {
                    gate.deadline.set(LINGER_SILENCE);
                    if linger.whole.poll_passed(cx).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending if !linger.wait => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    if gate.deadline.poll_passed(cx).is_ready() || linger.whole.poll_passed(cx).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Gate {
    /// Writes interim responses that wait; only where nothing of hyper's is half written.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut waiting) = self.shared.take_interim() {
            while !waiting.is_empty() {
                match Pin::new(&mut self.io).poll_write(cx, &waiting) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(written)) => drop(waiting.drain(..written)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.shared.put_interim_back(waiting);
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn bound_write<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_deadline.clear();
            return outcome;
        }
        if !self.write_deadline.is_set() {
            self.write_deadline.set(self.patience.body);
        }
        ready!(self.write_deadline.poll_passed(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client has read nothing for 60 s")))
    }
}
