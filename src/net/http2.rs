//! HTTP/2 to clients (RFC 9113), by hyper's server.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::incoming::Incoming;
use super::patience::Patience;
use super::serve::{Call, Interim, Peer, Turns};
use super::timer::{Deadline, Timer};
use super::transport::Transport;
use super::upgrade;
use crate::message::{Request, Response};

/// A client on HTTP/2 is pinged when it has been silent this long, and given up after the second
/// bound.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// The decoded size of a request's fields on HTTP/2.
const MAX_HEADER_LIST: u32 = 64 * 1024;
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Response bytes that may wait on one HTTP/2 stream.
const SEND_BUFFER: usize = 256 * 1024;

/// Serves HTTP/2 until the end. `early`: what was read of the stream before.
pub(super) async fn serve<F, R, B, E>(
    io: Transport,
    early: Bytes,
    peer: Rc<Peer>,
    patience: Patience,
    handler: F,
    turns: &mut Turns,
) where
    F: Fn(Request<Incoming>, Call) -> R + Clone + 'static,
    R: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let mut builder = http2::Builder::new(LocalTasks);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let busy = Rc::new(Cell::new(0));
    let io = Bounded { io, early, deadline: Deadline::default(), patience };
    let adapter = Adapter { handler, peer, busy: busy.clone() };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), adapter));
    let mut idle = Deadline::default();
    let mut draining = false;
    poll_fn(|cx| {
        if !draining && turns.poll_drain(cx) {
            draining = true;
            connection.as_mut().graceful_shutdown();
        }
        if turns.poll_cut(cx) {
            return Poll::Ready(());
        }
        if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a client's HTTP/2 connection broke");
            }
            return Poll::Ready(());
        }
        if busy.get() > 0 {
            idle.clear();
        } else if !idle.is_set() && !draining {
            idle.set(patience.idle);
        }
        if idle.poll_passed(cx).is_ready() {
            connection.as_mut().graceful_shutdown();
            // Polled again for the GOAWAY to be sent.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

/// Spawns on the current thread.
#[derive(Clone, Copy, Debug)]
struct LocalTasks;

impl<T: Future<Output = ()> + 'static> hyper::rt::Executor<T> for LocalTasks {
    fn execute(&self, task: T) {
        tokio::task::spawn_local(task);
    }
}

/// The seam between hyper's service and the handler: it counts what is under way.
struct Adapter<F> {
    handler: F,
    peer: Rc<Peer>,
    busy: Rc<Cell<usize>>,
}

impl<F, R, B, E> hyper::service::Service<http::Request<hyper::body::Incoming>> for Adapter<F>
where
    F: Fn(Request<Incoming>, Call) -> R,
    R: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Response = http::Response<Tracked<B>>;
    type Error = E;
    type Future = Answer<R>;

    fn call(&self, mut request: http::Request<hyper::body::Incoming>) -> Answer<R> {
        let upgrade = upgrade::of_http2(&mut request);
        let call = Call {
            peer: self.peer.clone(),
            refusal: None,
            interim: Interim::none(),
            upgrade,
            timer: Timer::default(),
        };
        let busy = Busy::new(&self.busy);
        let handler = (self.handler)(request.map(Incoming::from).into(), call);
        Answer { handler, busy: Some(busy) }
    }
}

/// Counts as a request under way until it is dropped.
struct Busy(Rc<Cell<usize>>);

impl Busy {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

pin_project! {
    /// The handler's work.
    struct Answer<R> {
        #[pin]
        handler: R,
        busy: Option<Busy>,
        }
}

impl<R, B, E> Future for Answer<R>
where
    R: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<http::Response<Tracked<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.handler.poll(cx))?;
        let busy = this.busy.take();
        Poll::Ready(Ok(response.map(|body| Tracked { body, _busy: busy }).into()))
    }
}

pin_project! {
    /// A response's body, which counts as under way.
    struct Tracked<B> {
        #[pin]
        body: B,
        _busy: Option<Busy>,
    }
}

impl<B: Body> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The stream, with a bound on how long the client may take nothing.
struct Bounded {
    io: Transport,
    early: Bytes,
    deadline: Deadline,
    patience: Patience,
}

impl Bounded {
    fn bound<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.deadline.clear();
            return outcome;
        }
        if !self.deadline.is_set() {
            self.deadline.set(self.patience.body);
        }
        ready!(self.deadline.poll_passed(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client has read nothing for 60 s")))
    }
}

impl AsyncRead for Bounded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.has_remaining() {
            let here = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early.split_to(here));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write(cx, buf);
        this.bound(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.bound(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_flush(cx);
        this.bound(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
