//! Moves bytes between a session and its stream.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::io::poll_read_buf;

use super::fatal::Fatal;
use super::frame::Code;
use super::session::Session;

/// What one read takes: a TLS record.
const READ: usize = 16 * 1024;
/// Reads before it is others' turn: what they write to their clients is then still in the
/// processor's cache.
const READS: usize = 8;
/// How often all others that are ready go first, before it reads and writes: what they have to send
/// then goes out in the same write, and more of what the upstream sends comes in with one read.
/// Where nobody is ready, this takes a fraction of a microsecond.
const OTHERS_FIRST: usize = 3;
/// For the upstream to take what is said last.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why it ended.
enum End {
    /// Nobody wants it any more.
    Abandoned,
    Fatal(Fatal),
    Lost(io::Error),
}

/// Tells all who wait that nobody reads or writes any more, also where that is a panic's doing.
struct Ended(Rc<RefCell<Session>>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(mut session) = self.0.try_borrow_mut() {
            session.lose(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// Reads and writes until the connection is at its end.
pub(super) async fn drive(mut stream: impl AsyncRead + AsyncWrite + Unpin, session: Rc<RefCell<Session>>) {
    let _ended = Ended(Rc::clone(&session));
    let mut input = Input::default();
    let mut waited = 0;
    let end = poll_fn(|cx| {
        if waited < OTHERS_FIRST {
            waited += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        waited = 0;
        let mut session = session.borrow_mut();
        poll(&mut stream, &mut input, &mut session, cx)
    })
    .await;
    match end {
        End::Abandoned => session.borrow_mut().say_goodbye(Code::NO_ERROR),
        End::Fatal(fatal) => {
            tracing::debug!(reason = fatal.reason, "what an upstream sends is not HTTP/2");
            session.borrow_mut().reject(&fatal);
        }
        End::Lost(error) => {
            tracing::debug!(%error, "an upstream's HTTP/2 connection broke");
            return session.borrow_mut().lose(error);
        }
    }
    let goodbye = async {
        poll_fn(|cx| session.borrow_mut().out.poll_write(&mut stream, cx)).await?;
        stream.shutdown().await
    };
    // Best effort: nothing depends on it.
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
}

fn poll<S>(stream: &mut S, input: &mut Input, session: &mut Session, cx: &mut Context<'_>) -> Poll<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut reads = 0;
    loop {
        match input.poll_fill(stream, cx) {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return Poll::Ready(End::Lost(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
        }
        if let Err(fatal) = session.receive(&mut input.bytes) {
            return Poll::Ready(End::Fatal(fatal));
        }
        reads += 1;
        if reads == READS {
            cx.waker().wake_by_ref();
            break;
        }
    }
    if session.abandoned {
        return Poll::Ready(End::Abandoned);
    }
    if !session.out.is_empty() {
        let before = session.out.waiting();
        let outcome = session.out.poll_write(stream, cx);
        session.stuck = outcome.is_pending();
        session.wrote(before);
        if let Poll::Ready(Err(error)) = outcome {
            return Poll::Ready(End::Lost(error));
        }
    }
    if session.is_quiet() {
        input.rest();
        session.out.rest();
    }
    session.set_driver(cx);
    Poll::Pending
}

/// What was read and is no whole frame.
#[derive(Default)]
struct Input {
    bytes: BytesMut,
}

impl Input {
    fn poll_fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // Content that waits for its reader keeps the memory that it was read into, so that is filled
        // before there is more of it.
        if self.bytes.capacity() - self.bytes.len() < READ / 4 {
            self.bytes.reserve(READ);
        }
        poll_read_buf(Pin::new(stream), cx, &mut self.bytes)
    }

    /// Frees what only a busy connection needs.
    fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }
}
