//! Tunnels: bytes both ways, until both sides are done.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::timer::Deadline;

/// A tunnel in which nothing has moved for so long is closed. WebSockets that idle send pings
/// well within it.
pub const TUNNEL_IDLE: Duration = Duration::from_secs(10 * 60);
const BUFFER: usize = 32 * 1024;

/// Bytes that a tunnel has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub from_a: u64,
    pub from_b: u64,
}

/// Carries bytes between `a` and `b`. Where one side ends its sending, that end is passed on and
/// the other direction goes on; it returns when both have ended.
///
/// # Errors
///
/// What reading or writing said; `TimedOut` where nothing moved for `idle`.
pub async fn copy_bidirectional<A, B>(a: &mut A, b: &mut B, idle: Duration) -> io::Result<Carried>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_a, mut from_b) = (Direction::default(), Direction::default());
    let mut deadline = Deadline::default();
    deadline.set(idle);
    let mut moved = 0;
    poll_fn(|cx| {
        let one = from_a.poll(cx, a, b)?;
        let other = from_b.poll(cx, b, a)?;
        if one.is_ready() && other.is_ready() {
            return Poll::Ready(Ok(Carried { from_a: from_a.carried, from_b: from_b.carried }));
        }
        let now = from_a.carried + from_b.carried;
        if now != moved {
            moved = now;
            deadline.set(idle);
        }
        ready!(deadline.poll_passed(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing has moved in the tunnel")))
    })
    .await
}

#[derive(Default)]
struct Direction {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    carried: u64,
    ended: bool,
    closed: bool,
}

impl Direction {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while self.start < self.end {
                let here = &self.buffer[self.start..self.end];
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, here))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += written;
                self.carried += written as u64;
            }
            if self.ended {
                if !self.closed {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                    self.closed = true;
                }
                return Poll::Ready(Ok(()));
            }
            if self.buffer.is_empty() {
                self.buffer.resize(BUFFER, 0);
            }
            let mut space = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *reader).poll_read(cx, &mut space) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => {
                    ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
            (self.start, self.end) = (0, space.filled().len());
            self.ended = self.end == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn passes_a_half_close_on_and_keeps_the_other_half() {
        let (mut client, mut a) = duplex(64);
        let (mut server, mut b) = duplex(64);
        let tunnel = tokio::spawn(async move { copy_bidirectional(&mut a, &mut b, TUNNEL_IDLE).await });
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        server.write_all(b"the answer").await.unwrap();
        server.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "the answer");
        assert_eq!(tunnel.await.unwrap().unwrap(), Carried { from_a: 8, from_b: 10 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_tunnel_is_closed() {
        let (_client, mut a) = duplex(64);
        let (_server, mut b) = duplex(64);
        let error = copy_bidirectional(&mut a, &mut b, TUNNEL_IDLE).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
