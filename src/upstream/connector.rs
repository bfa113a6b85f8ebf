//! [`Connector`]: makes connections, and knows nothing of requests.

mod dial;
mod probe;
mod tls;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub use self::probe::{Probe, Reached};

use self::dial::{literal, race, resolve};
use self::tls::TlsStream;
use super::error::{TlsProblem, UpstreamError};
use super::origin::Origin;
use super::outbound::{BadProxyVariable, Outbound};
use crate::config::{Scheme, UpstreamSettings};
use crate::net::{ClientTls, TlsError, client_tls, tcp};
use crate::telemetry::{Connection, Recorder, Side};

/// What is read of a connection without TLS at a time, where it is only looked at.
const SPACE: usize = 4 * 1024;

/// How upstreams are connected to; shared by all threads, made anew when its settings change.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Tells connections of one connector from another's in a pool.
    id: u64,
    tls: ClientTls,
    outbound: Option<Outbound>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// Why the settings make no connector.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Proxy(#[from] BadProxyVariable),
}

/// A connection to an upstream, TLS included.
#[derive(Debug)]
pub struct UpstreamStream {
    kind: Kind,
    /// Counts it as open for as long as it lives, wherever it goes.
    _open: Option<Connection>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl Connector {
    /// `environment` looks a variable up (`std::env::var(name).ok()`).
    ///
    /// # Errors
    ///
    /// The CA file cannot be used, or a proxy variable cannot be read.
    pub fn new(
        settings: &UpstreamSettings,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnectorError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Self(Arc::new(Inner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            tls: client_tls(settings.ca_file.as_deref())?,
            outbound: Outbound::new(settings.proxy.as_ref(), &environment)?,
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
        })))
    }

    /// Whom upstreams are trusted by.
    pub fn tls(&self) -> &ClientTls {
        &self.0.tls
    }

    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.0.connect_timeout
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.0.response_timeout
    }

    /// A TCP connection to the origin, through the outbound proxy where one is to be used: for
    /// tunnels.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`]: name, connection, time, proxy.
    pub async fn dial(&self, origin: &Origin) -> Result<TcpStream, UpstreamError> {
        let after = self.0.connect_timeout;
        tokio::time::timeout(after, self.dial_unbounded(origin))
            .await
            .map_err(|_| UpstreamError::ConnectTimeout { to: origin.to_string(), after })?
    }

    /// A connection that requests can be sent on, and what it speaks.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        http1_only: bool,
    ) -> Result<(UpstreamStream, Protocol), UpstreamError> {
        let after = self.0.connect_timeout;
        let connecting = async {
            let tcp = self.dial_unbounded(origin).await?;
            if origin.scheme() == Scheme::Http {
                return Ok((UpstreamStream::new(Kind::Tcp(tcp)), Protocol::Http1));
            }
            let tls = if http1_only { &self.0.tls.http1 } else { &self.0.tls.h2_or_http1 };
            let stream =
                TlsStream::connect(tls.clone(), origin.server_name(), tcp).await.map_err(|source| {
                    UpstreamError::Tls { to: origin.to_string(), problem: TlsProblem::of(&source), source }
                })?;
            let protocol = match stream.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            Ok((UpstreamStream::new(Kind::Tls(Box::new(stream))), protocol))
        };
        tokio::time::timeout(after, connecting)
            .await
            .map_err(|_| UpstreamError::ConnectTimeout { to: origin.to_string(), after })?
    }

    async fn dial_unbounded(&self, origin: &Origin) -> Result<TcpStream, UpstreamError> {
        let (host, port) = (origin.authority().host(), origin.port());
        let outbound = self.0.outbound.as_ref().filter(|outbound| outbound.takes(host, port));
        let Some(outbound) = outbound else {
            let addresses = resolve(host, port).await?;
            for address in &addresses {
                if !origin.allows(address.ip()) {
                    return Err(UpstreamError::Forbidden { host: host.to_string(), address: address.ip() });
                }
            }
            return race(addresses, origin.to_string()).await;
        };
        // The outbound proxy resolves the name; an address in the request can still be judged.
        if let Some(address) = literal(host).filter(|address| !origin.allows(*address)) {
            return Err(UpstreamError::Forbidden { host: host.to_string(), address });
        }
        let proxy = outbound.authority().to_string();
        let addresses = resolve(outbound.authority().host(), outbound.port()).await?;
        let mut stream = race(addresses, format!("the outbound proxy {proxy}")).await?;
        outbound
            .tunnel(&mut stream, host, port)
            .await
            .map_err(|problem| UpstreamError::Proxy { proxy, problem })?;
        Ok(stream)
    }
}

impl UpstreamStream {
    fn new(kind: Kind) -> Self {
        Self { kind, _open: None }
    }

    /// Of a tunnel's far end.
    pub fn tunnel(stream: TcpStream, recorder: &Recorder) -> Self {
        Self::new(Kind::Tcp(stream)).counted(Some(recorder.connection(Side::Upstream)))
    }

    pub(super) fn counted(self, open: Option<Connection>) -> Self {
        Self { _open: open, ..self }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.kind, Kind::Tls(_))
    }

    /// Whether nobody has closed it, and nothing has come, as far as can be seen. No system call
    /// unless the socket was reported as readable.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match &mut self.kind {
            Kind::Tcp(stream) => {
                matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Kind::Tls(stream) => {
                // Nobody needs to be woken: it is looked at again when it is wanted.
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(stream.as_mut()).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }

    /// Whether a read is worth its while: `false` where it is known that nothing has come, and the
    /// task will be woken. Costs less than a read.
    pub(super) fn is_readable(&self, cx: &mut Context<'_>) -> bool {
        match &self.kind {
            // What is wrong with it is told by the read.
            Kind::Tcp(stream) => stream.poll_read_ready(cx).is_ready(),
            Kind::Tls(_) => true,
        }
    }

    /// As `poll_read`, to the start of `buffer`; the number of bytes.
    #[inline]
    pub(super) fn poll_read_to(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => tcp::poll_read(stream, cx, buffer),
            Kind::Tls(stream) => tcp::poll_read_to(stream, cx, buffer),
        }
    }

    /// Has `read` look at what comes next, without its being copied where it is decrypted anyway; how
    /// much that was, 0 at the end.
    pub(super) fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        read: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => {
                let mut space = [0; SPACE];
                let count = ready!(tcp::poll_read(stream, cx, &mut space))?;
                read(&space[..count]);
                Poll::Ready(Ok(count))
            }
            Kind::Tls(stream) => stream.poll_read_with(cx, read),
        }
    }

    fn pinned(self: Pin<&mut Self>) -> Pin<&mut dyn crate::net::Stream> {
        match &mut self.get_mut().kind {
            Kind::Tcp(stream) => Pin::new(stream),
            Kind::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().kind {
            Kind::Tcp(stream) => tcp::poll_write(stream, cx, buf),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
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
        match &self.kind {
            Kind::Tcp(stream) => stream.is_write_vectored(),
            Kind::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_shutdown(cx)
    }
}
