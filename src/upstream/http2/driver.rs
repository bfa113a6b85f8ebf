//! Moves bytes between a session and its stream.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::fatal::Fatal;
use super::frame::Code;
use super::session::Session;
use crate::upstream::connector::UpstreamStream;

/// Reads, of a TLS record each, before it is others' turn: as many as give the clients something to
/// write that is worth a system call, and no fewer than come with one of the socket's.
const READS: usize = 32;
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
pub(super) async fn drive(mut stream: UpstreamStream, session: Rc<RefCell<Session>>) {
    let _ended = Ended(Rc::clone(&session));
    let mut waited = 0;
    let end = poll_fn(|cx| {
        if waited < OTHERS_FIRST {
            waited += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        waited = 0;
        let mut session = session.borrow_mut();
        poll(&mut stream, &mut session, cx)
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

fn poll(stream: &mut UpstreamStream, session: &mut Session, cx: &mut Context<'_>) -> Poll<End> {
    for read in 1..=READS {
        let mut outcome = Ok(());
        match stream.poll_read_with(cx, &mut |bytes| outcome = session.receive(bytes)) {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return Poll::Ready(End::Lost(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
        }
        if let Err(fatal) = outcome {
            return Poll::Ready(End::Fatal(fatal));
        }
        if read == READS {
            cx.waker().wake_by_ref();
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
        session.rest();
    }
    session.set_driver(cx);
    Poll::Pending
}
