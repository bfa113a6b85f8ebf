//! Serving one client's connection, HTTP/1 or HTTP/2, on the thread that it was given to.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use tokio_rustls::TlsAcceptor;

use super::drain::{DrainWatch, Phase, Turn};
use super::http1::{Connection, End, Refusal, Waiting};
use super::http2;
use super::incoming::Incoming;
use super::patience::Patience;
use super::timer::Timer;
use super::transport::Transport;
use super::upgrade::OnUpgrade;
use crate::hint::apart;
use crate::message::{Fields, Request, Response};

/// From the connection's start to the end of its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

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
#[derive(Debug)]
pub struct Call {
    pub peer: Rc<Peer>,
    /// The request is a stand-in for bytes that were no request: to be answered with this, and
    /// nothing of it to be believed.
    pub refusal: Option<Refusal>,
    /// Where interim responses of the upstream's go.
    pub interim: Interim,
    /// What the connection may become.
    pub upgrade: OnUpgrade,
    /// For the waiting that the answer takes, in the task that serves the request.
    pub timer: Timer,
}

/// Sends interim (1xx) responses ahead of the response proper (RFC 9110 §15.2).
#[derive(Clone, Debug, Default)]
pub struct Interim(Option<(Rc<Waiting>, u32)>);

impl Interim {
    /// Nobody to send them to: HTTP/1.0 does not know them, and hyper's HTTP/2 cannot.
    pub fn none() -> Self {
        Self(None)
    }

    /// To the client of the request with this index.
    pub(super) fn to(waiting: Rc<Waiting>, index: u32) -> Self {
        Self(Some((waiting, index)))
    }

    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Sends `status` with `fields`, which are end-to-end ones. Best effort: dropped where the
    /// response has begun. 100 and 101 are not to be sent so, since the server sends those itself.
    pub fn send(&self, status: StatusCode, fields: &Fields) {
        if let Some((waiting, index)) = &self.0 {
            waiting.push(*index, status, fields);
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
/// each request, and for each stretch of bytes that was refused (see [`Call::refusal`]).
pub async fn serve<F, R, B, E>(transport: Transport, peer: Rc<Peer>, drain: DrainWatch, handler: F)
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
    peer: Rc<Peer>,
    drain: DrainWatch,
    handler: F,
) where
    F: Fn(Request<Incoming>, Call) -> R + Clone + 'static,
    R: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    // Held until the connection is closed, or has become a tunnel, which is counted as one.
    let _guard = drain.connection();
    let mut turns = Turns::new(&drain);
    let agreed_on_h2 = match &transport {
        Transport::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        _ => false,
    };
    let (io, early) = if agreed_on_h2 {
        (transport, Bytes::new())
    } else {
        match Connection::new(transport, peer.clone(), patience).serve(&handler, &mut turns).await {
            End::Closed => return,
            End::Http2(io, early) => (io, early),
        }
    };
    apart(|| http2::serve(io, early, peer, patience, handler, &mut turns)).await;
}

/// The phases of the drain that concern a connection.
pub(super) struct Turns {
    drain: Turn,
    cut: Turn,
    draining: bool,
}

impl Turns {
    pub(super) fn new(watch: &DrainWatch) -> Self {
        Self {
            drain: Turn::new(watch, Phase::Draining),
            cut: Turn::new(watch, Phase::CutConnections),
            draining: false,
        }
    }

    /// Whether connections are to finish; the task is woken when it comes to that.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> bool {
        self.draining = self.draining || self.drain.poll(cx).is_ready();
        self.draining
    }

    /// Whether their time is up.
    pub(super) fn poll_cut(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_drain(cx) && self.cut.poll(cx).is_ready()
    }

    /// What the last poll has said.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }
}
