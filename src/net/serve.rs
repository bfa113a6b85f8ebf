//! Serving one client's connection, HTTP/1 or HTTP/2, on the thread that it was given to.

mod service;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_rustls::TlsAcceptor;

use self::service::Adapter;
use super::drain::{ConnectionGuard, DrainWatch, Phase, Turn};
use super::gate::{Gate, Opening, Refusal, Shared, interim_head};
use super::patience::Patience;
use super::transport::Transport;

/// From the connection's start to the end of its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
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

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// `None` for a Unix socket.
    pub address: Option<SocketAddr>,
    /// The address of ours that it reached: which one, where the listener is on all of them.
    pub local: Option<IpAddr>,
    /// The connection came over TLS.
    pub tls: bool,
    /// The client has shown a certificate that the configured CA vouches for.
    pub certified: bool,
}

/// What a handler is told beside the request.
#[derive(Clone, Debug)]
pub struct Call {
    pub peer: Arc<Peer>,
    /// The request is a stand-in for bytes that were no request: to be answered with this, and
    /// nothing of it to be believed.
    pub refusal: Option<Refusal>,
    /// Where interim responses of the upstream's go.
    pub interim: Interim,
}

/// Sends interim (1xx) responses ahead of the response proper (RFC 9110 §15.2).
#[derive(Clone, Debug, Default)]
pub struct Interim(Option<(Arc<Shared>, u32)>);

impl Interim {
    /// Nobody to send them to: HTTP/1.0 does not know them, and hyper's HTTP/2 cannot.
    pub fn none() -> Self {
        Self(None)
    }

    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Sends `status` with `headers`, which are end-to-end ones. Best effort: dropped where the
    /// response has begun. 100 and 101 are not to be sent so, since the server sends those itself.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) {
        if let Some((shared, index)) = &self.0 {
            shared.push_interim(*index, &interim_head(status, headers));
        }
    }
}

/// Takes a TLS connection in: the handshake, within its bound.
///
/// # Errors
///
/// `TimedOut`, or what rustls says of the client's handshake.
pub async fn accept_tls(
    acceptor: &TlsAcceptor,
    transport: Transport,
    mut peer: Peer,
) -> io::Result<(Transport, Peer)> {
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(transport));
    let stream = handshake
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took longer than 10 s"))??;
    peer.tls = true;
    peer.certified = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
    Ok((Transport::Tls(Box::new(stream)), peer))
}

/// Serves the connection until it ends: by the client, by an error, by idling, or by the drain.
///
/// To be spawned as a task of its own on a runtime for local tasks. The handler is called for
/// each request, and for each stretch of bytes that was refused (see [`Call::refusal`]). Upgrades
/// work as in hyper: `hyper::upgrade::on(request)`.
pub async fn serve<F, R, B, E>(transport: Transport, peer: Arc<Peer>, drain: DrainWatch, handler: F)
where
    F: Fn(Request<Incoming>, Call) -> R + Clone + 'static,
    R: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    serve_with(Patience::default(), transport, peer, drain, handler).await;
}

/// As [`serve`], with other times.
pub async fn serve_with<F, R, B, E>(
    patience: Patience,
    transport: Transport,
    peer: Arc<Peer>,
    drain: DrainWatch,
    handler: F,
) where
    F: Fn(Request<Incoming>, Call) -> R + Clone + 'static,
    R: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let guard = drain.connection();
    let shared = Arc::new(Shared::default());
    let mut turns = Turns::new(&drain);
    let agreed_on_h2 = match &transport {
        Transport::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        _ => false,
    };
    let mut gate = Gate::with(transport, shared.clone(), patience);
    let adapter = Adapter::new(handler, peer, shared.clone());
    if agreed_on_h2 {
        return serve_http2(gate.into_opaque(), adapter, turns, guard, patience).await;
    }
    loop {
        let opening = poll_fn(|cx| {
            if turns.drain.poll(cx).is_ready() {
                return Poll::Ready(Opening::Nothing);
            }
            gate.poll_opening(cx)
        });
        match opening.await {
            Opening::Nothing => return,
            Opening::Http2 => return serve_http2(gate.into_opaque(), adapter, turns, guard, patience).await,
            Opening::Http1 => {}
        }
        match serve_http1(gate, adapter.clone(), &mut turns).await {
            Some(parked) => gate = parked,
            None => return,
        }
    }
}

/// The phases of the drain that concern a connection.
struct Turns {
    drain: Turn,
    cut: Turn,
}

impl Turns {
    fn new(watch: &DrainWatch) -> Self {
        Self { drain: Turn::new(watch, Phase::Draining), cut: Turn::new(watch, Phase::CutConnections) }
    }
}

/// Serves HTTP/1 until the end, `None`, or until nothing has come for a while: then the gate is
/// given back, and with hyper's connection its buffers go.
async fn serve_http1<F, R, B, E>(gate: Gate, adapter: Adapter<F>, turns: &mut Turns) -> Option<Gate>
where
    F: Fn(Request<Incoming>, Call) -> R + Clone + 'static,
    R: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let shared = adapter.shared.clone();
    let mut builder = http1::Builder::new();
    // The gate keeps the time of heads, at less cost. Its limits are the narrower ones.
    builder.header_read_timeout(None).auto_date_header(true);
    let mut connection = Some(builder.serve_connection(TokioIo::new(gate), adapter).with_upgrades());
    let mut draining = false;
    let mut waker_known = false;
    let end = poll_fn(|cx| {
        if !waker_known {
            shared.set_waker(cx.waker());
            waker_known = true;
        }
        let Some(running) = connection.as_mut() else { return Poll::Ready(End::Closed) };
        if !draining && turns.drain.poll(cx).is_ready() {
            draining = true;
            Pin::new(&mut *running).graceful_shutdown();
        }
        if draining && turns.cut.poll(cx).is_ready() {
            return Poll::Ready(End::Broken);
        }
        match Pin::new(running).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(End::Closed),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a client's connection broke");
                Poll::Ready(End::Broken)
            }
            Poll::Pending if shared.takes_parking() && !shared.is_busy() => Poll::Ready(End::Parked),
            Poll::Pending => Poll::Pending,
        }
    });
    let end = end.await;
    // `None` where the connection was upgraded, and the gate has gone with it.
    let parts = connection.and_then(|connection| connection.into_parts());
    match (end, parts) {
        (End::Parked, Some(parts)) if parts.read_buf.is_empty() => {
            let mut gate = parts.io.into_inner();
            gate.park();
            Some(gate)
        }
        (End::Broken, Some(parts)) if shared.needs_abort() => {
            parts.io.into_inner().abort();
            None
        }
        _ => None,
    }
}

enum End {
    Closed,
    Broken,
    Parked,
}

async fn serve_http2<F, R, B, E>(
    gate: Gate,
    adapter: Adapter<F>,
    mut turns: Turns,
    guard: ConnectionGuard,
    patience: Patience,
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
    let shared = adapter.shared.clone();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(gate), adapter.on_http2()));
    let mut idle = super::timer::Deadline::default();
    let mut draining = false;
    poll_fn(|cx| {
        if !draining && turns.drain.poll(cx).is_ready() {
            draining = true;
            connection.as_mut().graceful_shutdown();
        }
        if draining && turns.cut.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a client's HTTP/2 connection broke");
            }
            return Poll::Ready(());
        }
        if shared.is_busy() {
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
    drop(guard);
}

/// Spawns on the current thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalTasks;

impl<T: Future<Output = ()> + 'static> hyper::rt::Executor<T> for LocalTasks {
    fn execute(&self, task: T) {
        tokio::task::spawn_local(task);
    }
}

/// For handlers that cannot fail.
pub type Never = Infallible;
